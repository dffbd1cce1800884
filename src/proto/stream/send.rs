//! PURE. The outgoing direction: bytes read from the local side, sent, and kept until the peer acknowledges them.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::window::ack_interval;
use super::{StreamControl, Violation};
use crate::proto::limits::{ACK_MESSAGES, FULL_MESSAGE_BYTES, INITIAL_WINDOW, MAX_UNACKED_CHUNKS, STREAM_RESERVE};

/// Smallest remainder of a window worth a message of its own, while enough is in flight for an acknowledgement to be
/// due: a window is no multiple of a message.
const MIN_SEND: u64 = FULL_MESSAGE_BYTES as u64 / 2;

/// Size of the messages in which a sender goes on that may keep no more than [`STREAM_RESERVE`]: however few bytes they
/// are, an acknowledgement is due for their number.
const SMALL_MESSAGE: u64 = STREAM_RESERVE / ACK_MESSAGES as u64;

/// Memory of a kept chunk beside its bytes: its place in the queue, which may have room for twice as many.
const CHUNK_OVERHEAD: u64 = 2 * size_of::<Bytes>() as u64;

/// Limit of spare buffers: an acknowledgement frees a few messages.
const MAX_SPARE_BUFFERS: usize = 4;

/// The next part to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk {
    /// Bytes, as a binary message.
    Bytes(Bytes),
    /// The end of the direction.
    End(StreamControl),
}

/// The state of the direction's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EndState {
    /// The local side has not ended.
    Open,
    /// The local side has ended, and the end is to be sent.
    Pending,
    /// The end has been sent.
    Sent,
    /// The end was sent on a WebSocket that is lost: the peer may have it or not.
    Uncertain,
    /// The peer has acknowledged the end.
    Acknowledged,
}

/// The state of the outgoing direction. All offsets are in bytes since the start of the stream.
#[derive(Debug)]
pub struct SendState {
    /// `true` if bytes are kept until they are acknowledged, for retransmission.
    is_resumable: bool,
    /// Bytes kept or to be sent, from `unacked_from` to `accepted`; the chunks before `next_unsent` have been sent.
    unacked: VecDeque<Bytes>,
    next_unsent: usize,
    /// Buffers of acknowledged full messages: in bulk transfers, the next bytes go to memory that is still in the
    /// caches.
    spare_buffers: Vec<BytesMut>,
    unacked_from: u64,
    accepted: u64,
    /// Offset sent on the current WebSocket, and the highest ever sent.
    sent: u64,
    highest_sent: u64,
    /// Acknowledged offset, and the offset up to which the peer accepts bytes.
    acknowledged: u64,
    send_limit: u64,
    /// The peer's window, by which its acknowledgements are due.
    window: u64,
    end: EndState,
}

impl SendState {
    /// A new direction with this window.
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
            window: send_limit,
            end: EndState::Open,
        }
    }

    /// Returns the number of bytes that may be read from the local side, if no more than `max_unacked` may be kept
    /// unacknowledged: at least [`STREAM_RESERVE`].
    pub fn capacity(&self, max_unacked: u64) -> u64 {
        if self.end != EndState::Open || self.unacked.len() >= MAX_UNACKED_CHUNKS {
            return 0;
        }
        let (window, under_way) = (self.send_limit.saturating_sub(self.accepted), self.in_flight());
        let room = if self.is_resumable { max_unacked.saturating_sub(STREAM_RESERVE + self.kept()) } else { window };
        let capacity = window.min(room);
        if capacity < MIN_SEND && under_way >= INITIAL_WINDOW - MIN_SEND {
            0
        } else if capacity == 0 && under_way < ack_interval(self.window) && self.unacked.len() < ACK_MESSAGES as usize {
            window.min(SMALL_MESSAGE)
        } else {
            capacity
        }
    }

    /// Returns the number of bytes queued or sent that are not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.accepted - self.acknowledged
    }

    /// Returns the number of bytes kept until they are acknowledged.
    pub fn unacked(&self) -> u64 {
        if self.is_resumable { self.accepted - self.unacked_from } else { 0 }
    }

    /// Returns the number of bytes that the direction holds: unacknowledged ones with what each chunk takes, and spare
    /// buffers.
    pub fn held(&self) -> u64 {
        self.kept() + (self.spare_buffers.len() * FULL_MESSAGE_BYTES) as u64
    }

    /// Returns the memory of what is kept until it is acknowledged.
    fn kept(&self) -> u64 {
        if self.is_resumable { self.unacked() + self.unacked.len() as u64 * CHUNK_OVERHEAD } else { 0 }
    }

    /// Gives up spare buffers until no more than `limit` bytes are held.
    pub fn shed_spare_buffers(&mut self, limit: u64) {
        while self.held() > limit && self.spare_buffers.pop().is_some() {}
    }

    /// Queues bytes of the local side.
    pub fn push(&mut self, bytes: Bytes) {
        self.accepted += bytes.len() as u64;
        self.unacked.push_back(bytes);
    }

    /// Takes a buffer for a full message, if one is spare.
    pub fn take_spare_buffer(&mut self) -> Option<BytesMut> {
        self.spare_buffers.pop()
    }

    /// Ends the direction.
    pub fn finish(&mut self) {
        self.end = EndState::Pending;
    }

    /// Reports whether the local side has not ended yet.
    pub fn is_open(&self) -> bool {
        self.end == EndState::Open
    }

    /// Returns the next part to send and counts it as sent.
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

    /// Handles the peer's acknowledgement of the first `bytes`, with its window and whether the end was passed on.
    pub fn on_ack(&mut self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        let is_end_sent = matches!(self.end, EndState::Sent | EndState::Uncertain | EndState::Acknowledged);
        if bytes > self.sent || end && !(is_end_sent && bytes == self.accepted) {
            return Err(Violation::OffsetMismatch);
        }
        self.acknowledged = self.acknowledged.max(bytes);
        self.send_limit = self.send_limit.max(bytes.saturating_add(window));
        self.window = window;
        if end {
            self.end = EndState::Acknowledged;
        }
        if self.is_resumable {
            self.discard(bytes);
        }
        Ok(())
    }

    /// Rewinds to the peer's offset on a new WebSocket.
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

    /// Reports whether the end, and so everything before it, has been sent.
    pub fn is_end_sent(&self) -> bool {
        matches!(self.end, EndState::Sent | EndState::Acknowledged)
    }

    /// Reports whether the peer has acknowledged the end, and so everything before it.
    pub fn is_acknowledged(&self) -> bool {
        self.end == EndState::Acknowledged
    }

    /// Returns the number of bytes sent, without retransmissions.
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

    /// Splits the chunk at `index` if it is longer than `at`.
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
mod tests;
