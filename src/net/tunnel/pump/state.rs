//! What the parts of a pump share: the state of this end of the stream, and who waits for what.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{EarlyData, Tunnel};
use crate::net::os::clock;
use crate::proto::limits::{DATA_MESSAGE_LIMIT, FULL_MESSAGE_BYTES, INITIAL_WINDOW, MAX_WINDOW, WINDOW_BUDGET};
use crate::proto::stream::Violation;
use crate::proto::stream::endpoint::{CloseMeaning, NextSend, StreamEndpoint};

/// Streams that run in this process, which share [`WINDOW_BUDGET`].
static STREAMS: AtomicU64 = AtomicU64::new(0);

pub(super) struct PumpState {
    endpoint: Mutex<StreamEndpoint>,
    /// There may be something to send.
    sender_wakeup: AtomicBool,
    /// Something has changed for a part that was polled before.
    repoll: AtomicBool,
    local_reset: AtomicBool,
    /// The end of the peer's direction was passed on, and the peer hears so together with the local side's end.
    end_delivered: AtomicBool,
    started_at: Instant,
}

impl PumpState {
    pub(super) fn new<T>(tunnel: &Tunnel<T>) -> Self {
        STREAMS.fetch_add(1, Ordering::Relaxed);
        Self {
            endpoint: Mutex::new(initial_endpoint(tunnel)),
            sender_wakeup: AtomicBool::new(false),
            repoll: AtomicBool::new(false),
            local_reset: AtomicBool::new(false),
            end_delivered: AtomicBool::new(false),
            started_at: clock::now(),
        }
    }

    /// Whether the WebSocket is used again after the stream.
    pub(super) fn is_reusable(&self) -> bool {
        self.endpoint().is_reusable()
    }

    /// The peer is done with the stream.
    pub(super) fn peer_released(&self) -> Result<(), Violation> {
        self.request_poll();
        self.endpoint().on_release()
    }

    /// Whether the peer says nothing more.
    pub(super) fn has_peer_released(&self) -> bool {
        self.endpoint().has_peer_released()
    }

    /// Returns when neither end says anything more.
    pub(super) async fn both_released(&self) {
        self.until(|end| end.have_both_released().then_some(())).await;
    }

    /// Whether the stream is over, if the peer says so.
    pub(super) fn may_have_ended(&self) -> bool {
        self.endpoint().may_have_ended()
    }

    /// Whether this end has yet to say that it is done.
    pub(super) fn take_release(&self) -> bool {
        self.endpoint().take_release()
    }

    /// Runs the parts that share this. They are one task, so what one leaves for another takes no waker, which would have
    /// the whole task scheduled again and another thread woken for it: all are polled once more.
    pub(super) async fn drive<O>(&self, mut parts: Pin<&mut impl Future<Output = O>>) -> O {
        poll_fn(|context| {
            loop {
                match parts.as_mut().poll(context) {
                    Poll::Pending if self.repoll.swap(false, Ordering::Relaxed) => {}
                    Poll::Pending => return Poll::Pending,
                    done @ Poll::Ready(_) => return done,
                }
            }
        })
        .await
    }

    /// Returns when there is something; to be asked within [`Self::drive`].
    async fn until<O>(&self, mut check: impl FnMut(&mut StreamEndpoint) -> Option<O>) -> O {
        poll_fn(|_| check(&mut self.endpoint()).map_or(Poll::Pending, Poll::Ready)).await
    }

    fn request_poll(&self) {
        self.repoll.store(true, Ordering::Relaxed);
    }

    fn wake_sender(&self) {
        self.sender_wakeup.store(true, Ordering::Relaxed);
        self.request_poll();
    }

    /// Whether both ends keep to windows and end each direction by itself.
    pub(super) fn has_half_close(&self) -> bool {
        self.endpoint().has_half_close()
    }

    pub(super) fn is_resumable(&self) -> bool {
        self.endpoint().is_resumable()
    }

    /// A new WebSocket takes the place of the lost one.
    pub(super) fn attach(&self) {
        self.endpoint().attach();
        self.wake_sender();
    }

    /// The peer says how far it is.
    pub(super) fn resumed(&self, received: u64) -> Result<(), Violation> {
        self.wake_sender();
        self.endpoint().on_resume(received)
    }

    /// Whether the peer has not yet said how far it is.
    pub(super) fn is_awaiting_resume(&self) -> bool {
        self.endpoint().is_awaiting_resume()
    }

    /// What is to be sent next.
    pub(super) fn next_send(&self) -> Option<NextSend> {
        let mut end = self.endpoint();
        end.set_now(clock::now().saturating_duration_since(self.started_at));
        end.next_send(window_share())
    }

    /// It is on its way.
    pub(super) fn flushed(&self) {
        let mut end = self.endpoint();
        end.on_flushed();
        if end.is_finished() {
            self.request_poll();
        }
    }

    /// Returns when there may be something to send, or more room.
    pub(super) async fn sender_woken(&self) {
        self.until(|_| self.sender_wakeup.swap(false, Ordering::Relaxed).then_some(())).await;
    }

    /// The peer is to be asked whether it is there.
    pub(super) fn queue_ping(&self) {
        self.endpoint().queue_ping();
        self.wake_sender();
    }

    /// How many bytes may be read from the local side now.
    pub(super) fn capacity(&self) -> u64 {
        self.endpoint().capacity(window_share())
    }

    /// Empty memory for what it says, of this size or larger.
    pub(super) fn block(&self, size: usize) -> BytesMut {
        let spare = if size == FULL_MESSAGE_BYTES { self.endpoint().take_spare_buffer() } else { None };
        spare.unwrap_or_else(|| BytesMut::with_capacity(size))
    }

    /// The local side said this; nothing once it has said all.
    pub(super) fn push_local(&self, bytes: Bytes) {
        let is_end = bytes.is_empty();
        let mut end = self.endpoint();
        end.push_local(bytes);
        if is_end && self.end_delivered.load(Ordering::Relaxed) {
            end.on_end_written();
            self.request_poll();
        }
    }

    /// Bytes that were sent, each once.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.endpoint().bytes_sent()
    }

    /// The peer has written so much, takes more, and has passed on the end or not.
    pub(super) fn acknowledged(&self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        self.wake_sender();
        self.endpoint().on_ack(bytes, window, end)
    }

    /// Waits until there is room for another message from a peer that knows no windows.
    pub(super) async fn wait_for_legacy_room(&self) {
        self.until(|end| (end.has_half_close() || end.queued() < DATA_MESSAGE_LIMIT).then_some(())).await;
    }

    /// Bytes came, for the local side.
    pub(super) fn received(&self, bytes: &Bytes) -> Result<(), Violation> {
        self.request_poll();
        let mut end = self.endpoint();
        end.set_now(clock::now().saturating_duration_since(self.started_at));
        end.on_bytes(bytes)
    }

    /// The peer's direction is over: this many bytes.
    pub(super) fn ended(&self, bytes: u64) -> Result<(), Violation> {
        let fits = self.endpoint().on_end(bytes);
        self.request_poll();
        fits
    }

    /// The peer has closed, and has said all.
    pub(super) fn closed(&self) {
        self.endpoint().on_close();
        self.request_poll();
    }

    /// Whether the peer has closed.
    pub(super) fn is_closed(&self) -> bool {
        self.endpoint().is_closed()
    }

    /// What a close means.
    pub(super) fn interpret_close(&self, close_frame: Option<(u16, &str)>) -> CloseMeaning {
        self.endpoint().interpret_close(close_frame)
    }

    /// The next of what is queued, waiting for some; `None` after the last.
    pub(super) async fn pop_local(&self) -> Option<Bytes> {
        let taken = self.until(|end| match end.pop_local() {
            None => end.has_received_all().then_some(None),
            some => Some(some),
        });
        taken.await
    }

    /// Bytes were written to the local side.
    pub(super) fn written(&self, bytes: usize) {
        let mut end = self.endpoint();
        end.on_written(bytes);
        if end.has_ack_due() {
            self.wake_sender();
        } else if !end.has_half_close() {
            // There may be room for strangers.
            self.request_poll();
        }
    }

    /// The end of the peer's direction was passed on to the local side, which may answer it with its own.
    pub(super) fn mark_end_delivered(&self) {
        self.end_delivered.store(true, Ordering::Relaxed);
    }

    /// Returns when the local side has said all.
    pub(super) async fn local_finished(&self) {
        self.until(|end| (!end.is_local_open()).then_some(())).await;
    }

    /// The peer is to know that the end of its direction was passed on.
    pub(super) fn end_written(&self) {
        self.endpoint().on_end_written();
        self.wake_sender();
    }

    /// The local side has reset its connection.
    pub(super) fn mark_local_reset(&self) {
        self.local_reset.store(true, Ordering::Relaxed);
        self.request_poll();
    }

    /// Whether the local connection was reset.
    pub(super) fn is_local_reset(&self) -> bool {
        self.local_reset.load(Ordering::Relaxed)
    }

    /// Returns when it has.
    pub(super) async fn wait_local_reset(&self) {
        self.until(|_| self.is_local_reset().then_some(())).await;
    }

    /// Whether both directions are over, and the peer knows all that it must.
    pub(super) fn is_finished(&self) -> bool {
        self.endpoint().is_finished()
    }

    /// Returns when they are.
    pub(super) async fn finished(&self) {
        self.until(|end| end.is_finished().then_some(())).await;
    }

    fn endpoint(&self) -> MutexGuard<'_, StreamEndpoint> {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end of a stream of which some may be under way.
fn initial_endpoint<T>(tunnel: &Tunnel<T>) -> StreamEndpoint {
    let EarlyData { to_send, sent, received } = &tunnel.early;
    let mut end = StreamEndpoint::new(tunnel.protocol);
    if tunnel.reusable {
        end.allow_reuse();
    }
    if !sent.is_empty() {
        end.begin_with(sent.clone());
    }
    if !to_send.is_empty() {
        end.push_local(to_send.clone());
    }
    if !received.is_empty() {
        // Less than any window, before anything else.
        let fits = end.on_bytes(received);
        debug_assert!(fits.is_ok());
    }
    end
}

impl Drop for PumpState {
    fn drop(&mut self) {
        STREAMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// This stream's share of what the process may be made to hold.
fn window_share() -> u64 {
    let streams = STREAMS.load(Ordering::Relaxed).max(1);
    (WINDOW_BUDGET / streams).clamp(INITIAL_WINDOW, MAX_WINDOW)
}
