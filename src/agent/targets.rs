//! What a device offers under which name: a target, or a program's own handler.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::target;
use crate::net::client::Connection;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::{Outcome, PumpContext, Rejoin, Tunnel, pump};
use crate::net::tunnel::stream::{Stream, StreamDriver, pair};
use crate::net::websocket::WebSocket;
use crate::proto::forward::Forward;
use crate::proto::id::{ServiceName, StreamName};
use crate::proto::limits::DECISION_TIMEOUT;
use crate::proto::message::StreamRequest;
use crate::proto::refusal::{Refusal, RefusalKind};

/// A stream that a service asks this device for, and that [`accept`](Self::accept) or [`reject`](Self::reject) answers.
/// Dropped, it is rejected.
#[derive(Debug)]
pub struct Incoming {
    service: ServiceName,
    source: SocketAddr,
    stream_name: StreamName,
    response: oneshot::Sender<Result<StreamDriver, Refusal>>,
}

impl Incoming {
    /// Who asks, as the hub has made sure.
    pub fn service(&self) -> &ServiceName {
        &self.service
    }

    /// Where they ask from, as the hub sees it.
    pub fn source(&self) -> SocketAddr {
        self.source
    }

    /// What they ask for.
    pub fn stream_name(&self) -> &StreamName {
        &self.stream_name
    }

    /// Says yes. The stream can be written to at once; if the service has gone meanwhile, it is a broken one.
    pub fn accept(self) -> Stream {
        let (stream, local) = pair();
        // A request that was withdrawn takes the stream with it.
        let _ = self.response.send(Ok(local));
        stream
    }

    /// Says no. The service is told why: `Refusal::new(RefusalKind::RejectedByDevice, "closed for repairs")`, or one of the kinds
    /// that are about a target; any other kind is passed on as the first.
    pub fn reject(self, why: impl Into<Refusal>) {
        let _ = self.response.send(Err(why.into()));
    }
}

/// Answers requests for streams, and has what it accepts.
type Handler = Arc<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What becomes of the streams of one name.
#[derive(Clone)]
pub(super) enum TargetKind {
    Forward(Forward),
    Handler(Handler),
}

impl TargetKind {
    /// This end of a stream, if it can be had and is wanted.
    pub(super) async fn open(&self, request: &StreamRequest, handlers: &Tasks) -> Result<TargetConnection, Refusal> {
        match self {
            Self::Forward(forward) => target::connect(forward).await.map(TargetConnection::Tcp),
            Self::Handler(handler) => call_handler(handler, request, handlers).await.map(TargetConnection::Handler),
        }
    }
}

/// All that a device offers.
#[derive(Clone, Default)]
pub struct Targets {
    named: Vec<(StreamName, TargetKind)>,
    fallback: Option<TargetKind>,
}

impl Targets {
    /// A target under its name. What was offered under that name before is not any more.
    pub fn forward(&mut self, forward: Forward) {
        self.put(forward.name.clone(), TargetKind::Forward(forward));
    }

    /// A handler for streams of this name, in the same way.
    pub fn handle<F, A>(&mut self, name: StreamName, handler: F)
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.put(name, handler_target(handler));
    }

    /// A handler for streams of any other name.
    pub fn handle_fallback<F, A>(&mut self, handler: F)
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.fallback = Some(handler_target(handler));
    }

    /// The names, the default one first.
    pub(super) fn names(&self) -> Vec<StreamName> {
        self.named.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Whether there is a handler for all other names.
    pub(super) fn has_fallback(&self) -> bool {
        self.fallback.is_some()
    }

    /// What there is under this name.
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

/// A handler has a task of its own, since it goes on for as long as its stream. Until it has answered, it is wanted for no
/// longer than the request.
async fn call_handler(handler: &Handler, request: &StreamRequest, handlers: &Tasks) -> Result<StreamDriver, Refusal> {
    let rejected = |why: String| Refusal::new(RefusalKind::RejectedByDevice, why);
    let (sender, response) = oneshot::channel();
    let StreamRequest { service, source, stream_name, .. } = request.clone();
    let work = handler(Incoming { service, source, stream_name, response: sender });
    let withdrawn = CancellationToken::new();
    let cancel_on_drop = withdrawn.clone().drop_guard();
    handlers.spawn(async move {
        tokio::select! {
            () = withdrawn.cancelled() => {}
            () = work => {}
        }
    });
    match timeout(DECISION_TIMEOUT, response).await {
        Ok(Ok(response)) => {
            cancel_on_drop.disarm();
            response
        }
        Ok(Err(_)) => Err(rejected("its handler gave no answer".into())),
        Err(_) => Err(rejected(format!("its handler took more than {} s", DECISION_TIMEOUT.as_secs()))),
    }
}

/// This device's end of a stream.
pub(super) enum TargetConnection {
    Tcp(TcpStream),
    Handler(StreamDriver),
}

impl TargetConnection {
    /// Carries the stream. A target's connection comes back, since how it is closed is to say how the stream ended.
    pub(super) async fn carry<J: Rejoin<Connection>>(
        self,
        tunnel: Tunnel<Connection>,
        pump_context: PumpContext<'_, J>,
    ) -> (Outcome, Option<WebSocket<Connection>>, Option<TcpStream>) {
        match self {
            Self::Tcp(mut tcp) => {
                let (outcome, socket) = pump(tcp.split(), tunnel, pump_context).await;
                (outcome, socket, Some(tcp))
            }
            Self::Handler(local) => {
                let (outcome, socket) = Box::pin(local.drive(tunnel, pump_context)).await;
                (outcome, socket, None)
            }
        }
    }
}
