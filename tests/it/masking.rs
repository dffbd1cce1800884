//! Masks of WebSocket frames: omitted between own ends whose TLS nobody else reads, and required from all others.

use devstream::proto::http::STREAM_PROTOCOL_HEADER;

use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{BINARY, FINAL, WebSocket, frame};
use crate::support::{DEVICE, STREAM_PROTOCOL};

const UNMASKED: &str = "devstream.v1.unmasked";

/// Part of the trace line of an agent and a proxy.
const AGREED: &str = "are not masked";

#[test]
fn own_ends_do_not_mask_their_frames() {
    let machine = Machine::new();
    let (_hub, target) = (Hub::start(&machine), Target::echo());
    let forward = format!("target={}", target.port);
    let agent = machine.start(&["device-agent", "--id", DEVICE, "--forward", &forward, "-vv"]);
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["-vv"]);
    // The first stream opens connections of its own; later ones use the standbys.
    for _ in 0..3 {
        is_alive(&mut proxy.connect());
        agent.wait_line(AGREED);
        proxy.process.wait_line(AGREED);
    }
}

/// Opens both legs of a stream, which offer these subprotocols; returns each with the one that the hub chose.
fn sides(offered: &str) -> (Hub, [(WebSocket, String); 2]) {
    let hub = Hub::start(&Machine::new());
    let mut device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let asked = alice.open("ssh", &[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]);
    let request = device.request();
    device.accept(&request);
    let sides =
        [(&alice, asked.answer().grant()), (&device.identity, StreamGrant::from(&request))].map(|(who, grant)| {
            let grant = StreamGrant { protocol: Some(offered.into()), ..grant };
            let (socket, response) = who.attach_with_response(&grant).expect("let in");
            (socket, response.header("sec-websocket-protocol").unwrap_or_default().to_owned())
        });
    (hub, sides)
}

#[test]
fn a_leg_that_offers_it_may_send_unmasked_and_masked_frames() {
    let (_hub, [(mut service, first), (mut device, second)]) = sides(&format!("{UNMASKED}, {STREAM_PROTOCOL}"));
    assert_eq!((first.as_str(), second.as_str()), (UNMASKED, UNMASKED));
    for masked in [false, true, false] {
        service.garbage(&frame(masked, FINAL | BINARY, b"to the device")).unwrap();
        assert_eq!(device.expect_bytes(13), b"to the device");
        device.garbage(&frame(masked, FINAL | BINARY, b"to the service")).unwrap();
        assert_eq!(service.expect_bytes(14), b"to the service");
    }
}

#[test]
fn a_leg_that_does_not_offer_it_must_mask() {
    let (_hub, [(mut service, first), (mut device, second)]) = sides(STREAM_PROTOCOL);
    assert_eq!((first.as_str(), second.as_str()), (STREAM_PROTOCOL, STREAM_PROTOCOL));
    service.bytes(b"masked").unwrap();
    assert_eq!(device.expect_bytes(6), b"masked");
    service.garbage(&frame(false, FINAL | BINARY, b"not masked")).unwrap();
    assert_eq!(service.expect_close(), 1002);
}

#[test]
fn it_is_never_chosen_for_another_protocol_than_the_agreed_one() {
    let (_hub, [(mut service, chosen), _device]) = sides("devstream.v1.resume.unmasked, theirs.unmasked, theirs");
    assert_eq!(chosen, "theirs");
    service.garbage(&frame(false, FINAL | BINARY, b"not masked")).unwrap();
    assert_eq!(service.expect_close(), 1002);
}
