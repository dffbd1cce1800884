use std::time::Duration;

use super::*;
use crate::net::os::clock;
use crate::proto::id::{Principal, Role};

fn admit(budgets: &mut Budgets, event: Event, now: Instant) -> Option<Event> {
    let subject = Subject::of(&event).expect("it has a budget");
    budgets.admit(event, subject, now)
}

fn refused(service: &str, device: u64) -> Event {
    let service = Principal { role: Role::Service, id: service.to_owned().try_into().unwrap() };
    let device = Some(format!("nobody-{device}").parse().unwrap());
    Event { device, ..Event::about(&service, Operation::Invoke, "DeviceNotFound") }
}

#[test]
fn refusals_beyond_an_identitys_budget_are_counted_and_another_identity_has_its_own() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    let written = (0..50_000).filter_map(|number| admit(&mut budgets, refused("attacker", number), start)).count();
    assert_eq!(written, 1000);
    assert_eq!(admit(&mut budgets, refused("laptop", 1), start), Some(refused("laptop", 1)));
    let later = start + Duration::from_secs(10);
    let next = admit(&mut budgets, refused("attacker", 7), later).expect("one in ten seconds");
    let omitted = |events| Some(Omitted { events, bytes: (0, 0) });
    assert_eq!(next, Event { omitted: omitted(49_000), ..refused("attacker", 7) });
    assert_eq!(budgets.take_omitted(later), []);
    assert_eq!(admit(&mut budgets, refused("attacker", 8), later), None);
    assert_eq!(admit(&mut budgets, refused("attacker", 9), later), None);
    assert_eq!(budgets.take_omitted(later), [Event { omitted: omitted(1), ..refused("attacker", 9) }]);
    assert_eq!(budgets.take_omitted(later), []);
}

fn failed(number: u32) -> Event {
    let source = Some((std::net::Ipv4Addr::from_bits(number), 1).into());
    Event { source, ..Event::new(Operation::Authenticate, RefusalKind::AuthenticationFailed.row().label) }
}

#[test]
fn any_number_of_sources_has_a_budget_together_and_a_bounded_table() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    let written = (0..100_000).filter_map(|number| admit(&mut budgets, failed(number), start)).count();
    assert!(written <= MAX_SOURCES + 1000, "{written}");
    assert_eq!(budgets.sources.subjects.len(), MAX_SOURCES + 1);
    let several = (0..4000).flat_map(|number| [number; 10]);
    let several = several.filter_map(|number| admit(&mut budgets, failed(number), start)).count();
    assert_eq!(written + several, 10_000);
    let mut omitted = budgets.take_omitted(start);
    assert_eq!(omitted.len(), COUNTS_AT_ONCE);
    omitted.append(&mut budgets.take_all_omitted());
    let left_out: u64 = omitted.iter().map(|event| event.omitted.unwrap_or_default().events + 1).sum();
    assert_eq!(left_out, 140_000 - 10_000);
    assert_eq!(budgets.take_omitted(start + Duration::from_secs(100_000)), []);
    assert_eq!(budgets.sources.subjects.len(), 0);
}

#[test]
fn an_ipv6_site_is_one_source_whatever_its_networks() {
    let (start, mut written) = (clock::now(), 0);
    let mut budgets = Budgets::new(start);
    for network in 0..4000_u128 {
        let address = std::net::Ipv6Addr::from_bits(0x2001_0db8_0001 << 80 | network << 64 | 1);
        let event = Event { source: Some((address, 1).into()), ..failed(0) };
        written += usize::from(admit(&mut budgets, event, start).is_some());
    }
    assert_eq!((written, budgets.sources.subjects.len()), (1000, 1));
}

#[test]
fn a_flood_of_failures_hides_nothing_of_proven_identities() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    let flood = (0..4000).flat_map(|number| [number; 10]);
    flood.for_each(|number| drop(admit(&mut budgets, failed(number), start)));
    assert_eq!(admit(&mut budgets, failed(7), start), None);
    let source = failed(7).source;
    for number in 0..10_000 {
        let device = Principal { role: Role::Device, id: format!("pi-{number}").try_into().unwrap() };
        for operation in [Operation::DeviceDisconnected, Operation::DeviceConnected] {
            assert!(admit(&mut budgets, Event::about(&device, operation, "x"), start).is_some());
        }
        let disabled = Event::about(&device, Operation::Authenticate, RefusalKind::Disabled.row().label);
        let disabled = Event { source, ..disabled };
        assert!(admit(&mut budgets, disabled, start).is_some(), "who it is was proven");
    }
}

fn of_stream(device: &str, operation: Operation, bytes: Option<(u64, u64)>) -> Event {
    let (device, service) = (Some(device.parse().unwrap()), Some("laptop".parse().unwrap()));
    Event { device, service, bytes, ..Event::new(operation, "x") }
}

#[test]
fn streams_beyond_the_budget_of_a_service_and_a_device_are_counted_with_their_bytes() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    let streams = [Operation::StreamOpened, Operation::StreamInterrupted, Operation::StreamResumed];
    for operation in streams {
        let written = (0..5000).filter_map(|_| admit(&mut budgets, of_stream("pi-1", operation, None), start)).count();
        assert_eq!(written, 1000, "{operation:?}");
    }
    let closed = |device| of_stream(device, Operation::StreamClosed, Some((10, 20)));
    let written = (0..5000).filter_map(|_| admit(&mut budgets, closed("pi-1"), start)).count();
    assert_eq!(written, 1000);
    assert_eq!(admit(&mut budgets, closed("pi-2"), start), Some(closed("pi-2")), "another device has its own");
    let later = start + Duration::from_secs(1);
    let next = admit(&mut budgets, closed("pi-1"), later).unwrap();
    assert_eq!(next.omitted, Some(Omitted { events: 4000, bytes: (40_000, 80_000) }));
    let omitted = budgets.take_omitted(later);
    assert_eq!(omitted.iter().map(|event| event.omitted.unwrap().events + 1).collect::<Vec<_>>(), [4000; 3]);
}

#[test]
fn accepted_requests_have_a_budget_and_changes_of_identities_have_none() {
    let accepted = Event { result: ACCEPTED, ..of_stream("pi-1", Operation::Invoke, None) };
    assert!(matches!(Subject::of(&accepted), Some(Subject::Streams(..))));
    for (operation, result) in [(Operation::Join, JOINED), (Operation::IdentityAdded, "added")] {
        let event = Event { service: Some("laptop".parse().unwrap()), ..Event::new(operation, result) };
        assert_eq!(Subject::of(&event), None);
    }
}

fn opened(service: &str, device: &str, name: &str) -> Event {
    let service = Some(service.parse().unwrap());
    Event { service, name: Some(name.parse().unwrap()), ..of_stream(device, Operation::StreamOpened, None) }
}

#[test]
fn a_stream_does_not_hide_among_others_of_another_name() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    let web = (0..2000).filter_map(|_| admit(&mut budgets, opened("laptop", "pi-1", "web"), start)).count();
    assert_eq!(web, 1000);
    assert_eq!(admit(&mut budgets, opened("laptop", "pi-1", "ssh"), start), Some(opened("laptop", "pi-1", "ssh")));
}

#[test]
fn all_streams_of_a_service_have_a_budget_and_the_first_of_a_name_in_an_hour_has_its_line() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    let flood = |budgets: &mut Budgets, now| {
        let devices = (0..80).flat_map(|number| std::iter::repeat_n(format!("pi-{number}"), 1000));
        devices.filter_map(|device| admit(budgets, opened("attacker", &device, "web"), now)).count()
    };
    assert_eq!(flood(&mut budgets, start), 20_000 + 60, "a line for each of 60 devices beyond it");
    let ssh = || opened("attacker", "pi-1", "ssh");
    assert_eq!(admit(&mut budgets, ssh(), start), Some(ssh()), "beyond the budget");
    assert_eq!(admit(&mut budgets, ssh(), start), None, "within the hour");
    assert_eq!(admit(&mut budgets, opened("laptop", "pi-1", "ssh"), start), Some(opened("laptop", "pi-1", "ssh")));
    let left_out: u64 =
        budgets.take_all_omitted().iter().map(|event| event.omitted.unwrap_or_default().events + 1).sum();
    assert_eq!(left_out, 80_000 - 20_060 + 1);

    let soon = start + LONGEST_SILENCE - Duration::from_secs(1);
    budgets.take_omitted(soon);
    flood(&mut budgets, soon);
    assert_eq!(admit(&mut budgets, ssh(), soon), None, "remembered although its budget was full again");
    assert!(admit(&mut budgets, ssh(), start + LONGEST_SILENCE).is_some());
    let later = soon + 2 * LONGEST_SILENCE;
    budgets.take_all_omitted();
    assert_eq!(budgets.take_omitted(later), []);
    let Together::EachService(services) = &budgets.streams.together else { panic!("each service has a budget") };
    assert_eq!((budgets.streams.subjects.len(), services.len()), (0, 0), "forgotten");
}

#[test]
fn names_are_told_apart_up_to_a_limit_which_hides_nothing_of_other_services_and_refused_ones_are_not() {
    let start = clock::now();
    let mut budgets = Budgets::new(start);
    for number in 0..2000 {
        let name = Some(format!("any-{number}").parse().unwrap());
        admit(&mut budgets, Event { name, ..refused("attacker", 1) }, start);
    }
    assert_eq!((budgets.identities.subjects.len(), budgets.streams.subjects.len()), (1, 0));
    for number in 0..MAX_STREAM_NAMES + 5000 {
        admit(&mut budgets, opened("attacker", "pi-1", &format!("any-{number}")), start);
    }
    assert_eq!(budgets.streams.subjects.len(), MAX_STREAM_NAMES + 1);
    assert_eq!(admit(&mut budgets, opened("laptop", "pi-1", "ssh"), start), Some(opened("laptop", "pi-1", "ssh")));
}
