//! Fault injection, one fault at a time: the network and the processes.

use std::time::{Duration, Instant};

use devstream::net::os::clock;

use super::fixture::Fixture;
use super::rng::Rng;
use super::stop_signal::StopSignal;
use super::support::chaos::{Chaos, Direction, Fault};

/// Shortest and longest pause between two faults, in seconds.
const PAUSE: [u64; 2] = [3, 12];

/// Longest duration of a fault, in seconds. A leg that is silent for longer is declared dead, which takes a while.
const LONGEST: u64 = 15;

/// Injects faults until the stop signal, and heals them. Kills the hub only until `last_restart`, so that its last run
/// is long enough to measure its memory. Returns the number of faults.
pub(crate) fn inject_faults(fixture: &Fixture, seed: u64, last_restart: Instant, stop: &StopSignal) -> u64 {
    let mut rng = Rng::new(seed);
    let mut count = 0;
    let start = clock::now();
    while !stop.wait_for(Duration::from_secs(PAUSE[0] + rng.below(PAUSE[1] - PAUSE[0]))) {
        let at = (clock::now() - start).as_secs();
        let what = one(fixture, &mut rng, clock::now() < last_restart, stop);
        super::report(format!("{:02}:{:02} {what}", at / 60, at % 60));
        count += 1;
    }
    count
}

fn one(fixture: &Fixture, rng: &mut Rng, may_restart: bool, stop: &StopSignal) -> String {
    let place = usize::from(rng.below(2) == 0);
    let (side, whose) = (&fixture.sides[place], ["the devices'", "the operators'"][place]);
    let (seed, long) = (rng.below(u64::MAX), Duration::from_secs(1 + rng.below(LONGEST)));
    match rng.below(12) {
        0..2 => {
            side.hit_one(seed, Fault::Cut);
            format!("one of {whose} legs was cut")
        }
        2 => format!("all of {whose} legs were cut: {}", side.hit_all(Fault::Cut)),
        3 => {
            side.hit_one(seed, Fault::Corrupt(Direction::Both));
            format!("one of {whose} legs changed a bit")
        }
        4 => {
            side.hit_one(seed, Fault::Freeze(Direction::Both));
            lasting(side, long, stop);
            format!("one of {whose} legs stalled for {long:?}")
        }
        5 => {
            side.hit_one(seed, Fault::BlackHole(Direction::Both));
            lasting(side, long, stop);
            format!("one of {whose} legs was a black hole for {long:?}")
        }
        6 => everything(side, Fault::Freeze(Direction::Both), long, stop, &format!("{whose} network stalled")),
        7 => everything(
            side,
            Fault::BlackHole(Direction::Both),
            long,
            stop,
            &format!("{whose} network was a black hole"),
        ),
        8 => {
            let slow = Fault::Delay { delay: Duration::from_millis(100), jitter: Duration::from_millis(100) };
            everything(side, slow, long, stop, &format!("{whose} network was slow"))
        }
        9..11 if may_restart => {
            fixture.kill_hub();
            stop.wait_for(Duration::from_millis(rng.below(3000)));
            fixture.restart_hub();
            "the hub died and was started again".into()
        }
        _ => {
            let clients = fixture.clients();
            let (name, process) = rng.pick(&clients);
            process.signal("STOP");
            stop.wait_for(long);
            process.signal("CONT");
            format!("{name} was stopped for {long:?}")
        }
    }
}

fn everything(side: &Chaos, fault: Fault, long: Duration, stop: &StopSignal, what: &str) -> String {
    side.hit_everything(fault);
    lasting(side, long, stop);
    format!("{what} for {long:?}")
}

fn lasting(side: &Chaos, long: Duration, stop: &StopSignal) {
    stop.wait_for(long);
    side.heal();
}
