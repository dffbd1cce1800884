//! The state that the loops of one pump share: this end of the stream, and the conditions that they wait for.

mod room;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};

use super::{EarlyData, Tunnel};
use crate::net::os::clock;
use crate::net::stream_memory::{StreamMemory, StreamShares};
use crate::proto::limits::FULL_MESSAGE_BYTES;
use crate::proto::stream::Violation;
use crate::proto::stream::endpoint::{CloseMeaning, NextSend, StreamEndpoint};

/// The shared state of one pump.
pub(super) struct PumpState {
    endpoint: Mutex<StreamEndpoint>,
    /// There may be something to send.
    sender_wakeup: AtomicBool,
    /// A loop that was already polled may make progress now.
    repoll: AtomicBool,
    local_reset: AtomicBool,
    /// The end of the peer's direction is delivered, and not acknowledged yet.
    end_delivered: AtomicBool,
    memory: StreamShares,
    /// The WebSocket is not read, because too much is undelivered.
    paused: AtomicBool,
    /// The time since which the stream is deadlocked for lack of memory, in milliseconds from its start; 0 if it is not.
    deadlocked_at: AtomicU64,
    hold_release: bool,
    started_at: Instant,
}

impl PumpState {
    /// Creates the state of a stream, with its early data, which it takes out of the tunnel: that lives as long as the stream.
    pub(super) fn new<T>(tunnel: &mut Tunnel<T>, memory: &StreamMemory) -> Self {
        Self {
            endpoint: Mutex::new(initial_endpoint(tunnel)),
            sender_wakeup: AtomicBool::new(false),
            repoll: AtomicBool::new(false),
            local_reset: AtomicBool::new(false),
            end_delivered: AtomicBool::new(false),
            memory: memory.open_stream(),
            paused: AtomicBool::new(false),
            deadlocked_at: AtomicU64::new(0),
            hold_release: tunnel.hold_release,
            started_at: clock::now(),
        }
    }

    /// Reports whether the WebSocket is used for another stream after this one.
    pub(super) fn is_reusable(&self) -> bool {
        self.endpoint().is_reusable()
    }

    /// Records the peer's release of the WebSocket.
    pub(super) fn peer_released(&self) -> Result<(), Violation> {
        self.request_poll();
        self.endpoint().on_release()
    }

    /// Reports whether the peer has released the WebSocket.
    pub(super) fn has_peer_released(&self) -> bool {
        self.endpoint().has_peer_released()
    }

    /// Returns once both ends have released the WebSocket.
    pub(super) async fn both_released(&self) {
        self.until(|end| end.have_both_released().then_some(())).await;
    }

    /// Reports whether the stream may be over at this end too.
    pub(super) fn may_have_ended(&self) -> bool {
        self.endpoint().may_have_ended()
    }

    /// Reports once whether this end still has to send its release.
    pub(super) fn take_release(&self) -> bool {
        self.endpoint().take_release()
    }

    /// Runs the loops that share this state. They are one task, so a change by one loop wakes another without a waker,
    /// which would schedule the whole task again and wake another thread for it: all loops are polled once more.
    pub(super) async fn drive<O>(&self, mut loops: Pin<&mut impl Future<Output = O>>) -> O {
        poll_fn(|context| {
            loop {
                match loops.as_mut().poll(context) {
                    Poll::Pending if self.repoll.swap(false, Ordering::Relaxed) => {}
                    Poll::Pending => return Poll::Pending,
                    done @ Poll::Ready(_) => return done,
                }
            }
        })
        .await
    }

    /// Returns the first `Some` of `check`. Only for loops within [`Self::drive`].
    async fn until<O>(&self, mut check: impl FnMut(&mut StreamEndpoint) -> Option<O>) -> O {
        poll_fn(|_| check(&mut self.endpoint()).map_or(Poll::Pending, Poll::Ready)).await
    }

    /// Has all loops polled once more.
    fn request_poll(&self) {
        self.repoll.store(true, Ordering::Relaxed);
    }

    /// Wakes the loop that sends.
    fn wake_sender(&self) {
        self.sender_wakeup.store(true, Ordering::Relaxed);
        self.request_poll();
    }

    /// Reports whether both ends speak `devstream.v1`: windows, and an end of its own for each direction.
    pub(super) fn has_stream_protocol(&self) -> bool {
        self.endpoint().has_stream_protocol()
    }

    /// Reports whether both ends can resume the stream.
    pub(super) fn is_resumable(&self) -> bool {
        self.endpoint().is_resumable()
    }

    /// Starts a new WebSocket in place of the lost one.
    pub(super) fn attach(&self) {
        self.endpoint().attach();
        self.paused.store(false, Ordering::Relaxed);
        self.deadlocked_at.store(0, Ordering::Relaxed);
        self.wake_sender();
    }

    /// Handles the peer's `resume`, which says how many bytes it has received.
    pub(super) fn resumed(&self, received: u64) -> Result<(), Violation> {
        self.wake_sender();
        self.endpoint().on_resume(received)
    }

    /// Reports whether the peer's `resume` is still awaited.
    pub(super) fn is_awaiting_resume(&self) -> bool {
        self.endpoint().is_awaiting_resume()
    }

    /// Returns the next message to send, if any.
    pub(super) fn next_send(&self) -> Option<NextSend> {
        let mut end = self.endpoint();
        end.set_now(clock::now().saturating_duration_since(self.started_at));
        end.next_send(self.memory.window())
    }

    /// Reports whether the stream is over with what was sent last, and that may wait for the connection's next stream.
    pub(super) fn holds_release(&self) -> bool {
        self.hold_release && self.endpoint().have_both_released()
    }

    /// Records that everything so far was flushed.
    pub(super) fn flushed(&self) {
        let mut end = self.endpoint();
        end.on_flushed();
        if end.is_finished() {
            self.request_poll();
        }
    }

    /// Returns once there may be something to send, or a larger window.
    pub(super) async fn sender_woken(&self) {
        self.until(|_| self.sender_wakeup.swap(false, Ordering::Relaxed).then_some(())).await;
    }

    /// Queues a ping to the peer.
    pub(super) fn queue_ping(&self) {
        self.endpoint().queue_ping();
        self.wake_sender();
    }

    /// The number of bytes that may be read from the local side now.
    pub(super) fn capacity(&self) -> u64 {
        self.endpoint().capacity(self.memory.sending.limit())
    }

    /// Returns an empty read buffer of at least this size.
    pub(super) fn block(&self, size: usize) -> BytesMut {
        let spare = if size == FULL_MESSAGE_BYTES { self.endpoint().take_spare_buffer() } else { None };
        spare.unwrap_or_else(|| BytesMut::with_capacity(size))
    }

    /// Queues bytes from the local side; empty at the end of its direction.
    pub(super) fn push_local(&self, bytes: Bytes) {
        let is_end = bytes.is_empty();
        let mut end = self.endpoint();
        end.push_local(bytes);
        self.memory.sending.set_held(end.held_for_sending(self.memory.sending.limit()));
        if is_end && self.end_delivered.load(Ordering::Relaxed) {
            end.on_end_written();
            self.request_poll();
        }
    }

    /// The number of bytes sent, without repetitions.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.endpoint().bytes_sent()
    }

    /// Handles the peer's acknowledgement: the bytes delivered, its window, and whether it delivered the end.
    pub(super) fn acknowledged(&self, bytes: u64, window: u64, end: bool) -> Result<(), Violation> {
        self.wake_sender();
        let mut endpoint = self.endpoint();
        let acknowledged = endpoint.on_ack(bytes, window, end);
        self.memory.sending.set_held(endpoint.held_for_sending(self.memory.sending.limit()));
        acknowledged
    }

    /// Queues received bytes for the local side.
    pub(super) fn received(&self, bytes: &Bytes) -> Result<(), Violation> {
        self.request_poll();
        let mut end = self.endpoint();
        end.set_now(clock::now().saturating_duration_since(self.started_at));
        let fits = end.on_bytes(bytes);
        self.memory.receiving.set_held(end.undelivered() as u64);
        fits
    }

    /// Handles the end of the peer's direction, after this many bytes.
    pub(super) fn ended(&self, bytes: u64) -> Result<(), Violation> {
        let fits = self.endpoint().on_end(bytes);
        self.request_poll();
        fits
    }

    /// Records the peer's close, after all its bytes.
    pub(super) fn closed(&self) {
        self.endpoint().on_close();
        self.request_poll();
    }

    /// Reports whether the peer has closed.
    pub(super) fn is_closed(&self) -> bool {
        self.endpoint().is_closed()
    }

    /// Interprets the peer's close frame.
    pub(super) fn interpret_close(&self, close_frame: Option<(u16, &str)>) -> CloseMeaning {
        self.endpoint().interpret_close(close_frame)
    }

    /// Waits for the next bytes to deliver; `None` at the end of the peer's direction.
    pub(super) async fn pop_local(&self) -> Option<Bytes> {
        let next = self.until(|end| match end.pop_local() {
            None => end.has_received_all().then_some(None),
            some => Some(some),
        });
        next.await
    }

    /// Records bytes written to the local side.
    pub(super) fn written(&self, bytes: usize) {
        let mut end = self.endpoint();
        end.on_written(bytes);
        self.memory.receiving.set_held(end.undelivered() as u64);
        self.end_excess(&end);
        if end.has_ack_due() {
            self.wake_sender();
        } else if self.paused.load(Ordering::Relaxed) {
            self.request_poll();
        }
    }

    /// Records that the end of the peer's direction is delivered to the local side, which may now end its own.
    pub(super) fn mark_end_delivered(&self) {
        self.end_delivered.store(true, Ordering::Relaxed);
    }

    /// Returns once the local side has ended its direction.
    pub(super) async fn local_finished(&self) {
        self.until(|end| (!end.is_local_open()).then_some(())).await;
    }

    /// Queues the acknowledgement that the end of the peer's direction is delivered.
    pub(super) fn end_written(&self) {
        self.endpoint().on_end_written();
        self.wake_sender();
    }

    /// Records that the local side reset its connection.
    pub(super) fn mark_local_reset(&self) {
        self.local_reset.store(true, Ordering::Relaxed);
        self.request_poll();
    }

    /// Reports whether the local side reset its connection.
    pub(super) fn is_local_reset(&self) -> bool {
        self.local_reset.load(Ordering::Relaxed)
    }

    /// Returns once the local side has reset its connection.
    pub(super) async fn wait_local_reset(&self) {
        self.until(|_| self.is_local_reset().then_some(())).await;
    }

    /// Reports whether both directions are over and all acknowledgements sent.
    pub(super) fn is_finished(&self) -> bool {
        self.endpoint().is_finished()
    }

    /// Returns once [`Self::is_finished`].
    pub(super) async fn finished(&self) {
        self.until(|end| end.is_finished().then_some(())).await;
    }

    fn endpoint(&self) -> MutexGuard<'_, StreamEndpoint> {
        self.endpoint.lock()
    }
}

/// Creates this end of a stream, with its early data.
fn initial_endpoint<T>(tunnel: &mut Tunnel<T>) -> StreamEndpoint {
    let EarlyData { to_send, sent, received } = std::mem::take(&mut tunnel.early);
    let mut end = StreamEndpoint::new(tunnel.protocol);
    if tunnel.reusable {
        end.allow_reuse();
    }
    if !sent.is_empty() {
        end.record_early_data_sent(sent);
    }
    if !to_send.is_empty() {
        end.push_local(to_send);
    }
    if !received.is_empty() {
        // Early data is smaller than any window.
        let fits = end.on_bytes(&received);
        debug_assert!(fits.is_ok());
    }
    end
}
