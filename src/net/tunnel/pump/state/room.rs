//! The room for received bytes: whether the WebSocket is read, where the client's streams use their memory up.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep_until, timeout};

use super::PumpState;
use crate::net::liveness::Liveness;
use crate::net::os::clock;
use crate::proto::limits::{INITIAL_WINDOW, MAX_RECEIVED_MESSAGE_BYTES, STREAM_RESERVE};
use crate::proto::stream::endpoint::StreamEndpoint;

/// The interval at which a stream that is not read looks whether other streams have freed memory.
const ROOM_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The longest time that a stream is deadlocked for lack of memory: others that use it up have time to pass on what they
/// hold, and a person still waits for the error.
const DEADLOCK_TIMEOUT: Duration = Duration::from_secs(60);

impl PumpState {
    /// Waits for room for another message. The window is room enough, unless the client's other streams hold so much
    /// that this one may not use it; a peer without `devstream.v1` knows no windows. Returns for how long there was none.
    pub(in super::super) async fn wait_for_room(&self, liveness: &Liveness) -> Option<Duration> {
        if self.has_room(&self.endpoint()) {
            return None;
        }
        let paused_at = clock::now();
        self.paused.store(true, Ordering::Relaxed);
        let room = || self.until(|end| (self.has_room(end) || self.has_excess_room(end)).then_some(()));
        while timeout(ROOM_CHECK_INTERVAL, room()).await.is_err() {
            // A peer that is not read is not silent.
            liveness.restart_read_timer();
        }
        liveness.restart_read_timer();
        self.paused.store(false, Ordering::Relaxed);
        self.deadlocked_at.store(0, Ordering::Relaxed);
        Some(clock::now().saturating_duration_since(paused_at))
    }

    fn has_room(&self, end: &StreamEndpoint) -> bool {
        let undelivered = end.undelivered() as u64;
        undelivered < STREAM_RESERVE
            // The peer sends no bytes before it has said what it received.
            || end.is_awaiting_resume()
            || undelivered < self.memory.receiving_limit()
                && (end.has_stream_protocol() || undelivered < MAX_RECEIVED_MESSAGE_BYTES as u64)
    }

    /// Reports whether the application cannot write before more is acknowledged.
    fn is_write_blocked(&self, end: &StreamEndpoint) -> bool {
        end.is_local_open() && end.in_flight() > 0 && end.capacity(self.memory.sending.limit()) == 0
    }

    /// Reports whether there is room beyond the stream's share because it is deadlocked: an application that reads no
    /// more until it has written waits for acknowledgements, which come after the bytes that it does not read.
    fn has_excess_room(&self, end: &StreamEndpoint) -> bool {
        if !self.is_write_blocked(end) {
            return false;
        }
        if self.deadlocked_at.load(Ordering::Relaxed) == 0 {
            let age = clock::now().saturating_duration_since(self.started_at).as_millis();
            self.deadlocked_at.store(u64::try_from(age).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
            self.request_poll();
        }
        // Others may be helped where this one is not.
        let would_have_room = (end.undelivered() as u64) < self.memory.receiving.limit() + INITIAL_WINDOW;
        would_have_room && self.memory.allow_excess() && self.has_room(end)
    }

    /// Returns once the stream has been deadlocked for [`DEADLOCK_TIMEOUT`].
    pub(in super::super) async fn deadlocked(&self) {
        loop {
            let since = poll_fn(|_| match self.deadlocked_at.load(Ordering::Relaxed) {
                0 => Poll::Pending,
                since => Poll::Ready(since),
            });
            let since = since.await;
            sleep_until((self.started_at + Duration::from_millis(since) + DEADLOCK_TIMEOUT).into()).await;
            if self.deadlocked_at.load(Ordering::Relaxed) == since {
                return;
            }
        }
    }

    /// Leaves the excess to others once the application has read it.
    pub(super) fn end_excess(&self, end: &StreamEndpoint) {
        if self.memory.has_excess() && (end.undelivered() as u64) < self.memory.receiving.limit() {
            self.memory.end_excess();
        }
    }
}
