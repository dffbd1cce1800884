//! What a running role tells `devstream status`: kept up to date by what happens to it, and read on a socket of its own,
//! which answers as long as the role lives and not a moment longer.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::paths;
use crate::agent;
use crate::hub::state::private_directory;
use crate::net::client::ClientFactory;
use crate::net::clock;
use crate::net::local::{self, LocalListener, LocalStream};
use crate::net::tasks::Tasks;
use crate::proto::id::Principal;
use crate::proto::status::{LastError, OpenStream, RoleState, RoleStatus, StatusRequest};
use crate::proxy;

/// Streams that are listed; more are counted.
pub(super) const LISTED: usize = 256;

/// A session of `ssh` is there within this time, and only then makes a socket; many are over by then.
const HEAD_START: Duration = Duration::from_millis(250);

/// When no socket can be had, accepting pauses: descriptors come back as streams end.
const ACCEPT_BACKOFF: Duration = Duration::from_secs(1);

/// One role's. Clones are the same.
#[derive(Clone)]
pub(super) struct Bulletin(Arc<Mutex<Now>>);

struct Now {
    /// Without its streams.
    status: RoleStatus,
    /// The state where all is well.
    well: RoleState,
    streams: BTreeMap<u64, OpenStream>,
}

impl Bulletin {
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
        let well = if state == RoleState::Connecting { RoleState::Connected } else { state };
        Self(Arc::new(Mutex::new(Now { status, well, streams: BTreeMap::new() })))
    }

    /// The same way to become a client, which tells this where the hub is.
    pub(super) fn noting_the_hub(&self, client_factory: ClientFactory) -> ClientFactory {
        let own = self.clone();
        Arc::new(move || {
            let (own, client) = (own.clone(), client_factory());
            Box::pin(async move {
                let client = client.await?;
                own.now().status.hub = Some(client.hub().clone());
                Ok(client)
            })
        })
    }

    /// What it serves, where that is only known now.
    pub(super) fn serves(&self, what: Vec<String>) {
        self.now().status.serves = what;
    }

    /// Takes note of what happens to a device.
    pub(super) fn note_agent(&self, event: agent::Event) {
        let mut now = self.now();
        match event {
            agent::Event::Online => now.is_well(),
            agent::Event::Offline(reason) => now.failed(RoleState::Retrying, reason),
            agent::Event::StreamRequested(number, what) => now.begun(number, what),
            agent::Event::StreamClosed(number) => drop(now.streams.remove(&number)),
        }
    }

    /// Takes note of what happens to a service.
    pub(super) fn note_proxy(&self, event: &proxy::Event) {
        let mut now = self.now();
        match event {
            proxy::Event::Requested(info) => {
                let from = info.from.map(|from| format!(" from {from}")).unwrap_or_default();
                now.begun(info.number, format!("{}{from}", info.to));
            }
            proxy::Event::Opened(_) => now.is_well(),
            proxy::Event::Refused(info, refusal) => {
                now.streams.remove(&info.number);
                now.failed(RoleState::Failing, refusal.to_string());
            }
            proxy::Event::Interrupted(info, why) => {
                now.failed(RoleState::Retrying, format!("{} #{}: interrupted ({why})", info.to, info.number));
            }
            proxy::Event::Resumed(..) => now.is_well(),
            proxy::Event::Ended(info, _, refusal) => {
                now.streams.remove(&info.number);
                match refusal {
                    Some(refusal) => now.failed(RoleState::Failing, refusal.to_string()),
                    None => now.is_well(),
                }
            }
            proxy::Event::Draining(..) => {}
        }
    }

    /// Answers for as long as the role works. Without a socket it works as well, and `devstream status` misses it.
    pub(super) async fn while_answering<R>(&self, work: impl Future<Output = R>) -> R {
        self.while_answering_after(None, work).await
    }

    /// The same for a session of `ssh`, which is in a hurry at first, and whose person need not hear of a socket.
    pub(super) async fn while_answering_later<R>(&self, work: impl Future<Output = R>) -> R {
        self.while_answering_after(Some(HEAD_START), work).await
    }

    async fn while_answering_after<R>(&self, head_start: Option<Duration>, work: impl Future<Output = R>) -> R {
        let tasks = Tasks::default();
        let answering = async {
            if let Some(head_start) = head_start {
                sleep(head_start).await;
            }
            let error = match self.listen() {
                Ok(listener) => return self.answer(&listener, &tasks).await,
                Err(error) => error,
            };
            if head_start.is_none() {
                tracing::info!("`devstream status` will not show this: {error:#}");
            }
            pending().await
        };
        let done = tokio::select! {
            done = work => done,
            never = answering => match never {},
        };
        tasks.end(Duration::ZERO).await;
        done
    }

    async fn answer(&self, listener: &LocalListener, tasks: &Tasks) -> Infallible {
        loop {
            match listener.accept().await {
                Ok(stream) => tasks.spawn(converse(self.clone(), stream)),
                Err(error) => {
                    tracing::debug!(%error, "could not accept on the status socket");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn listen(&self) -> anyhow::Result<LocalListener> {
        let directory = paths::status_place()?;
        private_directory(&directory)?;
        let path = {
            let RoleStatus { role, process, .. } = &self.now().status;
            paths::status_socket(&directory, role, *process)
        };
        Ok(LocalListener::bind(&path)?)
    }

    fn status(&self) -> RoleStatus {
        let now = self.now();
        let oldest_streams = now.streams.values().take(LISTED).cloned().collect();
        RoleStatus { streams: now.streams.len(), oldest_streams, ..now.status.clone() }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn converse(bulletin: Bulletin, stream: LocalStream) {
    let answered = local::answer(stream, |StatusRequest::Status| async move { bulletin.status() }).await;
    if let Err(error) = answered {
        tracing::debug!(%error, "a question about the status failed");
    }
}

impl Now {
    fn is_well(&mut self) {
        self.enter(self.well);
    }

    fn enter(&mut self, state: RoleState) {
        if self.status.state != state {
            self.status.state = state;
            self.status.state_since = clock::now_utc();
        }
    }

    fn failed(&mut self, state: RoleState, reason: String) {
        self.enter(state);
        self.status.last_error = Some(LastError { at: clock::now_utc(), reason });
    }

    fn begun(&mut self, number: u64, what: String) {
        self.streams.insert(number, OpenStream { what, since: clock::now_utc() });
    }
}
