//! The broker on a virtual clock, with model devices and services that do anything, one seed per run. Checked after
//! every step: no stream is joined twice, no token is used twice, every request is answered once and in time, and no
//! stream outside its service's scope continues.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop where it is")]

mod fairness;
mod journey;
mod keys;
mod opening;
mod tickets;
mod world;

use std::time::Instant;

use devstream::hub::broker::{Broker, Grant, Input, LegAttach, LegCredential, Output};
use devstream::proto::http::Bridge;
use devstream::proto::id::{Principal, Role};
use devstream::proto::limits::RETURN_WAIT;
use devstream::proto::message::StreamResponse;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::scope::Scope;

use self::world::{World, address, any_key, plain_request, service};

const SEEDS: u64 = 10_000;
const STEPS: u64 = 150;

#[test]
fn the_broker_keeps_its_invariants_over_thousands_of_seeds() {
    let (mut joined, mut rejoined, mut repeated, mut replaced) = (0, 0, 0, 0);
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.wind_down();
        joined += world.joined.len();
        rejoined += world.rejoined;
        repeated += world.repeated;
        replaced += world.replaced;
    }
    let enough = joined > 1_000 && rejoined > 500 && repeated > 1_000 && replaced > 100;
    assert!(
        enough,
        "only {joined} streams were joined, {rejoined} rejoined, {repeated} requested again, {replaced} in place: \
         the model does not reach what it should test"
    );
}

#[test]
fn refused_streams_count_against_no_limit() {
    let mut world = World::new(1);
    let device = world.connect_some_device();
    for _ in 0..3_000 {
        let requester = world.connection();
        let request = plain_request(&device);
        world.broker.handle(Input::OpenRequested { requester, request }, world.now);
        let refusals = refuse_all(&mut world.broker, world.now);
        assert_eq!(refusals, [RefusalKind::TargetRefused], "the device's answer, and no limit");
    }
    assert_eq!(world.broker.streams(), 0);
}

/// It may have lost its power: whoever asked learns that soon, not at the end of the time for its response.
#[test]
fn a_device_that_leaves_while_it_is_asked_is_awaited_for_a_few_seconds() {
    let mut world = World::new(1);
    let device = world.connect_some_device();
    let requester = world.connection();
    let request = plain_request(&device);
    world.broker.handle(Input::OpenRequested { requester, request }, world.now);
    let (mut asked, reason) = (None, String::new());
    while let Some(output) = world.broker.next_output() {
        if let Output::RequestDevice { connection, .. } = output {
            asked = Some(connection);
        }
    }
    let connection = asked.unwrap();
    world.broker.handle(Input::DeviceDisconnected { device, connection, reason }, world.now);
    assert!(refuse_all(&mut world.broker, world.now).is_empty());
    assert_eq!(world.broker.next_deadline(), Some(world.now + RETURN_WAIT));
    world.broker.handle_timeout(world.now + RETURN_WAIT);
    assert_eq!(refuse_all(&mut world.broker, world.now), [RefusalKind::DeviceOffline]);
}

/// The legs may have noticed a loss before the hub, and rejoin while the hub still closes their former connections.
#[test]
fn a_killed_stream_is_not_resumed_while_its_legs_are_closed() {
    let mut world = World::new(1);
    world.open_stream();
    world.kill();
    world.both_resume();
    world.wind_down();
    assert_eq!((world.joined.len(), world.rejoined), (1, 0));
}

/// The change reaches the broker before a request that was authorised under the old scope.
#[test]
fn a_scope_narrowed_during_a_request_is_enforced_when_the_leg_attaches() {
    let mut world = World::new(1);
    let device = world.connect_some_device();
    let narrowed = Scope { streams: vec!["web".parse().unwrap()], ..Scope::everything() };
    let changed = Input::ScopeChanged { service: service(0), scope: narrowed.clone(), until: None };
    world.broker.handle(changed, world.now);
    let requester = world.connection();
    let request = plain_request(&device);
    world.broker.handle(Input::OpenRequested { requester, request }, world.now);
    let (leg, mut refused) = (world.connection(), false);
    while let Some(output) = world.broker.next_output() {
        match output {
            Output::RequestDevice { connection, request } => {
                let response =
                    StreamResponse { request_id: request.stream, accepted: true, end_to_end: false, reason: None };
                world.broker.handle(Input::DeviceResponded { connection, response, standby: false }, world.now);
            }
            Output::CompleteOpen { result: Ok(Grant { stream, token, .. }), .. } => {
                let bridge = Bridge { hub: "hub".into(), device: device.clone(), stream, role: Role::Service };
                let principal = Principal { role: Role::Service, id: service(0).into() };
                let (credential, address, scope) = (LegCredential::Token(token.hash()), address(), narrowed.clone());
                let (until, key) = (None, any_key());
                let side = LegAttach { leg, bridge, principal, credential, address, scope, until, key };
                world.broker.handle(Input::LegAttached(side), world.now);
            }
            Output::Refuse { refusal, .. } => refused = refusal.kind == RefusalKind::NotPermitted,
            Output::Admit { .. } => panic!("admitted beyond its scope"),
            Output::Displace { .. }
            | Output::Dismiss { .. }
            | Output::RevalidateKey { .. }
            | Output::CancelRequest { .. }
            | Output::CompleteOpen { .. }
            | Output::Join(_)
            | Output::EndStream { .. }
            | Output::StreamEnded { .. }
            | Output::Record(_) => {}
        }
    }
    assert!(refused);
    assert_eq!(world.broker.streams(), 0);
}

/// Prints the seed when a run fails.
pub(crate) struct Seed(pub(crate) u64);

#[expect(clippy::print_stderr, reason = "a panic alone does not name the seed")]
impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

/// The device refuses every request; returns the refusals that the services receive.
fn refuse_all(broker: &mut Broker, now: Instant) -> Vec<RefusalKind> {
    let mut refusals = Vec::new();
    while let Some(output) = broker.next_output() {
        if let Output::RequestDevice { connection, request } = output {
            let reason = Some(RefusalKind::TargetRefused.into());
            let response = StreamResponse { request_id: request.stream, accepted: false, end_to_end: false, reason };
            broker.handle(Input::DeviceResponded { connection, response, standby: false }, now);
        } else if let Output::CompleteOpen { result: Err(refusal), .. } = output {
            refusals.push(refusal.kind);
        }
    }
    refusals
}
