//! The liveness of a connection: when bytes last moved on it, and the timers that ping an idle peer and give up a
//! silent one.
//!
//! [`LivenessIo`] wraps a transport below everything that could wait or buffer, and records each read and write in a
//! [`Liveness`]. `keepalive` turns those two instants, the idle timeout and the clock into pings and the verdict that
//! a peer is dead.

pub(in crate::net) mod keepalive;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::os::clock;

/// The instants of a connection's last read and last write, the bytes written, and those of a message that has arrived in
/// part.
#[derive(Debug)]
pub struct Liveness {
    created_at: Instant,
    /// Nanoseconds since `created_at`, which 64 bits hold for centuries: a pong may follow its ping within
    /// microseconds.
    last_read: AtomicU64,
    /// In the same unit.
    last_write: AtomicU64,
    written: AtomicU64,
    incomplete: AtomicU64,
}

impl Liveness {
    fn new() -> Arc<Self> {
        let [last_read, last_write, written, incomplete] = [0; 4].map(AtomicU64::new);
        Arc::new(Self { created_at: clock::now(), last_read, last_write, written, incomplete })
    }

    /// The instant at which bytes from the peer were last read.
    pub fn last_read(&self) -> Instant {
        self.created_at + Duration::from_nanos(self.last_read.load(Ordering::Relaxed))
    }

    /// The instant at which bytes to the peer were last written.
    pub fn last_write(&self) -> Instant {
        self.created_at + Duration::from_nanos(self.last_write.load(Ordering::Relaxed))
    }

    /// The number of bytes written to the peer, which the kernel has or the peer has taken.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The number of bytes that the peer has sent of a message that is not complete.
    pub fn incomplete(&self) -> u64 {
        self.incomplete.load(Ordering::Relaxed)
    }

    pub(in crate::net) fn set_incomplete(&self, bytes: u64) {
        self.incomplete.store(bytes, Ordering::Relaxed);
    }

    /// Restarts the time since the last read, for a peer that was deliberately not read.
    pub(in crate::net) fn restart_read_timer(&self) {
        self.touch(&self.last_read);
    }

    fn record_write(&self, bytes: usize) {
        self.touch(&self.last_write);
        self.written.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn touch(&self, instant: &AtomicU64) {
        let elapsed = clock::now().saturating_duration_since(self.created_at).as_nanos();
        instant.store(u64::try_from(elapsed).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// A transport that records its reads and writes.
#[derive(Debug)]
pub struct LivenessIo<T> {
    inner: T,
    liveness: Arc<Liveness>,
}

impl<T> LivenessIo<T> {
    /// Wraps a transport, and returns the record beside it.
    pub fn new(inner: T) -> (Self, Arc<Liveness>) {
        let liveness = Liveness::new();
        (Self { inner, liveness: liveness.clone() }, liveness)
    }

    /// Returns the transport.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }

    /// Returns the record.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
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
        self.liveness.record_write(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(context, bytes))?;
        self.liveness.record_write(written);
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
    async fn reads_and_writes_are_recorded_to_the_microsecond() {
        let (near, mut far) = tokio::io::duplex(8);
        let (mut near, liveness) = LivenessIo::new(near);
        advance(Duration::from_micros(1500)).await;
        let before = clock::now();
        far.write_all(b"x").await.unwrap();
        near.read_u8().await.unwrap();
        assert!(liveness.last_read() >= before);
        near.write_all(b"x").await.unwrap();
        assert!(liveness.last_write() >= before && liveness.written() == 1);
    }
}
