//! When bytes last moved on a connection, in either direction: below everything that could wait or buffer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::clock;

/// The two times, for whoever decides whether the peer is still there.
#[derive(Debug)]
pub struct Liveness {
    since: Instant,
    /// In nanoseconds since then: an answer may come within microseconds of its question. They last for centuries.
    last_read: AtomicU64,
    last_write: AtomicU64,
}

impl Liveness {
    fn new() -> Arc<Self> {
        Arc::new(Self { since: clock::now(), last_read: AtomicU64::new(0), last_write: AtomicU64::new(0) })
    }

    /// When the peer last sent something.
    pub fn last_read(&self) -> Instant {
        self.since + Duration::from_nanos(self.last_read.load(Ordering::Relaxed))
    }

    /// When it last took something.
    pub fn last_write(&self) -> Instant {
        self.since + Duration::from_nanos(self.last_write.load(Ordering::Relaxed))
    }

    fn touch(&self, which: &AtomicU64) {
        let passed = clock::now().saturating_duration_since(self.since).as_nanos();
        which.store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A connection with its pulse.
#[derive(Debug)]
pub struct LivenessIo<T> {
    inner: T,
    liveness: Arc<Liveness>,
}

impl<T> LivenessIo<T> {
    /// Feels the pulse of a connection from now on.
    pub fn new(inner: T) -> (Self, Arc<Liveness>) {
        let liveness = Liveness::new();
        (Self { inner, liveness: liveness.clone() }, liveness)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for LivenessIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.liveness.touch(&self.liveness.last_read);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for LivenessIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, bytes))?;
        self.liveness.touch(&self.liveness.last_write);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, bytes))?;
        self.liveness.touch(&self.liveness.last_write);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_right_after_a_question_is_no_older_than_it() {
        let (near, mut far) = tokio::io::duplex(8);
        let (mut near, liveness) = LivenessIo::new(near);
        advance(Duration::from_micros(1500)).await;
        let before = clock::now();
        far.write_all(b"x").await.unwrap();
        near.read_u8().await.unwrap();
        assert!(liveness.last_read() >= before);
        near.write_all(b"x").await.unwrap();
        assert!(liveness.last_write() >= before);
    }
}
