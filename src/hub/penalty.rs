//! PURE. Sources that get it wrong too often are kept away for a while, as OpenSSH's PerSourcePenalties do.
//!
//! A source that also holds good connections, such as a fleet behind one NAT, is never kept away: its wrong guesses are
//! answered slowly instead. Nor is one that held some a moment ago: when a network goes dead, the connections that were
//! good are lost and the next ones come to nothing, and whoever comes back after that wants its streams.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// What a source did wrong, and for how long that is held against it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PenaltyReason {
    /// A wrong key, signature or code.
    AuthFailed,
    /// It stayed for as long as a stranger may without saying who it is.
    AuthTimeout,
    /// TLS or HTTP that made no sense.
    ProtocolError,
}

impl PenaltyReason {
    /// OpenSSH's values.
    fn penalty(self) -> Duration {
        Duration::from_secs(match self {
            Self::AuthFailed => 5,
            Self::AuthTimeout => 10,
            Self::ProtocolError => 1,
        })
    }
}

/// What the hub's owner may set.
#[derive(Debug, Clone)]
pub struct PenaltyPolicy {
    /// Penalties add up; from here on they take hold.
    pub threshold: Duration,
    /// No source is kept away for longer.
    pub max: Duration,
    /// Never penalised.
    pub exempt: Vec<IpNet>,
}

impl Default for PenaltyPolicy {
    fn default() -> Self {
        // OpenSSH's minimum and maximum.
        Self { threshold: Duration::from_secs(15), max: Duration::from_secs(600), exempt: Vec::new() }
    }
}

/// How a source is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStatus {
    /// Like anybody.
    Allowed,
    /// It holds good connections: let in, but its wrong guesses are answered late.
    Throttled,
    /// Kept away.
    Banned,
}

/// Sources that are remembered; beyond these, offences of new ones are not held against them.
const MAX_SOURCES: usize = 65_536;

/// How long a source is remembered for its good connections after the last of them: longer than most networks are gone,
/// and as long as the longest penalty of the usual rules.
const AUTH_GRACE: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Source {
    /// When its penalties are over.
    until: Option<Instant>,
    /// They have reached the threshold.
    enforced: bool,
    /// Connections that have proved who they are.
    authenticated: usize,
    /// When the last of them left.
    auth_closed_at: Option<Instant>,
}

impl Source {
    fn has_recent_auth(&self, now: Instant) -> bool {
        self.authenticated > 0 || self.auth_closed_at.is_some_and(|left| now < left + AUTH_GRACE)
    }

    fn is_penalised(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

/// What is held against whom.
#[derive(Debug)]
pub struct SourcePenalties {
    policy: PenaltyPolicy,
    sources: HashMap<IpAddr, Source>,
}

impl SourcePenalties {
    /// Nothing against anybody.
    pub fn new(policy: PenaltyPolicy) -> Self {
        Self { policy, sources: HashMap::new() }
    }

    /// How to deal with a source.
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

    /// A source did something wrong. Returns true if it is kept away, or slowed, from now on.
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

    /// A connection has proved who it is; it says so once, and once that it is gone.
    pub fn auth_opened(&mut self, source: IpAddr) {
        self.sources.entry(source_prefix(source)).or_default().authenticated += 1;
    }

    /// It is gone. Where there is no room for more, nobody is remembered for that alone.
    pub fn auth_closed(&mut self, source: IpAddr, now: Instant) {
        let source = source_prefix(source);
        let crowded = self.sources.len() >= MAX_SOURCES;
        if let Some(entry) = self.sources.get_mut(&source) {
            entry.authenticated = entry.authenticated.saturating_sub(1);
            entry.auth_closed_at = Some(now);
            if entry.authenticated == 0 && entry.until.is_none() && crowded {
                self.sources.remove(&source);
            }
        }
    }

    /// How many sources are kept away or slowed.
    pub fn enforced(&self, now: Instant) -> usize {
        let is_enforced = |source: &&Source| source.enforced && source.is_penalised(now);
        self.sources.values().filter(is_enforced).count()
    }

    /// Whether an offence of this source can be remembered. What is over is forgotten when there is no room.
    fn make_room(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.contains_key(&source) || self.sources.len() < MAX_SOURCES {
            return true;
        }
        self.sources.retain(|_, entry| entry.has_recent_auth(now) || entry.is_penalised(now));
        self.sources.len() < MAX_SOURCES
    }
}

/// What one party has of the address space: an IPv4 address, or an IPv6 /64.
pub fn source_prefix(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
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
    fn a_few_mistakes_are_forgiven_and_many_keep_a_source_away_for_a_while() {
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
    fn a_device_that_was_removed_and_asks_every_half_minute_is_never_kept_away() {
        let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        for turn in 0..100 {
            assert!(!penalties.record(address("192.0.2.1"), PenaltyReason::AuthFailed, start + SECOND * 30 * turn));
        }
    }

    #[test]
    fn a_source_with_good_connections_is_slowed_and_not_kept_away() {
        let (mut penalties, now) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
        let fleet = address("192.0.2.1");
        penalties.auth_opened(fleet);
        for _ in 0..9 {
            penalties.record(fleet, PenaltyReason::AuthFailed, now);
        }
        assert_eq!(penalties.status(fleet, now), SourceStatus::Throttled);
        penalties.auth_closed(fleet, now);
        assert_eq!(penalties.status(fleet, now), SourceStatus::Throttled, "its network may have died this moment");
        let later = now + AUTH_GRACE;
        for _ in 0..9 {
            penalties.record(fleet, PenaltyReason::AuthFailed, later);
        }
        assert_eq!(penalties.status(fleet, later), SourceStatus::Banned);
        penalties.auth_opened(fleet);
        assert_eq!(penalties.status(fleet, later), SourceStatus::Throttled);
    }

    #[test]
    fn an_ipv6_party_is_its_64_and_an_exempt_one_is_let_be() {
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
    fn memory_of_offences_is_bounded_and_what_is_over_makes_room() {
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
