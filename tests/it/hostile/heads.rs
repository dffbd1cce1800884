//! Request heads at and over the limits, and malformed ones.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use devstream::proto::limits::{REQUEST_HEAD_BYTES, REQUEST_HEADERS};

use super::HostileFixture;
use crate::support::DEVICE;
use crate::support::bytes::MIB;
use crate::support::response::read_response;

const ASK: &str = "GET /healthz HTTP/1.1\r\nhost: hub\r\n";

/// A head of this many bytes.
fn of_length(length: usize) -> String {
    format!("{ASK}x: {}\r\n\r\n", "y".repeat(length - ASK.len() - "x: \r\n\r\n".len()))
}

/// A head of this many header fields.
fn of_fields(fields: usize) -> String {
    let more: String = (1..fields).map(|number| format!("x-{number}: y\r\n")).collect();
    format!("{ASK}{more}\r\n")
}

#[test]
fn a_request_head_at_a_limit_is_accepted_and_one_beyond_it_refused() {
    let hostile = HostileFixture::begin();
    for (head, statuses) in [
        (of_fields(REQUEST_HEADERS), &[200][..]),
        (of_fields(REQUEST_HEADERS + 1), &[431, 400]),
        (of_length(REQUEST_HEAD_BYTES - 1024), &[200]),
        (of_length(REQUEST_HEAD_BYTES + 1), &[431, 400]),
        (of_length(10 * MIB as usize), &[431, 400]),
    ] {
        let status = status_of(&hostile, head.as_bytes());
        // Unread bytes may reset the connection before the response is read.
        assert!(status.map_or(statuses[0] != 200, |status| statuses.contains(&status)), "{status:?} to {head:.40}");
    }
    hostile.end();
}

#[test]
fn a_request_head_sent_byte_by_byte_is_accepted() {
    let hostile = HostileFixture::begin();
    let mut slow = hostile.alice.dial();
    slow.sock.set_nodelay(true).unwrap();
    for byte in format!("{ASK}\r\n").bytes() {
        slow.write_all(&[byte]).unwrap();
        slow.flush().unwrap();
    }
    assert_eq!(read_response(&mut slow).unwrap().status, 200);
    hostile.end();
}

#[test]
fn a_malformed_request_head_is_refused_at_little_cost() {
    const EACH: Duration = Duration::from_millis(100);
    let hostile = HostileFixture::begin();
    let upgrade = format!(
        "GET /devices/{DEVICE}/control HTTP/1.1\r\nhost: hub\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    );
    let with = |line: &str| format!("{ASK}{line}\r\n\r\n").into_bytes();
    let upgrade_with = |line: &str| format!("{upgrade}{line}\r\n\r\n").into_bytes();
    let heads = [
        ("a NUL in a value", with("x: a\0b")),
        ("a NUL in a name", with("x\0: a")),
        ("a NUL in the path", b"GET /heal\0thz HTTP/1.1\r\nhost: hub\r\n\r\n".to_vec()),
        ("no UTF-8 in the host", b"GET /healthz HTTP/1.1\r\nhost: \xff\xfe\r\n\r\n".to_vec()),
        (
            "no UTF-8 in the credential",
            [b"GET /devices HTTP/1.1\r\nhost: hub\r\n", &b"devstream-authorization: \xff\r\n\r\n"[..]].concat(),
        ),
        ("a user in the host", b"GET /healthz HTTP/1.1\r\nhost: hub@evil\r\n\r\n".to_vec()),
        ("a path in the host", b"GET /healthz HTTP/1.1\r\nhost: hub/evil\r\n\r\n".to_vec()),
        ("a quote in the host", b"GET /healthz HTTP/1.1\r\nhost: hub\"\r\n\r\n".to_vec()),
        ("an empty host", b"GET /healthz HTTP/1.1\r\nhost:\r\n\r\n".to_vec()),
        ("a folded header", with("x: a\r\n b")),
        ("no colon", with("nonsense")),
        ("an empty name", with(": a")),
        ("two lengths", with("content-length: 1\r\ncontent-length: 2")),
        ("a length and chunks", with("content-length: 1\r\ntransfer-encoding: chunked")),
        ("a negative length", with("content-length: -1")),
        ("an endless length", with("content-length: 99999999999999999999")),
        ("an unknown encoding", with("transfer-encoding: gzip")),
        ("two credentials", with("devstream-authorization: a\r\ndevstream-authorization: b")),
        ("HTTP/2 without TLS's word for it", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/0.9", b"GET /healthz\r\n\r\n".to_vec()),
        ("HTTP/1.0", b"GET /healthz HTTP/1.0\r\nhost: hub\r\n\r\n".to_vec()),
        ("HTTP/9.9", b"GET /healthz HTTP/9.9\r\nhost: hub\r\n\r\n".to_vec()),
        ("a lone CR", b"GET /healthz HTTP/1.1\rhost: hub\r\r".to_vec()),
        ("another's address", b"CONNECT hub:22 HTTP/1.1\r\nhost: hub\r\n\r\n".to_vec()),
        ("an upgrade with a body", upgrade_with("content-length: 5")),
        ("an upgrade with chunks", upgrade_with("transfer-encoding: chunked")),
        ("two keys", upgrade_with("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")),
        ("two versions", upgrade_with("sec-websocket-version: 8")),
        ("a page's origin", upgrade_with("origin: https://example.com")),
        ("another upgrade", [ASK.as_bytes(), b"upgrade: h2c\r\nconnection: upgrade\r\n\r\n"].concat()),
    ];
    let before = hostile.fixture.hub.process.processor_time();
    for (what, head) in &heads {
        let status = status_of(&hostile, head);
        assert!(status.is_none_or(|status| (400..=505).contains(&status)), "{status:?} to {what}");
    }
    let used = hostile.fixture.hub.process.processor_time() - before;
    assert!(used < EACH * u32::try_from(heads.len()).unwrap(), "{used:?}");
    hostile.end();
}

/// The hub's response to this request head followed by EOF, if any.
fn status_of(hostile: &HostileFixture, head: &[u8]) -> Option<u16> {
    let mut peer = hostile.alice.dial();
    // The hub may close before it has read everything.
    let _ = peer.write_all(head);
    let status = read_response(&mut peer).ok().map(|answer| answer.status);
    // Then it closes the connection.
    let _ = peer.read(&mut [0]);
    status
}
