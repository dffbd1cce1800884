//! PURE. A token bucket for what costs the sender little and the receiver much.

use std::time::Instant;

use super::limits::{CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND};

/// The size and the refill of a bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// The tokens of a full bucket.
    pub burst: u32,
    /// The tokens that return per second.
    pub per_second: f64,
}

impl Rate {
    /// The rate limit of one connection for pings, pongs and empty messages.
    pub const CONTROL_FRAMES: Self = Self { burst: CONTROL_FRAME_BURST, per_second: CONTROL_FRAMES_PER_SECOND as f64 };
}

/// The tokens that are left of a rate.
#[derive(Debug)]
pub struct TokenBucket {
    rate: Rate,
    tokens: f64,
    as_of: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, tokens: f64::from(rate.burst), as_of: now }
    }

    /// Takes a token; returns `false` if none is left.
    pub fn take(&mut self, now: Instant) -> bool {
        self.refill(now);
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
    }

    /// Reports whether no token is missing.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= f64::from(self.rate.burst)
    }

    fn refill(&mut self, now: Instant) {
        let refill = now.saturating_duration_since(self.as_of).as_secs_f64() * self.rate.per_second;
        self.tokens = (self.tokens + refill).min(f64::from(self.rate.burst));
        self.as_of = now;
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's virtual time")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_is_allowed_then_only_the_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(Rate::CONTROL_FRAMES, start);
        assert_eq!((0..1000).filter(|_| bucket.take(start)).count(), 64);
        let second = |n: u32| start + Duration::from_millis(u64::from(n));
        assert_eq!((1..=1000).filter(|n| bucket.take(second(*n))).count(), 20);
    }
}
