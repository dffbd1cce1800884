//! Standbys: each carries one stream after another, and whatever happens to them, a stream behaves as it
//! does on a connection of its own.

mod changes;
mod dead;
mod fixture;
mod protocol_errors;
mod refused;
mod reopen;
mod traffic;

use std::thread;

use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use serde_json::Value;

use self::fixture::Fixture;
use crate::support::bytes::{KIB, Pattern};
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::ServiceProxy;
use crate::support::targets::{Target, is_alive};
use crate::support::{STREAM_PROTOCOL, poll};

/// Streams, one after the other.
const STREAMS: u64 = 20;

#[test]
fn streams_after_the_first_few_open_no_connection_and_log_the_same() {
    let target = Target::echo();
    let slow = Fixture::with(&target, [&[], &[], &["--standbys", "0"]]);
    slow.echo(1, 3000);
    let expected = life_of_a_stream(&slow, 1);
    assert_eq!(expected.len(), 3, "{expected:#?}");

    let fixture = Fixture::forwarding(&target);
    let streams = fixture.warm(4);
    let before = fixture.connections();
    for seed in 1..=STREAMS {
        fixture.echo(seed, 3000 + seed);
    }
    fixture.echo(1, 3000);
    assert_eq!(fixture.connections(), before);
    assert_eq!(life_of_a_stream(&fixture, streams + STREAMS + 1), expected);
}

/// The log lines of the last of this many streams, without the parts that differ between streams.
fn life_of_a_stream(fixture: &Fixture, streams: u64) -> Vec<Value> {
    let mut log = poll("the last line", || {
        let log = fixture.hub.activity();
        let closed = log.iter().filter(|line| line["operationName"] == "streamClosed").count();
        (closed as u64 == streams).then_some(log)
    });
    let last = log.last().unwrap()["properties"]["streamId"].clone();
    log.retain(|line| line["properties"]["streamId"] == last);
    for line in &mut log {
        for volatile in ["time", "callerIpAddress", "durationMs"] {
            line.as_object_mut().unwrap().remove(volatile);
        }
        // A session that is resumed has a shorter handshake.
        let sizes = ["bytesToDevice", "bytesToService"];
        for volatile in ["streamId", "sourceAddress", "peerAddress", "durationMs", "endedBy"].iter().chain(&sizes) {
            line["properties"].as_object_mut().unwrap().remove(*volatile);
        }
    }
    log
}

#[test]
fn a_role_with_standbys_disabled_keeps_none_and_streams_work() {
    const NONE: &[&str] = &["--standbys", "0"];
    let target = Target::echo();
    for (who, arguments) in [[NONE, &[], &[]], [&[], NONE, &[]], [&[], &[], NONE]].into_iter().enumerate() {
        let fixture = Fixture::with(&target, arguments);
        let [above, below] = fixture.connections();
        for seed in 1..=5 {
            fixture.echo(seed, 10 * KIB);
        }
        let made = fixture.connections();
        if who != 1 {
            // A request and a stream for each, and the question about the device that the proxy asks at its start.
            assert!((10..=11).contains(&(made[0] - above)), "{made:?} {above} {who}");
            poll("the proxy to have none", || (fixture.above.live() == 0).then_some(()));
        }
        if who != 2 {
            assert_eq!(made[1] - below, 5, "one of the agent's for each: {who}");
            poll("the agent to have but the one for control", || (fixture.below.live() == 1).then_some(()));
        }
    }
}

#[test]
fn endpoints_with_and_without_standby_support_interoperate() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    fixture.warm(2);
    let carol = RawClient::join(&fixture.hub.service_link("carol"));
    for protocol in [None, Some(STREAM_PROTOCOL)] {
        let headers: Vec<_> = protocol.map(|protocol| (STREAM_PROTOCOL_HEADER, protocol)).into_iter().collect();
        for _ in 0..3 {
            let answer = carol.open("target", &headers).answer();
            let grant = StreamGrant { protocol: protocol.map(str::to_owned), ..answer.grant() };
            let mut stream = carol.attach(&grant).expect("the hub lets carol in");
            stream.bytes(b"hello").unwrap();
            assert_eq!(stream.expect_bytes(5), b"hello");
        }
    }
    for protocols in [&[][..], &[STREAM_PROTOCOL]] {
        let name = format!("plain-{}", protocols.len());
        let device = RawClient::join(&fixture.hub.device_link(&name));
        RawDevice::speaking(device, &["target"], protocols).echoing();
        let hub = fixture.above.address();
        let proxy = ServiceProxy::start_with(&fixture.laptop, &name, "0", &["--plain", "--hub", &hub]);
        for _ in 0..5 {
            is_alive(&mut proxy.connect());
        }
    }
    fixture.echo(9, KIB);
}

#[test]
fn a_hundred_streams_at_once_stay_within_the_standby_limit() {
    let target = Target::echo();
    let fixture = Fixture::with(&target, [&["--standbys", "5"], &[], &[]]);
    let pattern = Pattern::new(3);
    for _ in 0..3 {
        thread::scope(|scope| {
            for _ in 0..30 {
                scope.spawn(|| fixture.echo_with(&pattern, 20 * KIB));
            }
        });
        poll("five of the proxy's to stand by", || (fixture.above.live() <= 5).then_some(()));
        poll("five of the agent's to stand by", || (fixture.below.live() <= 6).then_some(()));
    }
    assert!(fixture.above.live() > 0 && fixture.below.live() > 1, "none stands by");
}

#[test]
fn standbys_close_when_an_endpoint_stops_or_the_hub_drains() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    fixture.warm(3);
    let Fixture { proxy, agent, below, above, hub, .. } = fixture;
    assert!(above.live() >= 3 && below.live() >= 4);
    proxy.process.signal("TERM");
    assert_eq!(proxy.process.finish().code, Some(0));
    poll("the proxy's end", || (above.live() == 0).then_some(()));
    agent.signal("TERM");
    assert_eq!(agent.finish().code, Some(0));
    poll("the agent's end", || (below.live() == 0).then_some(()));

    let fixture = Fixture::forwarding(&target);
    fixture.warm(3);
    fixture.hub.process.signal("TERM");
    fixture.hub.process.wait_end();
    drop((hub, fixture));
}
