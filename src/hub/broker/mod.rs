//! PURE. The rules of the meeting point: who is here, what is asked, who is joined.
//!
//! Whoever has the broker hands in one [`Input`] at a time with the present time, carries out every [`Output`], and comes
//! back at [`Broker::next_deadline`]. Bytes never pass through here. Randomness comes in with the
//! constructor, so a run is one seed.

mod event;
mod handshake;
mod messages;
mod resume;
mod revocation;
mod stream;
mod stream_counts;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

pub use event::{ACCEPTED, Event, Operation};
pub use messages::{Admission, Ask, DeviceAsk, Grant, Input, Joint, Left, Output, Settings, Shown, SideArrival};
use resume::EndedWell;
use stream::{Phase, Stream};
pub use stream_counts::Caps;
use stream_counts::Tally;

use crate::proto::id::{ConnectionId, DeviceId, Role, StreamId};
use crate::proto::message::Hello;
use crate::proto::refusal::{Refusal, RefusalKind};

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
    /// Handshakes that failed and are remembered.
    failed: usize,
    draining: bool,
    /// This run of the hub, for its tickets, and when it began.
    run: u64,
    began: Option<Instant>,
    /// Streams of an earlier run that were here again, and have ended.
    over: HashSet<StreamId>,
    ended_well: EndedWell,
    outputs: VecDeque<Output>,
}

/// Failed handshakes that are remembered for a side that is still on its way; beyond these, it hears that its token is
/// wrong.
const REMEMBERED_FAILURES: usize = 4096;

impl Broker {
    /// An empty meeting point.
    pub fn new(settings: Settings, mut random: impl FnMut() -> [u8; 32] + Send + 'static) -> Self {
        let run = u64::from_le_bytes(random().first_chunk().copied().unwrap_or_default());
        Self {
            settings,
            random: Box::new(random),
            seats: HashMap::new(),
            streams: HashMap::new(),
            connections: HashMap::new(),
            timers: BTreeSet::new(),
            pending: Tally::new(settings.pending),
            all: Tally::new(settings.streams),
            failed: 0,
            draining: false,
            run,
            began: None,
            over: HashSet::new(),
            ended_well: EndedWell::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes note of something.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.began.get_or_insert(now);
        self.forget_earlier_runs(now);
        match input {
            Input::DeviceArrived { device, connection, hello, address } => {
                self.device_arrived(device, Seat { connection, hello, address }, now);
            }
            Input::DeviceLeft { device, connection, reason } => self.device_left(&device, connection, reason, now),
            Input::Asked { asker, ask } => self.asked(asker, ask, now),
            Input::AskerLeft { asker } => self.asker_left(asker, now),
            Input::Answered { connection, response, standby } => self.answered(connection, response, standby, now),
            Input::SideArrived(arrival) => self.side_arrived(arrival, now),
            Input::SideLeft { leg, how } => self.side_left(leg, how, now),
            Input::Revoked { principal, why } => self.revoked(&principal, &why, now),
            Input::Rescoped { service, scope, until } => self.rescoped(&service, &scope, until, now),
            Input::KeysChanged { device } => self.keys_changed(&device),
            Input::Killed { stream } => self.end(stream, RefusalKind::StreamKilled.into(), now),
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

    /// Streams under way: handshakes, and those that are open or interrupted.
    pub fn streams(&self) -> usize {
        self.all.all()
    }

    /// Those of them that would not outlive the hub.
    pub fn bound_to_end(&self) -> usize {
        let bound = |stream: &&Stream| match stream.phase {
            Phase::Joined => !stream.resumes(),
            Phase::Waiting | Phase::Asked { .. } | Phase::Accepted | Phase::Ending(_) => true,
            Phase::Interrupted { .. } | Phase::Failed(_) => false,
        };
        self.streams.values().filter(bound).count()
    }

    /// Ended streams of which something is kept: handshakes that failed, and what an earlier run of the hub had opened.
    pub fn remembered(&self) -> usize {
        self.failed + self.over.len()
    }

    /// How many devices are online.
    pub fn devices_online(&self) -> usize {
        self.seats.len()
    }

    /// A device's connection, if it is online, with what it said of itself, and from where.
    pub fn online(&self, device: &DeviceId) -> Option<(ConnectionId, &Hello, SocketAddr)> {
        self.seats.get(device).map(|seat| (seat.connection, &seat.hello, seat.address))
    }

    /// Whether the device is online with this run of its agent, and on which connection.
    pub fn seat(&self, device: &DeviceId, run: u64) -> Option<ConnectionId> {
        self.seats.get(device).filter(|seat| seat.hello.run == run).map(|seat| seat.connection)
    }

    /// Whether the device was asked for this stream on that connection, and has not answered.
    pub fn awaits_answer(&self, stream: StreamId, connection: ConnectionId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.phase == Phase::Asked { connection })
    }

    /// Whether there is this stream, or may still be.
    pub fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.phase.word().is_some())
    }

    /// Every stream that is or may still be: what was asked for, how far it has come, and since when.
    pub fn all_streams(&self) -> impl Iterator<Item = (StreamId, &Ask, &'static str, Instant)> {
        self.streams.iter().filter_map(|(id, stream)| Some((*id, &stream.ask, stream.phase.word()?, stream.asked_at)))
    }

    fn device_arrived(&mut self, device: DeviceId, seat: Seat, now: Instant) {
        let (connection, address, run) = (seat.connection, seat.address, seat.hello.run);
        let old = self.seats.insert(device.clone(), seat);
        let mut event = Event::new(Operation::DeviceConnected, "connected");
        if let Some(old) = &old {
            self.outputs.push_back(Output::Displace { connection: old.connection, by: address });
            event = Event::new(Operation::DeviceDisplaced, RefusalKind::Displaced.row().label);
            event.peer = Some(old.address);
        }
        self.record(Event { device: Some(device.clone()), source: Some(address), ..event });
        let old = old.map(|old| old.connection);
        let waits = |phase: &Phase| match phase {
            Phase::Waiting => true,
            Phase::Asked { connection } => Some(*connection) == old,
            Phase::Accepted | Phase::Failed(_) | Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. } => false,
        };
        for id in self.streams_of(&device, waits) {
            self.ask_device(id, now);
        }
        self.agent_started(&device, run, now);
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

    fn drain(&mut self, now: Instant) {
        self.draining = true;
        let waiting = self.streams.iter().filter(|(_, stream)| stream.phase == Phase::Waiting);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.refuse(id, RefusalKind::Draining.into(), now);
        }
    }

    fn timed_out(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        match &stream.phase {
            Phase::Waiting => self.refuse(id, RefusalKind::DeviceOffline.into(), now),
            Phase::Asked { .. } => {
                let refusal = Refusal::new(RefusalKind::HandshakeTimedOut, "the device did not answer");
                self.refuse(id, refusal, now);
            }
            Phase::Accepted => {
                let absent = if stream.device.leg().is_none() { Role::Device } else { Role::Service };
                let detail = format!("the {absent} did not come to the streaming endpoint");
                self.refuse(id, Refusal::new(RefusalKind::HandshakeTimedOut, detail), now);
            }
            Phase::Joined => self.end(id, RefusalKind::AccessEnded.into(), now),
            Phase::Interrupted { until, .. } if *until <= now => self.give_up(id, RefusalKind::NotResumed.into(), now),
            Phase::Interrupted { .. } => self.give_up(id, RefusalKind::AccessEnded.into(), now),
            Phase::Ending(_) => self.set_timer(id, None),
            Phase::Failed(_) => self.forget(id),
        }
    }

    /// A handshake has failed: everybody who waits for it is told. It is remembered until its tokens are void, so
    /// that a side still on its way hears the reason too.
    fn refuse(&mut self, id: StreamId, refusal: Refusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if matches!(stream.phase, Phase::Failed(_) | Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. }) {
            return;
        }
        let event = stream.event(id, Operation::Invoke, refusal.kind.row().label, now);
        let event = Event { reason: refusal.detail.as_str().into(), ..event };
        if let Phase::Asked { connection } = stream.phase
            && !stream::DEVICE_KINDS.contains(&refusal.kind)
        {
            self.outputs.push_back(Output::CancelDevice { connection, stream: id });
        }
        if stream::DEVICE_KINDS.contains(&refusal.kind) {
            // Whoever refuses does not come.
            stream.device.void();
        }
        let expected = stream.device.is_expected() || stream.service.is_expected();
        stream.phase = Phase::Failed(refusal.clone());
        stream.ask.early = Bytes::new();
        let until = stream.handshake_until;
        let asker = stream.asker.take();
        let legs = [stream.device.leg(), stream.service.leg()];
        stream.device.left();
        stream.service.left();
        self.pending.remove(&stream.ask.device, &stream.ask.service);
        self.all.remove(&stream.ask.device, &stream.ask.service);
        for leg in legs.into_iter().flatten() {
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
        }
        if let Some(asker) = asker {
            self.connections.remove(&asker);
            self.outputs.push_back(Output::Answer { asker, answer: Err(refusal) });
        }
        self.record(event);
        match until.filter(|until| expected && *until > now && self.failed < REMEMBERED_FAILURES) {
            Some(until) => {
                self.failed += 1;
                self.set_timer(id, Some(until));
            }
            None => {
                self.set_timer(id, None);
                self.streams.remove(&id);
            }
        }
    }

    fn forget(&mut self, id: StreamId) {
        self.set_timer(id, None);
        let Some(stream) = self.streams.remove(&id) else { return };
        if let Phase::Failed(_) = stream.phase {
            self.failed -= 1;
            return;
        }
        self.all.remove(&stream.ask.device, &stream.ask.service);
        if matches!(stream.phase, Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. }) {
            self.note_over(id, &stream);
            self.outputs.push_back(Output::Ended { stream: id });
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
