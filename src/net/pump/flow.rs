//! What the parts of a pump share: the queue to the local side, both directions' counts, and who waits for what.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::proto::limits::{ALL_WINDOWS, DATA_MESSAGE_BYTES, DATA_MESSAGE_LIMIT, FIRST_WINDOW, LARGEST_WINDOW};
use crate::proto::stream::incoming::Incoming;
use crate::proto::stream::outgoing::{Outgoing, Piece};
use crate::proto::stream::{StreamControl, StreamProtocol, Violation};

/// Streams that run in this process, which share [`ALL_WINDOWS`].
static STREAMS: AtomicU64 = AtomicU64::new(0);

/// What is to be sent next.
pub(super) enum Due {
    /// A text message.
    Text(StreamControl),
    /// A binary message.
    Bytes(Bytes),
    /// A ping.
    Ping,
    /// A close: this is how an end without half-close says that it has said all.
    Close,
}

pub(super) struct Flow {
    protocol: Option<StreamProtocol>,
    state: Mutex<State>,
    /// There may be something to send.
    sender: Notify,
    /// There is something for the local side.
    queued: Notify,
    /// The local side took something.
    taken: Notify,
    /// A direction may be over.
    over: Notify,
    local_reset: CancellationToken,
}

#[derive(Debug)]
struct State {
    outgoing: Outgoing,
    incoming: Incoming,
    /// For the local side.
    queue: BytesMut,
    /// The peer's direction is over once the queue is empty …
    received_all: bool,
    /// … and now the local side knows.
    end_written: bool,
    /// The peer has closed, and nothing is undone: it says nothing any more, and takes nothing.
    peer_closed: bool,
    /// What to begin a new WebSocket with.
    greeting: Option<StreamControl>,
    /// The peer has not yet said where to go on from.
    awaiting: bool,
    ping: bool,
    /// What was due last is not yet on its way.
    saying: bool,
}

impl Flow {
    pub(super) fn new(protocol: Option<StreamProtocol>) -> Self {
        STREAMS.fetch_add(1, Ordering::Relaxed);
        // A peer that knows no windows is held back by not reading.
        let first = if protocol.is_some() { FIRST_WINDOW } else { u64::MAX };
        Self {
            protocol,
            state: Mutex::new(State {
                outgoing: Outgoing::new(protocol == Some(StreamProtocol::Resumable), first),
                incoming: Incoming::new(first),
                queue: BytesMut::new(),
                received_all: false,
                end_written: false,
                peer_closed: false,
                greeting: None,
                awaiting: false,
                ping: false,
                saying: false,
            }),
            sender: Notify::new(),
            queued: Notify::new(),
            taken: Notify::new(),
            over: Notify::new(),
            local_reset: CancellationToken::new(),
        }
    }

    /// Whether both ends speak to each other, and so keep to windows and end each direction by itself.
    pub(super) fn half_close(&self) -> bool {
        self.protocol.is_some()
    }

    pub(super) fn resumable(&self) -> bool {
        self.protocol == Some(StreamProtocol::Resumable)
    }

    /// A new WebSocket takes the place of the lost one: both ends say how far they are, then go on from there.
    pub(super) fn attach(&self) {
        let mut state = self.state();
        state.greeting = Some(state.incoming.resume());
        (state.awaiting, state.saying) = (true, false);
        self.sender.notify_one();
    }

    /// The peer says how far it is. Wrong unless it is the first thing on a new WebSocket.
    pub(super) fn resumed(&self, received: u64) -> Result<(), Violation> {
        let mut state = self.state();
        if !std::mem::replace(&mut state.awaiting, false) {
            return Err(Violation::Miscounted);
        }
        self.sender.notify_one();
        state.outgoing.rewind(received)
    }

    /// Whether the peer has not yet said how far it is.
    pub(super) fn is_awaiting(&self) -> bool {
        self.state().awaiting
    }

    /// What is to be sent next; what matters to the peer's progress first. The stream is not over before that is
    /// [`Self::said`].
    pub(super) fn due(&self) -> Option<Due> {
        let mut state = self.state();
        let due = self.next_due(&mut state);
        state.saying = due.is_some();
        due
    }

    /// It is on its way.
    pub(super) fn said(&self) {
        self.state().saying = false;
        self.over.notify_one();
    }

    fn next_due(&self, state: &mut State) -> Option<Due> {
        if state.peer_closed {
            return None;
        }
        if let Some(greeting) = state.greeting.take() {
            return Some(Due::Text(greeting));
        }
        if self.half_close()
            && let Some(ack) = state.incoming.acknowledgement(share())
        {
            return Some(Due::Text(ack));
        }
        if std::mem::take(&mut state.ping) {
            return Some(Due::Ping);
        }
        if state.awaiting {
            return None;
        }
        match state.outgoing.next_piece()? {
            Piece::Bytes(bytes) => Some(Due::Bytes(bytes)),
            Piece::End(end) => Some(if self.half_close() { Due::Text(end) } else { Due::Close }),
        }
    }

    /// Returns when there may be something to send, or more room.
    pub(super) async fn sender_woken(&self) {
        self.sender.notified().await;
    }

    /// The peer is to be asked whether it is there.
    pub(super) fn want_ping(&self) {
        self.state().ping = true;
        self.sender.notify_one();
    }

    /// How many bytes may be read from the local side now.
    pub(super) fn room(&self) -> u64 {
        let state = self.state();
        if state.awaiting || state.peer_closed {
            return 0;
        }
        state.outgoing.room(share()).min(DATA_MESSAGE_BYTES as u64)
    }

    /// The local side said this; nothing once it has said all.
    pub(super) fn take_from_local(&self, bytes: Bytes) {
        let mut state = self.state();
        if bytes.is_empty() {
            state.outgoing.finish();
        } else {
            state.outgoing.take(bytes);
        }
    }

    /// Bytes that were sent, each once.
    pub(super) fn sent(&self) -> u64 {
        self.state().outgoing.reached()
    }

    /// The peer has written so much, takes more, and has passed on the end or not.
    pub(super) fn acknowledged(&self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        self.sender.notify_one();
        self.over.notify_one();
        self.state().outgoing.acknowledged(bytes, window, end)
    }

    /// Waits until there is room for another message from a peer that knows no windows.
    pub(super) async fn room_for_strangers(&self) {
        while !self.half_close() && self.state().queue.len() >= DATA_MESSAGE_LIMIT {
            self.taken.notified().await;
        }
    }

    /// Bytes came, for the local side.
    pub(super) fn received(&self, bytes: &Bytes) -> Result<(), Violation> {
        let mut state = self.state();
        if state.awaiting {
            return Err(Violation::Miscounted);
        }
        state.incoming.received(bytes.len())?;
        state.queue.extend_from_slice(bytes);
        self.queued.notify_one();
        Ok(())
    }

    /// The peer's direction is over: this many bytes.
    pub(super) fn ended(&self, bytes: u64) -> Result<(), Violation> {
        let mut state = self.state();
        if state.awaiting || !self.resumable() && state.incoming.is_over() {
            return Err(Violation::Miscounted);
        }
        state.incoming.ended(bytes)?;
        state.received_all = true;
        self.queued.notify_one();
        Ok(())
    }

    /// The peer has closed, and has said all: nothing follows, and nothing more is wanted.
    pub(super) fn closed(&self) {
        let mut state = self.state();
        (state.received_all, state.peer_closed) = (true, true);
        self.queued.notify_one();
        self.over.notify_one();
    }

    /// Whether it has.
    pub(super) fn is_closed(&self) -> bool {
        self.state().peer_closed
    }

    /// All that is queued, waiting for some; `None` after the last.
    pub(super) async fn take_for_local(&self) -> Option<Bytes> {
        loop {
            {
                let mut state = self.state();
                if !state.queue.is_empty() {
                    self.taken.notify_one();
                    return Some(std::mem::take(&mut state.queue).freeze());
                }
                if state.received_all {
                    return None;
                }
            }
            self.queued.notified().await;
        }
    }

    /// Bytes were written to the local side.
    pub(super) fn written(&self, bytes: usize) {
        self.state().incoming.written(bytes);
        self.sender.notify_one();
    }

    /// The end of the peer's direction was passed on to the local side.
    pub(super) fn end_written(&self) {
        let mut state = self.state();
        state.end_written = true;
        state.incoming.end_written();
        self.sender.notify_one();
        self.over.notify_one();
    }

    /// The local side has reset its connection.
    pub(super) fn reset_by_local(&self) {
        self.local_reset.cancel();
    }

    /// Returns when it has.
    pub(super) async fn local_reset(&self) {
        self.local_reset.cancelled().await;
    }

    /// Returns when both directions are over, and the peer knows all that it must.
    pub(super) async fn over(&self) {
        while !self.is_over() {
            self.over.notified().await;
        }
    }

    fn is_over(&self) -> bool {
        let state = self.state();
        match self.protocol {
            _ if state.peer_closed => state.end_written,
            _ if state.saying => false,
            None | Some(StreamProtocol::V1) => state.end_written && state.outgoing.is_told(),
            Some(StreamProtocol::Resumable) => state.incoming.is_settled() && state.outgoing.is_acknowledged(),
        }
    }

    /// Whether a peer that closes now leaves nothing undone: all of its bytes are here, and it has all of ours.
    pub(super) fn may_close(&self) -> bool {
        let state = self.state();
        let has_ours = if self.resumable() { state.outgoing.is_acknowledged() } else { state.outgoing.is_told() };
        state.received_all && has_ours
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// This stream's share of what the process may be made to hold.
fn share() -> u64 {
    let streams = STREAMS.load(Ordering::Relaxed).max(1);
    (ALL_WINDOWS / streams).clamp(FIRST_WINDOW, LARGEST_WINDOW)
}
