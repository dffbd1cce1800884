//! PURE. The direction that goes from the local side to the other end: what may be read, what is sent, and what is kept
//! until the other end has written it down.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{StreamControl, Violation};
use crate::proto::limits::{FULL_MESSAGE_BYTES, INITIAL_WINDOW, MAX_UNACKED_CHUNKS};

/// A window is no multiple of a message. What is left of it is not worth one of its own while so much is under way that an
/// acknowledgement is sure to come.
const MIN_SEND: u64 = FULL_MESSAGE_BYTES as u64 / 2;

/// An acknowledgement is for a few messages.
const MAX_SPARE_BUFFERS: usize = 4;

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes, as a binary message.
    Bytes(Bytes),
    /// The end of the direction.
    End(StreamControl),
}

/// Where the direction's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndState {
    /// The local side may still say more.
    Open,
    /// It will not; the other end is to be told.
    Pending,
    /// The other end was told.
    Sent,
    /// It was, but on a WebSocket that is lost: it may know or not.
    Uncertain,
    /// It has passed the end on.
    Acknowledged,
}

/// The direction's state. All counts are bytes since the start of the stream.
#[derive(Debug)]
pub struct SendState {
    /// Whether bytes are kept until they are acknowledged, so that they can be sent again.
    is_resumable: bool,
    /// What is kept or waits to be sent, from `unacked_from` to `accepted`; the pieces before `next_unsent` are sent.
    unacked: VecDeque<Bytes>,
    next_unsent: usize,
    /// Memory that held full messages: under bulk, what is said next goes where it is warm.
    spare_buffers: Vec<BytesMut>,
    unacked_from: u64,
    accepted: u64,
    /// Handed to the present WebSocket and those before it, and the furthest that ever was.
    sent: u64,
    highest_sent: u64,
    /// How far the other end has written them, and takes them.
    acknowledged: u64,
    send_limit: u64,
    end: EndState,
}

impl SendState {
    /// Nothing yet; the other end takes this much at first.
    pub fn new(is_resumable: bool, send_limit: u64) -> Self {
        Self {
            is_resumable,
            unacked: VecDeque::new(),
            next_unsent: 0,
            spare_buffers: Vec::new(),
            unacked_from: 0,
            accepted: 0,
            sent: 0,
            highest_sent: 0,
            acknowledged: 0,
            send_limit,
            end: EndState::Open,
        }
    }

    /// How many more bytes may be taken from the local side when no more than `share` may be kept here.
    pub fn capacity(&self, share: u64) -> u64 {
        let bound = if self.is_resumable {
            self.send_limit.min(self.unacked_from.saturating_add(share))
        } else {
            self.send_limit
        };
        let open = self.end == EndState::Open && self.unacked.len() < MAX_UNACKED_CHUNKS;
        let capacity = if open { bound.saturating_sub(self.accepted) } else { 0 };
        let under_way = self.accepted - self.acknowledged;
        if capacity < MIN_SEND && under_way >= INITIAL_WINDOW - MIN_SEND { 0 } else { capacity }
    }

    /// The local side said this.
    pub fn push(&mut self, bytes: Bytes) {
        self.accepted += bytes.len() as u64;
        self.unacked.push_back(bytes);
    }

    /// Memory for a full message, if some is at hand.
    pub fn take_spare_buffer(&mut self) -> Option<BytesMut> {
        self.spare_buffers.pop()
    }

    /// The local side has said all.
    pub fn finish(&mut self) {
        self.end = EndState::Pending;
    }

    /// Whether the local side may still say something.
    pub fn is_open(&self) -> bool {
        self.end == EndState::Open
    }

    /// What is to be sent next; it counts as sent.
    pub fn next_chunk(&mut self) -> Option<Chunk> {
        if let Some(bytes) = self.unacked.get(self.next_unsent).cloned() {
            self.sent += bytes.len() as u64;
            self.highest_sent = self.highest_sent.max(self.sent);
            if self.is_resumable {
                self.next_unsent += 1;
            } else {
                self.unacked.pop_front();
                self.unacked_from = self.sent;
            }
            return Some(Chunk::Bytes(bytes));
        }
        if !matches!(self.end, EndState::Pending | EndState::Uncertain) {
            return None;
        }
        self.end = EndState::Sent;
        Some(Chunk::End(StreamControl::End { bytes: self.accepted }))
    }

    /// The other end has written the first `bytes` down, takes `window` more, and has passed on the end or not.
    pub fn on_ack(&mut self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        let is_end_sent = matches!(self.end, EndState::Sent | EndState::Uncertain | EndState::Acknowledged);
        if bytes > self.sent || end && !(is_end_sent && bytes == self.accepted) {
            return Err(Violation::OffsetMismatch);
        }
        self.acknowledged = self.acknowledged.max(bytes);
        self.send_limit = self.send_limit.max(bytes.saturating_add(window));
        if end {
            self.end = EndState::Acknowledged;
        }
        if self.is_resumable {
            self.discard(bytes);
        }
        Ok(())
    }

    /// On a new WebSocket: the other end has these, and wants the rest.
    pub fn rewind(&mut self, received: u64) -> Result<(), Violation> {
        if !self.is_resumable || received < self.unacked_from || received > self.highest_sent {
            return Err(Violation::OffsetMismatch);
        }
        (self.next_unsent, self.sent) = (0, self.unacked_from);
        while self.sent < received {
            self.split_chunk(self.next_unsent, received - self.sent);
            self.sent += self.unacked[self.next_unsent].len() as u64;
            self.next_unsent += 1;
        }
        if self.end == EndState::Sent {
            self.end = EndState::Uncertain;
        }
        Ok(())
    }

    /// Whether the end of the direction was told, and everything before it sent.
    pub fn is_end_sent(&self) -> bool {
        matches!(self.end, EndState::Sent | EndState::Acknowledged)
    }

    /// Whether the other end has everything, and has passed it on.
    pub fn is_acknowledged(&self) -> bool {
        self.end == EndState::Acknowledged
    }

    /// How far the direction has come: what was sent, each byte once.
    pub fn bytes_sent(&self) -> u64 {
        self.highest_sent
    }

    fn discard(&mut self, until: u64) {
        while self.unacked_from < until && !self.unacked.is_empty() {
            self.split_chunk(0, until - self.unacked_from);
            let gone = self.unacked.pop_front().unwrap_or_default();
            self.unacked_from += gone.len() as u64;
            self.next_unsent = self.next_unsent.saturating_sub(1);
            if self.spare_buffers.len() < MAX_SPARE_BUFFERS
                && let Ok(mut block) = gone.try_into_mut()
            {
                block.clear();
                self.spare_buffers.extend(Some(block).filter(|block| block.capacity() >= FULL_MESSAGE_BYTES));
            }
        }
        if self.unacked.is_empty() {
            self.spare_buffers = Vec::new();
        }
    }

    /// Makes the chunk at `index` no longer than `at`.
    fn split_chunk(&mut self, index: usize, at: u64) {
        let chunk = &mut self.unacked[index];
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        if at < chunk.len() {
            let rest = chunk.split_off(at);
            self.unacked.insert(index + 1, rest);
            if index < self.next_unsent {
                self.next_unsent += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: u64 = 1 << 20;

    fn sent(outgoing: &mut SendState) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(Chunk::Bytes(bytes)) = outgoing.next_chunk() {
            all.extend_from_slice(&bytes);
        }
        all
    }

    #[test]
    fn the_rest_is_sent_again_from_where_the_other_end_is() {
        let mut outgoing = SendState::new(true, MANY);
        outgoing.push(Bytes::from_static(b"abcde"));
        outgoing.push(Bytes::from_static(b"fgh"));
        assert_eq!(sent(&mut outgoing), b"abcdefgh");
        outgoing.on_ack(2, MANY, false).unwrap();
        for received in [3, 8, 2, 5, 6] {
            outgoing.rewind(received).unwrap();
            assert_eq!(sent(&mut outgoing), b"abcdefgh"[usize::try_from(received).unwrap()..]);
        }
        outgoing.on_ack(7, MANY, false).unwrap();
        assert!(outgoing.rewind(6).is_err(), "what was acknowledged is gone");
        outgoing.rewind(7).unwrap();
        assert_eq!(sent(&mut outgoing), b"h");
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        let mut outgoing = SendState::new(true, MANY);
        outgoing.push(Bytes::from_static(b"abc"));
        assert!(outgoing.on_ack(1, 0, false).is_err(), "nothing was sent");
        assert!(outgoing.rewind(1).is_err());
        sent(&mut outgoing);
        assert!(outgoing.on_ack(3, 0, true).is_err(), "no end was told");
        assert!(outgoing.on_ack(4, 0, false).is_err());
        assert!(outgoing.rewind(4).is_err());
    }

    #[test]
    fn the_end_is_told_again_until_it_is_acknowledged() {
        let mut outgoing = SendState::new(true, MANY);
        outgoing.push(Bytes::from_static(b"abc"));
        outgoing.finish();
        let end = Some(Chunk::End(StreamControl::End { bytes: 3 }));
        assert!(matches!(outgoing.next_chunk(), Some(Chunk::Bytes(_))));
        assert_eq!(outgoing.next_chunk(), end);
        outgoing.rewind(3).unwrap();
        assert!(!outgoing.is_end_sent());
        assert_eq!(outgoing.next_chunk(), end);
        outgoing.rewind(3).unwrap();
        outgoing.on_ack(3, 0, true).unwrap();
        assert_eq!(outgoing.next_chunk(), None, "it knew");
        outgoing.rewind(3).unwrap();
        assert_eq!(outgoing.next_chunk(), None);
    }

    #[test]
    fn no_more_is_kept_than_the_share_and_no_more_sent_than_the_window() {
        let mut outgoing = SendState::new(true, 10);
        assert_eq!((outgoing.capacity(4), outgoing.capacity(40)), (4, 10));
        outgoing.push(Bytes::from_static(b"abcd"));
        assert_eq!(outgoing.capacity(4), 0);
        sent(&mut outgoing);
        outgoing.on_ack(3, 20, false).unwrap();
        assert_eq!((outgoing.capacity(4), outgoing.capacity(40)), (3, 19));
    }

    #[test]
    fn the_rest_of_a_large_window_is_no_message_of_its_own() {
        let mut outgoing = SendState::new(true, INITIAL_WINDOW);
        while outgoing.capacity(MANY) > 0 {
            let bytes = usize::try_from(outgoing.capacity(MANY)).unwrap().min(FULL_MESSAGE_BYTES);
            assert_eq!(bytes, FULL_MESSAGE_BYTES);
            outgoing.push(Bytes::from(vec![0; bytes]));
        }
        sent(&mut outgoing);
        outgoing.on_ack(FULL_MESSAGE_BYTES as u64, INITIAL_WINDOW, false).unwrap();
        assert!(outgoing.capacity(MANY) >= FULL_MESSAGE_BYTES as u64);
    }

    #[test]
    fn what_was_acknowledged_gives_its_memory_to_what_is_said_next() {
        let mut outgoing = SendState::new(true, MANY);
        for _ in 0..2 {
            outgoing.push(Bytes::from(vec![0; FULL_MESSAGE_BYTES]));
        }
        sent(&mut outgoing);
        outgoing.on_ack(FULL_MESSAGE_BYTES as u64, MANY, false).unwrap();
        assert!(
            outgoing
                .take_spare_buffer()
                .is_some_and(|block| block.is_empty() && block.capacity() >= FULL_MESSAGE_BYTES)
        );
        outgoing.on_ack(2 * FULL_MESSAGE_BYTES as u64, MANY, false).unwrap();
        assert!(outgoing.take_spare_buffer().is_none(), "an idle stream holds nothing");
    }

    #[test]
    fn a_writer_of_single_bytes_is_held_back_by_their_number() {
        let mut outgoing = SendState::new(true, MANY);
        while outgoing.capacity(MANY) > 0 {
            outgoing.push(Bytes::from_static(b"x"));
        }
        assert_eq!(outgoing.accepted, MAX_UNACKED_CHUNKS as u64);
    }

    #[test]
    fn nothing_is_kept_for_ends_that_cannot_resume() {
        let mut outgoing = SendState::new(false, MANY);
        outgoing.push(Bytes::from_static(b"abcd"));
        sent(&mut outgoing);
        assert!(outgoing.unacked.is_empty());
        assert!(outgoing.rewind(4).is_err());
    }
}
