//! Keys that are replaced while streams are open: no stream goes on with one that has ended.

use std::time::Duration;

use devstream::hub::broker::{Input, LegCredential, LegKey, OpenRequest, Output, Settings};
use devstream::proto::id::{Principal, Role, StreamId};
use devstream::proto::key::PublicKey;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::ResumeTicket;

use super::fairness::{OneDevice, earlier_run};
use super::world::{World, address, any_key, hello, name, plain_request, service};

const OVERLAP: Duration = Duration::from_secs(20);

/// The identities of a stream that [`OneDevice`] opens for its first service.
fn principals(one: &OneDevice) -> [Principal; 2] {
    let device = Principal { role: Role::Device, id: one.device.clone().into() };
    [device, Principal { role: Role::Service, id: service(0).into() }]
}

/// Replaces the key of every leg; it stays valid for this long, if at all.
fn replace_key(one: &mut OneDevice, principal: Principal, overlap: Option<Duration>) {
    let new = LegKey { key: PublicKey::from_bytes([1; 32]), until: None };
    let old = overlap.map(|overlap| LegKey { until: Some(one.now + overlap), ..any_key() });
    let keys = [Some(new), old].into_iter().flatten().collect();
    one.broker.handle(Input::KeysChanged { principal, keys }, one.now);
    one.process_outputs();
}

fn kinds(one: &OneDevice) -> Vec<RefusalKind> {
    one.ended.iter().map(|(_, kind)| *kind).collect()
}

#[test]
fn a_stream_ends_with_the_overlap_of_the_key_of_either_leg() {
    for number in 0..2 {
        let mut one = OneDevice::new(Settings::default());
        one.open(0).unwrap();
        one.open(1).unwrap();
        let principal = principals(&one)[number].clone();
        replace_key(&mut one, principal.clone(), Some(OVERLAP));
        one.advance(OVERLAP - Duration::from_millis(1));
        assert_eq!(kinds(&one), []);
        one.advance(Duration::from_millis(1));
        let streams = if principal.role == Role::Device { 2 } else { 1 };
        assert_eq!(kinds(&one), vec![RefusalKind::KeyReplaced; streams], "{principal}");
    }
}

#[test]
fn a_stream_ends_at_once_with_a_key_that_is_gone() {
    let mut one = OneDevice::new(Settings::default());
    one.open(0).unwrap();
    let [device, _] = principals(&one);
    replace_key(&mut one, device, None);
    assert_eq!(kinds(&one), [RefusalKind::KeyReplaced]);
}

/// Returns with a ticket of a stream of an earlier run of the hub, which both ends resume.
fn resume(one: &mut OneDevice, principal: &Principal) -> StreamId {
    let stream = StreamId::from_bytes([7; 16]);
    let (name, device, service) = (name("ssh"), one.device.clone(), service(0));
    let ticket =
        ResumeTicket { stream, name, device, agent: 1, request: 1, service, role: principal.role, hub: earlier_run() };
    one.attach_with(stream, principal.clone(), LegCredential::Ticket(Box::new(ticket)));
    stream
}

#[test]
fn an_interrupted_stream_waits_for_the_end_whose_key_was_replaced() {
    for overlap in [None, Some(OVERLAP)] {
        let mut one = OneDevice::new(Settings::default());
        let [device, service] = principals(&one);
        let stream = resume(&mut one, &device);
        replace_key(&mut one, device, overlap);
        one.advance(OVERLAP);
        resume(&mut one, &service);
        let refused: Vec<_> = one.refused.iter().map(|(_, refusal)| refusal.kind).collect();
        assert_eq!(refused, [RefusalKind::Interrupted], "the device returns with its new key: {overlap:?}");
        assert!(one.broker.has_stream(stream) && one.ended.is_empty());
    }
}

/// The access of a service that waits for an offline device may end meanwhile.
#[test]
fn a_device_that_comes_back_is_not_asked_for_a_service_whose_access_has_ended() {
    let mut world = World::new(1);
    let (device, requester) = ("pi".parse().unwrap(), world.connection());
    let wait = 2 * OVERLAP;
    let request = OpenRequest { until: Some(world.now + OVERLAP), connect_timeout: wait, ..plain_request(&device) };
    world.broker.handle(Input::OpenRequested { requester, request }, world.now);
    let (later, connection) = (world.now + OVERLAP, world.connection());
    world.broker.handle(Input::DeviceConnected { device, connection, hello: hello(), address: address() }, later);
    let mut refusals = Vec::new();
    while let Some(output) = world.broker.next_output() {
        assert!(!matches!(output, Output::RequestDevice { .. }), "the device is asked");
        if let Output::CompleteOpen { result: Err(refusal), .. } = output {
            refusals.push(refusal.kind);
        }
    }
    assert_eq!(refusals, [RefusalKind::AccessEnded]);
}

#[test]
fn a_leg_that_was_authenticated_before_its_key_was_replaced_ends_with_it_too() {
    let mut one = OneDevice::new(Settings::default());
    let [_, service] = principals(&one);
    replace_key(&mut one, service.clone(), Some(OVERLAP));
    one.open(0).unwrap();
    one.advance(OVERLAP);
    assert_eq!(kinds(&one), [RefusalKind::KeyReplaced]);

    replace_key(&mut one, service, None);
    one.open(0).unwrap();
    one.advance(OVERLAP);
    assert_eq!(kinds(&one).len(), 1, "it is not let in");
}
