//! What a running role tells `devstream status`: kept up to date by what happens to it, and read on a socket of its own,
//! which answers as long as the role lives and not a moment longer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::paths;
use crate::agent;
use crate::hub::state::create_private_directory;
use crate::net::client::ClientFactory;
use crate::net::os::clock;
use crate::net::os::local_socket::{self, LocalListener, LocalStream};
use crate::net::tasks::Tasks;
use crate::net::transport::accept::accept_loop;
use crate::proto::id::Principal;
use crate::proto::status::{LastError, OpenStream, RoleState, RoleStatus, StatusRequest};
use crate::proxy;

/// Streams that are listed; more are counted.
pub(super) const MAX_LISTED_STREAMS: usize = 256;

/// A session of `ssh` is there within this time, and only then makes a socket; many are over by then.
const SOCKET_DELAY: Duration = Duration::from_millis(250);

/// One role's. Clones are the same.
#[derive(Clone)]
pub(super) struct StatusServer(Arc<Mutex<Inner>>);

struct Inner {
    /// Without its streams.
    status: RoleStatus,
    /// The state where all is well.
    healthy_state: RoleState,
    streams: BTreeMap<u64, OpenStream>,
}

impl StatusServer {
    /// Of a role that has just started.
    pub(super) fn new(role: &str, identity: Principal, serves: Vec<String>, state: RoleState) -> Self {
        let since = clock::now_utc();
        let status = RoleStatus {
            role: role.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            process: std::process::id(),
            since,
            identity,
            hub: None,
            state,
            state_since: since,
            last_error: None,
            serves,
            streams: 0,
            oldest_streams: Vec::new(),
        };
        let healthy_state = if state == RoleState::Connecting { RoleState::Connected } else { state };
        Self(Arc::new(Mutex::new(Inner { status, healthy_state, streams: BTreeMap::new() })))
    }

    /// The same way to become a client, which tells this where the hub is.
    pub(super) fn record_hub(&self, client_factory: ClientFactory) -> ClientFactory {
        let own = self.clone();
        client_factory.inspect(move |client| own.lock().status.hub = Some(client.hub().clone()))
    }

    /// What it serves, where that is only known now.
    pub(super) fn set_serves(&self, what: Vec<String>) {
        self.lock().status.serves = what;
    }

    /// Takes note of what happens to a device.
    pub(super) fn on_agent_event(&self, event: agent::Event) {
        let mut inner = self.lock();
        match event {
            agent::Event::Online => inner.mark_healthy(),
            agent::Event::Offline(reason) => inner.mark_failed(RoleState::Retrying, reason),
            agent::Event::StreamRequested(number, what) => inner.stream_started(number, what),
            agent::Event::StreamClosed(number) => drop(inner.streams.remove(&number)),
        }
    }

    /// Takes note of what happens to a service.
    pub(super) fn on_proxy_event(&self, event: &proxy::Event) {
        let mut inner = self.lock();
        match event {
            proxy::Event::Requested(info) => {
                let from = info.from.map(|from| format!(" from {from}")).unwrap_or_default();
                inner.stream_started(info.number, format!("{}{from}", info.to));
            }
            proxy::Event::Opened(_) => inner.mark_healthy(),
            proxy::Event::Refused(info, refusal) => {
                inner.streams.remove(&info.number);
                inner.mark_failed(RoleState::Failing, refusal.to_string());
            }
            proxy::Event::Interrupted(info, why) => {
                inner.mark_failed(RoleState::Retrying, format!("{} #{}: interrupted ({why})", info.to, info.number));
            }
            proxy::Event::Resumed(..) => inner.mark_healthy(),
            proxy::Event::Ended(info, _, refusal) => {
                inner.streams.remove(&info.number);
                match refusal {
                    Some(refusal) => inner.mark_failed(RoleState::Failing, refusal.to_string()),
                    None => inner.mark_healthy(),
                }
            }
            proxy::Event::Draining(..) => {}
        }
    }

    /// Answers for as long as the role works. Without a socket it works as well, and `devstream status` misses it.
    pub(super) async fn serve_while<R>(&self, work: impl Future<Output = R>) -> R {
        self.serve_after(None, work).await
    }

    /// The same for a session of `ssh`, which is in a hurry at first, and whose person need not hear of a socket.
    pub(super) async fn serve_while_delayed<R>(&self, work: impl Future<Output = R>) -> R {
        self.serve_after(Some(SOCKET_DELAY), work).await
    }

    async fn serve_after<R>(&self, delay: Option<Duration>, work: impl Future<Output = R>) -> R {
        let tasks = Tasks::default();
        let answering = async {
            if let Some(delay) = delay {
                sleep(delay).await;
            }
            let error = match self.listen() {
                Ok(listener) => return self.accept_loop(&listener, &tasks).await,
                Err(error) => error,
            };
            if delay.is_none() {
                tracing::info!("`devstream status` will not show this: {error:#}");
            }
            pending().await
        };
        let done = tokio::select! {
            done = work => done,
            never = answering => match never {},
        };
        tasks.shutdown(Duration::ZERO).await;
        done
    }

    async fn accept_loop(&self, listener: &LocalListener, tasks: &Tasks) -> Infallible {
        let on_error = |error: &io::Error| tracing::debug!(%error, "could not accept on the status socket");
        let handle = |stream| Some(handle_connection(self.clone(), stream));
        accept_loop(|| listener.accept(), tasks, on_error, handle).await
    }

    fn listen(&self) -> anyhow::Result<LocalListener> {
        let directory = paths::status_directory()?;
        create_private_directory(&directory)?;
        let path = {
            let RoleStatus { role, process, .. } = &self.lock().status;
            paths::status_socket(&directory, role, *process)
        };
        Ok(LocalListener::bind(&path)?)
    }

    fn status(&self) -> RoleStatus {
        let inner = self.lock();
        let oldest_streams = inner.streams.values().take(MAX_LISTED_STREAMS).cloned().collect();
        RoleStatus { streams: inner.streams.len(), oldest_streams, ..inner.status.clone() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn handle_connection(status_server: StatusServer, stream: LocalStream) {
    let answered = local_socket::serve(stream, |StatusRequest::Status| async move { status_server.status() }).await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a question about the status failed");
    }
}

impl Inner {
    fn mark_healthy(&mut self) {
        self.set_state(self.healthy_state);
    }

    fn set_state(&mut self, state: RoleState) {
        if self.status.state != state {
            self.status.state = state;
            self.status.state_since = clock::now_utc();
        }
    }

    fn mark_failed(&mut self, state: RoleState, reason: String) {
        self.set_state(state);
        self.status.last_error = Some(LastError { at: clock::now_utc(), reason });
    }

    fn stream_started(&mut self, number: u64, what: String) {
        self.streams.insert(number, OpenStream { what, since: clock::now_utc() });
    }
}
