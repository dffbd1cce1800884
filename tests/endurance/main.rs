//! The soak campaign, which `tests/soak` runs: hours of everybody's day in so many minutes, with everything that goes
//! wrong in it. At its end nothing may be wrong and nothing may be left over. One line tells the figures. With `cuts`,
//! `fleet` or `idle` as its first argument it is the campaign of that name instead.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "in a test a panic is the message")]

mod bell;
mod faults;
mod fixture;
mod fleet;
mod health;
mod idle;
mod load;
mod rng;
#[path = "../it/support/mod.rs"]
#[allow(dead_code, reason = "what the tests need besides")]
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

use devstream::net::clock;

use self::bell::Bell;
use self::fixture::Fixture;
use self::health::{Memory, Usage, leaks};
use self::load::{OPENS_PER_SECOND, Tally, load};
use self::support::bytes::MIB;

/// Whether streams outlive their legs. If they do, none may break; if not, what breaks must be a reset.
const RESUME: bool = true;

/// Before anything is compared with it, everything was done a few times.
const WARM_UP: Duration = Duration::from_secs(20);

/// What is idle lets go of its helpers and connections within this.
const REST: Duration = Duration::from_secs(15);

/// Of what was to be opened, in percent: a machine that is too slow, or faults that leave nobody any time, test little.
const OPENED: u64 = 99;
const GOOD: u64 = 60;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (campaign, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    match (campaign, rest) {
        ("fleet", [count]) => return fleet::campaign(count),
        ("idle", [devices, minutes]) => return idle::campaign(devices, minutes),
        ("cuts", names) => return if trials::run(names) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE },
        _ => {}
    }
    let mut arguments = words.iter().map(|argument| argument.parse::<u64>().ok());
    let (minutes, seed) = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(Some(minutes @ 1..)), None, None) => (minutes, 1),
        (Some(Some(minutes @ 1..)), Some(Some(seed)), None) => (minutes, seed),
        _ => {
            say("usage: tests/soak [MINUTES [SEED]]");
            return ExitCode::from(2);
        }
    };
    let fixture = Fixture::start();
    let complaints = soak(&fixture, Duration::from_secs(60 * minutes), seed);
    if complaints == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Returns how much is to be complained about.
fn soak(fixture: &Fixture, time: Duration, seed: u64) -> usize {
    let (warm, bell) = (Tally::default(), Bell::default());
    thread::scope(|scope| {
        scope.spawn(|| load(&fixture.ports(), seed, &warm, &bell));
        bell.rings_within(WARM_UP);
        bell.ring();
    });
    let mut complaints = rest(fixture);
    let before = fixture.usage();

    let (tally, bell, memory, faults) = (Tally::default(), Bell::default(), Memory::default(), AtomicU64::new(0));
    let start = clock::now();
    // A hub that has just started has not yet taken what it takes.
    let (last_death, memory_from) = (time / 3, time / 2);
    thread::scope(|scope| {
        scope.spawn(|| load(&fixture.ports(), seed.wrapping_add(1), &tally, &bell));
        scope.spawn(|| faults.store(faults::make_trouble(fixture, seed, start + last_death, &bell), Ordering::Relaxed));
        bell.rings_within(memory_from);
        scope.spawn(|| memory.watch(fixture, &bell));
        bell.rings_within(time.saturating_sub(start.elapsed()));
        bell.ring();
    });
    complaints.extend(rest(fixture));
    let after = until_back(fixture, &before);

    complaints.extend(of_the_load(&warm, 0, false));
    let expected = time.as_secs() * u64::from(OPENS_PER_SECOND);
    complaints.extend(of_the_load(&tally, expected, !RESUME));
    complaints.extend(left_over(&before, &after));
    let growth = memory.growth();
    let grown = growth.iter().filter(|(_, bytes)| leaks(*bytes));
    complaints.extend(grown.map(|(name, bytes)| format!("{name} has {} MiB more", mib(*bytes))));
    let panics = fixture.metric("devstream_panics_total");
    complaints.extend((panics > 0).then(|| format!("{panics} tasks of the hub panicked")));
    complaints.iter().for_each(say);

    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let files: usize = before.iter().zip(&after).map(|(old, new)| new.1.files.saturating_sub(old.1.files)).sum();
    let threads: usize = before.iter().zip(&after).map(|(old, new)| new.1.threads.saturating_sub(old.1.threads)).sum();
    let most = growth.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    say(format!(
        "soak: {} min, {} opens: {} good, {} refused, {} broken, {} wrong; {} faults; {files} files and {threads} \
         threads left over; {} MiB more memory at most; {panics} panics: {}",
        time.as_secs() / 60,
        get(&tally.opens),
        get(&tally.good),
        get(&tally.refused),
        get(&tally.broken),
        get(&tally.wrong),
        get(&faults),
        mib(most),
        if complaints.is_empty() { "passed" } else { "FAILED" },
    ));
    complaints.len()
}

fn rest(fixture: &Fixture) -> Vec<String> {
    let busy = fixture.wait_until_idle();
    Bell::default().rings_within(REST);
    busy.into_iter().collect()
}

/// Helpers go one by one.
fn until_back(fixture: &Fixture, before: &[(String, Usage)]) -> Vec<(String, Usage)> {
    let deadline = clock::now() + 4 * REST;
    loop {
        let now = fixture.usage();
        let back = before.iter().zip(&now).all(|(old, new)| new.1.is_back_to(&old.1));
        if back || clock::now() > deadline {
            return now;
        }
        Bell::default().rings_within(REST / 10);
    }
}

fn of_the_load(tally: &Tally, expected: u64, may_break: bool) -> Vec<String> {
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (opens, good, broken, wrong) = (get(&tally.opens), get(&tally.good), get(&tally.broken), get(&tally.wrong));
    let mut complaints = tally.mistakes.lock().unwrap().clone();
    let mut complain = |when: bool, words: String| complaints.extend(when.then_some(words));
    complain(wrong > 0, format!("{wrong} connections saw what is never right"));
    complain(broken > 0 && !may_break, format!("{broken} streams broke"));
    complain(opens * 100 < expected * OPENED, format!("{opens} opens of {expected}: is this machine too slow?"));
    complain(good * 100 < opens * GOOD, format!("only {good} of {opens} went well"));
    complaints
}

fn left_over(before: &[(String, Usage)], after: &[(String, Usage)]) -> Vec<String> {
    let leaking = before.iter().zip(after).filter(|(old, new)| !new.1.is_back_to(&old.1));
    leaking.map(|(old, new)| format!("{} has {:?}, and had {:?}", new.0, new.1, old.1)).collect()
}

fn mib(bytes: i64) -> String {
    format!("{:.1}", bytes as f64 / MIB as f64)
}

#[expect(clippy::print_stdout, reason = "it is what whoever runs it reads")]
fn say(words: impl Display) {
    println!("{words}");
}
