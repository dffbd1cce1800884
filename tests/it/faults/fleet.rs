//! A hub's restart as its many devices have it. `tests/fleet` does the same with thousands.

use std::time::Duration;

use crate::support::fleet::{Fleet, ONE_ADDRESS};
use crate::support::machine::Machine;
use crate::support::roles::Hub;

#[test]
fn many_agents_are_all_back_soon_after_a_hub_died_and_take_little_of_the_next_one() {
    let mut hub = Hub::start_with(&Machine::new(), &ONE_ADDRESS);
    let fleet = Fleet::join(&hub, 500);
    fleet.wait_online(&hub, Duration::from_secs(30));
    let back = fleet.comes_back(&mut hub, &ONE_ADDRESS, Duration::from_secs(30));
    assert!(back.took < Duration::from_secs(30) && back.peak < 2 * back.steady, "{back:?}");
}
