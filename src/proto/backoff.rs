//! When to try again: exponential with full jitter, from the first retry on, so that a fleet never comes back in step.

use std::time::{Duration, Instant};

use super::limits::{BACKOFF_BASE, BACKOFF_CAP, BACKOFF_RESET_AFTER};

/// The pauses between attempts of one connection.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    connected_at: Option<Instant>,
    /// What the hub asked for when it went away.
    retry_after: Option<Duration>,
}

impl Backoff {
    /// The connection stands.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// The hub is about to go away, and wants to be left alone for so long once it has.
    pub fn set_retry_after(&mut self, pause: Duration) {
        self.retry_after = Some(pause.min(BACKOFF_CAP));
    }

    /// The attempt failed, or the connection ended. `random` is a random number; the pause is spread evenly over
    /// zero to the bound, which doubles with every failure up to [`BACKOFF_CAP`].
    pub fn next_delay(&mut self, now: Instant, random: u64) -> Duration {
        if let Some(retry_after) = self.retry_after.take() {
            (self.connected_at, self.failures) = (None, 0);
            return retry_after;
        }
        let uptime = self.connected_at.take().map(|since| now.saturating_duration_since(since));
        if uptime.is_some_and(|uptime| uptime >= BACKOFF_RESET_AFTER) {
            self.failures = 0;
        }
        let bound = BACKOFF_BASE.saturating_mul(1 << self.failures.min(16)).min(BACKOFF_CAP);
        self.failures = self.failures.saturating_add(1);
        random_duration(bound, random)
    }
}

/// A random share of `bound`, from zero up to it.
pub fn random_duration(bound: Duration, random: u64) -> Duration {
    let share = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    let nanos = bound.as_nanos() * u128::from(share) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_to_the_cap_and_stays_there() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let pauses: Vec<u64> = (0..9).map(|_| backoff.next_delay(now, u64::MAX).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30]);
    }

    #[test]
    fn the_very_first_pause_is_jittered_too() {
        let now = Instant::now();
        assert_eq!(Backoff::default().next_delay(now, 0), Duration::ZERO);
        assert_eq!(Backoff::default().next_delay(now, u64::MAX / 2).as_millis(), 499);
    }

    #[test]
    fn what_the_hub_asked_for_holds_once() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.set_retry_after(Duration::from_secs(3));
        assert_eq!(backoff.next_delay(now, 0), Duration::from_secs(3));
        assert_eq!(backoff.next_delay(now, 0), Duration::ZERO);
        backoff.set_retry_after(Duration::MAX);
        assert_eq!(backoff.next_delay(now, 0), BACKOFF_CAP);
    }

    #[test]
    fn only_a_connection_that_stood_resets_the_pause() {
        let (mut backoff, start) = (Backoff::default(), Instant::now());
        for _ in 0..5 {
            backoff.next_delay(start, u64::MAX);
        }
        backoff.connected(start);
        assert_eq!(backoff.next_delay(start + Duration::from_secs(59), u64::MAX).as_secs(), 30);
        backoff.connected(start);
        assert_eq!(backoff.next_delay(start + Duration::from_secs(60), u64::MAX).as_secs(), 1);
    }
}
