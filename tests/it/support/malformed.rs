//! Malformed and oversized frames (RFC 6455).

use super::websocket::{BINARY, CLOSE, FINAL, PING, TEXT, frame, head};

const CONTINUATION: u8 = 0;

/// Bytes to send, and the close code in response.
pub(crate) struct Malformed {
    pub(crate) what: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) code: u16,
}

/// Every one that a client (which masks) or a server can send to a peer with this limit of a message.
pub(crate) fn all(masked: bool, limit: usize) -> Vec<Malformed> {
    let mut all = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>, code| all.push(Malformed { what: what.to_owned(), bytes, code });
    let frame = |first, payload: &[u8]| frame(masked, first, payload);
    let binary = FINAL | BINARY;
    for length in [limit as u64 + 1, 1 << 40, u64::MAX >> 1] {
        add(&format!("{length} bytes announced"), head(masked, binary, length), 1009);
    }
    let half = vec![0; limit / 2 + 1];
    add("too large in two pieces", [frame(BINARY, &half), frame(FINAL | CONTINUATION, &half)].concat(), 1009);
    for reserved in [0x40, 0x20, 0x10] {
        add(&format!("reserved bit {reserved:#x}"), frame(binary | reserved, b"x"), 1002);
    }
    for opcode in (3..8).chain(11..16) {
        add(&format!("opcode {opcode}"), frame(FINAL | opcode, b""), 1002);
    }
    add("the other side's masking", super::websocket::frame(!masked, binary, b"hello"), 1002);
    add("a continuation of nothing", frame(FINAL | CONTINUATION, b"x"), 1002);
    add("a message within a message", [frame(BINARY, b"x"), frame(binary, b"y")].concat(), 1002);
    add("a ping in pieces", frame(PING, b"x"), 1002);
    add("a close in pieces", frame(CLOSE, b""), 1002);
    add("a ping of 126 bytes", frame(FINAL | PING, &[b'x'; 126]), 1002);
    add("half a close code", frame(FINAL | CLOSE, &[3]), 1002);
    for code in [0_u16, 999, 1004, 1005, 1006, 1016, 2999, 65_535] {
        add(&format!("close code {code}"), frame(FINAL | CLOSE, &code.to_be_bytes()), 1002);
    }
    add("a close reason that is not UTF-8", frame(FINAL | CLOSE, b"\x03\xe8\xff\xfe"), 1007);
    add("text that is not UTF-8", frame(FINAL | TEXT, b"\xc0\xaf"), 1007);
    let pieces = [frame(TEXT, b"\xe2\x82"), frame(FINAL | CONTINUATION, b"x")].concat();
    add("text that is not UTF-8, in pieces", pieces, 1007);
    all
}
