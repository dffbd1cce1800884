//! The ends of frames in what a WebSocket receives. tungstenite reads what it is given and does not say what it holds:
//! reads that end where a frame ends leave its buffer empty between messages.

use std::io::Cursor;

use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// The largest header: two bytes, a length of eight, a mask of four.
const MAX_HEADER: usize = 14;

/// The length in a header that says that eight bytes of length follow.
const LONG_LENGTH: u8 = 127;

/// The size below which a fragment costs the receiver more than its bytes cost the sender: an empty one is two bytes.
const SMALL_FRAGMENT: u64 = 256;

/// The small fragments between two pauses.
const SMALL_FRAGMENTS_PER_PAUSE: u32 = 1000;

/// The position in a sequence of frames (RFC 6455 section 5.2).
#[derive(Debug, Default)]
pub(super) struct FrameBounds {
    /// The next frame's header, of which `header_len` bytes have arrived.
    header: [u8; MAX_HEADER],
    header_len: usize,
    /// The rest of the current frame's payload.
    payload: u64,
    /// Continuation frames of a message are still to come.
    is_fragmented: bool,
    /// Bytes of the current message that have arrived, or of the last one.
    arrived: u64,
    /// Small fragments since the last pause.
    small_fragments: u32,
}

impl FrameBounds {
    /// Returns the number of bytes up to the end of the current header or payload.
    pub(super) fn remaining(&self) -> usize {
        match self.payload {
            0 => header_size(self.header()) - self.header_len,
            payload => usize::try_from(payload).unwrap_or(usize::MAX),
        }
    }

    /// Returns the number of bytes that may be read up to there if no more than `limit` of a message is to be held. Of one
    /// that announces 64 KiB, nothing is: tungstenite makes room for all of it at its header.
    pub(super) fn remaining_within(&self, limit: u64) -> usize {
        match self.payload {
            0 if self.header().get(1).is_some_and(|second| second & 0x7F == LONG_LENGTH) => 0,
            0 => self.remaining(),
            _ => self.remaining().min(usize::try_from(limit.saturating_sub(self.arrived)).unwrap_or(usize::MAX)),
        }
    }

    /// Reports whether all messages so far are complete.
    pub(super) fn is_between_messages(&self) -> bool {
        self.is_at_header() && !self.is_fragmented
    }

    /// Returns the number of bytes that have arrived of a message that is not complete.
    pub(super) fn incomplete(&self) -> u64 {
        if self.payload == 0 && !self.is_fragmented { 0 } else { self.arrived }
    }

    /// Reports whether a header is read next.
    pub(super) fn is_at_header(&self) -> bool {
        self.header_len == 0 && self.payload == 0
    }

    /// Reports whether a pause is due.
    pub(super) fn is_pause_due(&self) -> bool {
        self.small_fragments >= SMALL_FRAGMENTS_PER_PAUSE
    }

    /// Notes a pause.
    pub(super) fn paused(&mut self) {
        self.small_fragments = 0;
    }

    /// Moves on by bytes that arrived.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (read, rest) = bytes.split_at(self.remaining().min(bytes.len()));
            bytes = rest;
            if self.payload > 0 {
                self.payload -= read.len() as u64;
                self.arrived += read.len() as u64;
            } else {
                self.header[self.header_len..][..read.len()].copy_from_slice(read);
                self.header_len += read.len();
                if self.header_len == header_size(self.header()) {
                    self.parse_header();
                }
            }
        }
    }

    fn parse_header(&mut self) {
        // A header that is refused here is one that tungstenite refuses as well; it reads nothing after it.
        if let Ok(Some((header, length))) = FrameHeader::parse(&mut Cursor::new(self.header())) {
            if !self.is_fragmented {
                self.arrived = 0;
            }
            if let OpCode::Data(Data::Continue | Data::Text | Data::Binary) = header.opcode {
                self.is_fragmented = !header.is_final;
                self.small_fragments += u32::from(!header.is_final && length < SMALL_FRAGMENT);
            }
            self.payload = length;
        }
        self.header_len = 0;
    }

    fn header(&self) -> &[u8] {
        &self.header[..self.header_len]
    }
}

/// Returns the size of a header of which this much is known.
fn header_size(start: &[u8]) -> usize {
    let Some(second) = start.get(1) else { return 2 };
    let length = match second & 0x7F {
        126 => 2,
        LONG_LENGTH => 8,
        _ => 0,
    };
    2 + length + if second & 0x80 == 0 { 0 } else { 4 }
}
