//! WebSocket messages (RFC 6455) with this protocol's limits; tungstenite does the framing.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep_until;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, error::ProtocolError};

pub use tokio_tungstenite::tungstenite::handshake::client::generate_key;
pub use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
pub use tokio_tungstenite::tungstenite::protocol::Role as Endpoint;

use super::clock;
use super::pulse::{Felt, Pulse};
use crate::proto::allowance::Allowance;
use crate::proto::limits::{CLOSE_TIMEOUT, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, DATA_MESSAGE_LIMIT};
use crate::proto::refusal::Refusal;
pub use crate::proto::stream::CLOSE_NORMAL;

/// RFC 6455 section 7.4.1, for this and the following: against the protocol.
const CLOSE_PROTOCOL: u16 = 1002;
/// A message of a kind that does not belong here.
pub const CLOSE_UNSUPPORTED: u16 = 1003;
/// Text that is not UTF-8.
const CLOSE_NOT_TEXT: u16 = 1007;
/// A message against the rules.
pub const CLOSE_POLICY: u16 = 1008;
/// A message over the limit.
const CLOSE_TOO_BIG: u16 = 1009;

/// A connection's read buffer is allocated at once and kept: idle devices are many, so theirs is small …
const CONTROL_READ_BUFFER: usize = 4 * 1024;
/// … and a stream's takes a few TLS records.
const STREAM_READ_BUFFER: usize = 64 * 1024;

/// The largest message we send, with its head: text is passed on whole.
const LARGEST_SENT: usize = DATA_MESSAGE_LIMIT + 14;
/// A peer that pings and reads nothing gets this much of pongs kept for it beside a message; of the rest, the last.
const ANSWERS: usize = 4 * 1024;

/// What may be under way from a peer that has not yet read our close.
const LINGER_BYTES: u64 = 1024 * 1024;

/// What a WebSocket is for, which decides its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Control messages.
    Control,
    /// A stream's bytes.
    Stream,
}

impl Purpose {
    fn config(self) -> WebSocketConfig {
        let (buffer, limit) = match self {
            Self::Control => (CONTROL_READ_BUFFER, CONTROL_MESSAGE_BYTES),
            Self::Stream => (STREAM_READ_BUFFER, DATA_MESSAGE_LIMIT),
        };
        WebSocketConfig::default()
            .read_buffer_size(buffer)
            // Each message goes to the socket at once: what is buffered is never more than one.
            .write_buffer_size(0)
            .max_write_buffer_size(LARGEST_SENT + ANSWERS)
            .max_message_size(Some(limit))
            .max_frame_size(Some(limit))
    }
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
pub enum Broken {
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
    Io(#[from] io::Error),
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            Error::Io(error) => Self::Io(error),
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
                Self::Truncated
            }
            Error::Capacity(_) => Self::Violation(CLOSE_TOO_BIG, error.to_string()),
            Error::Utf8(_) => Self::Violation(CLOSE_NOT_TEXT, error.to_string()),
            Error::Protocol(_)
            | Error::WriteBufferFull(_)
            | Error::AttackAttempt
            | Error::Url(_)
            | Error::Http(_)
            | Error::HttpFormat(_)
            | Error::Tls(_) => Self::Violation(CLOSE_PROTOCOL, error.to_string()),
        }
    }
}

impl Broken {
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

/// Both halves of a WebSocket.
#[derive(Debug)]
pub struct WebSocket<T> {
    /// What arrives.
    pub reader: Reader<T>,
    /// What is sent.
    pub writer: Writer<T>,
    /// When either last happened.
    pub pulse: Arc<Pulse>,
}

impl<T: Transport> WebSocket<T> {
    /// On a connection whose upgrade is done; `early` is what was read beyond the upgrade's head.
    pub async fn new(transport: T, early: Bytes, endpoint: Endpoint, purpose: Purpose) -> Self {
        let config = Some(purpose.config());
        let (transport, pulse) = Felt::new(transport);
        let socket = WebSocketStream::from_partially_read(transport, early.into(), endpoint, config).await;
        let (sink, stream) = socket.split();
        let reader = Reader { stream, allowance: Allowance::new(clock::now()), rests_until: None };
        Self { reader, writer: Writer { sink }, pulse }
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
        if tokio::time::timeout(CLOSE_TIMEOUT, self.close(code, reason)).await.is_err() {
            tracing::trace!("a WebSocket was cut");
        }
    }

    /// Gives the peer's close its answer, or waits for the peer's answer to ours.
    pub async fn await_close(mut self) {
        let answer = async { while self.reader.next().await.is_ok() {} };
        if tokio::time::timeout(CLOSE_TIMEOUT, answer).await.is_err() {
            tracing::trace!("a WebSocket ended without an answer to its close");
        }
    }

    /// Says goodbye with a refusal.
    pub async fn refuse(self, refusal: &Refusal) {
        self.close_soon(refusal.kind.row().close, &refusal.close_reason()).await;
    }

    /// Tells a peer that broke the rules so, if it did, and lets it read that.
    pub async fn complain(mut self, broken: &Broken) {
        let Some(code) = broken.code() else { return };
        let farewell = async {
            let _ = self.writer.close(code, "").await;
            if let Ok(socket) = self.reader.stream.reunite(self.writer.sink) {
                linger(socket.into_inner()).await;
            }
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, farewell).await.is_err() {
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
    stream: SplitStream<WebSocketStream<Felt<T>>>,
    allowance: Allowance,
    /// Nothing is read before.
    rests_until: Option<Instant>,
}

impl<T: Transport> Reader<T> {
    /// The next thing. Safe to cancel.
    pub async fn next(&mut self) -> Result<Incoming, Broken> {
        if let Some(until) = self.rests_until {
            sleep_until(until.into()).await;
            self.rests_until = None;
        }
        loop {
            let message = self.stream.next().await.ok_or(Broken::Truncated)??;
            match message {
                Message::Binary(bytes) => {
                    if bytes.is_empty() {
                        self.slow_down();
                    }
                    return Ok(Incoming::Bytes(bytes));
                }
                Message::Text(text) => return Ok(Incoming::Text(text.as_str().to_owned())),
                Message::Ping(_) | Message::Pong(_) if !self.allowance.take(clock::now()) => {
                    return Err(Broken::Violation(CLOSE_POLICY, "more pings than anyone needs".into()));
                }
                Message::Ping(_) => return Ok(Incoming::Ping),
                Message::Pong(_) => return Ok(Incoming::Pong),
                Message::Close(frame) => {
                    let told = frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned()));
                    return Ok(Incoming::Closed(told));
                }
                Message::Frame(_) => {}
            }
        }
    }

    /// The original's C# client sends empty messages in a tight loop after its end of file: not an error, but
    /// never at full speed.
    fn slow_down(&mut self) {
        let now = clock::now();
        if !self.allowance.take(now) {
            self.rests_until = Some(now + Duration::from_secs(1) / CONTROL_FRAMES_PER_SECOND);
        }
    }
}

/// What is sent on a WebSocket. Each send returns when the socket has taken the message.
#[derive(Debug)]
pub struct Writer<T> {
    sink: SplitSink<WebSocketStream<Felt<T>>, Message>,
}

impl<T: Transport> Writer<T> {
    /// A binary message.
    pub async fn bytes(&mut self, bytes: Bytes) -> Result<(), Broken> {
        self.send(Message::Binary(bytes)).await
    }

    /// A text message.
    pub async fn text(&mut self, text: String) -> Result<(), Broken> {
        self.send(Message::Text(text.into())).await
    }

    /// A ping.
    pub async fn ping(&mut self) -> Result<(), Broken> {
        self.send(Message::Ping(Bytes::new())).await
    }

    /// A close frame. Nothing can be sent after it.
    pub async fn close(&mut self, code: u16, reason: &str) -> Result<(), Broken> {
        let frame = CloseFrame { code: CloseCode::from(code), reason: reason.into() };
        self.send(Message::Close(Some(frame))).await
    }

    /// Pongs that wait go first, so that there is room for any message.
    async fn send(&mut self, message: Message) -> Result<(), Broken> {
        self.sink.flush().await?;
        Ok(self.sink.send(message).await?)
    }
}
