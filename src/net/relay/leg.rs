//! One side of a relay, before it is joined and after.

use std::collections::VecDeque;
use std::fmt::Debug;

use bytes::Bytes;
use tokio::time::timeout;

use super::watch::Watch;
use crate::net::websocket::{CLOSE_NORMAL, Incoming, Transport, WebSocket, WebSocketError};
use crate::proto::keepalive::Patience;
use crate::proto::limits::{CONTROL_SEND_TIMEOUT, EARLY_BYTES};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::stream::CLOSE_RESET;

/// One side of a stream at the hub, with what it sent before the other side was there.
#[derive(Debug)]
pub struct Leg<T> {
    pub(super) socket: WebSocket<T>,
    pub(super) early: VecDeque<Result<Incoming, WebSocketError>>,
    /// What the side sent that has reached the other one by another way.
    pub(super) delivered: u64,
    kept: Box<dyn Debug + Send>,
}

impl<T: Transport> Leg<T> {
    /// A side that has just arrived, with whatever is to be kept for as long as it is there.
    pub fn new(socket: WebSocket<T>, kept: impl Debug + Send + 'static) -> Self {
        Self { socket, early: VecDeque::new(), delivered: 0, kept: Box::new(kept) }
    }

    /// The side has sent this, ahead of anything else.
    pub fn begin_with(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.early.push_front(Ok(Incoming::Bytes(bytes)));
        }
    }

    /// The side has sent so much, and the other one has it.
    pub fn set_delivered(&mut self, bytes: u64) {
        self.delivered = bytes;
    }

    /// The side left while it waited, and only when it had been joined.
    pub fn departed(&mut self, departure: Departure) {
        match departure {
            Departure::Closed(told) => self.early.push_back(Ok(Incoming::Closed(told))),
            Departure::Broken(broken) => self.early.push_back(Err(broken)),
            Departure::Rested => {}
        }
    }

    /// Says something to the side, ahead of the stream.
    pub async fn say(&mut self, text: String) -> Result<(), WebSocketError> {
        let said = timeout(CONTROL_SEND_TIMEOUT, self.socket.writer.text(text)).await;
        said.unwrap_or(Err(WebSocketError::Silent))
    }

    /// The WebSocket, as it was before the stream, and what is kept for it; nothing if something is left of the stream.
    pub fn into_parts(self) -> Option<(WebSocket<T>, Box<dyn Debug + Send>)> {
        self.early.is_empty().then_some((self.socket, self.kept))
    }

    /// Holds what the side sends while the other one is awaited, up to [`EARLY_BYTES`]; beyond that TCP holds it
    /// back. Returns only when the side has left. Safe to cancel. One that speaks `devstream.v1` is told that the hub
    /// is there, and must be.
    pub async fn hold(&mut self, patience: Option<Patience>) -> Departure {
        let mut held: usize = self.early.iter().flatten().map(size).sum();
        let mut watch = Watch::new(patience, &self.socket.pulse, &self.socket.pulse);
        while held < EARLY_BYTES {
            let heard = tokio::select! {
                heard = self.socket.reader.next() => heard,
                beat = watch.next() => match beat {
                    Ok(()) => self.socket.writer.ping().await.map(|()| Incoming::Ping),
                    Err(silent) => Err(silent),
                },
            };
            match heard {
                Ok(Incoming::Closed(told)) if !is_clean(told.as_ref()) => return Departure::Closed(told),
                Ok(Incoming::Ping | Incoming::Pong) => {}
                Ok(Incoming::Bytes(bytes)) if bytes.is_empty() => {}
                Ok(message @ Incoming::Closed(_)) => {
                    // It has said all it had to say: the other side will hear it.
                    self.early.push_back(Ok(message));
                    return std::future::pending().await;
                }
                Ok(message) => {
                    held += size(&message);
                    self.early.push_back(Ok(message));
                }
                Err(broken) => return Departure::Broken(broken),
            }
        }
        // It is not read, so its silence says nothing; it is told that the hub is there.
        loop {
            watch.reads_on();
            if watch.next().await.is_ok()
                && let Err(broken) = self.socket.writer.ping().await
            {
                return Departure::Broken(broken);
            }
        }
    }

    /// Ends with a side that left before the other one came.
    pub async fn part(self, departure: &Departure) {
        match departure {
            Departure::Closed(_) | Departure::Rested => self.socket.await_close().await,
            Departure::Broken(broken) => self.socket.close_with_error(broken).await,
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

fn is_clean(told: Option<&(u16, String)>) -> bool {
    told.is_none_or(|(code, _)| *code == CLOSE_NORMAL)
}

/// How a side left.
#[derive(Debug)]
pub enum Departure {
    /// With a close frame.
    Closed(Option<(u16, String)>),
    /// Without.
    Broken(WebSocketError),
    /// It has not: it is done with the stream, and its connection is used again.
    Rested,
}

impl Departure {
    /// Whether the side said that all was well.
    pub fn is_clean(&self) -> bool {
        match self {
            Self::Closed(told) => is_clean(told.as_ref()),
            Self::Rested => true,
            Self::Broken(_) => false,
        }
    }

    /// Whether only the connection is lost: an end that can comes back.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Closed(_) | Self::Rested => false,
            Self::Broken(broken) => broken.is_loss(),
        }
    }

    /// The same when both ends know that all has arrived: who is lost then was only about to close.
    pub(super) fn after_the_end(self) -> Self {
        if self.is_loss() { Self::Closed(None) } else { self }
    }

    /// For the log.
    pub fn reason(&self) -> String {
        match self {
            Self::Closed(Some((CLOSE_NORMAL, _)) | None) | Self::Rested => "closed".into(),
            Self::Closed(Some((CLOSE_RESET, _))) => "reset".into(),
            Self::Closed(Some((code, _))) => format!("closed with code {code}"),
            Self::Broken(broken) => broken.to_string(),
        }
    }

    /// What the other side is told.
    pub(super) fn goodbye(&self, resumable: bool) -> (u16, String) {
        match self {
            Self::Broken(broken) if resumable && broken.is_loss() => {
                let refusal = Refusal::from(Kind::Interrupted);
                (refusal.kind.row().close, refusal.close_reason())
            }
            Self::Closed(Some((code, reason))) => (*code, reason.clone()),
            Self::Closed(None) | Self::Rested => (CLOSE_NORMAL, String::new()),
            Self::Broken(_) => {
                let row = Kind::PeerGone.row();
                (row.close, row.sentence.into())
            }
        }
    }
}
