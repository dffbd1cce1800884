//! What both halves of a WebSocket share: the connection, what is read of it, and what waits to be sent.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::{Broken, Transport};
use crate::net::liveness::LivenessIo;
use crate::proto::websocket::decoder::Decoder;
use crate::proto::websocket::frame::Frame;
use crate::proto::websocket::head::Opcode;
use crate::proto::websocket::{Endpoint, Message};

/// Messages that may go out in one call: small ones that are said at the same time, and a large one after them.
const MOST_FRAMES: usize = 8;

#[derive(Debug)]
pub(super) struct Line<T> {
    transport: LivenessIo<T>,
    endpoint: Endpoint,
    decoder: Decoder,
    /// What is being sent, with however much of the first frame the connection has not taken; never more than
    /// [`MOST_FRAMES`], of which only the last may be large.
    sending: VecDeque<Frame>,
    /// What the connection took may still have to be flushed.
    unflushed: bool,
    /// The answer to the last ping: nobody needs those to the ones before.
    pong: Option<Bytes>,
    /// The answer to the peer's close.
    farewell: Option<Frame>,
    has_closed: bool,
    peer_closed: bool,
}

impl<T: Transport> Line<T> {
    pub(super) fn new(transport: LivenessIo<T>, endpoint: Endpoint, decoder: Decoder) -> Self {
        Self {
            transport,
            endpoint,
            decoder,
            sending: VecDeque::new(),
            unflushed: false,
            pong: None,
            farewell: None,
            has_closed: false,
            peer_closed: false,
        }
    }

    pub(super) fn into_transport(self) -> LivenessIo<T> {
        self.transport
    }

    /// The next message. Answers go out as far as the connection takes them.
    pub(super) fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Broken>> {
        // A peer that takes nothing any more may have said why: that is still read.
        let flushed = self.poll_flush(context);
        if self.peer_closed {
            ready!(flushed)?;
            // RFC 6455 section 7.1.1: it is the server that ends the connection.
            return match self.endpoint {
                Endpoint::Server => Poll::Ready(Err(Broken::Truncated)),
                Endpoint::Client => self.poll_end(context),
            };
        }
        loop {
            if let Some(message) = self.decoder.next_message()? {
                self.answer(&message);
                if self.pong.is_some() || self.farewell.is_some() {
                    let _ = self.poll_flush(context);
                }
                return Poll::Ready(Ok(message));
            }
            ready!(self.poll_read(context))?;
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let read = pin!(self.transport.read_buf(self.decoder.space())).poll(context);
        if read.is_pending() {
            self.decoder.rest();
        }
        match ready!(read)? {
            0 => Poll::Ready(Err(Broken::Truncated)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Drops what still comes.
    fn poll_end(&mut self, context: &mut Context<'_>) -> Poll<Result<Message, Broken>> {
        let mut dropped = [0; 1024];
        while ready!(pin!(self.transport.read(&mut dropped)).poll(context))? > 0 {}
        Poll::Ready(Err(Broken::Truncated))
    }

    fn answer(&mut self, message: &Message) {
        match message {
            Message::Ping(payload) if !self.has_closed => self.pong = Some(payload.clone()),
            Message::Close(told) => {
                self.peer_closed = true;
                if !self.has_closed {
                    self.has_closed = true;
                    self.farewell = Some(match told {
                        Some((code, reason)) => Frame::close(*code, reason, self.endpoint),
                        None => Frame::new(Opcode::Close, Bytes::new(), self.endpoint),
                    });
                }
            }
            Message::Binary(_) | Message::Text(_) | Message::Ping(_) | Message::Pong => {}
        }
    }

    /// Whether a message may wait for the next flush.
    pub(super) fn has_room(&self) -> bool {
        self.sending.len() < MOST_FRAMES
    }

    /// Takes a message, which [`Self::poll_flush`] sends; there must be room, as there is once that is ready.
    pub(super) fn send(&mut self, opcode: Opcode, payload: Bytes) -> Result<(), Broken> {
        if self.has_closed {
            return Err(Broken::Truncated);
        }
        self.sending.push_back(Frame::new(opcode, payload, self.endpoint));
        Ok(())
    }

    /// Takes a close, the same way.
    pub(super) fn send_close(&mut self, code: u16, reason: &str) -> Result<(), Broken> {
        if self.has_closed {
            return Err(Broken::Truncated);
        }
        self.has_closed = true;
        self.sending.push_back(Frame::close(code, reason, self.endpoint));
        Ok(())
    }

    /// Ready when the connection has taken everything.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        while self.has_something_to_send() {
            let mut slices = [IoSlice::new(&[]); 2 * MOST_FRAMES];
            let parts = self.sending.iter().flat_map(Frame::rest);
            let count = slices.iter_mut().zip(parts).map(|(slice, part)| *slice = part).count();
            match ready!(Pin::new(&mut self.transport).poll_write_vectored(context, &slices[..count]))? {
                0 => return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into())),
                taken => self.advance(taken),
            }
            self.unflushed = true;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.transport).poll_flush(context))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Answers come after what is being sent.
    fn has_something_to_send(&mut self) -> bool {
        if self.sending.is_empty() {
            let pong = self.pong.take().map(|payload| Frame::new(Opcode::Pong, payload, self.endpoint));
            self.sending.extend(pong.or_else(|| self.farewell.take()));
        }
        !self.sending.is_empty()
    }

    /// So much of what is being sent is gone.
    fn advance(&mut self, mut taken: usize) {
        while let Some(frame) = self.sending.front_mut() {
            taken = frame.advance(taken);
            if !frame.is_sent() {
                return;
            }
            self.sending.pop_front();
        }
    }
}
