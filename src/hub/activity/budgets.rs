//! PURE. The budgets of events that a peer can cause in any number: refusals, failures, connections that come and go,
//! streams that are opened and closed at once.
//!
//! Each identity has a budget for each kind of them, each service one for its streams to each device, and an unauthenticated
//! peer one with its source; all sources together have one too, which leaves those of identities alone. What is beyond is
//! counted, and the count is written with the next such event or after a minute. Changes of identities are always written.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::hub::event::{ACCEPTED, Event, JOINED, Omitted, Operation};
use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::network::site_prefix;
use crate::proto::refusal::RefusalKind;
use crate::proto::token_bucket::{Rate, TokenBucket};

/// The budget of one kind of events of one identity or source: 300 KB at once, and then 3 MB a day.
const PER_SUBJECT: Rate = Rate { burst: 1000, per_second: 0.1 };

/// The budget of one kind of events of the streams of one service to one device: what people and most programs open has a
/// line each, and one that opens hundreds a second needs a week for the default 1 GiB.
const PER_PAIR: Rate = Rate { burst: 1000, per_second: 2.0 };

/// The budget of all sources, whose lines push out only each other: 3 MB at once, and then 30 MB a day of the 64 MiB that
/// they have, beside the counts.
const ALL_SOURCES: Rate = Rate { burst: 10_000, per_second: 1.0 };

/// The limits on kinds of events of identities, of sources, and of services with devices, that are told apart: two for each
/// device of a large fleet, those of an attack, and three for each of ten thousand pairs that have streams in one minute. Further ones share a budget. Each takes some 200 bytes for a minute.
const MAX_IDENTITIES: usize = 32_768;
const MAX_SOURCES: usize = 4096;
const MAX_PAIRS: usize = 32_768;

/// The counts that are written each minute, whatever the budgets say.
const COUNTS_AT_ONCE: usize = 100;

/// The budgets, and the events beyond them.
#[derive(Debug)]
pub(super) struct Budgets {
    identities: Table,
    sources: Table,
    streams: Table,
}

/// The budgets of identities, of sources, or of streams.
#[derive(Debug)]
struct Table {
    limit: usize,
    rate: Rate,
    together: Option<TokenBucket>,
    subjects: HashMap<Key, Budget>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    operation: Operation,
    result: &'static str,
    subject: Subject,
}

/// The one who caused an event, as far as it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    /// A device.
    Device(DeviceId),
    /// A service.
    Service(ServiceName),
    /// The streams of a service to a device.
    Streams(ServiceName, DeviceId),
    /// An unauthenticated peer, by its site: an IPv6 /48 would be as many as there are budgets.
    Source(IpAddr),
    /// There are too many to be told apart.
    Others,
}

#[derive(Debug)]
struct Budget {
    bucket: TokenBucket,
    /// The latest of the events since the last one that was written, with the others.
    omitted: Option<Box<Event>>,
}

impl Budgets {
    /// Full budgets.
    pub(super) fn new(now: Instant) -> Self {
        let table = |limit, rate, together| Table { limit, rate, together, subjects: HashMap::new() };
        let all_sources = TokenBucket::new(ALL_SOURCES, now);
        Self {
            identities: table(MAX_IDENTITIES, PER_SUBJECT, None),
            sources: table(MAX_SOURCES, PER_SUBJECT, Some(all_sources)),
            streams: table(MAX_PAIRS, PER_PAIR, None),
        }
    }

    /// Returns the event if it is to be written, with the number of those before it that were not.
    pub(super) fn admit(&mut self, event: Event, subject: Subject, now: Instant) -> Option<Event> {
        let table = match subject {
            Subject::Source(_) => &mut self.sources,
            Subject::Streams(..) => &mut self.streams,
            Subject::Device(_) | Subject::Service(_) | Subject::Others => &mut self.identities,
        };
        table.admit(event, subject, now)
    }

    /// Returns the latest event of each kind that was not written, with the number of those before it: at most
    /// [`COUNTS_AT_ONCE`] of identities, of sources, and of streams. Forgets budgets that are full again.
    pub(super) fn take_omitted(&mut self, now: Instant) -> Vec<Event> {
        let tables = self.tables().into_iter();
        tables
            .flat_map(|table| {
                let omitted = table.take_omitted(COUNTS_AT_ONCE);
                table.forget_full(now);
                omitted
            })
            .collect()
    }

    /// Returns all that [`Self::take_omitted`] would in time.
    pub(super) fn take_all_omitted(&mut self) -> Vec<Event> {
        self.tables().into_iter().flat_map(|table| table.take_omitted(usize::MAX)).collect()
    }

    fn tables(&mut self) -> [&mut Table; 3] {
        [&mut self.identities, &mut self.sources, &mut self.streams]
    }
}

impl Table {
    fn admit(&mut self, event: Event, subject: Subject, now: Instant) -> Option<Event> {
        let mut key = Key { operation: event.operation, result: event.result, subject };
        if self.subjects.len() >= self.limit && !self.subjects.contains_key(&key) {
            key.subject = Subject::Others;
        }
        let full = || Budget { bucket: TokenBucket::new(self.rate, now), omitted: None };
        let budget = self.subjects.entry(key).or_insert_with(full);
        if budget.bucket.take(now) && self.together.as_mut().is_none_or(|together| together.take(now)) {
            return Some(Event { omitted: budget.take_count(), ..event });
        }
        budget.omitted = Some(Box::new(Event { omitted: budget.take_count(), ..event }));
        None
    }

    fn take_omitted(&mut self, limit: usize) -> Vec<Event> {
        self.subjects.values_mut().filter_map(Budget::take_omitted).take(limit).collect()
    }

    fn forget_full(&mut self, now: Instant) {
        self.subjects.retain(|_, budget| budget.omitted.is_some() || !budget.bucket.is_full(now));
    }
}

impl Budget {
    fn take_omitted(&mut self) -> Option<Event> {
        self.omitted.take().map(|event| *event)
    }

    /// Takes the events that were not written as their number.
    fn take_count(&mut self) -> Option<Omitted> {
        let latest = self.omitted.take()?;
        let mut omitted = Omitted::default();
        omitted.add(&latest);
        Some(omitted)
    }
}

impl Subject {
    /// Returns the one who caused an event of which any number may come; `None` for all other events.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let source = || event.source.map(|source| Self::Source(site_prefix(source.ip())));
        let device = || event.device.clone().map(Self::Device);
        let service = || event.service.clone().map(Self::Service);
        let streams = || Some(Self::Streams(event.service.clone()?, event.device.clone()?));
        match event.operation {
            Operation::Invoke if event.result != ACCEPTED => service(),
            Operation::Join if event.result != JOINED => source(),
            // The identity is what the peer says it is.
            Operation::Authenticate if event.result == RefusalKind::AuthenticationFailed.row().label => source(),
            Operation::Authenticate => device().or_else(service),
            Operation::SourcePenalised => source(),
            Operation::DeviceConnected | Operation::DeviceDisconnected | Operation::DeviceDisplaced => device(),
            Operation::Invoke
            | Operation::StreamOpened
            | Operation::StreamInterrupted
            | Operation::StreamResumed
            | Operation::StreamClosed => streams(),
            // Nobody changes identities but who may.
            Operation::Join
            | Operation::IdentityAdded
            | Operation::IdentityChanged
            | Operation::IdentityRemoved
            | Operation::EnrolmentAdded
            | Operation::EnrolmentRemoved
            | Operation::StreamKilled
            | Operation::ActivityLost => None,
        }
    }
}

#[cfg(test)]
mod tests {
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
            let written =
                (0..5000).filter_map(|_| admit(&mut budgets, of_stream("pi-1", operation, None), start)).count();
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
}
