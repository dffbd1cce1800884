//! A direction of a relay: reads messages from one leg, and writes them to the other.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::FutureExt as _;

use super::RelayContext;
use super::backlog::Backlog;
use super::leg::LegClose;
use crate::net::liveness::Liveness;
use crate::net::liveness::keepalive::{KeepaliveTimer, PeerDead, wait_until_dead};
use crate::net::websocket::{CLOSE_POLICY, CLOSE_UNSUPPORTED, Incoming, Reader, Transport, WebSocketError, Writer};
use crate::proto::limits::MAX_SENT_MESSAGE_BYTES;
use crate::proto::stream::{END_ACK_SUFFIX, RELEASE_MESSAGE, StreamControl, is_reserved};

/// The leg that a direction reads, or the one that it writes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Sink,
}

/// Size up to which a message is sent together with those that have arrived behind it: a record of TLS and a system call
/// for each would cost many times what its bytes do, and a peer can send hundreds of thousands a second.
const SMALL_MESSAGE_BYTES: usize = 512;

fn sink_failed(broken: WebSocketError) -> (Side, LegClose) {
    (Side::Sink, LegClose::Broken(broken))
}

/// The next thing to send.
enum Outgoing {
    Message(Result<Incoming, WebSocketError>),
    /// A control message of the hub's own.
    Notice(String),
    /// A flush of the messages that are held, when no further one has arrived.
    Flush,
    Ping,
}

/// A direction of a relay.
pub(super) struct Direction<'a> {
    pub(super) source_liveness: &'a Liveness,
    pub(super) sink_liveness: &'a Arc<Liveness>,
    pub(super) context: &'a RelayContext<'a>,
    pub(super) bytes_carried: &'a AtomicU64,
    /// The message that the sink does not take.
    pub(super) backlog: &'a Backlog,
    /// The end of the opposite direction was acknowledged in this one.
    pub(super) end_acknowledged: &'a AtomicBool,
    /// The last release may wait for the sink's next stream.
    pub(super) hold_release: bool,
    /// The source, and the sink, have sent their release.
    pub(super) released: (&'a AtomicBool, &'a AtomicBool),
}

impl Direction<'_> {
    /// Forwards messages until either leg ends, and returns which one, and how.
    pub(super) async fn run<T: Transport>(
        &self,
        buffered: VecDeque<Result<Incoming, WebSocketError>>,
        source: &mut Reader<T>,
        sink: &mut Writer<T>,
    ) -> (Side, LegClose) {
        let mut buffered = buffered.into_iter();
        let mut draining = pin!(self.context.draining.cancelled());
        let mut drain_sent = !self.context.has_stream_protocol;
        let mut keepalive = KeepaliveTimer::new(self.context.idle_timeout(), self.source_liveness, self.sink_liveness);
        // Messages that arrive together are sent together, at first with what the sink was sent before the stream.
        let mut holding = true;
        loop {
            let mut available = buffered.next();
            if holding && available.is_none() {
                available = source.next().now_or_never();
            }
            let next = match available {
                Some(incoming) => Outgoing::Message(incoming),
                None if holding => Outgoing::Flush,
                None => tokio::select! {
                    biased;
                    () = &mut draining, if !drain_sent => {
                        drain_sent = true;
                        Outgoing::Notice(self.drain_notice())
                    }
                    incoming = source.next() => Outgoing::Message(incoming),
                    ping = keepalive.next() => match ping {
                        Ok(()) => Outgoing::Ping,
                        Err(PeerDead) => Outgoing::Message(Err(WebSocketError::Silent)),
                    },
                },
            };
            let is_read = matches!(next, Outgoing::Message(_));
            // The sink always reads. Each byte that it takes, however slowly, shows that it is alive.
            let forwarded = tokio::select! {
                biased;
                forwarded = self.forward(next, sink) => forwarded,
                () = wait_until_dead(self.sink_liveness, self.context.idle_timeout()) => {
                    Err(sink_failed(WebSocketError::Silent))
                }
            };
            match forwarded {
                Ok(held) => holding = held,
                Err(end) => return end,
            }
            if is_read {
                keepalive.restart_read_timer();
            }
        }
    }

    /// Forwards one message, and returns whether it is held for the next flush; an error if the message ends a leg.
    async fn forward<T: Transport>(&self, next: Outgoing, sink: &mut Writer<T>) -> Result<bool, (Side, LegClose)> {
        let incoming = match next {
            Outgoing::Message(incoming) => incoming,
            Outgoing::Notice(text) => return sink.buffer_text(text).await.map(|()| true).map_err(sink_failed),
            Outgoing::Flush => return sink.flush().await.map(|()| false).map_err(sink_failed),
            Outgoing::Ping => return sink.ping().await.map(|()| false).map_err(sink_failed),
        };
        let (mut holding, (released, other_released)) = (false, self.released);
        let sent = match incoming {
            // A peer that has released too would take this for the first message of its next stream.
            Ok(Incoming::Bytes(_) | Incoming::Text(_)) if released.load(Ordering::Relaxed) => {
                let broken = WebSocketError::Violation(CLOSE_POLICY, "message after release".into());
                return Err((Side::Source, LegClose::Broken(broken)));
            }
            // Azure IoT Hub's C# client sends empty messages without end after its own end; they mean nothing.
            Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => sink.flush().await,
            Ok(Incoming::Bytes(bytes)) => {
                let size = bytes.len();
                holding = size <= SMALL_MESSAGE_BYTES;
                let sending =
                    async { if holding { sink.buffer_bytes(bytes).await } else { send_in_chunks(bytes, sink).await } };
                let sent = self.backlog.during(size, self.sink_liveness, sending).await;
                self.bytes_carried.fetch_add(size as u64, Ordering::Relaxed);
                sent
            }
            Ok(Incoming::Text(text)) if self.context.reusable && text == RELEASE_MESSAGE => {
                if self.hold_release && other_released.load(Ordering::Relaxed) {
                    sink.buffer_text(text).await.map_err(sink_failed)?;
                } else {
                    sink.text(text).await.map_err(sink_failed)?;
                }
                // After that is sent: the other direction ends the relay once it sees this.
                released.store(true, Ordering::Relaxed);
                // Until the sink releases too, its messages are still for this side.
                if other_released.load(Ordering::Relaxed) {
                    return Err((Side::Source, LegClose::Released));
                }
                Ok(())
            }
            Ok(Incoming::Text(text)) if self.context.has_stream_protocol => {
                if is_reserved(&text) {
                    let broken =
                        WebSocketError::Violation(CLOSE_POLICY, "a message that the hub does not pass on".into());
                    return Err((Side::Source, LegClose::Broken(broken)));
                }
                holding = true;
                self.end_acknowledged.fetch_or(text.ends_with(END_ACK_SUFFIX), Ordering::Relaxed);
                sink.buffer_text(text).await
            }
            Ok(Incoming::Text(_)) => {
                let broken = WebSocketError::Violation(
                    CLOSE_UNSUPPORTED,
                    "text message on a stream without control messages".into(),
                );
                return Err((Side::Source, LegClose::Broken(broken)));
            }
            Ok(Incoming::Ping | Incoming::Pong) => sink.flush().await,
            Ok(Incoming::Closed(close_frame)) => return Err((Side::Source, LegClose::Closed(close_frame))),
            Err(broken) => return Err((Side::Source, LegClose::Broken(broken))),
        };
        sent.map(|()| holding).map_err(sink_failed)
    }

    /// Encodes the notice that the hub is draining.
    fn drain_notice(&self) -> String {
        let reconnect_delay_ms = u64::try_from((self.context.reconnect_delay)().as_millis()).unwrap_or(u64::MAX);
        StreamControl::Drain { seconds: self.context.drain_timeout.as_secs(), reconnect_delay_ms }.encode()
    }
}

/// Sends bytes in messages of at most [`MAX_SENT_MESSAGE_BYTES`]: Azure IoT Hub's clients accept little more.
async fn send_in_chunks<T: Transport>(mut bytes: Bytes, sink: &mut Writer<T>) -> Result<(), WebSocketError> {
    while bytes.len() > MAX_SENT_MESSAGE_BYTES {
        sink.bytes(bytes.split_to(MAX_SENT_MESSAGE_BYTES)).await?;
    }
    sink.bytes(bytes).await
}
