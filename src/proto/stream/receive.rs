//! PURE. The incoming direction: bytes received, bytes written to the local side, acknowledgements, and the window
//! granted to the peer.

use std::time::Duration;

use super::{StreamControl, Violation};
use crate::proto::limits::{ACK_EVERY, ACK_MESSAGES, INITIAL_WINDOW, LONG_PATH_WINDOW, MAX_ACK_EVERY};

/// The state of the incoming direction. All offsets are in bytes since the start of the stream.
#[derive(Debug)]
pub struct ReceiveState {
    received: u64,
    /// Offset up to which the peer may send.
    limit: u64,
    written: u64,
    /// Acknowledged offset.
    acked: u64,
    /// Messages received since everything was acknowledged.
    unacked_messages: u32,
    window: u64,
    /// The current time.
    now: Duration,
    /// Arrival of the first unacknowledged byte.
    unacked_since: Duration,
    /// Offset and time of the start of the window's measurement: whether it is used up too soon.
    window_growth_start: (u64, Duration),
    /// Limit before the last acknowledgement, and its time: bytes beyond that limit were sent after it arrived.
    window_limit_sample: Option<(u64, Duration)>,
    /// The shortest time between an acknowledgement and such bytes.
    round_trip: Option<Duration>,
    end: Option<u64>,
    /// The end has been passed on to the local side.
    end_written: bool,
    /// The end has been acknowledged.
    end_acked: bool,
    /// There is a new WebSocket, and the last acknowledgement on the old one may be lost.
    needs_ack: bool,
}

impl Default for ReceiveState {
    fn default() -> Self {
        Self::new(INITIAL_WINDOW)
    }
}

impl ReceiveState {
    /// A new direction with this window.
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
            window_growth_start: (0, Duration::ZERO),
            window_limit_sample: None,
            round_trip: None,
            end: None,
            end_written: false,
            end_acked: false,
            needs_ack: false,
        }
    }

    /// Sets the time, as a duration since any fixed origin.
    pub fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Handles received bytes: an error after the end, and beyond the limit.
    pub fn on_bytes(&mut self, bytes: usize) -> Result<(), Violation> {
        if self.received == self.acked {
            self.unacked_since = self.now;
        }
        self.received = self.received.saturating_add(bytes as u64);
        self.unacked_messages = self.unacked_messages.saturating_add(1);
        if let Some((_, sent_at)) = self.window_limit_sample.take_if(|(limit, _)| self.received > *limit) {
            let passed = self.now.saturating_sub(sent_at);
            self.round_trip = Some(self.round_trip.map_or(passed, |shortest| shortest.min(passed)));
        }
        if self.end.is_some() || self.received > self.limit { Err(Violation::WindowExceeded) } else { Ok(()) }
    }

    /// Handles the peer's end: an error if bytes are missing. A new WebSocket may repeat it.
    pub fn on_end(&mut self, bytes: u64) -> Result<(), Violation> {
        if bytes != self.received {
            return Err(Violation::OffsetMismatch);
        }
        self.end = Some(bytes);
        Ok(())
    }

    /// Records bytes as written to the local side.
    pub fn on_written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.written = self.written.min(self.received);
    }

    /// Records the end as passed on to the local side.
    pub fn on_end_written(&mut self) {
        self.end_written = true;
    }

    /// Returns the first message on a new WebSocket: the offset from which the peer continues.
    pub fn resume_message(&mut self) -> StreamControl {
        self.needs_ack = true;
        StreamControl::Resume { received: self.received }
    }

    /// Returns the acknowledgement that is due and counts it as sent. The window grows up to `max_window`.
    pub fn next_ack(&mut self, max_window: u64) -> Option<StreamControl> {
        if !self.has_ack_due() {
            return None;
        }
        self.grow_window(max_window);
        if self.written == self.received {
            // While messages wait to be written, the next write is due an acknowledgement: the peer may be at its limit
            // of unacknowledged messages.
            self.unacked_messages = 0;
        }
        (self.acked, self.end_acked, self.needs_ack) = (self.written, self.end_written, false);
        self.window_limit_sample.get_or_insert((self.limit, self.now));
        self.limit = self.limit.max(self.written.saturating_add(self.window));
        Some(StreamControl::Ack { bytes: self.written, window: self.window, end: self.end_written })
    }

    /// Reports whether an acknowledgement is due.
    pub fn has_ack_due(&self) -> bool {
        let unacked = self.written - self.acked;
        // However large the window, the peer may be limited to less in flight, and wait for this.
        let much = unacked >= (self.window / 4).clamp(ACK_EVERY, MAX_ACK_EVERY);
        let many = self.unacked_messages >= ACK_MESSAGES && unacked > 0;
        self.end.is_none() && (much || many) || self.needs_ack || self.end_written && !self.end_acked
    }

    /// Reports whether the direction has ended.
    pub fn is_complete(&self) -> bool {
        self.end.is_some()
    }

    /// Reports whether the end has been acknowledged. On a new WebSocket it has to be again: the acknowledgement may be
    /// lost.
    pub fn is_end_acked(&self) -> bool {
        self.end_acked && !self.needs_ack
    }

    /// Grows the window if it holds back the sender: if it is used up within a few round trips while the local side
    /// keeps up. A larger one would only queue more bytes on the path and in memory.
    fn grow_window(&mut self, max_window: u64) {
        let keeps_up = self.received - self.written <= self.window / 2;
        let took = self.now.saturating_sub(self.unacked_since);
        let may_be_long = self.round_trip.is_none_or(|shortest| shortest >= LONG_ROUND_TRIP) && took >= SLOW_START_TIME;
        if keeps_up && may_be_long && self.written - self.acked >= ACK_EVERY {
            self.window = self.window.max(LONG_PATH_WINDOW);
        }
        let (from, since) = self.window_growth_start;
        if self.written - from >= self.window {
            let passed = self.now.saturating_sub(since);
            let is_short = self.round_trip.is_some_and(|shortest| passed <= max_fill_time(shortest));
            if keeps_up && is_short {
                self.window = self.window.saturating_mul(2);
            }
            self.window_growth_start = (self.written, self.now);
        }
        self.window = self.window.min(max_window.max(INITIAL_WINDOW));
    }
}

/// Round-trip time from which a path counts as long.
const LONG_ROUND_TRIP: Duration = Duration::from_millis(5);

/// Time that [`ACK_EVERY`] bytes take, at least, on a long path in TCP slow start: some round trips. On a machine that
/// is too busy they take half of that now and then.
const SLOW_START_TIME: Duration = Duration::from_millis(40);

/// Returns the time that a window must last. On a short path, bytes that wait longer than two round trips have left the
/// processor's caches. On a long one, the TCP connections below need several to repair losses, and find out their rate
/// only while there is more to send than they take.
fn max_fill_time(round_trip: Duration) -> Duration {
    round_trip * if round_trip < LONG_ROUND_TRIP { 2 } else { 8 }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::proto::limits::MAX_WINDOW;

    #[test]
    fn bytes_beyond_the_limit_are_an_error() {
        let mut incoming = ReceiveState::default();
        let window = usize::try_from(INITIAL_WINDOW).unwrap();
        assert!(incoming.on_bytes(window).is_ok());
        assert!(incoming.on_bytes(1).is_err());
    }

    #[test]
    fn a_direction_with_missing_bytes_does_not_end() {
        let mut incoming = ReceiveState::default();
        incoming.on_bytes(10).unwrap();
        assert!(incoming.on_end(11).is_err());
        assert!(!incoming.is_complete());
        assert!(incoming.on_end(10).is_ok());
        assert!(incoming.on_bytes(1).is_err(), "nothing after the end");
    }

    #[test]
    fn acknowledgements_on_a_lost_websocket_are_repeated() {
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

    /// Returns the window after this many chunks from a saturated sender on a path of this rate and round-trip time.
    /// One chunk in `lost_one_in` is lost, and those after it wait for its retransmission.
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
    fn the_window_is_what_the_path_takes_and_not_much_more() {
        assert!(window_at(300, Duration::from_micros(300), u64::MAX, 80_000) <= 1 << 20, "more would only be queued");
        let far = Duration::from_millis(200);
        assert_eq!(window_at(120, far, u64::MAX, 80_000), MAX_WINDOW, "a gigabit to the other side of the world");
    }

    #[test]
    fn a_long_path_with_losses_is_not_taken_for_a_slow_one() {
        let far = Duration::from_millis(200);
        assert!(window_at(1, far, 8, 32) >= LONG_PATH_WINDOW, "while TCP is in slow start");
        assert_eq!(window_at(10, far, 8, 4_000), MAX_WINDOW, "two losses to a round trip, and more");
    }

    /// Returns the window after some MiB, of which `lag` bytes are never written.
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

    /// A sender with many streams may have no more than the initial window in flight, whatever window is granted.
    #[test]
    fn a_large_window_delays_no_acknowledgement() {
        let mut incoming = ReceiveState::new(MAX_WINDOW);
        let little = usize::try_from(INITIAL_WINDOW).unwrap();
        incoming.on_bytes(little).unwrap();
        incoming.on_written(little);
        assert!(incoming.next_ack(MAX_WINDOW).is_some());
    }

    /// The peer keeps a limited number of messages, and has room for one more.
    #[test]
    fn small_messages_are_acknowledged_when_they_are_written() {
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
    fn the_window_grows_only_for_a_reader_that_keeps_up() {
        assert_eq!(window_after(64, 0), MAX_WINDOW);
        assert_eq!(window_after(64, 190 * 1024), INITIAL_WINDOW);
    }
}
