//! The soak campaign, run by `tests/soak`: hours of everyday load in the given minutes, with faults injected. At the
//! end nothing may have failed and nothing may be leaked. One line reports the figures. With `attacks`, `burst`, `cuts`, `fleet`, `hubs` or
//! `idle` as its first argument it runs the campaign of that name instead.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

mod attacks;
mod burst;
mod counting;
mod faults;
mod figures;
mod fixture;
mod fleet;
mod fleet_hubs;
mod health;
mod hubs;
mod idle;
mod load;
mod rng;
mod stop_signal;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "used by the tests only")]
mod support;
mod target;
mod trials;

#[path = "../it/resume"]
#[allow(dead_code, unused_imports, reason = "the tests there are short versions of what is run here")]
mod resume {
    pub(crate) mod counter;
    pub(crate) mod cuts;
    pub(crate) mod fairness;
    mod fixture;
    pub(crate) mod paused;
    pub(crate) mod restarts;
}

use std::fmt::Display;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use self::fixture::Fixture;
use self::health::{Memory, Snapshot, leaks};
use self::load::{OPENS_PER_SECOND, Tally, load};
use self::stop_signal::StopSignal;
use self::support::bytes::MIB;

/// `true` if streams outlive their legs, and so none may break; otherwise a break must be a reset.
const RESUME: bool = true;

/// Load before the first measurement, so that every path has run.
const WARM_UP: Duration = Duration::from_secs(20);

/// Time in which idle processes release their threads and connections.
const REST: Duration = Duration::from_secs(15);

/// Required share of the planned connections, and of successful ones, in percent: a machine that is too slow, or faults
/// without a pause, test little.
const OPENED: u64 = 99;
const GOOD: u64 = 60;

/// Required share of the streams on standby connections whose first bytes a ticket protects, in percent: the first of each
/// device has none, and each fault costs the streams that are being opened theirs.
const EARLY: usize = 99;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (campaign, rest) = arguments.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    match (campaign, rest) {
        ("fleet", [count]) => return fleet::campaign(count),
        ("fleet", [count, option, hubs]) if option == "--hubs" => return fleet_hubs::campaign(count, hubs),
        ("idle", [devices, minutes]) => return idle::campaign(devices, minutes),
        ("attacks", [seconds]) => return attacks::campaign(seconds),
        ("burst", counts) => return burst::campaign(counts),
        ("hubs", names) => return if hubs::run(names) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        ("cuts", names) => return if trials::run(names) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        _ => {}
    }
    let mut numbers = arguments.iter().map(|argument| argument.parse::<u64>().ok());
    let (minutes, seed) = match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Some(minutes @ 1..)), None, None) => (minutes, 1),
        (Some(Some(minutes @ 1..)), Some(Some(seed)), None) => (minutes, seed),
        _ => {
            report("usage: tests/soak [MINUTES [SEED]]");
            return ExitCode::from(2);
        }
    };
    let fixture = Fixture::start();
    let failures = soak(&fixture, Duration::from_secs(60 * minutes), seed);
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns the number of failures.
fn soak(fixture: &Fixture, time: Duration, seed: u64) -> usize {
    let (warm, stop) = (Tally::default(), StopSignal::default());
    thread::scope(|scope| {
        scope.spawn(|| load(&fixture.ports(), seed, &warm, &stop));
        stop.wait_for(WARM_UP);
        stop.set();
    });
    let mut failures = rest(fixture);
    let before = fixture.snapshot();

    let (tally, stop, memory, faults) = (Tally::default(), StopSignal::default(), Memory::default(), AtomicU64::new(0));
    let start = clock::now();
    // A hub that has just started has not reached its usual memory.
    let (last_restart, memory_from) = (time / 3, time / 2);
    thread::scope(|scope| {
        scope.spawn(|| load(&fixture.ports(), seed.wrapping_add(1), &tally, &stop));
        scope.spawn(|| {
            faults.store(faults::inject_faults(fixture, seed, start + last_restart, &stop), Ordering::Relaxed)
        });
        stop.wait_for(memory_from);
        scope.spawn(|| memory.watch(fixture, &stop));
        stop.wait_for(time.saturating_sub(start.elapsed()));
        stop.set();
    });
    failures.extend(rest(fixture));
    let after = until_back(fixture, &before);

    failures.extend(check_load(&warm, 0, false));
    let expected = time.as_secs() * u64::from(OPENS_PER_SECOND);
    failures.extend(check_load(&tally, expected, !RESUME));
    failures.extend(after.leaks(&before));
    let growth = memory.growth();
    let grown = growth.iter().filter(|(_, bytes)| leaks(*bytes));
    failures.extend(grown.map(|(name, bytes)| format!("{name} has {} MiB more", mib(*bytes))));
    let panics = fixture.metric("devstream_panics_total");
    failures.extend((panics > 0).then(|| format!("{panics} tasks of the hub panicked")));
    let (on_standby, early) = fixture.standby_opens();
    failures.extend((early * 100 < on_standby * EARLY).then(|| format!("only {early} of {on_standby} used a ticket")));
    failures.iter().for_each(report);

    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (files, threads) = after.left_over(&before);
    let most = growth.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    report(format!(
        "soak: {} min, {} opens: {} good, {} refused, {} broken, {} wrong; {early} of {on_standby} on standby connections with a \
         ticket; {} faults; {files} files and {threads} threads left over; {} MiB more memory at most; {panics} panics: {}",
        time.as_secs() / 60,
        get(&tally.opens),
        get(&tally.good),
        get(&tally.refused),
        get(&tally.broken),
        get(&tally.wrong),
        get(&faults),
        mib(most),
        if failures.is_empty() { "passed" } else { "FAILED" },
    ));
    failures.len()
}

fn rest(fixture: &Fixture) -> Vec<String> {
    let busy = fixture.wait_until_idle();
    StopSignal::default().wait_for(REST);
    busy.into_iter().collect()
}

/// Waits for the usage to return to its former level: threads end one by one.
fn until_back(fixture: &Fixture, before: &Snapshot) -> Snapshot {
    let deadline = clock::now() + 4 * REST;
    loop {
        let now = fixture.snapshot();
        if now.leaks(before).is_empty() || clock::now() > deadline {
            return now;
        }
        StopSignal::default().wait_for(REST / 10);
    }
}

fn check_load(tally: &Tally, expected: u64, may_break: bool) -> Vec<String> {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (opens, good, broken, wrong) = (get(&tally.opens), get(&tally.good), get(&tally.broken), get(&tally.wrong));
    let mut failures = tally.errors.lock().unwrap().clone();
    let mut fail_if = |when: bool, words: String| failures.extend(when.then_some(words));
    fail_if(wrong > 0, format!("{wrong} connections failed in a way that is never right"));
    fail_if(broken > 0 && !may_break, format!("{broken} streams broke"));
    fail_if(opens * 100 < expected * OPENED, format!("{opens} opens of {expected}: this machine may be too slow"));
    fail_if(good * 100 < opens * GOOD, format!("only {good} of {opens} succeeded"));
    failures
}

fn mib(bytes: i64) -> String {
    format!("{:.1}", bytes as f64 / MIB as f64)
}

#[expect(clippy::print_stdout, reason = "the report of the campaign")]
fn report(words: impl Display) {
    println!("{words}");
}
