//! A stream token admits one side of one stream, once. Every wrong one gets the same response.

use devstream::net::os::random;
use devstream::proto::id::StreamId;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::secret::StreamToken;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::Hub;

#[test]
fn every_wrong_token_gets_the_same_401() {
    let (_machine, hub, mut device, alice) = setup(&[]);
    let bob = RawClient::join(&hub.service_link("bob"));
    let (own, others) = handshake(&mut device, &alice);

    let peer = StreamGrant { token: made_up(), ..own.clone() };
    let refused = alice.attach(&peer).err().expect("a made-up token lets nobody in");
    let swapped =
        |grant: &StreamGrant, token: &StreamGrant| StreamGrant { token: token.token.clone(), ..grant.clone() };
    let nowhere = StreamGrant {
        url: own.url.replace(&stream_in(&own), &StreamId::from_bytes([7; 16]).to_string()),
        ..own.clone()
    };
    for (what, answer) in [
        ("the device's token at the service's place", alice.attach(&swapped(&own, &others))),
        ("the service's token at the device's place", device.identity.attach(&swapped(&others, &own))),
        ("the device's place and token, for the service", alice.attach(&others)),
        ("the service's place and token, for the device", device.identity.attach(&own)),
        ("another service", bob.attach(&own)),
        ("another stream", alice.attach(&nowhere)),
        ("not a token", alice.attach(&StreamGrant { token: "x".into(), ..own.clone() })),
        ("no token", alice.attach(&StreamGrant { token: String::new(), ..own.clone() })),
    ] {
        assert_eq!(answer.err(), Some(refused.clone()), "{what}");
    }

    // The right tokens are still unused.
    let mut service_side = alice.attach(&own).expect("the service's own token");
    let mut device_side = device.identity.attach(&others).expect("the device's own token");
    service_side.bytes(b"hello").unwrap();
    assert_eq!(device_side.expect_bytes(5), b"hello");

    assert_eq!(alice.attach(&own).err(), Some(refused.clone()), "used by the service, while the stream lives");
    assert_eq!(device.identity.attach(&others).err(), Some(refused.clone()), "used by the device");
    service_side.bytes(b"again").unwrap();
    assert_eq!(device_side.expect_bytes(5), b"again");
    drop((service_side, device_side));
    hub.wait_activity("streamClosed", None);
    assert_eq!(alice.attach(&own).err(), Some(refused.clone()), "used, after the stream");

    assert_eq!(refused.status, 401, "{refused:?}");
    let entry = hub.wait_activity("authenticate", Some(RefusalKind::AuthenticationFailed.row().label));
    assert!(!entry.to_string().contains(&own.token), "{entry}");
}

/// An open that is repeated voids the tokens of the attempts before: clients that lose their connections often send some.
#[test]
fn tokens_of_streams_that_are_gone_cost_an_authenticated_client_no_penalty() {
    let (_machine, hub, mut device, alice) = setup(&[]);
    let (own, others) = handshake(&mut device, &alice);
    for _ in 0..10 {
        for (client, grant) in [(&alice, &own), (&device.identity, &others)] {
            let refused = client.attach(&StreamGrant { token: made_up(), ..grant.clone() }).err();
            assert_eq!(refused.map(|answer| answer.status), Some(401));
        }
    }
    assert!(hub.activity().iter().all(|entry| entry["operationName"] != "sourcePenalised"));
}

#[test]
fn an_expired_token_gets_the_same_401_as_a_forged_one() {
    let (_machine, _hub, mut device, alice) = setup(&["--handshake-timeout", "1"]);
    let (own, others) = handshake(&mut device, &alice);
    let mut early = device.identity.attach(&others).expect("the device's own token");
    assert_eq!(early.expect_close(), RefusalKind::HandshakeTimedOut.row().close, "the service did not come in time");
    let refused = alice.attach(&StreamGrant { token: made_up(), ..own.clone() }).err();
    assert_eq!(refused.as_ref().map(|answer| answer.status), Some(401));
    assert_eq!(alice.attach(&own).err(), refused);
}

#[test]
fn every_wrong_identity_gets_the_same_401() {
    let (_machine, hub, device, alice) = setup(&[]);
    let open = format!("/twins/{DEVICE}/streams/ssh");
    let unsigned = alice.ask_unsigned("POST", &open);
    assert_eq!(unsigned.status, 401, "{unsigned:?}");
    hub.ask(&["service", "remove", "alice"]);
    assert_eq!(alice.ask("POST", &open, &[], ""), unsigned, "a service that was removed");
    let as_service = device.identity.ask("POST", &open, &[], "");
    assert_ne!(as_service.status, 200, "a device asks for no streams: {as_service:?}");
    assert_eq!(alice.ask("POST", "/join", &[], r#"{"code":"AAAAAAAAAAAAAAAAAAAAAA","key":"x"}"#), unsigned);
}

/// A hub with a device and a service, both controlled by the test.
fn setup(arguments: &[&str]) -> (Machine, Hub, RawDevice, RawClient) {
    let machine = Machine::new();
    let hub = Hub::start_with(&machine, arguments);
    let device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
    let alice = RawClient::join(&hub.service_link("alice"));
    (machine, hub, device, alice)
}

/// Bytes received by the service, and by the device.
fn handshake(device: &mut RawDevice, service: &RawClient) -> (StreamGrant, StreamGrant) {
    let pending = service.open("ssh", &[]);
    let request = device.request();
    device.accept(&request);
    (pending.answer().grant(), (&request).into())
}

fn made_up() -> String {
    let token: StreamToken = random::secret();
    token.reveal()
}

fn stream_in(grant: &StreamGrant) -> String {
    let rest = grant.url.split("/sid/").nth(1).expect("a stream id");
    rest.split('/').next().expect("a stream id").to_owned()
}
