//! The limits on unauthenticated connections and the penalties of sources, for any task.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::penalty::{PenaltyPolicy, PenaltyReason, SourcePenalties, SourceStatus};
pub use super::unauthenticated::ConnectionLimits;
use super::unauthenticated::{Full, UnauthenticatedConnections};
use crate::net::os::clock;

/// Counts unauthenticated connections and keeps the penalties of sources.
#[derive(Debug)]
pub(in crate::hub) struct ConnectionLimiter {
    unauthenticated: Mutex<UnauthenticatedConnections>,
    penalties: Mutex<SourcePenalties>,
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
        let unauthenticated = Mutex::new(UnauthenticatedConnections::new(limits));
        Self { unauthenticated, penalties: Mutex::new(SourcePenalties::new(policy)) }
    }

    /// Returns the number of unauthenticated connections.
    pub(in crate::hub) fn count(&self) -> usize {
        self.unauthenticated().count()
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
        let (is_known, now) = (self.penalties().is_known(address, clock::now()), clock::now());
        let admitted = self.unauthenticated().admit(address, is_known, now);
        let (id, evicted) = admitted.map_err(|full| match full {
            Full::Total => Rejection::GlobalLimit,
            Full::Source => Rejection::SourceLimit,
        })?;
        Ok(UnauthenticatedPermit { limiter: self.clone(), address, id, evicted })
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

    fn unauthenticated(&self) -> MutexGuard<'_, UnauthenticatedConnections> {
        self.unauthenticated.lock()
    }

    fn penalties(&self) -> MutexGuard<'_, SourcePenalties> {
        self.penalties.lock()
    }
}

/// The permit of an unauthenticated connection, returned on drop.
#[derive(Debug)]
pub(in crate::hub) struct UnauthenticatedPermit {
    limiter: Arc<ConnectionLimiter>,
    address: IpAddr,
    id: u64,
    evicted: CancellationToken,
}

impl UnauthenticatedPermit {
    /// Notes that the peer has sent something.
    pub(in crate::hub) fn spoke(&self) {
        self.limiter.unauthenticated().spoke(self.id);
    }

    /// Returns what is cancelled when the connection must give way to another before it has authenticated.
    pub(in crate::hub) fn evicted(&self) -> CancellationToken {
        self.evicted.clone()
    }

    /// Exchanges the permit after authentication.
    pub(in crate::hub) fn into_authenticated(self) -> AuthenticatedPermit {
        self.limiter.penalties().auth_opened(self.address);
        AuthenticatedPermit { limiter: self.limiter.clone(), source: self.address }
    }
}

impl Drop for UnauthenticatedPermit {
    fn drop(&mut self) {
        self.limiter.unauthenticated().remove(self.id);
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
