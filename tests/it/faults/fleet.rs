//! Many devices: their cost to the hub while idle, and the restart of their hub. `tests/idle` and
//! `tests/fleet` do the same with thousands.

use std::time::Duration;

use crate::support::bytes::KIB;
use crate::support::fleet::{Fleet, ONE_ADDRESS};
use crate::support::machine::Machine;
use crate::support::roles::Hub;

#[test]
fn many_agents_reconnect_soon_after_a_hub_died_at_little_cost() {
    let mut hub = Hub::start_with(&Machine::new(), &ONE_ADDRESS);
    let fleet = Fleet::join(&hub, "fleet", 500);
    fleet.wait_online(&hub, Duration::from_secs(30));
    let back = fleet.reconnect(&mut hub, &ONE_ADDRESS, Duration::from_secs(30));
    assert!(back.took < Duration::from_secs(30) && back.peak < 2 * back.steady, "{back:?}");
}

#[test]
fn an_idle_device_costs_the_hub_little_memory() {
    let hub = Hub::start_with(&Machine::new(), &[&ONE_ADDRESS[..], &["--metrics", "127.0.0.1:0"]].concat());
    let online = |name, count| {
        let fleet = Fleet::join(&hub, name, count);
        fleet.wait_online(&hub, Duration::from_secs(60));
        (fleet, hub.process.memory().now)
    };
    // The first devices account for shared memory.
    let (few, before) = online("first", 50);
    drop(few);
    let (_fleet, after) = online("second", 500);
    let each = after.saturating_sub(before) / 500;
    assert!(each <= 32 * KIB, "{each} bytes each");
    assert!(hub.metric("devstream_connections_total") >= 1100);
}
