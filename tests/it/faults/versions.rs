//! Endpoints of different versions: unknown fields are ignored, and incompatible versions report that.

use devstream::proto::http::STREAM_PROTOCOL_HEADER;

use crate::support::bytes::{KIB, Pattern};
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, StreamGrant};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::websocket::Frame;
use crate::support::{DEVICE, STREAM_PROTOCOL};

#[test]
fn a_newer_agents_unknown_fields_and_protocols_are_let_be() {
    let (machine, hub) = hub();
    let device = RawClient::join(&hub.device_link(DEVICE));
    let mut control = device.control(DEVICE).unwrap();
    control
        .text(
            r#"{"type":"hello","version":"99.1.0-rc1","protocols":["devstream.v9","devstream.v1","devstream.v1.next"],
                "forwards":["ssh"],"novelty":{"deep":[1,2,{"deeper":null}]},"another":true}"#,
        )
        .unwrap();
    let Frame::Text(welcome) = control.next().unwrap() else { panic!("no welcome") };
    assert!(welcome.contains(r#""type":"welcome""#), "{welcome}");
    let proxy = ServiceProxy::start(&machine);
    let _local = proxy.connect();
    let Frame::Text(request) = control.next().unwrap() else { panic!("no request") };
    assert!(request.contains(&format!(r#""protocol":"{STREAM_PROTOCOL}""#)), "what both know is agreed: {request}");
    assert!(hub.ask(&["device", "show", DEVICE]).contains("99.1.0-rc1"), "its version is shown");
}

#[test]
fn an_end_that_knows_no_subprotocol_still_gets_every_byte() {
    let (machine, hub) = hub();
    let device = RawClient::join(&hub.device_link(DEVICE));
    let mut control = device.control(DEVICE).unwrap();
    control.text(r#"{"type":"hello","version":"0.0.1","forwards":["ssh"]}"#).unwrap();
    assert!(matches!(control.next(), Ok(Frame::Text(_))));
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    let Frame::Text(request) = control.next().unwrap() else { panic!("no request") };
    let request: serde_json::Value = serde_json::from_str(&request).unwrap();
    assert_eq!(request["protocol"], serde_json::Value::Null, "nothing is agreed with whoever knows nothing");
    let id = &request["requestId"];
    control.text(&format!(r#"{{"type":"streamResponse","requestId":{id},"accepted":true,"novelty":1}}"#)).unwrap();
    let grant = StreamGrant {
        url: request["url"].as_str().unwrap().into(),
        token: request["authorizationToken"].as_str().unwrap().into(),
        protocol: None,
    };
    let mut stream = device.attach(&grant).unwrap();
    let pattern = Pattern::new(8);
    pattern.send(&mut local, 256 * KIB).unwrap();
    let length = usize::try_from(256 * KIB).unwrap();
    assert!(stream.expect_bytes(length) == pattern.prefix(256 * KIB), "other bytes");
}

#[test]
fn a_service_that_offers_what_the_device_does_not_know_gets_what_both_do() {
    let (_machine, hub) = hub();
    let device = RawClient::join(&hub.device_link(DEVICE));
    let mut control = device.control(DEVICE).unwrap();
    control.text(r#"{"type":"hello","version":"1","protocols":["devstream.v1"],"forwards":["ssh"]}"#).unwrap();
    assert!(matches!(control.next(), Ok(Frame::Text(_))));
    let alice = RawClient::join(&hub.service_link("alice"));
    let mut pending = Vec::new();
    for (offered, agreed) in [
        ("devstream.v9, devstream.v1", serde_json::json!(STREAM_PROTOCOL)),
        ("devstream.v1,devstream.v9", serde_json::json!(STREAM_PROTOCOL)),
        ("devstream.v9", serde_json::Value::Null),
    ] {
        pending.push(alice.open("ssh", &[(STREAM_PROTOCOL_HEADER, offered)]));
        let Frame::Text(request) = control.next().unwrap() else { panic!("no request") };
        let request: serde_json::Value = serde_json::from_str(&request).unwrap();
        assert_eq!(request["protocol"], agreed, "offered {offered}");
    }
}

fn hub() -> (Machine, Hub) {
    let machine = Machine::new().plain();
    let hub = Hub::start(&machine);
    (machine, hub)
}
