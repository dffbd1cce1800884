//! Connections that stood by and are dead when they are wanted: the next stream takes another way, and its application
//! notices nothing but that it took a little longer.

use std::net::Shutdown;
use std::time::Duration;

use super::scene::{LITTLE, Scene};
use crate::support::chaos::{Fault, Way};
use crate::support::targets::{Target, is_alive};
use crate::support::within;

/// Silence is noticed soon on the connection for control as well, and a device that has gone is waited for.
const PATIENT: [&[&str]; 3] =
    [&["--dead-after", "4"], &["--dead-after", "4"], &["--dead-after", "4", "--connect-timeout", "20"]];

/// What a person takes for a slow network.
const A_WHILE: Duration = Duration::from_secs(12);

/// Where requests come this way. What is merely not answered may have been done, and is not done again.
const fn faults(way: Way) -> [Fault; 6] {
    [
        Fault::Cut,
        Fault::Close(Way::Both),
        Fault::BlackHole(Way::Both),
        Fault::BlackHole(way),
        Fault::Freeze(Way::Both),
        Fault::Freeze(way),
    ]
}

#[test]
fn the_proxys_may_be_cut_closed_swallowed_or_frozen() {
    let target = Target::echo();
    let scene = Scene::with(&target, PATIENT);
    for fault in faults(Way::Up) {
        scene.warm(3);
        assert!(scene.above.hit_all(fault) >= 3, "{fault:?}");
        within(A_WHILE, &format!("a stream after {fault:?}"), || scene.echo(1, LITTLE));
        within(A_WHILE, &format!("the next one after {fault:?}"), || scene.echo(2, LITTLE));
        scene.above.heal();
        scene.echo(3, LITTLE);
    }
}

#[test]
fn the_agents_may_be_cut_closed_swallowed_or_frozen_with_its_control() {
    let target = Target::echo();
    for fault in faults(Way::Down) {
        // An agent that has lost its hub again and again waits longer and longer.
        let scene = Scene::with(&target, PATIENT);
        scene.warm(3);
        assert!(scene.below.hit_all(fault) >= 4, "{fault:?}");
        within(A_WHILE, &format!("a stream after {fault:?}"), || scene.echo(1, LITTLE));
        within(A_WHILE, &format!("the next one after {fault:?}"), || scene.echo(2, LITTLE));
        scene.below.heal();
        scene.echo(3, LITTLE);
    }
}

#[test]
fn the_agents_may_be_dead_while_its_control_lives() {
    let target = Target::echo();
    let scene = Scene::forwarding(&target);
    for fault in faults(Way::Down) {
        scene.warm(3);
        // The first connection is the one for control.
        (1..scene.below.connections()).for_each(|number| _ = scene.below.hit(number, fault));
        within(A_WHILE / 2, &format!("a stream after {fault:?}"), || scene.echo(1, LITTLE));
        scene.below.heal();
        scene.echo(2, LITTLE);
    }
}

#[test]
fn a_hub_that_was_killed_and_started_again_has_streams_at_once() {
    let target = Target::echo();
    let mut scene = Scene::forwarding(&target);
    for _ in 0..3 {
        scene.warm(3);
        let lines = scene.agent.lines();
        scene.hub.process.kill();
        scene.start_hub();
        scene.agent.wait_line_after(lines, "is online");
        within(A_WHILE / 2, "a stream", || scene.echo(1, LITTLE));
    }
}

#[test]
fn an_agent_that_was_started_again_or_displaced_is_asked_and_not_its_former_self() {
    let target = Target::echo();
    let mut scene = Scene::forwarding(&target);
    for signal in ["KILL", "TERM"] {
        scene.warm(3);
        scene.agent.signal(signal);
        scene.agent.wait_end();
        scene.agent = scene.another_agent();
        within(A_WHILE / 2, "a stream", || scene.echo(1, LITTLE));
    }
    scene.warm(3);
    let next = scene.another_agent();
    let former = std::mem::replace(&mut scene.agent, next);
    let lines = former.lines();
    for seed in 0..5 {
        scene.echo(seed, LITTLE);
    }
    let log: Vec<_> =
        former.log().lines().skip(lines).filter(|line| line.contains("opened for")).map(str::to_owned).collect();
    assert!(log.is_empty(), "the former agent was asked: {log:?}");
}

#[test]
fn a_network_that_stands_still_for_a_moment_ends_no_stream() {
    let target = Target::echo();
    let scene = Scene::with(&target, PATIENT);
    scene.warm(3);
    let mut running = scene.alive();
    for way in [&scene.above, &scene.below] {
        way.hit_all(Fault::Freeze(Way::Both));
        // The request goes nowhere, is given up, and gets there by another way; then it comes the first way too.
        within(A_WHILE, "a stream", || scene.echo(1, LITTLE));
        let mut beside = scene.proxy.connect();
        is_alive(&mut beside);
        way.heal();
        for _ in 0..20 {
            is_alive(&mut beside);
            scene.echo(2, LITTLE);
        }
        is_alive(&mut running);
        beside.shutdown(Shutdown::Write).unwrap();
    }
}
