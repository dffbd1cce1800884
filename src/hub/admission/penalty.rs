//! PURE. Penalties of sources: repeated failures ban a source for a while, as OpenSSH's PerSourcePenalties do.
//!
//! A source that also has authenticated connections, such as a fleet behind one NAT, is throttled instead of banned:
//! its failures are answered slowly, and it may begin some TLS handshakes a second. So is one that had some in the last
//! weeks: when a network fails, its connections are lost and new ones time out, and the clients that return must get in. A
//! banned source may begin fewer.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::proto::counts::decrease;
use crate::proto::network::{site_prefix, source_prefix};
use crate::proto::token_bucket::{Rate, TokenBucket};

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
    /// Failures are answered after a delay and TLS handshakes are limited to `THROTTLED_RATE`, because the source has
    /// authenticated connections, or had some.
    Throttled,
    /// TLS handshakes are rejected beyond `BANNED_RATE`.
    Banned,
}

/// The TLS handshakes that a banned source may begin: a client with a good key may share its address, and lifts the ban. Ten a
/// second cost a hundredth of a core; with one a second, that client would hardly ever be the one that gets in beside a
/// neighbour that tries fifty times a second.
const BANNED_RATE: Rate = Rate { burst: 1, per_second: 10.0 };

/// The TLS handshakes that a throttled source may begin: at once as many as may be unauthenticated, and then what costs a
/// tenth of a core, at half a millisecond each. Failures have reached the threshold, which those of a fleet that reconnects
/// do not.
const THROTTLED_RATE: Rate = Rate { burst: 128, per_second: 200.0 };

/// The limit on tracked sources; beyond it, new sources are not penalised.
const MAX_SOURCES: usize = 65_536;

/// The limit on sources up to which those are remembered that had authenticated connections: one identity with an IPv6 /48
/// can have any number, and must leave room for penalties.
const MAX_REMEMBERED: usize = MAX_SOURCES / 4;

/// The share of those that one IPv6 /48 may have, as a divisor: one identity with its own must not push out all others.
pub(super) const SITE_SHARE: usize = 16;

/// The interval at which a full table is searched for expired entries.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);

/// The time for which a source counts as having authenticated connections after the last one: a site that was closed for
/// the holidays is back behind the same address, where a neighbour may have failed meanwhile.
const KNOWN_FOR: Duration = Duration::from_secs(28 * 24 * 60 * 60);

/// The time for which it does even when there are many others.
const KNOWN_FOR_AT_LEAST: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug, Default)]
struct Source {
    /// The expiry of its penalties.
    until: Option<Instant>,
    /// The penalties have reached the threshold.
    enforced: bool,
    /// Its authenticated connections.
    authenticated: usize,
    /// If it had some, the time until which it counts as having them.
    known_until: Option<Instant>,
    /// The TLS handshakes that it may still begin while it is throttled or banned.
    admissions: Option<Box<(SourceStatus, TokenBucket)>>,
}

impl Source {
    fn has_recent_auth(&self, now: Instant) -> bool {
        self.authenticated > 0 || self.known_until.is_some_and(|until| now < until)
    }

    /// The time since it had authenticated connections, if it is known.
    fn since_auth(&self, now: Instant) -> Duration {
        let until = self.known_until.filter(|_| self.authenticated == 0);
        until.map_or(Duration::ZERO, |until| KNOWN_FOR.saturating_sub(until.saturating_duration_since(now)))
    }

    /// Reports whether it is kept for the connections that it had.
    fn is_remembered(&self) -> bool {
        self.authenticated == 0 && self.known_until.is_some()
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
    /// The sources of each IPv6 /48 that are remembered.
    remembered: HashMap<IpAddr, usize>,
    /// The time of the next search for expired entries.
    next_search: Option<Instant>,
}

impl SourcePenalties {
    /// No penalties.
    pub fn new(policy: PenaltyPolicy) -> Self {
        Self { policy, sources: HashMap::new(), remembered: HashMap::new(), next_search: None }
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

    /// Reports whether a source has authenticated connections, or had some in the last weeks.
    pub fn is_known(&self, source: IpAddr, now: Instant) -> bool {
        self.sources.get(&source_prefix(source)).is_some_and(|entry| entry.has_recent_auth(now))
    }

    /// Reports whether a source may begin a TLS handshake now: any number, unless it is throttled or banned.
    pub fn admit_hello(&mut self, source: IpAddr, now: Instant) -> bool {
        let status = self.status(source, now);
        let rate = match status {
            SourceStatus::Allowed => return true,
            SourceStatus::Throttled => THROTTLED_RATE,
            SourceStatus::Banned => BANNED_RATE,
        };
        let Some(entry) = self.sources.get_mut(&source_prefix(source)) else { return true };
        let admissions = entry.admissions.take().filter(|admissions| admissions.0 == status);
        let admissions = admissions.unwrap_or_else(|| Box::new((status, TokenBucket::new(rate, now))));
        entry.admissions.insert(admissions).1.take(now)
    }

    /// Returns the sources that have authenticated connections, or had some in the last weeks, and the time since then.
    pub fn authenticated_sources(&self, now: Instant) -> impl Iterator<Item = (IpAddr, Duration)> {
        let known = self.sources.iter().filter(move |(_, entry)| entry.has_recent_auth(now));
        known.map(move |(source, entry)| (*source, entry.since_auth(now)))
    }

    /// Counts a source as one whose authenticated connections closed some time ago.
    pub fn restore_authenticated(&mut self, source: IpAddr, since: Duration, now: Instant) {
        let source = source_prefix(source);
        if since < KNOWN_FOR && self.make_room(source, now) && self.may_remember(source, now) {
            let entry = self.sources.entry(source).or_default();
            let was_remembered = entry.is_remembered();
            entry.known_until = entry.known_until.max(Some(now + (KNOWN_FOR - since)));
            if entry.is_remembered() && !was_remembered {
                self.count_remembered(source);
            }
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
        let source = source_prefix(source);
        let entry = self.sources.entry(source).or_default();
        let was_remembered = entry.is_remembered();
        entry.authenticated += 1;
        if was_remembered {
            decrease(&mut self.remembered, &site_prefix(source));
        }
    }

    /// Uncounts an authenticated connection. Beyond `MAX_REMEMBERED`, and its site's share of that, no source is kept for
    /// that alone, unless others can be forgotten.
    pub fn auth_closed(&mut self, source: IpAddr, now: Instant) {
        let source = source_prefix(source);
        let Some(entry) = self.sources.get_mut(&source) else { return };
        if entry.authenticated > 1 {
            entry.authenticated -= 1;
            return;
        }
        // The entry still counts as authenticated here, and is not forgotten itself.
        let has_penalty = entry.until.is_some();
        let may_remember = self.may_remember(source, now)
            && (has_penalty || self.sources.len() < MAX_REMEMBERED || self.forget(KNOWN_FOR_AT_LEAST, now));
        if !may_remember && !has_penalty {
            self.sources.remove(&source);
        } else if let Some(entry) = self.sources.get_mut(&source) {
            entry.authenticated = 0;
            entry.known_until = may_remember.then_some(now + KNOWN_FOR);
            if may_remember {
                self.count_remembered(source);
            }
        }
    }

    /// Reports whether the source may be kept for the connections that it had, within its site's share.
    fn may_remember(&mut self, source: IpAddr, now: Instant) -> bool {
        let (site, limit) = (site_prefix(source), MAX_REMEMBERED / SITE_SHARE);
        let is_full = |remembered: &HashMap<IpAddr, usize>| remembered.get(&site).is_some_and(|count| *count >= limit);
        if is_full(&self.remembered) {
            self.forget(KNOWN_FOR, now);
        }
        !is_full(&self.remembered)
    }

    fn count_remembered(&mut self, source: IpAddr) {
        if source.is_ipv6() {
            *self.remembered.entry(site_prefix(source)).or_default() += 1;
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
        self.forget(KNOWN_FOR, now);
        self.sources.len() < MAX_SOURCES
    }

    /// Forgets those without a penalty whose authenticated connections closed so long ago, once in an interval. Reports
    /// whether less than `MAX_REMEMBERED` are left.
    fn forget(&mut self, known_for: Duration, now: Instant) -> bool {
        if self.next_search.is_none_or(|at| at <= now) {
            self.next_search = Some(now + SEARCH_INTERVAL);
            let is_known = |entry: &Source| entry.has_recent_auth(now) && entry.since_auth(now) < known_for;
            self.sources.retain(|_, entry| is_known(entry) || entry.is_penalised(now));
            let of_ipv6 = self.sources.iter().filter(|(source, entry)| source.is_ipv6() && entry.is_remembered());
            let mut remembered = HashMap::new();
            of_ipv6.for_each(|(source, _)| *remembered.entry(site_prefix(*source)).or_default() += 1);
            self.remembered = remembered;
        }
        self.sources.len() < MAX_REMEMBERED
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as the start of a test's own time")]
mod tests;
