//! PURE. The broker: which devices are online, which streams are requested, which legs are joined.
//!
//! In: one [`Input`] at a time with the present time. Out: [`Output`]s, to be executed in order, and a deadline,
//! [`Broker::next_deadline`]. No bytes pass through. Randomness is passed to the constructor, so that a simulation
//! depends on its seed alone.

mod apart;
mod devices;
mod handshake;
mod messages;
mod reopen;
mod resume;
mod revocation;
mod stream;
mod stream_counts;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;

pub use messages::{
    DeviceRequest, Grant, Input, JoinedStream, LegAdmission, LegAttach, LegCredential, LegExit, LegKey, OpenRequest,
    Output, Settings, WaitingLeg,
};
use stream::{Earlier, Phase, Stream};
pub use stream_counts::StreamLimits;
use stream_counts::{ServiceShare, StreamCounts};

use super::cluster::view::other_hubs::OtherHubs;
use super::event::{DEVICE_REFUSALS, Event, Operation};
use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::{ConnectionId, DeviceId, HubId, Principal, Role, ServiceName, StreamId};
use crate::proto::limits::{RECENT_REQUESTS_OF_HUB, RECENTLY_CLOSED_STREAMS};
use crate::proto::message::Hello;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::HubRun;

/// An online device's control connection.
#[derive(Debug)]
struct DeviceConnection {
    connection: ConnectionId,
    hello: Hello,
    address: SocketAddr,
}

/// The state of all devices and streams.
pub struct Broker {
    settings: Settings,
    random: Box<dyn FnMut() -> [u8; 32] + Send>,
    devices: HashMap<DeviceId, DeviceConnection>,
    streams: HashMap<StreamId, Stream>,
    /// The stream of each waiting requester and admitted leg.
    connections: HashMap<ConnectionId, StreamId>,
    timers: BTreeSet<(Instant, StreamId)>,
    pending_counts: StreamCounts,
    stream_counts: StreamCounts,
    /// Retained failed handshakes.
    failed: usize,
    draining: bool,
    /// This run of the hub, as in its tickets.
    hub: HubRun,
    /// The other hubs of the cluster.
    other_hubs: OtherHubs,
    /// The time of its first input.
    started_at: Option<Instant>,
    /// Streams of an earlier run that were adopted and have ended.
    ended_after_restart: HashSet<StreamId>,
    /// The streams whose device's end waits at another hub, and until when that counts.
    waiting_elsewhere: BoundedMap<StreamId, Instant>,
    /// The last streams that both ends closed: a leg that lost its connection meanwhile is refused as `AlreadyEnded`.
    recently_closed: BoundedMap<StreamId, ()>,
    /// The last streams whose ids services chose, for one that repeats its request.
    recent_requests: BoundedMap<StreamId, Earlier>,
    /// The keys of the last identities whose keys changed, for legs that were authenticated before.
    recent_keys: BoundedMap<Principal, Vec<LegKey>>,
    outputs: VecDeque<Output>,
}

/// The limit on remembered changes of keys: a leg is attached within a moment of its authentication, and no operator
/// rotates as many keys meanwhile.
const RECENT_KEY_CHANGES: usize = 1024;

/// The limit on retained failed handshakes: a leg that is still connecting learns the cause. Beyond it, its token
/// counts as wrong.
const MAX_RETAINED_FAILURES: usize = 4096;

impl Broker {
    /// A broker without devices or streams, of the hub with this id. `random` supplies ids and tokens.
    pub fn new(settings: Settings, id: HubId, mut random: impl FnMut() -> [u8; 32] + Send + 'static) -> Self {
        let run = u64::from_le_bytes(random().first_chunk().copied().unwrap_or_default());
        Self {
            settings,
            random: Box::new(random),
            devices: HashMap::new(),
            streams: HashMap::new(),
            connections: HashMap::new(),
            timers: BTreeSet::new(),
            pending_counts: StreamCounts::new(settings.pending, ServiceShare::Half),
            stream_counts: StreamCounts::new(settings.streams, ServiceShare::AsManyAsFree),
            failed: 0,
            draining: false,
            hub: HubRun { id: Some(id), run },
            other_hubs: OtherHubs::default(),
            started_at: None,
            ended_after_restart: HashSet::new(),
            waiting_elsewhere: BoundedMap::new(apart::MAX_WAITING_ELSEWHERE),
            recently_closed: BoundedMap::new(RECENTLY_CLOSED_STREAMS),
            recent_requests: BoundedMap::new(RECENT_REQUESTS_OF_HUB),
            recent_keys: BoundedMap::new(RECENT_KEY_CHANGES),
            outputs: VecDeque::new(),
        }
    }

    /// Processes an input; the outputs are queued.
    pub fn handle(&mut self, input: Input, now: Instant) {
        self.started_at.get_or_insert(now);
        self.forget_earlier_runs(now);
        match input {
            Input::DeviceConnected { device, connection, hello, address } => {
                self.device_connected(device, DeviceConnection { connection, hello, address }, now);
            }
            Input::PresentElsewhere { device, run, address } => self.present_elsewhere(&device, run, address, now),
            Input::DeviceDisconnected { device, connection, reason } => {
                self.device_disconnected(&device, connection, reason, now)
            }
            Input::OpenRequested { requester, request } => self.open_requested(requester, request, now),
            Input::RequesterLeft { requester } => self.requester_left(requester, now),
            Input::DeviceResponded { connection, response, standby } => {
                self.device_responded(connection, response, standby, now)
            }
            Input::StandbyFailed { connection, stream, was_sent } => {
                self.standby_failed(stream, connection, was_sent, now)
            }
            Input::LegAttached(attach) => self.leg_attached(attach, now),
            Input::LegLeft { leg, exit } => self.leg_left(leg, exit, now),
            Input::IdentityRevoked { principal, reason } => self.identity_revoked(&principal, &reason, now),
            Input::ScopeChanged { service, scope, until } => self.scope_changed(&service, &scope, until, now),
            Input::KeysChanged { principal, keys } => self.keys_changed(&principal, keys, now),
            Input::GivesWay { stream, refusal } if refusal.kind == RefusalKind::Interrupted => {
                self.interrupt_for_memory(stream, refusal, now);
            }
            Input::GivesWay { stream, refusal } => self.end(stream, refusal, now),
            Input::StreamKilled { stream } => self.end(stream, RefusalKind::StreamKilled.into(), now),
            Input::HubsChanged(others) => {
                self.other_hubs = others;
                self.return_to_living_hubs();
            }
            Input::DevicesWaitElsewhere { streams } => self.devices_wait_elsewhere(&streams, now),
            Input::Drain => self.drain(now),
        }
    }

    /// Processes all deadlines up to `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timed_out(id, now);
        }
    }

    /// Returns the next queued output.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Returns the next deadline, at which [`Broker::handle_timeout`] must be called.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Returns this hub and its run, as in its tickets.
    pub fn hub_run(&self) -> HubRun {
        self.hub
    }

    /// Returns the number of streams: handshakes, open and interrupted streams.
    pub fn streams(&self) -> usize {
        self.stream_counts.total()
    }

    /// Returns the service of a joined stream, and whether its ends resume it.
    pub fn joined(&self, stream: StreamId) -> Option<(&ServiceName, bool)> {
        let joined = self.streams.get(&stream).filter(|stream| stream.phase == Phase::Joined)?;
        Some((&joined.request.service, joined.resumes()))
    }

    /// Returns the number of services that have streams or ask for one; `asking` is `None` for one that is not known.
    pub fn services(&self, asking: Option<&ServiceName>) -> usize {
        self.stream_counts.services()
            + usize::from(!asking.is_some_and(|service| self.stream_counts.has_service(service)))
    }

    /// Returns the number of streams that would not survive a restart of the hub.
    pub fn non_resumable_streams(&self) -> usize {
        let bound = |stream: &&Stream| match stream.phase {
            Phase::Joined => !stream.resumes(),
            Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Ending(_) => true,
            Phase::Interrupted { .. } | Phase::Failed(_) => false,
        };
        self.streams.values().filter(bound).count()
    }

    /// Returns the number of retained ended streams: failed handshakes, and adopted streams of an earlier run.
    pub fn retained(&self) -> usize {
        self.failed + self.ended_after_restart.len()
    }

    /// Returns the online devices.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceId> {
        self.devices.keys()
    }

    /// Returns the number of online devices.
    pub fn devices_online(&self) -> usize {
        self.devices.len()
    }

    /// Returns an online device's connection, hello and address.
    pub fn online(&self, device: &DeviceId) -> Option<(ConnectionId, &Hello, SocketAddr)> {
        self.devices.get(device).map(|online| (online.connection, &online.hello, online.address))
    }

    /// Returns the device's connection if it is online with this run of its agent.
    pub fn connection_of_run(&self, device: &DeviceId, run: u64) -> Option<ConnectionId> {
        self.devices.get(device).filter(|online| online.hello.run == run).map(|online| online.connection)
    }

    /// Reports whether the stream exists: requested, open or interrupted.
    pub fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.phase.word().is_some())
    }

    /// Returns every existing stream with its request, state and time of request.
    pub fn all_streams(&self) -> impl Iterator<Item = (StreamId, &OpenRequest, &'static str, Instant)> {
        self.streams
            .iter()
            .filter_map(|(id, stream)| Some((*id, &stream.request, stream.phase.word()?, stream.requested_at)))
    }

    fn drain(&mut self, now: Instant) {
        self.draining = true;
        let waiting = self.streams.iter().filter(|(_, stream)| stream.phase == Phase::AwaitingDevice);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.refuse(id, RefusalKind::Draining.into(), now);
        }
    }

    fn timed_out(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        match &stream.phase {
            Phase::AwaitingDevice => self.refuse(id, RefusalKind::DeviceOffline.into(), now),
            Phase::Requested { .. } => {
                let refusal = Refusal::new(RefusalKind::HandshakeTimedOut, "the device did not respond");
                self.refuse(id, refusal, now);
            }
            Phase::Accepted => {
                let absent = if stream.device.leg().is_none() { Role::Device } else { Role::Service };
                let detail = format!("the {absent} did not connect to the streaming endpoint");
                self.refuse(id, Refusal::new(RefusalKind::HandshakeTimedOut, detail), now);
            }
            Phase::Joined => {
                let key_of = stream.access_end().and_then(|(_, key_of)| key_of);
                self.access_ended(id, key_of, now);
            }
            Phase::Interrupted { until, .. } if *until <= now => self.abandon(id, RefusalKind::NotResumed.into(), now),
            Phase::Interrupted { .. } => {
                let ended = stream.access_ended();
                self.abandon(id, ended, now);
            }
            Phase::Ending(_) => self.set_timer(id, None),
            Phase::Failed(_) => self.forget(id),
        }
    }

    /// Fails a handshake and tells everyone who waits for it. It is retained until its tokens expire, so that a leg
    /// that is still connecting learns the cause.
    fn refuse(&mut self, id: StreamId, refusal: Refusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if matches!(stream.phase, Phase::Failed(_) | Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. }) {
            return;
        }
        let event = stream.event(id, Operation::Invoke, refusal.kind.row().label, now);
        let event = Event { reason: refusal.detail.as_str().into(), ..event };
        if let Phase::Requested { connection } = stream.phase
            && !DEVICE_REFUSALS.contains(&refusal.kind)
        {
            self.outputs.push_back(Output::CancelRequest { connection, stream: id });
        }
        if DEVICE_REFUSALS.contains(&refusal.kind) {
            // A device that refused does not connect.
            stream.device.revoke_token();
        }
        let expected = stream.device.has_unspent_token() || stream.service.has_unspent_token();
        stream.phase = Phase::Failed(refusal.clone());
        stream.request.early = Bytes::new();
        let until = stream.handshake_deadline;
        let requester = stream.requester.take();
        let legs = [stream.device.leg(), stream.service.leg()];
        stream.device.detach();
        stream.service.detach();
        self.pending_counts.remove(&stream.request.device, &stream.request.service);
        self.stream_counts.remove(&stream.request.device, &stream.request.service);
        for leg in legs.into_iter().flatten() {
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
        }
        if let Some(requester) = requester {
            self.connections.remove(&requester);
            self.outputs.push_back(Output::CompleteOpen { requester, result: Err(refusal) });
        }
        self.record(event);
        match until.filter(|until| expected && *until > now && self.failed < MAX_RETAINED_FAILURES) {
            Some(until) => {
                self.failed += 1;
                self.set_timer(id, Some(until));
            }
            None => {
                self.set_timer(id, None);
                self.streams.remove(&id).inspect(|stream| self.remember_request(id, stream));
            }
        }
    }

    fn forget(&mut self, id: StreamId) {
        self.set_timer(id, None);
        let Some(stream) = self.streams.remove(&id) else { return };
        self.remember_request(id, &stream);
        if let Phase::Failed(_) = stream.phase {
            self.failed -= 1;
            return;
        }
        self.stream_counts.remove(&stream.request.device, &stream.request.service);
        if matches!(stream.phase, Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. }) {
            self.remember_ended(id, &stream);
            self.outputs.push_back(Output::StreamEnded { stream: id });
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

    fn streams_of_device(&self, device: &DeviceId, predicate: impl Fn(&Stream) -> bool) -> Vec<StreamId> {
        let of_device = |stream: &Stream| stream.request.device == *device && predicate(stream);
        let mut ids: Vec<_> =
            self.streams.iter().filter(|(_, s)| of_device(s)).map(|(id, s)| (s.requested_at, *id)).collect();
        // In the order of the requests; deterministic for a given seed.
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
