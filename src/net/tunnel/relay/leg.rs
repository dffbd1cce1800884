//! A leg of a relay: one end's WebSocket at the hub, before it is joined to the other and after.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::timeout;

use crate::net::liveness::Liveness;
use crate::net::liveness::keepalive::{KeepaliveTimer, PeerDead};
use crate::net::websocket::{CLOSE_NORMAL, Incoming, Transport, WebSocket, WebSocketError};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{CONTROL_SEND_TIMEOUT, UNJOINED_LEG_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::CLOSE_RESET;

/// A leg of a stream, with the messages that it sent before the other leg was there.
#[derive(Debug)]
pub struct Leg<T> {
    pub(super) socket: WebSocket<T>,
    pub(super) buffered: VecDeque<Result<Incoming, WebSocketError>>,
    /// Bytes of this leg that reached the other end ahead of the relay, as early data.
    pub(super) early_data_delivered: u64,
    /// Bytes that the last stream carried, both ways.
    pub(super) carried: u64,
    guard: Box<dyn Debug + Send>,
}

impl<T: Transport> Leg<T> {
    /// Creates a leg that has just been accepted; `guard` is dropped with it.
    pub fn new(socket: WebSocket<T>, guard: impl Debug + Send + 'static) -> Self {
        Self { socket, buffered: VecDeque::new(), early_data_delivered: 0, carried: 0, guard: Box::new(guard) }
    }

    /// Calls `with` on the transport.
    pub fn with_transport<O>(&self, with: impl FnOnce(&T) -> O) -> O {
        self.socket.with_transport(with)
    }

    /// Returns the record of what its connection carries.
    pub fn liveness(&self) -> Arc<Liveness> {
        self.socket.liveness.clone()
    }

    /// Puts bytes ahead of everything else that the leg has sent.
    pub fn prepend(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.buffered.push_front(Ok(Incoming::Bytes(bytes)));
        }
    }

    /// Records early data that has reached the other end.
    pub fn set_early_data_delivered(&mut self, bytes: u64) {
        self.early_data_delivered = bytes;
    }

    /// Records how the leg closed while it was waiting to be joined, for the relay to find.
    pub fn record_close(&mut self, leg_close: LegClose) {
        match leg_close {
            LegClose::Closed(close_frame) => self.buffered.push_back(Ok(Incoming::Closed(close_frame))),
            LegClose::Broken(broken) => self.buffered.push_back(Err(broken)),
            LegClose::Released => {}
        }
    }

    /// Sends a control message ahead of the stream.
    pub async fn send_text(&mut self, text: String) -> Result<(), WebSocketError> {
        let sent = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.text(text)).await;
        sent.unwrap_or(Err(WebSocketError::Silent))
    }

    /// Queues a control message ahead of the stream, to go out with the first bytes of the other leg if they are there when
    /// the legs are joined.
    pub async fn buffer_text(&mut self, text: String) -> Result<(), WebSocketError> {
        let queued = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.buffer_text(text)).await;
        queued.unwrap_or(Err(WebSocketError::Silent))
    }

    /// Sends what was queued.
    pub async fn flush(&mut self) -> Result<(), WebSocketError> {
        let flushed = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.flush()).await;
        flushed.unwrap_or(Err(WebSocketError::Silent))
    }

    /// Returns the number of bytes that the stream has carried, both ways.
    pub fn carried(&self) -> u64 {
        self.carried
    }

    /// Takes out the WebSocket and its guard, for another stream; `None` if messages of this one are left.
    pub fn into_parts(self) -> Option<(WebSocket<T>, Box<dyn Debug + Send>)> {
        self.buffered.is_empty().then_some((self.socket, self.guard))
    }

    /// Buffers what the leg sends while the other one is awaited, up to [`UNJOINED_LEG_BYTES`] and within a message too;
    /// beyond that TCP holds it back. A leg that speaks `devstream.v1` is pinged, and given up when silent. Returns only when the leg has
    /// closed. Safe to cancel.
    pub async fn buffer_until_joined(&mut self, idle_timeout: Option<IdleTimeout>) -> LegClose {
        let mut size_buffered: usize = self.buffered.iter().flatten().map(size).sum();
        let mut keepalive = KeepaliveTimer::new(idle_timeout, &self.socket.liveness, &self.socket.liveness);
        while size_buffered < UNJOINED_LEG_BYTES {
            let received = tokio::select! {
                received = self.socket.reader.next_within(UNJOINED_LEG_BYTES - size_buffered) => match received {
                    Some(received) => received,
                    None => break,
                },
                ping = keepalive.next() => match ping {
                    Ok(()) => self.socket.writer.ping().await.map(|()| Incoming::Ping),
                    Err(PeerDead) => Err(WebSocketError::Silent),
                },
            };
            match received {
                Ok(Incoming::Closed(close_frame)) if !is_clean(close_frame.as_ref()) => {
                    return LegClose::Closed(close_frame);
                }
                Ok(Incoming::Ping | Incoming::Pong) => {}
                Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => {}
                Ok(message @ Incoming::Closed(_)) => {
                    // A clean close is forwarded once the other leg is there.
                    self.buffered.push_back(Ok(message));
                    return std::future::pending().await;
                }
                Ok(message) => {
                    size_buffered += size(&message);
                    self.buffered.push_back(Ok(message));
                }
                Err(broken) => return LegClose::Broken(broken),
            }
        }
        // The leg is no longer read, so its silence means nothing; pings keep it from giving up the hub.
        loop {
            keepalive.restart_read_timer();
            if keepalive.next().await.is_ok()
                && let Err(broken) = self.socket.writer.ping().await
            {
                return LegClose::Broken(broken);
            }
        }
    }

    /// Closes a leg that ended before the other one came.
    pub async fn close(self, leg_close: &LegClose) {
        match leg_close {
            LegClose::Closed(_) | LegClose::Released => self.socket.await_close().await,
            LegClose::Broken(broken) => self.socket.close_with_error(broken).await,
        }
    }

    /// Closes the leg with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.socket.refuse(refusal).await;
    }

    /// Closes the leg with a refusal, and frees what it holds.
    pub async fn refuse_and_free(self, refusal: &Refusal) {
        self.socket.close_and_free(refusal.kind.row().close, &refusal.close_reason()).await;
    }
}

/// The memory that a buffered message takes, in bytes; more than none for an empty one.
fn size(message: &Incoming) -> usize {
    const OVERHEAD: usize = 64;
    OVERHEAD
        + match message {
            Incoming::Bytes(bytes) => bytes.len(),
            Incoming::Text(text) => text.len(),
            Incoming::Ping | Incoming::Pong | Incoming::Closed(_) => 0,
        }
}

/// Reports whether a close frame is a normal one.
fn is_clean(close_frame: Option<&(u16, String)>) -> bool {
    close_frame.is_none_or(|(code, _)| *code == CLOSE_NORMAL)
}

/// The end of a leg.
#[derive(Debug)]
pub enum LegClose {
    /// With this close frame, or one without a code.
    Closed(Option<(u16, String)>),
    /// Without a close frame.
    Broken(WebSocketError),
    /// With a release: the WebSocket is reusable.
    Released,
}

impl LegClose {
    /// Reports whether the leg ended normally.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Closed(close_frame) => is_clean(close_frame.as_ref()),
            Self::Released => true,
            Self::Broken(_) => false,
        }
    }

    /// Reports whether only the connection was lost, so that an end that can resume will rejoin.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Closed(_) | Self::Released => false,
            Self::Broken(broken) => broken.is_loss(),
        }
    }

    /// Turns a loss into a normal close, for a stream whose both directions were acknowledged to the end.
    pub(super) fn after_acknowledged_end(self) -> Self {
        if self.is_loss() { Self::Closed(None) } else { self }
    }

    /// The reason for the activity log.
    pub fn reason(&self) -> String {
        match self {
            Self::Closed(Some((CLOSE_NORMAL, _)) | None) | Self::Released => "closed".into(),
            Self::Closed(Some((CLOSE_RESET, _))) => "reset".into(),
            Self::Closed(Some((code, reason))) => match Refusal::from_close(*code, reason) {
                Some(refusal) => refusal.message(),
                None => format!("closed unexpectedly, WebSocket close code {code}"),
            },
            Self::Broken(broken) => broken.to_string(),
        }
    }

    /// The close frame for the other leg.
    pub(super) fn peer_close_frame(&self, resumable: bool) -> (u16, String) {
        match self {
            Self::Broken(broken) if resumable && broken.is_loss() => {
                let refusal = Refusal::from(RefusalKind::Interrupted);
                (refusal.kind.row().close, refusal.close_reason())
            }
            Self::Closed(Some((code, reason))) => (*code, reason.clone()),
            Self::Closed(None) | Self::Released => (CLOSE_NORMAL, String::new()),
            Self::Broken(_) => {
                let refusal = Refusal::from(RefusalKind::PeerGone);
                (refusal.kind.row().close, refusal.close_reason())
            }
        }
    }
}
