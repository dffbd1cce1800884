//! WebSocket messages (RFC 6455) with this protocol's limits, on a connection whose upgrade is done. tungstenite does
//! the framing.
//!
//! Its `WebSocketContext` is driven here rather than through `tokio_tungstenite::WebSocketStream`, since the latter's
//! limits and buffers are fixed once it is made: see `frame_io.rs`.

pub mod channel;
mod error;
mod frame_io;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::Message;

pub use self::error::WebSocketError;
use self::frame_io::FrameIo;
use crate::net::liveness::{Liveness, LivenessIo};
use crate::net::os::{clock, random};
use crate::proto::limits::{
    CLOSE_TIMEOUT, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, MAX_RECEIVED_MESSAGE_BYTES,
};
use crate::proto::refusal::Refusal;
pub use crate::proto::stream::CLOSE_NORMAL;
use crate::proto::token_bucket::{Rate, TokenBucket};
use crate::proto::websocket::CLOSE_PROTOCOL;
pub use crate::proto::websocket::{CLOSE_POLICY, CLOSE_UNSUPPORTED, WebSocketRole};

/// RFC 6455 section 1.3.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Limit of the bytes that are still read from a peer which has not read our close yet.
const LINGER_BYTES: u64 = 1024 * 1024;

/// The use of a WebSocket, which decides its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketKind {
    /// Control messages.
    Control,
    /// A stream's bytes.
    Stream,
    /// A stream's bytes, between two ends that agreed to leave out masks ([`crate::proto::websocket::unmasked`]).
    UnmaskedStream,
}

/// The parameters of a WebSocket, decided by its upgrade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Size limit of a received message, in bytes.
    pub message_limit: usize,
    /// The client masks its frames (RFC 6455 section 5.3).
    pub masked: bool,
}

impl From<SocketKind> for Options {
    fn from(kind: SocketKind) -> Self {
        let message_limit = match kind {
            SocketKind::Control => CONTROL_MESSAGE_BYTES,
            SocketKind::Stream | SocketKind::UnmaskedStream => MAX_RECEIVED_MESSAGE_BYTES,
        };
        Self { message_limit, masked: kind != SocketKind::UnmaskedStream }
    }
}

/// Generates a client's `Sec-WebSocket-Key`.
pub fn generate_key() -> String {
    STANDARD.encode(random::bytes::<16>())
}

/// Derives the server's `Sec-WebSocket-Accept` from a client's key.
pub fn derive_accept_key(key: &[u8]) -> String {
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, ACCEPT_GUID.as_bytes()].concat()))
}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A binary message. On a stream, an empty one means nothing.
    Bytes(Bytes),
    /// A text message.
    Text(String),
    /// A ping, already answered.
    Ping,
    /// A pong, solicited or not.
    Pong,
    /// The peer's close frame, with its code and reason if it has them. Nothing follows.
    Closed(Option<(u16, String)>),
}

/// The longest time that queued messages wait for a message that they can go out with, where one is likely to follow: they
/// save the peer a wake-up, and nobody notices it.
pub const MAX_HOLD: Duration = Duration::from_millis(1);

/// A connection that can carry a WebSocket.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Both halves of a WebSocket. They belong to one task: whichever half is polled also writes pending output.
#[derive(Debug)]
pub struct WebSocket<T> {
    /// The receiving half.
    pub reader: Reader<T>,
    /// The sending half.
    pub writer: Writer<T>,
    /// The instants of the last read and the last write.
    pub liveness: Arc<Liveness>,
    /// The role of this end.
    pub endpoint: WebSocketRole,
}

impl<T: Transport> WebSocket<T> {
    /// Creates a WebSocket on an upgraded connection; `early` holds the bytes that were read beyond the upgrade's head.
    pub fn new(transport: T, early: &[u8], endpoint: WebSocketRole, options: impl Into<Options>) -> Self {
        let (transport, liveness) = LivenessIo::new(transport);
        let io = Arc::new(Mutex::new(FrameIo::new(transport, early, endpoint, options.into())));
        let control_budget = TokenBucket::new(Rate::CONTROL_FRAMES, clock::now());
        let reader = Reader { io: io.clone(), control_budget, paused_until: None, excused: 0 };
        Self { reader, writer: Writer { io }, liveness, endpoint }
    }

    /// Calls `with` on the transport.
    pub fn with_transport<O>(&self, with: impl FnOnce(&T) -> O) -> O {
        with(self.writer.io.lock().transport())
    }

    /// Sets the limits of received messages to those of this use, from the next message on. A hub gives each control
    /// message that has begun [`CONTROL_MESSAGE_TIME`].
    ///
    /// [`CONTROL_MESSAGE_TIME`]: crate::proto::limits::CONTROL_MESSAGE_TIME
    pub fn limit_messages(&self, kind: SocketKind) {
        self.writer.io.lock().limit_messages(kind);
    }

    /// Sends a close frame and waits up to [`CLOSE_TIMEOUT`] for the peer's, discarding other messages. The frame is
    /// queued behind earlier messages, for as long as the peer takes to read those.
    pub async fn close(mut self, code: u16, reason: &str) {
        // Fails after a close: then the answer to the peer's own close is still to be sent.
        let _ = self.writer.close(code, reason).await;
        self.await_close().await;
    }

    /// Sends a close frame and waits for the peer's, without a limit.
    pub async fn close_when_read(mut self, code: u16, reason: &str) {
        if self.writer.close(code, reason).await.is_ok() {
            while self.reader.next().await.is_ok() {}
        }
    }

    /// Closes within [`CLOSE_TIMEOUT`], earlier messages included, or drops the connection.
    pub async fn close_with_timeout(self, code: u16, reason: &str) {
        if tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(self.close(code, reason))).await.is_err() {
            tracing::trace!("a WebSocket did not close in time and was dropped");
        }
    }

    /// Completes the close handshake: sends the answer to the peer's close, or waits for the peer's answer.
    pub async fn await_close(mut self) {
        let answer = async { while self.reader.next().await.is_ok() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(answer)).await.is_err() {
            tracing::trace!("a WebSocket ended without the peer's close frame");
        }
    }

    /// Closes with a refusal's code and reason.
    pub async fn refuse(self, refusal: &Refusal) {
        self.close_with_timeout(refusal.kind.row().close, &refusal.close_reason()).await;
    }

    /// Closes and frees the messages that wait in either direction: a peer that does not take the close frame soon is dropped.
    pub async fn close_and_free(mut self, code: u16, reason: &str) {
        // Fails after a close of the peer's own.
        if tokio::time::timeout(FREEING_TIME, self.writer.close(code, reason)).await.is_ok() {
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(self.linger())).await;
        }
    }

    /// Frees all but the connection, and lingers on that until the peer has read everything.
    async fn linger(self) {
        drop(self.reader);
        if let Some(io) = Arc::into_inner(self.writer.io) {
            linger(io.into_inner().into_transport()).await;
        }
    }

    /// Closes with the code for the peer's violation, and lingers until the peer has read it. A lost connection is only
    /// dropped.
    pub async fn close_with_error(mut self, error: &WebSocketError) {
        let Some(code) = error.code() else { return };
        let close = async {
            if self.writer.close(code, "").await.is_err() {
                // tungstenite has already queued an answer to some violations.
                let _ = self.writer.flush().await;
            }
            self.linger().await;
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, Box::pin(close)).await.is_err() {
            tracing::trace!("a WebSocket did not close in time and was dropped");
        }
    }
}

/// The time for which a peer may take the close frame of a connection whose memory is needed: most of that is a message that
/// the peer has not taken.
const FREEING_TIME: Duration = Duration::from_millis(500);

/// Shuts down the sending side, then reads and discards. A socket that is closed with unread bytes sends a reset, at
/// which the peer discards the close frame unread.
async fn linger<T: Transport>(mut transport: T) {
    let _ = transport.shutdown().await;
    let _ = tokio::io::copy(&mut transport.take(LINGER_BYTES), &mut tokio::io::sink()).await;
}

/// The receiving half of a WebSocket.
#[derive(Debug)]
pub struct Reader<T> {
    io: Arc<Mutex<FrameIo<T>>>,
    /// Limits pings, pongs and empty messages.
    control_budget: TokenBucket,
    /// Reading resumes at this instant.
    paused_until: Option<Instant>,
    /// Pings and pongs that the budget does not count: they arrived while nobody read.
    excused: u32,
}

impl<T: Transport> Reader<T> {
    /// Excuses the pings and pongs that a peer may have sent during a time for which nobody has read.
    pub fn excuse_pause(&mut self, paused: Duration) {
        let most = paused.as_secs().saturating_mul(CONTROL_FRAMES_PER_SECOND.into());
        self.excused = self.excused.saturating_add(u32::try_from(most).unwrap_or(u32::MAX));
    }

    /// Receives the next message. Safe to cancel.
    pub async fn next(&mut self) -> Result<Incoming, WebSocketError> {
        self.end_pause().await;
        let message = poll_fn(|context| self.io.lock().poll_next(context)).await?;
        self.incoming(message)
    }

    /// Receives the next message, but reads not more than `limit` bytes of it: `None` where that holds it back. Safe to
    /// cancel, and to be followed by [`Self::next`].
    pub async fn next_within(&mut self, limit: usize) -> Option<Result<Incoming, WebSocketError>> {
        self.end_pause().await;
        let message = poll_fn(|context| self.io.lock().poll_next_within(context, limit as u64)).await?;
        Some(message.and_then(|message| self.incoming(message)))
    }

    async fn end_pause(&mut self) {
        if let Some(until) = self.paused_until {
            sleep_until(until.into()).await;
            self.paused_until = None;
        }
    }

    fn incoming(&mut self, message: Message) -> Result<Incoming, WebSocketError> {
        match message {
            Message::Binary(bytes) => {
                if bytes.is_empty() {
                    self.slow_down();
                }
                Ok(Incoming::Bytes(bytes))
            }
            Message::Text(text) => Ok(Incoming::Text(text.as_str().to_owned())),
            Message::Ping(_) | Message::Pong(_) if !self.allows_control_frame() => {
                Err(WebSocketError::Violation(CLOSE_POLICY, "too many pings".into()))
            }
            Message::Ping(_) => Ok(Incoming::Ping),
            Message::Pong(_) => Ok(Incoming::Pong),
            Message::Close(frame) => {
                Ok(Incoming::Closed(frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()))))
            }
            Message::Frame(_) => Err(WebSocketError::Violation(CLOSE_PROTOCOL, "raw frame".into())),
        }
    }

    /// Counts a ping or a pong; reports whether the peer may have sent it.
    fn allows_control_frame(&mut self) -> bool {
        let excused = self.excused > 0;
        self.excused = self.excused.saturating_sub(1);
        excused || self.control_budget.take(clock::now())
    }

    /// Throttles empty messages: Azure IoT Hub's C# client sends them in a tight loop after its end of file.
    fn slow_down(&mut self) {
        let now = clock::now();
        if !self.control_budget.take(now) {
            self.paused_until = Some(now + Duration::from_secs(1) / CONTROL_FRAMES_PER_SECOND);
        }
    }
}

/// The sending half of a WebSocket. Each send returns when the transport has taken the message.
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

    /// Queues a text message to go out with the next message or flush: sent together, they are one system call, and
    /// wake the peer once.
    pub async fn buffer_text(&mut self, text: String) -> Result<(), WebSocketError> {
        self.feed(Message::Text(text.into())).await
    }

    /// Queues a binary message to go out with the next message or flush.
    pub async fn buffer_bytes(&mut self, bytes: Bytes) -> Result<(), WebSocketError> {
        self.feed(Message::Binary(bytes)).await
    }

    /// Queues a ping to go out with the next message or flush.
    pub async fn buffer_ping(&mut self) -> Result<(), WebSocketError> {
        self.feed(Message::Ping(Bytes::new())).await
    }

    /// Reports whether messages wait for the next message or flush.
    pub fn is_holding(&self) -> bool {
        self.io.lock().is_holding()
    }

    /// Sends a message, behind the rest of a message whose sender was cancelled and those that were queued.
    async fn send(&mut self, message: Message) -> Result<(), WebSocketError> {
        self.feed(message).await?;
        self.flush().await
    }

    /// Queues a message. If cancelled, the whole message is queued or nothing of it.
    async fn feed(&mut self, message: Message) -> Result<(), WebSocketError> {
        let mut message = Some(message);
        poll_fn(|context| self.io.lock().poll_feed(context, &mut message)).await
    }

    /// Returns when the transport has taken everything.
    pub async fn flush(&mut self) -> Result<(), WebSocketError> {
        poll_fn(|context| self.io.lock().poll_flush(context)).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    fn pair(buffer: usize) -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
        let (near, far) = duplex(buffer);
        let client = WebSocket::new(near, &[], WebSocketRole::Client, SocketKind::Stream);
        (client, WebSocket::new(far, &[], WebSocketRole::Server, SocketKind::Stream))
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
