//! Two pumps back to back, with small pipes for sockets and no hub between them.

#![allow(clippy::large_futures, reason = "only the connections of a running process are many")]

mod rest;
mod resume;

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
use crate::net::websocket::{CLOSE_NORMAL, Endpoint, Incoming, SocketKind};
use crate::proto::limits::{DATA_MESSAGE_BYTES, FIRST_WINDOW, LARGEST_WINDOW};
use crate::proto::stream::{CLOSE_RESET, StreamControl};

/// A pipe's buffer: small, so that everything blocks often.
const PIPE: usize = 1000;
const LONG: Duration = Duration::from_secs(60 * 60);

fn socket(transport: DuplexStream, endpoint: Endpoint) -> WebSocket<DuplexStream> {
    WebSocket::new(transport, &[], endpoint, SocketKind::Stream)
}

/// A WebSocket from end to end.
fn sockets() -> (WebSocket<DuplexStream>, WebSocket<DuplexStream>) {
    let (near, far) = duplex(PIPE);
    (socket(near, Endpoint::Client), socket(far, Endpoint::Server))
}

/// Cannot come back.
struct NoWay;

impl Rejoin<DuplexStream> for NoWay {
    async fn rejoin(&self, _: &Pass) -> Result<Tunnel<DuplexStream>, Refusal> {
        Err(Kind::PeerGone.into())
    }
}

/// A pump, and the application's end of its local side.
fn one(socket: WebSocket<DuplexStream>, half_close: bool) -> (DuplexStream, impl Future<Output = Outcome>) {
    let tunnel = Tunnel::new(socket, half_close.then_some(StreamProtocol::V1), None);
    resumable(tunnel, NoWay)
}

/// The same with a way back.
fn resumable<J: Rejoin<DuplexStream>>(
    tunnel: Tunnel<DuplexStream>,
    rejoin: J,
) -> (DuplexStream, impl Future<Output = Outcome>) {
    let (application, local) = duplex(PIPE);
    let pump = async move {
        let (counters, stop) = (Counters::default(), CancellationToken::new());
        let terms = Terms {
            counters: &counters,
            tell: &|_| {},
            rejoin,
            patience: Patience::default(),
            vigil: Vigil::none(),
            stop: &stop,
        };
        pump(split(local), tunnel, terms).await.0
    };
    (application, pump)
}

/// Sends its bytes and ends its direction, and gives back what came until the other one ended.
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
async fn both_directions_arrive_whole_and_end_by_themselves() {
    let (near, far) = sockets();
    let ((a, left), (b, right)) = (one(near, true), one(far, true));
    let (up, down) = (pattern(3_000_000, 1), pattern(70_000, 2));
    let all = async { tokio::join!(left, right, exchange(a, up.clone()), exchange(b, down.clone())) };
    let (left, right, at_a, at_b) = timeout(LONG, all).await.unwrap();
    assert!(at_a == down && at_b == up, "other bytes arrived");
    assert_eq!((left.ending, right.ending), (Ending::Clean, Ending::Clean));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_pauses_blocks_its_writer_and_nothing_else_for_hours() {
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
    let other_way = async {
        let mut answer = [0; 5];
        b_writer.write_all(b"hello").await.unwrap();
        a_reader.read_exact(&mut answer).await.unwrap();
        std::future::pending::<()>().await;
    };
    let pumps = async { tokio::join!(left, right) };
    tokio::pin!(pumps);
    let paused = async {
        tokio::select! { () = stalled => {} () = other_way => {} _ = &mut pumps => {} }
    };
    assert!(timeout(LONG * 3, paused).await.is_err(), "a stream ended");
    assert!(written as u64 <= FIRST_WINDOW + 4 * PIPE as u64, "{written} bytes were taken from the writer");
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
        let piece = Bytes::from(vec![0; DATA_MESSAGE_BYTES]);
        for _ in 0..=LARGEST_WINDOW / DATA_MESSAGE_BYTES as u64 {
            if far.writer.bytes(piece.clone()).await.is_err() {
                break;
            }
        }
    };
    let (outcome, ()) = timeout(LONG, async { tokio::join!(pump, flood) }).await.unwrap();
    assert_eq!(outcome.ending, Ending::Broken);
}

#[tokio::test(start_paused = true)]
async fn an_end_that_counts_other_bytes_than_came_breaks_the_stream() {
    let (near, mut far) = sockets();
    let (_application, pump) = one(near, true);
    far.writer.bytes(Bytes::from_static(b"12345")).await.unwrap();
    far.writer.text(StreamControl::End { bytes: 6 }.encode()).await.unwrap();
    assert_eq!(timeout(LONG, pump).await.unwrap().ending, Ending::Broken);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_breaks_or_closes_early_is_never_a_clean_end() {
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
async fn a_peer_without_half_close_gives_all_it_sent_and_then_ends_both() {
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
    assert!(all == sent, "other bytes arrived");
    assert_eq!(outcome.ending, Ending::Clean);
}

/// The two halves of a local connection that is reset: the system tells that once, to whoever asks first.
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
async fn a_reset_that_the_writer_met_is_no_end() {
    // Which half is asked first is left to chance.
    for _ in 0..100 {
        let (near, mut far) = sockets();
        let local = ResetOnce::default();
        let (counters, stop) = (Counters::default(), CancellationToken::new());
        let terms = Terms {
            counters: &counters,
            tell: &|_| {},
            rejoin: NoWay,
            patience: Patience::default(),
            vigil: Vigil::none(),
            stop: &stop,
        };
        let pump = pump((local.clone(), local), Tunnel::new(near, Some(StreamProtocol::V1), None), terms);
        let hears = async {
            far.writer.bytes(Bytes::from_static(b"x")).await.unwrap();
            loop {
                match far.reader.next().await.unwrap() {
                    Incoming::Closed(told) => return told.map(|(code, _)| code),
                    Incoming::Text(text) => assert!(!text.contains("end"), "{text}"),
                    Incoming::Bytes(_) | Incoming::Ping | Incoming::Pong => {}
                }
            }
        };
        let ((outcome, _), heard) = tokio::join!(pump, hears);
        assert_eq!((outcome.ending, heard), (Ending::LocalReset, Some(CLOSE_RESET)));
    }
}
