use tokio::io::{DuplexStream, duplex};
use tokio::time::sleep;

use super::*;
use crate::net::websocket::{Endpoint, SocketKind};
use crate::proto::stream::CLOSE_RESET;

/// The order in which the two ways are looked at is drawn by lot.
const DRAWS: usize = 32;

/// A side, and whoever is there.
fn side() -> (Leg<DuplexStream>, WebSocket<DuplexStream>) {
    let (near, far) = duplex(64 * 1024);
    let leg = Leg::new(WebSocket::new(near, &[], Endpoint::Server, SocketKind::Stream), ());
    (leg, WebSocket::new(far, &[], Endpoint::Client, SocketKind::Stream))
}

/// Who left a stream between two that can resume, and how.
async fn left(device: Leg<DuplexStream>, service: Leg<DuplexStream>) -> (Role, String) {
    let (end, draining) = (CancellationToken::new(), CancellationToken::new());
    let terms = Terms {
        text_allowed: true,
        resumable: true,
        rests: true,
        carried: &Carried::default(),
        end: &end,
        draining: &draining,
        drain: Duration::ZERO,
        back: &|| Duration::ZERO,
        patience: Patience::default(),
    };
    let parting = relay(device, service, &terms).await;
    let (role, departure) = parting.left().expect("one of them");
    (role, departure.reason())
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_any_more_may_have_said_why() {
    for _ in 0..DRAWS {
        let ((device, mut agent), (mut service, _proxy)) = (side(), side());
        agent.writer.bytes(Bytes::from_static(b"before")).await.unwrap();
        agent.writer.close(CLOSE_RESET, "").await.unwrap();
        // Its socket is gone, with its last words in ours, and there is still something for it.
        drop(agent);
        service.begin_with(Bytes::from_static(b"more"));
        assert_eq!(left(device, service).await, (Role::Device, "reset".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_left_in_the_moment_in_which_it_was_joined_is_heard_before_it_is_missed() {
    for _ in 0..DRAWS {
        let ((mut device, mut agent), (mut service, _proxy)) = (side(), side());
        agent.writer.close(CLOSE_RESET, "").await.unwrap();
        let departure = device.hold(None).await;
        device.departed(departure);
        service.begin_with(Bytes::from_static(b"more"));
        assert_eq!(left(device, service).await, (Role::Device, "reset".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_lost_without_a_word_is_lost() {
    let ((device, agent), (mut service, _proxy)) = (side(), side());
    drop(agent);
    service.begin_with(Bytes::from_static(b"more"));
    let (role, reason) = left(device, service).await;
    assert_eq!((role, reason.as_str()), (Role::Device, "the connection ended without a close"));
}

#[tokio::test(start_paused = true)]
async fn who_is_lost_when_both_ends_know_that_all_has_arrived_has_only_not_closed() {
    for (service_knows, result) in [(true, "closed"), (false, "the connection ended without a close")] {
        let ((device, mut agent), (service, mut proxy)) = (side(), side());
        let ack = |end| StreamControl::Ack { bytes: 1, window: 1, end }.encode();
        let ends = async {
            proxy.writer.text(ack(true)).await.unwrap();
            assert_eq!(agent.reader.next().await.unwrap(), Incoming::Text(ack(true)));
            agent.writer.text(ack(service_knows)).await.unwrap();
            assert_eq!(proxy.reader.next().await.unwrap(), Incoming::Text(ack(service_knows)));
            drop(agent);
        };
        let (left, ()) = tokio::join!(left(device, service), ends);
        assert_eq!(left, (Role::Device, result.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_side_that_says_nothing_more_is_told_things_until_the_other_says_nothing_more_either() {
    let ((device, mut agent), (service, mut proxy)) = (side(), side());
    let ends = async {
        agent.writer.text(REST.into()).await.unwrap();
        assert_eq!(proxy.reader.next().await.unwrap(), Incoming::Text(REST.into()));
        sleep(Duration::from_secs(20)).await;
        let last = Bytes::from_static(b"last");
        proxy.writer.bytes(last.clone()).await.unwrap();
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Bytes(last));
        proxy.writer.text(REST.into()).await.unwrap();
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Text(REST.into()));
        (agent, proxy)
    };
    let (left, _ends) = tokio::join!(left(device, service), ends);
    assert_eq!(left, (Role::Service, "closed".into()));
}

/// The other end would take it for what the hub asks of it next.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_side_that_had_no_more_to_say_reaches_the_other() {
    for word in
        [Incoming::Text(REST.into()), Incoming::Text("next".into()), Incoming::Bytes(Bytes::from_static(b"next"))]
    {
        let ((device, mut agent), (service, mut proxy)) = (side(), side());
        let ends = async {
            proxy.writer.text(REST.into()).await.unwrap();
            match word {
                Incoming::Text(text) => proxy.writer.text(text).await.unwrap(),
                Incoming::Bytes(bytes) => proxy.writer.bytes(bytes).await.unwrap(),
                Incoming::Ping | Incoming::Pong | Incoming::Closed(_) => unreachable!("none of those"),
            }
        };
        let (left, ()) = tokio::join!(left(device, service), ends);
        assert!(left.0 == Role::Service && left.1.contains("it had no more to say"), "{left:?}");
        assert_eq!(agent.reader.next().await.unwrap(), Incoming::Text(REST.into()));
        assert!(agent.reader.next().await.is_err(), "it was told more");
    }
}
