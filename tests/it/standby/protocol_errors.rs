//! Protocol errors on standbys: the sender is closed with the reason, and other connections are not disturbed.

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use devstream::net::os::{clock, random};
use devstream::proto::id::StreamId;
use devstream::proto::limits::{CONTROL_MESSAGE_TIME, EARLY_DATA_BYTES};
use devstream::proto::message::StreamResponse;
use devstream::proto::message::{decode, encode};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::standby::{
    StandbyFromHub, StandbyOpenRequest, StandbyOpened, StandbyStreamRequest, StandbyToHub,
};

use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{OneMachine, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{Frame, WebSocket};
use crate::support::{DEVICE, poll};

/// RFC 6455 section 7.4.1.
const CLOSE_UNSUPPORTED: u16 = 1003;
const CLOSE_POLICY: u16 = 1008;

/// Alice, controlled by the test, beside a proxy and an agent whose stream must not be disturbed.
struct Fixture {
    stream: TcpStream,
    alice: RawClient,
    whole: OneMachine,
    _target: Target,
}

impl Fixture {
    fn new(arguments: &[&str]) -> Self {
        let target = Target::echo();
        let whole = OneMachine::with_hub(target.port, arguments);
        let mut stream = whole.proxy.connect();
        is_alive(&mut stream);
        let alice = RawClient::join(&whole.hub.service_link("alice"));
        Self { stream, alice, whole, _target: target }
    }

    fn assert_undisturbed(&mut self) {
        is_alive(&mut self.stream);
        let mut next = self.whole.proxy.connect();
        is_alive(&mut next);
        next.shutdown(Shutdown::Write).unwrap();
    }

    fn standby(&self) -> WebSocket {
        self.alice.standby().expect("the hub lets alice stand by")
    }

    /// A device controlled by the test, and a standby of it that the hub sends requests on.
    fn device(&self, name: &str) -> (RawDevice, WebSocket) {
        let device = RawDevice::online(RawClient::join(&self.whole.hub.device_link(name)), &["target"]);
        let mut standby = device.identity.standby().expect("the hub lets it stand by");
        // The hub answers the upgrade, registers the standby, then reads from it. A request before that goes to the
        // control connection.
        standby.wait_until_read().expect("the hub reads from its standby");
        (device, standby)
    }
}

fn open(device: &str, early: usize) -> StandbyOpenRequest {
    StandbyOpenRequest {
        request_id: StreamId::from_bytes(random::bytes()),
        device: device.parse().unwrap(),
        stream_name: Some("target".parse().unwrap()),
        connect_timeout_ms: 0,
        response_timeout_ms: 20_000,
        protocols: vec!["devstream.v1".into(), "devstream.v1.resume".into()],
        end_to_end: false,
        early: early.try_into().unwrap(),
        repeatable: false,
    }
}

fn ask(standby: &mut WebSocket, open: StandbyOpenRequest) {
    standby.text(&encode(&StandbyToHub::Open(open))).unwrap();
}

/// The hub's next message.
fn receive(standby: &mut WebSocket) -> StandbyFromHub {
    match standby.next() {
        Ok(Frame::Text(text)) => decode(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn opened(standby: &mut WebSocket) -> StandbyOpened {
    match receive(standby) {
        StandbyFromHub::Opened(opened) => opened,
        other @ (StandbyFromHub::Refused { .. } | StandbyFromHub::StreamRequest(_)) => panic!("{other:?}"),
    }
}

fn requested(standby: &mut WebSocket) -> StandbyStreamRequest {
    match receive(standby) {
        StandbyFromHub::StreamRequest(request) => request,
        other @ (StandbyFromHub::Refused { .. } | StandbyFromHub::Opened(_)) => panic!("{other:?}"),
    }
}

fn response(request_id: StreamId, accepted: bool) -> String {
    let reason = (!accepted).then(|| RefusalKind::TargetRefused.into());
    encode(&StandbyToHub::StreamResponse(StreamResponse { request_id, accepted, end_to_end: false, reason }))
}

#[test]
fn a_service_that_sends_malformed_messages_on_a_standby_is_closed() {
    let mut fixture = Fixture::new(&[]);
    let valid = encode(&StandbyToHub::Open(open(DEVICE, 5)));
    let too_early = valid.replace("\"early\":5", &format!("\"early\":{}", EARLY_DATA_BYTES + 1));
    assert_ne!(valid, too_early);
    let bad_request = RefusalKind::BadRequest.row().close;
    let a_devices = response(StreamId::from_bytes([1; 16]), true);
    for (text, follows, code) in [
        (None, b"bytes".as_slice(), CLOSE_UNSUPPORTED),
        (Some("hello"), b"", CLOSE_POLICY),
        (Some(r#"{"type":"rest"}"#), b"", CLOSE_POLICY),
        (Some(r#"{"type":"open"}"#), b"", CLOSE_POLICY),
        (Some(&too_early), b"", CLOSE_POLICY),
        (Some(&valid), b"four", CLOSE_UNSUPPORTED),
        (Some(&valid), b"sixsix", CLOSE_UNSUPPORTED),
        (Some(&a_devices), b"", bad_request),
    ] {
        let mut standby = fixture.standby();
        if let Some(text) = text {
            standby.text(text).unwrap();
        }
        if !follows.is_empty() {
            standby.bytes(follows).unwrap();
        }
        assert_eq!(standby.expect_close(), code, "{text:?}, {follows:?}");
        fixture.assert_undisturbed();
    }
    let mut standby = fixture.standby();
    standby.text(&valid).unwrap();
    standby.text(&valid).unwrap();
    assert_eq!(standby.expect_close(), CLOSE_UNSUPPORTED, "text where bytes were announced");
    fixture.assert_undisturbed();
}

#[test]
fn half_a_message_on_a_standby_closes_it_after_seconds_and_the_log_says_whose() {
    let mut fixture = Fixture::new(&[]);
    let (start, mut standby) = (clock::now(), fixture.standby());
    standby.announce(60 * 1024).and_then(|()| standby.garbage(&[0; 1024])).unwrap();
    let refused = fixture.whole.hub.wait_activity("authenticate", Some(RefusalKind::BadRequest.row().label));
    assert!(clock::now() - start < 2 * CONTROL_MESSAGE_TIME);
    assert_eq!(refused["properties"]["serviceId"], "alice", "{refused}");
    assert_eq!(standby.expect_close(), CLOSE_POLICY);
    fixture.assert_undisturbed();
}

#[test]
fn a_service_that_is_refused_again_and_again_is_answered_late() {
    const LATE: Duration = Duration::from_secs(1);
    // More than are answered at once, and than become so meanwhile.
    const REQUESTS: usize = 5000;
    let mut fixture = Fixture::new(&[]);
    let mut standby = fixture.standby();
    let mut took = (0..REQUESTS).map(|_| {
        let asked = clock::now();
        ask(&mut standby, open("nobody", 0));
        let refused = standby.next().expect("an answer");
        assert!(matches!(&refused, Frame::Text(text) if text.contains("refused")), "{refused:?}");
        clock::now() - asked
    });
    assert!(took.any(|took| took >= LATE), "{REQUESTS} requests were refused at once");
    fixture.assert_undisturbed();
}

#[test]
fn a_service_that_sends_rest_within_a_stream_loses_its_connection() {
    let mut fixture = Fixture::new(&[]);
    // The agent has a standby as well.
    fixture.assert_undisturbed();
    for early in [false, true] {
        let mut standby = fixture.standby();
        ask(&mut standby, open(DEVICE, 0));
        opened(&mut standby);
        if early {
            standby.bytes(b"hello").unwrap();
        }
        standby.text(r#"{"type":"rest"}"#).unwrap();
        standby.expect_close();
        fixture.assert_undisturbed();
    }
}

#[test]
fn a_request_for_an_unknown_device_is_refused_and_the_standby_accepts_another() {
    let mut fixture = Fixture::new(&[]);
    let mut standby = fixture.standby();
    for _ in 0..3 {
        ask(&mut standby, open("nobody", 0));
        assert!(
            matches!(receive(&mut standby), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::UnknownDevice)
        );
        ask(&mut standby, open("nobody", 5));
        standby.bytes(b"early").unwrap();
        assert!(
            matches!(receive(&mut standby), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::UnknownDevice)
        );
    }
    ask(&mut standby, open(DEVICE, 5));
    standby.bytes(b"early").unwrap();
    opened(&mut standby);
    loop {
        match standby.next().unwrap() {
            Frame::Bytes(bytes) => break assert_eq!(bytes, b"early"),
            Frame::Text(_) => {}
            Frame::Close(code, why) => panic!("{code} {why}"),
        }
    }
    fixture.assert_undisturbed();
}

#[test]
fn a_repeated_request_id_is_refused_and_the_first_stream_continues() {
    let mut fixture = Fixture::new(&[]);
    let (mut first, mut again) = (fixture.standby(), fixture.standby());
    let request = open(DEVICE, 0);
    ask(&mut first, request.clone());
    opened(&mut first);
    let bob = RawClient::join(&fixture.whole.hub.service_link("bob"));
    let mut bobs = bob.standby().unwrap();
    ask(&mut bobs, request.clone());
    assert!(matches!(receive(&mut bobs), StandbyFromHub::Refused { .. }), "another's");
    ask(&mut again, request);
    assert!(matches!(receive(&mut again), StandbyFromHub::Refused { .. }), "repeated");
    first.bytes(b"hello").unwrap();
    loop {
        match first.next().unwrap() {
            Frame::Bytes(bytes) => break assert_eq!(bytes, b"hello"),
            Frame::Text(_) => {}
            Frame::Close(code, why) => panic!("{code} {why}"),
        }
    }
    fixture.assert_undisturbed();
}

#[test]
fn a_device_that_answers_an_unknown_request_loses_its_standby_and_is_asked_on_control() {
    let mut fixture = Fixture::new(&[]);
    let bad_request = RefusalKind::BadRequest.row().close;
    let (mut device, mut standby) = fixture.device("wrong");
    let mut service = fixture.standby();
    ask(&mut service, open("wrong", 0));
    requested(&mut standby);
    standby.text(&response(StreamId::from_bytes([1; 16]), true)).unwrap();
    assert_eq!(standby.expect_close(), bad_request);
    let request = device.request();
    device.reject(&request, RefusalKind::TargetRefused.into());
    assert!(
        matches!(receive(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
    );

    let (_twice, mut standby) = fixture.device("twice");
    ask(&mut service, open("twice", 5));
    service.bytes(b"early").unwrap();
    let request = requested(&mut standby);
    assert!(matches!(standby.next(), Ok(Frame::Bytes(bytes)) if bytes == b"early"));
    for _ in 0..2 {
        standby.text(&response(request.stream.request_id, false)).unwrap();
    }
    assert!(
        matches!(receive(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
    );
    assert_eq!(standby.expect_close(), bad_request);

    let (_asking, mut standby) = fixture.device("asking");
    ask(&mut standby, open(DEVICE, 0));
    assert_eq!(standby.expect_close(), bad_request);

    let (mut silent, mut standby) = fixture.device("silent");
    ask(&mut service, open("silent", 0));
    requested(&mut standby);
    standby.disconnect();
    let request = silent.request();
    silent.reject(&request, RefusalKind::TargetRefused.into());
    assert!(
        matches!(receive(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
    );
    fixture.assert_undisturbed();
}

#[test]
fn a_slow_device_is_asked_on_control_and_its_standby_is_closed_without_an_interruption() {
    let mut fixture = Fixture::new(&[]);
    let (mut slow, mut standby) = fixture.device("slow");
    let mut service = fixture.standby();
    ask(&mut service, open("slow", 0));
    let late = requested(&mut standby);
    let request = slow.request();
    assert_eq!(request.request_id, late.stream.request_id);
    // The hub may have closed the connection already.
    let _ = standby.text(&response(request.request_id, true));
    assert_eq!(standby.expect_close(), RefusalKind::PeerGone.row().close);
    slow.reject(&request, RefusalKind::TargetRefused.into());
    assert!(
        matches!(receive(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
    );
    fixture.assert_undisturbed();
}

#[test]
fn standbys_beyond_the_limit_are_refused_until_others_have_closed() {
    let mut fixture = Fixture::new(&["--standbys", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| fixture.standby()).collect();
    let refused = fixture.alice.standby().err().expect("there is no room");
    assert_eq!(refused.refusal_label(), RefusalKind::HubBusy.row().label, "{refused:?}");
    // Other services' limits are unaffected.
    let bob = RawClient::join(&fixture.whole.hub.service_link("bob"));
    drop(bob.standby().expect("bob has his own"));
    held.pop().unwrap().disconnect();
    poll("room", || fixture.alice.standby().ok());
    fixture.assert_undisturbed();
    drop(held);

    let none = Fixture::new(&["--standbys", "0"]);
    assert_eq!(none.alice.standby().err().map(|answer| answer.refusal_label()), Some(RefusalKind::HubBusy.row().label));
}

#[test]
fn standbys_of_unknown_disallowed_or_former_agents_are_refused() {
    let fixture = Fixture::new(&[]);
    let peer = fixture.alice.clone().without_key();
    assert_eq!(peer.standby().err().map(|answer| answer.status), Some(401));
    fixture.whole.hub.ask(&["service", "disable", "alice"]);
    let refused = fixture.alice.standby().err().map(|answer| answer.refusal_label());
    assert_eq!(refused, Some(RefusalKind::Disabled.row().label));
    // The device is not online, so nobody would ask it there.
    let device = RawClient::join(&fixture.whole.hub.device_link("absent"));
    let mut standby = device.standby().expect("it is who it says");
    assert_eq!(standby.expect_close(), RefusalKind::PeerGone.row().close);
    is_alive(&mut ServiceProxy::start(&fixture.whole.machine).connect());
}
