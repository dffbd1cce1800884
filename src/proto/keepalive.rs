//! PURE. When to say something on a quiet connection, and when to give up a peer that says nothing: both ends of every
//! connection, for control and for streams, run one of these.
//!
//! Each end speaks when it has been quiet for a while, so that the other one hears it however busy it is in the other
//! direction; and asks before it gives up, so that a machine that was asleep reads what waits for it first.

use std::time::{Duration, Instant};

use super::backoff::spread;
use super::limits::{DEAD_AFTER, PROBE_DEADLINE};

/// How long a connection may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// A peer of which nothing was heard for so long is dead.
    pub dead_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { dead_after: DEAD_AFTER }
    }
}

impl Patience {
    /// What is left for the peer's answer to a last question.
    fn deadline(self) -> Duration {
        PROBE_DEADLINE.min(self.dead_after / 4)
    }

    /// Two in the time that a peer waits before it asks, and then some: one may be lost with a connection's last segment.
    fn quiet(self) -> Duration {
        self.dead_after * 5 / 9
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Send a ping now.
    Ping,
    /// The peer is dead.
    GiveUp,
}

/// The state for one connection.
#[derive(Debug)]
pub struct Heartbeat {
    patience: Patience,
    /// Silence of our own after which we say something: jittered down by up to a fifth, so that a fleet is never in step.
    quiet: Duration,
    /// When the peer was asked whether it is there, and has not been heard since; and how long its answer may take.
    asked: Option<(Instant, Duration)>,
}

impl Heartbeat {
    /// For a connection that was just made.
    pub fn new(patience: Patience, dice: u64) -> Self {
        let quiet = patience.quiet();
        Self { patience, quiet: quiet - spread(quiet / 5, dice), asked: None }
    }

    /// The peer is to show that it is there, at once: something has changed on the way to it.
    pub fn ask(&mut self, now: Instant) {
        self.ask_within(now, self.patience.deadline());
    }

    /// The same, of a peer that has less time: another way is open.
    pub fn ask_within(&mut self, now: Instant, limit: Duration) {
        self.asked = Some((now, limit.min(self.patience.deadline())));
    }

    /// What to do at this time, when something was last said then, and last heard then.
    pub fn poll(&mut self, now: Instant, said: Instant, heard: Instant) -> Beat {
        self.asked = self.asked.filter(|(asked, _)| heard < *asked);
        if let Some((asked, limit)) = self.asked {
            let until = asked + limit;
            return if now >= until { Beat::GiveUp } else { Beat::WaitUntil(until) };
        }
        let (ask_at, say_at) = (heard + (self.patience.dead_after - self.patience.deadline()), said + self.quiet);
        if now >= ask_at {
            self.ask(now);
            return Beat::Ping;
        }
        if now >= say_at { Beat::Ping } else { Beat::WaitUntil(ask_at.min(say_at)) }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use super::*;

    #[test]
    fn a_dead_peer_is_given_up_within_45_seconds_whatever_the_dice() {
        for dice in [0, 1 << 40, u64::MAX / 3, u64::MAX] {
            let start = Instant::now();
            let (mut machine, mut now, mut said) = (Heartbeat::new(Patience::default(), dice), start, start);
            let mut pings = 0;
            loop {
                match machine.poll(now, said, start) {
                    Beat::WaitUntil(at) => now = at,
                    Beat::Ping => {
                        said = now;
                        pings += 1;
                    }
                    Beat::GiveUp => break,
                }
            }
            assert_eq!(pings, 2, "one for the silence, one as the last question");
            assert!(now - start <= Duration::from_secs(45), "{:?}", now - start);
        }
    }

    #[test]
    fn a_peer_that_is_heard_is_never_given_up() {
        let mut now = Instant::now();
        let (mut machine, mut said, mut heard) = (Heartbeat::new(Patience::default(), 0), now, now);
        for _ in 0..1000 {
            match machine.poll(now, said, heard) {
                Beat::WaitUntil(at) => now = at,
                Beat::Ping => {
                    said = now;
                    now += Duration::from_secs(4);
                    heard = now;
                }
                Beat::GiveUp => panic!("gave up a live peer"),
            }
        }
    }

    #[test]
    fn who_wakes_up_long_after_the_limit_asks_first() {
        let start = Instant::now();
        let mut machine = Heartbeat::new(Patience::default(), 0);
        let late = start + Duration::from_secs(3600);
        assert_eq!(machine.poll(late, start, start), Beat::Ping);
        assert_eq!(machine.poll(late, late, start), Beat::WaitUntil(late + PROBE_DEADLINE));
        assert!(matches!(machine.poll(late + PROBE_DEADLINE, late, late), Beat::WaitUntil(_)), "it has answered");
    }

    #[test]
    fn an_answer_counts_however_quickly_it_comes() {
        let now = Instant::now();
        let mut machine = Heartbeat::new(Patience::default(), 0);
        machine.ask(now);
        let heard = now + Duration::from_nanos(1);
        assert!(matches!(machine.poll(now + PROBE_DEADLINE, now, heard), Beat::WaitUntil(_)));
    }

    #[test]
    fn a_peer_in_doubt_has_a_few_seconds() {
        let now = Instant::now();
        let mut machine = Heartbeat::new(Patience::default(), 0);
        machine.ask(now);
        assert_eq!(machine.poll(now + PROBE_DEADLINE, now, now - Duration::from_millis(1)), Beat::GiveUp);
    }
}
