//! The state that both halves of a WebSocket share: the transport and tungstenite's protocol state on it.

#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWrite as _, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::{Options, Transport, WebSocketError};
use crate::net::pulse::Felt;
use crate::proto::limits::CLOSE_REASON_BYTES;
use crate::proto::websocket::{CLOSE_PROTOCOL, Endpoint};

/// Allocated by tungstenite up front, and the most that it reads at once: all that an idle connection holds …
const READ_BUFFER: usize = 1024;

/// … and one with larger messages: a TLS record, beyond which TLS returns nothing in one read. tungstenite clears what it
/// reads into, each time, so more would only be cleared more often.
const BULK_READ_BUFFER: usize = 16 * 1024;

/// Buffers that grew are kept while messages that need them come, and so long after: to twice this.
const KEEP_BUFFERS: Duration = Duration::from_millis(500);

/// Small messages that are fed before a flush are collected up to this size.
const WRITE_BUFFER: usize = 4 * 1024;

/// A control frame of the largest size: 125 bytes of payload, 6 of header and mask.
const ANSWER: usize = 125 + 6;

#[derive(Debug)]
pub(super) struct FrameIo<T> {
    wire: Wire<T>,
    protocol: WebSocketContext,
    endpoint: Endpoint,
    options: Options,
    /// The state was made for large messages.
    is_bulk: bool,
    /// Large messages passed since `release` was set.
    is_growing: bool,
    /// Set while buffers are larger than initially: when to release them.
    release: Option<Pin<Box<Sleep>>>,
    /// Something was handed to tungstenite that the transport may not have flushed.
    is_unflushed: bool,
    /// The transport did not take all of it: nothing more is accepted before it has.
    is_blocked: bool,
    /// A ping or close arrived whose answer may not be in the write buffer yet.
    is_answer_due: bool,
    peer_closed: bool,
    /// The peer violated the protocol: nothing that follows is processed (RFC 6455 section 7.1.7).
    violation: Option<(u16, String)>,
}

impl<T: Transport> FrameIo<T> {
    pub(super) fn new(transport: Felt<T>, early: &[u8], endpoint: Endpoint, options: Options) -> Self {
        let (role, config) = (role(endpoint, options), Some(config(options, READ_BUFFER)));
        Self {
            wire: Wire { transport, unparsed: early.len(), expected: None, write_error: None },
            protocol: WebSocketContext::from_partially_read(early.to_vec(), role, config),
            endpoint,
            options,
            is_bulk: false,
            is_growing: early.len() > READ_BUFFER,
            release: None,
            is_unflushed: false,
            is_blocked: false,
            is_answer_due: false,
            peer_closed: false,
            violation: None,
        }
    }

    pub(super) fn into_transport(self) -> Felt<T> {
        self.wire.transport
    }

    /// Reads the next message. Answers to pings and closes go out as far as the transport takes them.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WebSocketError>> {
        // A peer that accepts nothing may have sent the reason: reading goes on.
        let flushed = self.poll_flush(context);
        if self.peer_closed {
            ready!(flushed)?;
        }
        if let Some((code, reason)) = &self.violation {
            return Poll::Ready(Err(WebSocketError::Violation(*code, reason.clone())));
        }
        if self.peer_closed {
            // RFC 6455 section 7.1.1: the server closes the connection.
            return match self.endpoint {
                Endpoint::Server => Poll::Ready(Err(WebSocketError::Truncated)),
                Endpoint::Client => self.poll_end(context),
            };
        }
        self.bound_answers();
        match self.protocol.read(&mut self.wire.io(context)) {
            Ok(message) => {
                self.received(&message);
                if self.is_answer_due {
                    let _ = self.poll_flush(context);
                }
                match violation_in(&message) {
                    Some((code, reason)) => self.violated(code, reason),
                    None => Poll::Ready(Ok(message)),
                }
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.release_buffers(context);
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

    fn violated(&mut self, code: u16, reason: String) -> Poll<Result<Message, WebSocketError>> {
        self.violation = Some((code, reason.clone()));
        Poll::Ready(Err(WebSocketError::Violation(code, reason)))
    }

    fn received(&mut self, message: &Message) {
        self.peer_closed = message.is_close();
        self.is_answer_due |= message.is_close() || message.is_ping() && self.protocol.can_write();
        self.is_unflushed |= self.is_answer_due;
        let length = message.len() + if let Message::Close(Some(_)) = message { size_of::<u16>() } else { 0 };
        let (header, size) = least_size(length, self.is_masked_by_peer());
        // Too large a count would lose bytes; after one that is too small, buffers are merely not replaced.
        self.wire.unparsed = self.wire.unparsed.wrapping_sub(size);
        if length > READ_BUFFER {
            self.is_growing = true;
            self.wire.expected = Some((header, size));
            if !self.is_bulk && self.is_between_messages() {
                self.renew(true);
            }
        }
    }

    fn is_masked_by_peer(&self) -> bool {
        self.endpoint == Endpoint::Server && self.options.masked
    }

    /// tungstenite's buffers grow to the largest message and never shrink, and the read buffer's last piece keeps the
    /// whole allocation of the message before it (<https://github.com/snapview/tungstenite-rs/issues/500>, and
    /// <https://github.com/snapview/tungstenite-rs/pull/556>, which would tell what is in the read buffer).
    fn release_buffers(&mut self, context: &mut Context<'_>) {
        if !self.is_growing && self.release.is_none() {
            return;
        }
        let mut timer = self.release.take().unwrap_or_else(|| Box::pin(sleep(KEEP_BUFFERS)));
        while timer.as_mut().poll(context).is_ready() {
            if !mem::take(&mut self.is_growing) && self.is_between_messages() {
                self.wire.expected = None;
                return self.renew(false);
            }
            timer.set(sleep(KEEP_BUFFERS));
        }
        self.release = Some(timer);
    }

    /// tungstenite holds no part of a message, and none is being sent.
    fn is_between_messages(&self) -> bool {
        self.wire.unparsed == 0 && !self.is_unflushed && self.protocol.can_write()
    }

    /// Replaces tungstenite's state, which must be between messages.
    fn renew(&mut self, is_bulk: bool) {
        let read_buffer = if is_bulk { BULK_READ_BUFFER } else { READ_BUFFER };
        let (role, config) = (role(self.endpoint, self.options), config(self.options, read_buffer));
        self.protocol = WebSocketContext::new(role, Some(config));
        self.is_bulk = is_bulk;
    }

    /// Drops what still arrives, until the end of the connection.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, WebSocketError>> {
        let mut dropped = [0; 1024];
        while ready!(pin!(self.wire.transport.read(&mut dropped)).poll(context))? > 0 {}
        Poll::Ready(Err(WebSocketError::Truncated))
    }

    /// Accepts a message, which goes out with the next flush, or at once if much has been collected.
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
        self.is_growing |= message.len() > READ_BUFFER;
        self.is_unflushed = true;
        self.unbound_messages();
        match self.protocol.write(&mut self.wire.io(context), message) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => self.is_blocked = true,
            written => written?,
        }
        Poll::Ready(Ok(()))
    }

    /// Ready when the transport has taken everything.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), WebSocketError>> {
        while self.is_unflushed {
            if self.peer_closed {
                // A server's state ends here, with the answer or without: it must find room.
                self.unbound_messages();
            } else {
                self.bound_answers();
            }
            match self.protocol.flush(&mut self.wire.io(context)) {
                Ok(()) => {}
                // The end of a server's state, which has written its answer and not flushed it
                // (https://github.com/snapview/tungstenite-rs/issues/405).
                Err(Error::ConnectionClosed) => {
                    if let Err(error) = ready!(Pin::new(&mut self.wire.transport).poll_flush(context)) {
                        self.wire.write_failed(&error);
                    }
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_blocked = true;
                    return Poll::Pending;
                }
                Err(error) => return Poll::Ready(Err(error.into())),
            }
            self.is_blocked = false;
            // An answer that found no room before does now.
            self.is_unflushed = mem::take(&mut self.is_answer_due);
        }
        Poll::Ready(self.wire.write_result())
    }

    /// Lets tungstenite add an answer to the write buffer only if it is empty, or else keep the latest one beside it.
    fn bound_answers(&mut self) {
        self.protocol.set_config(|config| (config.write_buffer_size, config.max_write_buffer_size) = (0, ANSWER));
    }

    /// A message is accepted only when the one before it is gone, and may have any size.
    fn unbound_messages(&mut self) {
        let sizes = (WRITE_BUFFER, usize::MAX);
        self.protocol.set_config(|config| (config.write_buffer_size, config.max_write_buffer_size) = sizes);
    }
}

/// A close message. The reason is cut to what fits.
pub(super) fn close(code: u16, reason: &str) -> Message {
    let fits = (0..=reason.len().min(CLOSE_REASON_BYTES)).rev().find(|end| reason.is_char_boundary(*end));
    Message::Close(Some(CloseFrame { code: code.into(), reason: reason[..fits.unwrap_or(0)].into() }))
}

/// tungstenite answers a close code that may not be sent, and returns its own answer in place of the peer's frame.
fn violation_in(message: &Message) -> Option<(u16, String)> {
    const ANSWER: CloseFrame =
        CloseFrame { code: CloseCode::Protocol, reason: Utf8Bytes::from_static("Protocol violation") };
    let is_answer = matches!(message, Message::Close(Some(frame)) if *frame == ANSWER);
    is_answer.then(|| (CLOSE_PROTOCOL, "a close code that may not be sent".into()))
}

/// Masks are the client's: without them, both ends are servers.
fn role(endpoint: Endpoint, options: Options) -> Role {
    match endpoint {
        Endpoint::Client if options.masked => Role::Client,
        Endpoint::Client | Endpoint::Server => Role::Server,
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

/// A lower bound of what a message took on the wire, and the header's part of it: one frame with the shortest header, but
/// for a message above 64 KiB without a mask, whose header is longer than those of two frames.
fn least_size(payload: usize, masked: bool) -> (usize, usize) {
    let length = match payload {
        ..=125 => 0,
        126..=0xFFFF => 2,
        _ if masked => 8,
        _ => 6,
    };
    let header = 2 + length + if masked { 4 } else { 0 };
    (header, header + payload)
}

/// The transport, and what FrameIo must know of its use.
#[derive(Debug)]
struct Wire<T> {
    transport: Felt<T>,
    /// Bytes that were read and are in no message that was returned.
    unparsed: usize,
    /// The size of the last large message with its header, and the header's: the next one is probably like it.
    expected: Option<(usize, usize)>,
    /// The first failure of a write.
    write_error: Option<(io::ErrorKind, String)>,
}

impl<T: Transport> Wire<T> {
    fn io<'a, 'c>(&'a mut self, context: &'a mut Context<'c>) -> NonblockingIo<'a, 'c, T> {
        NonblockingIo { wire: self, context }
    }

    /// The most that is to be read now. tungstenite makes room for a message when it has its header, and copies what it has
    /// of the rest: so the header is read alone, and nothing of the message after it.
    fn read_limit(&self) -> usize {
        let unparsed = self.unparsed;
        match self.expected {
            Some((header, _)) if unparsed < header => header - unparsed,
            Some((_, size)) if unparsed < size => size - unparsed,
            Some(_) | None => usize::MAX,
        }
    }

    fn write_failed(&mut self, error: &io::Error) {
        self.write_error.get_or_insert_with(|| (error.kind(), error.to_string()));
    }

    fn write_result(&self) -> Result<(), WebSocketError> {
        match &self.write_error {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone()).into()),
            None => Ok(()),
        }
    }
}

/// The transport as tungstenite uses it: `WouldBlock` where it would have to wait.
struct NonblockingIo<'a, 'c, T> {
    wire: &'a mut Wire<T>,
    context: &'a mut Context<'c>,
}

impl<T: Transport> Read for NonblockingIo<'_, '_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let limit = self.wire.read_limit().min(buffer.len());
        let mut buffer = ReadBuf::new(&mut buffer[..limit]);
        match Pin::new(&mut self.wire.transport).poll_read(self.context, &mut buffer) {
            Poll::Ready(read) => read?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        let count = buffer.filled().len();
        self.wire.unparsed += count;
        Ok(count)
    }
}

/// tungstenite's `read` writes answers, and would fail with them: so a failed write is kept for the writer, and what is
/// written after it is dropped.
impl<T: Transport> Write for NonblockingIo<'_, '_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.wire.write_error.is_some() {
            return Ok(bytes.len());
        }
        match Pin::new(&mut self.wire.transport).poll_write(self.context, bytes) {
            Poll::Ready(Ok(0)) => self.wire.write_failed(&io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => return Ok(count),
            Poll::Ready(Err(error)) => self.wire.write_failed(&error),
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.wire.write_error.is_some() {
            return Ok(());
        }
        match Pin::new(&mut self.wire.transport).poll_flush(self.context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.wire.write_failed(&error),
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(())
    }
}
