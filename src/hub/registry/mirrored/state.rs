//! What a hub knows of the bucket that it mirrors: if changes can be made, and how far behind it is.

use std::fmt;
use std::time::{Duration, Instant};

use crate::hub::registry::RegistryError;
use crate::net::os::clock;
use crate::proto::timestamp::Timestamp;

/// The deadline of a change. Where the server that orders the writes dies, there are none for 4 to 7 s.
pub(super) const CHANGE_DEADLINE: Duration = Duration::from_secs(10);

/// While the engine is away for longer than a change may take, one in this time tries it; all others fail at once.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// What is wrong with a bucket. Only a person can say which of the bucket and the mirrors is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketLoss {
    /// It is gone.
    Deleted,
    /// It does not have what it was founded with.
    Wiped,
    /// It was founded by others.
    Replaced,
    /// It lacks at least so many values that this hub has, or has older ones.
    RolledBack(usize),
}

impl BucketLoss {
    /// Returns what a person is to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Deleted | Self::Wiped | Self::RolledBack(_) => {
                "`devstream hub cluster status` shows each hub's, and `devstream hub cluster restore` puts this hub's values back"
            }
            Self::Replaced => {
                "if no other cluster uses this NATS account, `devstream hub cluster restore --force` puts this hub's values in its \
                 place"
            }
        }
    }
}

impl fmt::Display for BucketLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deleted => f.write_str("was deleted"),
            Self::Wiped => f.write_str("was emptied"),
            Self::Replaced => f.write_str("was replaced by another one"),
            Self::RolledBack(count) => write!(f, "is an old copy: {count} or more values of this hub are newer"),
        }
    }
}

/// The state of a mirror, for an operator and for other hubs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorStatus {
    /// The number of values that it has.
    pub entries: u64,
    /// The revision up to which it has taken everything.
    pub revision: u64,
    /// The number of revisions that it is behind what other hubs have.
    pub lag: u64,
    /// It has compared itself with the whole bucket, and takes what comes.
    pub follows: bool,
    /// Why changes are refused; `None` if they are not.
    pub refuses: Option<String>,
    /// The last error.
    pub last_error: Option<String>,
    /// Since when it follows, or does not.
    pub since: Timestamp,
}

/// What is known.
pub(super) struct State {
    pub(super) loss: Option<BucketLoss>,
    away: Option<Away>,
    /// The bucket was found to be the one that is mirrored.
    pub(super) is_verified: bool,
    /// This hub fills the bucket, which has no marker yet.
    pub(super) is_founding: bool,
    pub(super) follows: bool,
    pub(super) applied: u64,
    /// The highest revision that is known to exist: of a value that came, or that this hub put.
    pub(super) highest: u64,
    pub(super) last_error: Option<String>,
    pub(super) since: Timestamp,
}

/// The engine does not answer.
struct Away {
    since: Instant,
    probed: Instant,
    reason: String,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            loss: None,
            away: None,
            is_verified: false,
            is_founding: false,
            follows: false,
            applied: 0,
            highest: 0,
            last_error: None,
            since: clock::now_utc(),
        }
    }

    /// Returns the deadline of a change that begins now, or why it is refused.
    pub(super) fn begin_change(&mut self, now: Instant) -> Result<Instant, RegistryError> {
        if let Some(loss) = self.loss {
            return Err(RegistryError::BucketLost(loss));
        }
        let Some(away) = &mut self.away else { return Ok(now + CHANGE_DEADLINE) };
        let until = away.since + CHANGE_DEADLINE;
        if now < until {
            return Ok(until);
        }
        if now < away.probed + PROBE_INTERVAL {
            return Err(RegistryError::Unreachable(away.reason.clone()));
        }
        away.probed = now;
        Ok(now + PROBE_INTERVAL)
    }

    /// Records that the engine answered.
    pub(super) fn reached(&mut self) {
        self.away = None;
    }

    /// Records that the engine did not.
    pub(super) fn not_reached(&mut self, reason: &str, now: Instant) {
        self.last_error = Some(reason.into());
        match &mut self.away {
            Some(away) => away.reason = reason.into(),
            None => self.away = Some(Away { since: now, probed: now, reason: reason.into() }),
        }
    }

    /// Records whether the mirror follows the bucket.
    pub(super) fn set_follows(&mut self, follows: bool) {
        if self.follows != follows {
            (self.follows, self.since) = (follows, clock::now_utc());
        }
    }

    pub(super) fn refuses(&self) -> Option<String> {
        let away = || self.away.as_ref().map(|away| RegistryError::Unreachable(away.reason.clone()));
        self.loss.map(RegistryError::BucketLost).or_else(away).map(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_the_engine_is_away_for_long_one_change_a_second_tries_it_and_others_fail_at_once() {
        let (mut state, start) = (State::new(), clock::now());
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let deadline = |state: &mut State, seconds| state.begin_change(at(seconds)).ok().map(|until| until - start);
        assert_eq!(deadline(&mut state, 3), Some(CHANGE_DEADLINE + Duration::from_secs(3)));
        state.not_reached("no quorum", start);
        state.not_reached("still", at(5));
        assert_eq!(deadline(&mut state, 9), Some(CHANGE_DEADLINE), "all wait for the same time");
        assert_eq!(deadline(&mut state, 10), Some(Duration::from_secs(11)), "one tries");
        assert_eq!(deadline(&mut state, 10), None);
        assert_eq!(deadline(&mut state, 11), Some(Duration::from_secs(12)));
        let error = state.begin_change(at(11)).unwrap_err();
        assert!(matches!(&error, RegistryError::Unreachable(reason) if reason == "still"), "{error}");
        state.reached();
        assert_eq!(deadline(&mut state, 11), Some(CHANGE_DEADLINE + Duration::from_secs(11)));
        assert_eq!(state.refuses(), None);
        state.loss = Some(BucketLoss::Deleted);
        assert!(matches!(state.begin_change(at(20)), Err(RegistryError::BucketLost(BucketLoss::Deleted))));
        assert!(state.refuses().is_some_and(|why| why.contains("was deleted")));
    }
}
