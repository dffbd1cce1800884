//! Clients that exhaust their own limits, without effect on others.

use std::io::Write as _;
use std::net::{Ipv4Addr, Shutdown};
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::limits::{PENDING_PER_SERVICE_AND_DEVICE, REQUEST_HEAD_TIMEOUT};
use devstream::proto::refusal::RefusalKind;

use super::HostileFixture;
use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::raw::{PendingResponse, RawClient, RawDevice};
use crate::support::response::read_response;
use crate::support::roles::{Agent, Hub, ServiceProxy, connect_from};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::Frame;
use crate::support::{SOON, poll};

#[test]
fn a_service_that_floods_requests_meets_its_own_limit() {
    const LIMIT: usize = 5;
    let limit = LIMIT.to_string();
    let hostile =
        HostileFixture::begin_with(&["--max-streams-per-service", &limit, "--max-pending-per-service", &limit]);
    let busy = RefusalKind::HubBusy.row();
    let mut open = Vec::new();
    for attempt in 0..20 * LIMIT {
        let answer = hostile.alice.open("target", &[]).answer();
        if attempt < LIMIT {
            open.push(hostile.alice.attach(&answer.grant()).expect("let in"));
        } else {
            assert_ne!(answer.status, 200, "attempt {attempt}: {answer:?}");
        }
    }
    // Unanswered requests are limited too, per service.
    let mut silent = RawDevice::online(RawClient::join(&hostile.fixture.hub.device_link("silent")), &["ssh"]);
    let bob = RawClient::join(&hostile.fixture.hub.service_link("bob"));
    let pending: Vec<_> = (0..LIMIT).map(|_| bob.send("POST", "/twins/silent/streams/ssh", &[], "")).collect();
    (0..LIMIT).for_each(|_| _ = silent.request());
    let refused = bob.ask("POST", "/twins/silent/streams/ssh", &[], "");
    assert_eq!((refused.status, refused.refusal_label()), (busy.status, busy.label), "{refused:?}");
    // Ended before its proxy is killed, which the hub would take for an interruption.
    let proxy = ServiceProxy::start(&hostile.fixture.machine);
    let mut local = proxy.connect();
    is_alive(&mut local);
    local.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut local).end, StreamEnd::Eof);
    drop((open, pending, silent));
    hostile.end();
}

#[test]
fn a_service_that_never_brings_its_side_keeps_no_other_from_the_device() {
    let hostile = HostileFixture::begin_with(&["--handshake-timeout", "20"]);
    let mut granted = 0;
    let refused = loop {
        let answer = hostile.alice.open("target", &[]).answer();
        if answer.status != 200 {
            break answer;
        }
        granted += 1;
    };
    assert_eq!(granted, PENDING_PER_SERVICE_AND_DEVICE);
    let detail = format!("this service has {granted} streams being opened to this device");
    assert!(refused.body.contains(&detail), "{refused:?}");
    for _ in 0..10 {
        is_alive(&mut hostile.fixture.proxy.connect());
    }
    hostile.end();
}

#[test]
fn a_device_that_reconnects_repeatedly_displaces_itself() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("restless"));
    let mut last = RawDevice::online(device.clone(), &["ssh"]);
    for _ in 0..100 {
        let next = RawDevice::online(device.clone(), &["ssh"]);
        let told = last.control.next().expect("a last word");
        assert!(matches!(&told, Frame::Text(text) if text.contains("displaced")), "{told:?}");
        assert_eq!(last.control.expect_close(), RefusalKind::Displaced.row().close);
        last = next;
    }
    let pending = hostile.alice.send("POST", "/twins/restless/streams/ssh", &[], "");
    let request = last.request();
    last.accept(&request);
    pending.answer().grant();
    drop(last);
    hostile.end();
}

#[test]
fn a_device_that_sends_no_hello_holds_two_connections() {
    let hostile = HostileFixture::begin();
    let hub = &hostile.fixture.hub;
    let device = RawClient::join(&hub.device_link("silent"));
    let before = hub.process.open_files();
    let start = clock::now();
    let silent: Vec<_> = (0..40).map(|_| device.control("silent").expect("the hub lets it in")).collect();
    poll("few open files", || (hub.process.open_files() <= before + 2).then_some(()));
    assert!(start.elapsed() < REQUEST_HEAD_TIMEOUT, "they were closed since they said nothing");
    // The agent itself gets in, and stays online.
    let mut online = RawDevice::online(device, &["ssh"]);
    let pending = hostile.alice.send("POST", "/twins/silent/streams/ssh", &[], "");
    let request = online.request();
    online.accept(&request);
    pending.answer().grant();
    drop((silent, online));
    hostile.end();
}

#[test]
fn a_service_that_floods_lists_meets_its_own_limit_and_delays_no_other() {
    // What it may have beside its requests for streams, in src/hub/connection.rs.
    const FURTHER: usize = 128;
    // Some hundreds more than src/hub/admission/lists.rs gives at once.
    const LISTS: usize = 1000;
    let hostile = HostileFixture::begin_with(&["--max-pending-per-service", "2"]);
    let flood = RawClient::join(&hostile.fixture.hub.service_link("flood"));
    let waiting: Vec<_> = (0..LISTS).map(|_| flood.send("GET", "/devices", &[], "")).collect();
    let start = clock::now();
    assert_eq!(hostile.alice.ask("GET", "/devices", &[], "").status, 200);
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    let answers: Vec<_> = waiting.into_iter().map(PendingResponse::answer).collect();
    let refused = |detail: &str| answers.iter().filter(|answer| answer.body.contains(detail)).count();
    let given = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((500..700).contains(&given), "{given}");
    let without_stream = format!("service flood has {} connections without a stream", FURTHER + 2);
    assert!(refused(&without_stream) > 0, "{answers:?}");
    assert_eq!(
        given + refused(&without_stream) + refused("earlier lists of this service have not been read yet"),
        LISTS
    );
    hostile.end();
}

/// Those have limits of their own.
#[test]
fn connections_that_carry_a_stream_or_stand_by_do_not_count_as_those_without_one() {
    const BESIDE: usize = 128 + 5;
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start_with(&machine, &["--max-pending-per-service", "5"]);
    let _agent = Agent::start(&machine, &[&format!("target={}", target.port)]);
    let [alice, bob] = ["alice", "bob"].map(|service| RawClient::join(&hub.service_link(service)));
    let standbys: Vec<_> = (0..=BESIDE).map(|_| alice.standby().expect("let in")).collect();
    let stream = |_| bob.attach(&bob.open("target", &[]).answer().grant()).expect("let in");
    let streams: Vec<_> = (0..=BESIDE).map(stream).collect();
    for service in [&alice, &bob] {
        assert_eq!(service.ask("GET", "/devices", &[], "").status, 200);
    }
    drop((standbys, streams));
}

#[test]
fn connections_with_one_byte_keep_no_newcomer_out() {
    let hostile = HostileFixture::begin_with(&["--max-unauthenticated", "16"]);
    let flood: Vec<_> = (1..=16)
        .map(|number| {
            let mut byte = connect_from(Ipv4Addr::new(127, 0, 1, number), hostile.fixture.hub.port).unwrap();
            byte.write_all(&[22]).unwrap();
            byte
        })
        .collect();
    let newcomer = hostile.alice.from(Ipv4Addr::new(127, 0, 2, 1));
    let start = clock::now();
    poll("the newcomer gets in", || newcomer.try_ask("GET", "/devices").ok());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    drop(flood);
    hostile.end();
}

#[test]
fn a_malformed_request_ends_its_connection_and_is_penalised() {
    let hostile = HostileFixture::begin();
    let attacker = hostile.alice.from(Ipv4Addr::new(127, 0, 0, 2));
    let malformed = "GET / HTTP/1.1\r\nhost: hub\r\norigin: https://example.com\r\n\r\n".repeat(1000);
    let mut statuses = Vec::new();
    while let Ok(mut peer) = attacker.try_dial() {
        // The hub may close before it has read everything.
        let _ = peer.write_all(malformed.as_bytes());
        statuses.extend(std::iter::from_fn(|| read_response(&mut peer).ok()).map(|answer| answer.status));
        assert!(statuses.len() < 100, "no end of answers");
    }
    assert!(statuses.iter().all(|status| *status == 403), "{statuses:?}");
    hostile.fixture.hub.wait_activity("sourcePenalised", Some("banned"));
    hostile.end();
}

/// Load balancers look whether the hub is healthy, or whether its port is open.
#[test]
fn requests_for_nothing_and_silence_after_tls_are_penalised_and_health_probes_are_not() {
    const TIMES: usize = 40;
    let hostile = HostileFixture::begin();
    let hub = &hostile.fixture.hub;
    let from = |last| hostile.alice.from(Ipv4Addr::new(127, 0, 3, last));
    let penalised = || hub.activity().iter().filter(|entry| entry["operationName"] == "sourcePenalised").count();
    for _ in 0..TIMES {
        for path in ["/healthz", "/readyz"] {
            assert_eq!(from(1).ask_unsigned("GET", path).status, 200);
        }
        drop(connect_from(Ipv4Addr::new(127, 0, 3, 1), hub.port).unwrap());
    }
    assert_eq!(penalised(), 0);
    for _ in 0..TIMES {
        // The hub rejects the source after some.
        if let Ok(mut peer) = from(2).try_dial() {
            peer.write_all(b"GET /nothing HTTP/1.1\r\nhost: hub\r\n\r\n").unwrap();
            assert_eq!(read_response(&mut peer).unwrap().status, 404);
        }
    }
    poll("a penalty for requests", || (penalised() == 1).then_some(()));
    (0..TIMES).for_each(|_| drop(from(3).try_dial()));
    poll("a penalty for closing", || (penalised() == 2).then_some(()));
    let silent: Vec<_> = (0..TIMES).filter_map(|_| from(4).try_dial().ok()).collect();
    poll("a penalty for silence", || (penalised() == 3).then_some(()));
    drop(silent);
    hostile.end();
}

#[test]
fn a_refused_service_that_waits_for_its_answer_has_no_place_of_an_unauthenticated_client() {
    let hostile = HostileFixture::begin_with(&["--max-unauthenticated-per-source", "16"]);
    // Until src/hub/admission/refusal_budget.rs answers no longer at once.
    loop {
        let start = clock::now();
        assert_eq!(hostile.alice.ask("POST", "/twins/nothing/streams/ssh", &[], "").status, 404);
        if start.elapsed() >= Duration::from_secs(1) {
            break;
        }
    }
    let waiting: Vec<_> = (0..64).map(|_| hostile.alice.send("POST", "/twins/nothing/streams/ssh", &[], "")).collect();
    assert_eq!(hostile.alice.ask("GET", "/devices", &[], "").status, 200);
    assert!(waiting.into_iter().all(|request| request.answer().status == 404));
    hostile.end();
}
