//! The pump at each end of a stream: a local connection on one side, the stream's WebSocket on the other.
//!
//! Three loops run concurrently: `send` reads the local side as far as the peer's window allows, `receive` reads the
//! WebSocket without delay, and `deliver` writes to the local side. The queue between the last two never exceeds our
//! own window, which the peer keeps to. Where both ends can resume, a lost WebSocket is replaced, and the local side
//! does not notice.

mod connection;
mod rejoin;
mod state;
#[cfg(test)]
mod tests;
mod tunnel;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use self::connection::ConnectionEnd;
pub use self::rejoin::Rejoin;
pub(in crate::net) use self::rejoin::ends_stream;
use self::rejoin::rejoin_stream;
use self::state::PumpState;
pub use self::tunnel::{EarlyData, TransportOptions, Tunnel};
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::runtime::ClientRuntime;
use crate::net::shutdown::StreamStop;
use crate::net::websocket::{Transport, WebSocket};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;
use crate::proto::stream::rejoin::RejoinTimer;

/// The delay before the end of the peer's direction is acknowledged alone. Most applications end their own direction
/// within it, and one message then carries both.
const END_COALESCE_DELAY: Duration = Duration::from_millis(2);

/// The bytes that a stream has carried so far.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the local side into the tunnel.
    pub sent: AtomicU64,
    /// From the tunnel to the local side.
    pub received: AtomicU64,
    /// The part of `sent` that the peer has acknowledged as delivered to its local side.
    pub delivered: AtomicU64,
}

impl Counters {
    /// The bytes to the local side, and those from it.
    pub fn received_and_sent(&self) -> (u64, u64) {
        (self.received.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed))
    }

    /// The bytes both ways.
    pub fn total(&self) -> u64 {
        let (received, sent) = self.received_and_sent();
        received + sent
    }
}

/// The result of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The way to close the local connection.
    pub ending: Ending,
    /// The hub's refusal, if it ended the stream.
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

/// An event in the life of an open stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer is authorised end to end; never of a plain stream.
    SessionOpened,
    /// The hub is shutting down and will end the stream after this time.
    Draining(Duration),
    /// The WebSocket was lost, for this reason; both ends are rejoining.
    Interrupted(String),
    /// The stream continues, after an interruption of this length.
    Resumed(Duration),
}

/// The settings and callbacks of one stream.
pub struct PumpContext<'a, J> {
    /// The stream's byte counters.
    pub counters: &'a Counters,
    /// The callback for events.
    pub on_event: &'a (dyn Fn(StreamEvent) + Sync),
    /// Opens the next WebSocket after one was lost.
    pub rejoin: J,
    /// The state that all streams of the client share.
    pub runtime: &'a ClientRuntime,
    /// The longest silence of the hub before the WebSocket is given up.
    pub idle_timeout: IdleTimeout,
    /// Reports changes of this machine's network.
    pub network: NetworkMonitor,
    /// Ends the stream because this process is shutting down; the peer gets a refusal, and does not wait for a rejoin.
    pub stop: &'a StreamStop,
}

/// Carries bytes until the stream is over. With `devstream.v1` each direction ends by itself; without it, the first end
/// of a direction closes both once its bytes are delivered. Returns the WebSocket if it is reusable.
pub async fn pump<R, W, T, J>(
    local: (R, W),
    mut tunnel: Tunnel<T>,
    context: PumpContext<'_, J>,
) -> (Outcome, Option<WebSocket<T>>)
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: Transport,
    J: Rejoin<T>,
{
    let state = PumpState::new(&mut tunnel, context.runtime.stream_memory());
    let (mut reader, writer) = local;
    let parts = async {
        let mut connections = pin!(run_connections(&mut reader, tunnel, &state, &context));
        let mut delivery = pin!(deliver(writer, &state, &context.counters.received));
        tokio::select! {
            outcome = &mut connections => {
                // What came together with the end may say why: the alert of a session.
                let _ = delivery.as_mut().now_or_never();
                outcome
            }
            // Everything is delivered; the peer may still need acknowledgements.
            () = &mut delivery => connections.await,
        }
    };
    state.drive(pin!(parts)).await
}

/// Runs one WebSocket after the other, until the stream is over.
async fn run_connections<R, T, J>(
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
        let end = match socket {
            Some(socket) => connection::run_connection(local, socket, state, &mut rejoin_timer, context).await,
            None => ConnectionEnd::Lost("the connection was lost while it was opened".into(), Duration::ZERO),
        };
        let (why, reconnect_delay) = match end {
            ConnectionEnd::Ended(outcome, _) => return (resolve_outcome(outcome, state), None),
            ConnectionEnd::Reusable(socket) => return (Ending::Clean.into(), Some(socket)),
            ConnectionEnd::Lost(why, reconnect_delay) => (why, reconnect_delay),
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

/// Resolves `AlreadyEnded`: the peer has ended the stream with all its bytes. If this end may have too, only the last
/// control messages were lost, and the stream ended cleanly.
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

/// Writes the queue to the local side, until the peer's direction is over and written. After a write error it marks the
/// local side as reset, which ends the stream elsewhere, and pends.
async fn deliver<W: AsyncWrite + Unpin>(mut local: W, state: &PumpState, received: &AtomicU64) {
    while let Some(bytes) = state.pop_local().await {
        if local.write_all(&bytes).await.is_err() || local.flush().await.is_err() {
            state.mark_local_reset();
            return std::future::pending().await;
        }
        received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        state.written(bytes.len());
    }
    // If the local side is gone already, the other direction reports it. A sealed one finds out here that it was cut off.
    if local.shutdown().await.is_err_and(|error| error.kind() == io::ErrorKind::UnexpectedEof) {
        state.mark_local_reset();
        return std::future::pending().await;
    }
    state.mark_end_delivered();
    let _ = timeout(END_COALESCE_DELAY, state.local_finished()).await;
    state.end_written();
}
