//! PURE. One end of a stream: both directions, the queue to the local side, the next message to send, and completion.
//! The caller owns the WebSockets, the local side and the clock.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::receive::ReceiveState;
use super::send::{Chunk, SendState};
use super::{CLOSE_NORMAL, CLOSE_RESET, StreamControl, StreamProtocol, Violation};
use crate::proto::limits::{FULL_MESSAGE_BYTES, INITIAL_WINDOW};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The next message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextSend {
    /// A text message.
    Text(StreamControl),
    /// A binary message.
    Bytes(Bytes),
    /// A ping.
    Ping,
    /// A close frame: the end of the direction, for a peer without half-close.
    Close,
}

/// The meaning of a peer's close.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseMeaning {
    /// The peer has finished.
    Done,
    /// The peer's application reset its connection.
    Reset,
    /// Only this WebSocket is closed, for this reason: both ends rejoin.
    Lost(String),
    /// The stream is over, with the reason if one was sent.
    Broken(Option<Refusal>),
}

/// Messages smaller than this are coalesced in the queue: each would take many times its size, and a system call to
/// write.
const COALESCE_BELOW: usize = 4 * 1024;

/// The state of one end of a stream.
#[derive(Debug)]
pub struct StreamEndpoint {
    protocol: Option<StreamProtocol>,
    outgoing: SendState,
    incoming: ReceiveState,
    /// Bytes for the local side, and the small messages after them, coalesced.
    queue: VecDeque<Bytes>,
    coalesced: BytesMut,
    /// The bytes received that are not written to the local side.
    undelivered: usize,
    /// No more bytes will be queued: the peer's direction has ended or the peer has closed.
    received_all: bool,
    /// The end of the peer's direction has been passed on to the local side.
    end_written: bool,
    /// The peer has closed with nothing left to do: it neither sends nor accepts anything.
    peer_closed: bool,
    /// The first message on a new WebSocket.
    resume_message: Option<StreamControl>,
    /// The peer's [`StreamControl::Resume`] has not arrived yet.
    awaiting_resume: bool,
    ping: bool,
    /// A message returned by [`Self::next_send`] has not been flushed.
    unflushed: bool,
    /// The release of the WebSocket for reuse, if that is agreed.
    release: Option<ReleaseState>,
}

/// The releases sent and received.
#[derive(Debug, Clone, Copy, Default)]
struct ReleaseState {
    sent: bool,
    received: bool,
}

impl StreamEndpoint {
    /// The end of a new stream.
    pub fn new(protocol: Option<StreamProtocol>) -> Self {
        // Without windows, only unread bytes hold a peer back.
        let first = if protocol.is_some() { INITIAL_WINDOW } else { u64::MAX };
        Self {
            protocol,
            outgoing: SendState::new(protocol == Some(StreamProtocol::Resumable), first),
            incoming: ReceiveState::new(first),
            queue: VecDeque::new(),
            coalesced: BytesMut::new(),
            undelivered: 0,
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

    /// Allows the WebSocket to be reused after the stream, unless it is lost before.
    pub fn allow_reuse(&mut self) {
        self.release = Some(ReleaseState::default());
    }

    /// Reports whether the WebSocket can be reused.
    pub fn is_reusable(&self) -> bool {
        self.release.is_some()
    }

    /// Handles the peer's release: an error unless the peer has ended its direction and acknowledged the end of ours.
    pub fn on_release(&mut self) -> Result<(), Violation> {
        let done = self.may_close();
        self.release.as_mut().filter(|_| done).ok_or(Violation::OffsetMismatch)?.received = true;
        Ok(())
    }

    /// Reports whether the peer has released the WebSocket.
    pub fn has_peer_released(&self) -> bool {
        self.release.is_some_and(|release| release.received)
    }

    /// Reports whether both ends have released the WebSocket: further messages are not part of this stream.
    pub fn have_both_released(&self) -> bool {
        self.release.is_some_and(|release| release.sent && release.received)
    }

    /// Reports once that this end's release is due, and counts it as sent. Does not wait for what the peer has yet to
    /// send.
    pub fn take_release(&mut self) -> bool {
        let done = self.has_sent_all();
        self.release.as_mut().is_some_and(|release| done && !std::mem::replace(&mut release.sent, true))
    }

    /// Starts the stream with early data, which has been sent.
    pub fn record_early_data_sent(&mut self, bytes: Bytes) {
        self.outgoing.push(bytes);
        while self.outgoing.next_chunk().is_some() {}
    }

    /// Reports whether both ends speak the stream protocol, and so use windows and end each direction separately.
    pub fn has_stream_protocol(&self) -> bool {
        self.protocol.is_some()
    }

    /// Reports whether the stream outlives its WebSockets.
    pub fn is_resumable(&self) -> bool {
        self.protocol == Some(StreamProtocol::Resumable)
    }

    /// Attaches a new WebSocket in place of the lost one: both ends send their offsets and continue from there.
    pub fn attach(&mut self) {
        self.release = None;
        self.resume_message = Some(self.incoming.resume_message());
        (self.awaiting_resume, self.unflushed) = (true, false);
    }

    /// Handles the peer's offset: an error unless it is the first message on a new WebSocket.
    pub fn on_resume(&mut self, received: u64) -> Result<(), Violation> {
        if !std::mem::replace(&mut self.awaiting_resume, false) {
            return Err(Violation::OffsetMismatch);
        }
        self.outgoing.rewind(received)
    }

    /// Reports whether the peer's offset has not arrived yet.
    pub fn is_awaiting_resume(&self) -> bool {
        self.awaiting_resume
    }

    /// Sets the time, as a duration since any fixed origin.
    pub fn set_now(&mut self, now: Duration) {
        self.incoming.set_now(now);
    }

    /// Returns the next message to send and counts it as sent; control messages that the peer waits for come first.
    /// Grants no window larger than `max_window`. The stream is not finished until [`Self::on_flushed`].
    pub fn next_send(&mut self, max_window: u64) -> Option<NextSend> {
        let next = self.next_message(max_window);
        self.unflushed |= next.is_some();
        next
    }

    /// Records that everything sent so far has been flushed.
    pub fn on_flushed(&mut self) {
        self.unflushed = false;
    }

    fn next_message(&mut self, max_window: u64) -> Option<NextSend> {
        if self.peer_closed {
            return None;
        }
        if let Some(message) = self.resume_message.take() {
            return Some(NextSend::Text(message));
        }
        if self.has_stream_protocol()
            && let Some(ack) = self.incoming.next_ack(max_window)
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
            Some(Chunk::End(end)) if self.has_stream_protocol() => NextSend::Text(end),
            Some(Chunk::End(_)) => NextSend::Close,
            // In the same flush as the end or the last acknowledgement.
            None if self.take_release() => NextSend::Text(StreamControl::Release),
            None => return None,
        })
    }

    /// Queues a ping.
    pub fn queue_ping(&mut self) {
        self.ping = true;
    }

    /// Returns the number of bytes that may be read from the local side, if no more than `max_unacked` may be kept
    /// unacknowledged.
    pub fn capacity(&self, max_unacked: u64) -> u64 {
        if self.awaiting_resume || self.peer_closed {
            return 0;
        }
        self.outgoing.capacity(max_unacked).min(FULL_MESSAGE_BYTES as u64)
    }

    /// Takes a buffer that held acknowledged bytes, for the next read from the local side.
    pub fn take_spare_buffer(&mut self) -> Option<BytesMut> {
        self.outgoing.take_spare_buffer()
    }

    /// Sends bytes of the local side; empty bytes are its end.
    pub fn push_local(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            self.outgoing.finish();
        } else {
            self.outgoing.push(bytes);
        }
    }

    /// Reports whether the local side has not ended yet.
    pub fn is_local_open(&self) -> bool {
        self.outgoing.is_open()
    }

    /// Returns the number of bytes sent, without retransmissions.
    pub fn bytes_sent(&self) -> u64 {
        self.outgoing.bytes_sent()
    }

    /// Handles the peer's acknowledgement of `bytes`, with its window and whether the end was passed on.
    pub fn on_ack(&mut self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        self.outgoing.on_ack(bytes, window, end)
    }

    /// Handles bytes of the peer: queues them for the local side.
    pub fn on_bytes(&mut self, bytes: &Bytes) -> Result<(), Violation> {
        if self.awaiting_resume {
            return Err(Violation::OffsetMismatch);
        }
        self.incoming.on_bytes(bytes.len())?;
        self.undelivered += bytes.len();
        if bytes.len() < COALESCE_BELOW {
            self.coalesced.extend_from_slice(bytes);
        } else {
            self.queue.extend(Some(self.coalesced.split().freeze()).filter(|coalesced| !coalesced.is_empty()));
            self.queue.push_back(bytes.clone());
        }
        Ok(())
    }

    /// Handles the end of the peer's direction, of this length in bytes.
    pub fn on_end(&mut self, bytes: u64) -> Result<(), Violation> {
        if self.awaiting_resume || !self.is_resumable() && self.incoming.is_complete() {
            return Err(Violation::OffsetMismatch);
        }
        self.incoming.on_end(bytes)?;
        self.received_all = true;
        Ok(())
    }

    /// Handles a close of the peer that means [`CloseMeaning::Done`]: nothing follows, and nothing more is accepted.
    pub fn on_close(&mut self) {
        (self.received_all, self.peer_closed) = (true, true);
    }

    /// Reports whether the peer has closed.
    pub fn is_closed(&self) -> bool {
        self.peer_closed
    }

    /// Returns the number of bytes received that are not written to the local side.
    pub fn undelivered(&self) -> usize {
        self.undelivered
    }

    /// Returns the number of bytes kept until the peer acknowledges them.
    pub fn unacked(&self) -> u64 {
        self.outgoing.unacked()
    }

    /// Returns the number of bytes taken from the local side that the peer has not acknowledged.
    pub fn in_flight(&self) -> u64 {
        self.outgoing.in_flight()
    }

    /// Returns the number of bytes held for sending: kept until they are acknowledged, and spare buffers, which are given
    /// up beyond `limit`.
    pub fn held_for_sending(&mut self, limit: u64) -> u64 {
        self.outgoing.shed_spare_buffers(limit);
        self.outgoing.held()
    }

    /// Takes the next bytes for the local side.
    pub fn pop_local(&mut self) -> Option<Bytes> {
        let coalesced = || Some(std::mem::take(&mut self.coalesced).freeze()).filter(|coalesced| !coalesced.is_empty());
        self.queue.pop_front().or_else(coalesced)
    }

    /// Reports whether an acknowledgement is due.
    pub fn has_ack_due(&self) -> bool {
        self.has_stream_protocol() && self.incoming.has_ack_due()
    }

    /// Reports whether no more bytes will be queued.
    pub fn has_received_all(&self) -> bool {
        self.received_all
    }

    /// Records bytes as written to the local side.
    pub fn on_written(&mut self, bytes: usize) {
        self.incoming.on_written(bytes);
        self.undelivered = self.undelivered.saturating_sub(bytes);
    }

    /// Records the end of the peer's direction as passed on to the local side.
    pub fn on_end_written(&mut self) {
        self.end_written = true;
        self.incoming.on_end_written();
    }

    /// Reports whether both directions are over, the peer has been sent everything it must know, and nothing is
    /// unflushed.
    pub fn is_finished(&self) -> bool {
        if self.peer_closed { self.end_written } else { !self.unflushed && self.is_done() }
    }

    /// Reports whether both directions have ended from this end's view: if the peer ended cleanly, so did the stream.
    pub fn may_have_ended(&self) -> bool {
        self.end_written && self.outgoing.is_end_sent()
    }

    fn is_done(&self) -> bool {
        self.has_sent_all() && (!self.is_resumable() || self.outgoing.is_acknowledged())
    }

    /// Reports whether the peer has been sent everything: the end of this direction, and the acknowledgement of the
    /// other's.
    fn has_sent_all(&self) -> bool {
        let is_end_acked = if self.is_resumable() { self.incoming.is_end_acked() } else { self.end_written };
        is_end_acked && self.outgoing.is_end_sent()
    }

    /// Interprets a close, with its code and reason if it had any. A peer without half-close has no other way to end
    /// its direction.
    pub fn interpret_close(&self, close: Option<(u16, &str)>) -> CloseMeaning {
        match close {
            Some((CLOSE_NORMAL, _)) if self.may_close() => CloseMeaning::Done,
            Some((CLOSE_NORMAL, _)) | None if !self.has_stream_protocol() => CloseMeaning::Done,
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

    /// Reports whether a close of the peer leaves nothing to do: all of its bytes have arrived, and it has all of ours.
    fn may_close(&self) -> bool {
        let is_delivered =
            if self.is_resumable() { self.outgoing.is_acknowledged() } else { self.outgoing.is_end_sent() };
        self.received_all && is_delivered
    }
}
