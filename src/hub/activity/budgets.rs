//! PURE. The budgets of events that a peer can cause in any number: refusals, failures, connections that come and go.
//!
//! Each identity has a budget for each kind of them, and an unauthenticated peer one with its source; all sources together
//! have one too, which leaves those of identities alone. What is beyond is counted, and the count is written with the next
//! such event or after a minute. Streams and changes of identities are always written.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::hub::event::{ACCEPTED, Event, JOINED, Operation};
use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::network::source_prefix;
use crate::proto::refusal::RefusalKind;
use crate::proto::token_bucket::{Rate, TokenBucket};

/// The budget of one kind of events of one identity or source: 300 KB at once, and then 3 MB a day.
const PER_SUBJECT: Rate = Rate { burst: 1000, per_second: 0.1 };

/// The budget of all sources: 3 MB at once, and then half of the default 1 GiB in a day and a half.
const ALL_SOURCES: Rate = Rate { burst: 10_000, per_second: 10.0 };

/// The limits on kinds of events of identities, and of sources, that are told apart: two for each device of a large fleet,
/// and those of an attack. Further ones share a budget. Each takes some 200 bytes for a minute.
const MAX_IDENTITIES: usize = 32_768;
const MAX_SOURCES: usize = 4096;

/// The counts that are written each minute, whatever the budgets say.
const COUNTS_AT_ONCE: usize = 100;

/// The budgets, and the events beyond them.
#[derive(Debug)]
pub(super) struct Budgets {
    identities: Table,
    sources: Table,
}

/// The budgets of identities, or of sources.
#[derive(Debug)]
struct Table {
    limit: usize,
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
    /// An unauthenticated peer, by its address or its /64.
    Source(IpAddr),
    /// There are too many to be told apart.
    Others,
}

#[derive(Debug)]
struct Budget {
    bucket: TokenBucket,
    /// The number of events since the last one that was written, and the latest of them.
    omitted: Option<Box<(u64, Event)>>,
}

impl Budgets {
    /// Full budgets.
    pub(super) fn new(now: Instant) -> Self {
        let table = |limit, together| Table { limit, together, subjects: HashMap::new() };
        let all_sources = TokenBucket::new(ALL_SOURCES, now);
        Self { identities: table(MAX_IDENTITIES, None), sources: table(MAX_SOURCES, Some(all_sources)) }
    }

    /// Returns the event if it is to be written, with the number of those before it that were not.
    pub(super) fn admit(&mut self, event: Event, subject: Subject, now: Instant) -> Option<Event> {
        let table = match subject {
            Subject::Source(_) => &mut self.sources,
            Subject::Device(_) | Subject::Service(_) | Subject::Others => &mut self.identities,
        };
        table.admit(event, subject, now)
    }

    /// Returns the latest event of each kind that was not written, with the number of those before it: at most
    /// [`COUNTS_AT_ONCE`] of identities, and of sources. Forgets budgets that are full again.
    pub(super) fn take_omitted(&mut self, now: Instant) -> Vec<Event> {
        let mut omitted = self.identities.take_omitted(COUNTS_AT_ONCE);
        omitted.extend(self.sources.take_omitted(COUNTS_AT_ONCE));
        self.identities.forget_full(now);
        self.sources.forget_full(now);
        omitted
    }

    /// Returns all that [`Self::take_omitted`] would in time.
    pub(super) fn take_all_omitted(&mut self) -> Vec<Event> {
        let mut omitted = self.identities.take_omitted(usize::MAX);
        omitted.extend(self.sources.take_omitted(usize::MAX));
        omitted
    }
}

impl Table {
    fn admit(&mut self, event: Event, subject: Subject, now: Instant) -> Option<Event> {
        let mut key = Key { operation: event.operation, result: event.result, subject };
        if self.subjects.len() >= self.limit && !self.subjects.contains_key(&key) {
            key.subject = Subject::Others;
        }
        let full = || Budget { bucket: TokenBucket::new(PER_SUBJECT, now), omitted: None };
        let budget = self.subjects.entry(key).or_insert_with(full);
        if budget.bucket.take(now) && self.together.as_mut().is_none_or(|together| together.take(now)) {
            let omitted = budget.omitted.take().map(|omitted| omitted.0);
            return Some(Event { omitted, ..event });
        }
        let count = budget.omitted.as_ref().map_or(0, |omitted| omitted.0);
        budget.omitted = Some(Box::new((count + 1, event)));
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
        let (count, event) = *self.omitted.take()?;
        Some(Event { omitted: Some(count - 1).filter(|others| *others > 0), ..event })
    }
}

impl Subject {
    /// Returns the one who caused an event of which any number may come; `None` for all other events.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let source = || event.source.map(|source| Self::Source(source_prefix(source.ip())));
        let device = || event.device.clone().map(Self::Device);
        let service = || event.service.clone().map(Self::Service);
        match event.operation {
            Operation::Invoke if event.result != ACCEPTED => service(),
            Operation::Join if event.result != JOINED => source(),
            // The identity is what the peer says it is.
            Operation::Authenticate if event.result == RefusalKind::AuthenticationFailed.row().label => source(),
            Operation::Authenticate => device().or_else(service),
            Operation::SourcePenalised => source(),
            Operation::DeviceConnected | Operation::DeviceDisconnected | Operation::DeviceDisplaced => device(),
            // Streams are what the log is for, and nobody changes identities but who may.
            Operation::Invoke
            | Operation::StreamOpened
            | Operation::StreamInterrupted
            | Operation::StreamResumed
            | Operation::StreamClosed
            | Operation::Join
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
        assert_eq!(next, Event { omitted: Some(49_000), ..refused("attacker", 7) });
        assert_eq!(budgets.take_omitted(later), []);
        assert_eq!(admit(&mut budgets, refused("attacker", 8), later), None);
        assert_eq!(admit(&mut budgets, refused("attacker", 9), later), None);
        assert_eq!(budgets.take_omitted(later), [Event { omitted: Some(1), ..refused("attacker", 9) }]);
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
        let left_out: u64 = omitted.iter().map(|event| event.omitted.unwrap_or_default() + 1).sum();
        assert_eq!(left_out, 140_000 - 10_000);
        assert_eq!(budgets.take_omitted(start + Duration::from_secs(100_000)), []);
        assert_eq!(budgets.sources.subjects.len(), 0);
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

    #[test]
    fn streams_and_changes_of_identities_have_no_budget() {
        for (operation, result) in [
            (Operation::StreamOpened, "opened"),
            (Operation::StreamClosed, "closed"),
            (Operation::Invoke, ACCEPTED),
            (Operation::Join, JOINED),
            (Operation::IdentityAdded, "added"),
        ] {
            let event = Event { service: Some("laptop".parse().unwrap()), ..Event::new(operation, result) };
            assert_eq!(Subject::of(&event), None);
        }
    }
}
