//! The world around the broker: devices and services that do anything, and the invariants that hold nevertheless.

#[path = "world/actions.rs"]
mod actions;
#[path = "world/checks.rs"]
mod checks;
#[path = "world/resumption.rs"]
mod resumption;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use devstream::hub::broker::{
    Broker, DeviceRequest, Grant, Input, LegAdmission, LegAttach, LegCredential, LegExit, LegKey, OpenRequest, Output,
    Settings, StreamLimits,
};
use devstream::hub::event::Event;
use devstream::proto::http::Bridge;
use devstream::proto::id::{ConnectionId, DeviceId, HubId, Principal, Role, ServiceName, StreamId, StreamName};
use devstream::proto::key::PublicKey;
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::{Refusal, RefusalKind};
use devstream::proto::scope::Scope;
use devstream::proto::secret::StreamToken;
use devstream::proto::stream::StreamProtocol;

use self::resumption::{IssuedTicket, ResumeAttempt};

/// Longest delay of a timeout: the step of the clock.
const TICK: Duration = Duration::from_secs(2);

/// A request without a response yet.
struct PendingRequest {
    request: OpenRequest,
    deadline_to_answer: Instant,
    /// It repeats one whose stream exists, and whose bytes may have been delivered.
    must_fail: bool,
}

/// A stream token that the hub issued.
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
    /// The first random choices, for the fuzz target.
    script: VecDeque<u8>,
    pub(crate) now: Instant,
    pub(crate) broker: Broker,
    settings: Settings,
    next: u64,
    devices: HashMap<ConnectionId, DeviceId>,
    device_requests: Vec<(ConnectionId, DeviceRequest)>,
    requests: HashMap<ConnectionId, PendingRequest>,
    answered: HashSet<ConnectionId>,
    tokens: Vec<IssuedToken>,
    used_tokens: Vec<StreamToken>,
    attaching: HashMap<ConnectionId, IssuedToken>,
    admitted: HashMap<ConnectionId, (StreamId, Role)>,
    accepted: HashSet<StreamId>,
    pub(crate) joined: HashSet<StreamId>,
    /// Number of rejoins.
    pub(crate) rejoined: usize,
    /// Joined streams, by the service's leg.
    open: HashMap<ConnectionId, StreamId>,
    /// Joined streams, and the service's legs that the hub has closed.
    opened: HashMap<StreamId, Event>,
    ending: HashMap<ConnectionId, RefusalKind>,
    /// Resume tickets, including those of earlier runs of the hub.
    issued_tickets: Vec<IssuedTicket>,
    resuming: HashMap<ConnectionId, ResumeAttempt>,
    /// The newest leg of each role.
    last: HashMap<(StreamId, Role), ConnectionId>,
    /// Streams that this run of the hub must never join again.
    ended: HashSet<StreamId>,
    /// Streams that a current leg has left cleanly.
    ended_cleanly: HashSet<StreamId>,
    interrupted: HashMap<StreamId, Instant>,
    /// The run of the hub, its start, and whether it drains.
    run: u64,
    began: Instant,
    draining: bool,
    /// The run of each device's agent.
    agents: HashMap<DeviceId, u64>,
    /// The scope and expiry of services whose access is restricted.
    scopes: HashMap<ServiceName, (Scope, Option<Instant>)>,
    /// The newest connection of each device.
    current: HashMap<DeviceId, ConnectionId>,
    /// Requests that were sent on a standby connection.
    on_standby: HashSet<StreamId>,
    /// The agent run of each connection, and the run that was sent each stream's early data.
    runs: HashMap<ConnectionId, u64>,
    early_at: HashMap<StreamId, (DeviceId, u64)>,
    /// Number of repeated requests, and of those that took the place of the earlier one.
    pub(crate) repeated: usize,
    pub(crate) replaced: usize,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        // So few places that services displace each other's handshakes.
        let per_device = if seed % 2 == 1 { 2 } else { StreamLimits::PENDING.per_device };
        let pending = StreamLimits { per_device, ..StreamLimits::PENDING };
        let settings = Settings { handshake: Duration::from_secs(60), pending, ..Settings::default() };
        let now = tokio::time::Instant::now().into_std();
        Self {
            rng: seed,
            script: VecDeque::new(),
            now,
            broker: Broker::new(settings, HUB, random(seed)),
            settings,
            next: 1,
            devices: HashMap::new(),
            device_requests: Vec::new(),
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
            on_standby: HashSet::new(),
            runs: HashMap::new(),
            early_at: HashMap::new(),
            repeated: 0,
            replaced: 0,
        }
    }

    /// A run whose choices these bytes decide.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub(crate) fn scripted(bytes: &[u8]) -> Self {
        Self { script: bytes.iter().copied().collect(), ..Self::new(0) }
    }

    /// Reports whether choices are left.
    #[allow(dead_code, reason = "the fuzz target's")]
    pub(crate) fn has_script(&self) -> bool {
        !self.script.is_empty()
    }

    /// Takes one random action and processes its consequences.
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

    /// Picks a key in an order that does not depend on the hash map.
    fn pick_key<V>(&mut self, items: &HashMap<ConnectionId, V>) -> Option<ConnectionId> {
        let mut keys: Vec<_> = items.keys().copied().collect();
        keys.sort_unstable();
        self.pick(&keys)
    }

    pub(crate) fn connection(&mut self) -> ConnectionId {
        self.next += 1;
        ConnectionId(self.next)
    }

    /// Connects a device with one forward.
    pub(crate) fn connect_some_device(&mut self) -> DeviceId {
        let (connection, device) = (self.connection(), self.any_device());
        let arrived = Input::DeviceConnected { device: device.clone(), connection, hello: hello(), address: address() };
        self.broker.handle(arrived, self.now);
        device
    }

    fn pick_id(&mut self, mut ids: Vec<StreamId>) -> Option<StreamId> {
        ids.sort_unstable();
        self.pick(&ids)
    }

    fn any_device(&mut self) -> DeviceId {
        format!("device-{}", self.random_below(3)).parse().unwrap()
    }
}

/// The hub.
pub(crate) const HUB: HubId = HubId::from_bytes([0; 16]);

/// A random source with a sequence per seed.
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

/// A request for a connected device, of a service with full access.
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
        end_to_end: false,
        stream: None,
        reusable: false,
        standby: false,
        early: bytes::Bytes::new(),
        repeatable: false,
    }
}

pub(crate) fn service(number: u64) -> ServiceName {
    format!("service-{number}").parse().unwrap()
}

/// The words of a device with one forward.
pub(crate) fn hello() -> Hello {
    Hello {
        version: "1".into(),
        run: 1,
        protocols: Vec::new(),
        forwards: vec![name("ssh")],
        accepts_any_name: false,
        reusable: false,
        certificates: false,
    }
}

pub(crate) fn name(text: &str) -> StreamName {
    text.parse().unwrap()
}

/// The exit of a leg whose connection is lost.
pub(crate) fn lost() -> LegExit {
    LegExit::Lost(None, String::new())
}

pub(crate) fn address() -> SocketAddr {
    ([192, 0, 2, 1], 1000).into()
}

/// A key that nobody replaces.
pub(crate) fn any_key() -> LegKey {
    LegKey { key: PublicKey::from_bytes([0; 32]), until: None }
}

/// SplitMix64's finaliser: a pseudo-random number for each input.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
