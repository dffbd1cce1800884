//! One WebSocket of a stream, from its first message until it or the stream is over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{sleep, sleep_until, timeout};

use super::flow::Flow;
use super::{Ending, Happening, Outcome, Terms};
use crate::net::pulse::Pulse;
use crate::net::relay::watch::lifeless;
use crate::net::websocket::{
    CLOSE_NORMAL, CLOSE_POLICY, Incoming, Reader, Transport, WebSocket, WebSocketError, Writer,
};
use crate::net::{clock, random};
use crate::proto::keepalive::{Beat, Heartbeat};
use crate::proto::limits::{BACKOFF_CAP, CLOSE_TIMEOUT, FULL_MESSAGE_BYTES};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::stream::end::{Due, Farewell};
use crate::proto::stream::lifeline::Lifeline;
use crate::proto::stream::{CLOSE_RESET, REST, StreamControl, Violation};
use crate::proto::websocket::Endpoint;

/// A peer that does not take our bytes may have said why: it is read for so long. The network that swallowed them says
/// nothing, and another way may be open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Room for the next read of the local side, at least. What is left of a block of memory takes further small reads, since
/// all that are kept until they are acknowledged hold on to theirs.
const SMALL_BLOCK: usize = 4 * 1024;

/// A peer is not pinged again sooner, however busy the way to it is.
const BETWEEN_PINGS: Duration = Duration::from_secs(1);

/// How a WebSocket of a stream came to its end.
pub(super) enum Parted<T> {
    /// With the stream, and it is used again.
    Resting(WebSocket<T>),
    /// With the stream, and what the peer is to be told.
    Over(Outcome, Option<(u16, String)>),
    /// Without: for this reason, and another one may come after this time.
    Lost(String, Duration),
}

impl<T> Parted<T> {
    fn over(ending: Ending, code: u16, reason: &str) -> Self {
        Self::Over(ending.into(), Some((code, reason.into())))
    }

    /// The stream is over, and this is why.
    fn refused(kind: Kind) -> Self {
        let refusal = Refusal::from(kind);
        let goodbye = (kind.row().close, refusal.close_reason());
        Self::Over(Outcome { ending: Ending::Broken, refusal: Some(refusal) }, Some(goodbye))
    }
}

impl<T> From<Violation> for Parted<T> {
    fn from(violation: Violation) -> Self {
        Self::over(Ending::Broken, CLOSE_POLICY, &violation.to_string())
    }
}

impl<T> From<WebSocketError> for Parted<T> {
    fn from(broken: WebSocketError) -> Self {
        match broken {
            WebSocketError::Violation(code, reason) => Self::over(Ending::Broken, code, &reason),
            WebSocketError::Truncated | WebSocketError::Silent | WebSocketError::Io(_) => {
                Self::Lost(broken.to_string(), Duration::ZERO)
            }
        }
    }
}

/// Carries bytes both ways over one WebSocket, and says goodbye on it.
pub(super) async fn carry<R: AsyncRead + Unpin, T: Transport, J>(
    local: &mut R,
    mut socket: WebSocket<T>,
    flow: &Flow,
    lifeline: &mut Lifeline,
    terms: &Terms<'_, J>,
) -> Parted<T> {
    let awaited_until = lifeline.until();
    let pulse = socket.pulse.clone();
    let parted = tokio::select! {
        parted = send(local, &mut socket.writer, flow, terms) => parted,
        parted = receive(&mut socket.reader, flow, lifeline, terms) => parted,
        () = flow.over() => Parted::over(Ending::Clean, CLOSE_NORMAL, ""),
        () = flow.local_reset() => Parted::over(Ending::LocalReset, CLOSE_RESET, "the application reset its connection"),
        () = silence(&pulse, flow, terms) => WebSocketError::Silent.into(),
        () = awaited_in_vain(flow, awaited_until) => Parted::refused(Kind::NotResumed),
        () = terms.stop.cancelled() => Parted::refused(Kind::PeerGone),
    };
    match &parted {
        // It was lost after the end, before anybody had said goodbye.
        Parted::Lost(..) if flow.is_over() => return Parted::Over(Ending::Clean.into(), None),
        Parted::Over(Outcome { ending: Ending::Clean, .. }, _) if flow.may_rest() => {
            return rest(socket, flow).await.map_or(parted, Parted::Resting);
        }
        // The close waits its turn behind what was sent before it, for as long as the peer takes to read that.
        Parted::Over(_, Some((CLOSE_NORMAL, reason))) => tokio::select! {
            () = socket.close(CLOSE_NORMAL, reason) => {}
            () = lifeless(&pulse, flow.half_close().then_some(terms.patience)) => {}
        },
        Parted::Over(_, Some((code, reason))) => socket.close_soon(*code, reason).await,
        Parted::Over(_, None) => socket.await_close().await,
        Parted::Lost(..) | Parted::Resting(_) => {}
    }
    parted
}

/// Says that this end is done, and waits until the other one has said so too: nothing of the stream is under way then.
async fn rest<T: Transport>(mut socket: WebSocket<T>, flow: &Flow) -> Option<WebSocket<T>> {
    let both = async {
        if flow.take_rest() {
            socket.writer.text(StreamControl::Rest.encode()).await?;
        }
        while !flow.has_peer_rested() {
            match socket.reader.next().await? {
                Incoming::Text(text) if text == REST => break,
                // The hub may be about to end; what is merely late is of no interest.
                Incoming::Text(_) | Incoming::Ping | Incoming::Pong => {}
                Incoming::Bytes(_) | Incoming::Closed(_) => return Err(WebSocketError::Truncated),
            }
        }
        Ok::<_, WebSocketError>(())
    };
    let rests = matches!(timeout(CLOSE_TIMEOUT, both).await, Ok(Ok(())));
    rests.then_some(socket)
}

/// Local to tunnel, and what the peer must know of the other direction.
async fn send<R: AsyncRead + Unpin, T: Transport, J>(
    local: &mut R,
    writer: &mut Writer<T>,
    flow: &Flow,
    terms: &Terms<'_, J>,
) -> Parted<T> {
    let (mut buffer, mut block) = (BytesMut::new(), SMALL_BLOCK);
    loop {
        if let Err(broken) = say_all(writer, flow, &terms.counters.sent).await {
            // The other direction reads why, if the hub said why.
            sleep(if flow.resumable() { LAST_WORDS } else { CLOSE_TIMEOUT }).await;
            return broken.into();
        }
        let room = flow.room();
        if room > 0 && !(block..=8 * block).contains(&buffer.capacity()) {
            buffer = flow.block(block);
        }
        let mut source = (&mut *local).take(room);
        tokio::select! {
            biased;
            () = flow.sender_woken() => {}
            read = source.read_buf(&mut buffer), if room > 0 => match read {
                // A reset is told once, and the writer has heard of it: to the reader it then looks like an end.
                Ok(0) if flow.is_reset_by_local() => return std::future::pending().await,
                Ok(read) => {
                    flow.take_from_local(buffer.split().freeze());
                    // There may be more where much came from.
                    block = (2 * read).clamp(SMALL_BLOCK, FULL_MESSAGE_BYTES);
                }
                Err(_) => {
                    flow.reset_by_local();
                    return std::future::pending().await;
                }
            },
        }
    }
}

/// All that is due, in as few calls as may be.
async fn say_all<T: Transport>(writer: &mut Writer<T>, flow: &Flow, sent: &AtomicU64) -> Result<(), WebSocketError> {
    let mut said = false;
    while let Some(due) = flow.due() {
        match due {
            Due::Text(control) => writer.hold_text(control.encode()).await?,
            Due::Bytes(bytes) => writer.bytes(bytes).await?,
            Due::Ping => writer.hold_ping().await?,
            Due::Close => writer.close(CLOSE_NORMAL, "").await?,
        }
        said = true;
        sent.store(flow.sent(), Ordering::Relaxed);
    }
    if said {
        writer.flush().await?;
        flow.said();
    }
    Ok(())
}

/// Tunnel to the queue for the local side. It ends with the WebSocket.
async fn receive<T: Transport, J>(
    reader: &mut Reader<T>,
    flow: &Flow,
    lifeline: &mut Lifeline,
    terms: &Terms<'_, J>,
) -> Parted<T> {
    let mut back = Duration::ZERO;
    loop {
        flow.room_for_strangers().await;
        let heard = tokio::select! {
            biased;
            // What follows is the next stream's.
            () = flow.both_rest() => return std::future::pending().await,
            heard = reader.next() => heard,
        };
        let heard = match heard {
            Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => Ok(()),
            Ok(Incoming::Bytes(bytes)) => flow.received(&bytes),
            Ok(Incoming::Text(text)) if flow.half_close() => match StreamControl::decode(&text) {
                Ok(StreamControl::End { bytes }) => flow.ended(bytes),
                Ok(StreamControl::Ack { bytes, window, end }) => {
                    terms.counters.passed_on.store(bytes, Ordering::Relaxed);
                    flow.acknowledged(bytes, window, end)
                }
                Ok(StreamControl::Resume { received }) => flow.resumed(received).map(|()| {
                    (terms.tell)(Happening::Resumed(lifeline.back(clock::now())));
                }),
                Ok(StreamControl::Drain { seconds, back_ms }) => {
                    back = Duration::from_millis(back_ms).min(BACKOFF_CAP);
                    if !flow.resumable() {
                        (terms.tell)(Happening::Draining(Duration::from_secs(seconds)));
                    }
                    Ok(())
                }
                Ok(StreamControl::Rest) => flow.peer_rests(),
                Err(violation) => Err(violation),
            },
            Ok(Incoming::Text(_)) => Err(Violation::UnknownControl),
            Ok(Incoming::Ping | Incoming::Pong) => Ok(()),
            Ok(Incoming::Closed(told)) => match closed(told, flow, back) {
                Some(parted) => return parted,
                None => {
                    // Nothing follows a close; what came before it is still being delivered.
                    flow.closed();
                    return std::future::pending().await;
                }
            },
            Err(broken) => return Parted::from(broken).after(back),
        };
        if let Err(violation) = heard {
            return violation.into();
        }
    }
}

impl<T> Parted<T> {
    /// The hub said that it is about to end, and when to come back.
    fn after(self, back: Duration) -> Self {
        match self {
            Self::Lost(why, _) => Self::Lost(why, back),
            over @ (Self::Over(..) | Self::Resting(_)) => over,
        }
    }
}

/// What a close frame means, if it is not merely that all is said.
fn closed<T>(told: Option<(u16, String)>, flow: &Flow, back: Duration) -> Option<Parted<T>> {
    match flow.meaning(told.as_ref().map(|(code, reason)| (*code, reason.as_str()))) {
        Farewell::Done => None,
        Farewell::Reset => Some(Parted::Over(Ending::PeerReset.into(), None)),
        Farewell::Lost(why) => Some(Parted::Lost(why, back)),
        Farewell::Broken(refusal) => Some(Parted::Over(Outcome { ending: Ending::Broken, refusal }, None)),
    }
}

/// Returns when the peer has been silent for too long. Only ends that speak `devstream.v1` always read, and so answer;
/// with others, the kernel's own probes tell the dead from those that are only slow.
async fn silence<J>(pulse: &Pulse, flow: &Flow, terms: &Terms<'_, J>) {
    if !flow.half_close() {
        return std::future::pending().await;
    }
    let mut heartbeat = Heartbeat::new(terms.patience, Endpoint::Client, clock::epoch(), random::dice());
    let mut vigil = terms.vigil.clone();
    loop {
        let pause = match heartbeat.poll(clock::now(), pulse.said(), pulse.heard()) {
            Beat::GiveUp if flow.is_closed() => return std::future::pending().await,
            Beat::GiveUp => return,
            Beat::Ping => {
                flow.want_ping();
                clock::now() + BETWEEN_PINGS
            }
            Beat::WaitUntil(at) => at,
        };
        tokio::select! {
            () = sleep_until(pause.into()) => {}
            // A stream that could not come back is better off waiting.
            () = vigil.changed(), if flow.resumable() => {
                heartbeat.ask(clock::now());
                flow.want_ping();
            }
        }
    }
}

/// Returns when the other end has not come back in time.
async fn awaited_in_vain(flow: &Flow, until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
    if !flow.is_awaiting() {
        std::future::pending().await
    }
}
