//! What goes wrong meanwhile, one thing at a time: the network between, and the processes.

use std::time::{Duration, Instant};

use devstream::net::clock;

use super::bell::Bell;
use super::fixture::Fixture;
use super::rng::Rng;
use super::support::chaos::{Chaos, Direction, Fault};

/// From the end of one fault to the next, at least and at most, in seconds.
const PAUSE: [u64; 2] = [3, 12];

/// The longest that something lasts, in seconds. A leg that is silent for longer is given up, and takes its time.
const LONGEST: u64 = 15;

/// Until the bell rings; then all is well again. The hub dies only until `last_death`, so that later ones of its kind
/// live long enough for their memory to be looked at. Returns how many faults there were.
pub(crate) fn make_trouble(fixture: &Fixture, seed: u64, last_death: Instant, bell: &Bell) -> u64 {
    let mut rng = Rng::new(seed);
    let mut count = 0;
    let start = clock::now();
    while !bell.rings_within(Duration::from_secs(PAUSE[0] + rng.below(PAUSE[1] - PAUSE[0]))) {
        let at = (clock::now() - start).as_secs();
        let what = one(fixture, &mut rng, clock::now() < last_death, bell);
        super::say(format!("{:02}:{:02} {what}", at / 60, at % 60));
        count += 1;
    }
    count
}

fn one(fixture: &Fixture, rng: &mut Rng, may_die: bool, bell: &Bell) -> String {
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
            lasting(side, long, bell);
            format!("one of {whose} legs stood still for {long:?}")
        }
        5 => {
            side.hit_one(seed, Fault::BlackHole(Direction::Both));
            lasting(side, long, bell);
            format!("one of {whose} legs was a black hole for {long:?}")
        }
        6 => everything(side, Fault::Freeze(Direction::Both), long, bell, &format!("{whose} network stood still")),
        7 => everything(
            side,
            Fault::BlackHole(Direction::Both),
            long,
            bell,
            &format!("{whose} network was a black hole"),
        ),
        8 => {
            let slow = Fault::Delay { delay: Duration::from_millis(100), jitter: Duration::from_millis(100) };
            everything(side, slow, long, bell, &format!("{whose} network was slow"))
        }
        9..11 if may_die => {
            fixture.kill_hub();
            bell.rings_within(Duration::from_millis(rng.below(3000)));
            fixture.restart_hub();
            "the hub died and was started again".into()
        }
        _ => {
            let clients = fixture.clients();
            let (name, process) = rng.pick(&clients);
            process.signal("STOP");
            bell.rings_within(long);
            process.signal("CONT");
            format!("{name} was stopped for {long:?}")
        }
    }
}

fn everything(side: &Chaos, fault: Fault, long: Duration, bell: &Bell, what: &str) -> String {
    side.hit_everything(fault);
    lasting(side, long, bell);
    format!("{what} for {long:?}")
}

fn lasting(side: &Chaos, long: Duration, bell: &Bell) {
    bell.rings_within(long);
    side.heal();
}
