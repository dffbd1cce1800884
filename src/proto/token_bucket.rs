//! A token bucket for messages that cost the sender little and the receiver much.

use std::time::Instant;

use super::limits::{CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND};

/// The rate limit of one connection for pings, pongs and empty messages.
#[derive(Debug)]
pub struct TokenBucket {
    tokens: f64,
    as_of: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(now: Instant) -> Self {
        Self { tokens: f64::from(CONTROL_FRAME_BURST), as_of: now }
    }

    /// Takes a token; returns `false` if none is left.
    pub fn take(&mut self, now: Instant) -> bool {
        let refill = now.saturating_duration_since(self.as_of).as_secs_f64() * f64::from(CONTROL_FRAMES_PER_SECOND);
        self.tokens = (self.tokens + refill).min(f64::from(CONTROL_FRAME_BURST));
        self.as_of = now;
        let some = self.tokens >= 1.0;
        if some {
            self.tokens -= 1.0;
        }
        some
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
        let mut bucket = TokenBucket::new(start);
        assert_eq!((0..1000).filter(|_| bucket.take(start)).count(), 64);
        let second = |n: u32| start + Duration::from_millis(u64::from(n));
        assert_eq!((1..=1000).filter(|n| bucket.take(second(*n))).count(), 20);
    }
}
