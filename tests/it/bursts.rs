//! Many connections at once: limits of the hub make them wait, and reset none.

use std::net::TcpStream;
use std::sync::{Mutex, PoisonError};
use std::thread;

use devstream::proto::limits::UNAUTHENTICATED_CONNECTIONS_PER_SOURCE;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::roles::{ServiceProxy, ThreeMachines};
use crate::support::targets::{Target, is_alive};

/// Held by each of these tests: two bursts at once keep the cores so busy that a hub misses the 1.5 seconds in which it
/// answers for a standby connection, and streams with early data are then refused, as they should be.
static CORES: Mutex<()> = Mutex::new(());

/// Opens this many connections at once, each of which is answered. Returns those that are `held`; the others end.
fn burst(proxy: &ServiceProxy, connections: usize, held: bool) -> Vec<TcpStream> {
    let open = || {
        let mut stream = proxy.connect();
        is_alive(&mut stream);
        held.then_some(stream)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..connections).map(|_| scope.spawn(open)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("it is answered")).collect()
    })
}

#[test]
fn connections_beyond_the_hubs_limits_of_openings_wait_and_none_is_reset() {
    let _cores = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Target::echo();
    let fixture = ThreeMachines::forwarding(target.port, &["--device", "*"]);
    let connections = UNAUTHENTICATED_CONNECTIONS_PER_SOURCE * 3 / 2;
    let held = burst(&fixture.proxy, connections, true);
    assert_eq!(held.len(), connections);
    drop(held);
    burst(&fixture.proxy, connections, false);
}

#[test]
fn connections_beyond_the_hubs_limit_of_streams_wait_until_others_have_ended() {
    let _cores = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Target::echo();
    let limits = ["--max-streams-per-device", "8", "--max-pending-per-device", "4"];
    let fixture = ThreeMachines::with_hub(target.port, &["--device", "*"], &limits);
    burst(&fixture.proxy, 24, false);
}

#[test]
fn many_operators_behind_one_address_all_get_in() {
    const OPERATORS: usize = 24;
    let _cores = CORES.lock().unwrap_or_else(PoisonError::into_inner);
    let target = Target::echo();
    let limits = ["--max-unauthenticated-per-source", "4"];
    let fixture = ThreeMachines::with_hub(target.port, &["--device", "*"], &limits);
    let laptops: Vec<_> = (0..OPERATORS)
        .map(|number| {
            let laptop = Machine::new();
            laptop.ask(&["join", &fixture.hub.service_link(&format!("operator-{number}"))]);
            laptop
        })
        .collect();
    let proxies: Vec<_> = laptops.iter().map(|laptop| ServiceProxy::start_with(laptop, DEVICE, "0", &[])).collect();
    let mut streams: Vec<TcpStream> = proxies.iter().map(ServiceProxy::connect).collect();
    streams.iter_mut().for_each(is_alive);
}
