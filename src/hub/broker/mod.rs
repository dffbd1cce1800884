//! PURE. The rules of the meeting point: who is here, what is asked, who is joined.
//!
//! One task owns the broker. It hands in one [`Input`] at a time with the present time, carries out every [`Output`],
//! and comes back at [`Broker::next_deadline`]. Bytes never pass through here. Randomness comes in with the
//! constructor, so a run is one seed.

mod event;
mod stream;
mod tally;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub use event::{ACCEPTED, Event, Operation};
use stream::{Phase, Stream};
pub use tally::Caps;
use tally::Tally;

use crate::proto::http::STREAM_PROTOCOL;
use crate::proto::id::{ConnectionId, DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use crate::proto::limits::{HANDSHAKE_TIMEOUT, TOKEN_LIFETIME};
use crate::proto::message::{Hello, StreamResponse};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::secret::{SecretHash, StreamToken};

/// What the hub's owner may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// From asking the device until both sides are there.
    pub handshake: Duration,
    /// From giving out a token until it must have been used.
    pub token: Duration,
    /// Handshakes at once.
    pub pending: Caps,
    /// Streams at once.
    pub streams: Caps,
}

impl Default for Settings {
    fn default() -> Self {
        Self { handshake: HANDSHAKE_TIMEOUT, token: TOKEN_LIFETIME, pending: Caps::PENDING, streams: Caps::STREAMS }
    }
}

/// A service's request for a stream. Whether it may ask was decided before.
#[derive(Debug, Clone)]
pub struct Ask {
    /// To which device.
    pub device: DeviceId,
    /// For which of its forwards; the first if none is named.
    pub name: Option<StreamName>,
    /// What it may ask for there; everything if empty.
    pub permitted: Vec<StreamName>,
    /// Who asks.
    pub service: ServiceName,
    /// From where.
    pub source: SocketAddr,
    /// How long to wait for the device to come online.
    pub connect_timeout: Duration,
    /// How long to wait for its answer.
    pub response_timeout: Duration,
    /// Whether the service speaks `devstream.v1`.
    pub speaks_v1: bool,
}

/// What can happen.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the nouns of each variant's sentence")]
pub enum Input {
    /// An authenticated device said hello.
    DeviceArrived { device: DeviceId, connection: ConnectionId, hello: Hello, address: SocketAddr },
    /// A device's control connection ended.
    DeviceLeft { device: DeviceId, connection: ConnectionId, reason: String },
    /// A service asks for a stream, on this connection.
    Asked { asker: ConnectionId, ask: Ask },
    /// It hung up before its answer.
    AskerLeft { asker: ConnectionId },
    /// A device answered.
    Answered { connection: ConnectionId, response: StreamResponse },
    /// An authenticated side of a stream came to the streaming endpoint with a token.
    SideArrived { leg: ConnectionId, stream: StreamId, principal: Principal, token: SecretHash, address: SocketAddr },
    /// A side left before it was joined.
    SideLeft { leg: ConnectionId },
    /// A joined stream is over.
    StreamEnded { stream: StreamId },
    /// An identity is no longer valid: its connections and streams end.
    Revoked { principal: Principal },
    /// No new streams from here on.
    Drain,
}

/// What must be done.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the nouns of each variant's sentence")]
pub enum Output {
    /// End a device's control connection in favour of a newer one.
    Displace { connection: ConnectionId, by: SocketAddr },
    /// End a device's control connection because its identity is no longer valid.
    Dismiss { connection: ConnectionId },
    /// Pass a request on to a device.
    AskDevice { connection: ConnectionId, request: DeviceAsk },
    /// Tell a device that a request is void.
    CancelDevice { connection: ConnectionId, stream: StreamId },
    /// Answer a service.
    Answer { asker: ConnectionId, answer: Result<Grant, Refusal> },
    /// Let a side in; it waits for the other one.
    Admit { leg: ConnectionId, protocol: Option<&'static str> },
    /// Send a side away, before it was let in or after.
    Refuse { leg: ConnectionId, refusal: Refusal },
    /// Join two sides that were let in.
    Join(Joint),
    /// End a joined stream.
    EndStream { stream: StreamId, refusal: Refusal },
    /// Write it down.
    Record(Event),
}

/// A request as a device needs it.
#[derive(Debug, Clone)]
pub struct DeviceAsk {
    /// Which stream.
    pub stream: StreamId,
    /// Which forward.
    pub name: StreamName,
    /// Lets the device's side in.
    pub token: StreamToken,
    /// What both ends speak.
    pub protocol: Option<&'static str>,
    /// Who asks.
    pub service: ServiceName,
    /// From where.
    pub source: SocketAddr,
}

/// What a service gets when the device has accepted.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Which stream.
    pub stream: StreamId,
    /// Lets the service's side in.
    pub token: StreamToken,
    /// What both ends speak.
    pub protocol: Option<&'static str>,
}

/// Two sides that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// Which stream.
    pub stream: StreamId,
    /// The device's side.
    pub device_leg: ConnectionId,
    /// The service's side.
    pub service_leg: ConnectionId,
    /// Whether both ends speak `devstream.v1`.
    pub speaks_v1: bool,
    /// What the log will say when it ends; its address fields are filled in.
    pub opened: Event,
}

/// A device that is online.
#[derive(Debug)]
struct Seat {
    connection: ConnectionId,
    hello: Hello,
    address: SocketAddr,
}

/// The state of the meeting point.
pub struct Broker {
    settings: Settings,
    random: Box<dyn FnMut() -> [u8; 32] + Send>,
    seats: HashMap<DeviceId, Seat>,
    streams: HashMap<StreamId, Stream>,
    /// Which stream a waiting service, or a side that was let in, belongs to.
    connections: HashMap<ConnectionId, StreamId>,
    timers: BTreeSet<(Instant, StreamId)>,
    pending: Tally,
    all: Tally,
    draining: bool,
    outputs: VecDeque<Output>,
}

impl Broker {
    /// An empty meeting point.
    pub fn new(settings: Settings, random: impl FnMut() -> [u8; 32] + Send + 'static) -> Self {
        Self {
            settings,
            random: Box::new(random),
            seats: HashMap::new(),
            streams: HashMap::new(),
            connections: HashMap::new(),
            timers: BTreeSet::new(),
            pending: Tally::new(settings.pending),
            all: Tally::new(settings.streams),
            draining: false,
            outputs: VecDeque::new(),
        }
    }

    /// Takes note of something.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::DeviceArrived { device, connection, hello, address } => {
                self.device_arrived(device, Seat { connection, hello, address }, now);
            }
            Input::DeviceLeft { device, connection, reason } => self.device_left(&device, connection, reason, now),
            Input::Asked { asker, ask } => self.asked(asker, ask, now),
            Input::AskerLeft { asker } => self.asker_left(asker, now),
            Input::Answered { connection, response } => self.answered(connection, response, now),
            Input::SideArrived { leg, stream, principal, token, address } => {
                self.side_arrived(leg, stream, &principal, &token, address, now);
            }
            Input::SideLeft { leg } => self.side_left(leg, now),
            Input::StreamEnded { stream } => {
                self.forget(stream);
            }
            Input::Revoked { principal } => self.revoked(&principal, now),
            Input::Drain => self.drain(now),
        }
    }

    /// Time has passed: whatever was due is dealt with.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timed_out(id, now);
        }
    }

    /// What must be done next, until there is nothing.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Broker::handle_timeout`].
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Streams under way: handshakes, and those that are joined.
    pub fn streams(&self) -> usize {
        self.all.all()
    }

    /// The devices that are online.
    pub fn online(&self) -> impl Iterator<Item = (&DeviceId, ConnectionId, &Hello, SocketAddr)> {
        self.seats.iter().map(|(device, seat)| (device, seat.connection, &seat.hello, seat.address))
    }

    fn device_arrived(&mut self, device: DeviceId, seat: Seat, now: Instant) {
        let (connection, address) = (seat.connection, seat.address);
        let old = self.seats.insert(device.clone(), seat);
        let mut event = Event::new(Operation::DeviceConnected, "connected");
        if let Some(old) = &old {
            self.outputs.push_back(Output::Displace { connection: old.connection, by: address });
            event = Event::new(Operation::DeviceDisplaced, Kind::Displaced.row().word);
            event.peer = Some(old.address);
        }
        self.record(Event { device: Some(device.clone()), source: Some(address), ..event });
        let old = old.map(|old| old.connection);
        let waits = |phase: &Phase| match phase {
            Phase::Waiting => true,
            Phase::Asked { connection } => Some(*connection) == old,
            Phase::Accepted | Phase::Failed(_) | Phase::Joined => false,
        };
        for id in self.streams_of(&device, waits) {
            self.ask_device(id, now);
        }
        debug_assert!(self.seats.get(&device).is_some_and(|seat| seat.connection == connection));
    }

    /// A connection that was displaced is no longer the device's, and its end says nothing about the device.
    fn device_left(&mut self, device: &DeviceId, connection: ConnectionId, reason: String, now: Instant) {
        if self.seats.get(device).is_none_or(|seat| seat.connection != connection) {
            return;
        }
        let source = self.seats.remove(device).map(|seat| seat.address);
        let event = Event::new(Operation::DeviceDisconnected, "disconnected");
        self.record(Event { device: Some(device.clone()), source, reason, ..event });
        let asked = |phase: &Phase| *phase == Phase::Asked { connection };
        for id in self.streams_of(device, asked) {
            self.await_device(id, now);
        }
    }

    fn asked(&mut self, asker: ConnectionId, ask: Ask, now: Instant) {
        let id = StreamId::from_bytes(self.random_id());
        let stream = Stream::new(asker, ask, now);
        let full = self.pending.full(&stream.ask.device, &stream.ask.service);
        let full = full.or_else(|| self.all.full(&stream.ask.device, &stream.ask.service));
        let refusal = match full {
            _ if self.draining => Some(Kind::Draining.into()),
            Some(limit) => Some(Refusal::new(Kind::HubBusy, limit)),
            None => None,
        };
        self.pending.add(&stream.ask.device, &stream.ask.service);
        self.all.add(&stream.ask.device, &stream.ask.service);
        self.connections.insert(asker, id);
        let online = self.seats.contains_key(&stream.ask.device);
        self.streams.insert(id, stream);
        match refusal {
            Some(refusal) => self.refuse(id, refusal, now),
            None if online => self.ask_device(id, now),
            None => self.await_device(id, now),
        }
    }

    /// The device is not here: the service waits as long as it said it would.
    fn await_device(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.phase = Phase::Waiting;
        let until = stream.online_until;
        if until <= now || self.draining {
            let kind = if self.draining { Kind::Draining } else { Kind::DeviceOffline };
            self.refuse(id, kind.into(), now);
        } else {
            self.set_timer(id, Some(until));
        }
    }

    /// The device is here: ask it.
    fn ask_device(&mut self, id: StreamId, now: Instant) {
        let token = StreamToken::new((self.random)());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(seat) = self.seats.get(&stream.ask.device) else { return };
        let name = match stream.choose(&seat.hello.forwards) {
            Ok(name) => name,
            Err(refusal) => return self.refuse(id, refusal, now),
        };
        if let Some(leg) = stream.device.leg() {
            // It came in answer to an earlier request, on a control connection that is gone.
            stream.device.left();
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: Kind::PeerGone.into() });
        }
        let speaks_v1 = stream.ask.speaks_v1 && seat.hello.protocols.iter().any(|known| known == STREAM_PROTOCOL);
        stream.ask.name = Some(name.clone());
        stream.speaks_v1 = speaks_v1;
        stream.phase = Phase::Asked { connection: seat.connection };
        // Set once: a device that comes and goes must not keep the service waiting for ever.
        let handshake_until = *stream.handshake_until.get_or_insert(now + self.settings.handshake);
        stream.device.expect(&token, now + self.settings.token);
        let until = handshake_until.min(now + stream.ask.response_timeout);
        let request = DeviceAsk {
            stream: id,
            name,
            token,
            protocol: speaks_v1.then_some(STREAM_PROTOCOL),
            service: stream.ask.service.clone(),
            source: stream.ask.source,
        };
        self.outputs.push_back(Output::AskDevice { connection: seat.connection, request });
        self.set_timer(id, Some(until));
    }

    fn asker_left(&mut self, asker: ConnectionId, now: Instant) {
        let Some(id) = self.connections.get(&asker).copied() else { return };
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.asker == Some(asker)) else { return };
        stream.asker = None;
        self.connections.remove(&asker);
        self.refuse(id, Refusal::new(Kind::PeerGone, "the service left before the answer"), now);
    }

    fn answered(&mut self, connection: ConnectionId, response: StreamResponse, now: Instant) {
        let id = response.request_id;
        // An answer that comes too late, twice, or from somebody else changes nothing.
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.phase == Phase::Asked { connection })
        else {
            return;
        };
        if !response.accepted {
            return self.refuse(id, stream::device_refusal(response.reason), now);
        }
        let token = StreamToken::new((self.random)());
        stream.phase = Phase::Accepted;
        stream.service.expect(&token, now + self.settings.token);
        let until = stream.handshake_until;
        let protocol = stream.speaks_v1.then_some(STREAM_PROTOCOL);
        let event = stream.event(id, Operation::Invoke, ACCEPTED, now);
        if let Some(asker) = stream.asker.take() {
            self.connections.remove(&asker);
            self.outputs.push_back(Output::Answer { asker, answer: Ok(Grant { stream: id, token, protocol }) });
        }
        self.record(event);
        self.set_timer(id, until);
    }

    fn side_arrived(
        &mut self,
        leg: ConnectionId,
        id: StreamId,
        principal: &Principal,
        token: &SecretHash,
        address: SocketAddr,
        now: Instant,
    ) {
        let wrong = match self.streams.get_mut(&id) {
            None => Some("unknown or ended stream"),
            Some(stream) if !stream.is_side(principal) => Some("the token of another role or identity"),
            Some(stream) => stream.side(principal.role).spend(token, now).err(),
        };
        if let Some(wrong) = wrong {
            self.outputs.push_back(Output::Refuse { leg, refusal: Kind::AuthenticationFailed.into() });
            return self.record(stream::wrong_token(id, principal, wrong, address));
        }
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Phase::Failed(refusal) = &stream.phase {
            return self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
        }
        stream.side(principal.role).arrived(leg, address);
        let protocol = stream.speaks_v1.then_some(STREAM_PROTOCOL);
        self.connections.insert(leg, id);
        self.outputs.push_back(Output::Admit { leg, protocol });
        self.join_if_complete(id, now);
    }

    fn join_if_complete(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.phase == Phase::Accepted) else { return };
        let (Some(device_leg), Some(service_leg)) = (stream.device.leg(), stream.service.leg()) else { return };
        stream.phase = Phase::Joined;
        let opened = stream.event(id, Operation::StreamOpened, "opened", now);
        let joint = Joint { stream: id, device_leg, service_leg, speaks_v1: stream.speaks_v1, opened: opened.clone() };
        self.pending.remove(&stream.ask.device, &stream.ask.service);
        self.connections.remove(&device_leg);
        self.connections.remove(&service_leg);
        self.set_timer(id, None);
        self.record(opened);
        self.outputs.push_back(Output::Join(joint));
    }

    fn side_left(&mut self, leg: ConnectionId, now: Instant) {
        let Some(id) = self.connections.remove(&leg) else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let role = if stream.device.leg() == Some(leg) { Role::Device } else { Role::Service };
        stream.side(role).left();
        self.refuse(id, Refusal::new(Kind::PeerGone, format!("the {role} left before the stream was open")), now);
    }

    fn revoked(&mut self, principal: &Principal, now: Instant) {
        let refusal = || Refusal::new(Kind::AuthenticationFailed, format!("{principal} was removed"));
        if principal.role == Role::Device
            && let Some(seat) = self.seats.get(&DeviceId::from(principal.id.clone()))
        {
            self.outputs.push_back(Output::Dismiss { connection: seat.connection });
        }
        let concerned = self.streams.iter().filter(|(_, stream)| stream.is_side(principal));
        let ids: Vec<_> = concerned.map(|(id, stream)| (*id, stream.phase == Phase::Joined)).collect();
        for (id, joined) in ids {
            if joined {
                self.outputs.push_back(Output::EndStream { stream: id, refusal: refusal() });
            } else {
                self.refuse(id, refusal(), now);
            }
        }
    }

    fn drain(&mut self, now: Instant) {
        self.draining = true;
        let waiting = self.streams.iter().filter(|(_, stream)| stream.phase == Phase::Waiting);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.refuse(id, Kind::Draining.into(), now);
        }
    }

    fn timed_out(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        match &stream.phase {
            Phase::Waiting => self.refuse(id, Kind::DeviceOffline.into(), now),
            Phase::Asked { .. } => {
                let refusal = Refusal::new(Kind::HandshakeTimedOut, "the device did not answer");
                self.refuse(id, refusal, now);
            }
            Phase::Accepted => {
                let absent = if stream.device.leg().is_none() { Role::Device } else { Role::Service };
                let detail = format!("the {absent} did not come to the streaming endpoint");
                self.refuse(id, Refusal::new(Kind::HandshakeTimedOut, detail), now);
            }
            Phase::Failed(_) | Phase::Joined => self.forget(id),
        }
    }

    /// A handshake has failed: everybody who waits for it is told. It is remembered until its tokens are void, so
    /// that a side still on its way hears the reason too.
    fn refuse(&mut self, id: StreamId, refusal: Refusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if matches!(stream.phase, Phase::Failed(_) | Phase::Joined) {
            return;
        }
        let event = stream.event(id, Operation::Invoke, refusal.kind.row().word, now);
        let event = Event { reason: refusal.detail.as_str().into(), ..event };
        if let Phase::Asked { connection } = stream.phase
            && !stream::DEVICE_KINDS.contains(&refusal.kind)
        {
            self.outputs.push_back(Output::CancelDevice { connection, stream: id });
        }
        let expected = stream.device.is_expected() || stream.service.is_expected();
        stream.phase = Phase::Failed(refusal.clone());
        let until = stream.handshake_until;
        let asker = stream.asker.take();
        let legs = [stream.device.leg(), stream.service.leg()];
        stream.device.left();
        stream.service.left();
        self.pending.remove(&stream.ask.device, &stream.ask.service);
        for leg in legs.into_iter().flatten() {
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
        }
        if let Some(asker) = asker {
            self.connections.remove(&asker);
            self.outputs.push_back(Output::Answer { asker, answer: Err(refusal) });
        }
        self.record(event);
        match until.filter(|until| expected && *until > now) {
            Some(until) => self.set_timer(id, Some(until)),
            None => self.forget(id),
        }
    }

    fn forget(&mut self, id: StreamId) {
        self.set_timer(id, None);
        if let Some(stream) = self.streams.remove(&id) {
            self.all.remove(&stream.ask.device, &stream.ask.service);
        }
    }

    fn set_timer(&mut self, id: StreamId, at: Option<Instant>) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let Some(old) = std::mem::replace(&mut stream.timer, at) {
            self.timers.remove(&(old, id));
        }
        if let Some(at) = at {
            self.timers.insert((at, id));
        }
    }

    fn streams_of(&self, device: &DeviceId, wanted: impl Fn(&Phase) -> bool) -> Vec<StreamId> {
        let of_device = |stream: &Stream| stream.ask.device == *device && wanted(&stream.phase);
        let mut ids: Vec<_> =
            self.streams.iter().filter(|(_, s)| of_device(s)).map(|(id, s)| (s.asked_at, *id)).collect();
        // Who asked first is served first, and a seed always gives the same run.
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    fn record(&mut self, event: Event) {
        self.outputs.push_back(Output::Record(event));
    }

    fn random_id(&mut self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&(self.random)()[..16]);
        id
    }
}
