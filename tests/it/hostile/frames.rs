//! Malformed frames, at each place where the hub reads frames.

use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::limits::{CONTROL_MESSAGE_BYTES, MAX_RECEIVED_MESSAGE_BYTES};
use devstream::proto::refusal::RefusalKind;

use super::HostileFixture;
use crate::support::STREAM_PROTOCOL;
use crate::support::bytes::MIB;
use crate::support::malformed;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::websocket::{FINAL, TEXT, WebSocket, frame};

/// Sends each malformed frame to a WebSocket of its own; expects its close code, or this one.
fn assert_answered(
    hostile: &HostileFixture,
    limit: usize,
    mut bring: impl FnMut() -> WebSocket,
    or: impl Fn(u16) -> Option<u16>,
) {
    let before = hostile.fixture.hub.process.memory().now;
    for malformed in malformed::all(true, limit) {
        let mut socket = bring();
        socket.garbage(&malformed.bytes).unwrap();
        let code = socket.expect_close();
        assert!(code == malformed.code || Some(code) == or(malformed.code), "{code} to {}", malformed.what);
    }
    let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < 4 * MIB, "{growth} bytes for nothing");
}

#[test]
fn malformed_frames_end_their_stream_with_the_right_close_code() {
    let hostile = HostileFixture::begin();
    for headers in [&[][..], &[(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)]] {
        assert_answered(&hostile, MAX_RECEIVED_MESSAGE_BYTES, || hostile.websocket(headers), |_| None);
    }
    hostile.end();
}

#[test]
fn malformed_frames_from_a_waiting_side_are_answered_at_once_unless_too_large_to_be_read() {
    let hostile = HostileFixture::begin_with(&["--handshake-timeout", "5"]);
    let mut device = RawDevice::online(RawClient::join(&hostile.fixture.hub.device_link("waiting")), &["ssh"]);
    let alone = || {
        let pending = hostile.alice.send("POST", "/twins/waiting/streams/ssh", &[], "");
        let request = device.request();
        device.accept(&request);
        hostile.alice.attach(&pending.answer().grant()).expect("let in")
    };
    // Of a large message, nothing more is read before the other side comes.
    let unread = |code| (code == 1009).then_some(RefusalKind::HandshakeTimedOut.row().close);
    assert_answered(&hostile, MAX_RECEIVED_MESSAGE_BYTES, alone, unread);
    drop(device);
    hostile.end();
}

#[test]
fn malformed_frames_end_a_control_connection_with_the_right_close_code() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("malformed"));
    let online = || RawDevice::online(device.clone(), &["ssh"]).control;
    assert_answered(&hostile, CONTROL_MESSAGE_BYTES, online, |_| None);
    hostile.end();
}

#[test]
fn any_first_message_but_a_hello_is_a_bad_request() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("malformed"));
    let silent = || device.control("malformed").expect("let in");
    assert_answered(&hostile, CONTROL_MESSAGE_BYTES, silent, |_| Some(RefusalKind::BadRequest.row().close));
    hostile.end();
}

#[test]
fn unexpected_messages_end_a_control_connection() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("malformed"));
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
