//! Relays between two legs over pipes; each test plays the peers.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::sleep;

use super::*;
use crate::net::websocket::{Incoming, SocketKind, WebSocketRole};
use crate::proto::limits::{MAX_RECEIVED_MESSAGE_BYTES, MAX_SENT_MESSAGE_BYTES, UNJOINED_LEG_BYTES};
use crate::proto::stream::{CLOSE_RESET, RELEASE_MESSAGE, StreamControl};

/// The repetitions of a test whose result may depend on the random order in which the directions are polled.
const REPETITIONS: usize = 32;

/// Creates a leg, and its peer's WebSocket.
fn side() -> (Leg<DuplexStream>, WebSocket<DuplexStream>) {
    let (near, far) = duplex(64 * 1024);
    let leg = Leg::new(WebSocket::new(near, &[], WebSocketRole::Server, SocketKind::Stream), ());
    (leg, WebSocket::new(far, &[], WebSocketRole::Client, SocketKind::Stream))
}

/// Relays between two legs that can resume; returns which one closed first, and the reason.
async fn first_close(device: Leg<DuplexStream>, service: Leg<DuplexStream>) -> (Role, String) {
    let relay_end = relay_between(device, service).await;
    let (role, leg_close) = relay_end.closed_first().expect("one of them");
    (role, leg_close.reason())
}

async fn relay_between<T: Transport>(device: Leg<T>, service: Leg<T>) -> RelayEnd<T> {
    let (end, draining) = (CancellationToken::new(), CancellationToken::new());
    let context = RelayContext {
        has_stream_protocol: true,
        resumable: true,
        reusable: true,
        hold_release: true,
        counters: &ByteCounters::default(),
        backlogs: &Backlogs::default(),
        cancel: &end,
        draining: &draining,
        drain_timeout: Duration::ZERO,
        reconnect_delay: &|| Duration::ZERO,
        idle_timeout: IdleTimeout::default(),
    };
    relay(device, service, &context).await
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_is_read_from_a_peer_that_no_longer_reads() {
    for _ in 0..REPETITIONS {
        let ((device, mut agent), (mut service, _proxy)) = (side(), side());
        agent.writer.bytes(Bytes::from_static(b"before")).await.unwrap();
        agent.writer.close(CLOSE_RESET, "").await.unwrap();
        // Its socket is gone; its close frame is still in our buffer, and there are still bytes for it.
        drop(agent);
        service.prepend(Bytes::from_static(b"more"));
        assert_eq!(first_close(device, service).await, (Role::Device, "reset".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_close_frame_of_a_leg_that_closed_while_it_was_joined_is_reported() {
    for _ in 0..REPETITIONS {
        let ((mut device, mut agent), (mut service, _proxy)) = (side(), side());
        agent.writer.close(CLOSE_RESET, "").await.unwrap();
        let leg_close = device.buffer_until_joined(None).await;
        device.record_close(leg_close);
        service.prepend(Bytes::from_static(b"more"));
        assert_eq!(first_close(device, service).await, (Role::Device, "reset".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_ends_without_a_close_frame_is_lost() {
    let ((device, agent), (mut service, _proxy)) = (side(), side());
    drop(agent);
    service.prepend(Bytes::from_static(b"more"));
    let (role, reason) = first_close(device, service).await;
    assert_eq!((role, reason.as_str()), (Role::Device, "the connection ended without a close"));
}

#[tokio::test(start_paused = true)]
async fn a_loss_after_both_ends_are_acknowledged_is_a_normal_close() {
    for (acknowledged, result) in [(true, "closed"), (false, "the connection ended without a close")] {
        let ((device, mut agent), (service, mut proxy)) = (side(), side());
        let ack = |end| StreamControl::Ack { bytes: 1, window: 1, end }.encode();
        let peers = async {
            proxy.writer.text(ack(true)).await.unwrap();
            assert_eq!(agent.reader.next().await.unwrap(), Incoming::Text(ack(true)));
            agent.writer.text(ack(acknowledged)).await.unwrap();
            assert_eq!(proxy.reader.next().await.unwrap(), Incoming::Text(ack(acknowledged)));
            drop(agent);
        };
        let (closed, ()) = tokio::join!(first_close(device, service), peers);
        assert_eq!(closed, (Role::Device, result.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_above_64_kib_is_forwarded_in_several() {
    let ((device, mut agent), (service, mut proxy)) = (side(), side());
    let sent = Bytes::from(vec![7; MAX_RECEIVED_MESSAGE_BYTES]);
    let peers = async {
        let receive = async {
            let mut received = 0;
            while received < MAX_RECEIVED_MESSAGE_BYTES {
                let Ok(Incoming::Bytes(bytes)) = proxy.reader.next().await else { panic!("no bytes") };
                assert!(bytes.len() <= MAX_SENT_MESSAGE_BYTES && bytes == sent[..bytes.len()]);
                received += bytes.len();
            }
            received
        };
        let (sent, received) = tokio::join!(agent.writer.bytes(sent.clone()), receive);
        sent.unwrap();
        assert_eq!(received, MAX_RECEIVED_MESSAGE_BYTES);
        drop(agent);
    };
    let (closed, ()) = tokio::join!(first_close(device, service), peers);
    assert_eq!(closed.0, Role::Device);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_has_released_still_receives_until_the_other_releases_too() {
    let ((device, mut agent), (service, mut proxy)) = (side(), side());
    let peers = async {
        agent.writer.text(RELEASE_MESSAGE.into()).await.unwrap();
        assert_eq!(proxy.reader.next().await.unwrap(), Incoming::Text(RELEASE_MESSAGE.into()));
        sleep(Duration::from_secs(20)).await;
        let last = Bytes::from_static(b"last");
        proxy.writer.bytes(last.clone()).await.unwrap();
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Bytes(last));
        proxy.writer.text(RELEASE_MESSAGE.into()).await.unwrap();
        (agent, proxy)
    };
    let (relay_end, (mut agent, _proxy)) = tokio::join!(relay_between(device, service), peers);
    assert!(relay_end.is_reusable());
    // The last release waits for what its leg is sent next.
    let (mut device, _service) = relay_end.into_legs();
    device.send_text("next".into()).await.unwrap();
    for text in [RELEASE_MESSAGE, "next"] {
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Text(text.into()));
    }
}

/// The peer would take it for the first message of its next stream.
#[tokio::test(start_paused = true)]
async fn no_message_after_a_release_is_forwarded() {
    for message in [
        Incoming::Text(RELEASE_MESSAGE.into()),
        Incoming::Text("next".into()),
        Incoming::Bytes(Bytes::from_static(b"next")),
    ] {
        let ((device, mut agent), (service, mut proxy)) = (side(), side());
        let peers = async {
            proxy.writer.text(RELEASE_MESSAGE.into()).await.unwrap();
            match message {
                Incoming::Text(text) => proxy.writer.text(text).await.unwrap(),
                Incoming::Bytes(bytes) => proxy.writer.bytes(bytes).await.unwrap(),
                Incoming::Ping | Incoming::Pong | Incoming::Closed(_) => unreachable!("not in the list"),
            }
        };
        let (closed, ()) = tokio::join!(first_close(device, service), peers);
        assert!(closed.0 == Role::Service && closed.1.contains("message after release"), "{closed:?}");
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Text(RELEASE_MESSAGE.into()));
        assert!(agent.reader.next().await.is_err(), "another message arrived");
    }
}

/// The peer would read what the relay does not recognise: it would leave the stream, or think that the hub drains.
#[tokio::test(start_paused = true)]
async fn a_release_in_another_spelling_and_a_notice_of_the_hubs_are_not_forwarded() {
    for text in [
        r#"{"type": "rest"}"#,
        r#"{"type":"rest","more":1}"#,
        r#"{"type":"\u0072est"}"#,
        r#"{"type":"drain","seconds":1,"backMs":60000}"#,
        r#"{"seconds":1,"type":"dr\u0061in"}"#,
    ] {
        let ((device, mut agent), (service, mut proxy)) = (side(), side());
        let sent = proxy.writer.text(text.into());
        let (closed, sent) = tokio::join!(first_close(device, service), sent);
        sent.unwrap();
        assert!(closed.0 == Role::Service && closed.1.contains("does not pass on"), "{text}: {closed:?}");
        assert!(agent.reader.next().await.is_err(), "{text} arrived");
    }
}

/// Counts the writes to a leg.
struct Counted(DuplexStream, Arc<AtomicU64>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn small_messages_that_arrive_together_go_out_together_and_one_alone_at_once() {
    const MESSAGES: u64 = 2000;
    let writes = Arc::new(AtomicU64::new(0));
    let leg = || {
        let (near, far) = duplex(64 * 1024);
        let near = Counted(near, writes.clone());
        let leg = Leg::new(WebSocket::new(near, &[], WebSocketRole::Server, SocketKind::Stream), ());
        (leg, WebSocket::new(far, &[], WebSocketRole::Client, SocketKind::Stream))
    };
    let ((device, mut agent), (service, mut proxy)) = (leg(), leg());
    let talk = async {
        for number in 0..MESSAGES {
            proxy.writer.buffer_bytes(Bytes::from(vec![u8::try_from(number % 256).unwrap()])).await.unwrap();
        }
        proxy.writer.flush().await.unwrap();
        for number in 0..MESSAGES {
            let expected = Bytes::from(vec![u8::try_from(number % 256).unwrap()]);
            assert_eq!(agent.reader.next().await.unwrap(), Incoming::Bytes(expected), "each is a message still");
        }
        let together = writes.load(Ordering::Relaxed);
        assert!(together < MESSAGES / 10, "{together} writes");
        proxy.writer.bytes(Bytes::from_static(b"x")).await.unwrap();
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Bytes(Bytes::from_static(b"x")));
        drop((proxy, agent));
    };
    tokio::join!(relay_between(device, service), talk);
}

#[tokio::test(start_paused = true)]
async fn a_leg_that_waits_is_read_no_further_than_its_limit_within_a_message_too_and_loses_nothing() {
    /// The size of the pipe, and that of headers.
    const PIPE: usize = 1024;
    const HEADERS: usize = 64;
    for sizes in [vec![MAX_RECEIVED_MESSAGE_BYTES], vec![60_000; 4], vec![15_000, 60_000], vec![100; 2000]] {
        let (near, far) = duplex(PIPE);
        let mut device = Leg::new(WebSocket::new(near, &[], WebSocketRole::Server, SocketKind::Stream), ());
        let mut agent = WebSocket::new(far, &[], WebSocketRole::Client, SocketKind::Stream);
        let (sent, wanted) = (agent.liveness.clone(), sizes.iter().sum::<usize>());
        let sends = async {
            for size in sizes {
                agent.writer.bytes(Bytes::from(vec![7; size])).await.unwrap();
            }
        };
        let receives = async {
            let waits = device.buffer_until_joined(Some(IdleTimeout::default()));
            assert!(timeout(Duration::from_secs(3600), waits).await.is_err(), "it was given up");
            let taken = sent.written() as usize;
            assert!(taken <= UNJOINED_LEG_BYTES + PIPE + HEADERS, "{taken} bytes");
            let mut received = 0;
            while received < wanted {
                let next = device.buffered.pop_front();
                let next = if let Some(next) = next { next } else { device.socket.reader.next().await };
                if let Incoming::Bytes(bytes) = next.unwrap() {
                    received += bytes.len();
                }
            }
            assert_eq!(received, wanted);
        };
        tokio::join!(sends, receives);
    }
}
