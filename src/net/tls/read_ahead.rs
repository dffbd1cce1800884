//! Read-ahead below TLS: rustls asks for at most one record, and in a bulk transfer each of its reads would be a system
//! call.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// The size of a read in a bulk transfer, in bytes: four TLS records, which a bulk sender writes in one call.
const READ_BLOCK: usize = 66 * 1024;

/// The smallest read that counts as bulk, in bytes. After a smaller one, reads go straight to the caller's buffer.
const BULK_THRESHOLD: usize = READ_BLOCK / 16;

/// A transport whose reads are few and large in a bulk transfer. It holds no buffer while it is idle.
#[derive(Debug)]
pub struct ReadAhead<T> {
    inner: T,
    read_buffer: BytesMut,
    is_bulk: bool,
}

impl<T> ReadAhead<T> {
    /// Wraps a transport.
    pub fn new(inner: T) -> Self {
        Self { inner, read_buffer: BytesMut::new(), is_bulk: false }
    }

    /// Returns the transport.
    pub fn get_ref(&self) -> &T {
        &self.inner
    }
}

impl<T: AsyncRead + Unpin> ReadAhead<T> {
    /// Fills the buffer with one read, or releases it if nothing has arrived.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.read_buffer.reserve(READ_BLOCK);
        let read = pin!(self.inner.read_buf(&mut self.read_buffer)).poll(context);
        if read.is_pending() {
            self.read_buffer = BytesMut::new();
        }
        self.is_bulk = ready!(read)? >= BULK_THRESHOLD;
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read_buffer.is_empty() {
            if !self.is_bulk {
                self.read_buffer = BytesMut::new();
                ready!(Pin::new(&mut self.inner).poll_read(context, buffer))?;
                self.is_bulk = buffer.remaining() == 0;
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(context))?;
        }
        let count = self.read_buffer.len().min(buffer.remaining());
        buffer.put_slice(&self.read_buffer[..count]);
        self.read_buffer.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, bytes)
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
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn reads_of_any_size_return_all_bytes_in_order_and_no_buffer_is_held_afterwards() {
        let (mut far, near) = duplex(1024 * 1024);
        let sent: Vec<u8> = (0..300_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        far.write_all(&sent).await.unwrap();
        let (mut near, mut read) = (ReadAhead::new(near), Vec::new());
        for size in [1, 4096, 8192, 16_000, 3].into_iter().cycle() {
            let mut piece = vec![0; size.min(sent.len() - read.len())];
            if piece.is_empty() {
                break;
            }
            let count = near.read(&mut piece).await.unwrap();
            assert!(count > 0);
            read.extend_from_slice(&piece[..count]);
        }
        assert!(read == sent);
        assert!(futures_util::poll!(pin!(near.read(&mut [0; 8]))).is_pending());
        assert_eq!(near.read_buffer.capacity(), 0);
        assert!(near.is_bulk || near.read_buffer.is_empty());
        far.write_all(b"x").await.unwrap();
        assert_eq!(near.read_u8().await.unwrap(), b'x');
    }
}
