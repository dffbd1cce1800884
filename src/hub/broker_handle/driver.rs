//! What the broker decides, carried out: one input at a time, then every output it caused.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Answer, Arriving, Counts, DeviceAsked, Live, Meeting, Notice, Ready, Verdict};
use crate::hub::activity::Activity;
use crate::hub::broker::{Ask, Broker, DeviceAsk, Input, Joint, Operation, Output, Settings, SideArrival};
use crate::net::channel::RoundTrip;
use crate::net::clock;
use crate::net::random;
use crate::net::websocket::Transport;
use crate::proto::admin::{Presence, StreamStatus};
use crate::proto::id::{ConnectionId, DeviceId, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// A device's control connection, as the desk reaches it.
#[derive(Debug)]
struct Device {
    notices: mpsc::Sender<Notice>,
    since: Timestamp,
    round_trip: Arc<RoundTrip>,
    /// Its connections that stand by, the one that was used last at the end.
    standbys: Vec<oneshot::Sender<DeviceAsked>>,
    /// What it was asked on those, and has not yet answered: dropped, that is withdrawn.
    asked: HashMap<StreamId, DropGuard>,
}

/// The broker with everybody it can answer.
pub(super) struct BrokerDriver<T> {
    broker: Broker,
    activity: Activity,
    devices: HashMap<ConnectionId, Device>,
    askers: HashMap<ConnectionId, oneshot::Sender<Answer>>,
    /// The side that is arriving, and what is said of it.
    arriving: Option<ConnectionId>,
    verdict: Option<Result<Verdict<T>, Refusal>>,
    meetings: HashMap<ConnectionId, oneshot::Sender<Meeting<T>>>,
    live: HashMap<StreamId, Arc<Live>>,
    counts: watch::Sender<Counts>,
    draining: bool,
    /// The deadline that is waited for.
    waited_for: Option<Instant>,
}

impl<T: Transport> BrokerDriver<T> {
    /// With nobody there yet; tells how many streams there are.
    pub(super) fn new(settings: Settings, activity: Activity, counts: watch::Sender<Counts>) -> Self {
        Self {
            broker: Broker::new(settings, random::bytes),
            activity,
            devices: HashMap::new(),
            askers: HashMap::new(),
            arriving: None,
            verdict: None,
            meetings: HashMap::new(),
            live: HashMap::new(),
            counts,
            draining: false,
            waited_for: None,
        }
    }

    /// A device has said hello.
    pub(super) fn arrive(&mut self, device: DeviceId, arriving: Arriving) {
        let Arriving { connection, hello, address, round_trip, notices } = arriving;
        let device_at =
            Device { notices, since: clock::now_utc(), round_trip, standbys: Vec::new(), asked: HashMap::new() };
        self.devices.insert(connection, device_at);
        self.tell(Input::DeviceArrived { device, connection, hello, address });
    }

    /// A service asks for a stream.
    pub(super) fn open(&mut self, asker: ConnectionId, ask: Ask) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        self.askers.insert(asker, sender);
        self.tell(Input::Asked { asker, ask });
        answer
    }

    /// A side shows its token.
    pub(super) fn let_in(&mut self, arrival: SideArrival) -> Result<Verdict<T>, Refusal> {
        (self.arriving, self.verdict) = (Some(arrival.leg), None);
        self.tell(Input::SideArrived(arrival));
        self.verdict.take().unwrap_or_else(|| Err(RefusalKind::PeerGone.into()))
    }

    /// Something happened.
    pub(super) fn tell(&mut self, input: Input) {
        self.let_go(&input);
        self.no_withdrawal(&input);
        self.draining |= matches!(input, Input::Drain);
        self.broker.handle(input, clock::now());
        self.carry_out_all();
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self) {
        self.broker.handle_timeout(clock::now());
        self.carry_out_all();
    }

    /// The next deadline, for whoever waits for it.
    pub(super) fn wait(&mut self) -> Option<Instant> {
        self.waited_for = self.broker.next_deadline();
        self.waited_for
    }

    /// Whether there is a deadline before the one that is waited for: said once.
    pub(super) fn take_sooner(&mut self) -> bool {
        let next = self.broker.next_deadline();
        let sooner = next.is_some_and(|next| self.waited_for.is_none_or(|waited_for| next < waited_for));
        if sooner {
            self.waited_for = next;
        }
        sooner
    }

    /// Every stream ends, and nobody meets any more.
    pub(super) fn end_all(&mut self) {
        self.live.values().for_each(|live| live.end(RefusalKind::Draining.into()));
        for (_, meeting) in self.meetings.drain() {
            let _ = meeting.send(Meeting::Refused(RefusalKind::Draining.into()));
        }
    }

    /// Lets go of everybody without the broker, which is asked no more.
    pub(super) fn hang_up(&mut self) {
        self.end_all();
        self.askers.clear();
        self.devices.clear();
    }

    fn carry_out_all(&mut self) {
        while let Some(output) = self.broker.next_output() {
            self.carry_out(output);
        }
        let counts = self.counts();
        self.counts.send_if_modified(|told| std::mem::replace(told, counts) != counts);
    }

    /// Which streams keep a hub from ending matters only when it wants to.
    fn counts(&self) -> Counts {
        let all = self.broker.streams();
        Counts { all, holding: if self.draining { self.broker.bound_to_end() } else { all } }
    }

    /// Forgets how to reach who has gone.
    fn let_go(&mut self, input: &Input) {
        match input {
            Input::DeviceLeft { connection, .. } => drop(self.devices.remove(connection)),
            Input::AskerLeft { asker } => drop(self.askers.remove(asker)),
            Input::SideLeft { leg, .. } => drop(self.meetings.remove(leg)),
            Input::DeviceArrived { .. }
            | Input::Asked { .. }
            | Input::Answered { .. }
            | Input::SideArrived(_)
            | Input::Revoked { .. }
            | Input::Rescoped { .. }
            | Input::KeysChanged { .. }
            | Input::Killed { .. }
            | Input::Drain => {}
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Displace { connection, by } => self.notify(connection, Notice::Displaced(by)),
            Output::Dismiss { connection, why } => self.notify(connection, Notice::Dismissed(why)),
            Output::Recheck { connection } => self.notify(connection, Notice::Recheck),
            Output::AskDevice { connection, request } => self.ask(connection, request),
            Output::CancelDevice { connection, stream } => {
                let device = self.devices.get_mut(&connection);
                if device.and_then(|device| device.asked.remove(&stream)).is_none() {
                    self.notify(connection, Notice::Cancel(stream));
                }
            }
            Output::Answer { asker, answer } => {
                if let Some(asker) = self.askers.remove(&asker) {
                    let _ = asker.send(answer);
                }
            }
            Output::Admit { leg, admission } => {
                let (meeting, receiver) = oneshot::channel();
                self.meetings.insert(leg, meeting);
                self.verdict = Some(Ok((admission, receiver)));
            }
            Output::Refuse { leg, refusal } => match self.meetings.remove(&leg) {
                Some(meeting) => drop(meeting.send(Meeting::Refused(refusal))),
                None if self.arriving == Some(leg) => self.verdict = Some(Err(refusal)),
                None => {}
            },
            Output::Join(joint) => self.join(joint),
            Output::EndStream { stream, refusal } => {
                if let Some(live) = self.live.get(&stream) {
                    live.end(refusal);
                }
            }
            Output::Ended { stream } => drop(self.live.remove(&stream)),
            Output::Record(mut event) => {
                // A stream that comes apart, or is given up after that, is the broker's to tell of.
                if matches!(event.operation, Operation::StreamClosed | Operation::StreamInterrupted) {
                    let live = event.stream.and_then(|stream| self.live.get(&stream));
                    event.bytes = Some(live.map(|live| live.carried.total()).unwrap_or_default());
                }
                self.activity.record(event);
            }
        }
    }

    /// A device's connection stands by, for as long as the device is online. Those that are gone make room.
    pub(super) fn stand_by(&mut self, ready: Ready) {
        let seat = self.broker.seat(&ready.device, ready.run);
        if let Some(device) = seat.and_then(|connection| self.devices.get_mut(&connection)) {
            if device.standbys.len() == device.standbys.capacity() {
                device.standbys.retain(|standby| !standby.is_closed());
            }
            device.standbys.push(ready.wanted);
        }
    }

    /// On a connection that stands by, if there is one.
    fn ask(&mut self, connection: ConnectionId, mut request: DeviceAsk) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        let (withdrawn, stream) = (CancellationToken::new(), request.stream);
        while let Some(standby) = device.standbys.pop() {
            match standby.send(DeviceAsked { connection, ask: request, withdrawn: withdrawn.clone() }) {
                Ok(()) => {
                    device.asked.insert(stream, withdrawn.drop_guard());
                    return;
                }
                Err(back) => request = back.ask,
            }
        }
        self.notify(connection, Notice::Ask(Box::new(request)));
    }

    /// A connection that stood by broke before its answer. The others, which went the same way, are not tried.
    pub(super) fn ask_otherwise(&mut self, connection: ConnectionId, request: DeviceAsk) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        device.standbys.clear();
        if device.asked.remove(&request.stream).is_some() && self.broker.awaits_answer(request.stream, connection) {
            self.notify(connection, Notice::Ask(Box::new(request)));
        }
    }

    /// What was answered need not be withdrawn.
    fn no_withdrawal(&mut self, input: &Input) {
        if let Input::Answered { connection, response, standby: true } = input
            && let Some(device) = self.devices.get_mut(connection)
            && let Some(guard) = device.asked.remove(&response.request_id)
        {
            guard.disarm();
        }
    }

    /// A side that is gone by now has said so, or will: its farewell ends the stream.
    fn join(&mut self, joint: Joint) {
        let device = self.meetings.remove(&joint.device_leg);
        let service = self.meetings.remove(&joint.service_leg);
        let (Some(device), Some(service)) = (device, service) else { return };
        let (give, take) = oneshot::channel();
        // One that was interrupted goes on counting.
        let carried = self.live.remove(&joint.stream).map(|live| live.carried.clone()).unwrap_or_default();
        let live = Arc::new(Live { carried, ..Live::default() });
        self.live.insert(joint.stream, live.clone());
        let _ = device.send(Meeting::Give(give));
        let _ = service.send(Meeting::Take(take, Box::new(joint), live));
    }

    /// A device that lets its notices pile up is not reading: forgetting it here ends its connection.
    fn notify(&mut self, connection: ConnectionId, notice: Notice) {
        if let Some(device) = self.devices.get(&connection)
            && device.notices.try_send(notice).is_err()
        {
            self.devices.remove(&connection);
        }
    }

    pub(super) fn presence(&self, device: &DeviceId) -> Option<Presence> {
        let (connection, hello, address) = self.broker.online(device)?;
        let reached = self.devices.get(&connection);
        Some(Presence {
            since: reached.map_or_else(clock::now_utc, |device| device.since),
            address,
            version: hello.version.clone(),
            forwards: hello.forwards.clone(),
            round_trip_us: reached.and_then(|device| device.round_trip.micros()),
        })
    }

    pub(super) fn devices_online(&self) -> usize {
        self.broker.devices_online()
    }

    pub(super) fn has_stream(&self, stream: StreamId) -> bool {
        self.broker.has_stream(stream)
    }

    /// What all streams that run have carried, to the device and to the service.
    pub(super) fn carried(&self) -> (u64, u64) {
        let totals = self.live.values().map(|live| live.carried.total());
        totals.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub(super) fn streams(&self) -> Vec<StreamStatus> {
        let now = clock::now();
        let status = |(id, ask, state, asked_at): (StreamId, &Ask, &'static str, Instant)| {
            let bytes = self.live.get(&id).map(|live| live.carried.total()).unwrap_or_default();
            StreamStatus {
                id,
                device: ask.device.clone(),
                name: ask.name.clone(),
                service: ask.service.clone(),
                source: ask.source,
                state: state.into(),
                age_seconds: now.saturating_duration_since(asked_at).as_secs(),
                bytes_to_device: bytes.0,
                bytes_to_service: bytes.1,
            }
        };
        self.broker.all_streams().map(status).collect()
    }
}
