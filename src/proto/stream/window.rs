//! PURE. The size of the receive window, from the bytes that are delivered in a round trip: receive-buffer auto-tuning,
//! as in Dynamic Right-Sizing (Fisk and Feng, 2001), Linux's TCP and QUIC implementations.
//!
//! The window must not hold the sender back, above all not in its first round trips: TCP below is in slow start then,
//! and BBR leaves it for good once three round trips in turn are no faster than those before. A window that was used up
//! looks like a path that was used up; BBR then raises its rate by a quarter every eight round trips, for many seconds.

use std::time::Duration;

use crate::proto::limits::{ACK_EVERY, INITIAL_WINDOW, LONG_PATH_WINDOW, MAX_ACK_EVERY};

/// Round-trip time from which a path counts as long.
pub const LONG_ROUND_TRIP: Duration = Duration::from_millis(5);

/// Longest round trip that is measured: a longer one means that the sender had nothing to send.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(2);

/// Window of a long path, in deliveries of one round trip. A stream crosses two TCP connections that double their rate
/// in a round trip of one, while an acknowledgement crosses both: four times as much. A packet lost on each holds
/// everything back for as long again: sixteen times.
const LONG_PATH_FACTOR: u64 = 16;

/// Window of a short path, in deliveries of one round trip: bytes that wait longer have left the processor's caches.
const SHORT_PATH_FACTOR: u64 = 4;

/// Returns the number of bytes written to the local side after which an acknowledgement is due, with this window.
pub fn ack_interval(window: u64) -> u64 {
    (window / 4).clamp(ACK_EVERY, MAX_ACK_EVERY)
}

/// The window of one direction, and the measurements that it is derived from.
#[derive(Debug)]
pub struct ReceiveWindow {
    size: u64,
    /// Limit before an acknowledgement, and the time of that acknowledgement: bytes beyond the limit were sent after it
    /// arrived.
    probe: Option<(u64, Duration)>,
    /// The shortest time between an acknowledgement and such bytes.
    round_trip: Option<Duration>,
    /// Offset written, and time, at the start of the current round trip.
    round_start: (u64, Duration),
}

impl ReceiveWindow {
    /// A window of this size.
    pub fn new(size: u64) -> Self {
        Self { size, probe: None, round_trip: None, round_start: (0, Duration::ZERO) }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reports whether no round trip was measured yet.
    pub fn is_unmeasured(&self) -> bool {
        self.round_trip.is_none()
    }

    /// Records an acknowledgement that raises this limit.
    pub fn on_ack(&mut self, limit: u64, now: Duration) {
        let is_stale = self.probe.is_none_or(|(_, sent_at)| now.saturating_sub(sent_at) > MAX_ROUND_TRIP);
        if is_stale {
            self.probe = Some((limit, now));
        }
    }

    /// Records the receipt of bytes up to this offset.
    pub fn on_received(&mut self, received: u64, now: Duration) {
        let Some((_, sent_at)) = self.probe.take_if(|(limit, _)| received > *limit) else { return };
        let passed = now.saturating_sub(sent_at);
        if passed > MAX_ROUND_TRIP {
            return;
        }
        let seemed_long = self.round_trip.is_none_or(|shortest| shortest >= LONG_ROUND_TRIP);
        self.round_trip = Some(self.round_trip.map_or(passed, |shortest| shortest.min(passed)));
        if seemed_long && passed < LONG_ROUND_TRIP {
            self.size = INITIAL_WINDOW;
        }
    }

    /// Resizes the window to the rate at which bytes are written, if the local side keeps up: a window that only queues
    /// bytes for it is never raised.
    pub fn resize(&mut self, written: u64, keeps_up: bool, now: Duration, max: u64) {
        let (from, since) = self.round_start;
        let passed = now.saturating_sub(since);
        let delivered = written - from;
        let target = match self.round_trip {
            None => LONG_PATH_WINDOW,
            Some(round_trip) if round_trip < LONG_ROUND_TRIP => {
                SHORT_PATH_FACTOR * per_round(delivered, passed, round_trip)
            }
            Some(round_trip) => LONG_PATH_WINDOW.max(LONG_PATH_FACTOR * per_round(delivered, passed, round_trip)),
        };
        if self.round_trip.is_none_or(|round_trip| passed >= round_trip) {
            self.round_start = (written, now);
        }
        if keeps_up {
            self.size = self.size.max(target);
        }
        self.size = self.size.min(max.max(INITIAL_WINDOW));
    }
}

/// Returns the bytes of one round trip, if so many were delivered within the time passed. A part of a round trip is not
/// extrapolated: bytes that waited for a retransmission arrive at once.
fn per_round(delivered: u64, passed: Duration, round_trip: Duration) -> u64 {
    if passed <= round_trip {
        return delivered;
    }
    let scaled = u128::from(delivered) * round_trip.as_nanos() / passed.as_nanos();
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::limits::MAX_WINDOW;

    const MS: Duration = Duration::from_millis(1);

    /// Returns a window after its first round trip, of this length.
    fn measured(round_trip: Duration) -> ReceiveWindow {
        let mut window = ReceiveWindow::new(INITIAL_WINDOW);
        window.resize(INITIAL_WINDOW / 4, true, MS, MAX_WINDOW);
        window.on_ack(INITIAL_WINDOW, MS);
        window.on_received(INITIAL_WINDOW + 1, MS + round_trip);
        window
    }

    #[test]
    fn the_first_window_is_that_of_a_long_path_until_the_path_is_short() {
        assert_eq!(measured(100 * MS).size(), LONG_PATH_WINDOW);
        assert_eq!(measured(MS).size(), INITIAL_WINDOW);
    }

    #[test]
    fn a_window_is_many_times_what_a_round_trip_of_a_long_path_delivers() {
        let (mut window, per_round) = (measured(100 * MS), 1 << 20);
        for round in 1..10 {
            window.resize(round * per_round, true, MS + 100 * MS * u32::try_from(round).unwrap(), MAX_WINDOW);
        }
        assert_eq!(window.size(), LONG_PATH_FACTOR * per_round);
    }

    #[test]
    fn a_pause_of_the_sender_is_not_taken_for_a_round_trip() {
        let mut window = ReceiveWindow::new(INITIAL_WINDOW);
        window.on_ack(INITIAL_WINDOW, MS);
        window.on_received(INITIAL_WINDOW + 1, 2 * MAX_ROUND_TRIP);
        assert!(window.is_unmeasured());
        window.on_ack(INITIAL_WINDOW, 3 * MAX_ROUND_TRIP);
        window.on_ack(2 * INITIAL_WINDOW, 3 * MAX_ROUND_TRIP + 50 * MS);
        window.on_received(INITIAL_WINDOW + 1, 3 * MAX_ROUND_TRIP + 100 * MS);
        assert_eq!(window.round_trip, Some(100 * MS));
    }

    #[test]
    fn bytes_that_arrive_at_once_after_a_retransmission_are_not_taken_for_a_rate() {
        let mut window = measured(100 * MS);
        window.resize(INITIAL_WINDOW, true, 201 * MS, MAX_WINDOW);
        window.resize(INITIAL_WINDOW + (1 << 20), true, 202 * MS, MAX_WINDOW);
        assert_eq!(window.size(), LONG_PATH_FACTOR << 20);
    }

    #[test]
    fn a_window_stays_within_the_streams_share() {
        let mut window = measured(100 * MS);
        window.resize(64 << 20, true, 101 * MS, 4 << 20);
        assert_eq!(window.size(), 4 << 20);
        window.resize(64 << 20, true, 102 * MS, 0);
        assert_eq!(window.size(), INITIAL_WINDOW);
    }
}
