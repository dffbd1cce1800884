//! What the parts of a pump share: the state of this end of the stream, and who waits for what.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Begun, Tunnel};
use crate::proto::limits::{ALL_WINDOWS, DATA_MESSAGE_LIMIT, FIRST_WINDOW, LARGEST_WINDOW};
use crate::proto::stream::Violation;
use crate::proto::stream::end::{Due, End, Farewell};

/// Streams that run in this process, which share [`ALL_WINDOWS`].
static STREAMS: AtomicU64 = AtomicU64::new(0);

pub(super) struct Flow {
    end: Mutex<End>,
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

impl Flow {
    pub(super) fn new<T>(tunnel: &Tunnel<T>) -> Self {
        STREAMS.fetch_add(1, Ordering::Relaxed);
        Self {
            end: Mutex::new(begin(tunnel)),
            sender: Notify::new(),
            queued: Notify::new(),
            taken: Notify::new(),
            over: Notify::new(),
            local_reset: CancellationToken::new(),
        }
    }

    /// Whether the WebSocket is used again after the stream.
    pub(super) fn may_rest(&self) -> bool {
        self.end().may_rest()
    }

    /// The peer is done with the stream.
    pub(super) fn peer_rests(&self) -> Result<(), Violation> {
        self.over.notify_one();
        self.end().peer_rests()
    }

    /// Whether it is.
    pub(super) fn has_peer_rested(&self) -> bool {
        self.end().has_peer_rested()
    }

    /// Whether both ends keep to windows and end each direction by itself.
    pub(super) fn half_close(&self) -> bool {
        self.end().half_close()
    }

    pub(super) fn resumable(&self) -> bool {
        self.end().resumable()
    }

    /// A new WebSocket takes the place of the lost one.
    pub(super) fn attach(&self) {
        self.end().attach();
        self.sender.notify_one();
    }

    /// The peer says how far it is.
    pub(super) fn resumed(&self, received: u64) -> Result<(), Violation> {
        self.sender.notify_one();
        self.end().resumed(received)
    }

    /// Whether the peer has not yet said how far it is.
    pub(super) fn is_awaiting(&self) -> bool {
        self.end().is_awaiting()
    }

    /// What is to be sent next.
    pub(super) fn due(&self) -> Option<Due> {
        self.end().due(share())
    }

    /// It is on its way.
    pub(super) fn said(&self) {
        self.end().said();
        self.over.notify_one();
    }

    /// Returns when there may be something to send, or more room.
    pub(super) async fn sender_woken(&self) {
        self.sender.notified().await;
    }

    /// The peer is to be asked whether it is there.
    pub(super) fn want_ping(&self) {
        self.end().want_ping();
        self.sender.notify_one();
    }

    /// How many bytes may be read from the local side now.
    pub(super) fn room(&self) -> u64 {
        self.end().room(share())
    }

    /// The local side said this; nothing once it has said all.
    pub(super) fn take_from_local(&self, bytes: Bytes) {
        self.end().take_from_local(bytes);
    }

    /// Bytes that were sent, each once.
    pub(super) fn sent(&self) -> u64 {
        self.end().sent()
    }

    /// The peer has written so much, takes more, and has passed on the end or not.
    pub(super) fn acknowledged(&self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        self.sender.notify_one();
        self.over.notify_one();
        self.end().acknowledged(bytes, window, end)
    }

    /// Waits until there is room for another message from a peer that knows no windows.
    pub(super) async fn room_for_strangers(&self) {
        while !self.half_close() && self.end().queued() >= DATA_MESSAGE_LIMIT {
            self.taken.notified().await;
        }
    }

    /// Bytes came, for the local side.
    pub(super) fn received(&self, bytes: &Bytes) -> Result<(), Violation> {
        let fits = self.end().received(bytes);
        self.queued.notify_one();
        fits
    }

    /// The peer's direction is over: this many bytes.
    pub(super) fn ended(&self, bytes: u64) -> Result<(), Violation> {
        let fits = self.end().ended(bytes);
        self.queued.notify_one();
        fits
    }

    /// The peer has closed, and has said all.
    pub(super) fn closed(&self) {
        self.end().closed();
        self.queued.notify_one();
        self.over.notify_one();
    }

    /// Whether it has.
    pub(super) fn is_closed(&self) -> bool {
        self.end().is_closed()
    }

    /// What a close means.
    pub(super) fn meaning(&self, told: Option<(u16, &str)>) -> Farewell {
        self.end().meaning(told)
    }

    /// All that is queued, waiting for some; `None` after the last.
    pub(super) async fn take_for_local(&self) -> Option<Bytes> {
        loop {
            {
                let mut end = self.end();
                if let Some(bytes) = end.take_for_local() {
                    self.taken.notify_one();
                    return Some(bytes);
                }
                if end.has_received_all() {
                    return None;
                }
            }
            self.queued.notified().await;
        }
    }

    /// Bytes were written to the local side.
    pub(super) fn written(&self, bytes: usize) {
        self.end().written(bytes);
        self.sender.notify_one();
    }

    /// The end of the peer's direction was passed on to the local side.
    pub(super) fn end_written(&self) {
        self.end().end_written();
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
        while !self.end().is_over() {
            self.over.notified().await;
        }
    }

    fn end(&self) -> MutexGuard<'_, End> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a stream of which some may be under way.
fn begin<T>(tunnel: &Tunnel<T>) -> End {
    let Begun { to_send, sent, received } = &tunnel.begun;
    let mut end = End::new(tunnel.protocol);
    if tunnel.rests {
        end.agree_to_rest();
    }
    if !sent.is_empty() {
        end.has_sent(sent.clone());
    }
    if !to_send.is_empty() {
        end.take_from_local(to_send.clone());
    }
    if !received.is_empty() {
        // Less than any window, before anything else.
        let fits = end.received(received);
        debug_assert!(fits.is_ok());
    }
    end
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
