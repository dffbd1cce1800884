//! The pump at both ends of a stream: a local connection on one side, the stream's WebSocket on the other.
//!
//! Three things go on side by side: `send` reads the local side as far as the peer's window allows, `receive`
//! takes whatever the WebSocket brings, at once, and `deliver` writes it to the local side. What waits between the
//! last two is never more than our own window, which the peer keeps to. Where both ends can resume, the WebSocket may be
//! another one from time to time; the local side does not notice.

mod flow;
mod leg;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::time::{sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use self::flow::Flow;
use self::leg::Parted;
use super::network_monitor::NetworkMonitor;
use super::websocket::{Transport, WebSocket};
use super::{clock, random};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{CONCURRENT_REJOINS, STANDBYS_PER_IDENTITY};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::Pass;
use crate::proto::stream::rejoin::{RejoinAction, RejoinTimer};
use crate::proto::stream::{Ending, StreamProtocol};

/// Those of this process that are on their way back to a hub.
static REJOINS: Semaphore = Semaphore::const_new(CONCURRENT_REJOINS);

/// An application answers the end of what it was told with its own within this, mostly: one message less says both. The other
/// end waits for it only to be done with the stream.
const ENDS_TOGETHER: Duration = Duration::from_millis(2);

/// Bytes so far; read by whoever shows them.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the local side into the tunnel.
    pub sent: AtomicU64,
    /// From the tunnel to the local side.
    pub received: AtomicU64,
    /// Of what was sent, the other end has passed so much on, as far as it says.
    pub passed_on: AtomicU64,
}

impl Counters {
    /// To the local side, and from it.
    pub fn received_and_sent(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// For the local socket.
    pub ending: Ending,
    /// What the hub said, if it ended the stream.
    pub refusal: Option<Refusal>,
}

impl From<Ending> for Outcome {
    fn from(ending: Ending) -> Self {
        Self { ending, refusal: None }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self { ending: Ending::Broken, refusal: Some(refusal) }
    }
}

/// How an end keeps its connections.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Whether it offers to resume streams.
    pub resume: bool,
    /// How long the hub may be silent.
    pub idle_timeout: IdleTimeout,
    /// How many connections it keeps ready, at most.
    pub standbys: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { resume: true, idle_timeout: IdleTimeout::default(), standbys: STANDBYS_PER_IDENTITY }
    }
}

impl Line {
    /// What its end can do on a stream, as both sides list it.
    pub fn protocols(&self) -> Vec<String> {
        StreamProtocol::offered(self.resume).map(|protocol| protocol.as_str().to_owned()).collect()
    }
}

/// A stream's WebSocket, and what was agreed for it.
#[derive(Debug)]
pub struct Tunnel<T> {
    /// The WebSocket.
    pub socket: WebSocket<T>,
    /// What both ends speak; nothing but bytes if nothing was agreed.
    pub protocol: Option<StreamProtocol>,
    /// What to come back with, where both ends can.
    pub pass: Option<Pass>,
    /// What of the stream is under way already.
    pub begun: Begun,
    /// Whether the WebSocket is used again after the stream.
    pub reusable: bool,
}

impl<T> Tunnel<T> {
    /// A WebSocket that was brought for one stream, of which nothing is under way.
    pub fn new(socket: WebSocket<T>, protocol: Option<StreamProtocol>, pass: Option<Pass>) -> Self {
        Self { socket, protocol, pass, begun: Begun::default(), reusable: false }
    }
}

/// The first bytes of a stream, which may be known before its WebSocket is.
#[derive(Debug, Default)]
pub struct Begun {
    /// From the local side, and yet to be sent.
    pub to_send: Bytes,
    /// From the local side, and on their way.
    pub sent: Bytes,
    /// For the local side.
    pub received: Bytes,
}

/// Comes back to a stream.
pub trait Rejoin<T>: Sync {
    /// Brings another WebSocket to where the lost one was.
    fn rejoin(&self, pass: &Pass) -> impl Future<Output = Result<Tunnel<T>, Refusal>> + Send;
}

/// What happens to a stream that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// The hub is about to end, and the stream with it: it says how long that may still take.
    Draining(Duration),
    /// Its WebSocket is lost, for this reason; both ends come back.
    Interrupted(String),
    /// They are back, after this long.
    Resumed(Duration),
}

/// What a stream goes by.
pub struct Terms<'a, J> {
    /// Counts.
    pub counters: &'a Counters,
    /// Is told what happens.
    pub tell: &'a (dyn Fn(Happening) + Sync),
    /// Comes back.
    pub rejoin: J,
    /// How long the hub may be silent.
    pub idle_timeout: IdleTimeout,
    /// Hears when the way to it has changed.
    pub vigil: NetworkMonitor,
    /// This process ends: the other end is told, and does not wait.
    pub stop: &'a CancellationToken,
}

/// Carries bytes until the stream is over. Where both ends speak `devstream.v1`, each direction ends by itself; else,
/// the first end closes both after what it sent before. The WebSocket comes back if it is to be used again.
pub async fn pump<R, W, T, J>(local: (R, W), tunnel: Tunnel<T>, terms: Terms<'_, J>) -> (Outcome, Option<WebSocket<T>>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: Transport,
    J: Rejoin<T>,
{
    let flow = Flow::new(&tunnel);
    let (mut reader, writer) = local;
    let parts = async {
        let mut legs = pin!(legs(&mut reader, tunnel, &flow, &terms));
        tokio::select! {
            outcome = &mut legs => outcome,
            // The local side has everything; what the other end must still know is said.
            () = deliver(writer, &flow, &terms.counters.received) => legs.await,
        }
    };
    flow.drive(pin!(parts)).await
}

/// One WebSocket after the other, until the stream is over.
async fn legs<R, T, J>(
    local: &mut R,
    tunnel: Tunnel<T>,
    flow: &Flow,
    terms: &Terms<'_, J>,
) -> (Outcome, Option<WebSocket<T>>)
where
    R: AsyncRead + Unpin,
    T: Transport,
    J: Rejoin<T>,
{
    let Tunnel { mut socket, mut pass, .. } = tunnel;
    let mut rejoin_timer = RejoinTimer::new(pass.as_ref().map_or(Duration::ZERO, |pass| pass.grace));
    loop {
        let (why, back) = match leg::carry(local, socket, flow, &mut rejoin_timer, terms).await {
            Parted::Over(outcome, _) => return (settled(outcome, flow), None),
            Parted::Resting(socket) => return (Ending::Clean.into(), Some(socket)),
            Parted::Lost(why, back) => (why, back),
        };
        let Some(last) = pass.filter(|_| flow.is_resumable()) else { return (Ending::Broken.into(), None) };
        if rejoin_timer.deadline().is_none() {
            (terms.tell)(Happening::Interrupted(why));
        }
        rejoin_timer.connection_lost(clock::now(), back, random::dice());
        match Box::pin(come_back(&last, &mut rejoin_timer, terms)).await {
            Ok(tunnel) => (socket, pass) = (tunnel.socket, tunnel.pass.or(Some(last))),
            Err(refusal) => return (settled(refusal.into(), flow), None),
        }
        flow.attach();
    }
}

/// The other end has come to its end with all that there was. If this one has too, only the last words were lost.
fn settled(outcome: Outcome, flow: &Flow) -> Outcome {
    match outcome.refusal {
        Some(refusal) if refusal.kind == RefusalKind::AlreadyEnded => {
            if flow.may_have_ended() {
                Ending::Clean.into()
            } else {
                Refusal::new(RefusalKind::NotResumed, refusal.message()).into()
            }
        }
        _ => outcome,
    }
}

/// Brings another WebSocket, in as many attempts as there is time for.
async fn come_back<T, J: Rejoin<T>>(
    pass: &Pass,
    rejoin_timer: &mut RejoinTimer,
    terms: &Terms<'_, J>,
) -> Result<Tunnel<T>, Refusal> {
    let mut vigil = terms.vigil.clone();
    let mut last = String::new();
    loop {
        match rejoin_timer.poll(clock::now()) {
            RejoinAction::GiveUp => return Err(Refusal::new(RefusalKind::NotResumed, last)),
            RejoinAction::WaitUntil(at) => tokio::select! {
                () = sleep_until(at.into()) => {}
                () = vigil.changed() => rejoin_timer.retry_now(clock::now()),
                () = terms.stop.cancelled() => return Err(RefusalKind::LocalShutdown.into()),
            },
            RejoinAction::Attempt => {
                let until = rejoin_timer.deadline().unwrap_or_else(clock::now);
                let tried = tokio::select! {
                    tried = timeout_at(until.into(), attempt(pass, terms)) => tried,
                    // What is under way goes the old way.
                    () = vigil.changed() => continue,
                    () = terms.stop.cancelled() => return Err(RefusalKind::LocalShutdown.into()),
                };
                let Ok(tried) = tried else { continue };
                match tried {
                    Ok(tunnel) => {
                        if let Some(pass) = &tunnel.pass {
                            rejoin_timer.set_grace(pass.grace);
                        }
                        return Ok(tunnel);
                    }
                    Err(refusal) if is_final(refusal.kind) => return Err(finally(refusal)),
                    Err(refusal) => {
                        last = refusal.message();
                        rejoin_timer.connection_lost(clock::now(), Duration::ZERO, random::dice());
                    }
                }
            }
        }
    }
}

async fn attempt<T, J: Rejoin<T>>(pass: &Pass, terms: &Terms<'_, J>) -> Result<Tunnel<T>, Refusal> {
    let _one_of_many = REJOINS.acquire().await.map_err(|_| Refusal::from(RefusalKind::PeerGone))?;
    terms.rejoin.rejoin(pass).await
}

/// Whether coming again would be answered the same.
fn is_final(kind: RefusalKind) -> bool {
    matches!(
        kind,
        RefusalKind::AuthenticationFailed
            | RefusalKind::NotResumed
            | RefusalKind::Disabled
            | RefusalKind::AccessEnded
            | RefusalKind::NotPermitted
            | RefusalKind::KeyReplaced
            | RefusalKind::StreamKilled
            | RefusalKind::UnknownDevice
            | RefusalKind::IncompatibleVersion
            | RefusalKind::AlreadyEnded
            | RefusalKind::PeerGone
            | RefusalKind::BadRequest
    )
}

/// The hub says no more than this to whoever shows a token that is not good.
fn finally(refusal: Refusal) -> Refusal {
    if refusal.kind == RefusalKind::AuthenticationFailed {
        let why = "the hub knows it no more: it was ended, its other end is gone, or this identity was revoked";
        return Refusal::new(RefusalKind::NotResumed, why);
    }
    refusal
}

/// The queue to the local side, until the peer's direction is over and written. A local side that fails is the end of
/// the stream, which is not decided here.
async fn deliver<W: AsyncWrite + Unpin>(mut local: W, flow: &Flow, received: &AtomicU64) {
    while let Some(bytes) = flow.pop_local().await {
        if local.write_all(&bytes).await.is_err() || local.flush().await.is_err() {
            flow.reset_by_local();
            return std::future::pending().await;
        }
        received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        flow.written(bytes.len());
    }
    // A local side that is already gone shows when the other direction meets it.
    let _ = local.shutdown().await;
    flow.passed_on_end();
    let _ = timeout(ENDS_TOGETHER, flow.local_end()).await;
    flow.end_written();
}
