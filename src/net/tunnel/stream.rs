//! The stream of the library's API: a program reads and writes at one end, the pump at the other.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::net::shutdown::StreamStop;
use crate::net::tunnel::pump::{Counters, Outcome, PumpContext, Rejoin, Tunnel, pump};
use crate::net::websocket::{Transport, WebSocket};
use crate::proto::key::PublicKey;
use crate::proto::limits::{STREAM_BUFFER_BYTES, STREAM_LINGER};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;

/// A stream between a service and a device: reads what the peer wrote, writes what the peer will read.
///
/// - **End.** `shutdown()` ends this direction, as it does on a TCP connection; the other one continues until a read
///   returns no bytes. Each end should do both.
/// - **Drop.** Dropped before `shutdown()`, the stream is *reset*: the peer gets an error, so that data cut off by an
///   early return or a panic is never taken for complete. Dropped after `shutdown()`, the data written is still
///   delivered as long as it makes progress; if the peer still writes then, the stream is reset.
/// - **Errors.** A broken stream is an error on both sides, never an end of file: of kind
///   [`io::ErrorKind::ConnectionReset`] if the peer reset it, else [`io::ErrorKind::ConnectionAborted`]; [`refusal_of`]
///   returns the cause.
/// - **Buffering.** At most 64 KiB are buffered in each direction; then writes block, as on a TCP connection.
///
/// Interruptions of the connection to the hub are invisible: the stream continues where it was.
#[derive(Debug)]
pub struct Stream {
    pipe: DuplexStream,
    shared: Arc<Shared>,
    is_shut: bool,
    verified: watch::Receiver<Verified>,
}

/// The pump's end of a [`Stream`].
#[derive(Debug)]
pub struct StreamDriver {
    pipe: DuplexStream,
    shared: Arc<Shared>,
    verified: watch::Sender<Verified>,
}

/// The key that the peer has proven; `Some(None)` for a stream that is not encrypted end to end.
type Verified = Option<Option<PublicKey>>;

/// The refusal that broke a stream, if the error is a stream's.
pub fn refusal_of(error: &io::Error) -> Option<&Refusal> {
    error.get_ref()?.downcast_ref()
}

/// Creates a stream for a program, and the driver that carries it.
pub fn pair() -> (Stream, StreamDriver) {
    let (pipe, local) = duplex(STREAM_BUFFER_BYTES);
    let shared = Arc::new(Shared::default());
    let (sender, verified) = watch::channel(None);
    let driver = StreamDriver { pipe: local, shared: shared.clone(), verified: sender };
    (Stream { pipe, shared, is_shut: false, verified }, driver)
}

/// The state that the stream and its driver share.
#[derive(Debug, Default)]
struct Shared {
    /// The peer ended its direction, and all its bytes are in the pipe.
    is_complete: AtomicBool,
    /// The program dropped the stream without ending its direction.
    is_reset: AtomicBool,
    dropped: CancellationToken,
    outcome: OnceLock<Outcome>,
}

impl Shared {
    /// Fails if bytes written can no longer be delivered.
    fn check_alive(&self) -> io::Result<()> {
        match self.outcome.get() {
            Some(Outcome { ending: Ending::PeerReset | Ending::Broken, .. }) => Err(self.failure()),
            Some(Outcome { ending: Ending::Clean | Ending::LocalReset, .. }) | None => Ok(()),
        }
    }

    /// The error of a stream that carries nothing more.
    fn failure(&self) -> io::Error {
        let Some(Outcome { ending, refusal }) = self.outcome.get() else {
            let why = Refusal::from(RefusalKind::LocalShutdown);
            return io::Error::new(io::ErrorKind::ConnectionAborted, why);
        };
        let refusal = refusal.clone();
        let unnamed = |detail| refusal.unwrap_or_else(|| Refusal::new(RefusalKind::PeerGone, detail));
        match ending {
            Ending::PeerReset => {
                io::Error::new(io::ErrorKind::ConnectionReset, unnamed("the other end reset the stream"))
            }
            Ending::Broken => {
                io::Error::new(io::ErrorKind::ConnectionAborted, unnamed("the stream's connection broke"))
            }
            Ending::Clean | Ending::LocalReset => io::ErrorKind::BrokenPipe.into(),
        }
    }
}

impl Stream {
    /// Waits until the peer has proven its end-to-end key, and returns that: a key that this machine knows, that its fleet has
    /// signed, or that it has just kept on first use. `None` for a stream that is not encrypted end to end, which the
    /// hub can read; an error if the stream fails before.
    ///
    /// Nothing is read from an unproven peer, nor sent to one beyond what a ticket of an earlier stream protects: to wait
    /// is only needed to learn the key.
    pub async fn verified(&self) -> Result<Option<PublicKey>, Refusal> {
        match self.verified.clone().wait_for(Option::is_some).await {
            Ok(key) => Ok(key.flatten()),
            Err(_ended) => {
                Err(refusal_of(&self.shared.failure()).cloned().unwrap_or_else(|| RefusalKind::PeerGone.into()))
            }
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, space) = (into.filled().len(), into.remaining());
        ready!(Pin::new(&mut self.pipe).poll_read(cx, into))?;
        let ended = into.filled().len() == before && space > 0;
        if ended && !self.shared.is_complete.load(Ordering::Acquire) {
            return Poll::Ready(Err(self.shared.failure()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.pipe).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| if self.is_shut { error } else { self.shared.failure() }))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.pipe).poll_flush(cx))?;
        Poll::Ready(self.shared.check_alive())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.pipe).poll_shutdown(cx))?;
        self.is_shut = true;
        Poll::Ready(self.shared.check_alive())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Before the pipe ends, so that the other side reads its end as this.
        self.shared.is_reset.store(!self.is_shut, Ordering::Release);
        self.shared.dropped.cancel();
    }
}

impl StreamDriver {
    /// Splits it into the local side of a stream, and the part that drives it.
    pub fn into_parts(self) -> ((DriverReader, DriverWriter), StreamOwner) {
        let Self { pipe, shared, verified } = self;
        let (reader, writer) = split(pipe);
        ((DriverReader(reader, shared.clone()), DriverWriter(writer, shared.clone())), StreamOwner { shared, verified })
    }
}

/// Drives a program's stream, and leaves its outcome to the program.
pub struct StreamOwner {
    shared: Arc<Shared>,
    verified: watch::Sender<Verified>,
}

impl StreamOwner {
    /// Carries the stream until it is over; the program then reads its end or an error. `verification` is of the peer's
    /// key; `explain` has the last word on why the stream ended.
    pub async fn drive<R, W, T, J>(
        self,
        local: (R, W),
        verification: impl Future<Output = Result<Option<PublicKey>, Refusal>>,
        explain: impl FnOnce(Outcome) -> Outcome,
        tunnel: Tunnel<T>,
        context: PumpContext<'_, J>,
    ) -> (Outcome, Option<WebSocket<T>>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
        T: Transport,
        J: Rejoin<T>,
    {
        let Self { shared, verified } = self;
        let (mut reader, mut writer) = local;
        let (counters, stop) = (context.counters, context.stop.child());
        let pumped = Box::pin(pump((&mut reader, &mut writer), tunnel, PumpContext { stop: &stop, ..context }));
        let announced = async {
            if let Ok(key) = verification.await {
                verified.send_replace(Some(key));
            }
            // A failure is the stream's outcome.
            std::future::pending().await
        };
        let (outcome, socket) = tokio::select! {
            done = pumped => done,
            never = announced => match never {},
            never = reap_dropped(&shared, counters, &stop) => match never {},
        };
        let outcome = explain(outcome);
        // Set before the pipe ends, which is when the program looks.
        let _ = shared.outcome.set(outcome.clone());
        (outcome, socket)
    }
}

/// Stops a dropped stream once it makes no progress for [`STREAM_LINGER`], as the kernel does with a closed socket.
async fn reap_dropped(shared: &Shared, counters: &Counters, stop: &StreamStop) -> Infallible {
    shared.dropped.cancelled().await;
    let mut before = None;
    // Bytes sent are still delivered by the peer, to a target that may be slow.
    let progress = || (counters.received_and_sent(), counters.delivered.load(Ordering::Relaxed));
    while before != Some(progress()) {
        before = Some(progress());
        sleep(STREAM_LINGER).await;
    }
    stop.request();
    std::future::pending().await
}

/// The driver's end of what the program writes; fails if the program dropped the stream.
pub struct DriverReader(ReadHalf<DuplexStream>, Arc<Shared>);

impl AsyncRead for DriverReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (before, space) = (into.filled().len(), into.remaining());
        ready!(Pin::new(&mut self.0).poll_read(cx, into))?;
        let ended = into.filled().len() == before && space > 0;
        if ended && self.1.is_reset.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Poll::Ready(Ok(()))
    }
}

/// The driver's end of what the program reads.
pub struct DriverWriter(WriteHalf<DuplexStream>, Arc<Shared>);

impl AsyncWrite for DriverWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Before the pipe ends, so that the other side reads its end as this.
        self.1.is_complete.store(true, Ordering::Release);
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;
    use crate::net::os::clock;

    #[tokio::test(start_paused = true)]
    async fn a_dropped_stream_is_stopped_once_it_makes_no_progress() {
        let (shared, counters, stop) = (Shared::default(), Counters::default(), StreamStop::default());
        let mut reaper = Box::pin(reap_dropped(&shared, &counters, &stop));
        assert!(timeout(STREAM_LINGER * 10, &mut reaper).await.is_err());
        assert!(!stop.is_requested(), "the program still holds it");
        shared.dropped.cancel();
        for _ in 0..10 {
            counters.sent.fetch_add(1, Ordering::Relaxed);
            assert!(timeout(STREAM_LINGER / 2, &mut reaper).await.is_err());
        }
        assert!(!stop.is_requested(), "it makes progress");
        let start = clock::now();
        tokio::select! {
            stopped = timeout(STREAM_LINGER * 10, reaper) => assert!(stopped.is_ok(), "it is not stopped"),
            () = stop.requested() => {}
        }
        assert!(clock::now() - start <= STREAM_LINGER * 2);
    }

    #[tokio::test]
    async fn a_dropped_driver_leaves_the_received_bytes_and_then_an_error() {
        let (mut stream, local) = pair();
        let ((reader, mut writer), owner) = local.into_parts();
        writer.write_all(b"some").await.unwrap();
        drop((reader, writer, owner));
        let mut received = Vec::new();
        let error = stream.read_to_end(&mut received).await.unwrap_err();
        assert_eq!((received.as_slice(), error.kind()), (&b"some"[..], io::ErrorKind::ConnectionAborted));
        assert_eq!(refusal_of(&error).unwrap().kind, RefusalKind::LocalShutdown);
        assert!(refusal_of(&stream.write(b"x").await.unwrap_err()).is_some());
        assert_eq!(stream.verified().await.unwrap_err().kind, RefusalKind::LocalShutdown);
    }

    #[tokio::test]
    async fn only_a_shutdown_is_an_end_of_file() {
        for shut in [true, false] {
            let (mut stream, local) = pair();
            let ((mut reader, _writer), _owner) = local.into_parts();
            stream.write_all(b"all").await.unwrap();
            if shut {
                stream.shutdown().await.unwrap();
            }
            drop(stream);
            let mut received = Vec::new();
            assert_eq!(reader.read_to_end(&mut received).await.is_ok(), shut);
            assert_eq!(received, b"all");
        }
    }
}
