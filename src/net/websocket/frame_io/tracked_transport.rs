//! The transport of a WebSocket as tungstenite reads and writes it: without waiting, and with a record of its use.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::super::{Transport, WebSocketError};
use super::frame_bounds::FrameBounds;
use crate::net::liveness::LivenessIo;

/// The frames of one message that are read before other tasks have their turn: TLS holds up to 8,192 empty ones in a
/// record, and tungstenite reads on until the message is complete.
const FRAMES_PER_POLL: u32 = 128;

/// The transport, with a record of its use.
#[derive(Debug)]
pub(super) struct TrackedTransport<T> {
    pub(super) transport: LivenessIo<T>,
    pub(super) bounds: FrameBounds,
    /// The bytes of a message that are read, if not all.
    pub(super) limit: Option<u64>,
    /// The first write error.
    write_error: Option<(io::ErrorKind, String)>,
}

impl<T: Transport> TrackedTransport<T> {
    pub(super) fn new(transport: LivenessIo<T>, bounds: FrameBounds) -> Self {
        Self { transport, bounds, limit: None, write_error: None }
    }

    pub(super) fn io<'a, 'c>(&'a mut self, context: &'a mut Context<'c>) -> NonblockingIo<'a, 'c, T> {
        NonblockingIo { tracked: self, context, frames: 0 }
    }

    /// Notes how much has arrived of a message that is not complete, for those who look for what is held.
    pub(super) fn note_incomplete(&self) {
        self.transport.liveness().set_incomplete(self.bounds.incomplete());
    }

    pub(super) fn write_failed(&mut self, error: &io::Error) {
        self.write_error.get_or_insert_with(|| (error.kind(), error.to_string()));
    }

    pub(super) fn write_result(&self) -> Result<(), WebSocketError> {
        match &self.write_error {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone()).into()),
            None => Ok(()),
        }
    }
}

/// The transport as non-blocking [`Read`] and [`Write`]: `WouldBlock` in place of `Pending`.
pub(super) struct NonblockingIo<'a, 'c, T> {
    tracked: &'a mut TrackedTransport<T>,
    context: &'a mut Context<'c>,
    /// Frames whose headers have been read.
    frames: u32,
}

/// Reads up to the end of a frame's header, or of its payload: tungstenite makes room for a payload once it has the header,
/// and would copy what it had of the payload by then.
impl<T: Transport> Read for NonblockingIo<'_, '_, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.tracked.bounds.is_at_header() {
            self.frames += 1;
            // Both continue at the next poll.
            if self.frames > FRAMES_PER_POLL || self.tracked.bounds.is_pause_due() {
                self.context.waker().wake_by_ref();
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        let bounds = &self.tracked.bounds;
        let allowed = self.tracked.limit.map_or_else(|| bounds.remaining(), |limit| bounds.remaining_within(limit));
        if allowed == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let limit = allowed.min(buffer.len());
        let mut buffer = ReadBuf::new(&mut buffer[..limit]);
        match Pin::new(&mut self.tracked.transport).poll_read(self.context, &mut buffer) {
            Poll::Ready(read) => read?,
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        self.tracked.bounds.advance(buffer.filled());
        Ok(buffer.filled().len())
    }
}

/// Never fails: tungstenite's `read` writes answers and would fail with them. The first error is kept for the writer,
/// and later output is dropped.
impl<T: Transport> Write for NonblockingIo<'_, '_, T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.tracked.write_error.is_some() {
            return Ok(bytes.len());
        }
        match Pin::new(&mut self.tracked.transport).poll_write(self.context, bytes) {
            Poll::Ready(Ok(0)) => self.tracked.write_failed(&io::ErrorKind::WriteZero.into()),
            Poll::Ready(Ok(count)) => return Ok(count),
            Poll::Ready(Err(error)) => self.tracked.write_failed(&error),
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.tracked.write_error.is_some() {
            return Ok(());
        }
        match Pin::new(&mut self.tracked.transport).poll_flush(self.context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => self.tracked.write_failed(&error),
            Poll::Pending => return Err(io::ErrorKind::WouldBlock.into()),
        }
        Ok(())
    }
}
