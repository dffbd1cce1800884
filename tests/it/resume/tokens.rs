//! A resume token readmits one end of one stream. Every wrong one gets the same response, and only the
//! log has the cause.

use std::fs;
use std::str::FromStr as _;

use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::id::HubId;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::{RESUME_TOKEN_HEADER, ResumeKey, ResumeTicket, ResumeToken};
use devstream::proto::secret::Secret;
use devstream::proto::stream::StreamProtocol;
use serde_json::Value;

use crate::support::disk::STATE;
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::response::HttpResponse;
use crate::support::roles::Hub;
use crate::support::websocket::{Frame, WebSocket};
use crate::support::{DEVICE, poll};

const OTHERS: &str = "resume token of another role or identity";
const ANOTHER_STREAMS: &str = "resume token of another stream";
const ENDED: &str = "resume token of an ended stream";
const NOT_OURS: &str = "missing or invalid stream token";

/// More failures than a source is allowed.
const VALID_RESUMES: usize = 60;

/// The test does not answer pings.
const PATIENT: [&str; 2] = ["--dead-after", "3600"];

#[test]
fn a_resume_token_of_another_stream_role_or_identity_or_a_forged_one_gets_the_same_401() {
    let mut fixture = Fixture::new();
    let bob = RawClient::join(&fixture.hub.service_link("bob"));
    let ([mut own, mut others], [second, _second]) = (fixture.open(), fixture.open());
    let refused = fixture.alice.resume(&own.place, "forged").err().expect("a forged token lets nobody in");
    assert_eq!(refused.status, 401, "{refused:?}");
    fixture.wait_reason(NOT_OURS);
    let device = &fixture.device.identity;
    for (what, answer, why) in [
        ("a changed bit", fixture.alice.resume(&own.place, &touched(&own.token)), NOT_OURS),
        ("none", fixture.alice.resume(&own.place, ""), NOT_OURS),
        ("as a stream's token", fixture.alice.attach_with_response(&own.place_with_token()), NOT_OURS),
        ("another stream's", fixture.alice.resume(&own.place, &second.token), ANOTHER_STREAMS),
        ("at another stream's place", fixture.alice.resume(&second.place, &own.token), ANOTHER_STREAMS),
        ("the device's, for the service", fixture.alice.resume(&own.place, &others.token), OTHERS),
        ("the service's, for the device", device.resume(&others.place, &own.token), OTHERS),
        ("another service's", bob.resume(&own.place, &own.token), OTHERS),
    ] {
        assert_eq!(answer.err(), Some(refused.clone()), "{what}");
        fixture.wait_reason(why);
    }
    // The stream is unaffected, and the right tokens are still valid.
    own.socket.bytes(b"hello").unwrap();
    assert_eq!(others.socket.expect_bytes(5), b"hello");
    fixture.both_resume(&mut own, &mut others);
}

#[test]
fn a_resume_token_of_an_ended_stream_is_refused_and_its_owner_learns_of_the_clean_end() {
    let mut fixture = Fixture::new();
    let [own, others] = fixture.open();
    let refused = fixture.alice.resume(&own.place, "forged").err();
    assert_eq!(refused.as_ref().map(|answer| answer.status), Some(401));
    // By itself …
    fixture.end(own, others);
    // … by the operator …
    let [own, others] = fixture.open();
    fixture.hub.ask(&["streams", "kill", &own.stream()]);
    fixture.assert_over(own, others, &refused);
    // … while it is interrupted …
    let [mut own, others] = fixture.open();
    own.interrupt();
    fixture.hub.wait_activity("streamInterrupted", None);
    fixture.hub.ask(&["streams", "kill", &own.stream()]);
    fixture.assert_over(own, others, &refused);
    // … and after a restart of the hub.
    let [mut own, mut others] = fixture.open();
    fixture.restart_hub();
    fixture.both_resume(&mut own, &mut others);
    fixture.end(own, others);
}

#[test]
fn a_resume_token_of_a_disabled_or_removed_identity_is_refused() {
    let mut fixture = Fixture::new();
    let [mut own, mut others] = fixture.open();
    let forged = fixture.alice.resume(&own.place, "forged").err();
    own.interrupt();
    fixture.hub.wait_activity("streamInterrupted", None);
    fixture.hub.ask(&["service", "disable", "alice"]);
    let disabled = fixture.alice.resume(&own.place, &own.token).err();
    assert_eq!(disabled, fixture.alice.resume(&own.place, "forged").err(), "whatever is shown");
    assert_eq!(disabled.map(|answer| answer.status), Some(403), "as for everything that a disabled identity asks");
    fixture.hub.ask(&["service", "enable", "alice"]);
    assert_eq!(fixture.alice.resume(&own.place, &own.token).err(), forged, "its streams have ended");
    assert_eq!(fixture.device.identity.resume(&others.place, &others.token).err(), forged, "at both ends");

    [own, others] = fixture.open();
    fixture.hub.ask(&["service", "remove", "alice"]);
    assert_eq!(fixture.alice.resume(&own.place, &own.token).err(), forged, "the identity was removed");
    fixture.wait_over(&own.stream());
    let anew = RawClient::join(&fixture.hub.service_link("alice"));
    assert_eq!(anew.resume(&own.place, &own.token).err(), forged, "another one of the same name");
    fixture.restart_hub();
    assert_eq!(fixture.alice.resume(&own.place, &own.token).err(), forged, "for another run of the hub as well");
    assert_eq!(others.socket.end(), Some(RefusalKind::AuthenticationFailed.row().close), "the other end was told");
}

#[test]
fn a_resume_token_of_a_version_before_hubs_had_an_id_is_good_after_the_upgrade() {
    let mut fixture = Fixture::new();
    let [mut own, mut others] = fixture.open();
    for side in [&mut own, &mut others] {
        side.token = fixture.as_of_an_earlier_version(&side.token);
    }
    fixture.restart_hub();
    fixture.both_resume(&mut own, &mut others);
    let id = HubId::from_str(&fixture.state("hub.id")).unwrap();
    assert!([&own, &others].into_iter().all(|side| fixture.ticket(&side.token).hub.id == Some(id)));
}

#[test]
fn resuming_an_ended_stream_is_not_penalised() {
    let mut fixture = Fixture::new();
    let [own, others] = fixture.open();
    let refused = fixture.alice.resume(&own.place, "forged").err();
    fixture.hub.ask(&["streams", "kill", &own.stream()]);
    fixture.wait_over(&own.stream());
    for _ in 0..VALID_RESUMES {
        assert_eq!(fixture.alice.resume(&own.place, &own.token).err(), refused);
    }
    drop(others);
    let penalised = |entry: &Value| entry["operationName"] == "sourcePenalised";
    assert!(!fixture.hub.activity().iter().any(penalised));
    let [mut own, mut others] = fixture.open();
    fixture.both_resume(&mut own, &mut others);
}

/// One endpoint of a stream.
struct Side {
    place: StreamGrant,
    socket: WebSocket,
    token: String,
}

impl Side {
    fn new(place: StreamGrant, arrived: (WebSocket, HttpResponse)) -> Self {
        let (socket, answer) = arrived;
        let token = answer.header(RESUME_TOKEN_HEADER).expect("a way back").to_owned();
        Self { place, socket, token }
    }

    /// The resume token in place of the stream token.
    fn place_with_token(&self) -> StreamGrant {
        StreamGrant { token: self.token.clone(), ..self.place.clone() }
    }

    fn stream(&self) -> String {
        let rest = self.place.url.split("/sid/").nth(1).expect("a stream id");
        rest.split('/').next().expect("a stream id").to_owned()
    }

    /// Closes its connection.
    fn interrupt(&mut self) {
        self.socket.disconnect();
    }
}

struct Fixture {
    device: RawDevice,
    alice: RawClient,
    hub: Hub,
}

impl Fixture {
    fn new() -> Self {
        let hub = Hub::start_with(&Machine::new(), &PATIENT);
        let alice = RawClient::join(&hub.service_link("alice"));
        let device = online(RawClient::join(&hub.device_link(DEVICE)));
        Self { device, alice, hub }
    }

    /// Opens a stream; returns the service's end, and the device's.
    fn open(&mut self) -> [Side; 2] {
        let protocol = StreamProtocol::Resumable.as_str();
        let pending = self.alice.open("ssh", &[(STREAM_PROTOCOL_HEADER, protocol)]);
        let request = self.device.request();
        self.device.accept(&request);
        let own = StreamGrant { protocol: Some(protocol.into()), ..pending.answer().grant() };
        let others = StreamGrant::from(&request);
        let mut sides = [
            Side::new(own.clone(), self.alice.attach_with_response(&own).expect("the service is let in")),
            Side::new(
                others.clone(),
                self.device.identity.attach_with_response(&others).expect("the device is let in"),
            ),
        ];
        sides[0].socket.bytes(b"hello").unwrap();
        assert_eq!(sides[1].socket.expect_bytes(5), b"hello");
        sides
    }

    /// Asserts that each end gets a new token, and that its bytes reach the other.
    fn both_resume(&self, own: &mut Side, others: &mut Side) {
        *own = Side::new(own.place.clone(), self.alice.resume(&own.place, &own.token).expect("the service is back"));
        let back = self.device.identity.resume(&others.place, &others.token);
        *others = Side::new(others.place.clone(), back.expect("the device is back"));
        own.socket.text(r#"{"type":"resume","received":0}"#).unwrap();
        assert_eq!(others.socket.next().unwrap(), Frame::Text(r#"{"type":"resume","received":0}"#.into()));
    }

    /// Ends it as both ends do when all is said. Who lost its connection in that moment is told that it did; others are
    /// not.
    fn end(&self, mut own: Side, mut others: Side) {
        own.socket.close(1000).unwrap();
        assert_eq!(others.socket.expect_close(), 1000);
        others.socket.close(1000).unwrap();
        self.wait_over(&own.stream());
        let device = &self.device.identity;
        for returned in [self.alice.resume(&own.place, &own.token), device.resume(&others.place, &others.token)] {
            let answer = returned.err().expect("it is over");
            assert!(answer.status == 410 && answer.body.contains("streamOver"), "{answer:?}");
        }
        for wrong in [self.alice.resume(&own.place, &others.token), device.resume(&others.place, &own.token)] {
            assert_eq!(wrong.err().map(|answer| answer.status), Some(401));
        }
    }

    /// Asserts that neither end can resume it.
    fn assert_over(&self, own: Side, others: Side, refused: &Option<HttpResponse>) {
        self.wait_over(&own.stream());
        assert_eq!(&self.alice.resume(&own.place, &own.token).err(), refused);
        assert_eq!(&self.device.identity.resume(&others.place, &others.token).err(), refused);
        self.wait_reason(ENDED);
    }

    fn wait_over(&self, id: &str) {
        let closed = |entry: &Value| entry["operationName"] == "streamClosed" && entry["properties"]["streamId"] == id;
        poll("its end in the log", || self.hub.activity().iter().any(closed).then_some(()));
    }

    /// The log says why.
    fn wait_reason(&self, why: &str) {
        poll(why, || self.hub.activity().iter().any(|entry| entry["properties"]["reason"] == why).then_some(()));
    }

    fn state(&self, name: &str) -> String {
        let path = self.hub.machine().home().join(STATE).join(name);
        fs::read_to_string(path).unwrap().trim().to_owned()
    }

    fn key(&self) -> ResumeKey {
        ResumeKey::new(&Secret::parse(&self.state("resume.key")).unwrap())
    }

    fn ticket(&self, token: &str) -> ResumeTicket {
        self.key().verify(&ResumeToken::parse(token).unwrap()).expect("a ticket of the hub")
    }

    /// Returns the same ticket without the id of the hub.
    fn as_of_an_earlier_version(&self, token: &str) -> String {
        let mut ticket = self.ticket(token);
        assert!(ticket.hub.id.take().is_some(), "it has none");
        self.key().sign(&ticket).reveal().to_owned()
    }

    fn restart_hub(&mut self) {
        self.hub.process.kill();
        self.hub = Hub::start_on(&self.hub.machine().clone(), self.hub.port, &PATIENT);
        self.device = online(self.device.identity.clone());
    }
}

fn online(identity: RawClient) -> RawDevice {
    RawDevice::speaking(identity, &["ssh"], &StreamProtocol::ALL.map(StreamProtocol::as_str))
}

/// Returns the token with one bit flipped.
fn touched(token: &str) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let middle = bytes.len() / 3;
    bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("text")
}
