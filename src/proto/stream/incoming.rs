//! PURE. The direction that comes from the other end: what has arrived, what of it is written to the local side, and how
//! much more may come.

use super::{StreamControl, Violation};
use crate::proto::limits::{ACK_EVERY, ACK_MESSAGES, FIRST_WINDOW};

/// The direction's state. All counts are bytes since the start of the stream.
#[derive(Debug)]
pub struct Incoming {
    received: u64,
    /// How far the other end may send.
    limit: u64,
    written: u64,
    /// What of it the other end was told, and how many messages came since that was all.
    told: u64,
    messages: u32,
    window: u64,
    /// Where the window was last made larger.
    grown_at: u64,
    end: Option<u64>,
    /// The end was passed on to the local side, and the other end was told.
    end_written: bool,
    end_told: bool,
    /// A new WebSocket: whatever was told on the old one may be lost.
    owes: bool,
}

impl Default for Incoming {
    fn default() -> Self {
        Self::new(FIRST_WINDOW)
    }
}

impl Incoming {
    /// Nothing yet; this much may come.
    pub fn new(window: u64) -> Self {
        Self {
            received: 0,
            limit: window,
            written: 0,
            told: 0,
            messages: 0,
            window,
            grown_at: 0,
            end: None,
            end_written: false,
            end_told: false,
            owes: false,
        }
    }

    /// Bytes came. Wrong after the end, and beyond the limit.
    pub fn received(&mut self, bytes: usize) -> Result<(), Violation> {
        self.received = self.received.saturating_add(bytes as u64);
        self.messages = self.messages.saturating_add(1);
        if self.end.is_some() || self.received > self.limit { Err(Violation::TooMuch) } else { Ok(()) }
    }

    /// The other end says its direction is over. Wrong if bytes are missing; a new WebSocket may bring it again.
    pub fn ended(&mut self, bytes: u64) -> Result<(), Violation> {
        if bytes != self.received {
            return Err(Violation::Miscounted);
        }
        self.end = Some(bytes);
        Ok(())
    }

    /// Bytes were written to the local side.
    pub fn written(&mut self, bytes: usize) {
        self.written += bytes as u64;
        self.written = self.written.min(self.received);
    }

    /// The end was passed on to the local side.
    pub fn end_written(&mut self) {
        self.end_written = true;
    }

    /// A new WebSocket: where the other end is to go on from.
    pub fn resume(&mut self) -> StreamControl {
        self.owes = true;
        StreamControl::Resume { received: self.received }
    }

    /// What the other end is to be told now, if anything; it counts as told. The window grows up to `most`.
    pub fn acknowledgement(&mut self, most: u64) -> Option<StreamControl> {
        // However large the window is, the other end may have room for little, and waits for this.
        let much = self.written - self.told >= ACK_EVERY || self.messages >= ACK_MESSAGES && self.written > self.told;
        let news = much && self.end.is_none();
        if !(news || self.owes || self.end_written && !self.end_told) {
            return None;
        }
        self.grow(most);
        if self.written == self.received {
            // While some wait to be written, the next write is news: the other end may have no room for more messages.
            self.messages = 0;
        }
        (self.told, self.end_told, self.owes) = (self.written, self.end_written, false);
        self.limit = self.limit.max(self.written.saturating_add(self.window));
        Some(StreamControl::Ack { bytes: self.written, window: self.window, end: self.end_written })
    }

    /// Whether all of the direction is here.
    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    /// Whether the other end knows that all of it was passed on.
    pub fn is_settled(&self) -> bool {
        self.end_told
    }

    /// A local side that keeps up with a whole window is held back by the window, or by nothing: then it may be larger.
    /// One that lags would only have more waiting for it.
    fn grow(&mut self, most: u64) {
        let keeps_up = self.received - self.written <= self.window / 2;
        if keeps_up && self.written - self.grown_at >= self.window {
            self.window = self.window.saturating_mul(2);
            self.grown_at = self.written;
        }
        self.window = self.window.min(most.max(FIRST_WINDOW));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::limits::LARGEST_WINDOW;

    #[test]
    fn nobody_sends_beyond_the_limit() {
        let mut incoming = Incoming::default();
        let window = usize::try_from(FIRST_WINDOW).unwrap();
        assert!(incoming.received(window).is_ok());
        assert!(incoming.received(1).is_err());
    }

    #[test]
    fn a_direction_that_lost_bytes_does_not_end() {
        let mut incoming = Incoming::default();
        incoming.received(10).unwrap();
        assert!(incoming.ended(11).is_err());
        assert!(!incoming.is_over());
        assert!(incoming.ended(10).is_ok());
        assert!(incoming.received(1).is_err(), "nothing after the end");
    }

    #[test]
    fn what_was_told_on_a_lost_websocket_is_told_again() {
        let mut incoming = Incoming::default();
        incoming.received(10).unwrap();
        incoming.written(4);
        assert_eq!(incoming.acknowledgement(FIRST_WINDOW), None, "too little for an acknowledgement of its own");
        assert_eq!(incoming.resume(), StreamControl::Resume { received: 10 });
        let ack = StreamControl::Ack { bytes: 4, window: FIRST_WINDOW, end: false };
        assert_eq!(incoming.acknowledgement(FIRST_WINDOW), Some(ack));
        assert_eq!(incoming.acknowledgement(FIRST_WINDOW), None);
        incoming.written(6);
        incoming.ended(10).unwrap();
        incoming.end_written();
        let last = StreamControl::Ack { bytes: 10, window: FIRST_WINDOW, end: true };
        assert_eq!(incoming.acknowledgement(FIRST_WINDOW), Some(last));
        assert!(incoming.is_settled());
    }

    /// Gives the window after some MiB, `lag` bytes of which always wait for the local side.
    fn window_after(mib: usize, lag: usize) -> u64 {
        let (mut incoming, mut window) = (Incoming::default(), FIRST_WINDOW);
        incoming.received(lag).unwrap();
        for _ in 0..mib * 16 {
            incoming.received(64 * 1024).unwrap();
            incoming.written(64 * 1024);
            if let Some(StreamControl::Ack { window: told, .. }) = incoming.acknowledgement(LARGEST_WINDOW) {
                window = told;
            }
        }
        window
    }

    /// A sender among many has room for no more than the first window, whatever ours is.
    #[test]
    fn a_large_window_makes_nobody_wait_for_an_acknowledgement() {
        let mut incoming = Incoming::new(LARGEST_WINDOW);
        let little = usize::try_from(FIRST_WINDOW).unwrap();
        incoming.received(little).unwrap();
        incoming.written(little);
        assert!(incoming.acknowledgement(LARGEST_WINDOW).is_some());
    }

    /// The other end keeps no more than so many messages, and has room for one.
    #[test]
    fn small_messages_that_wait_for_the_local_side_are_acknowledged_when_they_are_written() {
        let mut incoming = Incoming::default();
        for _ in 0..ACK_MESSAGES * 2 {
            incoming.received(1).unwrap();
        }
        incoming.written(1);
        assert!(incoming.acknowledgement(LARGEST_WINDOW).is_some());
        incoming.written(usize::try_from(ACK_MESSAGES).unwrap() * 2 - 1);
        assert!(incoming.acknowledgement(LARGEST_WINDOW).is_some());
    }

    #[test]
    fn the_window_grows_for_a_reader_that_keeps_up_and_for_no_other() {
        assert_eq!(window_after(64, 0), LARGEST_WINDOW);
        assert_eq!(window_after(64, 190 * 1024), FIRST_WINDOW);
    }
}
