//! The device's targets by stream name: a forward to a TCP address, or a program's own handler.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connect::connect;
use crate::net::client::Connection;
use crate::net::e2e::config::SessionEnd;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::{Counters, Outcome, PumpContext, Rejoin, Tunnel};
use crate::net::tunnel::seal::LocalSide;
use crate::net::tunnel::stream::{Stream, StreamDriver, pair};
use crate::net::websocket::WebSocket;
use crate::proto::forward::Forward;
use crate::proto::id::{ServiceName, StreamName};
use crate::proto::limits::DECISION_TIMEOUT;
use crate::proto::message::StreamRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// A stream request, answered by [`accept`](Self::accept) or [`reject`](Self::reject); dropping it rejects it.
#[derive(Debug)]
pub struct Incoming {
    service: ServiceName,
    source: SocketAddr,
    stream_name: StreamName,
    response: oneshot::Sender<Result<StreamDriver, Refusal>>,
}

impl Incoming {
    /// Name of the requesting service, authenticated by the hub. The service proves its key once the request is accepted:
    /// [`Stream::verified`].
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Address of the service, as seen by the hub.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// Name of the requested stream.
    pub fn stream_name(&self) -> &StreamName {
        &self.stream_name
    }

    /// Accepts the request. The stream can be written to at once; if the service has left meanwhile, reads and writes
    /// fail.
    pub fn accept(self) -> Stream {
        let (stream, local) = pair();
        // If the request was cancelled, the stream is broken.
        let _ = self.response.send(Ok(local));
        stream
    }

    /// Rejects the request. The service receives the reason: `Refusal::new(RefusalKind::RejectedByDevice, "under
    /// maintenance")`, [`RefusalKind::DeviceBusy`] or one of the `Target…` kinds; any other kind is sent as
    /// [`RefusalKind::RejectedByDevice`].
    pub fn reject(self, why: impl Into<Refusal>) {
        let _ = self.response.send(Err(why.into()));
    }
}

/// A program's function that answers requests and owns the accepted streams.
type Handler = Arc<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// The target of streams of one name.
#[derive(Clone)]
pub(super) enum TargetKind {
    Forward(Forward),
    Handler(Handler),
}

impl TargetKind {
    /// The forward, if it is one.
    pub(super) fn forward(&self) -> Option<&Forward> {
        match self {
            Self::Forward(forward) => Some(forward),
            Self::Handler(_) => None,
        }
    }

    /// Connects the target, or has the handler decide.
    pub(super) async fn open(&self, request: &StreamRequest, handlers: &Tasks) -> Result<TargetConnection, Refusal> {
        match self {
            Self::Forward(forward) => connect(forward).await.map(TargetConnection::Tcp),
            Self::Handler(handler) => call_handler(handler, request, handlers).await.map(TargetConnection::Handler),
        }
    }
}

/// All targets of a device.
#[derive(Clone, Default)]
pub struct Targets {
    named: Vec<(StreamName, TargetKind)>,
    fallback: Option<TargetKind>,
}

impl Targets {
    /// Adds a forward, replacing the target of the same name.
    pub fn forward(&mut self, forward: Forward) {
        self.put(forward.name.clone(), TargetKind::Forward(forward));
    }

    /// Adds a handler, replacing the target of the same name.
    pub fn handle<F, A>(&mut self, name: StreamName, handler: F)
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.put(name, handler_target(handler));
    }

    /// Sets the handler for streams of any other name.
    pub fn handle_fallback<F, A>(&mut self, handler: F)
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.fallback = Some(handler_target(handler));
    }

    /// Names of the targets, the default first.
    pub(super) fn names(&self) -> Vec<StreamName> {
        self.named.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The forwards, without handlers.
    pub(super) fn forwards(&self) -> impl Iterator<Item = &Forward> {
        self.named.iter().filter_map(|(_, target)| target.forward())
    }

    /// Reports whether services get this target if they name none.
    pub(super) fn is_default(&self, name: &StreamName) -> bool {
        self.named.first().is_some_and(|(first, _)| first == name)
    }

    /// Reports whether there is a handler for all other names.
    pub(super) fn has_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// Finds the target of this name, or the fallback.
    pub(super) fn find(&self, name: &StreamName) -> Option<&TargetKind> {
        let named = self.named.iter().find(|(named, _)| named == name);
        named.map(|(_, target)| target).or(self.fallback.as_ref())
    }

    fn put(&mut self, name: StreamName, target: TargetKind) {
        match self.named.iter_mut().find(|(named, _)| *named == name) {
            Some((_, former)) => *former = target,
            None => self.named.push((name, target)),
        }
    }
}

impl FromIterator<Forward> for Targets {
    fn from_iter<I: IntoIterator<Item = Forward>>(forwards: I) -> Self {
        let mut targets = Self::default();
        forwards.into_iter().for_each(|forward| targets.forward(forward));
        targets
    }
}

impl fmt::Display for Targets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.iter().map(|(name, target)| match target {
            TargetKind::Forward(forward) => forward.to_string(),
            TargetKind::Handler(_) => name.to_string(),
        });
        let fallback = self.fallback.iter().map(|_| "any other name".to_owned());
        f.write_str(&named.chain(fallback).collect::<Vec<_>>().join(", "))
    }
}

fn handler_target<F, A>(handler: F) -> TargetKind
where
    F: Fn(Incoming) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    TargetKind::Handler(Arc::new(move |incoming| Box::pin(handler(incoming))))
}

/// Runs the handler in a task of its own, for as long as its stream, and waits for its answer up to
/// [`DECISION_TIMEOUT`].
/// Dropped before that, it cancels the handler.
async fn call_handler(handler: &Handler, request: &StreamRequest, handlers: &Tasks) -> Result<StreamDriver, Refusal> {
    let rejected = |why: String| Refusal::new(RefusalKind::RejectedByDevice, why);
    let (sender, response) = oneshot::channel();
    let StreamRequest { service, source, stream_name, .. } = request.clone();
    let work = handler(Incoming { service, source, stream_name, response: sender });
    let cancelled = CancellationToken::new();
    let cancel_on_drop = cancelled.clone().drop_guard();
    handlers.spawn(async move {
        tokio::select! {
            () = cancelled.cancelled() => {}
            () = work => {}
        }
    });
    match timeout(DECISION_TIMEOUT, response).await {
        Ok(Ok(response)) => {
            cancel_on_drop.disarm();
            response
        }
        Ok(Err(_)) => Err(rejected("its handler dropped the request".into())),
        Err(_) => Err(rejected(format!("its handler took more than {} s", DECISION_TIMEOUT.as_secs()))),
    }
}

/// The target's end of a stream.
pub(super) enum TargetConnection {
    Tcp(TcpStream),
    Handler(StreamDriver),
}

impl TargetConnection {
    /// Carries the stream, sealed if there is a session. Returns the target's TCP connection, whose close (FIN or reset)
    /// must tell how the stream ended.
    pub(super) async fn carry<J: Rejoin<Connection>>(
        self,
        session: Option<SessionEnd>,
        counters: &Arc<Counters>,
        tunnel: Tunnel<Connection>,
        pump_context: PumpContext<'_, J>,
    ) -> (Outcome, Option<WebSocket<Connection>>, Option<TcpStream>) {
        match self {
            Self::Tcp(mut tcp) => {
                let local = LocalSide::new(tcp.split(), session, counters, Duration::ZERO);
                let (outcome, socket) = local.pump(tunnel, pump_context).await;
                (outcome, socket, Some(tcp))
            }
            Self::Handler(local) => {
                let (local, owner) = local.into_parts();
                let local = LocalSide::new(local, session, counters, Duration::ZERO);
                let (outcome, socket) = local.drive(owner, tunnel, pump_context).await;
                (outcome, socket, None)
            }
        }
    }
}
