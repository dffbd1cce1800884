//! The world around the broker: devices and services that do anything they like, and what must hold whatever they do.

#[path = "returns.rs"]
mod returns;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use devstream::hub::broker::{
    Admission, Broker, DeviceRequest, Event, Grant, Input, LegAttach, LegCredential, LegExit, OpenRequest, Output,
    Settings,
};
use devstream::proto::http::Bridge;
use devstream::proto::id::{ConnectionId, DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::{Refusal, RefusalKind};
use devstream::proto::scope::Scope;
use devstream::proto::secret::StreamToken;
use devstream::proto::stream::StreamProtocol;

use self::returns::{Pass, Return};

/// An answer may be late by no more than the step of the clock.
const TICK: Duration = Duration::from_secs(2);

/// A request that waits for its answer.
struct Request {
    ask: OpenRequest,
    answer_by: Instant,
    /// It was made before, and its stream is there.
    repeated: bool,
}

/// A token that was given out.
#[derive(Clone)]
struct Ticket {
    stream: StreamId,
    device: DeviceId,
    principal: Principal,
    token: StreamToken,
    given: Instant,
}

pub(crate) struct World {
    dice: u64,
    /// What the dice show first.
    script: VecDeque<u8>,
    pub(crate) now: Instant,
    pub(crate) broker: Broker,
    settings: Settings,
    next: u64,
    devices: HashMap<ConnectionId, DeviceId>,
    asks: Vec<(ConnectionId, DeviceRequest)>,
    requests: HashMap<ConnectionId, Request>,
    answered: HashSet<ConnectionId>,
    tickets: Vec<Ticket>,
    spent: Vec<StreamToken>,
    knocking: HashMap<ConnectionId, Ticket>,
    inside: HashMap<ConnectionId, (StreamId, Role)>,
    accepted: HashSet<StreamId>,
    pub(crate) joined: HashSet<StreamId>,
    /// How often a stream was joined again.
    pub(crate) rejoined: usize,
    /// Joined streams, by the service's side.
    open: HashMap<ConnectionId, StreamId>,
    /// What was joined, and which of its sides, by the service's, were told to end.
    opened: HashMap<StreamId, Event>,
    ending: HashMap<ConnectionId, RefusalKind>,
    /// What sides may come back with; those of earlier runs of the hub too.
    passes: Vec<Pass>,
    returning: HashMap<ConnectionId, Return>,
    /// The side that came last, for each role.
    last: HashMap<(StreamId, Role), ConnectionId>,
    /// What this run of the hub must never join again: it is over, or was told to be.
    over: HashSet<StreamId>,
    /// What one side left with all of it, while it was the stream's.
    ended_well: HashSet<StreamId>,
    interrupted: HashMap<StreamId, Instant>,
    /// Runs of the hub, when this one began, and whether it is about to end.
    run: u64,
    began: Instant,
    draining: bool,
    /// Each device's agent.
    agents: HashMap<DeviceId, u64>,
    /// What each service may reach, and until when, where that is not everything.
    scopes: HashMap<ServiceName, (Scope, Option<Instant>)>,
    /// The newest connection of each device.
    current: HashMap<DeviceId, ConnectionId>,
    /// Of which run of an agent a connection is, and which run was asked with early bytes.
    runs: HashMap<ConnectionId, u64>,
    early_at: HashMap<StreamId, (DeviceId, u64)>,
    /// Requests that were repeated.
    pub(crate) repeated: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let settings = Settings { handshake: Duration::from_secs(60), ..Settings::default() };
        let now = tokio::time::Instant::now().into_std();
        Self {
            dice: seed,
            script: VecDeque::new(),
            now,
            broker: Broker::new(settings, random(seed)),
            settings,
            next: 1,
            devices: HashMap::new(),
            asks: Vec::new(),
            requests: HashMap::new(),
            answered: HashSet::new(),
            tickets: Vec::new(),
            spent: Vec::new(),
            knocking: HashMap::new(),
            inside: HashMap::new(),
            accepted: HashSet::new(),
            joined: HashSet::new(),
            rejoined: 0,
            open: HashMap::new(),
            opened: HashMap::new(),
            ending: HashMap::new(),
            passes: Vec::new(),
            returning: HashMap::new(),
            ended_well: HashSet::new(),
            last: HashMap::new(),
            over: HashSet::new(),
            interrupted: HashMap::new(),
            run: 0,
            began: now,
            draining: false,
            agents: HashMap::new(),
            scopes: HashMap::new(),
            current: HashMap::new(),
            runs: HashMap::new(),
            early_at: HashMap::new(),
            repeated: 0,
        }
    }

    /// A run that these bytes decide.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub(crate) fn scripted(bytes: &[u8]) -> Self {
        Self { script: bytes.iter().copied().collect(), ..Self::new(0) }
    }

    /// Whether the script goes on.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub(crate) fn has_script(&self) -> bool {
        !self.script.is_empty()
    }

    /// One random thing happens, then all that follows from it.
    pub(crate) fn step(&mut self) {
        match self.roll(100) {
            0..12 => self.device_arrives(),
            12..16 => self.device_leaves(),
            16..33 => self.service_asks(),
            33..35 => self.service_hangs_up(),
            35..52 => self.device_answers(),
            52..68 => self.side_arrives(),
            68..78 => self.side_returns(),
            78..81 => self.both_return(),
            81..84 => self.side_leaves(),
            84..89 => self.stream_ends(),
            89 => self.revoke(),
            90..92 => self.rescope(),
            92 => self.kill(),
            93 if self.roll(3) == 0 => self.hub_starts_anew(),
            94 if self.roll(40) == 0 => self.drain(),
            95 | 96 => self.a_stream_opens(),
            _ => self.time_passes(),
        }
        self.carry_out();
        self.check();
    }

    fn roll(&mut self, sides: u64) -> u64 {
        if let Some(byte) = self.script.pop_front() {
            self.dice = byte.into();
            return self.dice % sides;
        }
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.dice) % sides
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() {
            return None;
        }
        let index = self.roll(items.len() as u64);
        items.get(usize::try_from(index).unwrap()).cloned()
    }

    /// The same order in every run, which a hash map's is not.
    fn pick_key<V>(&mut self, items: &HashMap<ConnectionId, V>) -> Option<ConnectionId> {
        let mut keys: Vec<_> = items.keys().copied().collect();
        keys.sort_unstable();
        self.pick(&keys)
    }

    pub(crate) fn connection(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    /// With one forward.
    pub(crate) fn some_device_arrives(&mut self) -> DeviceId {
        let (connection, device) = (self.connection(), self.any_device());
        let hello = Hello {
            version: "1".into(),
            run: 1,
            protocols: Vec::new(),
            forwards: vec![name("ssh")],
            accepts_any_name: false,
            reusable: false,
        };
        let arrived = Input::DeviceConnected { device: device.clone(), connection, hello, address: address() };
        self.broker.handle(arrived, self.now);
        device
    }

    fn device_arrives(&mut self) {
        let (connection, device) = (self.connection(), self.any_device());
        let protocols = self.any_protocols().iter().map(|protocol| protocol.as_str().to_owned()).collect();
        let forwards = vec![name("ssh"), name("web")];
        let started_anew = self.roll(6) == 0;
        let run = self.agents.entry(device.clone()).or_default();
        *run += u64::from(started_anew);
        let hello =
            Hello { version: "1".into(), run: *run, protocols, forwards, accepts_any_name: false, reusable: false };
        self.says_hello(connection, device, hello);
    }

    fn says_hello(&mut self, connection: ConnectionId, device: DeviceId, hello: Hello) {
        self.devices.insert(connection, device.clone());
        self.runs.insert(connection, hello.run);
        self.current.insert(device.clone(), connection);
        self.broker.handle(Input::DeviceConnected { device, connection, hello, address: address() }, self.now);
    }

    fn device_leaves(&mut self) {
        let devices = std::mem::take(&mut self.devices);
        if let Some(connection) = self.pick_key(&devices) {
            self.devices = devices;
            let device = self.devices.remove(&connection).unwrap();
            self.current.retain(|_, newest| *newest != connection);
            self.broker.handle(Input::DeviceDisconnected { device, connection, reason: String::new() }, self.now);
        }
    }

    fn service_asks(&mut self) {
        let requester = self.connection();
        let wanted = match self.roll(4) {
            0 => None,
            1 => Some(name("nothing")),
            2 => Some(name("web")),
            _ => Some(name("ssh")),
        };
        let (device, service) = (self.any_device(), service(self.dice % 3));
        let (scope, until) = self.scopes.get(&service).cloned().unwrap_or((Scope::everything(), None));
        if !scope.covers_device(&device) {
            // It is not authorised, and the broker does not hear of it.
            return;
        }
        let there: Vec<_> =
            if self.roll(5) == 0 { self.broker.all_streams().map(|(id, ..)| id).collect() } else { Vec::new() };
        let stream = self.pick_id(there);
        let ask = OpenRequest {
            device,
            name: wanted,
            scope,
            until,
            service,
            source: address(),
            connect_timeout: Duration::from_secs(self.roll(3) * 20),
            response_timeout: Duration::from_secs(5 + self.roll(3) * 30),
            protocols: self.any_protocols(),
            stream,
            reusable: self.roll(2) == 0,
            standby: self.roll(2) == 0,
            early: bytes::Bytes::from_static(if self.roll(2) == 0 { b"early" } else { b"" }),
        };
        // A device that comes and goes may be asked anew for as long as the service waits for it.
        let answer_by = self.now + ask.connect_timeout + self.settings.handshake + TICK;
        let repeated = ask.stream.is_some();
        self.requests.insert(requester, Request { ask: ask.clone(), answer_by, repeated });
        self.broker.handle(Input::OpenRequested { requester, request: ask.clone() }, self.now);
        if let Some(id) = stream {
            self.asked_again(id, &ask);
        }
    }

    /// Who repeats a request ends what has become of it; a late first one, or somebody else's, ends nothing.
    fn asked_again(&mut self, id: StreamId, ask: &OpenRequest) {
        self.repeated += 1;
        let theirs = |service: &ServiceName| *service == ask.service && !ask.standby;
        match self
            .broker
            .all_streams()
            .find(|(other, ..)| *other == id)
            .map(|(_, earlier, ..)| theirs(&earlier.service))
        {
            Some(true) => _ = self.over.insert(id),
            Some(false) => {}
            None => assert!(!ask.standby, "a late request ended its stream"),
        }
    }

    fn pick_id(&mut self, mut ids: Vec<StreamId>) -> Option<StreamId> {
        ids.sort_unstable();
        self.pick(&ids)
    }

    fn service_hangs_up(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        let gone = self.pick_key(&requests);
        self.requests = requests;
        if let Some(requester) = gone {
            self.requests.remove(&requester);
            self.answered.insert(requester);
            self.broker.handle(Input::RequesterLeft { requester }, self.now);
        }
    }

    /// Mostly the right device in good time; sometimes another connection, or the same answer again.
    fn device_answers(&mut self) {
        let asks = std::mem::take(&mut self.asks);
        let chosen = self.pick(&asks);
        self.asks = asks;
        let Some((mut connection, ask)) = chosen else { return };
        if self.roll(10) == 0 {
            connection = self.connection();
        } else if self.roll(4) > 0 {
            self.asks.retain(|(_, other)| other.stream != ask.stream);
        }
        let accepted = self.roll(5) > 0;
        let kinds = [RefusalKind::TargetRefused, RefusalKind::AuthenticationFailed];
        let reason = if accepted { None } else { self.pick(&kinds).map(Refusal::from) };
        let response = StreamResponse { request_id: ask.stream, accepted, reason };
        let standby = self.roll(2) == 0;
        self.broker.handle(Input::DeviceResponded { connection, response, standby }, self.now);
    }

    /// Mostly who was invited; sometimes with another's token, in another's name, or for the second time.
    fn side_arrives(&mut self) {
        let tickets = std::mem::take(&mut self.tickets);
        let (chosen, other) = (self.pick(&tickets), self.pick(&tickets));
        self.tickets = tickets;
        let Some((mut ticket, other)) = chosen.zip(other) else { return };
        match self.roll(12) {
            0 => ticket.principal = other.principal,
            1 => ticket.token = other.token,
            2 => ticket.stream = other.stream,
            5 => ticket.device = other.device,
            3 => ticket.principal.role = !ticket.principal.role,
            4 => ticket.token = StreamToken::new([9; 32]),
            _ => {}
        }
        self.arrive(ticket);
    }

    fn arrive(&mut self, ticket: Ticket) {
        let leg = self.connection();
        let Ticket { stream, device, principal, token, .. } = ticket.clone();
        self.knocking.insert(leg, ticket);
        let bridge = Bridge { hub: "hub".into(), device, stream, role: principal.role };
        let own = ServiceName::from(principal.id.clone());
        let (scope, until) = self.scopes.get(&own).cloned().unwrap_or((Scope::everything(), None));
        let (credential, address) = (LegCredential::Token(token.hash()), address());
        let arrived = Input::LegAttached(LegAttach { leg, bridge, principal, credential, address, scope, until });
        self.broker.handle(arrived, self.now);
    }

    fn revoke(&mut self) {
        let principal = if self.roll(2) == 0 {
            Principal { role: Role::Device, id: self.any_device().into() }
        } else {
            Principal { role: Role::Service, id: service(self.dice % 3).into() }
        };
        let theirs = |ask: &OpenRequest| match principal.role {
            Role::Device => ask.device.as_str() == principal.id.as_str(),
            Role::Service => ask.service.as_str() == principal.id.as_str(),
        };
        self.doom(theirs);
        self.broker
            .handle(Input::IdentityRevoked { principal, reason: RefusalKind::AuthenticationFailed.into() }, self.now);
    }

    fn rescope(&mut self) {
        let (whose, end) = (service(self.dice % 3), Duration::from_secs(self.roll(60)));
        let until = (self.roll(2) == 0).then(|| self.now + end);
        let mut scope = Scope::everything();
        match self.roll(4) {
            0 => scope.devices = vec!["device-0".parse().unwrap()],
            1 => scope.streams = vec!["s*".parse().unwrap()],
            2 => scope = Scope::default(),
            _ => {}
        }
        self.scopes.insert(whose.clone(), (scope.clone(), until));
        let covers = |ask: &OpenRequest| {
            scope.covers_device(&ask.device) && ask.name.as_ref().is_none_or(|name| scope.covers_stream(name))
        };
        self.doom(|ask| ask.service == whose && !covers(ask));
        self.broker.handle(Input::ScopeChanged { service: whose, scope, until }, self.now);
    }

    pub(crate) fn kill(&mut self) {
        let ids = self.broker.all_streams().map(|(id, ..)| id).collect();
        if let Some(stream) = self.pick_id(ids) {
            self.over.insert(stream);
            self.broker.handle(Input::StreamKilled { stream }, self.now);
            self.carry_out();
            let gone = self.broker.all_streams().all(|(id, ..)| id != stream);
            assert!(gone || self.is_told_to_end(stream), "a stream that was killed goes on");
        }
    }

    fn time_passes(&mut self) {
        let seconds = if self.roll(8) == 0 { 61 } else { self.roll(20) };
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.now += TICK.min(until - self.now);
            self.broker.handle_timeout(self.now);
            self.carry_out();
            self.check();
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => self.asked(connection, request),
                Output::CompleteOpen { requester, result } => self.answer(requester, result),
                Output::Admit { leg, admission } => self.admit(leg, admission),
                Output::Refuse { leg, refusal } => self.refused(leg, refusal.kind),
                Output::Join(joined) => self.join(joined),
                Output::EndStream { stream, refusal } => self.end_stream(stream, refusal.kind),
                Output::StreamEnded { stream } => {
                    self.over.insert(stream);
                    assert!(
                        self.joined.contains(&stream) || self.passes.iter().any(|pass| pass.ticket.stream == stream)
                    );
                    let untold = self.open.iter().any(|(leg, id)| *id == stream && !self.ending.contains_key(leg));
                    assert!(!untold, "a stream is over, and its sides do not know");
                }
                Output::Displace { .. }
                | Output::Dismiss { .. }
                | Output::RevalidateKey { .. }
                | Output::CancelRequest { .. }
                | Output::Record(_) => {}
            }
        }
    }

    fn asked(&mut self, connection: ConnectionId, request: DeviceRequest) {
        let device = self.devices.get(&connection).expect("asked a device that is not there").clone();
        let principal = Principal { role: Role::Device, id: device.clone().into() };
        let (stream, token) = (request.stream, request.token.clone());
        if !request.early.is_empty() {
            let agent = (device.clone(), self.runs[&connection]);
            let first = self.early_at.entry(stream).or_insert_with(|| agent.clone());
            assert_eq!(*first, agent, "what came along with a request went to two agents");
        }
        self.tickets.retain(|ticket| ticket.stream != stream);
        self.void_passes(stream);
        self.tickets.push(Ticket { stream, device, principal, token, given: self.now });
        self.asks.push((connection, request));
    }

    fn answer(&mut self, requester: ConnectionId, answer: Result<Grant, Refusal>) {
        let request = self.requests.remove(&requester).expect("answered nobody, or twice");
        assert!(self.answered.insert(requester), "answered twice");
        assert!(self.now <= request.answer_by, "answered late: {answer:?}");
        assert!(!request.repeated || answer.is_err(), "one request, two streams");
        match answer {
            Ok(grant) => {
                self.accepted.insert(grant.stream);
                let (stream, device, token) = (grant.stream, request.ask.device, grant.token);
                let principal = Principal { role: Role::Service, id: request.ask.service.into() };
                self.tickets.push(Ticket { stream, device, principal, token, given: self.now });
            }
            Err(refusal) => {
                let here = self.current.contains_key(&request.ask.device);
                assert!(refusal.kind != RefusalKind::DeviceOffline || !here, "called an online device offline");
            }
        }
    }

    /// Only a token that was given out to this identity for this stream, in time and for the first time, lets in.
    fn admit(&mut self, leg: ConnectionId, admission: Admission) {
        if let Some(returned) = self.returning.remove(&leg) {
            return self.admit_again(leg, &returned, admission);
        }
        let credential = self.knocking.remove(&leg).expect("let in somebody who did not knock");
        let same = |ticket: &&Ticket| {
            ticket.stream == credential.stream
                && ticket.device == credential.device
                && ticket.principal == credential.principal
        };
        let given = self.tickets.iter().find(same).expect("let in somebody who was not invited");
        assert!(given.token.hash() == credential.token.hash(), "let in with another token");
        assert!(self.now < given.given + self.settings.token, "let in with an expired token");
        assert!(!self.spent.iter().any(|spent| spent.hash() == credential.token.hash()), "a token let in twice");
        self.spent.push(credential.token.clone());
        self.enter(leg, (credential.stream, credential.principal.role), admission);
    }

    fn check(&mut self) {
        for request in self.requests.values() {
            assert!(self.now <= request.answer_by, "a request was forgotten: {:?}", request.ask);
        }
        if let Some(deadline) = self.broker.next_deadline() {
            assert!(deadline + TICK > self.now, "a deadline was missed");
        }
        self.check_interruptions();
        let standing: Vec<_> = self.open.iter().filter(|(leg, _)| !self.ending.contains_key(leg)).collect();
        assert!(self.broker.streams() >= standing.len());
        for (_, stream) in standing {
            let event = self.opened.get(stream).expect("an open stream was joined");
            let (device, name) = (event.device.as_ref().unwrap(), event.name.as_ref().unwrap());
            let Some((scope, until)) = self.scopes.get(event.service.as_ref().unwrap()) else { continue };
            assert!(scope.covers_device(device) && scope.covers_stream(name), "outside of its scope: {event:?}");
            // Time moves in steps of the clock, and on each the broker is told.
            assert!(until.is_none_or(|until| self.now < until + TICK), "beyond the end of its scope: {event:?}");
        }
    }

    /// Everybody goes, and time passes: nothing may be left.
    pub(crate) fn wind_down(&mut self) {
        self.current.clear();
        for (connection, device) in std::mem::take(&mut self.devices) {
            self.broker.handle(Input::DeviceDisconnected { device, connection, reason: String::new() }, self.now);
        }
        self.wait();
        assert!(self.requests.is_empty(), "requests without an answer");
        assert!(self.inside.is_empty(), "sides that wait for ever");
        for leg in std::mem::take(&mut self.open).into_keys() {
            self.broker.handle(Input::LegLeft { leg, exit: lost() }, self.now);
        }
        self.carry_out();
        self.wait();
        assert_eq!(self.broker.streams(), 0, "streams that are never forgotten");
        assert_eq!(self.broker.next_deadline(), None);
        assert_eq!(self.broker.devices_online(), 0);
        self.nothing_happens();
        assert_eq!(self.broker.retained(), 0, "ended streams that are never forgotten");
    }

    /// Longer than anything may take.
    fn wait(&mut self) {
        for _ in 0..100 {
            self.now += TICK;
            self.broker.handle_timeout(self.now);
            self.carry_out();
        }
    }

    fn any_device(&mut self) -> DeviceId {
        format!("device-{}", self.roll(3)).parse().unwrap()
    }
}

/// Other numbers for each seed.
pub(crate) fn random(seed: u64) -> impl FnMut() -> [u8; 32] + Send + 'static {
    let mut counter = seed;
    move || {
        counter = counter.wrapping_add(1);
        let mut bytes = [0; 32];
        for (index, chunk) in bytes.chunks_mut(8).enumerate() {
            chunk.copy_from_slice(&mix(counter.wrapping_mul(31).wrapping_add(index as u64)).to_be_bytes());
        }
        bytes
    }
}

/// For a device that is there, by a service that may do anything.
pub(crate) fn plain_request(device: &DeviceId) -> OpenRequest {
    OpenRequest {
        device: device.clone(),
        name: None,
        scope: Scope::everything(),
        until: None,
        service: service(0),
        source: address(),
        connect_timeout: Duration::ZERO,
        response_timeout: Duration::from_secs(60),
        protocols: vec![StreamProtocol::V1],
        stream: None,
        reusable: false,
        standby: false,
        early: bytes::Bytes::new(),
    }
}

pub(crate) fn service(number: u64) -> ServiceName {
    format!("service-{number}").parse().unwrap()
}

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// A side's connection is lost.
pub(crate) fn lost() -> LegExit {
    LegExit::Lost(None, String::new())
}

pub(crate) fn address() -> SocketAddr {
    ([192, 0, 2, 1], 1000).into()
}

/// SplitMix64's finaliser: a number that looks random for each that goes in.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
