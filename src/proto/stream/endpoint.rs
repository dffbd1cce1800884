//! PURE. One end of a stream: both directions, the queue to the local side, what is to be said next, and when all is
//! done. Whoever drives it has the WebSockets, the local side and the clock.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::receive::ReceiveState;
use super::send::{Chunk, SendState};
use super::{CLOSE_NORMAL, CLOSE_RESET, StreamControl, StreamProtocol, Violation};
use crate::proto::limits::{FULL_MESSAGE_BYTES, INITIAL_WINDOW};
use crate::proto::refusal::{Refusal, RefusalKind};

/// What is to be sent next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextSend {
    /// A text message.
    Text(StreamControl),
    /// A binary message.
    Bytes(Bytes),
    /// A ping.
    Ping,
    /// A close: this is how an end without half-close says that it has said all.
    Close,
}

/// What a peer means by its close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseMeaning {
    /// Merely that all is said.
    Done,
    /// Its application reset its connection.
    Reset,
    /// Only this WebSocket is over, for this reason: both ends come back.
    Lost(String),
    /// The stream is over, and why if that was said.
    Broken(Option<Refusal>),
}

/// Smaller messages are joined in the queue: each would take many times its size, and a call to write it.
const COALESCE_BELOW: usize = 4 * 1024;

/// The state of one end.
#[derive(Debug)]
pub struct StreamEndpoint {
    protocol: Option<StreamProtocol>,
    outgoing: SendState,
    incoming: ReceiveState,
    /// For the local side; the small messages after them, joined; and how much both hold.
    queue: VecDeque<Bytes>,
    coalesced: BytesMut,
    queued: usize,
    /// The peer's direction is over once the queue is empty …
    received_all: bool,
    /// … and now the local side knows.
    end_written: bool,
    /// The peer has closed, and nothing is undone: it says nothing any more, and takes nothing.
    peer_closed: bool,
    /// What to begin a new WebSocket with.
    resume_message: Option<StreamControl>,
    /// The peer has not yet said where to go on from.
    awaiting_resume: bool,
    ping: bool,
    /// What was due last is not yet on its way.
    unflushed: bool,
    /// If the WebSocket is used again after the stream: who has said that it says nothing more.
    release: Option<ReleaseState>,
}

/// Which ends say nothing more on a stream.
#[derive(Debug, Clone, Copy, Default)]
struct ReleaseState {
    sent: bool,
    received: bool,
}

impl StreamEndpoint {
    /// Of a stream that has just begun.
    pub fn new(protocol: Option<StreamProtocol>) -> Self {
        // A peer that knows no windows is held back by not reading.
        let first = if protocol.is_some() { INITIAL_WINDOW } else { u64::MAX };
        Self {
            protocol,
            outgoing: SendState::new(protocol == Some(StreamProtocol::Resumable), first),
            incoming: ReceiveState::new(first),
            queue: VecDeque::new(),
            coalesced: BytesMut::new(),
            queued: 0,
            received_all: false,
            end_written: false,
            peer_closed: false,
            resume_message: None,
            awaiting_resume: false,
            ping: false,
            unflushed: false,
            release: None,
        }
    }

    /// The WebSocket is used again after the stream, as long as it is not lost before.
    pub fn allow_reuse(&mut self) {
        self.release = Some(ReleaseState::default());
    }

    /// Whether the WebSocket may be used again.
    pub fn is_reusable(&self) -> bool {
        self.release.is_some()
    }

    /// The peer says nothing more, which it may only say when it has said its end, and has acknowledged that of this one.
    pub fn on_release(&mut self) -> Result<(), Violation> {
        let done = self.may_close();
        self.release.as_mut().filter(|_| done).ok_or(Violation::OffsetMismatch)?.received = true;
        Ok(())
    }

    /// Whether the peer says nothing more.
    pub fn has_peer_released(&self) -> bool {
        self.release.is_some_and(|release| release.received)
    }

    /// Whether neither end says anything more: what comes then is not of this stream.
    pub fn have_both_released(&self) -> bool {
        self.release.is_some_and(|release| release.sent && release.received)
    }

    /// Whether this end has yet to say that it says nothing more, which then counts as said. What the peer still has to
    /// say is not waited for.
    pub fn take_release(&mut self) -> bool {
        let done = self.has_sent_all();
        self.release.as_mut().is_some_and(|release| done && !std::mem::replace(&mut release.sent, true))
    }

    /// The stream has begun with these bytes of the local side, which are on their way.
    pub fn begin_with(&mut self, bytes: Bytes) {
        self.outgoing.push(bytes);
        while self.outgoing.next_chunk().is_some() {}
    }

    /// Whether both ends speak to each other, and so keep to windows and end each direction by itself.
    pub fn has_half_close(&self) -> bool {
        self.protocol.is_some()
    }

    /// Whether the stream outlives its WebSockets.
    pub fn is_resumable(&self) -> bool {
        self.protocol == Some(StreamProtocol::Resumable)
    }

    /// A new WebSocket takes the place of the lost one: both ends say how far they are, then go on from there.
    pub fn attach(&mut self) {
        self.release = None;
        self.resume_message = Some(self.incoming.resume_message());
        (self.awaiting_resume, self.unflushed) = (true, false);
    }

    /// The peer says how far it is. Wrong unless it is the first thing on a new WebSocket.
    pub fn on_resume(&mut self, received: u64) -> Result<(), Violation> {
        if !std::mem::replace(&mut self.awaiting_resume, false) {
            return Err(Violation::OffsetMismatch);
        }
        self.outgoing.rewind(received)
    }

    /// Whether the peer has not yet said how far it is.
    pub fn is_awaiting_resume(&self) -> bool {
        self.awaiting_resume
    }

    /// Says what time it is, since whenever.
    pub fn set_now(&mut self, now: Duration) {
        self.incoming.set_now(now);
    }

    /// What is to be sent next, which counts as sent; what matters to the peer's progress first. No window may be
    /// larger than `share`. The stream is not over before that is [`Self::flushed`].
    pub fn next_send(&mut self, share: u64) -> Option<NextSend> {
        let next = self.next_message(share);
        self.unflushed |= next.is_some();
        next
    }

    /// All that was due is on its way.
    pub fn on_flushed(&mut self) {
        self.unflushed = false;
    }

    fn next_message(&mut self, share: u64) -> Option<NextSend> {
        if self.peer_closed {
            return None;
        }
        if let Some(message) = self.resume_message.take() {
            return Some(NextSend::Text(message));
        }
        if self.has_half_close()
            && let Some(ack) = self.incoming.next_ack(share)
        {
            return Some(NextSend::Text(ack));
        }
        if std::mem::take(&mut self.ping) {
            return Some(NextSend::Ping);
        }
        if self.awaiting_resume {
            return None;
        }
        Some(match self.outgoing.next_chunk() {
            Some(Chunk::Bytes(bytes)) => NextSend::Bytes(bytes),
            Some(Chunk::End(end)) if self.has_half_close() => NextSend::Text(end),
            Some(Chunk::End(_)) => NextSend::Close,
            // Along with the end or the last acknowledgement, if that was all.
            None if self.take_release() => NextSend::Text(StreamControl::Release),
            None => return None,
        })
    }

    /// The peer is to be asked whether it is there.
    pub fn queue_ping(&mut self) {
        self.ping = true;
    }

    /// How many bytes may be read from the local side now, when no more than `share` may be kept here.
    pub fn capacity(&self, share: u64) -> u64 {
        if self.awaiting_resume || self.peer_closed {
            return 0;
        }
        self.outgoing.capacity(share).min(FULL_MESSAGE_BYTES as u64)
    }

    /// Memory that held what is acknowledged, for what the local side says next.
    pub fn take_spare_buffer(&mut self) -> Option<BytesMut> {
        self.outgoing.take_spare_buffer()
    }

    /// The local side said this; nothing once it has said all.
    pub fn push_local(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            self.outgoing.finish();
        } else {
            self.outgoing.push(bytes);
        }
    }

    /// Whether the local side may still say something.
    pub fn is_local_open(&self) -> bool {
        self.outgoing.is_open()
    }

    /// Bytes that were sent, each once.
    pub fn bytes_sent(&self) -> u64 {
        self.outgoing.bytes_sent()
    }

    /// The peer has written so much, takes more, and has passed on the end or not.
    pub fn on_ack(&mut self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        self.outgoing.on_ack(bytes, window, end)
    }

    /// Bytes came, for the local side.
    pub fn on_bytes(&mut self, bytes: &Bytes) -> Result<(), Violation> {
        if self.awaiting_resume {
            return Err(Violation::OffsetMismatch);
        }
        self.incoming.on_bytes(bytes.len())?;
        self.queued += bytes.len();
        if bytes.len() < COALESCE_BELOW {
            self.coalesced.extend_from_slice(bytes);
        } else {
            self.queue.extend(Some(self.coalesced.split().freeze()).filter(|coalesced| !coalesced.is_empty()));
            self.queue.push_back(bytes.clone());
        }
        Ok(())
    }

    /// The peer's direction is over: this many bytes.
    pub fn on_end(&mut self, bytes: u64) -> Result<(), Violation> {
        if self.awaiting_resume || !self.is_resumable() && self.incoming.is_complete() {
            return Err(Violation::OffsetMismatch);
        }
        self.incoming.on_end(bytes)?;
        self.received_all = true;
        Ok(())
    }

    /// The peer has closed, and has said all: nothing follows, and nothing more is wanted.
    pub fn on_close(&mut self) {
        (self.received_all, self.peer_closed) = (true, true);
    }

    /// Whether the peer has closed.
    pub fn is_closed(&self) -> bool {
        self.peer_closed
    }

    /// How much is queued.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// The next of what is queued for the local side, if anything is.
    pub fn pop_local(&mut self) -> Option<Bytes> {
        let coalesced = || Some(std::mem::take(&mut self.coalesced).freeze()).filter(|coalesced| !coalesced.is_empty());
        let bytes = self.queue.pop_front().or_else(coalesced)?;
        self.queued -= bytes.len();
        Some(bytes)
    }

    /// Whether an acknowledgement is due.
    pub fn has_ack_due(&self) -> bool {
        self.has_half_close() && self.incoming.has_ack_due()
    }

    /// Whether nothing more comes into the queue.
    pub fn has_received_all(&self) -> bool {
        self.received_all
    }

    /// Bytes were written to the local side.
    pub fn on_written(&mut self, bytes: usize) {
        self.incoming.on_written(bytes);
    }

    /// The end of the peer's direction was passed on to the local side.
    pub fn on_end_written(&mut self) {
        self.end_written = true;
        self.incoming.on_end_written();
    }

    /// Whether both directions are over, the peer knows all that it must, and nothing is half said.
    pub fn is_finished(&self) -> bool {
        if self.peer_closed { self.end_written } else { !self.unflushed && self.is_done() }
    }

    /// Whether this end has all that the peer had to say, and has said all: if the peer ended well, so did the stream.
    pub fn may_have_ended(&self) -> bool {
        self.end_written && self.outgoing.is_end_sent()
    }

    fn is_done(&self) -> bool {
        self.has_sent_all() && (!self.is_resumable() || self.outgoing.is_acknowledged())
    }

    /// Whether the peer was told all that there is: this direction's end, and that the other one's was passed on.
    fn has_sent_all(&self) -> bool {
        let is_end_acked = if self.is_resumable() { self.incoming.is_end_acked() } else { self.end_written };
        is_end_acked && self.outgoing.is_end_sent()
    }

    /// What a close means, with its code and reason if it had any. A peer without half-close has no other way to say
    /// that it has said all.
    pub fn interpret_close(&self, close: Option<(u16, &str)>) -> CloseMeaning {
        match close {
            Some((CLOSE_NORMAL, _)) if self.may_close() => CloseMeaning::Done,
            Some((CLOSE_NORMAL, _)) | None if !self.has_half_close() => CloseMeaning::Done,
            Some((CLOSE_RESET, _)) => CloseMeaning::Reset,
            Some((code, reason)) => {
                let refusal = Refusal::from_close(code, reason).unwrap_or_else(|| RefusalKind::PeerGone.into());
                if self.is_resumable() && matches!(refusal.kind, RefusalKind::Interrupted | RefusalKind::Draining) {
                    return CloseMeaning::Lost(refusal.message());
                }
                CloseMeaning::Broken(Some(refusal))
            }
            None if self.is_resumable() => CloseMeaning::Lost("closed".into()),
            None => CloseMeaning::Broken(None),
        }
    }

    /// Whether a peer that closes now leaves nothing undone: all of its bytes are here, and it has all of ours.
    fn may_close(&self) -> bool {
        let is_delivered =
            if self.is_resumable() { self.outgoing.is_acknowledged() } else { self.outgoing.is_end_sent() };
        self.received_all && is_delivered
    }
}
