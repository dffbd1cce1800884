//! Connections that have not proved who they are: how many, from where, and what is held against their sources.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::penalty::{PenaltyPolicy, PenaltyReason, SourcePenalties, SourceStatus, source_prefix};
use crate::net::os::clock;
use crate::net::os::random;

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// In all. From half of them on, some are sent away at random, the more the fewer places are left (as sshd's
    /// MaxStartups): whoever holds all the places does not keep everybody out.
    pub total: usize,
    /// From one source.
    pub per_source: usize,
}

/// All of them.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    limits: ConnectionLimits,
    counts: Mutex<UnauthenticatedCounts>,
    penalties: Mutex<SourcePenalties>,
}

#[derive(Debug, Default)]
struct UnauthenticatedCounts {
    all: usize,
    sources: HashMap<IpAddr, usize>,
}

/// Why somebody is not even listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Its source is kept away.
    Banned,
    /// Too many strangers.
    GlobalLimit,
    /// Too many strangers from one source.
    SourceLimit,
}

impl ConnectionLimiter {
    /// Nobody yet.
    pub(super) fn new(limits: ConnectionLimits, policy: PenaltyPolicy) -> Self {
        Self { limits, counts: Mutex::default(), penalties: Mutex::new(SourcePenalties::new(policy)) }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.counts().all
    }

    /// How many sources are kept away or slowed.
    pub(super) fn penalised(&self) -> usize {
        self.penalties().enforced(clock::now())
    }

    /// One more, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<UnauthenticatedPermit, Rejection> {
        if self.status(address) == SourceStatus::Banned {
            return Err(Rejection::Banned);
        }
        let source = source_prefix(address);
        let mut counts = self.counts();
        let own = counts.sources.get(&source).copied().unwrap_or(0);
        if own >= self.limits.per_source {
            return Err(Rejection::SourceLimit);
        }
        if is_dropped(counts.all, self.limits.total, random::u64()) {
            return Err(Rejection::GlobalLimit);
        }
        counts.all += 1;
        counts.sources.insert(source, own + 1);
        Ok(UnauthenticatedPermit { limiter: self.clone(), source })
    }

    /// How to deal with a source.
    pub(super) fn status(&self, source: IpAddr) -> SourceStatus {
        self.penalties().status(source, clock::now())
    }

    /// A source did something wrong. Returns true if that has consequences from now on.
    pub(super) fn record_penalty(&self, source: IpAddr, reason: PenaltyReason) -> bool {
        self.penalties().record(source, reason, clock::now())
    }

    fn counts(&self) -> MutexGuard<'_, UnauthenticatedCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn penalties(&self) -> MutexGuard<'_, SourcePenalties> {
        self.penalties.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the next one is sent away: never below half, always when full.
fn is_dropped(all: usize, limit: usize, dice: u64) -> bool {
    let start = limit / 2;
    if all < start {
        return false;
    }
    let (over, span) = ((all - start) as u64, (limit - start).max(1) as u64);
    all >= limit || dice % span < over
}

/// A place among the strangers, given back when dropped.
#[derive(Debug)]
pub(super) struct UnauthenticatedPermit {
    limiter: Arc<ConnectionLimiter>,
    source: IpAddr,
}

impl UnauthenticatedPermit {
    /// It has proved who it is.
    pub(super) fn into_authenticated(self) -> AuthenticatedPermit {
        self.limiter.penalties().auth_opened(self.source);
        AuthenticatedPermit { limiter: self.limiter.clone(), source: self.source }
    }
}

impl Drop for UnauthenticatedPermit {
    fn drop(&mut self) {
        let mut counts = self.limiter.counts();
        counts.all -= 1;
        if let Some(own) = counts.sources.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                counts.sources.remove(&self.source);
            }
        }
    }
}

/// A connection that has proved who it is: for as long as it lasts, its source is not kept away.
#[derive(Debug)]
pub(super) struct AuthenticatedPermit {
    limiter: Arc<ConnectionLimiter>,
    source: IpAddr,
}

impl Drop for AuthenticatedPermit {
    fn drop(&mut self) {
        self.limiter.penalties().auth_closed(self.source, clock::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_network_takes_no_more_than_its_share_of_places_and_gives_them_back() {
        let limiter = Arc::new(ConnectionLimiter::new(
            ConnectionLimits { total: 1000, per_source: 64 },
            PenaltyPolicy::default(),
        ));
        let mut permits = Vec::new();
        for host in 0..64 {
            permits.push(limiter.admit(address(&format!("2001:db8:1:2::{host:x}"))).unwrap());
        }
        let again = limiter.admit(address("2001:db8:1:2:ffff::1"));
        assert_eq!(again.err(), Some(Rejection::SourceLimit), "the same /64");
        assert!(limiter.admit(address("2001:db8:1:3::1")).is_ok(), "another /64");
        assert!(limiter.admit(address("192.0.2.1")).is_ok());
        permits.pop();
        assert!(limiter.admit(address("2001:db8:1:2::1")).is_ok(), "a place came back");
    }

    #[test]
    fn the_fuller_it_is_the_more_are_sent_away_and_none_below_half() {
        let dropped = |all| (0..1000).filter(|dice| is_dropped(all, 1000, *dice)).count();
        assert_eq!([0, 499, 500, 750, 1000].map(dropped), [0, 0, 0, 500, 1000]);
        assert!(is_dropped(0, 0, 1), "no limits at all");
    }

    #[test]
    fn who_holds_a_good_connection_or_has_just_lost_one_is_not_kept_away() {
        let limiter =
            Arc::new(ConnectionLimiter::new(ConnectionLimits { total: 10, per_source: 10 }, PenaltyPolicy::default()));
        let (fleet, attacker) = (address("192.0.2.1"), address("192.0.2.2"));
        let permit = limiter.admit(fleet).unwrap().into_authenticated();
        for source in [fleet, attacker].repeat(4) {
            limiter.record_penalty(source, PenaltyReason::AuthFailed);
        }
        assert_eq!(limiter.status(fleet), SourceStatus::Throttled);
        assert!(limiter.admit(fleet).is_ok());
        drop(permit);
        assert!(limiter.admit(fleet).is_ok(), "it wants its streams back");
        assert_eq!(limiter.admit(attacker).err(), Some(Rejection::Banned));
        assert_eq!((limiter.count(), limiter.penalised()), (0, 2));
    }
}
