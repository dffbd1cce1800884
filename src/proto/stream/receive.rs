//! PURE. The incoming direction: bytes received, bytes written to the local side, acknowledgements, and the window
//! granted to the peer.

use std::time::Duration;

use super::window::{LONG_ROUND_TRIP, ReceiveWindow, ack_interval};
use super::{StreamControl, Violation};
use crate::proto::limits::{ACK_MESSAGES, FIRST_ACK, INITIAL_WINDOW};

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
    window: ReceiveWindow,
    /// The current time.
    now: Duration,
    /// Arrival of the first unacknowledged byte.
    unacked_since: Duration,
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
            window: ReceiveWindow::new(window),
            now: Duration::ZERO,
            unacked_since: Duration::ZERO,
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
        self.window.on_received(self.received, self.now);
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
        self.written = self.written.saturating_add(bytes as u64).min(self.received);
    }

    /// Records the end as passed on to the local side.
    pub fn on_end_written(&mut self) {
        self.end_written = true;
    }

    /// Returns the first message on a new WebSocket: the offset from which the peer continues.
    pub fn resume_message(&mut self) -> StreamControl {
        self.needs_ack = true;
        self.window = ReceiveWindow::on_new_connection(self.written, self.now);
        StreamControl::Resume { received: self.received }
    }

    /// Returns the acknowledgement that is due and counts it as sent. The window grows up to `max_window`.
    pub fn next_ack(&mut self, max_window: u64) -> Option<StreamControl> {
        if !self.has_ack_due() {
            return None;
        }
        let keeps_up = self.received - self.written <= self.window.size() / 2;
        self.window.resize(self.written, keeps_up && self.is_bulk(), self.now, max_window);
        if self.written == self.received {
            // While messages wait to be written, the next write is due an acknowledgement: the peer may be at its limit
            // of unacknowledged messages.
            self.unacked_messages = 0;
        }
        (self.acked, self.end_acked, self.needs_ack) = (self.written, self.end_written, false);
        let window = self.window.size();
        let limit = self.written.saturating_add(window);
        if limit > self.limit {
            self.window.on_ack(self.limit, self.now);
            self.limit = limit;
        }
        Some(StreamControl::Ack { bytes: self.written, window, end: self.end_written })
    }

    /// Reports whether an acknowledgement is due.
    pub fn has_ack_due(&self) -> bool {
        let unacked = self.written - self.acked;
        // However large the window, the peer may be limited to less in flight, and wait for this.
        let much = unacked >= ack_interval(self.window.size()) || self.is_bulk_of_long_path();
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

    /// Reports whether the unacknowledged bytes are more than a dialogue exchanges in a round trip.
    fn is_bulk(&self) -> bool {
        self.written - self.acked >= FIRST_ACK
    }

    /// Reports whether bytes of a transfer come over a path that looks long, and have to be acknowledged early: the
    /// sender's rate doubles with each round trip, and its window is still the initial one.
    fn is_bulk_of_long_path(&self) -> bool {
        self.window.is_unmeasured() && self.is_bulk() && self.now.saturating_sub(self.unacked_since) >= LONG_ROUND_TRIP
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::proto::limits::{LONG_PATH_WINDOW, MAX_WINDOW};

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
        incoming.window.size()
    }

    #[test]
    fn the_round_trip_of_a_lost_connection_is_not_that_of_the_next() {
        let mut incoming = ReceiveState::default();
        let chunk = usize::try_from(INITIAL_WINDOW / 2).unwrap();
        for at in 1..8 {
            incoming.set_now(at * Duration::from_micros(300));
            incoming.on_bytes(chunk).unwrap();
            incoming.on_written(chunk);
            incoming.next_ack(MAX_WINDOW);
        }
        assert!(!incoming.window.is_unmeasured());
        incoming.resume_message();
        assert!(incoming.window.is_unmeasured());
    }

    #[test]
    fn the_window_is_what_the_path_takes_and_not_much_more() {
        let near = window_at(300, Duration::from_micros(300), u64::MAX, 80_000);
        assert!(near <= 2 << 20, "{near}: more would only be queued");
        let far = Duration::from_millis(200);
        assert_eq!(window_at(120, far, u64::MAX, 80_000), MAX_WINDOW, "a gigabit to the other side of the world");
    }

    #[test]
    fn a_long_path_with_losses_is_not_taken_for_a_slow_one() {
        let far = Duration::from_millis(200);
        assert!(window_at(1, far, 8, 32) >= LONG_PATH_WINDOW, "while TCP is in slow start");
        let per_round_trip = 10 * (1 << 20) / 5;
        assert!(window_at(10, far, 8, 4_000) >= 8 * per_round_trip, "two losses to a round trip, and more");
    }

    /// Returns the window after some MiB at 64 MiB/s over 100 ms, of which `lag` bytes are never written.
    fn window_after(mib: usize, lag: usize) -> u64 {
        let (mut incoming, mut window) = (ReceiveState::default(), INITIAL_WINDOW);
        incoming.on_bytes(lag).unwrap();
        for chunk in 0..u32::try_from(mib * 16).unwrap() {
            incoming.set_now(Duration::from_millis(100) + chunk * Duration::from_millis(1));
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
        assert!(window_after(64, 0) > INITIAL_WINDOW);
        assert_eq!(window_after(64, 190 * 1024), INITIAL_WINDOW);
    }
}
