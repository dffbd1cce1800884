//! The limits on unauthenticated connections and the penalties of sources, for any task.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::penalty::{PenaltyPolicy, PenaltyReason, SITE_SHARE, SourcePenalties, SourceStatus};
pub use super::unauthenticated::ConnectionLimits;
pub(in crate::hub) use super::unauthenticated::Stage;
use super::unauthenticated::{Full, UnauthenticatedConnections};
use crate::net::os::clock;
use crate::proto::network::site_prefix;

/// Counts unauthenticated connections and keeps the penalties of sources.
#[derive(Debug)]
pub(in crate::hub) struct ConnectionLimiter {
    unauthenticated: Mutex<UnauthenticatedConnections>,
    penalties: Mutex<SourcePenalties>,
}

/// The reason for rejecting a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Rejection {
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

    /// Admits an unauthenticated connection unless a limit is reached.
    pub(in crate::hub) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<UnauthenticatedPermit, Rejection> {
        let (is_known, now) = (self.penalties().is_known(address, clock::now()), clock::now());
        let admitted = self.unauthenticated().admit(address, is_known, now);
        let (id, evicted) = admitted.map_err(|full| match full {
            Full::Total => Rejection::GlobalLimit,
            Full::Source => Rejection::SourceLimit,
        })?;
        Ok(UnauthenticatedPermit { limiter: self.clone(), address, id, evicted })
    }

    /// Evicts the connections that take long to authenticate, where memory is short. Reports whether memory is being freed by
    /// that.
    pub(in crate::hub) fn evict_slow(&self) -> bool {
        self.unauthenticated().evict_slow(clock::now())
    }

    /// Returns whether a source is allowed, throttled or banned.
    pub(in crate::hub) fn status(&self, source: IpAddr) -> SourceStatus {
        self.penalties().status(source, clock::now())
    }

    /// Returns up to `limit` sources that have authenticated connections, or had some in the last weeks, and the time since
    /// then: the latest, of each site no more than its share while there are others.
    pub(in crate::hub) fn authenticated_sources(&self, limit: usize) -> Vec<(IpAddr, Duration)> {
        let mut known: Vec<_> = self.penalties().authenticated_sources(clock::now()).collect();
        known.sort_unstable_by_key(|(source, since)| (*since, *source));
        let mut of_site = HashMap::new();
        let is_within_share = |(source, _): &(IpAddr, Duration)| {
            let count = of_site.entry(site_prefix(*source)).or_insert(0);
            *count += 1;
            *count <= limit / SITE_SHARE
        };
        let (mut latest, further): (Vec<_>, Vec<_>) = known.into_iter().partition(is_within_share);
        latest.extend(further);
        latest.truncate(limit);
        latest
    }

    /// Counts these sources as if they had had authenticated connections until some time ago.
    pub(in crate::hub) fn restore_authenticated(&self, sources: impl IntoIterator<Item = (IpAddr, Duration)>) {
        let (mut penalties, now) = (self.penalties(), clock::now());
        sources.into_iter().for_each(|(source, since)| penalties.restore_authenticated(source, since, now));
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
    /// Notes that the ClientHello is complete, and reports whether the connection may go on: its source may be banned or
    /// throttled and have had its share. What comes before costs little, and a neighbour's garbage must not use up the
    /// share of a client behind the same address.
    pub(in crate::hub) fn admit_hello(&self) -> bool {
        self.reached(Stage::Hello);
        self.limiter.penalties().admit_hello(self.address, clock::now())
    }

    /// Notes how far the connection has come.
    pub(in crate::hub) fn reached(&self, stage: Stage) {
        self.limiter.unauthenticated().reached(self.id, stage);
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
        let may_begin = |source| limiter.admit(source).unwrap().admit_hello();
        assert!(may_begin(fleet));
        drop(permit);
        assert!(may_begin(fleet), "it reconnects");
        assert!(may_begin(attacker), "ten a second");
        assert!((0..100).any(|_| !may_begin(attacker)));
        assert_eq!((limiter.count(), limiter.penalised()), (0, 2));
    }

    #[test]
    fn one_ipv6_48_takes_no_place_of_another_among_the_latest_sources() {
        let limiter = ConnectionLimiter::new(ConnectionLimits { total: 10, per_source: 10 }, PenaltyPolicy::default());
        let (other, hour) = (address("192.0.2.1"), Duration::from_secs(3600));
        let attackers = (0..160_u16).map(|n| (IpAddr::from([0x2001, 0xdb8, 1, n, 0, 0, 0, 0]), Duration::ZERO));
        limiter.restore_authenticated(attackers.chain([(other, hour)]));
        let latest = |limit| limiter.authenticated_sources(limit);
        assert!(latest(64).iter().any(|(source, _)| *source == other));
        assert_eq!(
            [64, 161, 4096].map(|limit| latest(limit).len()),
            [64, 161, 161],
            "where there is room, all are kept"
        );
    }

    /// Of a known source, and of a banned one.
    #[tokio::test(start_paused = true)]
    async fn a_neighbours_garbage_uses_up_no_share_of_a_client_behind_the_same_address() {
        let limits = ConnectionLimits { total: 1024, per_source: 128 };
        let limiter = Arc::new(ConnectionLimiter::new(limits, PenaltyPolicy::default()));
        let (site, other) = (address("192.0.2.1"), address("192.0.2.2"));
        limiter.restore_authenticated([(site, Duration::ZERO)]);
        for source in [site, other] {
            // 200 a second for a minute; the client tries every second, and begins TLS after a round trip.
            for number in 0..12_000 {
                drop(limiter.admit(source).unwrap());
                limiter.record_penalty(source, PenaltyReason::ProtocolError);
                tokio::time::sleep(Duration::from_millis(5)).await;
                if number % 200 == 0 {
                    assert!(limiter.admit(source).unwrap().admit_hello(), "{source} after {number}");
                }
            }
            assert_ne!(limiter.status(source), SourceStatus::Allowed);
        }
    }

    /// Each tries again when it is rejected or gives way, which costs a penalty if it has had its time.
    #[tokio::test(start_paused = true)]
    async fn a_fleet_behind_one_address_that_returns_at_once_is_not_penalised() {
        const TICK: Duration = Duration::from_millis(10);
        for (clients, round_trip) in [(200, 600), (4000, 150)] {
            let limits = ConnectionLimits { total: 1024, per_source: 128 };
            let limiter = Arc::new(ConnectionLimiter::new(limits, PenaltyPolicy::default()));
            let site = address("192.0.2.1");
            limiter.restore_authenticated([(site, Duration::ZERO)]);
            let (start, round_trip) = (clock::now(), Duration::from_millis(round_trip));
            let (mut away, mut connecting, mut online) = (clients, Vec::new(), Vec::new());
            while online.len() < clients {
                assert!(
                    clock::now().duration_since(start) < Duration::from_secs(60),
                    "{} of {clients} are online",
                    online.len()
                );
                // Those that were rejected try again within a second or so.
                for _ in 0..away.div_ceil(100) {
                    if let Ok(permit) = limiter.admit(site) {
                        connecting.push((clock::now(), permit));
                        away -= 1;
                    }
                }
                for (since, permit) in std::mem::take(&mut connecting) {
                    if permit.evicted().is_cancelled() {
                        limiter.record_penalty(site, PenaltyReason::ProtocolError);
                        away += 1;
                    } else if clock::now().duration_since(since) >= round_trip * 2 {
                        online.push(permit.into_authenticated());
                    } else {
                        permit.reached(if clock::now().duration_since(since) >= round_trip {
                            Stage::Tls
                        } else {
                            Stage::Hello
                        });
                        connecting.push((since, permit));
                    }
                }
                assert_eq!(limiter.status(site), SourceStatus::Allowed);
                tokio::time::sleep(TICK).await;
            }
        }
    }
}
