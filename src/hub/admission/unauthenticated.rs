//! The unauthenticated connections: how many there may be, and which one gives way to a new one.
//!
//! Whoever can open connections can fill any limit. So a full limit does not refuse the newcomer while there is a
//! connection that is slow to begin or to complete TLS, or has not authenticated for some time, or whose site has many more than the
//! newcomer's; and sources that authenticated lately have a share of their own. These give way to nobody else but if they
//! have had their time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::proto::counts::decrease;
use crate::proto::network::{site_prefix, source_prefix};

/// Limits on unauthenticated connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// In all. A quarter is kept for sources that authenticated lately, and a quarter for the others.
    pub total: usize,
    /// Per source: an IPv4 address or an IPv6 /64.
    pub per_source: usize,
}

/// The part of the total that is kept for sources that authenticated lately, and for the others, as a divisor.
const KEPT_SHARE: usize = 4;

/// The sources' limits that one IPv6 /48 may use: providers give one to a customer.
const SOURCES_PER_SITE: usize = 2;

/// The time after which a connection gives way whose ClientHello is not complete: an honest client sends all of it at once,
/// and half a round trip after the connection is accepted it is there. A single byte costs an attacker nothing.
pub(super) const SILENT_GRACE: Duration = Duration::from_millis(500);

/// The time after which a connection gives way that is in the TLS handshake: another round trip. A ClientHello can be one
/// that somebody else made; the completed handshake cannot.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// The time after which any connection gives way: TLS and a signed request are three round trips.
const SLOW_GRACE: Duration = Duration::from_secs(3);

/// The time in which the memory of connections that were evicted is given back, which happens once a second, and the interval of
/// such evictions.
const EVICTION_TIME: Duration = Duration::from_millis(1200);
const EVICTION_INTERVAL: Duration = Duration::from_secs(3);

/// How far an unauthenticated connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Stage {
    /// Its ClientHello is not complete.
    Silent,
    /// Its ClientHello is complete.
    Hello,
    /// Its TLS handshake is complete.
    Tls,
}

impl Stage {
    /// The age from which a connection gives way at this stage.
    fn grace(self) -> Duration {
        match self {
            Self::Silent => SILENT_GRACE,
            Self::Hello => HANDSHAKE_GRACE,
            Self::Tls => SLOW_GRACE,
        }
    }
}

/// The number of connections that a site may have beyond the newcomer's, whatever the newcomer needs.
const FAIR_MARGIN: usize = 16;

/// The connections that have not authenticated.
#[derive(Debug)]
pub(super) struct UnauthenticatedConnections {
    limits: ConnectionLimits,
    next_id: u64,
    /// By id, hence in the order of their ages.
    connections: BTreeMap<u64, Connection>,
    sources: HashMap<IpAddr, usize>,
    /// Those of unknown and of known sources.
    sites: [HashMap<IpAddr, usize>; 2],
    unknown: usize,
    /// When the slow ones were evicted for their memory.
    evicted_at: Option<Instant>,
}

#[derive(Debug)]
struct Connection {
    source: IpAddr,
    site: IpAddr,
    is_known: bool,
    stage: Stage,
    since: Instant,
    /// Cancelled when the connection must give way.
    evicted: CancellationToken,
}

impl Connection {
    fn has_had_its_time(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.since) >= self.stage.grace()
    }
}

/// The limit that a connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// The limit of all connections.
    Total,
    /// The limit of its source, or of its site.
    Source,
}

impl UnauthenticatedConnections {
    /// No connections.
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let (sources, sites) = (HashMap::new(), [HashMap::new(), HashMap::new()]);
        Self { limits, next_id: 0, connections: BTreeMap::new(), sources, sites, unknown: 0, evicted_at: None }
    }

    /// Returns the number of connections.
    pub(super) fn count(&self) -> usize {
        self.connections.len()
    }

    /// Adds a connection, in the place of another if need be. Returns its id, and what is cancelled when it must give way.
    pub(super) fn admit(
        &mut self,
        address: IpAddr,
        is_known: bool,
        now: Instant,
    ) -> Result<(u64, CancellationToken), Full> {
        let (source, site) = (source_prefix(address), site_prefix(address));
        let of_source = |counts: &HashMap<IpAddr, usize>, source| counts.get(&source).copied().unwrap_or_default();
        if of_source(&self.sources, source) >= self.limits.per_source
            && !self.evict_stale(now, |other| other.source == source)
        {
            return Err(Full::Source);
        }
        let neighbours = of_source(&self.sites[usize::from(is_known)], site);
        if !is_known
            && neighbours >= self.limits.per_source.saturating_mul(SOURCES_PER_SITE)
            && !self.evict_stale(now, |other| other.site == site && !other.is_known)
        {
            return Err(Full::Source);
        }
        if self.is_full(is_known) && !self.make_room(is_known, neighbours, now) {
            return Err(Full::Total);
        }
        let evicted = CancellationToken::new();
        let connection =
            Connection { source, site, is_known, stage: Stage::Silent, since: now, evicted: evicted.clone() };
        Ok((self.insert(connection), evicted))
    }

    /// Evicts all that have had their time, for the memory that they hold. Reports whether it is being freed. At most once in
    /// [`EVICTION_INTERVAL`]: others that come as fast must not keep the memory of streams from being looked at.
    pub(super) fn evict_slow(&mut self, now: Instant) -> bool {
        let since = self.evicted_at.map(|at| now.saturating_duration_since(at));
        if let Some(since) = since.filter(|since| *since < EVICTION_INTERVAL) {
            return since < EVICTION_TIME;
        }
        let slow = self.connections.iter().filter(|(_, connection)| connection.has_had_its_time(now));
        let slow: Vec<_> = slow.map(|(id, _)| *id).collect();
        slow.iter().for_each(|id| {
            self.evict(*id);
        });
        self.evicted_at = Some(now).filter(|_| !slow.is_empty());
        self.evicted_at.is_some()
    }

    /// Notes how far a connection has come.
    pub(super) fn reached(&mut self, id: u64, stage: Stage) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.stage = stage;
        }
    }

    /// Removes a connection, if it has not given way already.
    pub(super) fn remove(&mut self, id: u64) {
        let Some(connection) = self.connections.remove(&id) else { return };
        decrease(&mut self.sources, &connection.source);
        decrease(&mut self.sites[usize::from(connection.is_known)], &connection.site);
        self.unknown -= usize::from(!connection.is_known);
    }

    fn insert(&mut self, connection: Connection) -> u64 {
        *self.sources.entry(connection.source).or_default() += 1;
        *self.sites[usize::from(connection.is_known)].entry(connection.site).or_default() += 1;
        self.unknown += usize::from(!connection.is_known);
        let id = self.next_id;
        self.next_id += 1;
        self.connections.insert(id, connection);
        id
    }

    fn is_full(&self, is_known: bool) -> bool {
        self.count() >= self.limits.total || self.has_all_places(is_known)
    }

    /// Reports whether known sources, or the others, have all places that are not kept from them.
    fn has_all_places(&self, is_known: bool) -> bool {
        let total = self.limits.total;
        let count = if is_known { self.count() - self.unknown } else { self.unknown };
        count >= total - total / KEPT_SHARE
    }

    /// Evicts a connection for a newcomer whose site has `neighbours`: one of its own kind if that has all its places.
    fn make_room(&mut self, is_known: bool, neighbours: usize, now: Instant) -> bool {
        if self.has_all_places(is_known) {
            return self.evict_from_largest_site(is_known, neighbours)
                || self.evict_stale(now, |other| other.is_known == is_known);
        }
        self.evict_from_largest_site(false, neighbours)
            || self.evict_stale(now, |other| !other.is_known)
            || (is_known && self.evict_from_largest_site(true, neighbours))
            || self.evict_stale(now, |_| true)
    }

    /// Evicts the youngest connection of the site that has the most, if it has many more than the newcomer's: the others
    /// are nearer to their ends.
    fn evict_from_largest_site(&mut self, is_known: bool, neighbours: usize) -> bool {
        let largest = self.sites[usize::from(is_known)].iter().max_by_key(|(_, count)| **count);
        let Some((site, _)) = largest.filter(|(_, count)| **count > neighbours + FAIR_MARGIN) else { return false };
        let matches = |other: &Connection| other.site == *site && other.is_known == is_known;
        let youngest = self.connections.iter().rev().find(|(_, connection)| matches(connection));
        youngest.map(|(id, _)| *id).is_some_and(|id| self.evict(id))
    }

    /// Evicts the oldest of these connections that has had its time, of the site that has most: one that is alone there may
    /// be on a slow line, and a crowd is no slower for it.
    fn evict_stale(&mut self, now: Instant, is_candidate: impl Fn(&Connection) -> bool) -> bool {
        let is_stale = |other: &Connection| other.has_had_its_time(now) && is_candidate(other);
        let stale = self.connections.iter().filter(|(_, connection)| is_stale(connection));
        let neighbours = |other: &Connection| self.sites[usize::from(other.is_known)].get(&other.site);
        let chosen = stale.max_by_key(|(id, connection)| (neighbours(connection), Reverse(**id)));
        chosen.map(|(id, _)| *id).is_some_and(|id| self.evict(id))
    }

    fn evict(&mut self, id: u64) -> bool {
        if let Some(connection) = self.connections.get(&id) {
            connection.evicted.cancel();
        }
        self.remove(id);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::net::os::clock;

    const LIMITS: ConnectionLimits = ConnectionLimits { total: 1024, per_source: 128 };

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ip(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn one_source_gets_no_more_than_its_share_and_releases_it() {
        let (mut table, now) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        let mut admit = |text: &str| table.admit(address(text), false, now).map(|(id, _)| id);
        let first: Vec<_> = (0..128).map(|host| admit(&format!("2001:db8:1:2::{host:x}")).unwrap()).collect();
        assert_eq!(admit("2001:db8:1:2:ffff::1"), Err(Full::Source), "the same /64");
        assert!(admit("2001:db8:1:3::1").is_ok(), "another /64");
        assert!(admit("192.0.2.1").is_ok());
        (0..127).for_each(|host| assert!(admit(&format!("2001:db8:1:{:x}::1", 4 + host)).is_ok()));
        assert_eq!(admit("2001:db8:1:ffff::1"), Err(Full::Source), "the same /48");
        assert!(admit("2001:db8:2::1").is_ok(), "another /48");
        table.remove(first[7]);
        assert!(table.admit(address("2001:db8:1:2::1"), false, now).is_ok(), "a place is free");
    }

    /// Connections that come no further than `stage`: silent, or with a byte, or with the ClientHello of somebody else.
    #[test]
    fn connections_of_many_sources_that_do_not_complete_tls_keep_no_newcomer_out() {
        for (sources, stage) in
            [1, 24, 5000].iter().flat_map(|sources| [(sources, Stage::Silent), (sources, Stage::Hello)])
        {
            let (mut table, start) = (UnauthenticatedConnections::new(LIMITS), clock::now());
            let (mut newcomers, mut lost) = (Vec::new(), 0);
            // 616 a second for ten seconds; a newcomer every 50 ms sends its ClientHello after 200 ms, and is done after
            // another second.
            for millisecond in 0..10_000_u64 {
                let now = start + Duration::from_millis(millisecond);
                if millisecond * 616 / 1000 != (millisecond + 1) * 616 / 1000 {
                    let number = u32::try_from(millisecond).unwrap();
                    if let Ok((id, _)) = table.admit(ip(number % sources), false, now) {
                        table.reached(id, stage);
                    }
                }
                if millisecond % 50 == 0 {
                    let number = u32::try_from(millisecond).unwrap();
                    match table.admit(ip(1_000_000 + number), false, now) {
                        Ok((id, evicted)) => newcomers.push((millisecond, id, evicted)),
                        Err(_) => lost += 1,
                    }
                }
                newcomers.retain(|(since, id, evicted)| {
                    match millisecond - since {
                        200 => table.reached(*id, Stage::Hello),
                        700 => table.reached(*id, Stage::Tls),
                        1200 => {
                            lost += usize::from(evicted.is_cancelled());
                            table.remove(*id);
                        }
                        _ => {}
                    }
                    millisecond - since < 1200
                });
            }
            assert_eq!(lost, 0, "{sources} sources, {stage:?}");
            assert!(table.count() <= 768 + 24);
        }
    }

    /// On a 2G line, the ClientHello comes after a second, and TLS is complete after another.
    #[test]
    fn silent_connections_of_sixty_sources_keep_no_newcomer_on_a_slow_line_out() {
        let (mut table, start) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        let (mut newcomers, mut lost) = (Vec::new(), 0);
        for millisecond in 0..10_000_u32 {
            let now = start + Duration::from_millis(millisecond.into());
            // 1,400 a second: all places are taken again before any is 550 ms old.
            let attempts = millisecond * 14 / 10..(millisecond + 1) * 14 / 10;
            attempts.for_each(|number| drop(table.admit(ip(number % 60), false, now)));
            if millisecond % 100 == 0 {
                match table.admit(ip(1_000_000 + millisecond), false, now) {
                    Ok((id, evicted)) => newcomers.push((millisecond, id, evicted)),
                    Err(_) => lost += 1,
                }
            }
            newcomers.retain(|(since, id, evicted)| {
                match millisecond - since {
                    1000 => table.reached(*id, Stage::Hello),
                    2000 => table.reached(*id, Stage::Tls),
                    2900 => {
                        lost += usize::from(evicted.is_cancelled());
                        table.remove(*id);
                    }
                    _ => {}
                }
                millisecond - since < 2900
            });
        }
        assert_eq!(lost, 0);
    }

    #[test]
    fn nobody_gives_way_to_others_while_there_is_room() {
        let (mut table, start) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        let (_, slow) = table.admit(ip(0), false, start).unwrap();
        for number in 1..700 {
            table.admit(ip(number), false, start + Duration::from_secs(8)).unwrap();
        }
        assert!(!slow.is_cancelled(), "a round trip of two seconds is honest");
    }

    #[test]
    fn a_crowd_of_honest_newcomers_is_not_evicted_by_itself() {
        let (mut table, start) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        let admitted: Vec<_> = (0..5000).filter_map(|number| table.admit(ip(number), false, start).ok()).collect();
        assert_eq!(admitted.len(), 768);
        assert!(admitted.iter().all(|(_, evicted)| !evicted.is_cancelled()));
        let later = start + SLOW_GRACE;
        assert!(table.admit(ip(9999), false, later).is_ok() && admitted[0].1.is_cancelled(), "one was too slow");
    }

    #[test]
    fn known_sources_have_a_share_that_no_crowd_takes() {
        let (mut table, now) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        let crowd: Vec<_> = (0..5000).filter_map(|number| table.admit(ip(number), false, now).ok()).collect();
        let known: Vec<_> = (5000..5256).map(|number| table.admit(ip(number), true, now).unwrap()).collect();
        assert_eq!(table.admit(ip(6000), true, now).err(), Some(Full::Total));
        assert!(table.admit(ip(6000), true, now + SILENT_GRACE).is_ok() && crowd[0].1.is_cancelled());
        assert!(known.iter().all(|(_, evicted)| !evicted.is_cancelled()));
    }

    #[test]
    fn known_sources_leave_places_to_others_and_give_way_to_known_ones_that_have_few() {
        let (mut table, start) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        for source in 0..8 {
            (0..128).for_each(|_| _ = table.admit(ip(source), true, start));
        }
        assert_eq!(table.count(), 768);
        assert!(table.admit(ip(100), true, start).is_ok(), "in a place of a site with many");
        (0..256).for_each(|number| assert!(table.admit(ip(1000 + number), false, start).is_ok(), "{number}"));
        assert_eq!(table.admit(ip(2000), false, start).err(), Some(Full::Total));
        assert!(table.admit(ip(2000), false, start + SILENT_GRACE).is_ok());
        assert_eq!((table.count(), table.unknown), (1024, 256));
    }

    /// Each holds its connections, whose TLS is complete, for almost as long as it may, and opens others then.
    #[test]
    fn known_sources_that_hold_idle_connections_keep_no_newcomer_out() {
        let limits = ConnectionLimits { total: 512, ..LIMITS };
        let (mut table, start) = (UnauthenticatedConnections::new(limits), clock::now());
        let (mut held, mut lost) = (std::collections::VecDeque::new(), 0);
        for millisecond in (0..20_000_u64).step_by(5) {
            let (now, number) = (start + Duration::from_millis(millisecond), u32::try_from(millisecond).unwrap());
            while held.front().is_some_and(|(since, _)| millisecond - since >= 2700) {
                held.pop_front().into_iter().for_each(|(_, id)| table.remove(id));
            }
            if let Ok((id, _)) = table.admit(ip(number / 5 % 6), true, now) {
                table.reached(id, Stage::Tls);
                held.push_back((millisecond, id));
            }
            if millisecond % 200 == 0 {
                match table.admit(ip(1_000_000 + number), false, now) {
                    Ok((id, _)) => table.remove(id),
                    Err(_) => lost += 1,
                }
            }
        }
        assert_eq!(lost, 0);
    }

    #[test]
    fn a_site_that_holds_much_gives_way_to_one_that_holds_little() {
        let (mut table, now) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        for _ in 0..128 {
            (0..6).for_each(|source| drop(table.admit(ip(source), false, now).unwrap()));
        }
        (0..500).for_each(|number| drop(table.admit(ip(100 + number), false, now).unwrap()));
        assert_eq!(table.count(), 768);
        let largest = (0..6).map(|source| table.sources[&ip(source)]).max();
        assert!(largest.is_some_and(|count| count < 50), "{largest:?}");
    }

    #[test]
    fn where_memory_is_short_all_that_had_their_time_are_evicted_now_and_then() {
        let (mut table, start) = (UnauthenticatedConnections::new(LIMITS), clock::now());
        let at = |millis| start + Duration::from_millis(millis);
        let tls = |table: &mut UnauthenticatedConnections, millis| {
            let (id, evicted) = table.admit(ip(1), false, at(millis)).unwrap();
            table.reached(id, Stage::Tls);
            evicted
        };
        let slow = [tls(&mut table, 0), tls(&mut table, 1)];
        let young = tls(&mut table, 3000);
        assert!(table.evict_slow(at(3001)) && slow.iter().all(CancellationToken::is_cancelled));
        assert!(!young.is_cancelled() && table.count() == 1);
        assert!(table.evict_slow(at(4200)), "their memory is being freed");
        let steps = [4201, 5000, 6000].map(|millis| table.evict_slow(at(millis)));
        assert_eq!(steps, [false, false, false], "streams are looked at meanwhile");
        assert!(!young.is_cancelled());
        assert!(table.evict_slow(at(6001)) && young.is_cancelled());
        assert!(!table.evict_slow(at(9002)), "none is left");
    }
}
