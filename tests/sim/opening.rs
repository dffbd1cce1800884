//! The opening of a stream on a virtual clock, with a connection cut at every message: a service with or without early
//! data, on a standby or by HTTP; a device on a standby or on its control connection; the hub's broker between them,
//! and the agent's rule for repeated requests. The target speaks first and echoes.
//!
//! An open succeeds, unless its early data may have been delivered; whatever happens, no byte of the application is
//! delivered twice.

mod cases;
mod device;
mod ends;
mod hub;
mod service;

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use devstream::agent::recent_requests::RecentRequests;
use devstream::hub::broker::{Broker, DeviceRequest, Grant, LegCredential, Settings};
use devstream::proto::id::{ConnectionId, Role, StreamId};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::ResumeTicket;
use devstream::proto::stream::StreamControl;

use self::cases::{Case, Cut, Report, Scope, Tally};
use self::device::{DeviceUse, Serving};
use self::ends::End;
use self::hub::{HubDevice, HubUse};
use self::service::{Outcome, Service, ServiceUse};
use super::Seed;
use super::world::{HUB, mix, random};

/// Sent by the target as soon as it is connected.
const GREETING: &[u8] = b"hi";

/// Sent by the application: the first half early, if it speaks first.
const WORDS: &[u8] = b"helloworld";
const EARLY: usize = 5;

/// The response timeout, within which a stream is opened and the bytes are exchanged.
const LIMIT: Duration = Duration::from_secs(60);

/// The connect timeout of a service that waits for an offline device.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time after an outcome in which nothing more may be delivered.
const AFTERWARDS: Duration = Duration::from_secs(130);

/// Runs with random cuts.
const SEEDS: u64 = 20_000;

#[test]
fn an_open_survives_a_cut_at_any_message_unless_its_first_bytes_may_have_been_delivered() {
    let mut tally = Tally::default();
    for (index, case) in Case::all().into_iter().enumerate() {
        for (scope, delivered, seed) in Scope::all().flat_map(|scope| (0..8).map(move |n| (scope, n % 2 == 0, n / 2))) {
            for message in 1.. {
                let cut = Cut { message, delivered, scope };
                let result = Opening::new(case, mix(seed + 100 * index as u64), vec![cut]).run();
                tally.add(&result);
                if !result.was_cut {
                    assert!(message > 6, "too few messages open a stream: {case:?}");
                    break;
                }
            }
        }
    }
    tally.assert_enough(2_000);
}

#[test]
fn opens_survive_several_cuts_over_twenty_thousand_seeds() {
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let _seed = Seed(seed);
        let mut rng = mix(seed);
        let mut random_below = |sides: u64| {
            rng = mix(rng.wrapping_add(0x9e37_79b9_7f4a_7c15));
            rng % sides
        };
        let cases = Case::all();
        let case = cases[random_below(cases.len() as u64) as usize];
        let scopes: Vec<_> = Scope::all().collect();
        let mut message = 0;
        let cuts = (0..2 + random_below(2)).map(|_| {
            message += 1 + random_below(9);
            Cut { message, delivered: random_below(2) == 0, scope: scopes[random_below(scopes.len() as u64) as usize] }
        });
        tally.add(&Opening::new(case, seed, cuts.collect()).run());
    }
    tally.assert_enough(15_000);
}

/// A message between an end and the hub.
#[derive(Debug, Clone)]
enum Message {
    /// The first message on a control connection, and on a device's standby.
    Hello(u64),
    StandBy(u64),
    /// A request for a stream on a standby, and by HTTP.
    Open(StreamId, Bytes),
    Request(Option<StreamId>),
    Granted(Box<Grant>),
    Opened(StreamId, Option<ResumeTicket>),
    /// The hub's refusal of a request, or of an upgrade.
    Refused(RefusalKind),
    StreamRequest(Box<DeviceRequest>),
    Cancel(StreamId),
    Response(StreamId, bool),
    /// The request to upgrade a leg.
    Attach(StreamId, Box<LegCredential>),
    Upgraded(Option<ResumeTicket>),
    Bytes(Bytes),
    Text(StreamControl),
    Close(u16, String),
}

#[derive(Debug)]
enum Event {
    /// A message arrives at the hub or at an end, and its connection is cut after it.
    Arrives {
        link: usize,
        to_hub: bool,
        message: Message,
        cut: Option<Scope>,
    },
    HubNotices(usize),
    EndNotices(usize),
    HubPolls,
    /// The hub attaches a service's standby as its leg.
    HubAttaches(usize, Box<Grant>),
    AgentConnects(u64),
    TargetConnected(usize),
    /// An end returns with its ticket, or tries its token again.
    Dials(usize),
    ServiceRequests,
}

/// A connection between an end and the hub.
struct Link {
    role: Role,
    up: bool,
    hub_notices: bool,
    end_notices: bool,
    latency: Duration,
    /// The latest arrival at the end and at the hub: messages keep their order.
    last: [Instant; 2],
    at_hub: HubUse,
    at_device: DeviceUse,
    at_service: ServiceUse,
}

struct Opening {
    case: Case,
    cuts: Vec<Cut>,
    was_cut: bool,
    rng: u64,
    start: Instant,
    now: Instant,
    order: u64,
    events: BTreeMap<(Instant, u64), Event>,
    messages: u64,
    links: Vec<Link>,
    broker: Broker,
    next_connection: u64,
    devices: HashMap<ConnectionId, HubDevice>,
    requesters: HashMap<ConnectionId, usize>,
    legs: HashMap<ConnectionId, usize>,
    joined: bool,
    /// The device was offline when it was asked for.
    was_offline: bool,
    /// The run of the agent that early data was sent to, with the request.
    early_sent_to: Option<u64>,
    /// Bytes that the hub had held back were sent to a joined device.
    early_relayed: bool,
    run: u64,
    recent_requests: RecentRequests,
    serving: Vec<Serving>,
    ends: Vec<End>,
    /// The bytes that arrived at each connection to the target.
    targets: Vec<Vec<u8>>,
    service: Service,
}

impl Opening {
    fn new(case: Case, seed: u64, cuts: Vec<Cut>) -> Self {
        let start = tokio::time::Instant::now().into_std();
        Self {
            case,
            cuts,
            was_cut: false,
            rng: mix(seed),
            start,
            now: start,
            order: 0,
            events: BTreeMap::new(),
            messages: 0,
            links: Vec::new(),
            broker: Broker::new(Settings::default(), HUB, random(seed)),
            next_connection: 1000,
            devices: HashMap::new(),
            requesters: HashMap::new(),
            legs: HashMap::new(),
            joined: false,
            was_offline: false,
            early_sent_to: None,
            early_relayed: false,
            run: 1,
            recent_requests: RecentRequests::default(),
            serving: Vec::new(),
            ends: Vec::new(),
            targets: Vec::new(),
            service: Service::default(),
        }
    }

    fn run(mut self) -> Report {
        // Both ends are connected when the open begins.
        let cuts = std::mem::take(&mut self.cuts);
        self.agent_connects(1);
        self.service_connects();
        while let Some(entry) = self.events.pop_first() {
            self.one_event(entry);
        }
        (self.cuts, self.messages) = (cuts, 0);
        (self.start, self.service.deadline) = (self.now, self.now + LIMIT);
        self.service_opens();
        while self.service.outcome.is_none() {
            let entry = self.events.pop_first().unwrap_or_else(|| panic!("nothing left: {}", self.describe()));
            assert!(entry.0.0 <= self.start + LIMIT, "not open in time: {}", self.describe());
            self.one_event(entry);
        }
        self.check_outcome();
        let until = self.now + AFTERWARDS;
        while self.events.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            let entry = self.events.pop_first().unwrap();
            self.one_event(entry);
        }
        self.check_delivered();
        Report { outcome: self.service.outcome.unwrap(), was_cut: self.was_cut }
    }

    fn one_event(&mut self, ((at, _), event): ((Instant, u64), Event)) {
        self.now = at;
        match event {
            Event::Arrives { link, to_hub, message, cut } => self.arrives(link, to_hub, message, cut),
            Event::HubNotices(link) => self.hub_notices(link),
            Event::EndNotices(link) => self.end_notices(link),
            Event::HubPolls => self.broker.handle_timeout(at),
            Event::HubAttaches(link, grant) => self.hub_attaches(link, *grant),
            Event::AgentConnects(run) => self.agent_connects(run),
            Event::TargetConnected(serving) => self.target_connected(serving),
            Event::Dials(end) => self.dials(end),
            Event::ServiceRequests => self.service_requests(),
        }
        self.process_outputs();
    }

    /// Refused only if bytes may have been delivered; broken only after the stream was open.
    fn check_outcome(&self) {
        let delivered = self.targets.iter().any(|received| !received.is_empty());
        match self.service.outcome {
            Some(Outcome::Refused(RefusalKind::DeviceOffline)) if self.was_offline && !self.case.waits => {}
            Some(Outcome::Refused(kind)) => {
                // Nobody knows what an agent has done that is gone.
                let is_gone = self.early_sent_to.is_some_and(|run| run != self.run);
                let may_be = delivered || is_gone || self.early_relayed;
                assert!(may_be, "refused as {kind:?}, and nothing can have been delivered: {}", self.describe());
            }
            Some(Outcome::Broken) => {
                let was_open = !self.case.resumes && (self.joined || self.service.lost_leg);
                let agent_died = self.run > 1 && self.joined;
                assert!(was_open || agent_died, "broken before it was open: {}", self.describe());
            }
            Some(Outcome::Succeeded) | None => {}
        }
    }

    fn check_delivered(&self) {
        let delivered: Vec<_> = self.targets.iter().filter(|received| !received.is_empty()).collect();
        assert!(delivered.len() <= 1, "bytes were delivered twice: {}", self.describe());
        for received in delivered {
            assert!(WORDS.starts_with(received), "other bytes were delivered: {}", self.describe());
        }
    }

    fn describe(&self) -> String {
        let targets: Vec<_> = self.targets.iter().map(|received| String::from_utf8_lossy(received)).collect();
        let took = self.now - self.start;
        format!("{:?} {:?} after {took:?} and {} messages, targets {targets:?}", self.case, self.cuts, self.messages)
    }

    fn connect(&mut self, role: Role) -> usize {
        let latency = Duration::from_millis(1 + self.random_below(30));
        self.links.push(Link {
            role,
            up: true,
            hub_notices: false,
            end_notices: false,
            latency,
            last: [self.now; 2],
            at_hub: HubUse::New,
            at_device: DeviceUse::None,
            at_service: ServiceUse::None,
        });
        self.links.len() - 1
    }

    fn send(&mut self, link: usize, to_hub: bool, message: Message) {
        if !self.links[link].up {
            return;
        }
        self.messages += 1;
        let cut = self.cuts.iter().find(|cut| cut.message == self.messages).copied();
        if let Some(cut) = cut.filter(|cut| !cut.delivered) {
            self.cut(link, cut.scope);
        }
        if !self.links[link].up {
            return;
        }
        let Link { latency, last, .. } = &mut self.links[link];
        let last = &mut last[usize::from(to_hub)];
        *last = (*last).max(self.now + *latency);
        let at = *last;
        self.at(
            at,
            Event::Arrives { link, to_hub, message, cut: cut.filter(|cut| cut.delivered).map(|cut| cut.scope) },
        );
    }

    fn arrives(&mut self, link: usize, to_hub: bool, message: Message, cut: Option<Scope>) {
        if !self.links[link].up {
            return;
        }
        match (to_hub, self.links[link].role) {
            (true, _) => self.at_hub(link, message),
            (false, Role::Device) => self.at_device(link, message),
            (false, Role::Service) => self.at_service(link, message),
        }
        if let Some(scope) = cut {
            self.process_outputs();
            self.cut(link, scope);
        }
    }

    /// Cuts connections. Each end of them notices at a time of its own.
    fn cut(&mut self, link: usize, scope: Scope) {
        self.was_cut = true;
        let side = if scope == Scope::Agent { Role::Device } else { self.links[link].role };
        for other in 0..self.links.len() {
            let within = other == link && scope == Scope::Connection
                || self.links[other].role == side && scope != Scope::Connection;
            if within && self.links[other].up {
                self.links[other].up = false;
                let (hub, end) = (self.up_to(40), self.up_to(40));
                self.after(hub, Event::HubNotices(other));
                self.after(end, Event::EndNotices(other));
            }
        }
        if scope == Scope::Agent {
            self.agent_dies();
        }
    }

    fn end_notices(&mut self, link: usize) {
        self.links[link].end_notices = true;
        match self.links[link].role {
            Role::Device => self.device_loses(link),
            Role::Service => self.service_loses(link),
        }
    }

    fn at(&mut self, at: Instant, event: Event) {
        self.order += 1;
        self.events.insert((at, self.order), event);
    }

    fn after(&mut self, pause: Duration, event: Event) {
        self.at(self.now + pause, event);
    }

    fn connection(&mut self) -> ConnectionId {
        self.next_connection += 1;
        ConnectionId(self.next_connection)
    }

    fn up_to(&mut self, millis: u64) -> Duration {
        Duration::from_millis(self.random_below(millis))
    }

    fn random_below(&mut self, sides: u64) -> u64 {
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.rng) % sides
    }
}
