//! Limits on unauthenticated connections, in all and per source, and the penalties of sources.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::penalty::{PenaltyPolicy, PenaltyReason, SourcePenalties, SourceStatus, source_prefix};
use crate::net::os::clock;
use crate::net::os::random;

/// Limits on unauthenticated connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// In all. From half of the limit on, new connections are dropped at random, more as it fills (as sshd's
    /// MaxStartups), so that an attacker who fills it does not lock everyone out.
    pub total: usize,
    /// Per source: an IPv4 address or an IPv6 /64.
    pub per_source: usize,
}

/// Counts unauthenticated connections and keeps the penalties of sources.
#[derive(Debug)]
pub(in crate::hub) struct ConnectionLimiter {
    limits: ConnectionLimits,
    counts: Mutex<UnauthenticatedCounts>,
    penalties: Mutex<SourcePenalties>,
}

#[derive(Debug, Default)]
struct UnauthenticatedCounts {
    all: usize,
    sources: HashMap<IpAddr, usize>,
}

/// The reason for rejecting a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Rejection {
    /// The source is banned.
    Banned,
    /// Too many unauthenticated connections.
    GlobalLimit,
    /// Too many unauthenticated connections from one source.
    SourceLimit,
}

impl ConnectionLimiter {
    /// A limiter without connections.
    pub(in crate::hub) fn new(limits: ConnectionLimits, policy: PenaltyPolicy) -> Self {
        Self { limits, counts: Mutex::default(), penalties: Mutex::new(SourcePenalties::new(policy)) }
    }

    /// Returns the number of unauthenticated connections.
    pub(in crate::hub) fn count(&self) -> usize {
        self.counts().all
    }

    /// Returns the number of banned and throttled sources.
    pub(in crate::hub) fn penalised(&self) -> usize {
        self.penalties().enforced(clock::now())
    }

    /// Admits an unauthenticated connection unless its source is banned and has had its share, or a limit is reached.
    pub(in crate::hub) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<UnauthenticatedPermit, Rejection> {
        if self.status(address) == SourceStatus::Banned && !self.penalties().admit_banned(address, clock::now()) {
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

    /// Returns whether a source is allowed, throttled or banned.
    pub(in crate::hub) fn status(&self, source: IpAddr) -> SourceStatus {
        self.penalties().status(source, clock::now())
    }

    /// Returns up to `limit` sources that have authenticated connections, or had some until recently.
    pub(in crate::hub) fn authenticated_sources(&self, limit: usize) -> BTreeSet<IpAddr> {
        self.penalties().authenticated_sources(clock::now()).take(limit).collect()
    }

    /// Counts these sources as if they had had authenticated connections until now.
    pub(in crate::hub) fn restore_authenticated(&self, sources: impl IntoIterator<Item = IpAddr>) {
        let (mut penalties, now) = (self.penalties(), clock::now());
        sources.into_iter().for_each(|source| penalties.restore_authenticated(source, now));
    }

    /// Adds a penalty. Returns true if the source becomes banned or throttled by it.
    pub(in crate::hub) fn record_penalty(&self, source: IpAddr, reason: PenaltyReason) -> bool {
        self.penalties().record(source, reason, clock::now())
    }

    fn counts(&self) -> MutexGuard<'_, UnauthenticatedCounts> {
        self.counts.lock()
    }

    fn penalties(&self) -> MutexGuard<'_, SourcePenalties> {
        self.penalties.lock()
    }
}

/// Decides at random whether to drop a connection: never below half of the limit, always at the limit.
fn is_dropped(all: usize, limit: usize, dice: u64) -> bool {
    let start = limit / 2;
    if all < start {
        return false;
    }
    let (over, span) = ((all - start) as u64, (limit - start).max(1) as u64);
    all >= limit || dice % span < over
}

/// The permit of an unauthenticated connection, returned on drop.
#[derive(Debug)]
pub(in crate::hub) struct UnauthenticatedPermit {
    limiter: Arc<ConnectionLimiter>,
    source: IpAddr,
}

impl UnauthenticatedPermit {
    /// Exchanges the permit after authentication.
    pub(in crate::hub) fn into_authenticated(self) -> AuthenticatedPermit {
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

/// The permit of an authenticated connection: while it lasts, its source is throttled rather than banned.
#[derive(Debug)]
pub(in crate::hub) struct AuthenticatedPermit {
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
    fn one_source_gets_no_more_than_its_share_and_releases_it() {
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
        assert!(limiter.admit(address("2001:db8:1:2::1")).is_ok(), "a permit was released");
    }

    #[test]
    fn random_drops_increase_from_half_of_the_limit_and_none_happen_below() {
        let dropped = |all| (0..1000).filter(|dice| is_dropped(all, 1000, *dice)).count();
        assert_eq!([0, 499, 500, 750, 1000].map(dropped), [0, 0, 0, 500, 1000]);
        assert!(is_dropped(0, 0, 1), "a limit of zero");
    }

    #[test]
    fn a_source_with_an_authenticated_connection_or_a_recent_one_is_not_banned() {
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
        assert!(limiter.admit(fleet).is_ok(), "it reconnects");
        assert!(limiter.admit(attacker).is_ok(), "one a second");
        assert_eq!(limiter.admit(attacker).err(), Some(Rejection::Banned));
        assert_eq!((limiter.count(), limiter.penalised()), (0, 2));
    }
}
