//! PURE. What precedes a frame's payload (RFC 6455 section 5.2).

use super::{CONTROL_BYTES, Endpoint, Fault};

/// The longest head: two bytes, a length of eight, a mask.
pub const LONGEST: usize = 14;

const FINAL: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
/// Lengths from here on have two bytes of their own …
const TWO: u8 = 126;
/// … or eight.
const EIGHT: u8 = 127;

/// The kinds of frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of the message before.
    Continuation,
    /// Text, or the first piece of it.
    Text,
    /// Bytes, or the first piece of them.
    Binary,
    /// Nothing follows.
    Close,
    /// To be answered.
    Ping,
    /// An answer.
    Pong,
}

impl Opcode {
    /// Every kind, with its number.
    pub const ALL: [(Self, u8); 6] = [
        (Self::Continuation, 0),
        (Self::Text, 1),
        (Self::Binary, 2),
        (Self::Close, 8),
        (Self::Ping, 9),
        (Self::Pong, 10),
    ];

    fn parse(number: u8) -> Result<Self, Fault> {
        let found = Self::ALL.iter().find(|(_, known)| *known == number);
        found.map(|(opcode, _)| *opcode).ok_or(Fault::Opcode(number))
    }

    fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it comes between the pieces of a message.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Whether the message ends with this frame.
    pub is_final: bool,
    /// What it is.
    pub opcode: Opcode,
    /// What the payload is xored with: only a client's, and then always.
    pub mask: Option<[u8; 4]>,
    /// Of the payload.
    pub length: u64,
}

impl Head {
    /// The head at the start of these bytes and how long it is; nothing if it is not all there.
    pub fn parse(bytes: &[u8], reader: Endpoint) -> Result<Option<(Self, usize)>, Fault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(Fault::Reserved);
        }
        let (is_final, opcode) = (first & FINAL != 0, Opcode::parse(first & 0x0f)?);
        let masked = second & MASKED != 0;
        if masked != (reader == Endpoint::Server) {
            return Err(Fault::Mask);
        }
        let short = second & !MASKED;
        if opcode.is_control() && (!is_final || usize::from(short) > CONTROL_BYTES) {
            return Err(Fault::Control);
        }
        let Some((length, rest)) = length(short, rest) else { return Ok(None) };
        let (mask, rest) = match (masked, rest.split_first_chunk()) {
            (false, _) => (None, rest),
            (true, Some((mask, rest))) => (Some(*mask), rest),
            (true, None) => return Ok(None),
        };
        Ok(Some((Self { is_final, opcode, mask, length }, bytes.len() - rest.len())))
    }

    /// As bytes, and how many of them count.
    pub fn encode(&self) -> ([u8; LONGEST], usize) {
        let mut bytes = [0; LONGEST];
        let mask_bit = if self.mask.is_some() { MASKED } else { 0 };
        bytes[0] = if self.is_final { FINAL } else { 0 } | self.opcode.number();
        let mut end = match (u8::try_from(self.length), u16::try_from(self.length)) {
            (Ok(short), _) if usize::from(short) <= CONTROL_BYTES => {
                bytes[1] = mask_bit | short;
                2
            }
            (_, Ok(two)) => {
                bytes[1] = mask_bit | TWO;
                bytes[2..4].copy_from_slice(&two.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = mask_bit | EIGHT;
                bytes[2..10].copy_from_slice(&self.length.to_be_bytes());
                10
            }
        };
        if let Some(mask) = self.mask {
            bytes[end..end + 4].copy_from_slice(&mask);
            end += 4;
        }
        (bytes, end)
    }
}

/// The payload's length and what follows it.
fn length(short: u8, rest: &[u8]) -> Option<(u64, &[u8])> {
    match short {
        TWO => rest.split_first_chunk().map(|(two, rest)| (u16::from_be_bytes(*two).into(), rest)),
        EIGHT => rest.split_first_chunk().map(|(eight, rest)| (u64::from_be_bytes(*eight), rest)),
        short => Some((short.into(), rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_is_read_as_it_was_written_and_not_before_it_is_all_there() {
        for (opcode, _) in Opcode::ALL {
            for length in [0, 1, 125, 126, 65_535, 65_536, u64::MAX] {
                for (mask, reader) in [(None, Endpoint::Client), (Some([1, 2, 3, 4]), Endpoint::Server)] {
                    if opcode.is_control() && length > 125 {
                        continue;
                    }
                    let head = Head { is_final: true, opcode, mask, length };
                    let (bytes, end) = head.encode();
                    assert_eq!(Head::parse(&bytes[..end], reader), Ok(Some((head, end))));
                    for cut in 0..end {
                        assert_eq!(Head::parse(&bytes[..cut], reader), Ok(None), "{head:?} {cut}");
                    }
                }
            }
        }
    }
}
