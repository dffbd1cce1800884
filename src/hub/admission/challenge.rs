//! Outstanding authentication challenges: each is accepted once, within a minute.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::proto::bounded_map::BoundedMap;
use crate::proto::challenge::Challenge;

/// The lifetime of a challenge: connecting again through a slow proxy and sending the signed request take seconds.
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(60);

/// Every 401 carries a challenge, so there may be many; the oldest are evicted. At a thousand failed requests a second,
/// a challenge is still accepted for 16 seconds.
const MAX_PENDING: usize = 16 * 1024;

/// The challenges that have been issued and not answered, with the times of issue.
#[derive(Debug)]
pub(in crate::hub) struct PendingChallenges(Mutex<BoundedMap<Challenge, Instant>>);

impl Default for PendingChallenges {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_PENDING)))
    }
}

impl PendingChallenges {
    /// Stores a challenge that is about to be sent.
    pub(in crate::hub) fn issue(&self, challenge: Challenge, now: Instant) {
        let mut pending = self.0.lock();
        evict_expired(&mut pending, now);
        pending.insert(challenge, now);
    }

    /// Removes a challenge and reports whether it was outstanding: issued by this hub, unexpired and not redeemed
    /// before.
    pub(in crate::hub) fn redeem(&self, challenge: &Challenge, now: Instant) -> bool {
        let mut pending = self.0.lock();
        evict_expired(&mut pending, now);
        pending.remove(challenge).is_some()
    }
}

fn evict_expired(pending: &mut BoundedMap<Challenge, Instant>, now: Instant) {
    pending.evict_while(|issued| now.saturating_duration_since(*issued) > CHALLENGE_LIFETIME);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::os::clock;

    fn challenge(number: usize) -> Challenge {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Challenge::new(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_challenge_is_accepted_once_and_for_a_minute() {
        let (challenges, start) = (PendingChallenges::default(), clock::now());
        (1..=3).for_each(|number| challenges.issue(challenge(number), start));
        assert!(challenges.redeem(&challenge(1), start));
        assert!(!challenges.redeem(&challenge(1), start), "once");
        assert!(challenges.redeem(&challenge(2), start + CHALLENGE_LIFETIME));
        assert!(!challenges.redeem(&challenge(3), start + CHALLENGE_LIFETIME + Duration::from_millis(1)));
        assert!(!challenges.redeem(&challenge(4), start), "never issued");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_evicts_the_oldest_challenges_and_the_newest_are_accepted() {
        let (challenges, now) = (PendingChallenges::default(), clock::now());
        (0..MAX_PENDING + 10).for_each(|number| challenges.issue(challenge(number), now));
        assert!(!challenges.redeem(&challenge(9), now));
        assert!(challenges.redeem(&challenge(10), now));
    }
}
