//! The broker's driver: processes one input at a time, then executes every output that it caused.

mod presence;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    ActiveStream, Attachment, DeviceCommand, DeviceRegistration, DeviceStandby, JoinOutcome, OpenResult,
    StandbyRequest, StreamTotals,
};
use crate::hub::activity::Activity;
use crate::hub::broker::{Broker, DeviceRequest, Input, JoinedStream, LegAttach, OpenRequest, Output, Settings};
use crate::hub::event::Operation;
use crate::net::os::clock;
use crate::net::os::random;
use crate::net::tunnel::relay::WaitingBytes;
use crate::net::websocket::Transport;
use crate::net::websocket::channel::RoundTrip;
use crate::proto::admin::StreamStatus;
use crate::proto::id::{ConnectionId, DeviceId, HubId, StreamId};
use crate::proto::message::DeadTarget;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// The channels to an online device.
#[derive(Debug)]
struct Device {
    commands: mpsc::Sender<DeviceCommand>,
    since: Timestamp,
    round_trip: Arc<RoundTrip>,
    /// Its standby connections, the last used at the end.
    standbys: Vec<oneshot::Sender<StandbyRequest>>,
    /// Requests on standby connections without a response: dropping the guard withdraws the request.
    withdrawals: HashMap<StreamId, DropGuard>,
    /// Its forwards whose targets do not answer.
    dead_targets: Vec<DeadTarget>,
}

/// The broker and the channels to everyone it serves.
pub(super) struct BrokerDriver<T> {
    pub(super) broker: Broker,
    activity: Activity,
    devices: HashMap<ConnectionId, Device>,
    /// Devices with open streams whose agent was told to end.
    ending: HashSet<DeviceId>,
    requesters: HashMap<ConnectionId, oneshot::Sender<OpenResult>>,
    /// The leg that is being attached, and its outcome.
    attaching: Option<ConnectionId>,
    attachment: Option<Result<Attachment<T>, Refusal>>,
    rendezvous: HashMap<ConnectionId, oneshot::Sender<JoinOutcome<T>>>,
    pub(super) active: HashMap<StreamId, Arc<ActiveStream>>,
    totals: watch::Sender<StreamTotals>,
    draining: bool,
    /// The deadline that the timer task sleeps for.
    armed_deadline: Option<Instant>,
    /// When streams gave way for lack of memory last, and what was to be freed then.
    pub(super) relieved: Option<(Instant, u64)>,
    /// The bytes that wait for the readers of all streams.
    waiting: Arc<WaitingBytes>,
}

impl<T: Transport> BrokerDriver<T> {
    /// A broker without devices or streams. `totals` publishes the numbers of streams.
    pub(super) fn new(
        settings: Settings,
        id: HubId,
        activity: Activity,
        totals: watch::Sender<StreamTotals>,
        waiting: Arc<WaitingBytes>,
    ) -> Self {
        Self {
            broker: Broker::new(settings, id, random::bytes),
            activity,
            devices: HashMap::new(),
            ending: HashSet::new(),
            requesters: HashMap::new(),
            attaching: None,
            attachment: None,
            rendezvous: HashMap::new(),
            active: HashMap::new(),
            totals,
            draining: false,
            armed_deadline: None,
            relieved: None,
            waiting,
        }
    }

    /// Registers an online device.
    pub(super) fn register_device(&mut self, device: DeviceId, registration: DeviceRegistration) {
        let DeviceRegistration { connection, hello, address, round_trip, commands } = registration;
        let device_at = Device {
            commands,
            since: clock::now_utc(),
            round_trip,
            standbys: Vec::new(),
            withdrawals: HashMap::new(),
            dead_targets: Vec::new(),
        };
        self.devices.insert(connection, device_at);
        self.ending.remove(&device);
        self.handle(Input::DeviceConnected { device, connection, hello, address });
    }

    /// Requests a stream. The result arrives on the channel.
    pub(super) fn open(&mut self, requester: ConnectionId, request: OpenRequest) -> oneshot::Receiver<OpenResult> {
        let (sender, result) = oneshot::channel();
        self.requesters.insert(requester, sender);
        self.handle(Input::OpenRequested { requester, request });
        result
    }

    /// Attaches a leg with its credential.
    pub(super) fn attach_leg(&mut self, attach: LegAttach) -> Result<Attachment<T>, Refusal> {
        (self.attaching, self.attachment) = (Some(attach.leg), None);
        self.handle(Input::LegAttached(attach));
        self.attachment.take().unwrap_or_else(|| Err(RefusalKind::PeerGone.into()))
    }

    /// Processes an input and executes its outputs.
    pub(super) fn handle(&mut self, input: Input) {
        self.unregister(&input);
        self.disarm_withdrawal(&input);
        self.draining |= matches!(input, Input::Drain);
        self.broker.handle(input, clock::now());
        self.execute_outputs();
    }

    /// Processes all deadlines that have passed.
    pub(super) fn handle_timeout(&mut self) {
        self.broker.handle_timeout(clock::now());
        self.execute_outputs();
    }

    /// Returns the next deadline for the timer task to sleep for.
    pub(super) fn arm_timer(&mut self) -> Option<Instant> {
        self.armed_deadline = self.broker.next_deadline();
        self.armed_deadline
    }

    /// Reports, once, whether a deadline precedes the one that is slept for.
    pub(super) fn take_earlier_deadline(&mut self) -> bool {
        let next = self.broker.next_deadline();
        let earlier = next.is_some_and(|next| self.armed_deadline.is_none_or(|armed_deadline| next < armed_deadline));
        if earlier {
            self.armed_deadline = next;
        }
        earlier
    }

    /// Ends every stream and refuses every waiting leg.
    pub(super) fn end_all(&mut self) {
        self.active.values().for_each(|active| active.end(RefusalKind::Draining.into()));
        for (_, rendezvous) in self.rendezvous.drain() {
            let _ = rendezvous.send(JoinOutcome::Refused(RefusalKind::Draining.into()));
        }
    }

    /// Releases everyone without the broker, whose state can no longer be trusted.
    pub(super) fn abort(&mut self) {
        self.end_all();
        self.requesters.clear();
        self.devices.clear();
    }

    fn execute_outputs(&mut self) {
        while let Some(output) = self.broker.next_output() {
            self.execute(output);
        }
        let totals = self.totals();
        self.totals.send_if_modified(|current| std::mem::replace(current, totals) != totals);
    }

    /// The blocking streams are counted only while the hub drains.
    fn totals(&self) -> StreamTotals {
        let all = self.broker.streams();
        StreamTotals { all, blocking: if self.draining { self.broker.non_resumable_streams() } else { all } }
    }

    /// Removes the channels of those who have left.
    fn unregister(&mut self, input: &Input) {
        match input {
            Input::DeviceDisconnected { connection, .. } => drop(self.devices.remove(connection)),
            Input::RequesterLeft { requester } => drop(self.requesters.remove(requester)),
            Input::LegLeft { leg, .. } => drop(self.rendezvous.remove(leg)),
            Input::DeviceConnected { .. }
            | Input::PresentElsewhere { .. }
            | Input::HubsChanged(_)
            | Input::DevicesWaitElsewhere { .. }
            | Input::OpenRequested { .. }
            | Input::DeviceResponded { .. }
            | Input::StandbyFailed { .. }
            | Input::LegAttached(_)
            | Input::IdentityRevoked { .. }
            | Input::ScopeChanged { .. }
            | Input::KeysChanged { .. }
            | Input::StreamKilled { .. }
            | Input::GivesWay { .. }
            | Input::Drain => {}
        }
    }

    fn execute(&mut self, output: Output) {
        match output {
            Output::Displace { connection, by } => self.send_command(connection, DeviceCommand::Displaced(by)),
            Output::Dismiss { connection, reason } => self.send_command(connection, DeviceCommand::Dismissed(reason)),
            Output::RevalidateKey { connection } => self.send_command(connection, DeviceCommand::RevalidateKey),
            Output::RequestDevice { connection, request } => self.request(connection, request),
            Output::CancelRequest { connection, stream } => {
                let device = self.devices.get_mut(&connection);
                if device.and_then(|device| device.withdrawals.remove(&stream)).is_none() {
                    self.send_command(connection, DeviceCommand::CancelRequest(stream));
                }
            }
            Output::CompleteOpen { requester, result } => {
                if let Some(requester) = self.requesters.remove(&requester) {
                    let _ = requester.send(result);
                }
            }
            Output::Admit { leg, admission } => {
                let (rendezvous, receiver) = oneshot::channel();
                self.rendezvous.insert(leg, rendezvous);
                self.attachment = Some(Ok((admission, receiver)));
            }
            Output::Refuse { leg, refusal } => match self.rendezvous.remove(&leg) {
                Some(rendezvous) => drop(rendezvous.send(JoinOutcome::Refused(refusal))),
                None if self.attaching == Some(leg) => self.attachment = Some(Err(refusal)),
                None => {}
            },
            Output::Join(joined) => self.join(joined),
            Output::EndStream { stream, refusal } => {
                if let Some(active) = self.active.get(&stream) {
                    active.end(refusal);
                }
            }
            Output::StreamEnded { stream } => drop(self.active.remove(&stream)),
            Output::Record(mut event) => {
                // Interruptions, and the end of interrupted streams, are recorded by the broker, which does not count
                // bytes.
                if matches!(event.operation, Operation::StreamClosed | Operation::StreamInterrupted) {
                    let active = event.stream.and_then(|stream| self.active.get(&stream));
                    event.bytes = Some(active.map(|active| active.counters.total()).unwrap_or_default());
                }
                self.activity.record(event);
            }
        }
    }

    /// Adds a standby connection of an online device. Closed ones make room.
    pub(super) fn add_standby(&mut self, standby: DeviceStandby) {
        let connection = self.broker.connection_of_run(&standby.device, standby.run);
        if let Some(device) = connection.and_then(|connection| self.devices.get_mut(&connection)) {
            if device.standbys.len() == device.standbys.capacity() {
                device.standbys.retain(|standby| !standby.is_closed());
            }
            device.standbys.push(standby.requests);
        }
    }

    /// Sends a request on a standby connection, else, and if it is a repetition, on the control connection.
    fn request(&mut self, connection: ConnectionId, mut request: DeviceRequest) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        let (withdrawn, stream) = (CancellationToken::new(), request.stream);
        while !request.repeated
            && let Some(standby) = device.standbys.pop()
        {
            match standby.send(StandbyRequest { connection, request, withdrawn: withdrawn.clone() }) {
                Ok(()) => {
                    device.withdrawals.insert(stream, withdrawn.drop_guard());
                    return;
                }
                Err(unsent) => request = unsent.request,
            }
        }
        if !request.early.is_empty() {
            // The control connection carries none.
            self.broker.early_unsent(request.stream);
        }
        self.send_command(connection, DeviceCommand::RequestStream(Box::new(request)));
    }

    /// Has a request repeated whose standby connection broke, before or after it `was_sent` there. The other standby
    /// connections, which took the same path, are dropped.
    pub(super) fn standby_failed(&mut self, connection: ConnectionId, stream: StreamId, was_sent: bool) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        device.standbys.clear();
        if device.withdrawals.remove(&stream).is_some() {
            self.handle(Input::StandbyFailed { connection, stream, was_sent });
        }
    }

    /// Keeps a request that has its response from being withdrawn.
    fn disarm_withdrawal(&mut self, input: &Input) {
        if let Input::DeviceResponded { connection, response, standby: true } = input
            && let Some(device) = self.devices.get_mut(connection)
            && let Some(guard) = device.withdrawals.remove(&response.request_id)
        {
            guard.disarm();
        }
    }

    /// Joins two legs. If one is gone, its guard ends the stream.
    fn join(&mut self, joined: JoinedStream) {
        let device = self.rendezvous.remove(&joined.device_leg);
        let service = self.rendezvous.remove(&joined.service_leg);
        let (Some(device), Some(service)) = (device, service) else { return };
        let (sender, receiver) = oneshot::channel();
        // A resumed stream keeps its counters.
        let counters = self.active.remove(&joined.stream).map(|active| active.counters.clone()).unwrap_or_default();
        let active = Arc::new(ActiveStream::with_counters(counters, &self.waiting));
        self.active.insert(joined.stream, active.clone());
        let _ = device.send(JoinOutcome::SendLeg(sender));
        let _ = service.send(JoinOutcome::Relay(receiver, Box::new(joined), active));
    }

    /// Sends a command. A device that does not read them fills its queue: removing it here closes its connection.
    fn send_command(&mut self, connection: ConnectionId, command: DeviceCommand) {
        if let Some(device) = self.devices.get(&connection)
            && device.commands.try_send(command).is_err()
        {
            self.devices.remove(&connection);
        }
    }

    /// Returns the bytes relayed by all open streams, to devices and to services.
    pub(super) fn bytes_carried(&self) -> (u64, u64) {
        let totals = self.active.values().map(|active| active.counters.total());
        totals.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    pub(super) fn streams(&self) -> Vec<StreamStatus> {
        let now = clock::now();
        let status = |(id, request, state, requested_at): (StreamId, &OpenRequest, &'static str, Instant)| {
            let bytes = self.active.get(&id).map(|active| active.counters.total()).unwrap_or_default();
            StreamStatus {
                id,
                device: request.device.clone(),
                name: request.name.clone(),
                service: request.service.clone(),
                source: request.source,
                state: state.into(),
                age_seconds: now.saturating_duration_since(requested_at).as_secs(),
                bytes_to_device: bytes.0,
                bytes_to_service: bytes.1,
                hub: None,
            }
        };
        self.broker.all_streams().map(status).collect()
    }
}
