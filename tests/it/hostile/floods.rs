//! Floods of messages that are cheap to send.

use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::net::websocket::{SocketKind, WebSocket as Ours, WebSocketRole};
use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::id::StreamId;
use devstream::proto::limits::{
    CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND, DEAD_TARGETS, MAX_RECEIVED_MESSAGE_BYTES,
};
use devstream::proto::message::{DeadTarget, StreamResponse, ToHub, encode};
use devstream::proto::refusal::{Refusal, RefusalKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::time::timeout;

use super::HostileFixture;
use crate::support::bytes::{KIB, MIB, Pattern};
use crate::support::raw::{RawClient, RawDevice};
use crate::support::websocket::{BINARY, FINAL, PING, PONG, TEXT, WebSocket, frame};
use crate::support::{STREAM_PROTOCOL, poll};

const CONTINUATION: u8 = 0;

/// A message in this many pieces, of which one in [`ONE_IN`] has a byte in it.
const PIECES: usize = 1_000_000;
const ONE_IN: usize = 5;

/// A stream of alice's to a device controlled by the test, during an attack.
struct Pair {
    service: WebSocket,
    device: WebSocket,
}

fn device(hostile: &HostileFixture, id: &str) -> RawDevice {
    RawDevice::online(RawClient::join(&hostile.fixture.hub.device_link(id)), &["ssh"])
}

fn pair(hostile: &HostileFixture, device: &mut RawDevice) -> Pair {
    let pending = hostile.alice.send("POST", "/twins/flooded/streams/ssh", &[], "");
    let request = device.request();
    device.accept(&request);
    let service = hostile.alice.attach(&pending.answer().grant()).expect("let in");
    Pair { service, device: device.identity.attach(&(&request).into()).expect("let in") }
}

#[test]
fn a_flood_of_pings_or_pongs_ends_its_connection() {
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let before = hostile.fixture.hub.process.memory().now;
    for first in [FINAL | PING, FINAL | PONG] {
        let ping = frame(true, first, &[b'x'; 125]);
        flood(&mut pair(&hostile, &mut flooded).service, &ping);
        flood(&mut device(&hostile, &format!("flooded-{first}")).control, &ping);
    }
    let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < 4 * MIB, "{growth} bytes more");
    drop(flooded);
    hostile.end();
}

/// Sends until the hub closes. The close frame may be lost behind unread bytes.
fn flood(socket: &mut WebSocket, frame: &[u8]) {
    let many = frame.repeat(100);
    let refused = (0..10_000).find(|_| socket.garbage(&many).is_err());
    assert!(refused.is_some(), "a million of {frame:x?} were taken");
}

#[test]
fn a_flood_of_responses_that_nobody_asked_for_ends_its_connection() {
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let response =
        StreamResponse { request_id: StreamId::from_bytes([7; 16]), accepted: true, end_to_end: false, reason: None };
    flood(&mut flooded.control, &frame(true, FINAL | TEXT, encode(&ToHub::StreamResponse(response)).as_bytes()));
    drop(flooded);
    hostile.end();
}

#[test]
fn a_device_reports_no_targets_but_its_own_and_not_without_end() {
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let dead = |name: &str, kind| DeadTarget {
        name: name.parse().unwrap(),
        target: "10.0.0.9:22".into(),
        reason: Refusal::new(kind, "no answer"),
    };
    let mut reported = vec![dead("other", RefusalKind::TargetTimedOut), dead("ssh", RefusalKind::KeyReplaced)];
    let send = |device: &mut RawDevice, dead: &[DeadTarget]| {
        device.control.text(&encode(&ToHub::Targets { dead: dead.to_vec() })).unwrap();
    };
    let listed = || hostile.alice.ask("GET", "/devices", &[], "").body;
    send(&mut flooded, &reported);
    reported.extend(vec![dead("ssh", RefusalKind::TargetTimedOut); 2 * DEAD_TARGETS]);
    send(&mut flooded, &reported);
    let is_listed = || Some(listed()).filter(|listed| listed.contains("deadTargets"));
    let seen = poll("the report", is_listed);
    assert!(!seen.contains("other") && !seen.contains("keyReplaced"), "{seen}");
    assert_eq!(seen.matches("targetTimedOut").count(), 1, "{seen}");
    send(&mut flooded, &[]);
    poll("the last report", || (!listed().contains("deadTargets")).then_some(()));
    let report = encode(&ToHub::Targets { dead: reported });
    flood(&mut flooded.control, &frame(true, FINAL | TEXT, report.as_bytes()));
    drop(flooded);
    hostile.end();
}

#[test]
fn an_end_cannot_tell_the_other_that_the_hub_drains() {
    let hostile = HostileFixture::begin();
    for text in [
        r#"{"type":"drain","seconds":1,"backMs":60000}"#,
        r#"{ "backMs" : 60000, "seconds" : 1, "type" : "drain" }"#,
        r#"{"type":"\u0064rain","seconds":1,"backMs":60000}"#,
    ] {
        let mut service = hostile.websocket(&[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]);
        service.text(text).unwrap();
        assert_eq!(service.expect_close(), 1008, "{text}");
    }
    hostile.end();
}

#[test]
fn empty_messages_are_throttled_and_have_no_effect() {
    const MORE: u32 = CONTROL_FRAMES_PER_SECOND;
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let Pair { mut service, device: mut far } = pair(&hostile, &mut flooded);
    let start = clock::now();
    let empty = frame(true, FINAL | BINARY, b"");
    service.garbage(&empty.repeat((CONTROL_FRAME_BURST + MORE) as usize)).unwrap();
    service.bytes(b"at last").unwrap();
    assert_eq!(far.expect_bytes(7), b"at last");
    assert!(clock::now() - start > Duration::from_millis(500), "as fast as they came");

    // Unread bytes are held back by TCP at little cost.
    let before = hostile.fixture.hub.process.processor_time();
    let start = clock::now();
    service.garbage(&empty.repeat(10_000)).unwrap();
    far.bytes(b"the other way").unwrap();
    assert_eq!(service.expect_bytes(13), b"the other way");
    let used = hostile.fixture.hub.process.processor_time() - before;
    assert!(used < Duration::from_millis(200) + (clock::now() - start) / 4, "{used:?} for nothing");
    drop((service, far, flooded));
    hostile.end();
}

#[test]
fn one_message_per_byte_arrives() {
    const BYTES: u64 = 30 * KIB;
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let Pair { mut service, device: mut far } = pair(&hostile, &mut flooded);
    let bytes = Pattern::new(1).prefix(BYTES);
    let messages = bytes.iter().flat_map(|byte| frame(true, FINAL | BINARY, &[*byte])).collect::<Vec<_>>();
    let sending = thread::spawn(move || {
        service.garbage(&messages).unwrap();
        service
    });
    assert!(far.expect_bytes(bytes.len()) == bytes, "other bytes");
    drop((sending.join().unwrap(), far, flooded));
    hostile.end();
}

#[test]
fn a_message_in_a_million_fragments_arrives() {
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let Pair { mut service, device: mut far } = pair(&hostile, &mut flooded);
    let bytes = Pattern::new(1).prefix((PIECES / ONE_IN) as u64);
    let before = hostile.fixture.hub.process.memory().now;
    let expected = bytes.clone();
    let sending = thread::spawn(move || {
        service.garbage(&frame(true, BINARY, b"")).unwrap();
        for some in bytes.chunks(1000) {
            let piece = |byte| [frame(true, CONTINUATION, &[byte]), frame(true, CONTINUATION, b"").repeat(ONE_IN - 1)];
            service.garbage(&some.iter().flat_map(|byte| piece(*byte)).flatten().collect::<Vec<_>>()).unwrap();
        }
        service.garbage(&frame(true, FINAL | CONTINUATION, b"")).unwrap();
        service
    });
    assert!(far.expect_bytes(expected.len()) == expected, "other bytes");
    let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < 4 * MIB, "{growth} bytes more");
    drop((sending.join().unwrap(), far, flooded));
    hostile.end();
}

#[test]
fn a_control_message_in_too_many_fragments_is_refused() {
    let hostile = HostileFixture::begin();
    let mut flooded = device(&hostile, "flooded");
    let before = hostile.fixture.hub.process.memory().now;
    flooded.control.garbage(&frame(true, TEXT, b"")).unwrap();
    flooded.control.garbage(&frame(true, CONTINUATION, b"x").repeat(70_000)).unwrap();
    assert_eq!(flooded.control.expect_close(), 1009);
    let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < 4 * MIB, "{growth} bytes more");
    hostile.end();
}

/// A ping every 50 ms for an hour from a peer that reads nothing: pongs must not accumulate.
#[tokio::test(start_paused = true)]
async fn pongs_that_nobody_reads_are_not_kept() {
    for (endpoint, masked) in [(WebSocketRole::Server, true), (WebSocketRole::Client, false)] {
        let (near, mut far) = duplex(1024);
        let mut socket = Ours::new(near, &[], endpoint, SocketKind::Stream);
        let ping = frame(masked, FINAL | PING, &[b'x'; 125]);
        for _ in 0..CONTROL_FRAMES_PER_SECOND * 3600 {
            far.write_all(&ping).await.unwrap();
            socket.reader.next().await.unwrap();
            tokio::time::advance(Duration::from_secs(1) / CONTROL_FRAMES_PER_SECOND).await;
        }
        // Its own message still arrives, behind no more pongs than fit in a message.
        let told = async { socket.writer.bytes(vec![7; MAX_RECEIVED_MESSAGE_BYTES].into()).await.map(|()| socket) };
        let hears = async {
            let mut heard = vec![0; 3 * MAX_RECEIVED_MESSAGE_BYTES];
            let mut length = 0;
            while let Ok(Ok(count @ 1..)) = timeout(Duration::from_secs(1), far.read(&mut heard[length..])).await {
                length += count;
            }
            length
        };
        let (told, heard) = tokio::join!(timeout(Duration::from_secs(60), told), hears);
        assert!(matches!(told, Ok(Ok(_))), "{told:?}");
        assert!(heard < 2 * MAX_RECEIVED_MESSAGE_BYTES + 8 * 1024, "{heard} bytes were kept for {endpoint:?}");
    }
}
