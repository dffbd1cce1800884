//! The specification's handshake by hand, as the original clients do it: request, response, and two WebSockets in any
//! order.

use devstream::proto::http::{
    ACCEPTED_HEADER, CONNECT_TIMEOUT_HEADER, ERROR_HEADER, RESPONSE_TIMEOUT_HEADER, STREAM_PROTOCOL_HEADER,
    STREAM_TOKEN_HEADER, STREAM_URL_HEADER,
};
use devstream::proto::refusal::{Refusal, RefusalKind};

use crate::support::bytes::{KIB, MIB, Pattern};
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::{Agent, Hub};
use crate::support::targets::Target;
use crate::support::websocket::{Frame, WebSocket};
use crate::support::{DEVICE, STREAM_PROTOCOL};

#[test]
fn an_accepted_request_is_a_200_with_a_url_and_a_token_for_each_side() {
    let (hub, mut device, alice) = setup(&[]);
    let pending = alice.open("ssh?api-version=2020-09-30", &[]);
    let request = device.request();
    assert_eq!(request.stream_name.as_str(), "ssh");
    assert_eq!(request.service.as_str(), "alice");
    device.accept(&request);
    let grant = pending.answer().grant();
    assert!(grant.url.starts_with(&format!("wss://{}/bridges/ih/", hub.address())), "{}", grant.url);
    assert!(grant.url.ends_with("/r/service") && request.url.ends_with("/r/device"), "{} {}", grant.url, request.url);
    assert_ne!(grant.token, request.authorization_token.as_ref().expect("a token").reveal());
    // The original's C client holds each in 1024 bytes and splits at '='.
    assert!(grant.url.len() < 1000 && grant.token.len() < 1000 && !grant.token.contains('='));
}

#[test]
fn a_rejected_request_is_a_200_without_url_and_token() {
    let (_hub, mut device, alice) = setup(&[]);
    let pending = alice.open("ssh", &[]);
    let request = device.request();
    device.reject(&request, Refusal::new(RefusalKind::RejectedByDevice, "not today"));
    let answer = pending.answer();
    assert_eq!((answer.status, answer.header(ACCEPTED_HEADER)), (200, Some("False")), "{answer:?}");
    assert_eq!((answer.header(STREAM_URL_HEADER), answer.header(STREAM_TOKEN_HEADER)), (None, None));
    assert!(answer.body.contains("not today"), "{answer:?}");
}

#[test]
fn a_hubs_refusal_has_the_original_servers_status_and_error_name() {
    let (hub, device, alice) = setup(&[]);
    for (kind, path, headers) in [
        (RefusalKind::UnknownDevice, "/twins/nobody/streams/ssh".to_owned(), vec![]),
        (RefusalKind::StreamNotOffered, format!("/twins/{DEVICE}/streams/web"), vec![]),
        (RefusalKind::BadRequest, format!("/twins/{DEVICE}/streams/ssh"), vec![(RESPONSE_TIMEOUT_HEADER, "soon")]),
        (
            RefusalKind::HandshakeTimedOut,
            format!("/twins/{DEVICE}/streams/ssh"),
            vec![(RESPONSE_TIMEOUT_HEADER, "0.5")],
        ),
    ] {
        let answer = alice.ask("POST", &path, &headers, "");
        let row = kind.row();
        assert_eq!((answer.status, answer.header(ERROR_HEADER)), (row.status, Some(row.azure.1)), "{answer:?}");
    }
    drop(device);
    hub.wait_activity("deviceDisconnected", None);
    let answer = alice.open("ssh", &[(CONNECT_TIMEOUT_HEADER, "0.5")]).answer();
    assert_eq!((answer.status, answer.header(ERROR_HEADER)), (404, Some("DeviceNotOnline")), "{answer:?}");
}

#[test]
fn either_side_may_connect_first_and_its_early_bytes_are_buffered() {
    let (_hub, mut device, alice) = setup(&[]);
    let early = Pattern::new(1).prefix(256 * KIB);
    for service_first in [true, false] {
        let (service, device) = handshake(&mut device, &alice, &[]);
        let (first, second) = if service_first { (service, device) } else { (device, service) };
        let mut waiting = first.attach();
        for piece in early.chunks(60_000) {
            waiting.bytes(piece).unwrap();
        }
        let mut late = second.attach();
        assert!(late.expect_bytes(early.len()) == early, "early bytes came as others");
        late.bytes(b"answer").unwrap();
        assert_eq!(waiting.expect_bytes(6), b"answer");
    }
}

#[test]
fn bytes_sent_before_a_close_reach_the_side_that_connects_later() {
    let (_hub, mut device, alice) = setup(&[]);
    let (service, device) = handshake(&mut device, &alice, &[]);
    let mut early = service.attach();
    early.bytes(b"said and done").unwrap();
    early.close(1000).unwrap();
    let mut late = device.attach();
    assert_eq!(late.expect_bytes(13), b"said and done");
    assert_eq!(late.expect_close(), 1000);
}

#[test]
fn a_side_that_never_connects_times_the_handshake_out() {
    let (hub, mut device, alice) = setup(&["--handshake-timeout", "1"]);
    let (service, _) = handshake(&mut device, &alice, &[]);
    let mut service = service.attach();
    assert_eq!(service.expect_close(), RefusalKind::HandshakeTimedOut.row().close);
    hub.wait_activity("invoke", Some(RefusalKind::HandshakeTimedOut.row().label));
}

#[test]
fn a_revoked_acceptance_reaches_the_service_at_every_stage() {
    let (hub, mut device, alice) = setup(&[]);
    let row = RefusalKind::RejectedByDevice.row();
    let no = || Refusal::new(RefusalKind::RejectedByDevice, "it cannot come");
    for service_is_there in [false, true] {
        let pending = alice.open("ssh", &[]);
        let request = device.request();
        device.accept(&request);
        let grant = pending.answer().grant();
        let waiting = service_is_there.then(|| alice.attach(&grant).unwrap());
        device.reject(&request, no());
        if let Some(mut waiting) = waiting {
            let end = waiting.next().unwrap();
            assert!(
                matches!(&end, Frame::Close(code, reason) if *code == row.close && reason.contains("it cannot come")),
                "{end:?}"
            );
        } else {
            hub.wait_activity("invoke", Some(row.label));
            let answer = alice.attach(&grant).err().unwrap();
            assert!(answer.refusal_label() == row.label && answer.body.contains("it cannot come"), "{answer:?}");
        }
        let answer = device.identity.attach(&StreamGrant::from(&request)).err().unwrap();
        assert_eq!(answer.status, 401, "who takes it back does not come");
    }
}

#[test]
fn a_connected_device_cannot_revoke_its_acceptance() {
    let (_hub, mut device, alice) = setup(&[]);
    let pending = alice.open("ssh", &[]);
    let request = device.request();
    device.accept(&request);
    let mut there = device.identity.attach(&StreamGrant::from(&request)).unwrap();
    device.reject(&request, RefusalKind::RejectedByDevice.into());
    let mut here = alice.attach(&pending.answer().grant()).unwrap();
    here.bytes(b"hello").unwrap();
    assert_eq!(there.expect_bytes(5), b"hello");
}

#[test]
fn relayed_messages_are_at_most_64_kib() {
    let (_hub, mut device, alice) = setup(&[]);
    let (service, device) = handshake(&mut device, &alice, &[]);
    let (mut service, mut device) = (service.attach(), device.attach());
    let large = Pattern::new(1).prefix(200 * KIB);
    service.bytes(&large).unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < large.len() {
        let Frame::Bytes(bytes) = device.next().unwrap() else { panic!("not bytes") };
        assert!(bytes.len() <= 64 * 1024, "{} bytes in one message", bytes.len());
        arrived.extend(bytes);
    }
    assert!(arrived == large, "other bytes");
}

#[test]
fn a_broken_side_closes_the_other_with_the_original_servers_code() {
    let (hub, mut device, alice) = setup(&[]);
    let (service, device) = handshake(&mut device, &alice, &[]);
    let (service, mut device) = (service.attach(), device.attach());
    drop(service);
    assert_eq!(device.next().unwrap(), Frame::Close(1011, "WS disconnected".into()));
    assert_eq!(hub.wait_activity("streamClosed", None)["properties"]["endedBy"], "service");
}

#[test]
fn a_clean_close_is_relayed_as_a_clean_close() {
    let (_hub, mut device, alice) = setup(&[]);
    let (service, device) = handshake(&mut device, &alice, &[]);
    let (mut service, mut device) = (service.attach(), device.attach());
    service.bytes(b"the last words").unwrap();
    service.close(1000).unwrap();
    assert_eq!(device.expect_bytes(14), b"the last words");
    assert_eq!(device.expect_close(), 1000);
}

#[test]
fn a_client_without_half_close_gets_every_byte_and_then_the_close() {
    let target = Target::source(1, 8 * MIB);
    let (machine, hub) = hub(&[]);
    let _agent = Agent::start(&machine, &[&format!("ssh={}", target.port)]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let grant = alice.open("ssh", &[]).answer().grant();
    let mut stream = alice.attach(&grant).expect("let in");
    let whole = stream.expect_bytes(usize::try_from(8 * MIB).unwrap());
    Pattern::new(1).expect(&mut whole.as_slice(), 8 * MIB);
    assert_eq!(stream.next().unwrap(), Frame::Close(1000, String::new()));
}

#[test]
fn text_messages_have_meaning_only_with_a_negotiated_stream_protocol() {
    let (_hub, mut device, alice) = setup(&[]);
    let (service, plain) = handshake(&mut device, &alice, &[]);
    let (mut service, _plain) = (service.attach(), plain.attach());
    service.text(r#"{"type":"end","bytes":0}"#).unwrap();
    assert_eq!(service.expect_close(), 1003);

    let (service, agreed) = handshake(&mut device, &alice, &[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]);
    let (mut service, mut agreed) = (service.attach(), agreed.attach());
    service.text(r#"{"type":"end","bytes":0}"#).unwrap();
    assert_eq!(agreed.next().unwrap(), Frame::Text(r#"{"type":"end","bytes":0}"#.into()));
}

#[test]
fn a_request_that_the_service_abandons_is_cancelled() {
    let (hub, mut device, alice) = setup(&[]);
    let pending = alice.open("ssh", &[]);
    let request = device.request();
    drop(pending);
    device.expect_cancel(&request);
    hub.wait_activity("invoke", Some(RefusalKind::PeerGone.row().label));
    device.accept(&request);
    let (service, device) = handshake(&mut device, &alice, &[]);
    let (mut service, mut device) = (service.attach(), device.attach());
    service.bytes(b"hello").unwrap();
    assert_eq!(device.expect_bytes(5), b"hello");
}

/// Access of one side to a stream.
struct Place<'a>(&'a RawClient, StreamGrant);

impl Place<'_> {
    fn attach(&self) -> WebSocket {
        self.0.attach(&self.1).expect("the hub lets it in")
    }
}

fn handshake<'a>(
    device: &'a mut RawDevice,
    service: &'a RawClient,
    headers: &[(&str, &str)],
) -> (Place<'a>, Place<'a>) {
    let pending = service.open("ssh", headers);
    let request = device.request();
    device.accept(&request);
    let mut grant = pending.answer().grant();
    grant.protocol = request.protocol.clone();
    (Place(service, grant), Place(&device.identity, (&request).into()))
}

fn hub(arguments: &[&str]) -> (Machine, Hub) {
    let machine = Machine::new();
    let hub = Hub::start_with(&machine, arguments);
    (machine, hub)
}

fn setup(arguments: &[&str]) -> (Hub, RawDevice, RawClient) {
    let (_machine, hub) = hub(arguments);
    let device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
    let alice = RawClient::join(&hub.service_link("alice"));
    (hub, device, alice)
}
