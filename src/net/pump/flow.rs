//! What the three parts of a pump share: the queue to the local side, and both windows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::proto::limits::{ACK_EVERY, ALL_WINDOWS, DATA_MESSAGE_LIMIT, FIRST_WINDOW, LARGEST_WINDOW};
use crate::proto::stream::StreamControl;

/// Streams that run in this process, which share [`ALL_WINDOWS`].
static STREAMS: AtomicU64 = AtomicU64::new(0);

pub(super) struct Flow {
    /// Whether both ends speak `devstream.v1`, and so keep to windows.
    pub(super) half_close: bool,
    state: Mutex<State>,
    credit: Notify,
    queued: Notify,
    taken: Notify,
    ack: Notify,
    sending_over: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    queue: BytesMut,
    received_all: bool,
    /// Bytes written to the local side, and how many of those the peer was told of.
    written: u64,
    acknowledged: u64,
    /// How far the peer may send, and how far we may.
    limit: u64,
    allowed: u64,
}

impl Flow {
    pub(super) fn new(half_close: bool) -> Self {
        STREAMS.fetch_add(1, Ordering::Relaxed);
        // A peer that knows no windows is held back by not reading.
        let first = if half_close { FIRST_WINDOW } else { u64::MAX };
        Self {
            half_close,
            state: Mutex::new(State { limit: first, allowed: first, ..State::default() }),
            credit: Notify::new(),
            queued: Notify::new(),
            taken: Notify::new(),
            ack: Notify::new(),
            sending_over: CancellationToken::new(),
        }
    }

    /// How many more bytes the peer takes.
    pub(super) fn credit(&self, sent: u64) -> u64 {
        self.state().allowed.saturating_sub(sent)
    }

    /// Returns when the peer may take more than it did.
    pub(super) async fn more_credit(&self) {
        self.credit.notified().await;
    }

    /// The peer takes `window` bytes beyond the first `bytes`.
    pub(super) fn allow(&self, bytes: u64, window: u64) {
        let mut state = self.state();
        state.allowed = state.allowed.max(bytes.saturating_add(window));
        self.credit.notify_one();
    }

    /// How far the peer may send.
    pub(super) fn limit(&self) -> u64 {
        self.state().limit
    }

    /// Returns when there is something to acknowledge, and notes that it was. Nothing is lost if it is cancelled.
    pub(super) async fn acknowledgement(&self) -> StreamControl {
        loop {
            if let Some(ack) = self.acknowledge() {
                return ack;
            }
            self.ack.notified().await;
        }
    }

    fn acknowledge(&self) -> Option<StreamControl> {
        let mut state = self.state();
        let due = state.written - state.acknowledged >= ACK_EVERY && !state.received_all;
        if !self.half_close || !due {
            return None;
        }
        state.acknowledged = state.written;
        let window = window();
        state.limit = state.limit.max(state.written + window);
        Some(StreamControl::Ack { bytes: state.written, window })
    }

    /// Waits until there is room for another message from a peer that knows no windows.
    pub(super) async fn room(&self) {
        while !self.half_close && self.state().queue.len() >= DATA_MESSAGE_LIMIT {
            self.taken.notified().await;
        }
    }

    /// Bytes for the local side.
    pub(super) fn put(&self, bytes: &Bytes) {
        self.state().queue.extend_from_slice(bytes);
        self.queued.notify_one();
    }

    /// The peer's direction is over once the queue is empty.
    pub(super) fn end_receiving(&self) {
        self.state().received_all = true;
        self.queued.notify_one();
    }

    /// All that is queued, waiting for some; `None` after the last.
    pub(super) async fn take(&self) -> Option<Bytes> {
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
        self.state().written += bytes as u64;
        self.ack.notify_one();
    }

    /// Our direction is over, and the peer was told.
    pub(super) fn end_sending(&self) {
        self.sending_over.cancel();
    }

    /// Returns when our direction is over.
    pub(super) async fn sending_over(&self) {
        self.sending_over.cancelled().await;
    }

    /// All of the peer's bytes are here.
    pub(super) fn has_received_all(&self) -> bool {
        self.state().received_all
    }

    /// Nothing more is to be said on the WebSocket, in either direction.
    pub(super) fn is_settled(&self) -> bool {
        self.has_received_all() && self.sending_over.is_cancelled()
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
fn window() -> u64 {
    let streams = STREAMS.load(Ordering::Relaxed).max(1);
    (ALL_WINDOWS / streams).clamp(FIRST_WINDOW, LARGEST_WINDOW)
}
