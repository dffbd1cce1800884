//! What nobody says on a connection that stands by: whoever does is told so and sent away, and others do not notice.

use std::net::{Shutdown, TcpStream};

use devstream::net::os::random;
use devstream::proto::id::StreamId;
use devstream::proto::limits::EARLY_DATA_BYTES;
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

/// Alice, who says what she likes, beside a proxy and an agent whose stream goes on.
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

    /// A device with somebody else than an agent behind it, and a connection of its that stands by.
    fn device(&self, name: &str) -> (RawDevice, WebSocket) {
        let device = RawDevice::online(RawClient::join(&self.whole.hub.device_link(name)), &["target"]);
        let standby = device.identity.standby().expect("the hub lets it stand by");
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
        early: early.try_into().unwrap(),
    }
}

fn ask(standby: &mut WebSocket, open: StandbyOpenRequest) {
    standby.text(&encode(&StandbyToHub::Open(open))).unwrap();
}

/// What the hub says next.
fn hear(standby: &mut WebSocket) -> StandbyFromHub {
    match standby.next() {
        Ok(Frame::Text(text)) => decode(&text).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn opened(standby: &mut WebSocket) -> StandbyOpened {
    match hear(standby) {
        StandbyFromHub::Opened(opened) => opened,
        other @ (StandbyFromHub::Refused { .. } | StandbyFromHub::StreamRequest(_)) => panic!("{other:?}"),
    }
}

fn requested(standby: &mut WebSocket) -> StandbyStreamRequest {
    match hear(standby) {
        StandbyFromHub::StreamRequest(request) => request,
        other @ (StandbyFromHub::Refused { .. } | StandbyFromHub::Opened(_)) => panic!("{other:?}"),
    }
}

fn response(request_id: StreamId, accepted: bool) -> String {
    let reason = (!accepted).then(|| RefusalKind::TargetRefused.into());
    encode(&StandbyToHub::StreamResponse(StreamResponse { request_id, accepted, reason }))
}

#[test]
fn a_service_that_says_what_makes_no_sense_is_sent_away() {
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
fn a_service_that_rests_in_the_middle_of_a_stream_loses_it_and_its_connection() {
    let mut fixture = Fixture::new(&[]);
    // The agent has one that stands by, as well.
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
fn a_stream_without_an_end_is_refused_and_the_connection_asks_for_another() {
    let mut fixture = Fixture::new(&[]);
    let mut standby = fixture.standby();
    for _ in 0..3 {
        ask(&mut standby, open("nobody", 0));
        assert!(
            matches!(hear(&mut standby), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::UnknownDevice)
        );
        ask(&mut standby, open("nobody", 5));
        standby.bytes(b"early").unwrap();
        assert!(
            matches!(hear(&mut standby), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::UnknownDevice)
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
fn the_same_request_twice_is_one_stream_and_another_services_is_left_alone() {
    let mut fixture = Fixture::new(&[]);
    let (mut first, mut again) = (fixture.standby(), fixture.standby());
    let request = open(DEVICE, 0);
    ask(&mut first, request.clone());
    opened(&mut first);
    let bob = RawClient::join(&fixture.whole.hub.service_link("bob"));
    let mut bobs = bob.standby().unwrap();
    ask(&mut bobs, request.clone());
    assert!(matches!(hear(&mut bobs), StandbyFromHub::Refused { .. }), "another's");
    ask(&mut again, request);
    assert!(matches!(hear(&mut again), StandbyFromHub::Refused { .. }), "repeated");
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
fn a_device_that_answers_what_it_was_not_asked_is_sent_away_and_asked_the_other_way() {
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
        matches!(hear(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
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
        matches!(hear(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
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
        matches!(hear(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
    );
    fixture.assert_undisturbed();
}

#[test]
fn a_device_that_is_slow_to_answer_is_asked_the_other_way_and_told_that_it_is_no_interruption() {
    let mut fixture = Fixture::new(&[]);
    let (mut slow, mut standby) = fixture.device("slow");
    let mut service = fixture.standby();
    ask(&mut service, open("slow", 0));
    let late = requested(&mut standby);
    let request = slow.request();
    assert_eq!(request.request_id, late.stream.request_id);
    // It may have taken the connection for a stream's by now.
    let _ = standby.text(&response(request.request_id, true));
    assert_eq!(standby.expect_close(), RefusalKind::PeerGone.row().close);
    slow.reject(&request, RefusalKind::TargetRefused.into());
    assert!(
        matches!(hear(&mut service), StandbyFromHub::Refused { reason } if reason.kind == RefusalKind::TargetRefused)
    );
    fixture.assert_undisturbed();
}

#[test]
fn more_than_a_hub_holds_are_turned_away_and_there_is_room_again_when_some_have_gone() {
    let mut fixture = Fixture::new(&["--standbys", "3"]);
    let mut held: Vec<_> = (0..3).map(|_| fixture.standby()).collect();
    let refused = fixture.alice.standby().err().expect("there is no room");
    assert_eq!(refused.refusal_label(), RefusalKind::HubBusy.row().label, "{refused:?}");
    // Nobody else's room is taken.
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
fn nobody_stands_by_who_is_unknown_or_may_not_or_is_of_another_run() {
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
