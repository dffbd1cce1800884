//! PURE. A frame on its way out: its head, its payload, and how much of both is gone.

use std::io::IoSlice;

use bytes::{Buf as _, Bytes};

use super::head::{Head, LONGEST, Opcode};
use super::{CONTROL_BYTES, Endpoint};

/// What a client masks with. A mask hides a script's bytes from proxies that would take them for HTTP; below is TLS, and
/// no script. All zero, it leaves the payload as it is.
const NO_MASK: [u8; 4] = [0; 4];

/// A frame that is being sent.
#[derive(Debug)]
pub struct Frame {
    head: [u8; LONGEST],
    /// What is left of the head.
    from: usize,
    to: usize,
    payload: Bytes,
}

impl Frame {
    /// A whole message.
    pub fn new(opcode: Opcode, payload: Bytes, sender: Endpoint) -> Self {
        let mask = (sender == Endpoint::Client).then_some(NO_MASK);
        let head = Head { is_final: true, opcode, mask, length: payload.len() as u64 };
        let (head, to) = head.encode();
        Self { head, from: 0, to, payload }
    }

    /// A close. The reason is cut to what fits.
    pub fn close(code: u16, reason: &str, sender: Endpoint) -> Self {
        let fits = (0..=reason.len().min(CONTROL_BYTES - 2)).rev().find(|end| reason.is_char_boundary(*end));
        let reason = &reason.as_bytes()[..fits.unwrap_or(0)];
        Self::new(Opcode::Close, [&code.to_be_bytes(), reason].concat().into(), sender)
    }

    /// What is still to be sent.
    pub fn rest(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.head[self.from..self.to]), IoSlice::new(&self.payload)]
    }

    /// So much was sent: of this frame, and then of what comes after it, which is given back.
    pub fn advance(&mut self, bytes: usize) -> usize {
        let of_head = bytes.min(self.to - self.from);
        self.from += of_head;
        let of_payload = (bytes - of_head).min(self.payload.len());
        self.payload.advance(of_payload);
        bytes - of_head - of_payload
    }

    /// Whether all of it was.
    pub fn is_sent(&self) -> bool {
        self.from == self.to && self.payload.is_empty()
    }
}
