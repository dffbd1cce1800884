//! One side of a relay, before it is joined and after.

use std::collections::VecDeque;
use std::fmt::Debug;

use bytes::Bytes;
use tokio::time::timeout;

use super::keepalive::KeepaliveTimer;
use crate::net::websocket::{Broken, CLOSE_NORMAL, Incoming, Transport, WebSocket};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{CONTROL_SEND_TIMEOUT, PENDING_LEG_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::CLOSE_RESET;

/// One side of a stream at the hub, with what it sent before the other side was there.
#[derive(Debug)]
pub struct Leg<T> {
    pub(super) socket: WebSocket<T>,
    pub(super) early: VecDeque<Result<Incoming, Broken>>,
    /// What the side sent that has reached the other one by another way.
    pub(super) delivered: u64,
    guard: Box<dyn Debug + Send>,
}

impl<T: Transport> Leg<T> {
    /// A side that has just arrived, with whatever is to be kept for as long as it is there.
    pub fn new(socket: WebSocket<T>, guard: impl Debug + Send + 'static) -> Self {
        Self { socket, early: VecDeque::new(), delivered: 0, guard: Box::new(guard) }
    }

    /// The side has sent this, ahead of anything else.
    pub fn prepend(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.early.push_front(Ok(Incoming::Bytes(bytes)));
        }
    }

    /// The side has sent so much, and the other one has it.
    pub fn set_delivered(&mut self, bytes: u64) {
        self.delivered = bytes;
    }

    /// The side left while it waited, and only when it had been joined.
    pub fn record_close(&mut self, leg_close: LegClose) {
        match leg_close {
            LegClose::Closed(close_frame) => self.early.push_back(Ok(Incoming::Closed(close_frame))),
            LegClose::Broken(broken) => self.early.push_back(Err(broken)),
            LegClose::Released => {}
        }
    }

    /// Says something to the side, ahead of the stream.
    pub async fn send_text(&mut self, text: String) -> Result<(), Broken> {
        let sent = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.text(text)).await;
        sent.unwrap_or(Err(Broken::Silent))
    }

    /// The WebSocket, as it was before the stream, and what is kept for it; nothing if something is left of the stream.
    pub fn into_parts(self) -> Option<(WebSocket<T>, Box<dyn Debug + Send>)> {
        self.early.is_empty().then_some((self.socket, self.guard))
    }

    /// Holds what the side sends while the other one is awaited, up to [`PENDING_LEG_BYTES`]; beyond that TCP holds it
    /// back. Returns only when the side has left. Safe to cancel. One that speaks `devstream.v1` is told that the hub
    /// is there, and must be.
    pub async fn buffer_until_joined(&mut self, idle_timeout: Option<IdleTimeout>) -> LegClose {
        let mut buffered: usize = self.early.iter().flatten().map(size).sum();
        let mut keepalive = KeepaliveTimer::new(idle_timeout, &self.socket.liveness, &self.socket.liveness);
        while buffered < PENDING_LEG_BYTES {
            let received = tokio::select! {
                received = self.socket.reader.next() => received,
                beat = keepalive.next() => match beat {
                    Ok(()) => self.socket.writer.ping().await.map(|()| Incoming::Ping),
                    Err(silent) => Err(silent),
                },
            };
            match received {
                Ok(Incoming::Closed(close_frame)) if !is_clean(close_frame.as_ref()) => {
                    return LegClose::Closed(close_frame);
                }
                Ok(Incoming::Ping | Incoming::Pong) => {}
                Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => {}
                Ok(message @ Incoming::Closed(_)) => {
                    // It has said all it had to say: the other side will hear it.
                    self.early.push_back(Ok(message));
                    return std::future::pending().await;
                }
                Ok(message) => {
                    buffered += size(&message);
                    self.early.push_back(Ok(message));
                }
                Err(broken) => return LegClose::Broken(broken),
            }
        }
        // It is not read, so its silence says nothing; it is told that the hub is there.
        loop {
            keepalive.restart_read_timer();
            if keepalive.next().await.is_ok()
                && let Err(broken) = self.socket.writer.ping().await
            {
                return LegClose::Broken(broken);
            }
        }
    }

    /// Ends with a side that left before the other one came.
    pub async fn close(self, leg_close: &LegClose) {
        match leg_close {
            LegClose::Closed(_) | LegClose::Released => self.socket.await_close().await,
            LegClose::Broken(broken) => self.socket.complain(broken).await,
        }
    }

    /// Sends the side away.
    pub async fn refuse(self, refusal: &Refusal) {
        self.socket.refuse(refusal).await;
    }
}

/// What a message takes to hold, also when there is nothing in it.
fn size(message: &Incoming) -> usize {
    const OVERHEAD: usize = 64;
    OVERHEAD
        + match message {
            Incoming::Bytes(bytes) => bytes.len(),
            Incoming::Text(text) => text.len(),
            Incoming::Ping | Incoming::Pong | Incoming::Closed(_) => 0,
        }
}

fn is_clean(close_frame: Option<&(u16, String)>) -> bool {
    close_frame.is_none_or(|(code, _)| *code == CLOSE_NORMAL)
}

/// How a side left.
#[derive(Debug)]
pub enum LegClose {
    /// With a close frame.
    Closed(Option<(u16, String)>),
    /// Without.
    Broken(Broken),
    /// It has not: it is done with the stream, and its connection is used again.
    Released,
}

impl LegClose {
    /// Whether the side said that all was well.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Closed(close_frame) => is_clean(close_frame.as_ref()),
            Self::Released => true,
            Self::Broken(_) => false,
        }
    }

    /// Whether only the connection is lost: an end that can comes back.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Closed(_) | Self::Released => false,
            Self::Broken(broken) => broken.is_loss(),
        }
    }

    /// The same when both ends know that all has arrived: who is lost then was only about to close.
    pub(super) fn after_acknowledged_end(self) -> Self {
        if self.is_loss() { Self::Closed(None) } else { self }
    }

    /// For the log.
    pub fn reason(&self) -> String {
        match self {
            Self::Closed(Some((CLOSE_NORMAL, _)) | None) | Self::Released => "closed".into(),
            Self::Closed(Some((CLOSE_RESET, _))) => "reset".into(),
            Self::Closed(Some((code, _))) => format!("closed with code {code}"),
            Self::Broken(broken) => broken.to_string(),
        }
    }

    /// What the other side is told.
    pub(super) fn peer_close_frame(&self, resumable: bool) -> (u16, String) {
        match self {
            Self::Broken(broken) if resumable && broken.is_loss() => {
                let refusal = Refusal::from(RefusalKind::Interrupted);
                (refusal.kind.row().close, refusal.close_reason())
            }
            Self::Closed(Some((code, reason))) => (*code, reason.clone()),
            Self::Closed(None) | Self::Released => (CLOSE_NORMAL, String::new()),
            Self::Broken(_) => {
                let row = RefusalKind::PeerGone.row();
                (row.close, row.sentence.into())
            }
        }
    }
}
