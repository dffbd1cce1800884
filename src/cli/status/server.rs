//! The status of a running role: kept current by its events, and served to `devstream status` on a socket as long as
//! the role runs.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::sleep;

use crate::agent;
use crate::cli::paths;
use crate::hub::state::create_private_directory;
use crate::net::client::ClientFactory;
use crate::net::os::clock;
use crate::net::os::local_socket::{self, LocalListener, LocalStream};
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::transport::accept::accept_loop;
use crate::proto::id::Principal;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::status::{LastError, OpenStream, RoleState, RoleStatus, StatusRequest};
use crate::proxy::{self, StreamInfo};

/// The limit on listed streams; further ones are only counted.
pub(in crate::cli) const MAX_LISTED_STREAMS: usize = 256;

/// The delay before a session of `ssh` opens its socket: the session is established by then, and many have ended.
const SOCKET_DELAY: Duration = Duration::from_millis(250);

/// The status of a role, and its server. Clones share it.
#[derive(Clone)]
pub(in crate::cli) struct StatusServer(Arc<Mutex<Inner>>);

struct Inner {
    /// The status without streams.
    status: RoleStatus,
    /// The state while there is no failure.
    healthy_state: RoleState,
    streams: BTreeMap<u64, OpenStream>,
}

impl StatusServer {
    /// Creates the status of a role that has just started.
    pub(in crate::cli) fn new(role: &str, identity: Principal, endpoints: Vec<String>, state: RoleState) -> Self {
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
            endpoints,
            streams: 0,
            oldest_streams: Vec::new(),
        };
        let healthy_state = if state == RoleState::Connecting { RoleState::Connected } else { state };
        Self(Arc::new(Mutex::new(Inner { status, healthy_state, streams: BTreeMap::new() })))
    }

    /// Wraps a client factory to record the hub and the identity of its clients.
    pub(in crate::cli) fn record_hub(&self, client_factory: ClientFactory) -> ClientFactory {
        let status_server = self.clone();
        client_factory.inspect(move |client| {
            let status = &mut status_server.lock().status;
            status.hub = Some(client.hub().clone());
            status.identity = client.principal().clone();
        })
    }

    /// Returns the identity of the last client.
    pub(in crate::cli) fn identity(&self) -> Principal {
        self.lock().status.identity.clone()
    }

    /// Finds another process that runs this role as the same identity at the same hub.
    pub(in crate::cli) async fn other_process(&self) -> Option<u32> {
        let RoleStatus { role, identity, hub, .. } = self.status();
        super::other_process(&role, &identity, hub.as_ref()).await
    }

    /// Sets the endpoints, which a role may know only after its start.
    pub(in crate::cli) fn set_endpoints(&self, endpoints: Vec<String>) {
        self.lock().status.endpoints = endpoints;
    }

    /// Records an event of a device-agent.
    pub(in crate::cli) fn on_agent_event(&self, event: agent::Event) {
        let mut inner = self.lock();
        match event {
            agent::Event::Online => inner.mark_healthy(),
            agent::Event::Offline(reason) => inner.mark_failed(RoleState::Retrying, reason),
            agent::Event::StreamRequested(number, description) => inner.stream_started(number, description, false),
            agent::Event::StreamClosed(number) => drop(inner.streams.remove(&number)),
            agent::Event::TargetDead(..) | agent::Event::TargetAnswers(_) => {}
        }
    }

    /// Records an event of a service-proxy.
    pub(in crate::cli) fn on_proxy_event(&self, event: &proxy::Event) {
        let mut inner = self.lock();
        match event {
            proxy::Event::Requested(info) => {
                let from = info.from.map(|from| format!(" from {from}")).unwrap_or_default();
                inner.stream_started(info.number, format!("{}{from}", info.to), true);
            }
            proxy::Event::Opened(info) => {
                inner.streams.entry(info.number).and_modify(|stream| stream.waiting = false);
                inner.mark_healthy();
            }
            proxy::Event::Refused(info, refusal) => {
                inner.streams.remove(&info.number);
                inner.stream_failed(info, refusal);
            }
            proxy::Event::Interrupted(info, why) => {
                let reason = format!("{}: interrupted ({why})", stream_label(info));
                inner.mark_failed(RoleState::Retrying, reason);
            }
            proxy::Event::Resumed(..) => inner.mark_healthy(),
            proxy::Event::Ended(info, _, refusal) => {
                inner.streams.remove(&info.number);
                match refusal {
                    Some(refusal) => inner.stream_failed(info, refusal),
                    None => inner.mark_healthy(),
                }
            }
            proxy::Event::Accepted(_) | proxy::Event::Draining(..) => {}
        }
    }

    /// Serves the status while the role runs. Without a socket the role runs as well, unseen by `devstream status`.
    /// From a shutdown on, the role is ending.
    pub(in crate::cli) async fn serve_while<R>(&self, shutdown: &Shutdown, work: impl Future<Output = R>) -> R {
        let ending = async {
            shutdown.drain.cancelled().await;
            self.lock().set_state(RoleState::Ending);
            pending::<Infallible>().await
        };
        tokio::select! {
            done = self.serve_after(None, work) => done,
            never = ending => match never {},
        }
    }

    /// Serves the status of a session of `ssh`: after a delay, since its start must be fast, and without a message on
    /// failure.
    pub(in crate::cli) async fn serve_while_delayed<R>(&self, work: impl Future<Output = R>) -> R {
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
                tracing::info!("`devstream status` cannot show this role: {error:#}");
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
        self.0.lock()
    }
}

/// A stream as in the log: its device and forward, and its number.
fn stream_label(info: &StreamInfo) -> String {
    format!("{} #{}", info.to, info.number)
}

/// Reports whether a refusal says nothing about other streams to the same device.
fn concerns_one_stream(kind: RefusalKind) -> bool {
    use RefusalKind::{
        AlreadyEnded, LocalShutdown, LostWhileOpening, NotPermitted, NotRead, NotResumed, PeerGone, RejectedByDevice,
        StreamKilled, StreamNotOffered, TargetRefused, TargetTimedOut, TargetUnreachable,
    };
    matches!(
        kind,
        TargetRefused
            | TargetUnreachable
            | TargetTimedOut
            | StreamNotOffered
            | NotPermitted
            | RejectedByDevice
            | StreamKilled
            | NotRead
            | PeerGone
            | NotResumed
            | LostWhileOpening
            | AlreadyEnded
            | LocalShutdown
    )
}

async fn handle_connection(status_server: StatusServer, stream: LocalStream) {
    let answered = local_socket::serve(stream, |StatusRequest::Status| async move { status_server.status() }).await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a status request failed");
    }
}

impl Inner {
    fn mark_healthy(&mut self) {
        self.set_state(self.healthy_state);
    }

    fn set_state(&mut self, state: RoleState) {
        // Nothing else follows the end.
        if self.status.state != state && self.status.state != RoleState::Ending {
            self.status.state = state;
            self.status.state_since = clock::now_utc();
        }
    }

    /// Records that one stream got nowhere, or broke. Others go on, unless the cause concerns all of them.
    fn stream_failed(&mut self, info: &StreamInfo, refusal: &Refusal) {
        let state = if concerns_one_stream(refusal.kind) { self.status.state } else { RoleState::Failing };
        self.mark_failed(state, format!("{}: {}", stream_label(info), refusal.with_hint()));
    }

    fn mark_failed(&mut self, state: RoleState, reason: String) {
        self.set_state(state);
        self.status.last_error = Some(LastError { at: clock::now_utc(), reason });
    }

    fn stream_started(&mut self, number: u64, description: String, waiting: bool) {
        self.streams.insert(number, OpenStream { description, since: clock::now_utc(), waiting });
    }
}
