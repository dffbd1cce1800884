//! PURE. Fleets: the keys with which an owner signs those of the owner's devices and services.
//!
//! A machine that trusts a fleet refuses every peer whose key the fleet has not signed. The hub has no part in it: it never
//! has a fleet's key. Besides the fleet key there may be a recovery key, which is kept elsewhere and signs as well.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::key::PublicKey;
use super::timestamp::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Time for which a certificate of a fleet holds.
pub const CERTIFICATE_TIME: Duration = DAY.saturating_mul(400);

/// Time before its end at which `check` asks for a new certificate.
pub const RENEWAL_TIME: Duration = DAY.saturating_mul(60);

/// Length limit of a certificate's text, in bytes: twice that of the longest id.
pub const MAX_CERTIFICATE_BYTES: usize = 1024;

/// The day on which fleets were first there: a clock that shows an earlier one was never set.
const EARLIEST: Timestamp = Timestamp(1_795_824_000);

/// The public keys of a fleet: its own, and that for recovery. As text, separated by a comma.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FleetKeys {
    key: PublicKey,
    recovery: Option<PublicKey>,
}

/// The error for text that is not one or two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected the fleet's key, or two keys with a comma between them; each has 43 characters")]
pub struct InvalidFleetKeys;

impl FleetKeys {
    /// Names a fleet with a key for recovery.
    pub fn new(key: PublicKey, recovery: PublicKey) -> Self {
        Self { key, recovery: Some(recovery) }
    }

    /// The keys that may sign.
    pub fn keys(&self) -> Vec<PublicKey> {
        [Some(self.key), self.recovery].into_iter().flatten().collect()
    }

    /// Returns the key of these that is missing where `present` has the other one alone.
    pub fn without_recovery(&self, present: &Self) -> Option<PublicKey> {
        let (former, present) = (self.keys(), present.keys());
        let is_same = present.iter().all(|key| former.contains(key));
        former.into_iter().find(|key| is_same && !present.contains(key))
    }

    /// The first characters of each key, for a person.
    pub fn short(&self) -> String {
        self.keys().iter().map(PublicKey::short).collect::<Vec<_>>().join(",")
    }
}

impl FromStr for FleetKeys {
    type Err = InvalidFleetKeys;
    fn from_str(text: &str) -> Result<Self, InvalidFleetKeys> {
        let (key, recovery) = text.split_once(',').map_or((text, None), |(key, recovery)| (key, Some(recovery)));
        let parse = |text: &str| text.parse().map_err(|_| InvalidFleetKeys);
        Ok(Self { key: parse(key)?, recovery: recovery.map(parse).transpose()? })
    }
}

impl TryFrom<String> for FleetKeys {
    type Error = InvalidFleetKeys;
    fn try_from(text: String) -> Result<Self, InvalidFleetKeys> {
        text.parse()
    }
}

impl From<FleetKeys> for String {
    fn from(keys: FleetKeys) -> Self {
        keys.to_string()
    }
}

impl fmt::Display for FleetKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.keys().into_iter().map(String::from).collect::<Vec<_>>().join(","))
    }
}

/// A fleet that a machine trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fleet {
    /// Its keys.
    pub keys: FleetKeys,
    /// A time that has passed: that of the decision, or the beginning of this machine's own certificate.
    pub since: Timestamp,
}

/// The time by which a certificate is judged. A machine whose clock has no battery may show any time after its start, and
/// must not take an old certificate for a valid one: it is at least as late as this version is, and as `passed`, the latest
/// time that it has from a certificate of its fleet.
pub fn judged_at(clock: Timestamp, passed: Timestamp) -> Timestamp {
    clock.max(passed).max(EARLIEST)
}

/// Reports whether a certificate may begin then: not a day past a clock that was ever set. One that was signed by a clock far
/// ahead would have the right certificates of others count as expired.
pub fn may_begin(begin: Timestamp, clock: Timestamp) -> bool {
    clock < EARLIEST || begin <= clock.after(DAY)
}

/// The period in which a certificate holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second: the fleet's clock when it signed.
    pub not_before: Timestamp,
    /// Its last second.
    pub not_after: Timestamp,
}

impl Validity {
    /// The period of a certificate that is signed now.
    pub fn beginning(now: Timestamp) -> Self {
        Self { not_before: now, not_after: now.after(CERTIFICATE_TIME) }
    }

    /// Reports whether a new certificate is due.
    pub fn is_due(&self, now: Timestamp) -> bool {
        now >= self.not_after.before(RENEWAL_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    fn key(seed: u8) -> PublicKey {
        PrivateKey::from_seed(&KeySeed::new([seed; 32])).public()
    }

    #[test]
    fn one_or_two_keys_are_read_as_they_were_written() {
        let [first, second] = [1, 2].map(|seed| String::from(key(seed)));
        let one: FleetKeys = first.parse().unwrap();
        assert_eq!((one.keys(), one.to_string()), (vec![key(1)], first.clone()));
        let two = FleetKeys::new(key(1), key(2));
        assert_eq!((two.to_string().parse(), two.keys()), (Ok(two), vec![key(1), key(2)]));
        assert_eq!((two.without_recovery(&one), one.without_recovery(&two)), (Some(key(2)), None));
        assert_eq!((two.without_recovery(&two), two.without_recovery(&FleetKeys::new(key(3), key(1)))), (None, None));
        for text in ["", ",", &format!("{first},"), &format!(",{first}"), &format!("{two},{second}"), &first[1..]] {
            assert_eq!(text.parse::<FleetKeys>(), Err(InvalidFleetKeys), "{text}");
        }
    }

    #[test]
    fn a_clock_without_a_battery_does_not_go_back_behind_what_is_certain() {
        let (unset, later) = (Timestamp(0), EARLIEST.after(DAY));
        assert_eq!(judged_at(unset, unset), EARLIEST);
        assert_eq!(judged_at(unset, later), later, "a certificate began by then");
        assert_eq!(judged_at(later.after(DAY), later), later.after(DAY), "the clock");
    }

    #[test]
    fn a_certificate_that_begins_far_ahead_of_a_clock_that_was_set_is_no_measure_of_time() {
        assert!(may_begin(EARLIEST.after(DAY * 2), EARLIEST.after(DAY)));
        assert!(!may_begin(EARLIEST.after(DAY * 3), EARLIEST.after(DAY)));
        assert!(may_begin(EARLIEST.after(DAY * 900), Timestamp(0)), "a clock without a battery");
    }

    #[test]
    fn a_new_certificate_is_due_sixty_days_before_the_end() {
        let validity = Validity::beginning(EARLIEST);
        let last_quiet = EARLIEST.after(DAY * 340).before(Duration::from_secs(1));
        assert!(!validity.is_due(last_quiet) && validity.is_due(last_quiet.after(Duration::from_secs(1))));
        assert_eq!(validity.not_after, EARLIEST.after(DAY * 400));
    }
}
