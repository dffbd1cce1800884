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

/// Window of a short path, in deliveries of one round trip. Less, and processes wait for each other although there is
/// work; more, and bytes that wait have left the processor's caches, and other streams wait behind them.
const SHORT_PATH_FACTOR: u64 = 8;

/// Time over which the rate of a short path is measured. Within less, a process that had waited for a processor
/// catches up, far faster than the path is.
const SHORT_PATH_SAMPLE: Duration = Duration::from_millis(20);

/// Round-trip time up to which a path that looks long may be a short one between busy machines: with a large window
/// in flight, the time that this takes to arrive is measured too. It is measured again with the initial window.
const DOUBTFUL_ROUND_TRIP: Duration = Duration::from_millis(20);

/// Time until the first such measurement; the time to the next is twice as long each time.
const FIRST_CHECK: Duration = Duration::from_millis(100);

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
    /// While the round trip is measured with the initial window: the size before.
    checking: Option<u64>,
    /// The size that the next acknowledgement returns to, which tells the sender: until then the sender expects
    /// acknowledgements at the interval of the smaller window.
    restoring: Option<u64>,
    /// The time of the next check, and the interval to the one after.
    next_check: Option<(Duration, Duration)>,
    /// Offset written, and time, at the start of the current sample of the rate.
    sample_start: (u64, Duration),
}

impl ReceiveWindow {
    /// A window of this size.
    pub fn new(size: u64) -> Self {
        let sample_start = (0, Duration::ZERO);
        Self { size, probe: None, round_trip: None, checking: None, restoring: None, next_check: None, sample_start }
    }

    /// The window of a new connection, whose path may be another, after this many bytes were written.
    pub fn on_new_connection(written: u64, now: Duration) -> Self {
        Self { sample_start: (written, now), ..Self::new(INITIAL_WINDOW) }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reports whether no round trip was measured yet.
    pub fn is_unmeasured(&self) -> bool {
        self.round_trip.is_none()
    }

    /// Records an acknowledgement that raises this limit of the sender.
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
        let round_trip = self.round_trip.map_or(passed, |shortest| shortest.min(passed));
        self.round_trip = Some(round_trip);
        self.next_check.get_or_insert((now + FIRST_CHECK, FIRST_CHECK));
        match self.checking.take() {
            Some(previous) if round_trip >= LONG_ROUND_TRIP => self.restoring = Some(previous),
            None if seemed_long && round_trip < LONG_ROUND_TRIP => self.check_round_trip(INITIAL_WINDOW),
            Some(_) | None => {}
        }
    }

    /// Resizes the window to the rate at which bytes are written, if the local side keeps up: a window that only queues
    /// bytes for it is never raised.
    pub fn resize(&mut self, written: u64, keeps_up: bool, now: Duration, max: u64) {
        let (from, since) = self.sample_start;
        let (delivered, passed) = (written - from, now.saturating_sub(since));
        let (target, sample) = match self.round_trip {
            None => (LONG_PATH_WINDOW, Duration::ZERO),
            Some(round_trip) if round_trip < LONG_ROUND_TRIP => {
                let is_measured = passed >= SHORT_PATH_SAMPLE;
                let target = if is_measured { SHORT_PATH_FACTOR * per_round(delivered, passed, round_trip) } else { 0 };
                (target, SHORT_PATH_SAMPLE)
            }
            Some(round_trip) => {
                let target = LONG_PATH_FACTOR * per_round(delivered, passed, round_trip);
                (target.max(LONG_PATH_WINDOW), round_trip)
            }
        };
        if passed >= sample {
            self.sample_start = (written, now);
        }
        if self.checking.is_some() {
            return;
        }
        self.size = self.size.max(self.restoring.take().unwrap_or_default());
        if keeps_up {
            self.size = self.size.max(target);
        }
        self.check_if_doubtful(now);
        self.size = self.size.min(max.max(INITIAL_WINDOW));
    }

    fn check_if_doubtful(&mut self, now: Duration) {
        let Some((at, interval)) = self.next_check else { return };
        let is_doubtful = |shortest| (LONG_ROUND_TRIP..DOUBTFUL_ROUND_TRIP).contains(&shortest);
        if now >= at && self.round_trip.is_some_and(is_doubtful) {
            self.next_check = Some((now + 2 * interval, 2 * interval));
            self.check_round_trip(self.size);
        }
    }

    /// Measures the round trip with the initial window, and then returns to this one if the path is long.
    fn check_round_trip(&mut self, previous: u64) {
        (self.checking, self.size, self.probe) = (Some(previous), INITIAL_WINDOW, None);
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
    fn a_busy_machine_that_catches_up_does_not_raise_the_window_of_a_short_path() {
        let mut window = measured(MS);
        window.on_ack(2 * INITIAL_WINDOW, 2 * MS);
        window.on_received(2 * INITIAL_WINDOW + 1, 3 * MS);
        let (per_round, catching_up) = (100 << 10, 4 << 20);
        window.resize(catching_up, true, 3 * MS, MAX_WINDOW);
        assert_eq!(window.size(), INITIAL_WINDOW);
        for round in 1..100 {
            window.resize(catching_up + round * per_round, true, (3 + u32::try_from(round).unwrap()) * MS, MAX_WINDOW);
        }
        let size = window.size();
        assert!((SHORT_PATH_FACTOR * per_round..3 * SHORT_PATH_FACTOR * per_round).contains(&size), "{size}");
    }

    /// Has the round trip measured again, and returns the window during that and after.
    fn checked(mut window: ReceiveWindow, round_trip: Duration) -> (u64, u64) {
        let now = 2 * FIRST_CHECK;
        window.resize(8 << 20, true, now, MAX_WINDOW);
        let during = window.size();
        window.on_ack(16 << 20, now);
        window.on_received((16 << 20) + 1, now + round_trip);
        assert_eq!(window.size(), during, "the sender does not know of another yet");
        window.resize(8 << 20, false, now + round_trip, MAX_WINDOW);
        (during, window.size())
    }

    #[test]
    fn a_short_path_that_looked_long_while_machines_were_busy_is_measured_again() {
        assert_eq!(checked(measured(6 * MS), MS), (INITIAL_WINDOW, INITIAL_WINDOW));
        let (during, after) = checked(measured(6 * MS), 6 * MS);
        assert!(during == INITIAL_WINDOW && after >= LONG_PATH_WINDOW, "{after}");
        let (during, _) = checked(measured(DOUBTFUL_ROUND_TRIP), 6 * MS);
        assert!(during >= LONG_PATH_WINDOW, "a path of {DOUBTFUL_ROUND_TRIP:?} is long");
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
