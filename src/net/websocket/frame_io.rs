//! The state shared by both halves of a WebSocket: the transport, and tungstenite's protocol state on it.

mod frame_bounds;
#[cfg(test)]
mod tests;
mod tracked_transport;

use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::time::{Sleep, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use self::frame_bounds::FrameBounds;
use self::tracked_transport::TrackedTransport;
use super::{Options, SocketKind, Transport, WebSocketError};
use crate::net::liveness::LivenessIo;
use crate::proto::limits::{CLOSE_REASON_BYTES, CONTROL_MESSAGE_TIME};
use crate::proto::websocket::{CLOSE_POLICY, CLOSE_PROTOCOL, WebSocketRole};

/// Size of the read buffer of a WebSocket with small messages. tungstenite allocates it up front and reads no more at
/// once; an idle connection holds nothing else.
const READ_BUFFER: usize = 1024;

/// Size of the read buffer of a WebSocket with large messages: a TLS record, the most that TLS returns in one read.
/// tungstenite zeroes the buffer before each read, so a larger one would only cost time.
const BULK_READ_BUFFER: usize = 16 * 1024;

/// Size above which a message announces more of its kind. The handshakes of encrypted streams are below it.
const BULK_MESSAGE: usize = 4 * 1024;

/// Interval of the checks for buffers to release: those without a large message since the last check are released, so
/// after one to two intervals.
const KEEP_BULK_BUFFERS: Duration = Duration::from_millis(500);

/// The same where no message announced more. Many streams may begin together: what each of them kept for long would cost memory
/// that the allocator does not give back.
const KEEP_BUFFERS: Duration = Duration::from_millis(50);

/// The pause after each thousand small fragments: a message may have any number of them, as conformance suites send, and a
/// flood of 100,000 a second costs a hundredth of a core.
const FRAGMENT_PAUSE: Duration = Duration::from_millis(10);

/// Size up to which messages that are fed before a flush are collected.
const WRITE_BUFFER: usize = 4 * 1024;

/// Size of the largest control frame: 125 bytes of payload, 6 of header and mask.
const MAX_CONTROL_FRAME: usize = 125 + 6;

/// The transport and the protocol state of one WebSocket.
#[derive(Debug)]
pub(super) struct FrameIo<T> {
    tracked: TrackedTransport<T>,
    protocol: WebSocketContext,
    endpoint: WebSocketRole,
    options: Options,
    /// The read buffer has the size for large messages.
    is_bulk: bool,
    /// tungstenite may hold several messages of those that arrived with the upgrade.
    has_early: bool,
    /// The size of the largest message since `release` was set.
    largest_message: usize,
    /// The timer of the next check, while buffers are larger than initially.
    release: Option<Pin<Box<Sleep>>>,
    /// tungstenite has output that the transport may not have flushed.
    is_unflushed: bool,
    /// All unflushed output waits for the next message or flush of the writer: reading does not send it.
    is_held: bool,
    /// The transport has not taken all output; no message is accepted before it has.
    is_blocked: bool,
    /// A ping or close arrived whose answer may not be in the write buffer yet.
    is_answer_due: bool,
    /// Reading goes on after this.
    pause: Option<Pin<Box<Sleep>>>,
    /// A message that has begun to arrive has a deadline.
    has_deadline: bool,
    /// The deadline of the message that has begun.
    deadline: Option<Pin<Box<Sleep>>>,
    peer_closed: bool,
    /// The peer's violation of the protocol, after which nothing is processed (RFC 6455 section 7.1.7).
    violation: Option<(u16, String)>,
}

impl<T: Transport> FrameIo<T> {
    pub(super) fn transport(&self) -> &T {
        self.tracked.transport.get_ref()
    }

    pub(super) fn new(transport: LivenessIo<T>, early: &[u8], endpoint: WebSocketRole, options: Options) -> Self {
        let (role, config) = (role(endpoint, options), Some(config(options, READ_BUFFER)));
        let mut bounds = FrameBounds::default();
        bounds.advance(early);
        Self {
            tracked: TrackedTransport::new(transport, bounds),
            protocol: WebSocketContext::from_partially_read(early.to_vec(), role, config),
            endpoint,
            options,
            is_bulk: false,
            has_early: !early.is_empty(),
            largest_message: early.len(),
            release: None,
            is_unflushed: false,
            is_held: false,
            is_blocked: false,
            is_answer_due: false,
            pause: None,
            has_deadline: false,
            deadline: None,
            peer_closed: false,
            violation: None,
        }
    }

    /// Sets the limits of received messages to those of this use. Only a hub has deadlines: many identities fill its
    /// memory.
    pub(super) fn limit_messages(&mut self, kind: SocketKind) {
        self.options.message_limit = Options::from(kind).message_limit;
        self.has_deadline = kind == SocketKind::Control && self.endpoint == WebSocketRole::Server;
        self.deadline = None;
        let limit = Some(self.options.message_limit);
        self.protocol.set_config(|config| (config.max_message_size, config.max_frame_size) = (limit, limit));
    }

    pub(super) fn into_transport(self) -> LivenessIo<T> {
        self.tracked.transport
    }

    /// Reads the next message. Answers to pings and closes go out as far as the transport takes them.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WebSocketError>> {
        // Reading goes on while the peer accepts nothing: it may have sent a close frame.
        let flushed = if self.is_held { Poll::Ready(Ok(())) } else { self.poll_flush(context) };
        if self.peer_closed {
            ready!(flushed)?;
        }
        if let Some((code, reason)) = &self.violation {
            return Poll::Ready(Err(WebSocketError::Violation(*code, reason.clone())));
        }
        if self.peer_closed {
            // RFC 6455 section 7.1.1: the server closes the connection.
            return match self.endpoint {
                WebSocketRole::Server => Poll::Ready(Err(WebSocketError::Truncated)),
                WebSocketRole::Client => self.poll_end(context),
            };
        }
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        self.limit_output_to_answers();
        match self.protocol.read(&mut self.tracked.io(context)) {
            Ok(message) => {
                self.tracked.note_incomplete();
                self.on_message(&message);
                if self.is_answer_due {
                    let _ = self.poll_flush(context);
                }
                match violation_in(&message) {
                    Some((code, reason)) => self.violated(code, reason),
                    None => Poll::Ready(Ok(self.detached(message))),
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.tracked.note_incomplete();
                if self.tracked.bounds.is_pause_due() {
                    self.tracked.bounds.paused();
                    self.pause = Some(Box::pin(sleep(FRAGMENT_PAUSE)));
                }
                self.has_early = false;
                self.release_buffers(context);
                if self.is_late(context) {
                    return self
                        .violated(CLOSE_POLICY, format!("half a message for {} s", CONTROL_MESSAGE_TIME.as_secs()));
                }
                Poll::Pending
            }
            Err(error) => match WebSocketError::from(error) {
                WebSocketError::Violation(code, reason) => self.violated(code, reason),
                loss @ (WebSocketError::Truncated | WebSocketError::Silent | WebSocketError::Io(_)) => {
                    Poll::Ready(Err(loss))
                }
            },
        }
    }

    /// Reads the next message, but not more than `limit` bytes of it: `None` where that holds it back. A later read goes on.
    pub(super) fn poll_next_within(
        &mut self,
        context: &mut Context<'_>,
        limit: u64,
    ) -> Poll<Option<Result<Message, WebSocketError>>> {
        self.tracked.limit = Some(limit);
        let message = self.poll_next(context);
        self.tracked.limit = None;
        match message {
            Poll::Pending if self.tracked.bounds.remaining_within(limit) == 0 => Poll::Ready(None),
            Poll::Pending | Poll::Ready(_) => message.map(Some),
        }
    }

    fn violated(&mut self, code: u16, reason: String) -> Poll<Result<Message, WebSocketError>> {
        self.violation = Some((code, reason.clone()));
        Poll::Ready(Err(WebSocketError::Violation(code, reason)))
    }

    /// Reports whether the message that has begun is not complete by its deadline.
    fn is_late(&mut self, context: &mut Context<'_>) -> bool {
        if !self.has_deadline || self.tracked.bounds.is_between_messages() {
            self.deadline = None;
            return false;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(CONTROL_MESSAGE_TIME)));
        deadline.as_mut().poll(context).is_ready()
    }

    fn on_message(&mut self, message: &Message) {
        self.peer_closed = message.is_close();
        if self.tracked.bounds.is_between_messages() {
            self.deadline = None;
        }
        self.is_answer_due |= message.is_close() || message.is_ping() && self.protocol.can_write();
        self.is_unflushed |= self.is_answer_due;
        self.largest_message = self.largest_message.max(message.len());
        if message.len() > BULK_MESSAGE && !self.is_bulk && self.is_between_messages() {
            self.replace_protocol(true);
        }
    }

    /// Copies a small message out of the read buffer: as a part of it, it would keep all of it while it waits.
    fn detached(&self, message: Message) -> Message {
        let small = if self.is_bulk { BULK_READ_BUFFER } else { READ_BUFFER / 2 };
        match &message {
            Message::Binary(bytes) if bytes.len() < small => Message::Binary(Bytes::copy_from_slice(bytes)),
            Message::Binary(_)
            | Message::Text(_)
            | Message::Ping(_)
            | Message::Pong(_)
            | Message::Close(_)
            | Message::Frame(_) => message,
        }
    }

    /// Releases buffers that have grown and are no longer needed. tungstenite's own grow to the largest message and
    /// never shrink, and the rest of the read buffer keeps the whole allocation of the message before it
    /// (<https://github.com/snapview/tungstenite-rs/issues/500>, and
    /// <https://github.com/snapview/tungstenite-rs/pull/556>, which would expose the read buffer's contents).
    fn release_buffers(&mut self, context: &mut Context<'_>) {
        if self.largest_message <= READ_BUFFER && self.release.is_none() {
            return;
        }
        let keep = if self.is_bulk || self.largest_message > BULK_MESSAGE { KEEP_BULK_BUFFERS } else { KEEP_BUFFERS };
        let mut timer = self.release.take().unwrap_or_else(|| Box::pin(sleep(keep)));
        while timer.as_mut().poll(context).is_ready() {
            if mem::take(&mut self.largest_message) <= READ_BUFFER {
                if self.is_between_messages() {
                    self.replace_protocol(false);
                } else {
                    // Checked again when more arrives: half a message wakes nobody.
                    self.largest_message = usize::MAX;
                }
                return;
            }
            timer.set(sleep(keep));
        }
        self.release = Some(timer);
    }

    /// Reports whether tungstenite holds no part of a message in either direction.
    fn is_between_messages(&self) -> bool {
        self.tracked.bounds.is_between_messages() && !self.has_early && !self.is_unflushed && self.protocol.can_write()
    }

    /// Replaces tungstenite's state, which must be between messages.
    fn replace_protocol(&mut self, is_bulk: bool) {
        let read_buffer = if is_bulk { BULK_READ_BUFFER } else { READ_BUFFER };
        let (role, config) = (role(self.endpoint, self.options), config(self.options, read_buffer));
        self.protocol = WebSocketContext::new(role, Some(config));
        self.is_bulk = is_bulk;
    }

    /// Reads and discards until the end of the connection.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WebSocketError>> {
        let mut dropped = [0; 1024];
        while ready!(pin!(self.tracked.transport.read(&mut dropped)).poll(context))? > 0 {}
        Poll::Ready(Err(WebSocketError::Truncated))
    }

    /// Accepts a message, and sends it with the next flush, or at once if [`WRITE_BUFFER`] is exceeded.
    pub(super) fn poll_feed(
        &mut self,
        context: &mut Context<'_>,
        message: &mut Option<Message>,
    ) -> Poll<Result<(), WebSocketError>> {
        if self.is_blocked {
            ready!(self.poll_flush(context))?;
        }
        if !self.protocol.can_write() {
            return Poll::Ready(Err(WebSocketError::Truncated));
        }
        let Some(message) = message.take() else { return Poll::Ready(Ok(())) };
        self.largest_message = self.largest_message.max(message.len());
        self.is_held |= !self.is_unflushed;
        self.is_unflushed = true;
        self.allow_output_of_any_size();
        match self.protocol.write(&mut self.tracked.io(context), message) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.is_blocked = true,
            written => written?,
        }
        Poll::Ready(Ok(()))
    }

    /// Reports whether messages wait for the next message or flush.
    pub(super) fn is_holding(&self) -> bool {
        self.is_held
    }

    /// Ready when the transport has taken everything.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        self.is_held = false;
        while self.is_unflushed {
            if self.peer_closed {
                // A server's state ends with this flush, so its answer must fit into the buffer.
                self.allow_output_of_any_size();
            } else {
                self.limit_output_to_answers();
            }
            match self.protocol.flush(&mut self.tracked.io(context)) {
                Ok(()) => {}
                // The end of a server's state: its answer is written, and not flushed
                // (https://github.com/snapview/tungstenite-rs/issues/405).
                Err(Error::ConnectionClosed) => {
                    if let Err(error) = ready!(Pin::new(&mut self.tracked.transport).poll_flush(context)) {
                        self.tracked.write_failed(&error);
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            self.is_blocked = false;
            // The buffer now has room for an answer that did not fit before.
            self.is_unflushed = mem::take(&mut self.is_answer_due);
        }
        Poll::Ready(self.tracked.write_result())
    }

    /// Has tungstenite add an answer to the write buffer only if that is empty, and else keep the latest one beside it.
    fn limit_output_to_answers(&mut self) {
        self.protocol
            .set_config(|config| (config.write_buffer_size, config.max_write_buffer_size) = (0, MAX_CONTROL_FRAME));
    }

    /// Has tungstenite accept messages of any size, since each is accepted only after the one before it is sent.
    fn allow_output_of_any_size(&mut self) {
        let sizes = (WRITE_BUFFER, usize::MAX);
        self.protocol.set_config(|config| (config.write_buffer_size, config.max_write_buffer_size) = sizes);
    }
}

/// Creates a close message, with the reason cut to what fits.
pub(super) fn close(code: u16, reason: &str) -> Message {
    let fits = (0..=reason.len().min(CLOSE_REASON_BYTES)).rev().find(|end| reason.is_char_boundary(*end));
    Message::Close(Some(CloseFrame { code: code.into(), reason: reason[..fits.unwrap_or(0)].into() }))
}

/// Detects a close code that must not be sent: tungstenite returns its own answer to it in place of the peer's frame.
fn violation_in(message: &Message) -> Option<(u16, String)> {
    const VIOLATION_REPLY: CloseFrame =
        CloseFrame { code: CloseCode::Protocol, reason: Utf8Bytes::from_static("Protocol violation") };
    let is_reply = matches!(message, Message::Close(Some(frame)) if *frame == VIOLATION_REPLY);
    is_reply.then(|| (CLOSE_PROTOCOL, "a close code that may not be sent".into()))
}

/// The role for tungstenite, in which only clients mask: without masks, both ends are servers.
fn role(endpoint: WebSocketRole, options: Options) -> Role {
    match endpoint {
        WebSocketRole::Client if options.masked => Role::Client,
        WebSocketRole::Client | WebSocketRole::Server => Role::Server,
    }
}

fn config(options: Options, read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(options.message_limit))
        .max_frame_size(Some(options.message_limit))
        .accept_unmasked_frames(!options.masked)
}
