//! Challenges that were given out and not answered yet: each is good once, for a while, and there are only so many.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::proto::challenge::Challenge;

/// A new connection through a slow proxy and the request on it take seconds.
const CHALLENGE_LIFETIME: Duration = Duration::from_secs(60);

/// Whoever asks wrongly is given one, so there may be many. The oldest makes room: at a thousand wrong requests a
/// second, the one that matters is good for 16 seconds.
const MAX_PENDING: usize = 16 * 1024;

/// The challenges that may be answered.
#[derive(Debug, Default)]
pub(super) struct PendingChallenges(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    pending: HashSet<Challenge>,
    /// All that were given out within the time, oldest first, answered ones included.
    issued: VecDeque<(Instant, Challenge)>,
}

impl PendingChallenges {
    /// Keeps a new one.
    pub(super) fn issue(&self, challenge: Challenge, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.evict(now, MAX_PENDING - 1);
        table.pending.insert(challenge);
        table.issued.push_back((now, challenge));
    }

    /// Whether it was given out, in time and not answered before. From now on it was.
    pub(super) fn redeem(&self, challenge: &Challenge, now: Instant) -> bool {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.evict(now, MAX_PENDING);
        table.pending.remove(challenge)
    }
}

impl Table {
    fn evict(&mut self, now: Instant, keep: usize) {
        let is_old = |issued: Instant| now.saturating_duration_since(issued) > CHALLENGE_LIFETIME;
        while let Some((issued, challenge)) = self.issued.front() {
            if self.issued.len() <= keep && !is_old(*issued) {
                break;
            }
            self.pending.remove(challenge);
            self.issued.pop_front();
        }
    }
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
    async fn a_challenge_is_good_once_and_for_a_minute() {
        let (challenges, start) = (PendingChallenges::default(), clock::now());
        (1..=3).for_each(|number| challenges.issue(challenge(number), start));
        assert!(challenges.redeem(&challenge(1), start));
        assert!(!challenges.redeem(&challenge(1), start), "once");
        assert!(challenges.redeem(&challenge(2), start + CHALLENGE_LIFETIME));
        assert!(!challenges.redeem(&challenge(3), start + CHALLENGE_LIFETIME + Duration::from_millis(1)));
        assert!(!challenges.redeem(&challenge(4), start), "never given out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_takes_no_more_than_its_place_and_the_newest_are_good() {
        let (challenges, now) = (PendingChallenges::default(), clock::now());
        (0..MAX_PENDING + 10).for_each(|number| challenges.issue(challenge(number), now));
        assert_eq!(challenges.0.lock().unwrap().issued.len(), MAX_PENDING);
        assert_eq!(challenges.0.lock().unwrap().pending.len(), MAX_PENDING);
        assert!(!challenges.redeem(&challenge(9), now));
        assert!(challenges.redeem(&challenge(10), now));
    }
}
