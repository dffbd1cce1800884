//! The pump at both ends of a stream: a local connection on one side, the stream's WebSocket on the other.
//!
//! Three things go on side by side: `send` reads the local side as far as the peer's window allows, `receive`
//! takes whatever the WebSocket brings, at once, and `deliver` writes it to the local side. What waits between the
//! last two is never more than our own window, which the peer keeps to. Where both ends can resume, the WebSocket may be
//! another one from time to time; the local side does not notice.

mod leg;
mod state;
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

use self::leg::LegEnd;
use self::state::PumpState;
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::websocket::{Transport, WebSocket};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{CONCURRENT_REJOINS, STANDBYS_PER_IDENTITY};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeCredential;
use crate::proto::stream::rejoin::{RejoinAction, RejoinTimer};
use crate::proto::stream::{Ending, StreamProtocol};

/// Those of this process that are on their way back to a hub.
static REJOIN_PERMITS: Semaphore = Semaphore::const_new(CONCURRENT_REJOINS);

/// An application answers the end of what it was told with its own within this, mostly: one message less says both. The other
/// end waits for it only to be done with the stream.
const END_COALESCE_DELAY: Duration = Duration::from_millis(2);

/// Bytes so far; read by whoever shows them.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the local side into the tunnel.
    pub sent: AtomicU64,
    /// From the tunnel to the local side.
    pub received: AtomicU64,
    /// Of what was sent, the other end has passed so much on, as far as it says.
    pub delivered: AtomicU64,
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
pub struct TransportOptions {
    /// Whether it offers to resume streams.
    pub resume: bool,
    /// How long the hub may be silent.
    pub idle_timeout: IdleTimeout,
    /// How many connections it keeps ready, at most.
    pub standbys: usize,
}

impl Default for TransportOptions {
    fn default() -> Self {
        Self { resume: true, idle_timeout: IdleTimeout::default(), standbys: STANDBYS_PER_IDENTITY }
    }
}

impl TransportOptions {
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
    pub resume_credential: Option<ResumeCredential>,
    /// What of the stream is under way already.
    pub early: EarlyData,
    /// Whether the WebSocket is used again after the stream.
    pub reusable: bool,
}

impl<T> Tunnel<T> {
    /// A WebSocket that was brought for one stream, of which nothing is under way.
    pub fn new(
        socket: WebSocket<T>,
        protocol: Option<StreamProtocol>,
        resume_credential: Option<ResumeCredential>,
    ) -> Self {
        Self { socket, protocol, resume_credential, early: EarlyData::default(), reusable: false }
    }
}

/// The first bytes of a stream, which may be known before its WebSocket is.
#[derive(Debug, Default)]
pub struct EarlyData {
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
    fn rejoin(&self, resume_credential: &ResumeCredential) -> impl Future<Output = Result<Tunnel<T>, Refusal>> + Send;
}

/// What happens to a stream that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// The hub is about to end, and the stream with it: it says how long that may still take.
    Draining(Duration),
    /// Its WebSocket is lost, for this reason; both ends come back.
    Interrupted(String),
    /// They are back, after this long.
    Resumed(Duration),
}

/// What a stream goes by.
pub struct PumpContext<'a, J> {
    /// Counts.
    pub counters: &'a Counters,
    /// Is told what happens.
    pub on_event: &'a (dyn Fn(StreamEvent) + Sync),
    /// Comes back.
    pub rejoin: J,
    /// How long the hub may be silent.
    pub idle_timeout: IdleTimeout,
    /// Hears when the way to it has changed.
    pub network: NetworkMonitor,
    /// This process ends: the other end is told, and does not wait.
    pub stop: &'a CancellationToken,
}

/// Carries bytes until the stream is over. Where both ends speak `devstream.v1`, each direction ends by itself; else,
/// the first end closes both after what it sent before. The WebSocket comes back if it is to be used again.
pub async fn pump<R, W, T, J>(
    local: (R, W),
    tunnel: Tunnel<T>,
    context: PumpContext<'_, J>,
) -> (Outcome, Option<WebSocket<T>>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: Transport,
    J: Rejoin<T>,
{
    let state = PumpState::new(&tunnel);
    let (mut reader, writer) = local;
    let parts = async {
        let mut legs = pin!(run_legs(&mut reader, tunnel, &state, &context));
        tokio::select! {
            outcome = &mut legs => outcome,
            // The local side has everything; what the other end must still know is said.
            () = deliver(writer, &state, &context.counters.received) => legs.await,
        }
    };
    state.drive(pin!(parts)).await
}

/// One WebSocket after the other, until the stream is over.
async fn run_legs<R, T, J>(
    local: &mut R,
    tunnel: Tunnel<T>,
    state: &PumpState,
    context: &PumpContext<'_, J>,
) -> (Outcome, Option<WebSocket<T>>)
where
    R: AsyncRead + Unpin,
    T: Transport,
    J: Rejoin<T>,
{
    let Tunnel { mut socket, mut resume_credential, .. } = tunnel;
    let mut rejoin_timer = RejoinTimer::new(
        resume_credential.as_ref().map_or(Duration::ZERO, |resume_credential| resume_credential.grace),
    );
    loop {
        let (why, reconnect_delay) = match leg::run_leg(local, socket, state, &mut rejoin_timer, context).await {
            LegEnd::Ended(outcome, _) => return (resolve_outcome(outcome, state), None),
            LegEnd::Reusable(socket) => return (Ending::Clean.into(), Some(socket)),
            LegEnd::Lost(why, reconnect_delay) => (why, reconnect_delay),
        };
        let Some(last) = resume_credential.filter(|_| state.is_resumable()) else {
            return (Ending::Broken.into(), None);
        };
        if rejoin_timer.deadline().is_none() {
            (context.on_event)(StreamEvent::Interrupted(why));
        }
        rejoin_timer.on_connection_lost(clock::now(), reconnect_delay, random::u64());
        match Box::pin(rejoin_stream(&last, &mut rejoin_timer, context)).await {
            Ok(tunnel) => (socket, resume_credential) = (tunnel.socket, tunnel.resume_credential.or(Some(last))),
            Err(refusal) => return (resolve_outcome(refusal.into(), state), None),
        }
        state.attach();
    }
}

/// The other end has come to its end with all that there was. If this one has too, only the last words were lost.
fn resolve_outcome(outcome: Outcome, state: &PumpState) -> Outcome {
    match outcome.refusal {
        Some(refusal) if refusal.kind == RefusalKind::AlreadyEnded => {
            if state.may_have_ended() {
                Ending::Clean.into()
            } else {
                Refusal::new(RefusalKind::NotResumed, refusal.message()).into()
            }
        }
        _ => outcome,
    }
}

/// Brings another WebSocket, in as many attempts as there is time for.
async fn rejoin_stream<T, J: Rejoin<T>>(
    resume_credential: &ResumeCredential,
    rejoin_timer: &mut RejoinTimer,
    context: &PumpContext<'_, J>,
) -> Result<Tunnel<T>, Refusal> {
    let mut network = context.network.clone();
    let mut last = String::new();
    loop {
        match rejoin_timer.poll(clock::now()) {
            RejoinAction::GiveUp => return Err(Refusal::new(RefusalKind::NotResumed, last)),
            RejoinAction::WaitUntil(at) => tokio::select! {
                () = sleep_until(at.into()) => {}
                () = network.changed() => rejoin_timer.retry_now(clock::now()),
                () = context.stop.cancelled() => return Err(RefusalKind::LocalShutdown.into()),
            },
            RejoinAction::Attempt => {
                let until = rejoin_timer.deadline().unwrap_or_else(clock::now);
                let tried = tokio::select! {
                    tried = timeout_at(until.into(), attempt(resume_credential, context)) => tried,
                    // What is under way goes the old way.
                    () = network.changed() => continue,
                    () = context.stop.cancelled() => return Err(RefusalKind::LocalShutdown.into()),
                };
                let Ok(tried) = tried else { continue };
                match tried {
                    Ok(tunnel) => {
                        if let Some(resume_credential) = &tunnel.resume_credential {
                            rejoin_timer.set_grace(resume_credential.grace);
                        }
                        return Ok(tunnel);
                    }
                    Err(refusal) if is_final(refusal.kind) => return Err(final_refusal(refusal)),
                    Err(refusal) => {
                        last = refusal.message();
                        rejoin_timer.on_connection_lost(clock::now(), Duration::ZERO, random::u64());
                    }
                }
            }
        }
    }
}

async fn attempt<T, J: Rejoin<T>>(
    resume_credential: &ResumeCredential,
    context: &PumpContext<'_, J>,
) -> Result<Tunnel<T>, Refusal> {
    let _one_of_many = REJOIN_PERMITS.acquire().await.map_err(|_| Refusal::from(RefusalKind::PeerGone))?;
    context.rejoin.rejoin(resume_credential).await
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
fn final_refusal(refusal: Refusal) -> Refusal {
    if refusal.kind == RefusalKind::AuthenticationFailed {
        let why = "the hub knows it no more: it was ended, its other end is gone, or this identity was revoked";
        return Refusal::new(RefusalKind::NotResumed, why);
    }
    refusal
}

/// The queue to the local side, until the peer's direction is over and written. A local side that fails is the end of
/// the stream, which is not decided here.
async fn deliver<W: AsyncWrite + Unpin>(mut local: W, state: &PumpState, received: &AtomicU64) {
    while let Some(bytes) = state.pop_local().await {
        if local.write_all(&bytes).await.is_err() || local.flush().await.is_err() {
            state.mark_local_reset();
            return std::future::pending().await;
        }
        received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        state.written(bytes.len());
    }
    // A local side that is already gone shows when the other direction meets it.
    let _ = local.shutdown().await;
    state.mark_end_delivered();
    let _ = timeout(END_COALESCE_DELAY, state.local_finished()).await;
    state.end_written();
}
