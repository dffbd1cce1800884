//! Clients that exhaust their own limits, without effect on others.

use std::net::Shutdown;

use devstream::proto::limits::PENDING_PER_SERVICE_AND_DEVICE;
use devstream::proto::refusal::RefusalKind;

use super::HostileFixture;
use crate::support::bytes::{StreamEnd, drain};
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::ServiceProxy;
use crate::support::targets::is_alive;
use crate::support::websocket::Frame;

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
