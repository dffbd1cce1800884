//! The sealed pair: both directions of a stream's local side, with one TLS session between them and the stream.
//!
//! What the application writes is read here, encrypted, and read from here as the bytes of the stream. The bytes that the
//! stream delivers are written here, decrypted, and written to the application. Nothing is taken from the application
//! beyond what a ticket protects, and nothing given to it, before the peer is authorised.
//!
//! Flow control stays the stream's. No more is read from the application than the reader's buffer holds once encrypted, and
//! a flush ends only when the application has taken every decrypted byte, which the stream then acknowledges.

mod early;
mod local_side;
mod session;
#[cfg(test)]
pub(in crate::net) mod tests;
mod view;

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

pub use self::local_side::{LocalSide, Sealed};
use self::session::Session;
pub use self::view::SessionView;
use crate::net::e2e::config::SessionEnd;
use crate::net::tunnel::pump::Counters;
use crate::proto::limits::{HANDSHAKE_HOLD, SESSION_ALERT_TIME};

/// The plaintext of a record, RFC 8446 section 5.1, and what encryption adds to it: header, content type and tag.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 5 + 1 + 16;

/// The reading half: what the application writes, encrypted.
pub struct SealedReader<R> {
    session: Arc<Mutex<Session>>,
    local: R,
    /// While it runs, messages of the handshake wait for bytes of the application, which go out with them.
    hold: Option<Pin<Box<Sleep>>>,
    counters: Arc<Counters>,
}

/// The writing half: decrypts what is written, for the application.
pub struct SealedWriter<W> {
    session: Arc<Mutex<Session>>,
    local: W,
    /// Time for the reading half to report a failure to the peer.
    failure_wait: Option<Pin<Box<Sleep>>>,
    counters: Arc<Counters>,
}

/// Puts a session between the two directions of a local side and a stream. The counters are of the application's bytes.
pub fn seal<R, W>(
    (reader, writer): (R, W),
    end: SessionEnd,
    counters: Arc<Counters>,
    early_wait: Duration,
) -> Sealed<R, W> {
    let mut session = Session::new(end);
    let hold = (session.early_room() > 0).then(|| Box::pin(sleep(early_wait)));
    let session = Arc::new(Mutex::new(session));
    Sealed {
        reader: SealedReader { session: session.clone(), local: reader, hold, counters: counters.clone() },
        writer: SealedWriter { session: session.clone(), local: writer, failure_wait: None, counters },
        session: SessionView(session),
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for SealedReader<R> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { session, local, hold, counters } = self.get_mut();
        let mut session = session.lock();
        let before = buffer.filled().len();
        loop {
            if session.take_hold() {
                *hold = Some(Box::pin(sleep(HANDSHAKE_HOLD)));
            }
            if hold.is_none() || session.has_failed() {
                session.write_to(buffer)?;
            }
            let is_filled = buffer.filled().len() > before;
            if buffer.remaining() == 0 || (is_filled && session.has_failed()) {
                return Poll::Ready(Ok(()));
            }
            session.check()?;
            if session.has_ended() {
                return Poll::Ready(Ok(()));
            }
            session.wake_when_changed(context);
            session.poll_deadline(context)?;
            let room = session.room(plaintext_that_fits(buffer.remaining()));
            let mut plaintext = buffer.take(room);
            let read = match room {
                0 => Poll::Pending,
                _ => Pin::new(&mut *local).poll_read(context, &mut plaintext)?,
            };
            match (read, hold.as_mut()) {
                (Poll::Ready(()), _) => {
                    session.encrypt(plaintext.filled(), counters)?;
                    *hold = None;
                    session.write_to(buffer)?;
                    if buffer.filled().len() > before {
                        return Poll::Ready(Ok(()));
                    }
                }
                (Poll::Pending, _) if is_filled => return Poll::Ready(Ok(())),
                (Poll::Pending, Some(wait)) => {
                    ready!(wait.as_mut().poll(context));
                    *hold = None;
                }
                (Poll::Pending, None) => return Poll::Pending,
            }
        }
    }
}

impl<W: AsyncWrite + Unpin> SealedWriter<W> {
    /// Fails once the reading half has had the time to report the failure of the session to the peer.
    fn poll_failed(&mut self, context: &mut Context<'_>, error: io::Error) -> Poll<io::Error> {
        let wait = self.failure_wait.get_or_insert_with(|| Box::pin(sleep(SESSION_ALERT_TIME)));
        wait.as_mut().poll(context).map(|()| error)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SealedWriter<W> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut taken = 0;
        let failed = {
            let mut session = this.session.lock();
            loop {
                if let Err(error) = session.check() {
                    break error;
                }
                if taken == bytes.len() {
                    return Poll::Ready(Ok(taken));
                }
                match deliver(&mut session, &mut this.local, &this.counters, context)? {
                    Poll::Ready(()) => match session.decrypt(&bytes[taken..]) {
                        Ok(read) => taken += read,
                        Err(error) => break error,
                    },
                    Poll::Pending if taken > 0 => return Poll::Ready(Ok(taken)),
                    Poll::Pending => return Poll::Pending,
                }
            }
        };
        this.poll_failed(context, failed).map(Err)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { session, local, counters, .. } = self.get_mut();
        ready!(deliver(&mut session.lock(), local, counters, context)?);
        Pin::new(local).poll_flush(context)
    }

    /// Ends the application's input if the peer has ended its direction inside the session; an error if the stream was
    /// cut off before.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { session, local, counters, .. } = self.get_mut();
        let mut session = session.lock();
        ready!(deliver(&mut session, local, counters, context)?);
        session.end_of_input()?;
        Pin::new(local).poll_shutdown(context)
    }
}

/// Writes decrypted bytes to the application until none are left.
fn deliver<W: AsyncWrite + Unpin>(
    session: &mut MutexGuard<'_, Session>,
    local: &mut W,
    counters: &Counters,
    context: &mut Context<'_>,
) -> io::Result<Poll<()>> {
    while let Some(plaintext) = session.plaintext()? {
        match Pin::new(&mut *local).poll_write(context, plaintext)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => {
                session.consume(written);
                counters.received.fetch_add(written as u64, Ordering::Relaxed);
            }
            Poll::Pending => return Ok(Poll::Pending),
        }
    }
    Ok(Poll::Ready(()))
}

/// The most plaintext whose records fit into so many bytes; at least one byte, whose record may come in two reads.
fn plaintext_that_fits(room: usize) -> usize {
    let records = room.div_ceil(RECORD_BYTES + RECORD_OVERHEAD);
    room.saturating_sub(records * RECORD_OVERHEAD).max(1)
}

/// Writes into the unfilled part of a buffer.
struct Unfilled<'a, 'b>(&'a mut ReadBuf<'b>);

impl Write for Unfilled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fitting = bytes.len().min(self.0.remaining());
        self.0.put_slice(&bytes[..fitting]);
        Ok(fitting)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        slices.iter().map(|bytes| self.write(bytes)).sum()
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
