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
use crate::net::pump::{Outcome, Rejoin, Terms, Tunnel, pump};
use crate::net::stream::{Local, Stream, pair};
use crate::net::tasks::Tasks;
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
    answer: oneshot::Sender<Result<Local, Refusal>>,
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
        let _ = self.answer.send(Ok(local));
        stream
    }

    /// Says no. The service is told why: `Refusal::new(RefusalKind::RejectedByDevice, "closed for repairs")`, or one of the kinds
    /// that are about a target; any other kind is passed on as the first.
    pub fn reject(self, why: impl Into<Refusal>) {
        let _ = self.answer.send(Err(why.into()));
    }
}

/// Answers requests for streams, and has what it accepts.
type Handler = Arc<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// What becomes of the streams of one name.
#[derive(Clone)]
pub(super) enum Offer {
    Target(Forward),
    Program(Handler),
}

impl Offer {
    /// This end of a stream, if it can be had and is wanted.
    pub(super) async fn open(&self, request: &StreamRequest, handlers: &Tasks) -> Result<Target, Refusal> {
        match self {
            Self::Target(forward) => target::connect(forward).await.map(Target::Tcp),
            Self::Program(handler) => ask(handler, request, handlers).await.map(Target::Program),
        }
    }
}

/// All that a device offers.
#[derive(Clone, Default)]
pub struct Offers {
    named: Vec<(StreamName, Offer)>,
    others: Option<Offer>,
}

impl Offers {
    /// A target under its name. What was offered under that name before is not any more.
    pub fn forward(&mut self, forward: Forward) {
        self.put(forward.name.clone(), Offer::Target(forward));
    }

    /// A handler for streams of this name, in the same way.
    pub fn handle<F, A>(&mut self, name: StreamName, handler: F)
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.put(name, program(handler));
    }

    /// A handler for streams of any other name.
    pub fn handle_others<F, A>(&mut self, handler: F)
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.others = Some(program(handler));
    }

    /// The names, the default one first.
    pub(super) fn names(&self) -> Vec<StreamName> {
        self.named.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Whether there is a handler for all other names.
    pub(super) fn has_others(&self) -> bool {
        self.others.is_some()
    }

    /// What there is under this name.
    pub(super) fn find(&self, name: &StreamName) -> Option<&Offer> {
        let named = self.named.iter().find(|(named, _)| named == name);
        named.map(|(_, offer)| offer).or(self.others.as_ref())
    }

    fn put(&mut self, name: StreamName, offer: Offer) {
        match self.named.iter_mut().find(|(named, _)| *named == name) {
            Some((_, former)) => *former = offer,
            None => self.named.push((name, offer)),
        }
    }
}

impl FromIterator<Forward> for Offers {
    fn from_iter<I: IntoIterator<Item = Forward>>(forwards: I) -> Self {
        let mut offers = Self::default();
        forwards.into_iter().for_each(|forward| offers.forward(forward));
        offers
    }
}

impl fmt::Display for Offers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.iter().map(|(name, offer)| match offer {
            Offer::Target(forward) => forward.to_string(),
            Offer::Program(_) => name.to_string(),
        });
        let others = self.others.iter().map(|_| "any other name".to_owned());
        f.write_str(&named.chain(others).collect::<Vec<_>>().join(", "))
    }
}

fn program<F, A>(handler: F) -> Offer
where
    F: Fn(Incoming) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    Offer::Program(Arc::new(move |incoming| Box::pin(handler(incoming))))
}

/// A handler has a task of its own, since it goes on for as long as its stream. Until it has answered, it is wanted for no
/// longer than the request.
async fn ask(handler: &Handler, request: &StreamRequest, handlers: &Tasks) -> Result<Local, Refusal> {
    let no = |why: String| Refusal::new(RefusalKind::RejectedByDevice, why);
    let (sender, answer) = oneshot::channel();
    let StreamRequest { service, source, stream_name, .. } = request.clone();
    let work = handler(Incoming { service, source, stream_name, answer: sender });
    let withdrawn = CancellationToken::new();
    let wanted = withdrawn.clone().drop_guard();
    handlers.spawn(async move {
        tokio::select! {
            () = withdrawn.cancelled() => {}
            () = work => {}
        }
    });
    match timeout(DECISION_TIMEOUT, answer).await {
        Ok(Ok(answer)) => {
            wanted.disarm();
            answer
        }
        Ok(Err(_)) => Err(no("its handler gave no answer".into())),
        Err(_) => Err(no(format!("its handler took more than {} s", DECISION_TIMEOUT.as_secs()))),
    }
}

/// This device's end of a stream.
pub(super) enum Target {
    Tcp(TcpStream),
    Program(Local),
}

impl Target {
    /// Carries the stream. A target's connection comes back, since how it is closed is to say how the stream ended.
    pub(super) async fn carry<J: Rejoin<Connection>>(
        self,
        tunnel: Tunnel<Connection>,
        terms: Terms<'_, J>,
    ) -> (Outcome, Option<WebSocket<Connection>>, Option<TcpStream>) {
        match self {
            Self::Tcp(mut tcp) => {
                let (outcome, socket) = pump(tcp.split(), tunnel, terms).await;
                (outcome, socket, Some(tcp))
            }
            Self::Program(local) => {
                let (outcome, socket) = Box::pin(local.carry(tunnel, terms)).await;
                (outcome, socket, None)
            }
        }
    }
}
