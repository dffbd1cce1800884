//! Challenges that were given out and not answered yet: each is good once, for a while, and there are only so many.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::proto::challenge::Challenge;

/// A new connection through a slow proxy and the request on it take seconds.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// Whoever asks wrongly is given one, so there may be many. The oldest makes room: at a thousand wrong requests a
/// second, the one that matters is good for 16 seconds.
const AT_ONCE: usize = 16 * 1024;

/// The challenges that may be answered.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    open: HashSet<Challenge>,
    /// All that were given out within the time, oldest first, answered ones included.
    given: VecDeque<(Instant, Challenge)>,
}

impl Challenges {
    /// Keeps a new one.
    pub(super) fn give(&self, challenge: Challenge, now: Instant) {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now, AT_ONCE - 1);
        table.open.insert(challenge);
        table.given.push_back((now, challenge));
    }

    /// Whether it was given out, in time and not answered before. From now on it was.
    pub(super) fn redeem(&self, challenge: &Challenge, now: Instant) -> bool {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.forget(now, AT_ONCE);
        table.open.remove(challenge)
    }
}

impl Table {
    fn forget(&mut self, now: Instant, keep: usize) {
        let is_old = |given: Instant| now.saturating_duration_since(given) > GOOD_FOR;
        while let Some((given, challenge)) = self.given.front() {
            if self.given.len() <= keep && !is_old(*given) {
                break;
            }
            self.open.remove(challenge);
            self.given.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::clock;

    fn challenge(number: usize) -> Challenge {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Challenge::new(bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn a_challenge_is_good_once_and_for_a_minute() {
        let (challenges, start) = (Challenges::default(), clock::now());
        (1..=3).for_each(|number| challenges.give(challenge(number), start));
        assert!(challenges.redeem(&challenge(1), start));
        assert!(!challenges.redeem(&challenge(1), start), "once");
        assert!(challenges.redeem(&challenge(2), start + GOOD_FOR));
        assert!(!challenges.redeem(&challenge(3), start + GOOD_FOR + Duration::from_millis(1)));
        assert!(!challenges.redeem(&challenge(4), start), "never given out");
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_takes_no_more_than_its_place_and_the_newest_are_good() {
        let (challenges, now) = (Challenges::default(), clock::now());
        (0..AT_ONCE + 10).for_each(|number| challenges.give(challenge(number), now));
        assert_eq!(challenges.0.lock().unwrap().given.len(), AT_ONCE);
        assert_eq!(challenges.0.lock().unwrap().open.len(), AT_ONCE);
        assert!(!challenges.redeem(&challenge(9), now));
        assert!(challenges.redeem(&challenge(10), now));
    }
}
