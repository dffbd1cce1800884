//! The world around the broker: devices and services that do anything they like, and what must hold whatever they do.

#[path = "resumption.rs"]
mod resumption;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use devstream::hub::broker::{
    Admission, Broker, DeviceRequest, Grant, Input, LegAttach, LegCredential, LegExit, OpenRequest, Output, Settings,
};
use devstream::hub::event::Event;
use devstream::proto::http::Bridge;
use devstream::proto::id::{ConnectionId, DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::{Refusal, RefusalKind};
use devstream::proto::scope::Scope;
use devstream::proto::secret::StreamToken;
use devstream::proto::stream::StreamProtocol;

use self::resumption::{IssuedTicket, ResumeAttempt};

/// An answer may be late by no more than the step of the clock.
const TICK: Duration = Duration::from_secs(2);

/// A request that waits for its answer.
struct PendingRequest {
    ask: OpenRequest,
    deadline_to_answer: Instant,
    /// It was made before, and its stream is there.
    repeated: bool,
}

/// A token that was given out.
#[derive(Clone)]
struct IssuedToken {
    stream: StreamId,
    device: DeviceId,
    principal: Principal,
    token: StreamToken,
    issued_at: Instant,
}

pub(crate) struct World {
    rng: u64,
    /// What the dice show first.
    script: VecDeque<u8>,
    pub(crate) now: Instant,
    pub(crate) broker: Broker,
    settings: Settings,
    next: u64,
    devices: HashMap<ConnectionId, DeviceId>,
    asks: Vec<(ConnectionId, DeviceRequest)>,
    requests: HashMap<ConnectionId, PendingRequest>,
    answered: HashSet<ConnectionId>,
    tokens: Vec<IssuedToken>,
    used_tokens: Vec<StreamToken>,
    attaching: HashMap<ConnectionId, IssuedToken>,
    admitted: HashMap<ConnectionId, (StreamId, Role)>,
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
    issued_tickets: Vec<IssuedTicket>,
    resuming: HashMap<ConnectionId, ResumeAttempt>,
    /// The side that came last, for each role.
    last: HashMap<(StreamId, Role), ConnectionId>,
    /// What this run of the hub must never join again: it is over, or was told to be.
    ended: HashSet<StreamId>,
    /// What one side left with all of it, while it was the stream's.
    ended_cleanly: HashSet<StreamId>,
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
            rng: seed,
            script: VecDeque::new(),
            now,
            broker: Broker::new(settings, random(seed)),
            settings,
            next: 1,
            devices: HashMap::new(),
            asks: Vec::new(),
            requests: HashMap::new(),
            answered: HashSet::new(),
            tokens: Vec::new(),
            used_tokens: Vec::new(),
            attaching: HashMap::new(),
            admitted: HashMap::new(),
            accepted: HashSet::new(),
            joined: HashSet::new(),
            rejoined: 0,
            open: HashMap::new(),
            opened: HashMap::new(),
            ending: HashMap::new(),
            issued_tickets: Vec::new(),
            resuming: HashMap::new(),
            ended_cleanly: HashSet::new(),
            last: HashMap::new(),
            ended: HashSet::new(),
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
        match self.random_below(100) {
            0..12 => self.device_connects(),
            12..16 => self.device_disconnects(),
            16..33 => self.service_requests(),
            33..35 => self.request_cancelled(),
            35..52 => self.device_answers(),
            52..68 => self.leg_attaches(),
            68..78 => self.leg_resumes(),
            78..81 => self.both_resume(),
            81..84 => self.leg_leaves(),
            84..89 => self.stream_ends(),
            89 => self.revoke(),
            90..92 => self.rescope(),
            92 => self.kill(),
            93 if self.random_below(3) == 0 => self.hub_restarts(),
            94 if self.random_below(40) == 0 => self.drain(),
            95 | 96 => self.open_stream(),
            _ => self.advance_time(),
        }
        self.process_outputs();
        self.check();
    }

    fn random_below(&mut self, sides: u64) -> u64 {
        if let Some(byte) = self.script.pop_front() {
            self.rng = byte.into();
            return self.rng % sides;
        }
        self.rng = self.rng.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.rng) % sides
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() {
            return None;
        }
        let index = self.random_below(items.len() as u64);
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
    pub(crate) fn connect_some_device(&mut self) -> DeviceId {
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

    fn device_connects(&mut self) {
        let (connection, device) = (self.connection(), self.any_device());
        let protocols = self.any_protocols().iter().map(|protocol| protocol.as_str().to_owned()).collect();
        let forwards = vec![name("ssh"), name("web")];
        let started_anew = self.random_below(6) == 0;
        let run = self.agents.entry(device.clone()).or_default();
        *run += u64::from(started_anew);
        let hello =
            Hello { version: "1".into(), run: *run, protocols, forwards, accepts_any_name: false, reusable: false };
        self.send_hello(connection, device, hello);
    }

    fn send_hello(&mut self, connection: ConnectionId, device: DeviceId, hello: Hello) {
        self.devices.insert(connection, device.clone());
        self.runs.insert(connection, hello.run);
        self.current.insert(device.clone(), connection);
        self.broker.handle(Input::DeviceConnected { device, connection, hello, address: address() }, self.now);
    }

    fn device_disconnects(&mut self) {
        let devices = std::mem::take(&mut self.devices);
        if let Some(connection) = self.pick_key(&devices) {
            self.devices = devices;
            let device = self.devices.remove(&connection).unwrap();
            self.current.retain(|_, newest| *newest != connection);
            self.broker.handle(Input::DeviceDisconnected { device, connection, reason: String::new() }, self.now);
        }
    }

    fn service_requests(&mut self) {
        let requester = self.connection();
        let wanted = match self.random_below(4) {
            0 => None,
            1 => Some(name("nothing")),
            2 => Some(name("web")),
            _ => Some(name("ssh")),
        };
        let (device, service) = (self.any_device(), service(self.rng % 3));
        let (scope, until) = self.scopes.get(&service).cloned().unwrap_or((Scope::everything(), None));
        if !scope.covers_device(&device) {
            // It is not authorised, and the broker does not hear of it.
            return;
        }
        let there: Vec<_> =
            if self.random_below(5) == 0 { self.broker.all_streams().map(|(id, ..)| id).collect() } else { Vec::new() };
        let stream = self.pick_id(there);
        let ask = OpenRequest {
            device,
            name: wanted,
            scope,
            until,
            service,
            source: address(),
            connect_timeout: Duration::from_secs(self.random_below(3) * 20),
            response_timeout: Duration::from_secs(5 + self.random_below(3) * 30),
            protocols: self.any_protocols(),
            stream,
            reusable: self.random_below(2) == 0,
            standby: self.random_below(2) == 0,
            early: bytes::Bytes::from_static(if self.random_below(2) == 0 { b"early" } else { b"" }),
        };
        // A device that comes and goes may be asked anew for as long as the service waits for it.
        let deadline_to_answer = self.now + ask.connect_timeout + self.settings.handshake + TICK;
        let repeated = ask.stream.is_some();
        self.requests.insert(requester, PendingRequest { ask: ask.clone(), deadline_to_answer, repeated });
        self.broker.handle(Input::OpenRequested { requester, request: ask.clone() }, self.now);
        if let Some(id) = stream {
            self.check_repeated_request(id, &ask);
        }
    }

    /// Who repeats a request ends what has become of it; a late first one, or somebody else's, ends nothing.
    fn check_repeated_request(&mut self, id: StreamId, ask: &OpenRequest) {
        self.repeated += 1;
        let theirs = |service: &ServiceName| *service == ask.service && !ask.standby;
        match self
            .broker
            .all_streams()
            .find(|(other, ..)| *other == id)
            .map(|(_, earlier, ..)| theirs(&earlier.service))
        {
            Some(true) => _ = self.ended.insert(id),
            Some(false) => {}
            None => assert!(!ask.standby, "a late request ended its stream"),
        }
    }

    fn pick_id(&mut self, mut ids: Vec<StreamId>) -> Option<StreamId> {
        ids.sort_unstable();
        self.pick(&ids)
    }

    fn request_cancelled(&mut self) {
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
        if self.random_below(10) == 0 {
            connection = self.connection();
        } else if self.random_below(4) > 0 {
            self.asks.retain(|(_, other)| other.stream != ask.stream);
        }
        let accepted = self.random_below(5) > 0;
        let kinds = [RefusalKind::TargetRefused, RefusalKind::AuthenticationFailed];
        let reason = if accepted { None } else { self.pick(&kinds).map(Refusal::from) };
        let response = StreamResponse { request_id: ask.stream, accepted, reason };
        let standby = self.random_below(2) == 0;
        self.broker.handle(Input::DeviceResponded { connection, response, standby }, self.now);
    }

    /// Mostly who was invited; sometimes with another's token, in another's name, or for the second time.
    fn leg_attaches(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        let (chosen, other) = (self.pick(&tokens), self.pick(&tokens));
        self.tokens = tokens;
        let Some((mut ticket, other)) = chosen.zip(other) else { return };
        match self.random_below(12) {
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

    fn arrive(&mut self, ticket: IssuedToken) {
        let leg = self.connection();
        let IssuedToken { stream, device, principal, token, .. } = ticket.clone();
        self.attaching.insert(leg, ticket);
        let bridge = Bridge { hub: "hub".into(), device, stream, role: principal.role };
        let own = ServiceName::from(principal.id.clone());
        let (scope, until) = self.scopes.get(&own).cloned().unwrap_or((Scope::everything(), None));
        let (credential, address) = (LegCredential::Token(token.hash()), address());
        let arrived = Input::LegAttached(LegAttach { leg, bridge, principal, credential, address, scope, until });
        self.broker.handle(arrived, self.now);
    }

    fn revoke(&mut self) {
        let principal = if self.random_below(2) == 0 {
            Principal { role: Role::Device, id: self.any_device().into() }
        } else {
            Principal { role: Role::Service, id: service(self.rng % 3).into() }
        };
        let theirs = |ask: &OpenRequest| match principal.role {
            Role::Device => ask.device.as_str() == principal.id.as_str(),
            Role::Service => ask.service.as_str() == principal.id.as_str(),
        };
        self.mark_ended(theirs);
        self.broker
            .handle(Input::IdentityRevoked { principal, reason: RefusalKind::AuthenticationFailed.into() }, self.now);
    }

    fn rescope(&mut self) {
        let (whose, end) = (service(self.rng % 3), Duration::from_secs(self.random_below(60)));
        let until = (self.random_below(2) == 0).then(|| self.now + end);
        let mut scope = Scope::everything();
        match self.random_below(4) {
            0 => scope.devices = vec!["device-0".parse().unwrap()],
            1 => scope.streams = vec!["s*".parse().unwrap()],
            2 => scope = Scope::default(),
            _ => {}
        }
        self.scopes.insert(whose.clone(), (scope.clone(), until));
        let covers = |ask: &OpenRequest| {
            scope.covers_device(&ask.device) && ask.name.as_ref().is_none_or(|name| scope.covers_stream(name))
        };
        self.mark_ended(|ask| ask.service == whose && !covers(ask));
        self.broker.handle(Input::ScopeChanged { service: whose, scope, until }, self.now);
    }

    pub(crate) fn kill(&mut self) {
        let ids = self.broker.all_streams().map(|(id, ..)| id).collect();
        if let Some(stream) = self.pick_id(ids) {
            self.ended.insert(stream);
            self.broker.handle(Input::StreamKilled { stream }, self.now);
            self.process_outputs();
            let gone = self.broker.all_streams().all(|(id, ..)| id != stream);
            assert!(gone || self.is_told_to_end(stream), "a stream that was killed goes on");
        }
    }

    fn advance_time(&mut self) {
        let seconds = if self.random_below(8) == 0 { 61 } else { self.random_below(20) };
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.now += TICK.min(until - self.now);
            self.broker.handle_timeout(self.now);
            self.process_outputs();
            self.check();
        }
    }

    fn process_outputs(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => self.asked(connection, request),
                Output::CompleteOpen { requester, result } => self.answer(requester, result),
                Output::Admit { leg, admission } => self.admit(leg, admission),
                Output::Refuse { leg, refusal } => self.refused(leg, refusal.kind),
                Output::Join(joined) => self.join(joined),
                Output::EndStream { stream, refusal } => self.end_stream(stream, refusal.kind),
                Output::StreamEnded { stream } => {
                    self.ended.insert(stream);
                    assert!(
                        self.joined.contains(&stream)
                            || self.issued_tickets.iter().any(|issued| issued.ticket.stream == stream)
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
        self.tokens.retain(|ticket| ticket.stream != stream);
        self.void_tickets(stream);
        self.tokens.push(IssuedToken { stream, device, principal, token, issued_at: self.now });
        self.asks.push((connection, request));
    }

    fn answer(&mut self, requester: ConnectionId, answer: Result<Grant, Refusal>) {
        let request = self.requests.remove(&requester).expect("answered nobody, or twice");
        assert!(self.answered.insert(requester), "answered twice");
        assert!(self.now <= request.deadline_to_answer, "answered late: {answer:?}");
        assert!(!request.repeated || answer.is_err(), "one request, two streams");
        match answer {
            Ok(grant) => {
                self.accepted.insert(grant.stream);
                let (stream, device, token) = (grant.stream, request.ask.device, grant.token);
                let principal = Principal { role: Role::Service, id: request.ask.service.into() };
                self.tokens.push(IssuedToken { stream, device, principal, token, issued_at: self.now });
            }
            Err(refusal) => {
                let here = self.current.contains_key(&request.ask.device);
                assert!(refusal.kind != RefusalKind::DeviceOffline || !here, "called an online device offline");
            }
        }
    }

    /// Only a token that was given out to this identity for this stream, in time and for the first time, lets in.
    fn admit(&mut self, leg: ConnectionId, admission: Admission) {
        if let Some(attempt) = self.resuming.remove(&leg) {
            return self.readmit(leg, &attempt, admission);
        }
        let credential = self.attaching.remove(&leg).expect("let in somebody who did not knock");
        let same = |ticket: &&IssuedToken| {
            ticket.stream == credential.stream
                && ticket.device == credential.device
                && ticket.principal == credential.principal
        };
        let issued = self.tokens.iter().find(same).expect("let in somebody who was not invited");
        assert!(issued.token.hash() == credential.token.hash(), "let in with another token");
        assert!(self.now < issued.issued_at + self.settings.token, "let in with an expired token");
        assert!(!self.used_tokens.iter().any(|spent| spent.hash() == credential.token.hash()), "a token let in twice");
        self.used_tokens.push(credential.token.clone());
        self.enter(leg, (credential.stream, credential.principal.role), admission);
    }

    fn check(&mut self) {
        for request in self.requests.values() {
            assert!(self.now <= request.deadline_to_answer, "a request was forgotten: {:?}", request.ask);
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

    /// Everybody goes, and time issued_tickets: nothing may be left.
    pub(crate) fn wind_down(&mut self) {
        self.current.clear();
        for (connection, device) in std::mem::take(&mut self.devices) {
            self.broker.handle(Input::DeviceDisconnected { device, connection, reason: String::new() }, self.now);
        }
        self.wait();
        assert!(self.requests.is_empty(), "requests without an answer");
        assert!(self.admitted.is_empty(), "sides that wait for ever");
        for leg in std::mem::take(&mut self.open).into_keys() {
            self.broker.handle(Input::LegLeft { leg, exit: lost() }, self.now);
        }
        self.process_outputs();
        self.wait();
        assert_eq!(self.broker.streams(), 0, "streams that are never forgotten");
        assert_eq!(self.broker.next_deadline(), None);
        assert_eq!(self.broker.devices_online(), 0);
        self.tick();
        assert_eq!(self.broker.retained(), 0, "ended streams that are never forgotten");
    }

    /// Longer than anything may take.
    fn wait(&mut self) {
        for _ in 0..100 {
            self.now += TICK;
            self.broker.handle_timeout(self.now);
            self.process_outputs();
        }
    }

    fn any_device(&mut self) -> DeviceId {
        format!("device-{}", self.random_below(3)).parse().unwrap()
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
