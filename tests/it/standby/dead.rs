//! Connections that stood by and are dead when they are wanted: the next stream takes another way, and its application
//! notices nothing but that it took a little longer.

use std::net::Shutdown;
use std::time::Duration;

use super::fixture::{Fixture, LITTLE};
use crate::support::chaos::{Direction, Fault};
use crate::support::targets::{Target, is_alive};
use crate::support::within;

/// Silence is noticed soon on the connection for control as well, and a device that has gone is waited for.
const PATIENT: [&[&str]; 3] =
    [&["--dead-after", "4"], &["--dead-after", "4"], &["--dead-after", "4", "--connect-timeout", "20"]];

/// What a person takes for a slow network.
const A_WHILE: Duration = Duration::from_secs(12);

/// Where requests come this way. What is merely not answered may have been done, and is not done again.
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
fn the_proxys_may_be_cut_closed_swallowed_or_frozen() {
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
fn the_agents_may_be_cut_closed_swallowed_or_frozen_with_its_control() {
    let target = Target::echo();
    for fault in faults(Direction::Down) {
        // An agent that has lost its hub again and again waits longer and longer.
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
fn the_agents_may_be_dead_while_its_control_lives() {
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
fn a_hub_that_was_killed_and_started_again_has_streams_at_once() {
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
fn an_agent_that_was_started_again_or_displaced_is_asked_and_not_its_former_self() {
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
fn a_network_that_stands_still_for_a_moment_ends_no_stream() {
    let target = Target::echo();
    let fixture = Fixture::with(&target, PATIENT);
    fixture.warm(3);
    let mut running = fixture.alive();
    for direction in [&fixture.above, &fixture.below] {
        direction.hit_all(Fault::Freeze(Direction::Both));
        // The request goes nowhere, is given up, and gets there by another way; then it comes the first way too.
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
