//! PURE. The direction that comes from the other end: what has arrived, what of it is written to the local side, and how
//! much more may come.

use std::time::Duration;

use super::{StreamControl, Violation};
use crate::proto::limits::{ACK_EVERY, ACK_MESSAGES, INITIAL_WINDOW, LONG_PATH_WINDOW, MAX_ACK_EVERY};

/// The direction's state. All counts are bytes since the start of the stream.
#[derive(Debug)]
pub struct ReceiveState {
    received: u64,
    /// How far the other end may send.
    limit: u64,
    written: u64,
    /// What of it the other end was told, and how many messages came since that was all.
    acked: u64,
    unacked_messages: u32,
    window: u64,
    /// The present.
    now: Duration,
    /// When the first of what is not yet acknowledged came.
    unacked_since: Duration,
    /// The place in the direction, and the time, from which on it is seen whether the window is too small.
    growth_from: (u64, Duration),
    /// What came before the last acknowledgement can only be up to here, and when that was said: what comes beyond is an
    /// answer to it.
    window_probe: Option<(u64, Duration)>,
    /// The shortest time that such an answer took.
    round_trip: Option<Duration>,
    end: Option<u64>,
    /// The end was passed on to the local side, and the other end was told.
    end_written: bool,
    end_acked: bool,
    /// A new WebSocket: whatever was told on the old one may be lost.
    ack_owed: bool,
}

impl Default for ReceiveState {
    fn default() -> Self {
        Self::new(INITIAL_WINDOW)
    }
}

impl ReceiveState {
    /// Nothing yet; this much may come.
    pub fn new(window: u64) -> Self {
        Self {
            received: 0,
            limit: window,
            written: 0,
            acked: 0,
            unacked_messages: 0,
            window,
            now: Duration::ZERO,
            unacked_since: Duration::ZERO,
            growth_from: (0, Duration::ZERO),
            window_probe: None,
            round_trip: None,
            end: None,
            end_written: false,
            end_acked: false,
            ack_owed: false,
        }
    }

    /// Says what time it is, since whenever.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Bytes came. Wrong after the end, and beyond the limit.
    pub fn on_bytes(&mut self, bytes: usize) -> Result<(), Violation> {
        if self.received == self.acked {
            self.unacked_since = self.now;
        }
        self.received = self.received.saturating_add(bytes as u64);
        self.unacked_messages = self.unacked_messages.saturating_add(1);
        if let Some((_, sent_at)) = self.window_probe.take_if(|(limit, _)| self.received > *limit) {
            let passed = self.now.saturating_sub(sent_at);
            self.round_trip = Some(self.round_trip.map_or(passed, |shortest| shortest.min(passed)));
        }
        if self.end.is_some() || self.received > self.limit { Err(Violation::WindowExceeded) } else { Ok(()) }
    }

    /// The other end says its direction is over. Wrong if bytes are missing; a new WebSocket may bring it again.
    pub fn on_end(&mut self, bytes: u64) -> Result<(), Violation> {
        if bytes != self.received {
            return Err(Violation::OffsetMismatch);
        }
        self.end = Some(bytes);
        Ok(())
    }

    /// Bytes were written to the local side.
    pub fn on_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.written = self.written.min(self.received);
    }

    /// The end was passed on to the local side.
    pub fn on_end_written(&mut self) {
        self.end_written = true;
    }

    /// A new WebSocket: where the other end is to go on from.
    pub fn resume_message(&mut self) -> StreamControl {
        self.ack_owed = true;
        StreamControl::Resume { received: self.received }
    }

    /// What the other end is to be told now, if anything; it counts as told. The window grows up to `max_window`.
    pub fn next_ack(&mut self, max_window: u64) -> Option<StreamControl> {
        if !self.has_ack_due() {
            return None;
        }
        self.grow_window(max_window);
        if self.written == self.received {
            // While some wait to be written, the next write is news: the other end may have no room for more messages.
            self.unacked_messages = 0;
        }
        (self.acked, self.end_acked, self.ack_owed) = (self.written, self.end_written, false);
        self.window_probe.get_or_insert((self.limit, self.now));
        self.limit = self.limit.max(self.written.saturating_add(self.window));
        Some(StreamControl::Ack { bytes: self.written, window: self.window, end: self.end_written })
    }

    /// Whether the other end is to be told something.
    pub fn has_ack_due(&self) -> bool {
        let unacked = self.written - self.acked;
        // However large the window is, the other end may have room for little, and waits for this.
        let much = unacked >= (self.window / 4).clamp(ACK_EVERY, MAX_ACK_EVERY);
        let many = self.unacked_messages >= ACK_MESSAGES && unacked > 0;
        self.end.is_none() && (much || many) || self.ack_owed || self.end_written && !self.end_acked
    }

    /// Whether all of the direction is here.
    pub fn is_complete(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the other end knows that all of it was passed on. On a new WebSocket it is told again: that may have been lost.
    pub fn is_end_acked(&self) -> bool {
        self.end_acked && !self.ack_owed
    }

    /// A window that is used up within a few round trips is what holds the sender back, unless the local side does, which
    /// then lags. Larger than that it would only have more waiting on the way and in memory.
    fn grow_window(&mut self, max_window: u64) {
        let keeps_up = self.received - self.written <= self.window / 2;
        let took = self.now.saturating_sub(self.unacked_since);
        let may_be_long = self.round_trip.is_none_or(|shortest| shortest >= LONG_ROUND_TRIP) && took >= SLOW_START_TIME;
        if keeps_up && may_be_long && self.written - self.acked >= ACK_EVERY {
            self.window = self.window.max(LONG_PATH_WINDOW);
        }
        let (from, since) = self.growth_from;
        if self.written - from >= self.window {
            let passed = self.now.saturating_sub(since);
            let is_short = self.round_trip.is_some_and(|shortest| passed <= max_fill_time(shortest));
            if keeps_up && is_short {
                self.window = self.window.saturating_mul(2);
            }
            self.growth_from = (self.written, self.now);
        }
        self.window = self.window.min(max_window.max(INITIAL_WINDOW));
    }
}

/// A way whose round trip is this is long.
const LONG_ROUND_TRIP: Duration = Duration::from_millis(5);

/// So long take [`ACK_EVERY`] bytes on a connection that begins, where the way is long: some round trips. On a machine that is
/// too busy they take half of that, now and then.
const SLOW_START_TIME: Duration = Duration::from_millis(40);

/// How long a window lasts that is large enough. On a short way, what waits beyond two round trips is in no processor's cache
/// any more. On a long one, the connections below repair losses for several, and only find out how fast they may be while
/// there is more to send than they take.
fn max_fill_time(round_trip: Duration) -> Duration {
    round_trip * if round_trip < LONG_ROUND_TRIP { 2 } else { 8 }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::proto::limits::MAX_WINDOW;

    #[test]
    fn nobody_sends_beyond_the_limit() {
        let mut incoming = ReceiveState::default();
        let window = usize::try_from(INITIAL_WINDOW).unwrap();
        assert!(incoming.on_bytes(window).is_ok());
        assert!(incoming.on_bytes(1).is_err());
    }

    #[test]
    fn a_direction_that_lost_bytes_does_not_end() {
        let mut incoming = ReceiveState::default();
        incoming.on_bytes(10).unwrap();
        assert!(incoming.on_end(11).is_err());
        assert!(!incoming.is_complete());
        assert!(incoming.on_end(10).is_ok());
        assert!(incoming.on_bytes(1).is_err(), "nothing after the end");
    }

    #[test]
    fn what_was_told_on_a_lost_websocket_is_told_again() {
        let mut incoming = ReceiveState::default();
        incoming.on_bytes(10).unwrap();
        incoming.on_written(4);
        assert_eq!(incoming.next_ack(INITIAL_WINDOW), None, "too little for an acknowledgement of its own");
        assert_eq!(incoming.resume_message(), StreamControl::Resume { received: 10 });
        let ack = StreamControl::Ack { bytes: 4, window: INITIAL_WINDOW, end: false };
        assert_eq!(incoming.next_ack(INITIAL_WINDOW), Some(ack));
        assert_eq!(incoming.next_ack(INITIAL_WINDOW), None);
        incoming.on_written(6);
        incoming.on_end(10).unwrap();
        incoming.on_end_written();
        let last = StreamControl::Ack { bytes: 10, window: INITIAL_WINDOW, end: true };
        assert_eq!(incoming.next_ack(INITIAL_WINDOW), Some(last));
        assert!(incoming.is_end_acked());
        incoming.resume_message();
        assert!(!incoming.is_end_acked(), "it may have been lost");
        assert_eq!(incoming.next_ack(INITIAL_WINDOW), Some(last));
        assert!(incoming.is_end_acked());
    }

    /// What becomes of the window on a way of this speed and length, whose sender always has more, after so many pieces. Now
    /// and then one is lost, and what follows waits until it has been sent again.
    fn window_at(mib_per_second: u64, round_trip: Duration, lost_one_in: u64, chunks: u64) -> u64 {
        const CHUNK: u64 = 16 * 1024;
        let on_the_wire = Duration::from_micros(CHUNK * 1_000_000 / (mib_per_second << 20));
        let (mut incoming, mut wire_free_at) = (ReceiveState::default(), Duration::ZERO);
        let (mut sent, mut allowed, mut repaired_at) = (0, INITIAL_WINDOW, Duration::ZERO);
        let (mut data, mut acks) = (VecDeque::new(), VecDeque::from([(Duration::ZERO, INITIAL_WINDOW)]));
        while incoming.received < chunks * CHUNK {
            let is_ack = acks.front().is_some_and(|(at, _)| data.front().is_none_or(|arrival| at <= arrival));
            let now = if is_ack {
                let (now, limit) = acks.pop_front().unwrap();
                allowed = limit;
                now
            } else {
                let now = data.pop_front().unwrap();
                incoming.set_now(now);
                incoming.on_bytes(usize::try_from(CHUNK).unwrap()).unwrap();
                incoming.on_written(usize::try_from(CHUNK).unwrap());
                if let Some(StreamControl::Ack { bytes, window, .. }) = incoming.next_ack(MAX_WINDOW) {
                    acks.push_back((now + round_trip / 2, bytes + window));
                }
                now
            };
            while sent + CHUNK <= allowed {
                sent += CHUNK;
                wire_free_at = wire_free_at.max(now) + on_the_wire;
                let arrival = wire_free_at + round_trip / 2;
                if (sent / CHUNK).is_multiple_of(lost_one_in) {
                    repaired_at = arrival + round_trip;
                }
                data.push_back(arrival.max(repaired_at));
            }
        }
        incoming.window
    }

    #[test]
    fn the_window_is_what_the_way_takes_and_not_much_more() {
        assert!(window_at(300, Duration::from_micros(300), u64::MAX, 80_000) <= 1 << 20, "more would only lie about");
        let far = Duration::from_millis(200);
        assert_eq!(window_at(120, far, u64::MAX, 80_000), MAX_WINDOW, "a gigabit to the other side of the world");
    }

    #[test]
    fn a_long_way_that_loses_bytes_is_not_taken_for_a_narrow_one() {
        let far = Duration::from_millis(200);
        assert!(
            window_at(1, far, 8, 32) >= LONG_PATH_WINDOW,
            "as long as the connections below find out what it takes"
        );
        assert_eq!(window_at(10, far, 8, 4_000), MAX_WINDOW, "two losses to a round trip, and more");
    }

    /// Gives the window after some MiB, `lag` bytes of which always wait for the local side.
    fn window_after(mib: usize, lag: usize) -> u64 {
        let (mut incoming, mut window) = (ReceiveState::default(), INITIAL_WINDOW);
        incoming.on_bytes(lag).unwrap();
        for _ in 0..mib * 16 {
            incoming.on_bytes(64 * 1024).unwrap();
            incoming.on_written(64 * 1024);
            if let Some(StreamControl::Ack { window: acked_window, .. }) = incoming.next_ack(MAX_WINDOW) {
                window = acked_window;
            }
        }
        window
    }

    /// A sender among many has room for no more than the first window, whatever ours is.
    #[test]
    fn a_large_window_makes_nobody_wait_for_an_acknowledgement() {
        let mut incoming = ReceiveState::new(MAX_WINDOW);
        let little = usize::try_from(INITIAL_WINDOW).unwrap();
        incoming.on_bytes(little).unwrap();
        incoming.on_written(little);
        assert!(incoming.next_ack(MAX_WINDOW).is_some());
    }

    /// The other end keeps no more than so many messages, and has room for one.
    #[test]
    fn small_messages_that_wait_for_the_local_side_are_acknowledged_when_they_are_written() {
        let mut incoming = ReceiveState::default();
        for _ in 0..ACK_MESSAGES * 2 {
            incoming.on_bytes(1).unwrap();
        }
        incoming.on_written(1);
        assert!(incoming.next_ack(MAX_WINDOW).is_some());
        incoming.on_written(usize::try_from(ACK_MESSAGES).unwrap() * 2 - 1);
        assert!(incoming.next_ack(MAX_WINDOW).is_some());
    }

    #[test]
    fn the_window_grows_for_a_reader_that_keeps_up_and_for_no_other() {
        assert_eq!(window_after(64, 0), MAX_WINDOW);
        assert_eq!(window_after(64, 190 * 1024), INITIAL_WINDOW);
    }
}
