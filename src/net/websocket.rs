//! WebSocket messages (RFC 6455) with this protocol's limits, on a connection whose upgrade is done. tungstenite does the
//! framing.
//!
//! Its `WebSocketContext` is driven here rather than through `tokio_tungstenite::WebSocketStream`, since the latter's limits
//! and buffers are fixed once it is made: see [`frame_io`].

mod frame_io;

use std::future::poll_fn;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use self::frame_io::FrameIo;
use super::pulse::{Felt, Pulse};
use super::{clock, random};
use crate::proto::allowance::Allowance;
use crate::proto::limits::{CLOSE_TIMEOUT, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, DATA_MESSAGE_LIMIT};
use crate::proto::refusal::Refusal;
pub use crate::proto::stream::CLOSE_NORMAL;
use crate::proto::websocket::{CLOSE_NOT_TEXT, CLOSE_PROTOCOL, CLOSE_TOO_BIG};
pub use crate::proto::websocket::{CLOSE_POLICY, CLOSE_UNSUPPORTED, Endpoint};

/// RFC 6455 section 1.3.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What may be under way from a peer that has not yet read our close.
const LINGER_BYTES: u64 = 1024 * 1024;

/// What a WebSocket is for, which decides its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// Control messages.
    Control,
    /// A stream's bytes.
    Stream,
    /// The same between two ends that agreed on [`crate::proto::websocket::unmasked`].
    UnmaskedStream,
}

/// The parameters of a WebSocket that its upgrade decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The largest message that is accepted.
    pub message_limit: usize,
    /// The client masks its frames, as RFC 6455 section 5.3 has it.
    pub masked: bool,
}

impl From<SocketKind> for Options {
    fn from(kind: SocketKind) -> Self {
        let message_limit = match kind {
            SocketKind::Control => CONTROL_MESSAGE_BYTES,
            SocketKind::Stream | SocketKind::UnmaskedStream => DATA_MESSAGE_LIMIT,
        };
        Self { message_limit, masked: kind != SocketKind::UnmaskedStream }
    }
}

/// A client's `Sec-WebSocket-Key`.
pub fn generate_key() -> String {
    STANDARD.encode(random::bytes::<16>())
}

/// A server's answer to it, `Sec-WebSocket-Accept`.
pub fn derive_accept_key(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPT_GUID.as_bytes()].concat()))
}

/// What can arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A binary message, which on a stream of bytes changes nothing if it is empty.
    Bytes(Bytes),
    /// A text message.
    Text(String),
    /// A ping: the peer lives.
    Ping,
    /// A pong: it has answered a ping of ours, or just lives.
    Pong,
    /// The peer closed, with a code and a reason if it gave any. Nothing follows.
    Closed(Option<(u16, String)>),
}

/// Why a WebSocket ended otherwise than by a close frame.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The connection went away without a close frame.
    #[error("the connection ended without a close")]
    Truncated,
    /// The peer sent something that the rules do not allow, and the close code that says so.
    #[error("the peer broke the protocol: {1}")]
    Violation(u16, String),
    /// Nothing was heard from the peer for too long.
    #[error("the peer is silent")]
    Silent,
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for WebSocketError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Io(error) }
    }
}

impl From<Error> for WebSocketError {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
                Self::Truncated
            }
            Error::Capacity(error) => Self::Violation(CLOSE_TOO_BIG, error.to_string()),
            Error::Utf8(_) => Self::Violation(CLOSE_NOT_TEXT, error.to_string()),
            Error::Protocol(error) => Self::Violation(CLOSE_PROTOCOL, error.to_string()),
            Error::WriteBufferFull(_) | Error::AttackAttempt | Error::Url(_) | Error::Tls(_) => {
                Self::Violation(CLOSE_PROTOCOL, error.to_string())
            }
        }
    }
}

impl WebSocketError {
    /// Whether it is merely the connection that is lost: the peer did nothing wrong.
    pub fn is_loss(&self) -> bool {
        self.code().is_none()
    }

    /// The close code that tells the peer, if it is to blame.
    fn code(&self) -> Option<u16> {
        match self {
            Self::Violation(code, _) => Some(*code),
            Self::Truncated | Self::Silent | Self::Io(_) => None,
        }
    }
}

/// Any connection a WebSocket can be on.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Both halves of a WebSocket. One task has them both: whichever is polled sends what waits.
#[derive(Debug)]
pub struct WebSocket<T> {
    /// What arrives.
    pub reader: Reader<T>,
    /// What is sent.
    pub writer: Writer<T>,
    /// When either last happened.
    pub pulse: Arc<Pulse>,
    /// Which end this is.
    pub endpoint: Endpoint,
}

impl<T: Transport> WebSocket<T> {
    /// Starts on a connection whose upgrade is done; `early` is what was read beyond the upgrade's head.
    pub fn new(transport: T, early: &[u8], endpoint: Endpoint, options: impl Into<Options>) -> Self {
        let (transport, pulse) = Felt::new(transport);
        let io = Arc::new(Mutex::new(FrameIo::new(transport, early, endpoint, options.into())));
        let reader = Reader { io: io.clone(), allowance: Allowance::new(clock::now()), paused_until: None };
        Self { reader, writer: Writer { io }, pulse, endpoint }
    }

    /// Says goodbye and waits a moment for the answer, discarding what still arrives. The close itself waits its
    /// turn behind what was sent before it, for as long as the peer takes to read that.
    pub async fn close(mut self, code: u16, reason: &str) {
        // It cannot be said twice; then the answer to the peer's own close is still to be given.
        let _ = self.writer.close(code, reason).await;
        self.await_close().await;
    }

    /// The same, waiting for the answer as long as the peer takes to read up to it.
    pub async fn close_when_read(mut self, code: u16, reason: &str) {
        if self.writer.close(code, reason).await.is_ok() {
            while self.reader.next().await.is_ok() {}
        }
    }

    /// The same for a connection on which nothing is owed any more: it gets a moment, then it is cut.
    pub async fn close_soon(self, code: u16, reason: &str) {
        if tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(self.close(code, reason))).await.is_err() {
            tracing::trace!("a WebSocket was cut");
        }
    }

    /// Gives the peer's close its answer, or waits for the peer's answer to ours.
    pub async fn await_close(mut self) {
        let answer = async { while self.reader.next().await.is_ok() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(answer)).await.is_err() {
            tracing::trace!("a WebSocket ended without an answer to its close");
        }
    }

    /// Says goodbye with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.close_soon(refusal.kind.row().close, &refusal.close_reason()).await;
    }

    /// Tells a peer that broke the rules so, if it did, and lets it read that.
    pub async fn close_with_error(mut self, broken: &WebSocketError) {
        let Some(code) = broken.code() else { return };
        let farewell = async {
            if self.writer.close(code, "").await.is_err() {
                // tungstenite has its own answer to some of it.
                let _ = self.writer.flush().await;
            }
            drop(self.reader);
            if let Some(io) = Arc::into_inner(self.writer.io) {
                linger(io.into_inner().unwrap_or_else(PoisonError::into_inner).into_transport()).await;
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(farewell)).await.is_err() {
            tracing::trace!("a WebSocket was cut");
        }
    }
}

/// A socket that is closed with bytes unread is reset, and the peer loses what was said last: so a moment's worth of
/// those is read and dropped.
async fn linger<T: Transport>(mut transport: T) {
    let _ = transport.shutdown().await;
    let _ = tokio::io::copy(&mut transport.take(LINGER_BYTES), &mut tokio::io::sink()).await;
}

/// What arrives on a WebSocket.
#[derive(Debug)]
pub struct Reader<T> {
    io: Arc<Mutex<FrameIo<T>>>,
    allowance: Allowance,
    /// Reading continues at this time.
    paused_until: Option<Instant>,
}

impl<T: Transport> Reader<T> {
    /// The next thing. Safe to cancel.
    pub async fn next(&mut self) -> Result<Incoming, WebSocketError> {
        if let Some(until) = self.paused_until {
            sleep_until(until.into()).await;
            self.paused_until = None;
        }
        match poll_fn(|context| lock(&self.io).poll_next(context)).await? {
            Message::Binary(bytes) => {
                if bytes.is_empty() {
                    self.slow_down();
                }
                Ok(Incoming::Bytes(bytes))
            }
            Message::Text(text) => Ok(Incoming::Text(text.as_str().to_owned())),
            Message::Ping(_) | Message::Pong(_) if !self.allowance.take(clock::now()) => {
                Err(WebSocketError::Violation(CLOSE_POLICY, "more pings than anyone needs".into()))
            }
            Message::Ping(_) => Ok(Incoming::Ping),
            Message::Pong(_) => Ok(Incoming::Pong),
            Message::Close(frame) => {
                Ok(Incoming::Closed(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()))))
            }
            Message::Frame(_) => Err(WebSocketError::Violation(CLOSE_PROTOCOL, "a frame that is no message".into())),
        }
    }

    /// The original's C# client sends empty messages in a tight loop after its end of file: not an error, but
    /// never at full speed.
    fn slow_down(&mut self) {
        let now = clock::now();
        if !self.allowance.take(now) {
            self.paused_until = Some(now + Duration::from_secs(1) / CONTROL_FRAMES_PER_SECOND);
        }
    }
}

/// What is sent on a WebSocket. Each send returns when the socket has taken the message.
#[derive(Debug)]
pub struct Writer<T> {
    io: Arc<Mutex<FrameIo<T>>>,
}

impl<T: Transport> Writer<T> {
    /// Sends a binary message.
    pub async fn bytes(&mut self, bytes: Bytes) -> Result<(), WebSocketError> {
        self.send(Message::Binary(bytes)).await
    }

    /// Sends a text message.
    pub async fn text(&mut self, text: String) -> Result<(), WebSocketError> {
        self.send(Message::Text(text.into())).await
    }

    /// Sends a ping.
    pub async fn ping(&mut self) -> Result<(), WebSocketError> {
        self.send(Message::Ping(Bytes::new())).await
    }

    /// Sends a close frame. Nothing can be sent after it.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        self.send(frame_io::close(code, reason)).await
    }

    /// Queues a text message that goes out with the next message, or the next flush: what is sent at the same time is one
    /// system call, and wakes the peer once.
    pub async fn hold_text(&mut self, text: String) -> Result<(), WebSocketError> {
        self.feed(Message::Text(text.into())).await
    }

    /// Queues a ping that goes out with the next message, or the next flush.
    pub async fn hold_ping(&mut self) -> Result<(), WebSocketError> {
        self.feed(Message::Ping(Bytes::new())).await
    }

    /// Whatever is still being sent goes first: the rest of a message whose sender was cancelled, and what was queued.
    async fn send(&mut self, message: Message) -> Result<(), WebSocketError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Cancelled, it has either queued the whole message or nothing of it.
    async fn feed(&mut self, message: Message) -> Result<(), WebSocketError> {
        let mut message = Some(message);
        poll_fn(|context| lock(&self.io).poll_feed(context, &mut message)).await
    }

    /// Returns when the socket has taken everything.
    pub async fn flush(&mut self) -> Result<(), WebSocketError> {
        poll_fn(|context| lock(&self.io).poll_flush(context)).await
    }
}

fn lock<T>(io: &Mutex<FrameIo<T>>) -> MutexGuard<'_, FrameIo<T>> {
    io.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    fn pair(buffer: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
        let (near, far) = duplex(buffer);
        let client = WebSocket::new(near, &[], Endpoint::Client, SocketKind::Stream);
        (client, WebSocket::new(far, &[], Endpoint::Server, SocketKind::Stream))
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_whose_sender_gave_up_is_still_sent_whole_and_first() {
        let (mut near, mut far) = pair(64);
        let long = Bytes::from(vec![7; 10_000]);
        assert!(timeout(CLOSE_TIMEOUT, near.writer.bytes(long.clone())).await.is_err(), "nobody reads");
        let hears = async { (far.reader.next().await.unwrap(), far.reader.next().await.unwrap()) };
        let (said, heard) = tokio::join!(near.writer.text("next".into()), hears);
        said.unwrap();
        assert_eq!(heard, (Incoming::Bytes(long), Incoming::Text("next".into())));
    }

    #[tokio::test(start_paused = true)]
    async fn pings_are_answered_while_a_message_waits_for_a_peer_that_does_not_read() {
        let (mut near, mut far) = pair(64);
        far.writer.ping().await.unwrap();
        let message = Bytes::from(vec![7; 10_000]);
        let says = async {
            assert!(timeout(CLOSE_TIMEOUT, near.writer.bytes(message.clone())).await.is_err());
            assert_eq!(near.reader.next().await.unwrap(), Incoming::Ping);
            timeout(CLOSE_TIMEOUT, near.reader.next()).await.is_err()
        };
        let hears = async {
            assert_eq!(far.reader.next().await.unwrap(), Incoming::Bytes(message.clone()));
            far.reader.next().await.unwrap()
        };
        let (_, heard) = tokio::join!(says, async {
            sleep_until((clock::now() + CLOSE_TIMEOUT * 3 / 2).into()).await;
            hears.await
        });
        assert_eq!(heard, Incoming::Pong);
    }

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_standard() {
        assert_eq!(derive_accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(STANDARD.decode(generate_key()).unwrap().len(), 16);
    }
}
