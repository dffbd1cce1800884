//! One WebSocket of a stream, from its first message until it or the stream is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{sleep, sleep_until, timeout};

use super::state::PumpState;
use super::{Ending, Outcome, PumpContext, StreamEvent};
use crate::net::liveness::Liveness;
use crate::net::os::clock;
use crate::net::os::random;
use crate::net::tunnel::relay::keepalive::wait_until_dead;
use crate::net::websocket::{Broken, CLOSE_NORMAL, CLOSE_POLICY, Incoming, Reader, Transport, WebSocket, Writer};
use crate::proto::keepalive::{Keepalive, KeepaliveAction};
use crate::proto::limits::{BACKOFF_CAP, CLOSE_TIMEOUT, FULL_MESSAGE_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::endpoint::{CloseMeaning, NextSend};
use crate::proto::stream::rejoin::RejoinTimer;
use crate::proto::stream::{CLOSE_RESET, RELEASE_MESSAGE, StreamControl, Violation};
use crate::proto::websocket::Endpoint;

/// A peer that does not take our bytes may have said why: it is read for so long. The network that swallowed them says
/// nothing, and another way may be open.
const FINAL_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Room for the next read of the local side, at least. What is left of a block of memory takes further small reads, since
/// all that are kept until they are acknowledged hold on to theirs.
const MIN_READ_BLOCK: usize = 4 * 1024;

/// A peer is not pinged again sooner, however busy the way to it is.
const MIN_PING_INTERVAL: Duration = Duration::from_secs(1);

/// How a WebSocket of a stream came to its end.
pub(super) enum LegEnd<T> {
    /// With the stream, and it is used again.
    Reusable(WebSocket<T>),
    /// With the stream, and what the peer is to be told.
    Ended(Outcome, Option<(u16, String)>),
    /// Without: for this reason, and another one may come after this time.
    Lost(String, Duration),
}

impl<T> LegEnd<T> {
    fn ended(ending: Ending, code: u16, reason: &str) -> Self {
        Self::Ended(ending.into(), Some((code, reason.into())))
    }

    /// The stream is over, and this is why.
    fn refused(kind: RefusalKind) -> Self {
        let refusal = Refusal::from(kind);
        let close = (kind.row().close, refusal.close_reason());
        Self::Ended(Outcome { ending: Ending::Broken, refusal: Some(refusal) }, Some(close))
    }
}

impl<T> From<Violation> for LegEnd<T> {
    fn from(violation: Violation) -> Self {
        Self::ended(Ending::Broken, CLOSE_POLICY, &violation.to_string())
    }
}

impl<T> From<Broken> for LegEnd<T> {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Violation(code, reason) => Self::ended(Ending::Broken, code, &reason),
            Broken::Truncated | Broken::Silent | Broken::Io(_) => Self::Lost(broken.to_string(), Duration::ZERO),
        }
    }
}

/// Carries bytes both ways over one WebSocket, and says goodbye on it.
pub(super) async fn run_leg<R: AsyncRead + Unpin, T: Transport, J>(
    local: &mut R,
    mut socket: WebSocket<T>,
    state: &PumpState,
    rejoin_timer: &mut RejoinTimer,
    context: &PumpContext<'_, J>,
) -> LegEnd<T> {
    let resume_deadline = rejoin_timer.deadline();
    let liveness = socket.liveness.clone();
    let leg_end = tokio::select! {
        leg_end = send(local, &mut socket.writer, state, context) => leg_end,
        leg_end = receive(&mut socket.reader, state, rejoin_timer, context) => leg_end,
        () = state.finished() => LegEnd::ended(Ending::Clean, CLOSE_NORMAL, ""),
        () = state.wait_local_reset() => {
            LegEnd::ended(Ending::LocalReset, CLOSE_RESET, "the application reset its connection")
        }
        () = watch_idle(&liveness, state, context) => Broken::Silent.into(),
        () = resume_timeout(state, resume_deadline) => LegEnd::refused(RefusalKind::NotResumed),
        () = context.stop.cancelled() => LegEnd::refused(RefusalKind::PeerGone),
    };
    match &leg_end {
        // It was lost after the end, before anybody had said goodbye.
        LegEnd::Lost(..) if state.is_finished() => return LegEnd::Ended(Ending::Clean.into(), None),
        LegEnd::Ended(Outcome { ending: Ending::Clean, .. }, _) if state.is_reusable() => {
            return release(socket, state).await.map_or(leg_end, LegEnd::Reusable);
        }
        // The close waits its turn behind what was sent before it, for as long as the peer takes to read that.
        LegEnd::Ended(_, Some((CLOSE_NORMAL, reason))) => tokio::select! {
            () = socket.close(CLOSE_NORMAL, reason) => {}
            () = wait_until_dead(&liveness, state.has_half_close().then_some(context.idle_timeout)) => {}
        },
        LegEnd::Ended(_, Some((code, reason))) => socket.close_soon(*code, reason).await,
        LegEnd::Ended(_, None) => socket.await_close().await,
        LegEnd::Lost(..) | LegEnd::Reusable(_) => {}
    }
    leg_end
}

/// Says that this end is done, and waits until the other one has said so too: nothing of the stream is under way then.
async fn release<T: Transport>(mut socket: WebSocket<T>, state: &PumpState) -> Option<WebSocket<T>> {
    let both = async {
        if state.take_release() {
            socket.writer.text(StreamControl::Release.encode()).await?;
        }
        while !state.has_peer_released() {
            match socket.reader.next().await? {
                Incoming::Text(text) if text == RELEASE_MESSAGE => break,
                // The hub may be about to end; what is merely late is of no interest.
                Incoming::Text(_) | Incoming::Ping | Incoming::Pong => {}
                Incoming::Bytes(_) | Incoming::Closed(_) => return Err(Broken::Truncated),
            }
        }
        Ok::<_, Broken>(())
    };
    let reusable = matches!(timeout(CLOSE_TIMEOUT, both).await, Ok(Ok(())));
    reusable.then_some(socket)
}

/// Local to tunnel, and what the peer must know of the other direction.
async fn send<R: AsyncRead + Unpin, T: Transport, J>(
    local: &mut R,
    writer: &mut Writer<T>,
    state: &PumpState,
    context: &PumpContext<'_, J>,
) -> LegEnd<T> {
    let (mut buffer, mut block) = (BytesMut::new(), MIN_READ_BLOCK);
    loop {
        if let Err(broken) = send_pending(writer, state, &context.counters.sent).await {
            // The other direction reads why, if the hub said why.
            sleep(if state.is_resumable() { FINAL_READ_TIMEOUT } else { CLOSE_TIMEOUT }).await;
            return broken.into();
        }
        let room = state.capacity();
        if room > 0 && !(block..=8 * block).contains(&buffer.capacity()) {
            buffer = state.block(block);
        }
        let mut source = (&mut *local).take(room);
        tokio::select! {
            biased;
            () = state.sender_woken() => {}
            read = source.read_buf(&mut buffer), if room > 0 => match read {
                // A reset is told once, and the writer has heard of it: to the reader it then looks like an end.
                Ok(0) if state.is_local_reset() => return std::future::pending().await,
                Ok(read) => {
                    state.push_local(buffer.split().freeze());
                    // There may be more where much came from.
                    block = (2 * read).clamp(MIN_READ_BLOCK, FULL_MESSAGE_BYTES);
                }
                Err(_) => {
                    state.mark_local_reset();
                    return std::future::pending().await;
                }
            },
        }
    }
}

/// All that is due, in as few calls as may be.
async fn send_pending<T: Transport>(writer: &mut Writer<T>, state: &PumpState, sent: &AtomicU64) -> Result<(), Broken> {
    let mut sent_any = false;
    while let Some(next) = state.next_send() {
        match next {
            NextSend::Text(control) => writer.hold_text(control.encode()).await?,
            NextSend::Bytes(bytes) => writer.bytes(bytes).await?,
            NextSend::Ping => writer.hold_ping().await?,
            NextSend::Close => writer.close(CLOSE_NORMAL, "").await?,
        }
        sent_any = true;
        sent.store(state.bytes_sent(), Ordering::Relaxed);
    }
    if sent_any {
        writer.flush().await?;
        state.flushed();
    }
    Ok(())
}

/// Tunnel to the queue for the local side. It ends with the WebSocket.
async fn receive<T: Transport, J>(
    reader: &mut Reader<T>,
    state: &PumpState,
    rejoin_timer: &mut RejoinTimer,
    context: &PumpContext<'_, J>,
) -> LegEnd<T> {
    let mut reconnect_delay = Duration::ZERO;
    loop {
        state.wait_for_legacy_room().await;
        let received = tokio::select! {
            biased;
            // What follows is the next stream's.
            () = state.both_released() => return std::future::pending().await,
            received = reader.next() => received,
        };
        let received = match received {
            Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => Ok(()),
            Ok(Incoming::Bytes(bytes)) => state.received(&bytes),
            Ok(Incoming::Text(text)) if state.has_half_close() => match StreamControl::decode(&text) {
                Ok(StreamControl::End { bytes }) => state.ended(bytes),
                Ok(StreamControl::Ack { bytes, window, end }) => {
                    context.counters.delivered.store(bytes, Ordering::Relaxed);
                    state.acknowledged(bytes, window, end)
                }
                Ok(StreamControl::Resume { received }) => state.resumed(received).map(|()| {
                    (context.on_event)(StreamEvent::Resumed(rejoin_timer.on_restored(clock::now())));
                }),
                Ok(StreamControl::Drain { seconds, reconnect_delay_ms }) => {
                    reconnect_delay = Duration::from_millis(reconnect_delay_ms).min(BACKOFF_CAP);
                    if !state.is_resumable() {
                        (context.on_event)(StreamEvent::Draining(Duration::from_secs(seconds)));
                    }
                    Ok(())
                }
                Ok(StreamControl::Release) => state.peer_released(),
                Err(violation) => Err(violation),
            },
            Ok(Incoming::Text(_)) => Err(Violation::UnknownControl),
            Ok(Incoming::Ping | Incoming::Pong) => Ok(()),
            Ok(Incoming::Closed(close_frame)) => match interpret_close(close_frame, state, reconnect_delay) {
                Some(leg_end) => return leg_end,
                None => {
                    // Nothing follows a close; what came before it is still being delivered.
                    state.closed();
                    return std::future::pending().await;
                }
            },
            Err(broken) => return LegEnd::from(broken).with_reconnect_delay(reconnect_delay),
        };
        if let Err(violation) = received {
            return violation.into();
        }
    }
}

impl<T> LegEnd<T> {
    /// The hub said that it is about to end, and when to come back.
    fn with_reconnect_delay(self, reconnect_delay: Duration) -> Self {
        match self {
            Self::Lost(why, _) => Self::Lost(why, reconnect_delay),
            end @ (Self::Ended(..) | Self::Reusable(_)) => end,
        }
    }
}

/// What a close frame means, if it is not merely that all is said.
fn interpret_close<T>(
    close_frame: Option<(u16, String)>,
    state: &PumpState,
    reconnect_delay: Duration,
) -> Option<LegEnd<T>> {
    match state.interpret_close(close_frame.as_ref().map(|(code, reason)| (*code, reason.as_str()))) {
        CloseMeaning::Done => None,
        CloseMeaning::Reset => Some(LegEnd::Ended(Ending::PeerReset.into(), None)),
        CloseMeaning::Lost(why) => Some(LegEnd::Lost(why, reconnect_delay)),
        CloseMeaning::Broken(refusal) => Some(LegEnd::Ended(Outcome { ending: Ending::Broken, refusal }, None)),
    }
}

/// Returns when the peer has been silent for too long. Only ends that speak `devstream.v1` always read, and so answer;
/// with others, the kernel's own probes tell the dead from those that are only slow.
async fn watch_idle<J>(liveness: &Liveness, state: &PumpState, context: &PumpContext<'_, J>) {
    if !state.has_half_close() {
        return std::future::pending().await;
    }
    let mut keepalive = Keepalive::new(context.idle_timeout, Endpoint::Client, clock::epoch(), random::u64());
    let mut network = context.network.clone();
    loop {
        let pause = match keepalive.poll(clock::now(), liveness.last_write(), liveness.last_read()) {
            KeepaliveAction::GiveUp if state.is_closed() => return std::future::pending().await,
            KeepaliveAction::GiveUp => return,
            KeepaliveAction::Ping => {
                state.queue_ping();
                clock::now() + MIN_PING_INTERVAL
            }
            KeepaliveAction::WaitUntil(at) => at,
        };
        tokio::select! {
            () = sleep_until(pause.into()) => {}
            // A stream that could not come back is better off waiting.
            () = network.changed(), if state.is_resumable() => {
                keepalive.probe(clock::now());
                state.queue_ping();
            }
        }
    }
}

/// Returns when the other end has not come back in time.
async fn resume_timeout(state: &PumpState, until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
    if !state.is_awaiting_resume() {
        std::future::pending().await
    }
}
