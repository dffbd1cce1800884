//! PURE. The direction that goes from the local side to the other end: what may be read, what is sent, and what is kept
//! until the other end has written it down.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{StreamControl, Violation};
use crate::proto::limits::{FULL_MESSAGE_BYTES, INITIAL_WINDOW, MAX_UNACKED_CHUNKS};

/// A window is no multiple of a message. What is left of it is not worth one of its own while so much is under way that an
/// acknowledgement is sure to come.
const SLIVER: u64 = FULL_MESSAGE_BYTES as u64 / 2;

/// An acknowledgement is for a few messages.
const SPARE_BLOCKS: usize = 4;

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Bytes, as a binary message.
    Bytes(Bytes),
    /// The end of the direction.
    End(StreamControl),
}

/// Where the direction's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The local side may still say more.
    Open,
    /// It will not; the other end is to be told.
    Due,
    /// The other end was told.
    Told,
    /// It was, but on a WebSocket that is lost: it may know or not.
    Unsure,
    /// It has passed the end on.
    Acknowledged,
}

/// The direction's state. All counts are bytes since the start of the stream.
#[derive(Debug)]
pub struct Outgoing {
    /// Whether bytes are kept until they are acknowledged, so that they can be sent again.
    keeps: bool,
    /// What is kept or waits to be sent, from `kept_from` to `taken`; the pieces before `next` are sent.
    kept: VecDeque<Bytes>,
    next: usize,
    /// Memory that held full messages: under bulk, what is said next goes where it is warm.
    spare: Vec<BytesMut>,
    kept_from: u64,
    taken: u64,
    /// Handed to the present WebSocket and those before it, and the furthest that ever was.
    sent: u64,
    reached: u64,
    /// How far the other end has written them, and takes them.
    acknowledged: u64,
    allowed: u64,
    end: End,
}

impl Outgoing {
    /// Nothing yet; the other end takes this much at first.
    pub fn new(keeps: bool, allowed: u64) -> Self {
        Self {
            keeps,
            kept: VecDeque::new(),
            next: 0,
            spare: Vec::new(),
            kept_from: 0,
            taken: 0,
            sent: 0,
            reached: 0,
            acknowledged: 0,
            allowed,
            end: End::Open,
        }
    }

    /// How many more bytes may be taken from the local side when no more than `share` may be kept here.
    pub fn room(&self, share: u64) -> u64 {
        let bound = if self.keeps { self.allowed.min(self.kept_from.saturating_add(share)) } else { self.allowed };
        let open = self.end == End::Open && self.kept.len() < MAX_UNACKED_CHUNKS;
        let room = if open { bound.saturating_sub(self.taken) } else { 0 };
        let under_way = self.taken - self.acknowledged;
        if room < SLIVER && under_way >= INITIAL_WINDOW - SLIVER { 0 } else { room }
    }

    /// The local side said this.
    pub fn take(&mut self, bytes: Bytes) {
        self.taken += bytes.len() as u64;
        self.kept.push_back(bytes);
    }

    /// Memory for a full message, if some is at hand.
    pub fn spare(&mut self) -> Option<BytesMut> {
        self.spare.pop()
    }

    /// The local side has said all.
    pub fn finish(&mut self) {
        self.end = End::Due;
    }

    /// Whether the local side may still say something.
    pub fn is_open(&self) -> bool {
        self.end == End::Open
    }

    /// What is to be sent next; it counts as sent.
    pub fn next_piece(&mut self) -> Option<Piece> {
        if let Some(bytes) = self.kept.get(self.next).cloned() {
            self.sent += bytes.len() as u64;
            self.reached = self.reached.max(self.sent);
            if self.keeps {
                self.next += 1;
            } else {
                self.kept.pop_front();
                self.kept_from = self.sent;
            }
            return Some(Piece::Bytes(bytes));
        }
        if !matches!(self.end, End::Due | End::Unsure) {
            return None;
        }
        self.end = End::Told;
        Some(Piece::End(StreamControl::End { bytes: self.taken }))
    }

    /// The other end has written the first `bytes` down, takes `window` more, and has passed on the end or not.
    pub fn acknowledged(&mut self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        let told = matches!(self.end, End::Told | End::Unsure | End::Acknowledged);
        if bytes > self.sent || end && !(told && bytes == self.taken) {
            return Err(Violation::Miscounted);
        }
        self.acknowledged = self.acknowledged.max(bytes);
        self.allowed = self.allowed.max(bytes.saturating_add(window));
        if end {
            self.end = End::Acknowledged;
        }
        if self.keeps {
            self.forget(bytes);
        }
        Ok(())
    }

    /// On a new WebSocket: the other end has these, and wants the rest.
    pub fn rewind(&mut self, received: u64) -> Result<(), Violation> {
        if !self.keeps || received < self.kept_from || received > self.reached {
            return Err(Violation::Miscounted);
        }
        (self.next, self.sent) = (0, self.kept_from);
        while self.sent < received {
            self.split(self.next, received - self.sent);
            self.sent += self.kept[self.next].len() as u64;
            self.next += 1;
        }
        if self.end == End::Told {
            self.end = End::Unsure;
        }
        Ok(())
    }

    /// Whether the end of the direction was told, and everything before it sent.
    pub fn is_told(&self) -> bool {
        matches!(self.end, End::Told | End::Acknowledged)
    }

    /// Whether the other end has everything, and has passed it on.
    pub fn is_acknowledged(&self) -> bool {
        self.end == End::Acknowledged
    }

    /// How far the direction has come: what was sent, each byte once.
    pub fn reached(&self) -> u64 {
        self.reached
    }

    fn forget(&mut self, until: u64) {
        while self.kept_from < until && !self.kept.is_empty() {
            self.split(0, until - self.kept_from);
            let gone = self.kept.pop_front().unwrap_or_default();
            self.kept_from += gone.len() as u64;
            self.next = self.next.saturating_sub(1);
            if self.spare.len() < SPARE_BLOCKS
                && let Ok(mut block) = gone.try_into_mut()
            {
                block.clear();
                self.spare.extend(Some(block).filter(|block| block.capacity() >= FULL_MESSAGE_BYTES));
            }
        }
        if self.kept.is_empty() {
            self.spare = Vec::new();
        }
    }

    /// Makes the piece at `index` no longer than `at`.
    fn split(&mut self, index: usize, at: u64) {
        let piece = &mut self.kept[index];
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if at < piece.len() {
            let rest = piece.split_off(at);
            self.kept.insert(index + 1, rest);
            if index < self.next {
                self.next += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 1 << 20;

    fn sent(outgoing: &mut Outgoing) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Piece::Bytes(bytes)) = outgoing.next_piece() {
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[test]
    fn the_rest_is_sent_again_from_where_the_other_end_is() {
        let mut outgoing = Outgoing::new(true, MANY);
        outgoing.take(Bytes::from_static(b"abcde"));
        outgoing.take(Bytes::from_static(b"fgh"));
        assert_eq!(sent(&mut outgoing), b"abcdefgh");
        outgoing.acknowledged(2, MANY, false).unwrap();
        for received in [3, 8, 2, 5, 6] {
            outgoing.rewind(received).unwrap();
            assert_eq!(sent(&mut outgoing), b"abcdefgh"[usize::try_from(received).unwrap()..]);
        }
        outgoing.acknowledged(7, MANY, false).unwrap();
        assert!(outgoing.rewind(6).is_err(), "what was acknowledged is gone");
        outgoing.rewind(7).unwrap();
        assert_eq!(sent(&mut outgoing), b"h");
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        let mut outgoing = Outgoing::new(true, MANY);
        outgoing.take(Bytes::from_static(b"abc"));
        assert!(outgoing.acknowledged(1, 0, false).is_err(), "nothing was sent");
        assert!(outgoing.rewind(1).is_err());
        sent(&mut outgoing);
        assert!(outgoing.acknowledged(3, 0, true).is_err(), "no end was told");
        assert!(outgoing.acknowledged(4, 0, false).is_err());
        assert!(outgoing.rewind(4).is_err());
    }

    #[test]
    fn the_end_is_told_again_until_it_is_acknowledged() {
        let mut outgoing = Outgoing::new(true, MANY);
        outgoing.take(Bytes::from_static(b"abc"));
        outgoing.finish();
        let end = Some(Piece::End(StreamControl::End { bytes: 3 }));
        assert!(matches!(outgoing.next_piece(), Some(Piece::Bytes(_))));
        assert_eq!(outgoing.next_piece(), end);
        outgoing.rewind(3).unwrap();
        assert!(!outgoing.is_told());
        assert_eq!(outgoing.next_piece(), end);
        outgoing.rewind(3).unwrap();
        outgoing.acknowledged(3, 0, true).unwrap();
        assert_eq!(outgoing.next_piece(), None, "it knew");
        outgoing.rewind(3).unwrap();
        assert_eq!(outgoing.next_piece(), None);
    }

    #[test]
    fn no_more_is_kept_than_the_share_and_no_more_sent_than_the_window() {
        let mut outgoing = Outgoing::new(true, 10);
        assert_eq!((outgoing.room(4), outgoing.room(40)), (4, 10));
        outgoing.take(Bytes::from_static(b"abcd"));
        assert_eq!(outgoing.room(4), 0);
        sent(&mut outgoing);
        outgoing.acknowledged(3, 20, false).unwrap();
        assert_eq!((outgoing.room(4), outgoing.room(40)), (3, 19));
    }

    #[test]
    fn the_rest_of_a_large_window_is_no_message_of_its_own() {
        let mut outgoing = Outgoing::new(true, INITIAL_WINDOW);
        while outgoing.room(MANY) > 0 {
            let bytes = usize::try_from(outgoing.room(MANY)).unwrap().min(FULL_MESSAGE_BYTES);
            assert_eq!(bytes, FULL_MESSAGE_BYTES);
            outgoing.take(Bytes::from(vec![0; bytes]));
        }
        sent(&mut outgoing);
        outgoing.acknowledged(FULL_MESSAGE_BYTES as u64, INITIAL_WINDOW, false).unwrap();
        assert!(outgoing.room(MANY) >= FULL_MESSAGE_BYTES as u64);
    }

    #[test]
    fn what_was_acknowledged_gives_its_memory_to_what_is_said_next() {
        let mut outgoing = Outgoing::new(true, MANY);
        for _ in 0..2 {
            outgoing.take(Bytes::from(vec![0; FULL_MESSAGE_BYTES]));
        }
        sent(&mut outgoing);
        outgoing.acknowledged(FULL_MESSAGE_BYTES as u64, MANY, false).unwrap();
        assert!(outgoing.spare().is_some_and(|block| block.is_empty() && block.capacity() >= FULL_MESSAGE_BYTES));
        outgoing.acknowledged(2 * FULL_MESSAGE_BYTES as u64, MANY, false).unwrap();
        assert!(outgoing.spare().is_none(), "an idle stream holds nothing");
    }

    #[test]
    fn a_writer_of_single_bytes_is_held_back_by_their_number() {
        let mut outgoing = Outgoing::new(true, MANY);
        while outgoing.room(MANY) > 0 {
            outgoing.take(Bytes::from_static(b"x"));
        }
        assert_eq!(outgoing.taken, MAX_UNACKED_CHUNKS as u64);
    }

    #[test]
    fn nothing_is_kept_for_ends_that_cannot_resume() {
        let mut outgoing = Outgoing::new(false, MANY);
        outgoing.take(Bytes::from_static(b"abcd"));
        sent(&mut outgoing);
        assert!(outgoing.kept.is_empty());
        assert!(outgoing.rewind(4).is_err());
    }
}
