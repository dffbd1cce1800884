//! The pump at both ends of a stream: a local connection on one side, the stream's WebSocket on the other.
//!
//! Each direction reads, sends, and only then reads again, so a slow reader at the far end holds back the local
//! writer and nothing piles up here.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::websocket::{CLOSE_NORMAL, Incoming, Reader, Transport, WebSocket, Writer};
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
/// by itself; without, the first end closes both after what it sent before.
pub async fn pump<R, W, T>(local: (R, W), mut socket: WebSocket<T>, half_close: bool, counters: &Counters) -> Outcome
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    T: Transport,
{
    let sending_is_over = CancellationToken::new();
    let outcome = {
        let up = pin!(up(local.0, &mut socket.writer, half_close, &sending_is_over, &counters.sent));
        let down = pin!(down(&mut socket.reader, local.1, half_close, &sending_is_over, &counters.received));
        tokio::select! {
            outcome = down => outcome,
            Err(ending) = up => ending.into(),
        }
    };
    match outcome.ending {
        Ending::Clean => socket.close(CLOSE_NORMAL, "").await,
        Ending::LocalReset => socket.close_soon(CLOSE_RESET, "the application reset its connection").await,
        Ending::PeerReset | Ending::Broken => socket.await_close().await,
    }
    outcome
}

/// Local to tunnel.
async fn up<R: AsyncRead + Unpin, T: Transport>(
    mut local: R,
    writer: &mut Writer<T>,
    half_close: bool,
    is_over: &CancellationToken,
    sent: &AtomicU64,
) -> Result<(), Ending> {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(DATA_MESSAGE_BYTES);
        let read = local.read_buf(&mut buffer).await.map_err(|_| Ending::LocalReset)?;
        if read == 0 {
            break;
        }
        if writer.bytes(buffer.split().freeze()).await.is_err() {
            // The other direction reads why, if the hub said why.
            sleep(CLOSE_TIMEOUT).await;
            return Err(Ending::Broken);
        }
        sent.fetch_add(read as u64, Ordering::Relaxed);
    }
    let end = StreamControl::End { bytes: sent.load(Ordering::Relaxed) };
    let told = if half_close { writer.text(end.encode()).await } else { writer.close(CLOSE_NORMAL, "").await };
    is_over.cancel();
    told.map_err(|_| Ending::Broken)
}

/// Tunnel to local. It also sees how the stream ends, so it goes on after the last byte.
async fn down<W: AsyncWrite + Unpin, T: Transport>(
    reader: &mut Reader<T>,
    mut local: W,
    half_close: bool,
    sending_is_over: &CancellationToken,
    received: &AtomicU64,
) -> Outcome {
    let mut inbound = Inbound::default();
    loop {
        let incoming = tokio::select! {
            biased;
            () = sending_is_over.cancelled(), if inbound.is_over() => return Ending::Clean.into(),
            incoming = reader.next() => incoming,
        };
        match incoming {
            Ok(Incoming::Bytes(bytes)) => {
                if inbound.received(bytes.len()).is_err() {
                    return Ending::Broken.into();
                }
                if local.write_all(&bytes).await.is_err() || local.flush().await.is_err() {
                    return Ending::LocalReset.into();
                }
                received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Ok(Incoming::Text(text)) => match StreamControl::decode(&text) {
                Ok(StreamControl::End { bytes }) if half_close && inbound.end(bytes).is_ok() => {
                    // A local side that is already gone shows when the other direction meets it.
                    let _ = local.shutdown().await;
                }
                _ => return Ending::Broken.into(),
            },
            Ok(Incoming::Alive) => {}
            Ok(Incoming::Closed(told)) => return closed(told, half_close, local).await,
            Err(_) => return Ending::Broken.into(),
        }
    }
}

/// What a close frame means. Only a peer without half-close may end a direction with it.
async fn closed<W: AsyncWrite + Unpin>(told: Option<(u16, String)>, half_close: bool, mut local: W) -> Outcome {
    match told {
        Some((CLOSE_NORMAL, _)) | None if !half_close => {
            let _ = local.shutdown().await;
            Ending::Clean.into()
        }
        Some((CLOSE_RESET, _)) => Ending::PeerReset.into(),
        Some((code, reason)) => {
            let refusal = Refusal::from_close(code, &reason).unwrap_or_else(|| Kind::PeerGone.into());
            Outcome { ending: Ending::Broken, refusal: Some(refusal) }
        }
        None => Ending::Broken.into(),
    }
}
