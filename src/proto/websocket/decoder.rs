//! PURE. From bytes to messages. Bytes are read into [`Decoder::space`], and [`Decoder::next_message`] gives what they make.

use bytes::{Buf as _, Bytes, BytesMut};

use super::head::{Head, LONGEST, Opcode};
use super::{Endpoint, Fault, Message};

/// Room for a head and a small message, before anything is known of the next frame.
const SMALL: usize = 4 * 1024;

/// The most that is allocated before any of it has come: the length that a peer announces costs it nothing.
const BLOCK: usize = 64 * 1024 + LONGEST;

/// What is read of a WebSocket. Nothing is held while nothing is under way.
#[derive(Debug)]
pub struct Decoder {
    endpoint: Endpoint,
    limit: usize,
    buffer: BytesMut,
    /// Of the frame whose payload is awaited.
    head: Option<Head>,
    /// A message that comes in pieces.
    begun: Option<Begun>,
    /// The size of the last frame: the next one is probably like it.
    like: usize,
    /// What was against the rules: nothing that follows is looked at (RFC 6455 section 7.1.7).
    fault: Option<Fault>,
}

#[derive(Debug)]
struct Begun {
    is_text: bool,
    bytes: BytesMut,
    /// So much of it is known to be UTF-8.
    text_to: usize,
}

impl Decoder {
    /// For this end of a connection, on which these bytes came already; no message may be larger than `limit`.
    pub fn new(endpoint: Endpoint, limit: usize, early: &[u8]) -> Self {
        Self { endpoint, limit, buffer: BytesMut::from(early), head: None, begun: None, like: 0, fault: None }
    }

    /// The next message, if it is all there. After a fault, none ever is.
    pub fn next_message(&mut self) -> Result<Option<Message>, Fault> {
        match self.fault {
            Some(fault) => Err(fault),
            None => self.read_on().inspect_err(|fault| self.fault = Some(*fault)),
        }
    }

    /// Where to read more into: room for the rest of the frame that has begun, or for one like the last.
    pub fn space(&mut self) -> &mut BytesMut {
        let wanted = match self.head {
            Some(head) => usize::try_from(head.length).unwrap_or(usize::MAX) - self.buffer.len(),
            None => self.like.max(SMALL),
        };
        if self.buffer.capacity() == self.buffer.len() {
            self.buffer.reserve(wanted.min(BLOCK));
        }
        &mut self.buffer
    }

    /// Nothing more comes for now: memory that holds nothing is given back.
    pub fn rest(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    fn read_on(&mut self) -> Result<Option<Message>, Fault> {
        loop {
            let head = match self.head {
                Some(head) => head,
                None => match self.next_head()? {
                    Some(head) => *self.head.insert(head),
                    None => return Ok(None),
                },
            };
            let length = usize::try_from(head.length).map_err(|_| Fault::TooBig(self.limit))?;
            if self.buffer.len() < length {
                return Ok(None);
            }
            self.head = None;
            unmask(&mut self.buffer[..length], head.mask);
            let payload = self.payload(length);
            if let Some(message) = self.message(head, payload)? {
                return Ok(Some(message));
            }
        }
    }

    fn next_head(&mut self) -> Result<Option<Head>, Fault> {
        let Some((head, size)) = Head::parse(&self.buffer, self.endpoint)? else { return Ok(None) };
        let before = self.begun.as_ref().map_or(0, |begun| begun.bytes.len()) as u64;
        match head.opcode {
            Opcode::Close | Opcode::Ping | Opcode::Pong => {}
            Opcode::Continuation if self.begun.is_none() => return Err(Fault::Pieces),
            Opcode::Text | Opcode::Binary if self.begun.is_some() => return Err(Fault::Pieces),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => {
                if before.saturating_add(head.length) > self.limit as u64 {
                    return Err(Fault::TooBig(self.limit));
                }
            }
        }
        // The limit bounds it, and a control frame's own length.
        self.like = size.saturating_add(usize::try_from(head.length).unwrap_or(usize::MAX));
        self.buffer.advance(size);
        Ok(Some(head))
    }

    /// Without a copy, unless it is a small part of the memory that it is in: whoever keeps it would keep all of that.
    fn payload(&mut self, length: usize) -> Bytes {
        if length < self.buffer.capacity() / 2 {
            let payload = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            return payload;
        }
        let rest = self.buffer.split_off(length);
        std::mem::replace(&mut self.buffer, rest).freeze()
    }

    fn message(&mut self, head: Head, payload: Bytes) -> Result<Option<Message>, Fault> {
        match head.opcode {
            Opcode::Ping => Ok(Some(Message::Ping(payload))),
            Opcode::Pong => Ok(Some(Message::Pong)),
            Opcode::Close => close(&payload).map(|told| Some(Message::Close(told))),
            Opcode::Binary if head.is_final => Ok(Some(Message::Binary(payload))),
            Opcode::Text if head.is_final => Ok(Some(Message::Text(text(&payload)?))),
            Opcode::Text | Opcode::Binary | Opcode::Continuation => self.piece(head, &payload),
        }
    }

    fn piece(&mut self, head: Head, payload: &[u8]) -> Result<Option<Message>, Fault> {
        let is_text = head.opcode == Opcode::Text;
        let mut begun = self.begun.take().unwrap_or(Begun { is_text, bytes: BytesMut::new(), text_to: 0 });
        begun.bytes.extend_from_slice(payload);
        if begun.is_text {
            begun.check_text()?;
        }
        if !head.is_final {
            self.begun = Some(begun);
            return Ok(None);
        }
        Ok(Some(if begun.is_text { Message::Text(text(&begun.bytes)?) } else { Message::Binary(begun.bytes.freeze()) }))
    }
}

impl Begun {
    /// What is wrong already is not waited for to its end.
    fn check_text(&mut self) -> Result<(), Fault> {
        match std::str::from_utf8(&self.bytes[self.text_to..]) {
            Ok(_) => self.text_to = self.bytes.len(),
            Err(error) if error.error_len().is_none() => self.text_to += error.valid_up_to(),
            Err(_) => return Err(Fault::NotText),
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> Result<String, Fault> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Fault::NotText)
}

/// RFC 6455 section 7.4: which codes may be sent.
fn close(payload: &[u8]) -> Result<Option<(u16, String)>, Fault> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(Fault::CloseCode) };
    };
    match u16::from_be_bytes(*code) {
        code @ (1000..=1003 | 1007..=1014 | 3000..=4999) => Ok(Some((code, text(reason)?))),
        _ => Err(Fault::CloseCode),
    }
}

/// All zero leaves the payload as it is: so our own clients mask.
fn unmask(payload: &mut [u8], mask: Option<[u8; 4]>) {
    let Some(mask) = mask.filter(|mask| *mask != [0; 4]) else { return };
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 256 * 1024;

    /// As a server reads it.
    fn frame(first: Opcode, is_final: bool, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let head = Head { is_final, opcode: first, mask: Some(mask), length: payload.len() as u64 };
        let (head, size) = head.encode();
        let mut masked = payload.to_vec();
        masked.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        [&head[..size], &masked].concat()
    }

    fn feed(decoder: &mut Decoder, mut bytes: &[u8], piece: usize) -> Result<Vec<Message>, Fault> {
        let mut messages = Vec::new();
        loop {
            while let Some(message) = decoder.next_message()? {
                messages.push(message);
            }
            decoder.rest();
            if bytes.is_empty() {
                return Ok(messages);
            }
            let space = decoder.space();
            let count = piece.min(space.capacity() - space.len()).min(bytes.len());
            assert!(count > 0, "there is always room to read to");
            space.extend_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn messages_are_the_same_however_they_are_masked_and_cut(
            sizes in prop::collection::vec(0_usize..150_000, 1..5), mask: [u8; 4], piece in 1_usize..100_000, cuts: bool,
        ) {
            let mut decoder = Decoder::new(Endpoint::Server, LIMIT, &[]);
            let (mut wire, mut wanted) = (Vec::new(), Vec::new());
            for (n, size) in sizes.into_iter().enumerate() {
                let payload: Vec<u8> = (0..size).map(|at| (at * 7 + n).to_le_bytes()[0]).collect();
                let (one, two) = payload.split_at(if cuts { size / 3 } else { size });
                wire.extend(frame(Opcode::Binary, !cuts, one, mask));
                wire.extend(frame(Opcode::Ping, true, b"?", mask));
                wanted.extend((!cuts).then(|| Message::Binary(one.to_vec().into())));
                wanted.push(Message::Ping(Bytes::from_static(b"?")));
                if cuts {
                    wire.extend(frame(Opcode::Continuation, true, two, mask));
                    wanted.push(Message::Binary(payload.into()));
                }
            }
            prop_assert!(feed(&mut decoder, &wire, piece).unwrap() == wanted);
            prop_assert_eq!(decoder.buffer.capacity(), 0, "nothing is held while nothing is under way");
        }
    }

    #[test]
    fn a_large_message_is_the_memory_that_it_was_read_into() {
        let wire = frame(Opcode::Binary, true, &[7; 65_528], [0; 4]);
        let mut decoder = Decoder::new(Endpoint::Server, LIMIT, &[]);
        decoder.like = wire.len();
        decoder.space().extend_from_slice(&wire);
        let read_to = decoder.buffer.as_ptr().wrapping_add(wire.len() - 65_528);
        let Ok(Some(Message::Binary(bytes))) = decoder.next_message() else { panic!("a message") };
        assert_eq!(bytes.as_ptr(), read_to);
    }

    #[test]
    fn a_small_message_does_not_hold_on_to_a_large_block() {
        let wire = frame(Opcode::Binary, true, b"small", [0; 4]);
        let mut decoder = Decoder::new(Endpoint::Server, LIMIT, &[]);
        decoder.space().extend_from_slice(&wire);
        let block = decoder.buffer.as_ptr_range();
        let Ok(Some(Message::Binary(bytes))) = decoder.next_message() else { panic!("a message") };
        assert!(!block.contains(&bytes.as_ptr()));
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let wire = frame(Opcode::Binary, true, &[0; LIMIT], [0; 4]);
        let mut decoder = Decoder::new(Endpoint::Server, LIMIT, &wire[..20]);
        assert_eq!(decoder.next_message(), Ok(None));
        assert!(decoder.space().capacity() <= BLOCK + 20);
    }

    #[test]
    fn text_is_refused_as_soon_as_a_frame_shows_that_it_is_none() {
        let mut decoder = Decoder::new(Endpoint::Server, LIMIT, &frame(Opcode::Text, false, b"a\xe2\x82", [9; 4]));
        assert_eq!(decoder.next_message(), Ok(None));
        assert_eq!(feed(&mut decoder, &frame(Opcode::Continuation, false, b"x", [9; 4]), 3), Err(Fault::NotText));
    }
    #[test]
    fn what_follows_a_fault_is_not_looked_at() {
        let fault = frame(Opcode::Text, true, b"\xc0\xaf", [9; 4]);
        let mut decoder =
            Decoder::new(Endpoint::Server, LIMIT, &[fault, frame(Opcode::Ping, true, b"", [9; 4])].concat());
        for _ in 0..2 {
            assert_eq!(decoder.next_message(), Err(Fault::NotText));
        }
    }
}
