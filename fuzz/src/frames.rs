//! WebSocket frames: what is read of them is the same however they are cut into pieces, keeps to the limit, and is what
//! the other end would be sent.

use bytes::Bytes;
use devstream::proto::websocket::decoder::Decoder;
use devstream::proto::websocket::frame::Frame;
use devstream::proto::websocket::head::Opcode;
use devstream::proto::websocket::{CONTROL_BYTES, Endpoint, Fault, Message};

/// Small enough that an input can go beyond it.
const LIMIT: usize = 300;

pub fn check(bytes: &[u8]) {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let endpoint = if first & 1 == 0 { Endpoint::Server } else { Endpoint::Client };
    let whole = decoded(bytes, endpoint, usize::MAX);
    let pieces = decoded(bytes, endpoint, usize::from(first >> 1) + 1);
    assert_eq!(whole, pieces, "in pieces of {} they are others", (first >> 1) + 1);
    for message in &whole.0 {
        assert_eq!(decoded(&encoded(message), Endpoint::Client, 7), (vec![message.clone()], None));
    }
}

/// The messages, and what was wrong with the next.
fn decoded(mut bytes: &[u8], endpoint: Endpoint, piece: usize) -> (Vec<Message>, Option<Fault>) {
    let (mut decoder, mut messages) = (Decoder::new(endpoint, LIMIT, &[]), Vec::new());
    loop {
        match decoder.next_message() {
            Ok(Some(message)) => messages.push(message),
            Ok(None) if bytes.is_empty() => return (messages, None),
            Ok(None) => {
                decoder.rest();
                let space = decoder.space();
                let room = space.capacity() - space.len();
                assert!(room > 0, "nowhere to read to");
                let count = piece.min(room).min(bytes.len());
                space.extend_from_slice(&bytes[..count]);
                bytes = &bytes[count..];
            }
            Err(fault) => return (messages, Some(fault)),
        }
    }
}

/// As a server sends it.
fn encoded(message: &Message) -> Vec<u8> {
    let frame = |opcode, payload: &Bytes| Frame::new(opcode, payload.clone(), Endpoint::Server);
    let mut frame = match message {
        Message::Binary(bytes) => frame(Opcode::Binary, bytes),
        Message::Text(text) => frame(Opcode::Text, &Bytes::copy_from_slice(text.as_bytes())),
        Message::Ping(payload) => frame(Opcode::Ping, payload),
        Message::Pong => frame(Opcode::Pong, &Bytes::new()),
        Message::Close(None) => frame(Opcode::Close, &Bytes::new()),
        Message::Close(Some((code, reason))) => Frame::close(*code, reason, Endpoint::Server),
    };
    let mut bytes = Vec::new();
    while !frame.is_sent() {
        let rest = frame.rest();
        let next = rest.iter().find(|part| !part.is_empty()).unwrap();
        let count = next.len().min(CONTROL_BYTES);
        bytes.extend_from_slice(&next[..count]);
        frame.advance(count);
    }
    bytes
}
