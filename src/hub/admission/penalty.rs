//! PURE. Penalties of sources: repeated failures ban a source for a while, as OpenSSH's PerSourcePenalties do.
//!
//! A source that also has authenticated connections, such as a fleet behind one NAT, is throttled instead of banned:
//! its failures are answered slowly. So is one that had some until recently: when a network fails, its connections are
//! lost and new ones time out, and the clients that return must get in.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::proto::network::source_prefix;

/// The default penalty from which a source is banned: OpenSSH's minimum.
pub const PENALTY_THRESHOLD: Duration = Duration::from_secs(15);

/// The default of the longest ban: OpenSSH's maximum.
pub const PENALTY_MAX: Duration = Duration::from_secs(600);

/// The reason for a penalty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyReason {
    /// A wrong key, signature, token or join code.
    AuthFailed,
    /// The connection did not authenticate in time.
    AuthTimeout,
    /// Malformed TLS or HTTP.
    ProtocolError,
}

impl PenaltyReason {
    /// The penalty, with OpenSSH's values.
    fn penalty(self) -> Duration {
        Duration::from_secs(match self {
            Self::AuthFailed => 5,
            Self::AuthTimeout => 10,
            Self::ProtocolError => 1,
        })
    }
}

/// The settings of penalties.
#[derive(Debug, Clone)]
pub struct PenaltyPolicy {
    /// The sum of penalties at which a source is banned or throttled.
    pub threshold: Duration,
    /// The longest ban.
    pub max: Duration,
    /// Networks that are never penalised.
    pub exempt: Vec<IpNet>,
}

impl Default for PenaltyPolicy {
    fn default() -> Self {
        Self { threshold: PENALTY_THRESHOLD, max: PENALTY_MAX, exempt: Vec::new() }
    }
}

/// The treatment of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    /// No restriction.
    Allowed,
    /// Failures are answered after a delay, because the source has authenticated connections.
    Throttled,
    /// Connections are rejected, but for one in each `BANNED_INTERVAL`.
    Banned,
}

/// The interval in which a banned source may open one connection: a client with a good key may share its address, and
/// lifts the ban.
const BANNED_INTERVAL: Duration = Duration::from_secs(1);

/// The limit on tracked sources; beyond it, new sources are not penalised.
const MAX_SOURCES: usize = 65_536;

/// The limit on sources up to which those are remembered that had authenticated connections: one identity with an IPv6 /48
/// can have any number, and must leave room for penalties.
const MAX_REMEMBERED: usize = MAX_SOURCES / 4;

/// The interval at which a full table is searched for expired entries.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// The time for which a source counts as having authenticated connections after the last one: longer than most outages,
/// and as long as the longest ban by default.
const AUTH_GRACE: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Source {
    /// The expiry of its penalties.
    until: Option<Instant>,
    /// The penalties have reached the threshold.
    enforced: bool,
    /// Its authenticated connections.
    authenticated: usize,
    /// The time at which the last of them closed.
    auth_closed_at: Option<Instant>,
    /// While it is banned, the time of the next connection that is admitted nevertheless.
    next_admission: Option<Instant>,
}

impl Source {
    fn has_recent_auth(&self, now: Instant) -> bool {
        self.authenticated > 0 || self.auth_closed_at.is_some_and(|left| now < left + AUTH_GRACE)
    }

    fn is_penalised(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

/// The penalties of all sources.
#[derive(Debug)]
pub struct SourcePenalties {
    policy: PenaltyPolicy,
    sources: HashMap<IpAddr, Source>,
    /// The time of the next search for expired entries.
    next_search: Option<Instant>,
}

impl SourcePenalties {
    /// No penalties.
    pub fn new(policy: PenaltyPolicy) -> Self {
        Self { policy, sources: HashMap::new(), next_search: None }
    }

    /// Returns the treatment of a source.
    pub fn status(&self, source: IpAddr, now: Instant) -> SourceStatus {
        match self.sources.get(&source_prefix(source)) {
            Some(source) if source.enforced && source.is_penalised(now) => {
                if source.has_recent_auth(now) {
                    SourceStatus::Throttled
                } else {
                    SourceStatus::Banned
                }
            }
            Some(_) | None => SourceStatus::Allowed,
        }
    }

    /// Reports whether a source has authenticated connections, or had some until recently.
    pub fn is_known(&self, source: IpAddr, now: Instant) -> bool {
        self.sources.get(&source_prefix(source)).is_some_and(|entry| entry.has_recent_auth(now))
    }

    /// Reports whether a banned source may open a connection now.
    pub fn admit_banned(&mut self, source: IpAddr, now: Instant) -> bool {
        let Some(entry) = self.sources.get_mut(&source_prefix(source)) else { return true };
        let is_admitted = entry.next_admission.is_none_or(|at| at <= now);
        if is_admitted {
            entry.next_admission = Some(now + BANNED_INTERVAL);
        }
        is_admitted
    }

    /// Returns the sources that have authenticated connections, or had some until recently.
    pub fn authenticated_sources(&self, now: Instant) -> impl Iterator<Item = IpAddr> {
        self.sources.iter().filter(move |(_, entry)| entry.has_recent_auth(now)).map(|(source, _)| *source)
    }

    /// Counts a source as one whose authenticated connections have closed just now.
    pub fn restore_authenticated(&mut self, source: IpAddr, now: Instant) {
        if self.make_room(source_prefix(source), now) {
            self.sources.entry(source_prefix(source)).or_default().auth_closed_at = Some(now);
        }
    }

    /// Adds a penalty. Returns true if the source becomes banned or throttled by it.
    pub fn record(&mut self, source: IpAddr, reason: PenaltyReason, now: Instant) -> bool {
        if self.policy.exempt.iter().any(|net| net.contains(&source)) || !self.make_room(source_prefix(source), now) {
            return false;
        }
        let entry = self.sources.entry(source_prefix(source)).or_default();
        let before = entry.until.filter(|until| *until > now);
        let until = (before.unwrap_or(now) + reason.penalty()).min(now + self.policy.max);
        let was_enforced = entry.enforced && before.is_some();
        entry.until = Some(until);
        entry.enforced = was_enforced || until.saturating_duration_since(now) >= self.policy.threshold;
        entry.enforced && !was_enforced
    }

    /// Counts an authenticated connection.
    pub fn auth_opened(&mut self, source: IpAddr) {
        self.sources.entry(source_prefix(source)).or_default().authenticated += 1;
    }

    /// Uncounts an authenticated connection. Beyond `MAX_REMEMBERED`, no source is kept for that alone.
    pub fn auth_closed(&mut self, source: IpAddr, now: Instant) {
        let source = source_prefix(source);
        let crowded = self.sources.len() >= MAX_REMEMBERED;
        if let Some(entry) = self.sources.get_mut(&source) {
            entry.authenticated = entry.authenticated.saturating_sub(1);
            entry.auth_closed_at = Some(now);
            if entry.authenticated == 0 && entry.until.is_none() && crowded {
                self.sources.remove(&source);
            }
        }
    }

    /// Returns the number of banned and throttled sources.
    pub fn enforced(&self, now: Instant) -> usize {
        let is_enforced = |source: &&Source| source.enforced && source.is_penalised(now);
        self.sources.values().filter(is_enforced).count()
    }

    /// Reports whether a penalty of this source can be stored. A full table drops expired entries.
    fn make_room(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.contains_key(&source) || self.sources.len() < MAX_SOURCES {
            return true;
        }
        if self.next_search.is_none_or(|at| at <= now) {
            self.next_search = Some(now + SEARCH_INTERVAL);
            self.sources.retain(|_, entry| entry.has_recent_auth(now) || entry.is_penalised(now));
        }
        self.sources.len() < MAX_SOURCES
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_few_failures_are_tolerated_and_more_ban_a_source_for_a_limited_time() {
        let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        let attacker = address("192.0.2.1");
        assert!(!penalties.record(attacker, PenaltyReason::AuthFailed, start));
        assert!(!penalties.record(attacker, PenaltyReason::AuthFailed, start));
        assert_eq!(penalties.status(attacker, start), SourceStatus::Allowed);
        assert!(penalties.record(attacker, PenaltyReason::AuthFailed, start), "15 s in all");
        assert_eq!(penalties.status(attacker, start + SECOND * 14), SourceStatus::Banned);
        assert_eq!(penalties.status(attacker, start + SECOND * 15), SourceStatus::Allowed);
        assert_eq!(penalties.status(address("192.0.2.2"), start), SourceStatus::Allowed);
        for _ in 0..10_000 {
            penalties.record(attacker, PenaltyReason::AuthTimeout, start);
        }
        assert_eq!(penalties.status(attacker, start + SECOND * 599), SourceStatus::Banned);
        assert_eq!(penalties.status(attacker, start + SECOND * 600), SourceStatus::Allowed);
    }

    #[test]
    fn a_removed_device_that_retries_every_half_minute_is_never_banned() {
        let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        for turn in 0..100 {
            assert!(!penalties.record(address("192.0.2.1"), PenaltyReason::AuthFailed, start + SECOND * 30 * turn));
        }
    }

    #[test]
    fn a_source_with_authenticated_connections_is_throttled_and_not_banned() {
        let (mut penalties, now) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        let fleet = address("192.0.2.1");
        penalties.auth_opened(fleet);
        for _ in 0..9 {
            penalties.record(fleet, PenaltyReason::AuthFailed, now);
        }
        assert_eq!(penalties.status(fleet, now), SourceStatus::Throttled);
        penalties.auth_closed(fleet, now);
        assert_eq!(penalties.status(fleet, now), SourceStatus::Throttled, "its network may just have failed");
        let later = now + AUTH_GRACE;
        for _ in 0..9 {
            penalties.record(fleet, PenaltyReason::AuthFailed, later);
        }
        assert_eq!(penalties.status(fleet, later), SourceStatus::Banned);
        penalties.auth_opened(fleet);
        assert_eq!(penalties.status(fleet, later), SourceStatus::Throttled);
    }

    #[test]
    fn a_banned_source_may_open_one_connection_a_second_and_a_good_key_lifts_the_ban() {
        let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        let site = address("192.0.2.1");
        for _ in 0..100 {
            penalties.record(site, PenaltyReason::AuthFailed, start);
        }
        let admitted =
            (0..10_000).filter(|ms| penalties.admit_banned(site, start + Duration::from_millis(*ms))).count();
        assert_eq!(admitted, 10);
        penalties.auth_opened(site);
        assert_eq!(penalties.status(site, start), SourceStatus::Throttled);
    }

    #[test]
    fn the_authenticated_sources_of_an_earlier_run_are_not_banned() {
        let now = Instant::now();
        let (mut before, mut after) =
            (SourcePenalties::new(PenaltyPolicy::default()), SourcePenalties::new(PenaltyPolicy::default()));
        let (online, left) = (address("192.0.2.1"), address("2001:db8::1"));
        before.auth_opened(online);
        before.auth_opened(left);
        before.auth_closed(left, now);
        before.record(address("192.0.2.9"), PenaltyReason::AuthFailed, now);
        let sources: Vec<_> = before.authenticated_sources(now).collect();
        assert_eq!(sources.len(), 2);
        sources.into_iter().for_each(|source| after.restore_authenticated(source, now));
        for source in [online, left].repeat(9) {
            after.record(source, PenaltyReason::AuthFailed, now);
        }
        assert_eq!([online, left].map(|source| after.status(source, now)), [SourceStatus::Throttled; 2]);
        assert_eq!(before.authenticated_sources(now + AUTH_GRACE).collect::<Vec<_>>(), [online]);
    }

    #[test]
    fn an_ipv6_source_is_a_64_and_exempt_networks_are_never_penalised() {
        let policy = PenaltyPolicy { exempt: vec!["198.51.100.0/24".parse().unwrap()], ..PenaltyPolicy::default() };
        let (mut penalties, now) = (SourcePenalties::new(policy), Instant::now());
        for host in 0..3 {
            penalties.record(address(&format!("2001:db8:1:2::{host}")), PenaltyReason::AuthFailed, now);
            penalties.record(address("198.51.100.7"), PenaltyReason::AuthFailed, now);
        }
        assert_eq!(penalties.status(address("2001:db8:1:2:9::9"), now), SourceStatus::Banned);
        assert_eq!(penalties.status(address("2001:db8:1:3::1"), now), SourceStatus::Allowed);
        assert_eq!(penalties.status(address("198.51.100.7"), now), SourceStatus::Allowed);
        assert_eq!(penalties.enforced(now), 1);
    }

    #[test]
    fn the_number_of_tracked_sources_is_bounded_and_expired_ones_are_dropped() {
        let (mut penalties, now) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        for n in 0..MAX_SOURCES as u32 + 100 {
            penalties.record(nth(n), PenaltyReason::AuthFailed, now);
        }
        assert_eq!(penalties.sources.len(), MAX_SOURCES);
        penalties.record(nth(u32::MAX), PenaltyReason::AuthFailed, now + SECOND * 5);
        assert_eq!(penalties.sources.len(), 1);
    }
}
