//! Frames that no WebSocket may send, at each place where the hub reads some.

use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::limits::{CONTROL_MESSAGE_BYTES, DATA_MESSAGE_LIMIT};
use devstream::proto::refusal::RefusalKind;

use super::HostileFixture;
use crate::support::STREAM_PROTOCOL;
use crate::support::bytes::MIB;
use crate::support::malformed;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::websocket::{FINAL, TEXT, WebSocket, frame};

/// Sends each of these to a WebSocket of its own; the code that comes back must be the one that belongs to it, or this.
fn assert_answered(hostile: &HostileFixture, limit: usize, mut bring: impl FnMut() -> WebSocket, or: Option<u16>) {
    let before = hostile.fixture.hub.process.memory().now;
    for malformed in malformed::all(true, limit) {
        let mut socket = bring();
        socket.garbage(&malformed.bytes).unwrap();
        let code = socket.expect_close();
        assert!(code == malformed.code || Some(code) == or, "{code} to {}", malformed.what);
    }
    let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < 4 * MIB, "{growth} bytes for nothing");
}

#[test]
fn bent_frames_end_the_stream_they_come_on_with_the_right_code() {
    let hostile = HostileFixture::begin();
    for headers in [&[][..], &[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]] {
        assert_answered(&hostile, DATA_MESSAGE_LIMIT, || hostile.websocket(headers), None);
    }
    hostile.end();
}

#[test]
fn bent_frames_on_a_side_that_waits_for_the_other_are_answered_at_once() {
    let hostile = HostileFixture::begin();
    let mut device = RawDevice::online(RawClient::join(&hostile.fixture.hub.device_link("waiting")), &["ssh"]);
    let alone = || {
        let pending = hostile.alice.send("POST", "/twins/waiting/streams/ssh", &[], "");
        let request = device.request();
        device.accept(&request);
        hostile.alice.bring(&pending.answer().grant()).expect("let in")
    };
    assert_answered(&hostile, DATA_MESSAGE_LIMIT, alone, None);
    drop(device);
    hostile.end();
}

#[test]
fn bent_frames_end_a_devices_control_connection_with_the_right_code() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("bent"));
    let online = || RawDevice::online(device.clone(), &["ssh"]).control;
    assert_answered(&hostile, CONTROL_MESSAGE_BYTES, online, None);
    hostile.end();
}

#[test]
fn whatever_comes_instead_of_a_hello_is_a_bad_request() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("bent"));
    let silent = || device.control("bent").expect("let in");
    assert_answered(&hostile, CONTROL_MESSAGE_BYTES, silent, Some(RefusalKind::BadRequest.row().close));
    hostile.end();
}

#[test]
fn what_a_control_connection_is_not_for_ends_it() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("bent"));
    let deep = format!(r#"{{"type":"streamResponse","x":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
    let hello = r#"{"type":"hello","version":"1","forwards":[]}"#;
    for (text, code) in [
        (r#"{"type":"nobodyKnows"}"#, 1008),
        ("", 1008),
        (deep.as_str(), 1008),
        (hello, RefusalKind::BadRequest.row().close),
    ] {
        let mut online = RawDevice::online(device.clone(), &["ssh"]);
        online.control.garbage(&frame(true, FINAL | TEXT, text.as_bytes())).unwrap();
        assert_eq!(online.control.expect_close(), code, "{text:.40}");
    }
    let mut online = RawDevice::online(device, &["ssh"]);
    online.control.bytes(b"bytes").unwrap();
    assert_eq!(online.control.expect_close(), 1003);
    hostile.end();
}
