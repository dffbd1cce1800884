//! Two pumps back to back, with small pipes for connections and no hub between them.

#![allow(clippy::large_futures, reason = "only the connections of a running process are many")]

mod memory;
mod resume;
mod reuse;
mod sealed;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, DuplexStream, ReadBuf, duplex, split};
use tokio::time::{sleep, timeout};

use super::*;
use crate::net::shutdown::StreamStop;
use crate::net::websocket::{CLOSE_NORMAL, Incoming, SocketKind, WebSocketRole};
use crate::proto::limits::{INITIAL_WINDOW, MAX_SENT_MESSAGE_BYTES, MAX_WINDOW};
use crate::proto::resume::ResumeCredential;
use crate::proto::stream::{CLOSE_RESET, StreamControl, StreamProtocol};

/// The buffer of a pipe, in bytes: small, so that everything blocks often.
const PIPE: usize = 1000;
const LONG: Duration = Duration::from_secs(60 * 60);

fn socket(transport: DuplexStream, endpoint: WebSocketRole) -> WebSocket<DuplexStream> {
    WebSocket::new(transport, &[], endpoint, SocketKind::Stream)
}

/// Creates both ends of a WebSocket.
fn sockets() -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (near, far) = duplex(PIPE);
    (socket(near, WebSocketRole::Client), socket(far, WebSocketRole::Server))
}

/// Refuses every rejoin.
struct NoRejoin;

impl<T: Transport> Rejoin<T> for NoRejoin {
    async fn rejoin(&self, _: &ResumeCredential) -> Result<Tunnel<T>, Refusal> {
        Err(RefusalKind::PeerGone.into())
    }
}

/// The settings of a pump.
#[derive(Default)]
struct Settings {
    counters: Counters,
    runtime: ClientRuntime,
    stop: StreamStop,
}

impl Settings {
    fn context<J>(&self, rejoin: J) -> PumpContext<'_, J> {
        PumpContext {
            counters: &self.counters,
            on_event: &|_| {},
            rejoin,
            runtime: &self.runtime,
            idle_timeout: IdleTimeout::default(),
            network: NetworkMonitor::disabled(),
            stop: &self.stop,
        }
    }
}

/// Creates a pump that cannot resume, and the application's end of its local side.
fn one(socket: WebSocket<DuplexStream>, half_close: bool) -> (DuplexStream, impl Future<Output = Outcome>) {
    let tunnel = Tunnel::new(socket, half_close.then_some(StreamProtocol::V1), None);
    resumable(tunnel, NoRejoin)
}

/// Creates a pump that rejoins, and the application's end of its local side.
fn resumable<J: Rejoin<DuplexStream>>(
    tunnel: Tunnel<DuplexStream>,
    rejoin: J,
) -> (DuplexStream, impl Future<Output = Outcome>) {
    let (application, local) = duplex(PIPE);
    let pump = async move {
        let settings = Settings::default();
        pump(split(local), tunnel, settings.context(rejoin)).await.0
    };
    (application, pump)
}

/// Sends bytes and ends its direction; returns the bytes received until the other direction ended.
async fn exchange(application: DuplexStream, bytes: Vec<u8>) -> Vec<u8> {
    let (mut reader, mut writer) = split(application);
    let send = async {
        writer.write_all(&bytes).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut all = Vec::new();
    let ((), read) = tokio::join!(send, reader.read_to_end(&mut all));
    read.unwrap();
    all
}

fn pattern(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|index| ((index * 31 + seed) >> 3) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn both_directions_deliver_all_bytes_and_end_independently() {
    let (near, far) = sockets();
    let ((a, left), (b, right)) = (one(near, true), one(far, true));
    let (up, down) = (pattern(3_000_000, 1), pattern(70_000, 2));
    let all = async { tokio::join!(left, right, exchange(a, up.clone()), exchange(b, down.clone())) };
    let (left, right, at_a, at_b) = timeout(LONG, all).await.unwrap();
    assert!(at_a == down && at_b == up, "wrong bytes arrived");
    assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_reader_blocks_only_its_writer_for_hours() {
    let (near, far) = sockets();
    let ((a, left), (b, right)) = (one(near, true), one(far, true));
    let ((mut a_reader, mut a_writer), (mut b_reader, mut b_writer)) = (split(a), split(b));
    let mut written = 0;
    let stalled = async {
        loop {
            a_writer.write_all(&[7; 500]).await.unwrap();
            written += 500;
        }
    };
    let other_direction = async {
        let mut answer = [0; 5];
        b_writer.write_all(b"hello").await.unwrap();
        a_reader.read_exact(&mut answer).await.unwrap();
        std::future::pending::<()>().await;
    };
    let pumps = async { tokio::join!(left, right) };
    tokio::pin!(pumps);
    let paused = async {
        tokio::select! { () = stalled => {} () = other_direction => {} _ = &mut pumps => {} }
    };
    assert!(timeout(LONG * 3, paused).await.is_err(), "a stream ended");
    assert!(written as u64 <= INITIAL_WINDOW + 4 * PIPE as u64, "{written} bytes were taken from the writer");
    let rest = async {
        let mut seen = 0;
        while seen < written {
            seen += b_reader.read(&mut [0; 4096]).await.unwrap();
        }
    };
    tokio::select! { result = timeout(LONG, rest) => result.unwrap(), _ = pumps => panic!("a stream ended") }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_ignores_the_window_breaks_its_stream() {
    let (near, mut far) = sockets();
    let (_application, pump) = one(near, true);
    let flood = async {
        let piece = Bytes::from(vec![0; MAX_SENT_MESSAGE_BYTES]);
        for _ in 0..=MAX_WINDOW / MAX_SENT_MESSAGE_BYTES as u64 {
            if far.writer.bytes(piece.clone()).await.is_err() {
                break;
            }
        }
    };
    let (outcome, ()) = timeout(LONG, async { tokio::join!(pump, flood) }).await.unwrap();
    assert_eq!(outcome.ending, Ending::Broken);
}

#[tokio::test(start_paused = true)]
async fn an_end_with_the_wrong_byte_count_breaks_the_stream() {
    let (near, mut far) = sockets();
    let (_application, pump) = one(near, true);
    far.writer.bytes(Bytes::from_static(b"12345")).await.unwrap();
    far.writer.text(StreamControl::End { bytes: 6 }.encode()).await.unwrap();
    assert_eq!(timeout(LONG, pump).await.unwrap().ending, Ending::Broken);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_lost_or_closed_early_is_never_a_clean_end() {
    for (code, ending) in [(None, Ending::Broken), (Some(1000), Ending::Broken), (Some(4000), Ending::PeerReset)] {
        let (near, mut far) = sockets();
        let (_application, pump) = one(near, true);
        far.writer.bytes(Bytes::from_static(b"12345")).await.unwrap();
        if let Some(code) = code {
            far.writer.close(code, "").await.unwrap();
        }
        drop(far);
        assert_eq!(timeout(LONG, pump).await.unwrap().ending, ending, "{code:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_half_close_delivers_all_bytes_and_then_ends_both_directions() {
    let (near, mut far) = sockets();
    let (application, pump) = one(near, false);
    let (mut reader, _writer) = split(application);
    let sent = pattern(300_000, 3);
    let talk = async {
        for piece in sent.chunks(50_000) {
            far.writer.bytes(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        far.close_when_read(CLOSE_NORMAL, "").await;
    };
    let mut all = Vec::new();
    let (outcome, (), read) = tokio::join!(pump, talk, timeout(LONG, reader.read_to_end(&mut all)));
    read.unwrap().unwrap();
    assert!(all == sent, "wrong bytes arrived");
    assert_eq!(outcome.ending, Ending::Clean);
}

/// The two halves of a local connection that is reset, which the system reports once, to the first call.
#[derive(Clone, Default)]
struct ResetOnce(Arc<AtomicBool>);

impl AsyncWrite for ResetOnce {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        self.0.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ResetOnce {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.0.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reset_reported_to_the_writer_is_not_an_end_of_file() {
    // Which half is polled first is random.
    for _ in 0..100 {
        let (near, mut far) = sockets();
        let local = ResetOnce::default();
        let settings = Settings::default();
        let tunnel = Tunnel::new(near, Some(StreamProtocol::V1), None);
        let pump = pump((local.clone(), local), tunnel, settings.context(NoRejoin));
        let peer = async {
            far.writer.bytes(Bytes::from_static(b"x")).await.unwrap();
            loop {
                match far.reader.next().await.unwrap() {
                    Incoming::Closed(close_code) => return close_code.map(|(code, _)| code),
                    Incoming::Text(text) => assert!(!text.contains("end"), "{text}"),
                    Incoming::Bytes(_) | Incoming::Ping | Incoming::Pong => {}
                }
            }
        };
        let ((outcome, _), received) = tokio::join!(pump, peer);
        assert_eq!((outcome.ending, received), (Ending::LocalReset, Some(CLOSE_RESET)));
    }
}

/// Counts the writes to a pipe.
struct CountedWrites(DuplexStream, Arc<AtomicU64>);

impl AsyncRead for CountedWrites {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for CountedWrites {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self(pipe, writes) = self.get_mut();
        writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(pipe).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_bytes_and_the_end_are_one_write() {
    let (near, far) = duplex(PIPE);
    let writes = Arc::default();
    let socket =
        WebSocket::new(CountedWrites(near, Arc::clone(&writes)), &[], WebSocketRole::Client, SocketKind::Stream);
    let settings = Settings::default();
    let tunnel = Tunnel::new(socket, Some(StreamProtocol::V1), None);
    let (application, local) = duplex(PIPE);
    let (_open, mut ending) = split(application);
    ending.write_all(b"last").await.unwrap();
    ending.shutdown().await.unwrap();
    let pump = pump(split(local), tunnel, settings.context(NoRejoin));
    let mut far = self::socket(far, WebSocketRole::Server);
    let received = async {
        let bytes = far.reader.next().await.unwrap();
        let end = far.reader.next().await.unwrap();
        assert_eq!((bytes, writes.load(Ordering::Relaxed)), (Incoming::Bytes(Bytes::from_static(b"last")), 1));
        assert!(matches!(&end, Incoming::Text(text) if text.contains("end")), "{end:?}");
    };
    tokio::select! {
        _ = pump => unreachable!("the other direction is open"),
        () = received => {}
    }
}
