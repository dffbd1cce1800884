//! A connection of the pump: one WebSocket of a stream, from its first message until it is lost or the stream is over.

use std::future::{poll_fn, ready};
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{sleep, sleep_until, timeout};

use super::state::PumpState;
use super::{Ending, Outcome, PumpContext, StreamEvent};
use crate::net::liveness::Liveness;
use crate::net::liveness::keepalive::{MIN_PING_INTERVAL, wait_until_dead};
use crate::net::os::clock;
use crate::net::os::random;
use crate::net::shutdown::StreamStop;
use crate::net::tunnel::FINAL_READ_TIMEOUT;
use crate::net::websocket::{
    CLOSE_NORMAL, CLOSE_POLICY, Incoming, MAX_HOLD, Reader, Transport, WebSocket, WebSocketError, Writer,
};
use crate::proto::keepalive::{Keepalive, KeepaliveAction};
use crate::proto::limits::{BACKOFF_CAP, CLOSE_TIMEOUT, FULL_MESSAGE_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::endpoint::{CloseMeaning, NextSend};
use crate::proto::stream::rejoin::RejoinTimer;
use crate::proto::stream::{CLOSE_RESET, RELEASE_MESSAGE, StreamControl, Violation};
use crate::proto::websocket::WebSocketRole;

/// The smallest block for reads of the local side, in bytes.
const MIN_READ_BLOCK: usize = 4 * 1024;

/// The end of a connection.
pub(super) enum ConnectionEnd<T> {
    /// The stream is over, and the WebSocket is reusable.
    Reusable(WebSocket<T>),
    /// The stream is over; the close frame to send, unless the peer has closed already.
    Ended(Outcome, Option<(u16, String)>),
    /// The WebSocket was lost, for this reason; the hub asks for this delay before a rejoin.
    Lost(String, Duration),
}

impl<T> ConnectionEnd<T> {
    /// The stream is over, with this close frame.
    fn ended(ending: Ending, code: u16, reason: &str) -> Self {
        Self::Ended(ending.into(), Some((code, reason.into())))
    }

    /// The stream is over because of a refusal that both ends report.
    fn refused(kind: RefusalKind) -> Self {
        let refusal = Refusal::from(kind);
        let close = (kind.row().close, refusal.close_reason());
        Self::Ended(Outcome { ending: Ending::Broken, refusal: Some(refusal) }, Some(close))
    }

    /// The stream is over because this program ends. To the peer it is the other side that left.
    fn stopped(stop: &StreamStop) -> Self {
        let (refusal, peers) = stop.refusals();
        let close = (peers.kind.row().close, peers.close_reason());
        Self::Ended(Outcome { ending: Ending::Broken, refusal: Some(refusal) }, Some(close))
    }
}

impl<T> From<Violation> for ConnectionEnd<T> {
    fn from(violation: Violation) -> Self {
        Self::ended(Ending::Broken, CLOSE_POLICY, &violation.to_string())
    }
}

impl<T> From<WebSocketError> for ConnectionEnd<T> {
    fn from(broken: WebSocketError) -> Self {
        match broken {
            WebSocketError::Violation(code, reason) => Self::ended(Ending::Broken, code, &reason),
            WebSocketError::Truncated | WebSocketError::Silent | WebSocketError::Io(_) => {
                Self::Lost(broken.to_string(), Duration::ZERO)
            }
        }
    }
}

/// Carries bytes both ways over one WebSocket, and closes it unless it was lost or is reusable.
pub(super) async fn run_connection<R: AsyncRead + Unpin, T: Transport, J>(
    local: &mut R,
    mut socket: WebSocket<T>,
    state: &PumpState,
    rejoin_timer: &mut RejoinTimer,
    context: &PumpContext<'_, J>,
) -> ConnectionEnd<T> {
    let resume_deadline = rejoin_timer.deadline();
    let liveness = socket.liveness.clone();
    let connection_end = tokio::select! {
        connection_end = send(local, &mut socket.writer, state, context) => connection_end,
        connection_end = receive(&mut socket.reader, &liveness, state, rejoin_timer, context) => connection_end,
        () = state.finished() => ConnectionEnd::ended(Ending::Clean, CLOSE_NORMAL, ""),
        () = state.wait_local_reset() => {
            ConnectionEnd::ended(Ending::LocalReset, CLOSE_RESET, "the application reset its connection")
        }
        () = watch_idle(&liveness, state, context) => WebSocketError::Silent.into(),
        () = state.deadlocked() => ConnectionEnd::refused(RefusalKind::MemoryUsedUp),
        () = resume_timeout(state, resume_deadline) => ConnectionEnd::refused(RefusalKind::NotResumed),
        () = context.stop.requested() => ConnectionEnd::stopped(context.stop),
    };
    match &connection_end {
        // The WebSocket was lost after both directions had ended, before it was closed.
        ConnectionEnd::Lost(..) if state.is_finished() => return ConnectionEnd::Ended(Ending::Clean.into(), None),
        ConnectionEnd::Ended(Outcome { ending: Ending::Clean, .. }, _) if state.is_reusable() => {
            return release(socket, state).await.map_or(connection_end, ConnectionEnd::Reusable);
        }
        // The close frame queues behind the data, for as long as the peer takes to read that.
        ConnectionEnd::Ended(_, Some((CLOSE_NORMAL, reason))) => tokio::select! {
            () = socket.close(CLOSE_NORMAL, reason) => {}
            () = wait_until_dead(&liveness, state.has_stream_protocol().then_some(context.idle_timeout)) => {}
        },
        ConnectionEnd::Ended(_, Some((code, reason))) => socket.close_with_timeout(*code, reason).await,
        ConnectionEnd::Ended(_, None) => socket.await_close().await,
        ConnectionEnd::Lost(..) | ConnectionEnd::Reusable(_) => {}
    }
    connection_end
}

/// Releases the WebSocket, and waits for the peer's release: nothing of the stream is in flight then. `None` if that
/// fails or takes longer than [`CLOSE_TIMEOUT`].
async fn release<T: Transport>(mut socket: WebSocket<T>, state: &PumpState) -> Option<WebSocket<T>> {
    let exchange = async {
        if state.take_release() {
            socket.writer.text(StreamControl::Release.encode()).await?;
        }
        while !state.has_peer_released() {
            match socket.reader.next().await? {
                Incoming::Text(text) if text == RELEASE_MESSAGE => break,
                // Late control messages, such as a drain notice, no longer matter.
                Incoming::Text(_) | Incoming::Ping | Incoming::Pong => {}
                Incoming::Bytes(_) | Incoming::Closed(_) => return Err(WebSocketError::Truncated),
            }
        }
        Ok::<_, WebSocketError>(())
    };
    let reusable = matches!(timeout(CLOSE_TIMEOUT, exchange).await, Ok(Ok(())));
    reusable.then_some(socket)
}

/// Sends what the local side writes, and the control messages about the other direction.
async fn send<R: AsyncRead + Unpin, T: Transport, J>(
    local: &mut R,
    writer: &mut Writer<T>,
    state: &PumpState,
    context: &PumpContext<'_, J>,
) -> ConnectionEnd<T> {
    let (mut buffer, mut block) = (BytesMut::new(), MIN_READ_BLOCK);
    // What was queued before the stream began goes out with its first bytes, if they come soon.
    let (mut held_until, mut flush) = (writer.is_holding().then(|| clock::now() + MAX_HOLD), false);
    // The bytes just read may be the last: their end, if it is there already, goes out with them.
    let mut may_end = false;
    loop {
        if !may_end {
            match send_pending(writer, state, std::mem::take(&mut flush), &context.counters.sent).await {
                Ok(true) => held_until = None,
                Ok(false) => {}
                Err(broken) => return lost_while_sending(broken, state).await,
            }
        }
        let room = state.capacity();
        // A message is kept with all of its block: a small one must not keep a large block.
        let size = usize::try_from(room).ok().filter(|room| *room < MIN_READ_BLOCK).unwrap_or(block);
        if buffer.capacity() < size || buffer.capacity() > 8 * size {
            buffer = BytesMut::new();
        }
        let mut source = (&mut *local).take(room);
        tokio::select! {
            biased;
            () = state.sender_woken() => may_end = false,
            () = wait_until(held_until) => (flush, may_end) = (true, false),
            read = poll_fn(|context| poll_read(&mut source, context, &mut buffer, || state.block(size))), if room > 0 => match read {
                // The system reports a reset once. If the writer got it, the reader sees an end of file.
                Ok(0) if state.is_local_reset() => return std::future::pending().await,
                Ok(read) => {
                    state.push_local(take_read(&mut buffer));
                    may_end = !may_end && (1..size).contains(&read);
                    // A large read suggests that the next one is large too.
                    block = (2 * read).clamp(MIN_READ_BLOCK, FULL_MESSAGE_BYTES);
                }
                Err(_) => {
                    // What came before the reset still goes out.
                    let _ = send_pending(writer, state, false, &context.counters.sent).await;
                    state.mark_local_reset();
                    return std::future::pending().await;
                }
            },
            () = ready(()), if may_end => may_end = false,
        }
    }
}

/// The WebSocket was lost while something was sent. Meanwhile the other direction reads the hub's close frame, if it sent one.
async fn lost_while_sending<T>(broken: WebSocketError, state: &PumpState) -> ConnectionEnd<T> {
    sleep(if state.is_resumable() { FINAL_READ_TIMEOUT } else { CLOSE_TIMEOUT }).await;
    broken.into()
}

/// Reads into the buffer, or into a new block. While nothing comes there is none, but for one of the largest size: an idle
/// stream holds no memory for what may come.
fn poll_read<R: AsyncRead + Unpin>(
    source: &mut R,
    context: &mut Context<'_>,
    buffer: &mut BytesMut,
    block: impl FnOnce() -> BytesMut,
) -> Poll<io::Result<usize>> {
    if buffer.capacity() == 0 {
        *buffer = block();
    }
    let read = pin!(source.read_buf(buffer)).poll(context);
    if read.is_pending() && buffer.capacity() < FULL_MESSAGE_BYTES {
        *buffer = BytesMut::new();
    }
    read
}

/// Takes what was read out of the buffer. A small read is copied: it is kept until it is acknowledged, and would keep the
/// whole block alive.
fn take_read(buffer: &mut BytesMut) -> Bytes {
    if buffer.len() < buffer.capacity() / 2 {
        let read = Bytes::copy_from_slice(buffer);
        buffer.clear();
        return read;
    }
    buffer.split().freeze()
}

/// Sends everything that is due, with one flush, or flushes anyway. Reports whether there was anything.
async fn send_pending<T: Transport>(
    writer: &mut Writer<T>,
    state: &PumpState,
    flush: bool,
    sent: &AtomicU64,
) -> Result<bool, WebSocketError> {
    let mut sent_any = flush;
    while let Some(next) = state.next_send() {
        match next {
            NextSend::Text(control) => writer.buffer_text(control.encode()).await?,
            NextSend::Bytes(bytes) if bytes.len() < MIN_READ_BLOCK => writer.buffer_bytes(bytes).await?,
            NextSend::Bytes(bytes) => writer.bytes(bytes).await?,
            NextSend::Ping => writer.buffer_ping().await?,
            NextSend::Close => writer.close(CLOSE_NORMAL, "").await?,
        }
        sent_any = true;
        sent.store(state.bytes_sent(), Ordering::Relaxed);
    }
    if sent_any {
        // The stream's last messages may go out with the first of the connection's next stream.
        if !state.holds_release() {
            writer.flush().await?;
        }
        state.flushed();
    }
    Ok(sent_any)
}

/// Receives into the queue for the local side, until the WebSocket is closed or lost.
async fn receive<T: Transport, J>(
    reader: &mut Reader<T>,
    liveness: &Liveness,
    state: &PumpState,
    rejoin_timer: &mut RejoinTimer,
    context: &PumpContext<'_, J>,
) -> ConnectionEnd<T> {
    let mut reconnect_delay = Duration::ZERO;
    loop {
        if let Some(paused) = state.wait_for_room(liveness).await {
            reader.excuse_pause(paused);
        }
        let received = tokio::select! {
            biased;
            // Further messages belong to the next stream.
            () = state.both_released() => return std::future::pending().await,
            received = reader.next() => received,
        };
        let received = match received {
            Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => Ok(()),
            Ok(Incoming::Bytes(bytes)) => state.received(&bytes),
            Ok(Incoming::Text(text)) if state.has_stream_protocol() => match StreamControl::decode(&text) {
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
                Some(connection_end) => return connection_end,
                None => {
                    // Nothing follows a close frame; earlier bytes are still being delivered.
                    state.closed();
                    return std::future::pending().await;
                }
            },
            Err(broken) => return ConnectionEnd::from(broken).with_reconnect_delay(reconnect_delay),
        };
        if let Err(violation) = received {
            return violation.into();
        }
    }
}

impl<T> ConnectionEnd<T> {
    /// Sets the delay before a rejoin that the hub asked for when it began to drain.
    fn with_reconnect_delay(self, reconnect_delay: Duration) -> Self {
        match self {
            Self::Lost(why, _) => Self::Lost(why, reconnect_delay),
            end @ (Self::Ended(..) | Self::Reusable(_)) => end,
        }
    }
}

/// Interprets a close frame; `None` if it only ends the peer's direction.
fn interpret_close<T>(
    close_frame: Option<(u16, String)>,
    state: &PumpState,
    reconnect_delay: Duration,
) -> Option<ConnectionEnd<T>> {
    match state.interpret_close(close_frame.as_ref().map(|(code, reason)| (*code, reason.as_str()))) {
        CloseMeaning::Done => None,
        CloseMeaning::Reset => Some(ConnectionEnd::Ended(Ending::PeerReset.into(), None)),
        CloseMeaning::Lost(why) => Some(ConnectionEnd::Lost(why, reconnect_delay)),
        CloseMeaning::Broken(refusal) => Some(ConnectionEnd::Ended(Outcome { ending: Ending::Broken, refusal }, None)),
    }
}

/// Pings an idle peer, and returns once it was silent for the idle timeout. Only peers that speak `devstream.v1` are
/// watched: they always read, and so answer. With others, the kernel's keepalive probes tell a dead peer from a slow
/// one.
async fn watch_idle<J>(liveness: &Liveness, state: &PumpState, context: &PumpContext<'_, J>) {
    if !state.has_stream_protocol() {
        return std::future::pending().await;
    }
    let mut keepalive = Keepalive::new(context.idle_timeout, WebSocketRole::Client, clock::epoch(), random::u64());
    let mut network = context.network.clone();
    loop {
        let next_poll = match keepalive.poll(clock::now(), liveness.last_write(), liveness.last_read()) {
            KeepaliveAction::GiveUp if state.is_closed() => return std::future::pending().await,
            KeepaliveAction::GiveUp => return,
            KeepaliveAction::Ping => {
                state.queue_ping();
                clock::now() + MIN_PING_INTERVAL
            }
            KeepaliveAction::WaitUntil(deadline) => deadline,
        };
        tokio::select! {
            () = sleep_until(next_poll.into()) => {}
            // A stream that cannot resume gains nothing from being given up sooner.
            () = network.changed(), if state.is_resumable() => {
                keepalive.probe(clock::now());
                state.queue_ping();
            }
        }
    }
}

/// Returns at the deadline; pends forever without one.
async fn wait_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// Returns if the peer has not resumed the stream by the deadline; pends forever without a deadline or if it has.
async fn resume_timeout(state: &PumpState, deadline: Option<Instant>) {
    wait_until(deadline).await;
    if !state.is_awaiting_resume() {
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn an_idle_reader_holds_no_block_and_a_small_read_keeps_none() {
        let (mut near, mut far) = duplex(MIN_READ_BLOCK);
        let mut buffer = BytesMut::new();
        let block = || BytesMut::with_capacity(MIN_READ_BLOCK);
        let mut read = |buffer: &mut BytesMut| {
            poll_fn(|context| poll_read(&mut near, context, buffer, block)).now_or_never().map(Result::unwrap)
        };
        assert_eq!((read(&mut buffer), buffer.capacity()), (None, 0));
        for size in [1, MIN_READ_BLOCK / 2 - 1, MIN_READ_BLOCK] {
            far.write_all(&vec![7; size]).await.unwrap();
            assert_eq!(read(&mut buffer), Some(size));
            let taken = take_read(&mut buffer);
            assert_eq!((read(&mut buffer), buffer.capacity()), (None, 0));
            let taken = taken.try_into_mut().expect("the buffer has no part of it");
            assert!(taken == vec![7; size] && taken.capacity() < 2 * size, "{} for {size}", taken.capacity());
        }
    }
}
