//! Dead standbys: the next stream uses another connection, and its application
//! notices only a short delay.

use std::net::Shutdown;
use std::time::Duration;

use super::fixture::{Fixture, LITTLE};
use crate::support::chaos::{Direction, Fault};
use crate::support::targets::{Target, is_alive};
use crate::support::within;

/// A short idle timeout for the control connection too, and time to wait for an offline device.
const PATIENT: [&[&str]; 3] =
    [&["--dead-after", "4"], &["--dead-after", "4"], &["--dead-after", "4", "--connect-timeout", "20"]];

/// Longest stall that an interactive user tolerates.
const A_WHILE: Duration = Duration::from_secs(12);

/// Requests on a standby. An unanswered request may have been served, and is not repeated.
const fn faults(direction: Direction) -> [Fault; 6] {
    [
        Fault::Cut,
        Fault::Close(Direction::Both),
        Fault::BlackHole(Direction::Both),
        Fault::BlackHole(direction),
        Fault::Freeze(Direction::Both),
        Fault::Freeze(direction),
    ]
}

#[test]
fn the_proxys_standbys_may_be_cut_closed_blackholed_or_frozen() {
    let target = Target::echo();
    let fixture = Fixture::with(&target, PATIENT);
    for fault in faults(Direction::Up) {
        fixture.warm(3);
        assert!(fixture.above.hit_all(fault) >= 3, "{fault:?}");
        within(A_WHILE, &format!("a stream after {fault:?}"), || fixture.echo(1, LITTLE));
        within(A_WHILE, &format!("the next one after {fault:?}"), || fixture.echo(2, LITTLE));
        fixture.above.heal();
        fixture.echo(3, LITTLE);
    }
}

#[test]
fn the_agents_standbys_and_control_may_be_cut_closed_blackholed_or_frozen() {
    let target = Target::echo();
    for fault in faults(Direction::Down) {
        // The backoff of an agent that lost its hub repeatedly grows.
        let fixture = Fixture::with(&target, PATIENT);
        fixture.warm(3);
        assert!(fixture.below.hit_all(fault) >= 4, "{fault:?}");
        within(A_WHILE, &format!("a stream after {fault:?}"), || fixture.echo(1, LITTLE));
        within(A_WHILE, &format!("the next one after {fault:?}"), || fixture.echo(2, LITTLE));
        fixture.below.heal();
        fixture.echo(3, LITTLE);
    }
}

#[test]
fn the_agents_standbys_may_be_dead_while_its_control_is_alive() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    for fault in faults(Direction::Down) {
        fixture.warm(3);
        // The first connection is the one for control.
        (1..fixture.below.connections()).for_each(|number| _ = fixture.below.hit(number, fault));
        within(A_WHILE / 2, &format!("a stream after {fault:?}"), || fixture.echo(1, LITTLE));
        fixture.below.heal();
        fixture.echo(2, LITTLE);
    }
}

#[test]
fn a_hub_that_was_killed_and_restarted_carries_streams_at_once() {
    let target = Target::echo();
    let mut fixture = Fixture::forwarding(&target);
    for _ in 0..3 {
        fixture.warm(3);
        let lines = fixture.agent.lines();
        fixture.hub.process.kill();
        fixture.start_hub();
        fixture.agent.wait_line_after(lines, "is online");
        within(A_WHILE / 2, "a stream", || fixture.echo(1, LITTLE));
    }
}

#[test]
fn requests_go_to_a_restarted_or_displacing_agent_and_not_to_its_predecessor() {
    let target = Target::echo();
    let mut fixture = Fixture::forwarding(&target);
    for signal in ["KILL", "TERM"] {
        fixture.warm(3);
        fixture.agent.signal(signal);
        fixture.agent.wait_end();
        fixture.agent = fixture.another_agent();
        within(A_WHILE / 2, "a stream", || fixture.echo(1, LITTLE));
    }
    fixture.warm(3);
    let next = fixture.another_agent();
    let former = std::mem::replace(&mut fixture.agent, next);
    let lines = former.lines();
    for seed in 0..5 {
        fixture.echo(seed, LITTLE);
    }
    let log: Vec<_> =
        former.log().lines().skip(lines).filter(|line| line.contains("opened for")).map(str::to_owned).collect();
    assert!(log.is_empty(), "the former agent was asked: {log:?}");
}

#[test]
fn a_brief_network_stall_ends_no_stream() {
    let target = Target::echo();
    let fixture = Fixture::with(&target, PATIENT);
    fixture.warm(3);
    let mut running = fixture.alive();
    for direction in [&fixture.above, &fixture.below] {
        direction.hit_all(Fault::Freeze(Direction::Both));
        // The request is lost, times out, and is repeated on another connection; then the first one arrives too.
        within(A_WHILE, "a stream", || fixture.echo(1, LITTLE));
        let mut beside = fixture.proxy.connect();
        is_alive(&mut beside);
        direction.heal();
        for _ in 0..20 {
            is_alive(&mut beside);
            fixture.echo(2, LITTLE);
        }
        is_alive(&mut running);
        beside.shutdown(Shutdown::Write).unwrap();
    }
}
