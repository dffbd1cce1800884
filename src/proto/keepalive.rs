//! When to ping and when to give a peer up, as a timer machine: both ends of a control connection run one.

use std::time::Instant;

use super::backoff::spread;
use super::limits::{PING_INTERVAL, PONG_DEADLINE};

/// What the machine wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing before this time.
    WaitUntil(Instant),
    /// Send a ping now.
    Ping,
    /// Nothing was heard for too long: the peer is dead.
    GiveUp,
}

/// The state for one connection.
#[derive(Debug)]
pub struct Keepalive {
    ping_at: Instant,
    give_up_at: Option<Instant>,
}

impl Keepalive {
    /// A connection that was just made.
    pub fn new(now: Instant, dice: u64) -> Self {
        Self { ping_at: next_ping(now, dice), give_up_at: None }
    }

    /// Anything at all arrived from the peer.
    pub fn heard(&mut self, now: Instant, dice: u64) {
        *self = Self::new(now, dice);
    }

    /// The ping that was asked for is on its way.
    pub fn pinged(&mut self, now: Instant) {
        self.give_up_at = Some(now + PONG_DEADLINE);
    }

    /// What to do at this time; call it when a [`Action::WaitUntil`] has passed. It changes nothing, so it may be
    /// called and its answer forgotten.
    pub fn poll(&self, now: Instant) -> Action {
        match self.give_up_at {
            Some(deadline) if now >= deadline => Action::GiveUp,
            Some(deadline) => Action::WaitUntil(deadline),
            None if now >= self.ping_at => Action::Ping,
            None => Action::WaitUntil(self.ping_at),
        }
    }
}

/// Jitter only shortens, so that interval plus deadline stay the bound.
fn next_ping(now: Instant, dice: u64) -> Instant {
    now + PING_INTERVAL - spread(PING_INTERVAL / 5, dice)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_dead_peer_is_given_up_within_45_seconds_whatever_the_dice() {
        for dice in [0, 1 << 40, u64::MAX / 3, u64::MAX] {
            let start = Instant::now();
            let (mut machine, mut now) = (Keepalive::new(start, dice), start);
            let mut pings = 0;
            loop {
                match machine.poll(now) {
                    Action::WaitUntil(at) => now = at,
                    Action::Ping => {
                        machine.pinged(now);
                        pings += 1;
                    }
                    Action::GiveUp => break,
                }
            }
            assert_eq!(pings, 1);
            assert!(now - start <= Duration::from_secs(45), "{:?}", now - start);
        }
    }

    #[test]
    fn a_peer_that_answers_is_never_given_up() {
        let mut now = Instant::now();
        let mut machine = Keepalive::new(now, 0);
        for dice in 0..1000_u64 {
            match machine.poll(now) {
                Action::WaitUntil(at) => now = at,
                Action::Ping => {
                    machine.pinged(now);
                    now += Duration::from_secs(19);
                    machine.heard(now, dice << 54);
                }
                Action::GiveUp => panic!("gave up a live peer"),
            }
        }
    }
}
