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
pub enum Offence {
    /// A wrong key, signature or code.
    WrongProof,
    /// It stayed for as long as a stranger may without saying who it is.
    Loitering,
    /// TLS or HTTP that made no sense.
    Nonsense,
}

impl Offence {
    /// OpenSSH's values.
    fn penalty(self) -> Duration {
        Duration::from_secs(match self {
            Self::WrongProof => 5,
            Self::Loitering => 10,
            Self::Nonsense => 1,
        })
    }
}

/// What the hub's owner may set.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Penalties add up; from here on they take hold.
    pub threshold: Duration,
    /// No source is kept away for longer.
    pub longest: Duration,
    /// Never penalised.
    pub exempt: Vec<IpNet>,
}

impl Default for Rules {
    fn default() -> Self {
        // OpenSSH's minimum and maximum.
        Self { threshold: Duration::from_secs(15), longest: Duration::from_secs(600), exempt: Vec::new() }
    }
}

/// How a source is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Like anybody.
    Welcome,
    /// It holds good connections: let in, but its wrong guesses are answered late.
    Slowed,
    /// Kept away.
    Banned,
}

/// Sources that are remembered; beyond these, offences of new ones are not held against them.
const SOURCES: usize = 65_536;

/// How long a source is remembered for its good connections after the last of them: longer than most networks are gone,
/// and as long as the longest penalty of the usual rules.
const GOOD_FOR: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
struct Source {
    /// When its penalties are over.
    until: Option<Instant>,
    /// They have reached the threshold.
    enforced: bool,
    /// Connections that have proved who they are.
    good: usize,
    /// When the last of them left.
    good_left_at: Option<Instant>,
}

impl Source {
    fn is_good(&self, now: Instant) -> bool {
        self.good > 0 || self.good_left_at.is_some_and(|left| now < left + GOOD_FOR)
    }

    fn is_penalised(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }
}

/// What is held against whom.
#[derive(Debug)]
pub struct Penalties {
    rules: Rules,
    sources: HashMap<IpAddr, Source>,
}

impl Penalties {
    /// Nothing against anybody.
    pub fn new(rules: Rules) -> Self {
        Self { rules, sources: HashMap::new() }
    }

    /// How to deal with a source.
    pub fn verdict(&self, source: IpAddr, now: Instant) -> Verdict {
        match self.sources.get(&network(source)) {
            Some(source) if source.enforced && source.is_penalised(now) => {
                if source.is_good(now) {
                    Verdict::Slowed
                } else {
                    Verdict::Banned
                }
            }
            Some(_) | None => Verdict::Welcome,
        }
    }

    /// A source did something wrong. Returns true if it is kept away, or slowed, from now on.
    pub fn offended(&mut self, source: IpAddr, offence: Offence, now: Instant) -> bool {
        if self.rules.exempt.iter().any(|net| net.contains(&source)) || !self.make_room(network(source), now) {
            return false;
        }
        let entry = self.sources.entry(network(source)).or_default();
        let before = entry.until.filter(|until| *until > now);
        let until = (before.unwrap_or(now) + offence.penalty()).min(now + self.rules.longest);
        let was_enforced = entry.enforced && before.is_some();
        entry.until = Some(until);
        entry.enforced = was_enforced || until.saturating_duration_since(now) >= self.rules.threshold;
        entry.enforced && !was_enforced
    }

    /// A connection has proved who it is; it says so once, and once that it is gone.
    pub fn good_arrived(&mut self, source: IpAddr) {
        self.sources.entry(network(source)).or_default().good += 1;
    }

    /// It is gone. Where there is no room for more, nobody is remembered for that alone.
    pub fn good_left(&mut self, source: IpAddr, now: Instant) {
        let source = network(source);
        let crowded = self.sources.len() >= SOURCES;
        if let Some(entry) = self.sources.get_mut(&source) {
            entry.good = entry.good.saturating_sub(1);
            entry.good_left_at = Some(now);
            if entry.good == 0 && entry.until.is_none() && crowded {
                self.sources.remove(&source);
            }
        }
    }

    /// How many sources are kept away or slowed.
    pub fn enforced(&self, now: Instant) -> usize {
        let held = |source: &&Source| source.enforced && source.is_penalised(now);
        self.sources.values().filter(held).count()
    }

    /// Whether an offence of this source can be remembered. What is over is forgotten when there is no room.
    fn make_room(&mut self, source: IpAddr, now: Instant) -> bool {
        if self.sources.contains_key(&source) || self.sources.len() < SOURCES {
            return true;
        }
        self.sources.retain(|_, entry| entry.is_good(now) || entry.is_penalised(now));
        self.sources.len() < SOURCES
    }
}

/// What one party has of the address space: an IPv4 address, or an IPv6 /64.
pub fn network(address: IpAddr) -> IpAddr {
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
        let (mut penalties, start) = (Penalties::new(Rules::default()), Instant::now());
        let thief = address("192.0.2.1");
        assert!(!penalties.offended(thief, Offence::WrongProof, start));
        assert!(!penalties.offended(thief, Offence::WrongProof, start));
        assert_eq!(penalties.verdict(thief, start), Verdict::Welcome);
        assert!(penalties.offended(thief, Offence::WrongProof, start), "15 s in all");
        assert_eq!(penalties.verdict(thief, start + SECOND * 14), Verdict::Banned);
        assert_eq!(penalties.verdict(thief, start + SECOND * 15), Verdict::Welcome);
        assert_eq!(penalties.verdict(address("192.0.2.2"), start), Verdict::Welcome);
        for _ in 0..10_000 {
            penalties.offended(thief, Offence::Loitering, start);
        }
        assert_eq!(penalties.verdict(thief, start + SECOND * 599), Verdict::Banned);
        assert_eq!(penalties.verdict(thief, start + SECOND * 600), Verdict::Welcome);
    }

    #[test]
    fn a_device_that_was_removed_and_asks_every_half_minute_is_never_kept_away() {
        let (mut penalties, start) = (Penalties::new(Rules::default()), Instant::now());
        for turn in 0..100 {
            assert!(!penalties.offended(address("192.0.2.1"), Offence::WrongProof, start + SECOND * 30 * turn));
        }
    }

    #[test]
    fn a_source_with_good_connections_is_slowed_and_not_kept_away() {
        let (mut penalties, now) = (Penalties::new(Rules::default()), Instant::now());
        let fleet = address("192.0.2.1");
        penalties.good_arrived(fleet);
        for _ in 0..9 {
            penalties.offended(fleet, Offence::WrongProof, now);
        }
        assert_eq!(penalties.verdict(fleet, now), Verdict::Slowed);
        penalties.good_left(fleet, now);
        assert_eq!(penalties.verdict(fleet, now), Verdict::Slowed, "its network may have died this moment");
        let later = now + GOOD_FOR;
        for _ in 0..9 {
            penalties.offended(fleet, Offence::WrongProof, later);
        }
        assert_eq!(penalties.verdict(fleet, later), Verdict::Banned);
        penalties.good_arrived(fleet);
        assert_eq!(penalties.verdict(fleet, later), Verdict::Slowed);
    }

    #[test]
    fn an_ipv6_party_is_its_64_and_an_exempt_one_is_let_be() {
        let rules = Rules { exempt: vec!["198.51.100.0/24".parse().unwrap()], ..Rules::default() };
        let (mut penalties, now) = (Penalties::new(rules), Instant::now());
        for host in 0..3 {
            penalties.offended(address(&format!("2001:db8:1:2::{host}")), Offence::WrongProof, now);
            penalties.offended(address("198.51.100.7"), Offence::WrongProof, now);
        }
        assert_eq!(penalties.verdict(address("2001:db8:1:2:9::9"), now), Verdict::Banned);
        assert_eq!(penalties.verdict(address("2001:db8:1:3::1"), now), Verdict::Welcome);
        assert_eq!(penalties.verdict(address("198.51.100.7"), now), Verdict::Welcome);
        assert_eq!(penalties.enforced(now), 1);
    }

    #[test]
    fn memory_of_offences_is_bounded_and_what_is_over_makes_room() {
        let (mut penalties, now) = (Penalties::new(Rules::default()), Instant::now());
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(n));
        for n in 0..SOURCES as u32 + 100 {
            penalties.offended(nth(n), Offence::WrongProof, now);
        }
        assert_eq!(penalties.sources.len(), SOURCES);
        penalties.offended(nth(u32::MAX), Offence::WrongProof, now + SECOND * 5);
        assert_eq!(penalties.sources.len(), 1);
    }
}
