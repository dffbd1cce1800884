//! Masks of WebSocket frames: left out between own ends whose TLS nobody else reads, and required of everybody else.

use devstream::proto::http::STREAM_PROTOCOL_HEADER;

use crate::support::machine::Machine;
use crate::support::raw::{Raw, RawDevice, Ticket};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::{BINARY, FINAL, WebSocket, frame};
use crate::support::{DEVICE, STREAM_PROTOCOL};

const UNMASKED: &str = "devstream.v1.unmasked";

/// In the trace of an agent and a proxy.
const AGREED: &str = "are not masked";

#[test]
fn own_ends_do_not_mask_their_frames() {
    let machine = Machine::new();
    let (_hub, target) = (Hub::start(&machine), Target::echo());
    let forward = format!("target={}", target.port);
    let agent = machine.start(&["device-agent", "--id", DEVICE, "--forward", &forward, "-vv"]);
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["-vv"]);
    // The first stream comes the long way, and others on connections that stand by.
    for _ in 0..3 {
        is_alive(&mut proxy.connect());
        agent.wait_line(AGREED);
        proxy.process.wait_line(AGREED);
    }
}

/// Two sides of a stream that both offer these subprotocols, and which ones the hub chose.
fn sides(offered: &str) -> (Hub, [(WebSocket, String); 2]) {
    let hub = Hub::start(&Machine::new());
    let mut device = RawDevice::online(Raw::join(&hub.device_link(DEVICE)), &["ssh"]);
    let alice = Raw::join(&hub.service_link("alice"));
    let asked = alice.open("ssh", &[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]);
    let request = device.request();
    device.accept(&request);
    let sides = [(&alice, asked.answer().ticket()), (&device.identity, Ticket::from(&request))].map(|(who, ticket)| {
        let ticket = Ticket { protocol: Some(offered.into()), ..ticket };
        let (socket, answer) = who.arrive(&ticket).expect("let in");
        (socket, answer.header("sec-websocket-protocol").unwrap_or_default().to_owned())
    });
    (hub, sides)
}

#[test]
fn who_offers_it_is_read_without_masks_and_with_them() {
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
fn who_does_not_offer_it_must_mask() {
    let (_hub, [(mut service, first), (mut device, second)]) = sides(STREAM_PROTOCOL);
    assert_eq!((first.as_str(), second.as_str()), (STREAM_PROTOCOL, STREAM_PROTOCOL));
    service.bytes(b"masked").unwrap();
    assert_eq!(device.expect_bytes(6), b"masked");
    service.garbage(&frame(false, FINAL | BINARY, b"not masked")).unwrap();
    assert_eq!(service.expect_close(), 1002);
}

#[test]
fn nobody_is_given_it_who_agreed_on_another_protocol() {
    let (_hub, [(mut service, chosen), _device]) = sides("devstream.v1.resume.unmasked, theirs.unmasked, theirs");
    assert_eq!(chosen, "theirs");
    service.garbage(&frame(false, FINAL | BINARY, b"not masked")).unwrap();
    assert_eq!(service.expect_close(), 1002);
}
