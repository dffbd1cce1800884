//! Exponential backoff with jitter.

use std::time::{Duration, Instant};

use super::limits::{BACKOFF_BASE, BACKOFF_CAP, BACKOFF_RESET_AFTER, REJECTED_RETRY_SOON};
use super::refusal::RefusalKind;

/// The delays between attempts: the bound starts at `base` and doubles with every failure up to `cap`.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    jitter: Jitter,
    failures: u32,
}

/// The random part of a delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// None: the delay is the bound.
    None,
    /// Full jitter, spread evenly over zero to the bound: clients that failed together do not return together.
    Full,
    /// The bound and up to a quarter of it more: spreads attempts and still keeps within a peer's rate limit.
    Quarter,
}

impl Backoff {
    /// A backoff without failures yet.
    pub const fn new(base: Duration, cap: Duration, jitter: Jitter) -> Self {
        Self { base, cap, jitter, failures: 0 }
    }

    /// Counts one failure and returns the delay before the next attempt. `random` is uniform over `u64`.
    pub fn next_delay(&mut self, random: u64) -> Duration {
        let bound = self.base.saturating_mul(1 << self.failures.min(16)).min(self.cap);
        self.failures = self.failures.saturating_add(1);
        match self.jitter {
            Jitter::None => bound,
            Jitter::Full => jittered(bound, random),
            Jitter::Quarter => bound + jittered(bound / 4, random),
        }
    }

    /// Counts a failure for this reason: after a connection that the hub closed before TLS, at most
    /// [`rejected_delay`].
    pub fn delay_after(&mut self, kind: RefusalKind, random: u64) -> Duration {
        let delay = self.next_delay(random);
        if kind == RefusalKind::ConnectionRejected { delay.min(rejected_delay(random)) } else { delay }
    }

    /// Forgets the failures: the next bound is `base`.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The backoff of a connection that is made again whenever it is lost. Its failures are forgotten only after a connection
/// that lasted: one that is accepted and dropped at once counts as a failure.
#[derive(Debug)]
pub struct ReconnectBackoff {
    backoff: Backoff,
    reset_after: Duration,
    connected_at: Option<Instant>,
    /// The delay that the hub requested before it closed the connection.
    retry_after: Option<Duration>,
    /// The time from which on the hub has closed connections before TLS.
    rejected_since: Option<Instant>,
}

/// The backoff of connections to the hub, with full jitter from the first retry on.
impl Default for ReconnectBackoff {
    fn default() -> Self {
        Self::new(Backoff::new(BACKOFF_BASE, BACKOFF_CAP, Jitter::Full), BACKOFF_RESET_AFTER)
    }
}

impl ReconnectBackoff {
    /// A backoff whose failures are forgotten after a connection of at least `reset_after`.
    pub const fn new(backoff: Backoff, reset_after: Duration) -> Self {
        Self { backoff, reset_after, connected_at: None, retry_after: None, rejected_since: None }
    }

    /// Records that the connection is established.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
        self.rejected_since = None;
    }

    /// Sets the next delay, as requested by the hub; at most [`BACKOFF_CAP`].
    pub fn set_retry_after(&mut self, delay: Duration) {
        self.retry_after = Some(delay.min(BACKOFF_CAP));
    }

    /// Records that an attempt failed or the connection was lost, and returns the delay before the next attempt.
    /// `random` is uniform over `u64`.
    pub fn next_delay(&mut self, now: Instant, random: u64) -> Duration {
        if let Some(retry_after) = self.retry_after.take() {
            self.connected_at = None;
            self.backoff.reset();
            return retry_after;
        }
        let uptime = self.connected_at.take().map(|since| now.saturating_duration_since(since));
        if uptime.is_some_and(|uptime| uptime >= self.reset_after) {
            self.backoff.reset();
        }
        self.backoff.next_delay(random)
    }

    /// Records that the hub closed the connection before TLS, and returns the delay before the next attempt: in the first
    /// minutes [`rejected_delay`], then that of any failure.
    pub fn delay_after_rejection(&mut self, now: Instant, random: u64) -> Duration {
        let since = *self.rejected_since.get_or_insert(now);
        if now.saturating_duration_since(since) < REJECTED_RETRY_SOON {
            rejected_delay(random)
        } else {
            self.next_delay(now, random)
        }
    }

    /// Forgets the failures: the next bound is the base.
    pub const fn reset(&mut self) {
        self.backoff.reset();
    }
}

/// Returns a delay of one or two seconds: a hub that closes connections before TLS lets others in each second.
pub fn rejected_delay(random: u64) -> Duration {
    BACKOFF_BASE + jittered(BACKOFF_BASE, random)
}

/// Returns a random share of `bound`, uniform from zero to it.
pub fn jittered(bound: Duration, random: u64) -> Duration {
    let share = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    let nanos = bound.as_nanos() * u128::from(share) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do as the start of a test's virtual time")]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_to_the_cap_and_stays_there() {
        let (mut backoff, now) = (ReconnectBackoff::default(), Instant::now());
        let delays: Vec<u64> = (0..9).map(|_| backoff.next_delay(now, u64::MAX).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30]);
    }

    #[test]
    fn the_very_first_delay_is_jittered_too() {
        let now = Instant::now();
        assert_eq!(ReconnectBackoff::default().next_delay(now, 0), Duration::ZERO);
        assert_eq!(ReconnectBackoff::default().next_delay(now, u64::MAX / 2).as_millis(), 499);
    }

    #[test]
    fn jitter_is_none_full_or_a_quarter_on_top() {
        let (base, cap) = (Duration::from_secs(4), Duration::from_secs(6));
        for (jitter, least, most) in [(Jitter::None, 4, 4), (Jitter::Full, 0, 4), (Jitter::Quarter, 4, 5)] {
            let mut backoff = Backoff::new(base, cap, jitter);
            assert_eq!(backoff.next_delay(0).as_secs(), least, "{jitter:?}");
            backoff.reset();
            assert_eq!(backoff.next_delay(u64::MAX).as_secs(), most, "{jitter:?}");
        }
        let mut backoff = Backoff::new(base, cap, Jitter::None);
        assert_eq!([(); 40].map(|()| backoff.next_delay(0)).last(), Some(&cap));
    }

    #[test]
    fn the_delay_that_the_hub_requested_applies_once() {
        let (mut backoff, now) = (ReconnectBackoff::default(), Instant::now());
        backoff.set_retry_after(Duration::from_secs(3));
        assert_eq!(backoff.next_delay(now, 0), Duration::from_secs(3));
        assert_eq!(backoff.next_delay(now, 0), Duration::ZERO);
        backoff.set_retry_after(Duration::MAX);
        assert_eq!(backoff.next_delay(now, 0), BACKOFF_CAP);
    }

    #[test]
    fn a_hub_that_closes_connections_before_tls_is_tried_every_one_or_two_seconds_for_minutes() {
        let (mut backoff, start) = (ReconnectBackoff::default(), Instant::now());
        for second in 0..REJECTED_RETRY_SOON.as_secs() {
            let now = start + Duration::from_secs(second);
            assert_eq!([0, u64::MAX].map(|random| backoff.delay_after_rejection(now, random).as_secs()), [1, 2]);
        }
        let later = start + REJECTED_RETRY_SOON;
        let delays: Vec<_> = (0..9).map(|_| backoff.delay_after_rejection(later, u64::MAX).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30, 30]);
        backoff.connected(later);
        assert_eq!(backoff.delay_after_rejection(later, u64::MAX).as_secs(), 2);
    }

    #[test]
    fn a_request_is_repeated_soon_after_its_connection_was_closed_before_tls() {
        for (kind, most) in [(RefusalKind::ConnectionRejected, 2), (RefusalKind::HubBusy, 4)] {
            let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(4), Jitter::None);
            let delays: Vec<_> = (0..9).map(|_| backoff.delay_after(kind, u64::MAX)).collect();
            assert_eq!((delays[0].as_millis(), delays[8].as_secs()), (250, most), "{kind:?}");
        }
    }

    #[test]
    fn only_a_connection_that_lasted_resets_the_delay() {
        let (mut backoff, start) = (ReconnectBackoff::default(), Instant::now());
        for _ in 0..5 {
            backoff.next_delay(start, u64::MAX);
        }
        backoff.connected(start);
        assert_eq!(backoff.next_delay(start + Duration::from_secs(59), u64::MAX).as_secs(), 30);
        backoff.connected(start);
        assert_eq!(backoff.next_delay(start + Duration::from_secs(60), u64::MAX).as_secs(), 1);
    }
}
