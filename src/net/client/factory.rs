//! The factory of a role's clients.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::Client;
use crate::net::runtime::ClientRuntime;
use crate::net::stream_memory::ClientLimits;
use crate::proto::refusal::Refusal;

type Build = dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, Refusal>> + Send>> + Send + Sync;

/// Builds a new client of one hub for each connection, since an address may have changed, or a hub of the same user may
/// have started. All clients that it builds, and all clones, share one [`ClientRuntime`].
#[derive(Clone)]
pub struct ClientFactory {
    build: Arc<Build>,
    runtime: ClientRuntime,
}

impl ClientFactory {
    /// Creates a factory with a runtime of its own.
    pub fn new<F>(build: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Client, Refusal>> + Send + 'static,
    {
        Self { build: Arc::new(move || Box::pin(build())), runtime: ClientRuntime::default() }
    }

    /// A factory of the same clients with these limits, and a runtime of its own.
    #[must_use]
    pub fn with_limits(self, limits: ClientLimits) -> Self {
        Self { build: self.build, runtime: ClientRuntime::new(limits) }
    }

    /// A factory of the same clients that passes each one to `inspect`.
    #[must_use]
    pub fn inspect(self, inspect: impl Fn(&Client) + Send + Sync + 'static) -> Self {
        let (build, inspect) = (self.build, Arc::new(inspect));
        let build: Arc<Build> = Arc::new(move || {
            let (client, inspect) = (build(), inspect.clone());
            Box::pin(async move { client.await.inspect(|client| inspect(client)) })
        });
        Self { build, runtime: self.runtime }
    }

    /// Builds a client. The fleet that it trusts is the one that counts from then on, also for sessions that were begun before.
    pub async fn client(&self) -> Result<Client, Refusal> {
        let client = (self.build)().await?.with_runtime(self.runtime.clone());
        self.runtime.sessions().trust(client.fleet_keys());
        Ok(client)
    }

    /// The state that the connections of all these clients share.
    pub fn runtime(&self) -> &ClientRuntime {
        &self.runtime
    }
}

impl fmt::Debug for ClientFactory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientFactory").field("runtime", &self.runtime).finish_non_exhaustive()
    }
}
