//! The sealed pair: both directions of a stream's local side, with one TLS session between them and the stream.
//!
//! What the application writes is read here, encrypted, and read from here as the bytes of the stream. The bytes that the
//! stream delivers are written here, decrypted, and written to the application. Nothing is taken from the application,
//! and nothing given to it, before the peer is authorised.
//!
//! Flow control stays the stream's. No more is read from the application than the reader's buffer holds once encrypted, and
//! a flush ends only when the application has taken every decrypted byte, which the stream then acknowledges.

use std::io::{self, BufRead as _, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use parking_lot::{Mutex, MutexGuard};
use rustls::{CommonState, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The plaintext of a record, RFC 8446 section 5.1, and what encryption adds to it: header, content type and tag.
const RECORD_BYTES: usize = 16 * 1024;
const RECORD_OVERHEAD: usize = 5 + 1 + 16;

/// Decides after the handshake whether the peer is who the stream is for.
pub type Authorise = Box<dyn Fn(&CommonState) -> Result<(), rustls::Error> + Send>;

/// The reading half: what the application writes, encrypted.
pub struct SealedReader<R> {
    session: Arc<Mutex<Session>>,
    local: R,
}

/// The writing half: decrypts what is written, for the application.
pub struct SealedWriter<W> {
    session: Arc<Mutex<Session>>,
    local: W,
}

/// A view of the session that both halves share.
#[derive(Clone)]
pub struct SessionView(Arc<Mutex<Session>>);

struct Session {
    tls: Connection,
    authorise: Authorise,
    state: State,
    /// The reading half, where it waits for the application or the peer.
    waiting_reader: Option<Waker>,
    /// The application has ended its direction, and the peer learns it.
    has_ended: bool,
    /// The peer has ended its direction.
    peer_has_ended: bool,
}

enum State {
    /// The handshake is under way.
    Opening,
    /// The peer is authorised.
    Open,
    /// The session failed; an alert may still be on its way to the peer.
    Failed(rustls::Error),
}

/// Puts a session between the two directions of a local side and a stream.
pub fn seal<R, W>(
    (reader, writer): (R, W),
    mut tls: Connection,
    authorise: Authorise,
) -> (SealedReader<R>, SealedWriter<W>, SessionView) {
    // What the application writes is read only once all before it has gone out.
    tls.set_buffer_limit(None);
    let session = Arc::new(Mutex::new(Session {
        tls,
        authorise,
        state: State::Opening,
        waiting_reader: None,
        has_ended: false,
        peer_has_ended: false,
    }));
    (
        SealedReader { session: session.clone(), local: reader },
        SealedWriter { session: session.clone(), local: writer },
        SessionView(session),
    )
}

impl SessionView {
    /// Why the session failed, if it did.
    pub fn failure(&self) -> Option<rustls::Error> {
        match &self.0.lock().state {
            State::Failed(error) => Some(error.clone()),
            State::Opening | State::Open => None,
        }
    }

    /// Reports whether the peer is authorised.
    pub fn is_open(&self) -> bool {
        matches!(self.0.lock().state, State::Open)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for SealedReader<R> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { session, local } = self.get_mut();
        let mut session = session.lock();
        let before = buffer.filled().len();
        loop {
            while session.tls.wants_write() && buffer.remaining() > 0 {
                session.tls.write_tls(&mut Unfilled(buffer))?;
            }
            if buffer.filled().len() > before || buffer.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            session.check()?;
            if session.has_ended {
                return Poll::Ready(Ok(()));
            }
            session.waiting_reader = Some(context.waker().clone());
            if !matches!(session.state, State::Open) {
                return Poll::Pending;
            }
            let mut plaintext = buffer.take(plaintext_that_fits(buffer.remaining()));
            ready!(Pin::new(&mut *local).poll_read(context, &mut plaintext))?;
            session.encrypt(plaintext.filled())?;
        }
    }
}

impl Session {
    /// Encrypts what the application wrote; nothing means that it ended its direction.
    fn encrypt(&mut self, plaintext: &[u8]) -> io::Result<()> {
        if plaintext.is_empty() {
            self.tls.send_close_notify();
            self.has_ended = true;
            return Ok(());
        }
        self.tls.writer().write_all(plaintext)
    }

    /// Takes bytes of the stream, as many as fit, and returns their number. The reading half may have something to send then.
    fn decrypt(&mut self, mut ciphertext: &[u8]) -> io::Result<usize> {
        if self.peer_has_ended {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the end of the session"));
        }
        let taken = self.tls.read_tls(&mut ciphertext)?;
        let state = self.tls.process_new_packets();
        let authorised = state.and_then(|state| {
            self.peer_has_ended = state.peer_has_closed();
            match self.state {
                State::Opening if !self.tls.is_handshaking() => (self.authorise)(&self.tls).map(|()| true),
                State::Opening | State::Open | State::Failed(_) => Ok(false),
            }
        });
        match authorised {
            Ok(true) => self.state = State::Open,
            Ok(false) => {}
            Err(error) => self.state = State::Failed(error),
        }
        if let Some(reader) = self.waiting_reader.take() {
            reader.wake();
        }
        self.check().map(|()| taken)
    }

    /// An error once the session has failed.
    fn check(&self) -> io::Result<()> {
        match &self.state {
            State::Failed(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error.clone())),
            State::Opening | State::Open => Ok(()),
        }
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for SealedWriter<W> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { session, local } = self.get_mut();
        let mut session = session.lock();
        session.check()?;
        let mut taken = 0;
        while taken < bytes.len() {
            match deliver(&mut session, local, context)? {
                Poll::Ready(()) => taken += session.decrypt(&bytes[taken..])?,
                Poll::Pending if taken > 0 => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { session, local } = self.get_mut();
        ready!(deliver(&mut session.lock(), local, context)?);
        Pin::new(local).poll_flush(context)
    }

    /// Ends the application's input if the peer has ended its direction inside the session; an error if the stream was
    /// cut off before.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { session, local } = self.get_mut();
        let mut session = session.lock();
        ready!(deliver(&mut session, local, context)?);
        session.check()?;
        if !session.peer_has_ended {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        Pin::new(local).poll_shutdown(context)
    }
}

/// Writes decrypted bytes to the application until none are left.
fn deliver<W: AsyncWrite + Unpin>(
    session: &mut MutexGuard<'_, Session>,
    local: &mut W,
    context: &mut Context<'_>,
) -> io::Result<Poll<()>> {
    if !matches!(session.state, State::Open) {
        return Ok(Poll::Ready(()));
    }
    loop {
        let mut plaintext = session.tls.reader();
        let available = match plaintext.fill_buf() {
            Ok(available) => available,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Poll::Ready(())),
            Err(error) => return Err(error),
        };
        if available.is_empty() {
            return Ok(Poll::Ready(()));
        }
        match Pin::new(&mut *local).poll_write(context, available)? {
            Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(written) => plaintext.consume(written),
            Poll::Pending => return Ok(Poll::Pending),
        }
    }
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
