//! PURE. When an end that has lost its WebSocket comes back to its stream, and when it gives up.

use std::time::{Duration, Instant};

use crate::proto::backoff::random_duration;
use crate::proto::limits::{REJOIN_BASE, REJOIN_CAP, REJOIN_RESET_AFTER};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Try to come back.
    Try,
    /// It has taken too long.
    GiveUp,
}

/// The state of one end's connection to its stream.
#[derive(Debug)]
pub struct Lifeline {
    grace: Duration,
    /// Since when the stream has been interrupted; both ends being back is the end of that.
    lost: Option<Instant>,
    try_at: Option<Instant>,
    failures: u32,
    stands_since: Option<Instant>,
}

impl Lifeline {
    /// A stream that stands.
    pub fn new(grace: Duration) -> Self {
        Self { grace, lost: None, try_at: None, failures: 0, stands_since: None }
    }

    /// How long an interruption may last; the hub says so anew each time.
    pub fn set_grace(&mut self, grace: Duration) {
        self.grace = grace;
    }

    /// The WebSocket is gone, or an attempt to bring a new one failed. Not before `back` has passed.
    pub fn lost(&mut self, now: Instant, back: Duration, random: u64) {
        let uptime = self.stands_since.take().map(|since| now.saturating_duration_since(since));
        if uptime.is_some_and(|uptime| uptime >= REJOIN_RESET_AFTER) {
            self.failures = 0;
        }
        let bound = REJOIN_BASE.saturating_mul(1 << self.failures.min(16)).min(REJOIN_CAP);
        self.failures = self.failures.saturating_add(1);
        self.lost.get_or_insert(now);
        self.try_at = Some(now + back + random_duration(bound, random));
    }

    /// What to do at this time.
    pub fn poll(&self, now: Instant) -> Step {
        let Some(lost) = self.lost else { return Step::Try };
        let until = lost + self.grace;
        match self.try_at {
            _ if now >= until => Step::GiveUp,
            Some(at) if now < at => Step::WaitUntil(at.min(until)),
            _ => Step::Try,
        }
    }

    /// Something has changed on this machine's way to the hub: the next attempt is now.
    pub fn nudge(&mut self, now: Instant) {
        if self.lost.is_some() {
            (self.try_at, self.failures) = (Some(now), 0);
        }
    }

    /// Until when the other end may come back, while it is awaited.
    pub fn until(&self) -> Option<Instant> {
        self.lost.map(|lost| lost + self.grace)
    }

    /// Both ends are back. Returns how long they were not.
    pub fn back(&mut self, now: Instant) -> Duration {
        self.stands_since = Some(now);
        self.lost.take().map(|lost| now.saturating_duration_since(lost)).unwrap_or_default()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(120);

    #[test]
    fn it_tries_until_the_grace_is_over_however_often_it_fails() {
        let start = Instant::now();
        let (mut lifeline, mut now, mut tries) = (Lifeline::new(GRACE), start, 0);
        lifeline.lost(now, Duration::ZERO, u64::MAX);
        loop {
            match lifeline.poll(now) {
                Step::WaitUntil(at) => now = at,
                Step::Try => {
                    tries += 1;
                    lifeline.lost(now, Duration::ZERO, u64::MAX);
                }
                Step::GiveUp => break,
            }
        }
        assert_eq!(now, start + GRACE);
        assert!((60..70).contains(&tries), "{tries}");
    }

    #[test]
    fn the_first_attempts_are_quick_and_a_nudge_is_at_once() {
        let now = Instant::now();
        let mut lifeline = Lifeline::new(GRACE);
        lifeline.lost(now, Duration::ZERO, u64::MAX);
        assert_eq!(lifeline.poll(now), Step::WaitUntil(now + REJOIN_BASE));
        lifeline.nudge(now);
        assert_eq!(lifeline.poll(now), Step::Try);
    }

    #[test]
    fn who_is_asked_to_stay_away_for_a_while_does() {
        let now = Instant::now();
        let mut lifeline = Lifeline::new(GRACE);
        lifeline.lost(now, Duration::from_secs(3), 0);
        assert_eq!(lifeline.poll(now), Step::WaitUntil(now + Duration::from_secs(3)));
    }

    #[test]
    fn a_stream_that_breaks_again_at_once_is_tried_more_slowly() {
        let mut now = Instant::now();
        let mut lifeline = Lifeline::new(GRACE);
        for _ in 0..20 {
            lifeline.lost(now, Duration::ZERO, u64::MAX);
            let Step::WaitUntil(at) = lifeline.poll(now) else { panic!("at once") };
            now = at;
            assert_eq!(lifeline.poll(now), Step::Try);
            lifeline.back(now);
        }
        lifeline.lost(now, Duration::ZERO, u64::MAX);
        assert_eq!(lifeline.poll(now), Step::WaitUntil(now + REJOIN_CAP));
        lifeline.back(now);
        lifeline.lost(now + REJOIN_RESET_AFTER, Duration::ZERO, 0);
        assert_eq!(lifeline.poll(now + REJOIN_RESET_AFTER), Step::Try);
    }
}
