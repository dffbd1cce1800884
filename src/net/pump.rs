//! The pump at both ends of a stream: a local connection on one side, the stream's WebSocket on the other.
//!
//! Three things go on side by side: `send` reads the local side as far as the peer's window allows, `receive`
//! takes whatever the WebSocket brings, at once, and `deliver` writes it to the local side. What waits between the
//! last two is never more than our own window, which the peer keeps to.

mod flow;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;

use self::flow::Flow;
use super::websocket::{Broken, CLOSE_NORMAL, Incoming, Reader, Transport, WebSocket, Writer};
use crate::proto::limits::{CLOSE_TIMEOUT, DATA_MESSAGE_BYTES};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::stream::{CLOSE_RESET, Ending, Inbound, StreamControl};

/// Bytes so far; read by whoever shows them.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the local side into the tunnel.
    pub sent: AtomicU64,
    /// From the tunnel to the local side.
    pub received: AtomicU64,
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

/// Carries bytes until the stream is over. With `half_close`, both ends speak `devstream.v1` and each direction ends
/// by itself; without, the first end closes both after what it sent before. A hub that is about to end says how long
/// the stream may still take.
pub async fn pump<R, W, T>(
    local: (R, W),
    mut socket: WebSocket<T>,
    half_close: bool,
    counters: &Counters,
    on_drain: &(dyn Fn(Duration) + Sync),
) -> Outcome
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: Transport,
{
    let flow = Flow::new(half_close);
    let outcome = {
        let mut send = pin!(send(local.0, &mut socket.writer, &flow, &counters.sent));
        let mut receive = pin!(receive(&mut socket.reader, &flow, on_drain));
        let mut deliver = pin!(deliver(local.1, &flow, &counters.received));
        let (mut delivered, mut closed) = (false, false);
        loop {
            tokio::select! {
                Err(ending) = &mut send => break ending.into(),
                outcome = &mut receive, if !closed => match outcome {
                    // The peer has all of ours, and all of its own is here: only our local side is slow.
                    Outcome { ending: Ending::Clean, .. } => closed = true,
                    outcome => break outcome,
                },
                result = &mut deliver, if !delivered => match result {
                    Ok(()) => delivered = true,
                    Err(ending) => break ending.into(),
                },
                () = flow.sending_over(), if delivered => break Ending::Clean.into(),
            }
        }
    };
    match outcome.ending {
        Ending::Clean => socket.close(CLOSE_NORMAL, "").await,
        Ending::LocalReset => socket.close_soon(CLOSE_RESET, "the application reset its connection").await,
        Ending::PeerReset | Ending::Broken => socket.await_close().await,
    }
    outcome
}

/// Local to tunnel, and what the peer must know of the other direction.
async fn send<R: AsyncRead + Unpin, T: Transport>(
    mut local: R,
    writer: &mut Writer<T>,
    flow: &Flow,
    sent: &AtomicU64,
) -> Result<(), Ending> {
    let mut buffer = BytesMut::new();
    let mut open = true;
    loop {
        let credit = flow.credit(sent.load(Ordering::Relaxed)).min(DATA_MESSAGE_BYTES as u64);
        if open && credit > 0 {
            buffer.reserve(DATA_MESSAGE_BYTES);
        }
        let mut source = (&mut local).take(credit);
        let told = tokio::select! {
            biased;
            ack = flow.acknowledgement() => writer.text(ack.encode()).await,
            () = flow.more_credit(), if open && credit == 0 => continue,
            read = source.read_buf(&mut buffer), if open && credit > 0 => match read {
                Err(_) => return Err(Ending::LocalReset),
                Ok(0) => {
                    open = false;
                    let told = tell_end(writer, flow, sent.load(Ordering::Relaxed)).await;
                    flow.end_sending();
                    told
                }
                Ok(count) => {
                    let told = writer.bytes(buffer.split().freeze()).await;
                    sent.fetch_add(count as u64, Ordering::Relaxed);
                    told
                }
            },
        };
        if told.is_err() {
            // The other direction reads why, if the hub said why.
            sleep(CLOSE_TIMEOUT).await;
            return Err(Ending::Broken);
        }
    }
}

async fn tell_end<T: Transport>(writer: &mut Writer<T>, flow: &Flow, bytes: u64) -> Result<(), Broken> {
    if flow.half_close {
        writer.text(StreamControl::End { bytes }.encode()).await
    } else {
        writer.close(CLOSE_NORMAL, "").await
    }
}

/// Tunnel to the queue for the local side. It ends with the WebSocket.
async fn receive<T: Transport>(reader: &mut Reader<T>, flow: &Flow, on_drain: &(dyn Fn(Duration) + Sync)) -> Outcome {
    let mut inbound = Inbound::new(flow.limit());
    loop {
        flow.room().await;
        match reader.next().await {
            Ok(Incoming::Bytes(bytes)) => {
                inbound.allow(flow.limit());
                if inbound.received(bytes.len()).is_err() {
                    return Ending::Broken.into();
                }
                flow.put(&bytes);
            }
            Ok(Incoming::Text(text)) if flow.half_close => match StreamControl::decode(&text) {
                Ok(StreamControl::End { bytes }) if inbound.end(bytes).is_ok() => flow.end_receiving(),
                Ok(StreamControl::Ack { bytes, window }) => flow.allow(bytes, window),
                Ok(StreamControl::Drain { seconds }) => on_drain(Duration::from_secs(seconds)),
                Ok(StreamControl::End { .. }) | Err(_) => return Ending::Broken.into(),
            },
            Ok(Incoming::Text(_)) | Err(_) => return Ending::Broken.into(),
            Ok(Incoming::Ping | Incoming::Pong) => {}
            Ok(Incoming::Closed(Some((CLOSE_NORMAL, _)))) if flow.is_settled() => return Ending::Clean.into(),
            Ok(Incoming::Closed(told)) => match closed(told, flow.half_close) {
                Some(outcome) => return outcome,
                None => flow.end_receiving(),
            },
        }
        if !flow.half_close && flow.has_received_all() {
            // Nothing follows a close; what came before it is still being delivered.
            flow.end_sending();
            std::future::pending::<()>().await;
        }
    }
}

/// What a close frame means; nothing but the end for a peer without half-close, which has no other way to say it.
fn closed(told: Option<(u16, String)>, half_close: bool) -> Option<Outcome> {
    match told {
        Some((CLOSE_NORMAL, _)) | None if !half_close => None,
        Some((CLOSE_RESET, _)) => Some(Ending::PeerReset.into()),
        Some((code, reason)) => {
            let refusal = Refusal::from_close(code, &reason).unwrap_or_else(|| Kind::PeerGone.into());
            Some(Outcome { ending: Ending::Broken, refusal: Some(refusal) })
        }
        None => Some(Ending::Broken.into()),
    }
}

/// The queue to the local side, until the peer's direction is over and written.
async fn deliver<W: AsyncWrite + Unpin>(mut local: W, flow: &Flow, received: &AtomicU64) -> Result<(), Ending> {
    while let Some(bytes) = flow.take().await {
        local.write_all(&bytes).await.map_err(|_| Ending::LocalReset)?;
        local.flush().await.map_err(|_| Ending::LocalReset)?;
        received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        flow.written(bytes.len());
    }
    // A local side that is already gone shows when the other direction meets it.
    let _ = local.shutdown().await;
    Ok(())
}
