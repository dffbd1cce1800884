//! What goes wrong meanwhile, one thing at a time: the network between, and the processes.

use std::time::{Duration, Instant};

use devstream::net::clock;

use super::bell::Bell;
use super::dice::Dice;
use super::scene::Scene;
use super::support::chaos::{Chaos, Fault, Way};

/// From the end of one fault to the next, at least and at most, in seconds.
const PAUSE: [u64; 2] = [3, 12];

/// The longest that something lasts, in seconds. A leg that is silent for longer is given up, and takes its time.
const LONGEST: u64 = 15;

/// Until the bell rings; then all is well again. The hub dies only until `last_death`, so that later ones of its kind
/// live long enough for their memory to be looked at. Returns how many faults there were.
pub(crate) fn make_trouble(scene: &Scene, seed: u64, last_death: Instant, bell: &Bell) -> u64 {
    let mut dice = Dice::new(seed);
    let mut count = 0;
    let start = clock::now();
    while !bell.rings_within(Duration::from_secs(PAUSE[0] + dice.roll(PAUSE[1] - PAUSE[0]))) {
        let at = (clock::now() - start).as_secs();
        let what = one(scene, &mut dice, clock::now() < last_death, bell);
        super::say(format!("{:02}:{:02} {what}", at / 60, at % 60));
        count += 1;
    }
    count
}

fn one(scene: &Scene, dice: &mut Dice, may_die: bool, bell: &Bell) -> String {
    let place = usize::from(dice.roll(2) == 0);
    let (side, whose) = (&scene.sides[place], ["the devices'", "the operators'"][place]);
    let (seed, long) = (dice.roll(u64::MAX), Duration::from_secs(1 + dice.roll(LONGEST)));
    match dice.roll(12) {
        0..2 => {
            side.hit_one(seed, Fault::Cut);
            format!("one of {whose} legs was cut")
        }
        2 => format!("all of {whose} legs were cut: {}", side.hit_all(Fault::Cut)),
        3 => {
            side.hit_one(seed, Fault::Corrupt(Way::Both));
            format!("one of {whose} legs changed a bit")
        }
        4 => {
            side.hit_one(seed, Fault::Freeze(Way::Both));
            lasting(side, long, bell);
            format!("one of {whose} legs stood still for {long:?}")
        }
        5 => {
            side.hit_one(seed, Fault::BlackHole(Way::Both));
            lasting(side, long, bell);
            format!("one of {whose} legs was a black hole for {long:?}")
        }
        6 => everything(side, Fault::Freeze(Way::Both), long, bell, &format!("{whose} network stood still")),
        7 => everything(side, Fault::BlackHole(Way::Both), long, bell, &format!("{whose} network was a black hole")),
        8 => {
            let slow = Fault::Delay { delay: Duration::from_millis(100), jitter: Duration::from_millis(100) };
            everything(side, slow, long, bell, &format!("{whose} network was slow"))
        }
        9..11 if may_die => {
            scene.kill_hub();
            bell.rings_within(Duration::from_millis(dice.roll(3000)));
            scene.restart_hub();
            "the hub died and was started again".into()
        }
        _ => {
            let clients = scene.clients();
            let (name, process) = dice.pick(&clients);
            process.signal("STOP");
            bell.rings_within(long);
            process.signal("CONT");
            format!("{name} was stopped for {long:?}")
        }
    }
}

fn everything(side: &Chaos, fault: Fault, long: Duration, bell: &Bell, what: &str) -> String {
    side.everything(fault);
    lasting(side, long, bell);
    format!("{what} for {long:?}")
}

fn lasting(side: &Chaos, long: Duration, bell: &Bell) {
    bell.rings_within(long);
    side.heal();
}
