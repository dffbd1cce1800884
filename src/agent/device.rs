//! The library's device: handlers by stream name; a forward is the built-in one.

use std::sync::Arc;
use std::time::Duration;

use super::Event;
use super::config::{AccessPolicy, AgentConfig};
use super::targets::{Incoming, Targets};
use crate::net::client::StoredAt;
use crate::net::identity::Identity;
use crate::net::shutdown::Shutdown;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::forward::Forward;
use crate::proto::id::{Role, StreamName};
use crate::proto::refusal::Refusal;

/// Default time for running streams to end once [`Device::run`] is shutting down.
const DRAIN: Duration = Duration::from_secs(10);

/// A device that accepts streams through its hub. The first registered handler is the default, for services that name
/// no stream.
#[derive(Clone)]
pub struct Device {
    config: AgentConfig,
}

impl Device {
    /// Creates a device without handlers. Fails if the identity is a service's.
    pub fn new(identity: &Identity) -> Result<Self, Refusal> {
        let config = AgentConfig {
            device: identity.principal().id.clone().into(),
            client_factory: identity.client_factory_for(Role::Device)?,
            targets: Targets::default(),
            access_policy: AccessPolicy::default(),
            exit_when_key_refused: false,
            transport: TransportOptions::default(),
            drain: DRAIN,
            find_other_agent: None,
            identity_stored_at: StoredAt::default(),
            observer: Arc::new(|_| {}),
        };
        Ok(Self { config })
    }

    /// Registers an observer of the device's events: online, offline with the reason, stream requested, stream closed.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.config.observer = Arc::new(observer);
        self
    }

    /// Registers a handler for streams of this name. It runs once per stream, in a task of its own, which is cancelled
    /// if the service gives up before the handler has answered.
    #[must_use]
    pub fn handle<F, A>(mut self, name: StreamName, handler: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.config.targets.handle(name, handler);
        self
    }

    /// Registers a handler for streams whose name has no handler.
    #[must_use]
    pub fn handle_fallback<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.config.targets.handle_fallback(handler);
        self
    }

    /// Connects streams to a TCP target, as `device-agent --forward` does.
    #[must_use]
    pub fn forward(mut self, forward: Forward) -> Self {
        self.config.targets.forward(forward);
        self
    }

    /// Sets the time that running streams have to end after shutdown begins; 10 seconds by default.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.config.drain = drain;
        self
    }

    /// Connects to the hub and serves streams until shutdown. Failures of the network or the hub are logged and
    /// retried.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Refusal> {
        super::run(self.config, shutdown).await
    }
}
