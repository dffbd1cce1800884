//! PURE. Times the attempts of an end to rejoin its stream after the loss of its WebSocket, until it gives up.

use std::time::{Duration, Instant};

use crate::proto::backoff::{Backoff, Jitter, ReconnectBackoff};
use crate::proto::limits::{REJOIN_BASE, REJOIN_CAP, REJOIN_RESET_AFTER};

/// The action that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejoinAction {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Connect.
    Attempt,
    /// Give up: the grace time is over.
    GiveUp,
}

/// The connection state of one end of a stream.
#[derive(Debug)]
pub struct RejoinTimer {
    grace: Duration,
    /// Start of the interruption, which lasts until both ends are back.
    lost_at: Option<Instant>,
    retry_at: Option<Instant>,
    backoff: ReconnectBackoff,
}

impl RejoinTimer {
    /// The timer of a connected stream.
    pub fn new(grace: Duration) -> Self {
        let backoff = Backoff::new(REJOIN_BASE, REJOIN_CAP, Jitter::Full);
        let backoff = ReconnectBackoff::new(backoff, REJOIN_RESET_AFTER);
        Self { grace, lost_at: None, retry_at: None, backoff }
    }

    /// Sets the longest interruption, which the hub sends with each connection.
    pub fn set_grace(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// Handles the loss of the WebSocket or a failed attempt: the next one is at least `delay` away.
    pub fn on_connection_lost(&mut self, now: Instant, delay: Duration, random: u64) {
        self.lost_at.get_or_insert(now);
        self.retry_at = Some(now + delay + self.backoff.next_delay(now, random));
    }

    /// Returns the action that is due.
    pub fn poll(&self, now: Instant) -> RejoinAction {
        let Some(lost) = self.lost_at else { return RejoinAction::Attempt };
        let until = lost + self.grace;
        match self.retry_at {
            _ if now >= until => RejoinAction::GiveUp,
            Some(at) if now < at => RejoinAction::WaitUntil(at.min(until)),
            _ => RejoinAction::Attempt,
        }
    }

    /// Makes the next attempt due: this machine's network has changed.
    pub fn retry_now(&mut self, now: Instant) {
        if self.lost_at.is_some() {
            self.retry_at = Some(now);
            self.backoff.reset();
        }
    }

    /// Returns the end of the grace time, during an interruption.
    pub fn deadline(&self) -> Option<Instant> {
        self.lost_at.map(|lost| lost + self.grace)
    }

    /// Handles the return of both ends, and returns the duration of the interruption.
    pub fn on_restored(&mut self, now: Instant) -> Duration {
        self.backoff.connected(now);
        self.lost_at.take().map(|lost| now.saturating_duration_since(lost)).unwrap_or_default()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's virtual time")]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(120);

    #[test]
    fn attempts_go_on_until_the_grace_is_over() {
        let start = Instant::now();
        let (mut timer, mut now, mut tries) = (RejoinTimer::new(GRACE), start, 0);
        timer.on_connection_lost(now, Duration::ZERO, u64::MAX);
        loop {
            match timer.poll(now) {
                RejoinAction::WaitUntil(at) => now = at,
                RejoinAction::Attempt => {
                    tries += 1;
                    timer.on_connection_lost(now, Duration::ZERO, u64::MAX);
                }
                RejoinAction::GiveUp => break,
            }
        }
        assert_eq!(now, start + GRACE);
        assert!((60..70).contains(&tries), "{tries}");
    }

    #[test]
    fn the_first_attempts_are_quick_and_retry_now_is_immediate() {
        let now = Instant::now();
        let mut timer = RejoinTimer::new(GRACE);
        timer.on_connection_lost(now, Duration::ZERO, u64::MAX);
        assert_eq!(timer.poll(now), RejoinAction::WaitUntil(now + REJOIN_BASE));
        timer.retry_now(now);
        assert_eq!(timer.poll(now), RejoinAction::Attempt);
    }

    #[test]
    fn a_requested_delay_is_honoured() {
        let now = Instant::now();
        let mut timer = RejoinTimer::new(GRACE);
        timer.on_connection_lost(now, Duration::from_secs(3), 0);
        assert_eq!(timer.poll(now), RejoinAction::WaitUntil(now + Duration::from_secs(3)));
    }

    #[test]
    fn a_stream_that_is_lost_again_immediately_backs_off() {
        let mut now = Instant::now();
        let mut timer = RejoinTimer::new(GRACE);
        for _ in 0..20 {
            timer.on_connection_lost(now, Duration::ZERO, u64::MAX);
            let RejoinAction::WaitUntil(at) = timer.poll(now) else { panic!("at once") };
            now = at;
            assert_eq!(timer.poll(now), RejoinAction::Attempt);
            timer.on_restored(now);
        }
        timer.on_connection_lost(now, Duration::ZERO, u64::MAX);
        assert_eq!(timer.poll(now), RejoinAction::WaitUntil(now + REJOIN_CAP));
        timer.on_restored(now);
        timer.on_connection_lost(now + REJOIN_RESET_AFTER, Duration::ZERO, 0);
        assert_eq!(timer.poll(now + REJOIN_RESET_AFTER), RejoinAction::Attempt);
    }
}
