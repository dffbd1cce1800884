//! Penalties on a virtual clock.

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
    let later = now + KNOWN_FOR;
    for _ in 0..9 {
        penalties.record(fleet, PenaltyReason::AuthFailed, later);
    }
    assert_eq!(penalties.status(fleet, later), SourceStatus::Banned);
    penalties.auth_opened(fleet);
    assert_eq!(penalties.status(fleet, later), SourceStatus::Throttled);
}

fn admitted(
    penalties: &mut SourcePenalties,
    source: IpAddr,
    milliseconds: std::ops::Range<u64>,
    start: Instant,
) -> usize {
    milliseconds.filter(|ms| penalties.admit_hello(source, start + Duration::from_millis(*ms))).count()
}

#[test]
fn a_banned_source_may_begin_ten_handshakes_a_second_and_a_good_key_lifts_the_ban() {
    let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
    let site = address("192.0.2.1");
    for _ in 0..100 {
        penalties.record(site, PenaltyReason::AuthFailed, start);
    }
    assert_eq!(admitted(&mut penalties, site, 0..10_000, start), 100);
    penalties.auth_opened(site);
    assert_eq!(penalties.status(site, start), SourceStatus::Throttled);
}

#[test]
fn a_throttled_source_may_begin_some_handshakes_a_second_and_any_number_when_its_penalties_are_over() {
    let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
    let site = address("192.0.2.1");
    penalties.auth_opened(site);
    assert_eq!(admitted(&mut penalties, site, 0..10_000, start), 10_000, "a fleet");
    for _ in 0..15 {
        penalties.record(site, PenaltyReason::ProtocolError, start);
    }
    assert_eq!(admitted(&mut penalties, site, 0..10_000, start), 128 + 1999);
    assert_eq!(admitted(&mut penalties, site, 15_000..16_000, start), 1000);
}

#[test]
fn the_authenticated_sources_of_an_earlier_run_are_not_banned_for_weeks() {
    let now = Instant::now();
    let (mut before, mut after) =
        (SourcePenalties::new(PenaltyPolicy::default()), SourcePenalties::new(PenaltyPolicy::default()));
    let (online, left) = (address("192.0.2.1"), address("2001:db8::1"));
    before.auth_opened(online);
    before.auth_opened(left);
    before.auth_closed(left, now);
    before.record(address("192.0.2.9"), PenaltyReason::AuthFailed, now);
    let (holidays, more) = (SECOND * 86_400 * 20, SECOND * 86_400 * 10);
    let sources: Vec<_> = before.authenticated_sources(now + holidays).collect();
    assert_eq!(sources.len(), 2);
    assert!(sources.iter().all(|(source, since)| *since == if *source == online { Duration::ZERO } else { holidays }));
    sources.into_iter().for_each(|(source, since)| after.restore_authenticated(source, since, now));
    let fail = |penalties: &mut SourcePenalties, now| {
        [online, left]
            .repeat(9)
            .into_iter()
            .for_each(|source| _ = penalties.record(source, PenaltyReason::AuthFailed, now));
        [online, left].map(|source| penalties.status(source, now))
    };
    assert_eq!(fail(&mut after, now), [SourceStatus::Throttled; 2]);
    assert_eq!(fail(&mut after, now + more), [SourceStatus::Throttled, SourceStatus::Banned]);
}

#[test]
fn a_crowd_of_good_sources_pushes_out_those_of_earlier_days_alone() {
    let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
    let nth = |n: usize| IpAddr::from(std::net::Ipv4Addr::from_bits(u32::try_from(n).unwrap()));
    let mut come_and_go = |sources: std::ops::Range<usize>, now| {
        for source in sources {
            penalties.auth_opened(nth(source));
            penalties.auth_closed(nth(source), now);
        }
        penalties.sources.len()
    };
    assert_eq!(come_and_go(0..MAX_REMEMBERED * 2, start), MAX_REMEMBERED - 1);
    assert_eq!(come_and_go(0..10, start + SECOND * 86_000), MAX_REMEMBERED - 1, "seen again");
    assert_eq!(come_and_go(500_000..600_000, start + SECOND * 87_000), MAX_REMEMBERED - 1, "the first are forgotten");
    assert!(penalties.is_known(nth(5), start + SECOND * 87_000));
    assert!(!penalties.is_known(nth(50), start + SECOND * 87_000));
}

#[test]
fn one_ipv6_48_pushes_out_no_source_elsewhere() {
    let (mut penalties, start) = (SourcePenalties::new(PenaltyPolicy::default()), Instant::now());
    let nth = |site: u16, n: u16| IpAddr::from([0x2001, 0xdb8, site, n, 0, 0, 0, 1]);
    let come_and_go = |penalties: &mut SourcePenalties, site, sources: std::ops::Range<u16>, now| {
        for source in sources {
            penalties.auth_opened(nth(site, source));
            penalties.auth_closed(nth(site, source), now);
        }
        penalties.sources.len()
    };
    assert_eq!(come_and_go(&mut penalties, 1, 0..100, start), 100);
    let (day, share) = (SECOND * 86_400, MAX_REMEMBERED / SITE_SHARE);
    assert_eq!(come_and_go(&mut penalties, 2, 0..20_000, start + day * 2), 100 + share);
    assert_eq!(come_and_go(&mut penalties, 2, 0..10, start + day * 3), 100 + share, "seen again");
    assert_eq!(come_and_go(&mut penalties, 3, 0..10, start + day * 3), 110 + share, "others are remembered as before");
    assert!(penalties.is_known(nth(1, 50), start + day * 3));
    assert_eq!(penalties.remembered[&site_prefix(nth(2, 0))], share);
    assert_eq!(
        come_and_go(&mut penalties, 2, 0..2000, start + day * 40),
        share,
        "the time of the earlier ones is over"
    );
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
