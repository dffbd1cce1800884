//! PURE. The budgets of events that a peer can cause in any number: refusals, failures, connections that come and go,
//! streams that are opened and closed at once.
//!
//! Each identity has a budget for each kind of them, each service one for its streams of each name to each device and one for
//! all of them, and an unauthenticated peer one with its source; all sources together have one too, which leaves those of
//! identities alone. What is beyond is counted, and the count is written with the next such event or after a minute. Changes of
//! identities are always written, and so is one opened stream of each name in an hour: nobody hides one among others.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::hub::event::{ACCEPTED, Event, JOINED, Omitted, Operation};
use crate::proto::id::{DeviceId, ServiceName, StreamName};
use crate::proto::network::site_prefix;
use crate::proto::refusal::RefusalKind;
use crate::proto::token_bucket::{Rate, TokenBucket};

/// The budget of one kind of events of one identity or source: 300 KB at once, and then 3 MB a day.
const PER_SUBJECT: Rate = Rate { burst: 1000, per_second: 0.1 };

/// The budget of one kind of events of the streams of one name from one service to one device: what people and most programs
/// open has a line each, and one that opens hundreds a second needs a week for the default 1 GiB.
const PER_STREAM_NAME: Rate = Rate { burst: 1000, per_second: 2.0 };

/// The budget of all events of the streams of one service: seven streams a second for ever have their three lines each, and
/// so have six thousand at once; one that opens hundreds a second to each of many devices needs two days for the default 1 GiB.
const PER_SERVICE: Rate = Rate { burst: 20_000, per_second: 20.0 };

/// The time after which the next opened stream of a service, a device and a name has a line, whatever the budgets say.
const LONGEST_SILENCE: Duration = Duration::from_secs(60 * 60);

/// The budget of all sources, whose lines push out only each other: 3 MB at once, and then 30 MB a day of the 64 MiB that
/// they have, beside the counts.
const ALL_SOURCES: Rate = Rate { burst: 10_000, per_second: 1.0 };

/// The limits on kinds of events of identities, of sources, and of streams that are told apart: two for each device of a large
/// fleet, those of an attack, and three for each of ten thousand names on devices that have streams in one minute. Further
/// ones share a budget; those of streams, one with the others of their service. Each takes some 300 bytes for a minute, or for
/// an hour if it had a line whatever the budgets said.
const MAX_IDENTITIES: usize = 32_768;
const MAX_SOURCES: usize = 4096;
const MAX_STREAM_NAMES: usize = 32_768;

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
    together: Together,
    subjects: HashMap<Key, Budget>,
}

/// The budget of several subjects together.
#[derive(Debug)]
enum Together {
    /// There is none.
    Unlimited,
    /// All of a table.
    All(TokenBucket),
    /// Those of each service. Only services in the registry have streams.
    EachService(HashMap<ServiceName, TokenBucket>),
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
    /// The streams of one name from a service to a device that accepted them.
    Streams(ServiceName, DeviceId, Option<StreamName>),
    /// The streams of a service beyond those that can be told apart.
    OtherStreams(ServiceName),
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
    written_at: Option<Instant>,
    /// The last line was written beyond the budgets.
    was_exempt: bool,
}

impl Budgets {
    /// Full budgets.
    pub(super) fn new(now: Instant) -> Self {
        let table = |limit, rate, together| Table { limit, rate, together, subjects: HashMap::new() };
        let all_sources = TokenBucket::new(ALL_SOURCES, now);
        Self {
            identities: table(MAX_IDENTITIES, PER_SUBJECT, Together::Unlimited),
            sources: table(MAX_SOURCES, PER_SUBJECT, Together::All(all_sources)),
            streams: table(MAX_STREAM_NAMES, PER_STREAM_NAME, Together::EachService(HashMap::new())),
        }
    }

    /// Returns the event if it is to be written, with the number of those before it that were not.
    pub(super) fn admit(&mut self, event: Event, subject: Subject, now: Instant) -> Option<Event> {
        let table = match subject {
            Subject::Source(_) => &mut self.sources,
            Subject::Streams(..) | Subject::OtherStreams(_) => &mut self.streams,
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
            key.subject = key.subject.beyond_limit();
        }
        let budget = self.subjects.entry(key).or_insert_with(|| Budget::full(self.rate, now));
        let is_within = budget.bucket.take(now) && self.together.take(&event, now);
        if is_within || (event.operation == Operation::StreamOpened && budget.was_silent(now)) {
            (budget.written_at, budget.was_exempt) = (Some(now), !is_within);
            return Some(Event { omitted: budget.take_count(), ..event });
        }
        budget.omitted = Some(Box::new(Event { omitted: budget.take_count(), ..event }));
        None
    }

    fn take_omitted(&mut self, limit: usize) -> Vec<Event> {
        self.subjects.values_mut().filter_map(Budget::take_omitted).take(limit).collect()
    }

    fn forget_full(&mut self, now: Instant) {
        self.subjects.retain(|_, budget| !budget.is_like_new(now));
        if let Together::EachService(services) = &mut self.together {
            services.retain(|_, bucket| !bucket.is_full(now));
        }
    }
}

impl Together {
    fn take(&mut self, event: &Event, now: Instant) -> bool {
        match (self, &event.service) {
            (Self::All(bucket), _) => bucket.take(now),
            (Self::EachService(services), Some(service)) => {
                // Most have one: the name is copied for the first event only.
                if let Some(bucket) = services.get_mut(service) {
                    return bucket.take(now);
                }
                let full = || TokenBucket::new(PER_SERVICE, now);
                services.entry(service.clone()).or_insert_with(full).take(now)
            }
            (Self::Unlimited | Self::EachService(_), _) => true,
        }
    }
}

impl Budget {
    fn full(rate: Rate, now: Instant) -> Self {
        Self { bucket: TokenBucket::new(rate, now), omitted: None, written_at: None, was_exempt: false }
    }

    /// Reports whether no line was written for long.
    fn was_silent(&self, now: Instant) -> bool {
        self.written_at.is_none_or(|at| now.saturating_duration_since(at) >= LONGEST_SILENCE)
    }

    /// Reports whether it can be forgotten. A line beyond the budgets is remembered until the next may be.
    fn is_like_new(&mut self, now: Instant) -> bool {
        self.omitted.is_none() && self.bucket.is_full(now) && (!self.was_exempt || self.was_silent(now))
    }

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
        let streams = || Some(Self::Streams(event.service.clone()?, event.device.clone()?, event.name.clone()));
        match event.operation {
            // Without the name, which may be any.
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
            Operation::HubStarted
            | Operation::HubStopped
            | Operation::Join
            | Operation::IdentityAdded
            | Operation::IdentityChanged
            | Operation::IdentityRemoved
            | Operation::EnrolmentAdded
            | Operation::EnrolmentRemoved
            | Operation::HubInvited
            | Operation::HubJoined
            | Operation::RegistryHealed
            | Operation::StreamKilled
            | Operation::ActivityLost => None,
        }
    }

    /// Returns the subject with which it shares a budget if there are too many.
    fn beyond_limit(self) -> Self {
        match self {
            Self::Streams(service, ..) | Self::OtherStreams(service) => Self::OtherStreams(service),
            Self::Device(_) | Self::Service(_) | Self::Source(_) | Self::Others => Self::Others,
        }
    }
}

#[cfg(test)]
mod tests;
