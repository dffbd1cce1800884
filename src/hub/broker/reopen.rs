//! Opening a stream again after a connection was lost before its legs were joined.
//!
//! The hub knows what it has passed on: before the join, that is at most the early data sent with a request. Unless the
//! target may have that, the device is asked again, within the service's timeouts; on its control connection, where an
//! agent drops what it has begun for an earlier request, or refuses if that has passed on early data. Where the target
//! may have the early data, only an end that resumes can continue, and any other open is refused.

use std::time::Instant;

use bytes::Bytes;

use super::stream::{Earlier, EarlyState, Phase, Stream};
use super::{Broker, LegExit, OpenRequest, Output};
use crate::hub::event::{Event, Operation};
use crate::proto::id::{ConnectionId, Role, StreamId};
use crate::proto::limits::DEVICE_REQUESTS_PER_STREAM;
use crate::proto::message::Hello;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{HubRun, ResumeTicket};
use crate::proto::stream::StreamProtocol;

impl Broker {
    /// Records that a request's early data was not sent with it, and cannot be any more.
    pub fn early_unsent(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.early = EarlyState::Unsent;
        }
    }

    /// Repeats a request on the control connection after its standby connection broke.
    pub(super) fn standby_failed(&mut self, id: StreamId, connection: ConnectionId, was_sent: bool, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.phase != (Phase::Requested { connection }) {
            return;
        }
        if !was_sent {
            stream.early = EarlyState::Unsent;
        }
        self.request_again(id, RefusalKind::LostWhileOpening.into(), now);
    }

    /// Handles the end of a leg before the legs are joined.
    pub(super) fn left_while_opening(&mut self, id: StreamId, role: Role, exit: &LegExit, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        let resumes = stream.resumes();
        match (exit, role, &stream.phase) {
            (.., Phase::Failed(_)) => {}
            (LegExit::Closed | LegExit::Aborted, ..) => self.refuse(id, lost_leg(role), now),
            // Its end may have the ticket, and returns.
            (LegExit::Lost(..), Role::Service, _) if resumes => {}
            (LegExit::Lost(..), Role::Device, Phase::Accepted) if resumes && stream.early == EarlyState::PassedOn => {}
            // The response decides.
            (LegExit::Lost(..), Role::Device, Phase::AwaitingDevice | Phase::Requested { .. }) => {}
            (LegExit::Lost(..), Role::Device, _) => self.request_again(id, lost_leg(role), now),
            (LegExit::Lost(..), Role::Service, _) => self.refuse(id, lost_leg(role), now),
        }
    }

    /// Requests the device again, or when it is back online; refuses the stream if the target may have its early
    /// data, or it was requested too often.
    pub(super) fn request_again(&mut self, id: StreamId, lost: Refusal, now: Instant) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.early == EarlyState::PassedOn || stream.device_requests >= DEVICE_REQUESTS_PER_STREAM {
            self.refuse(id, lost, now);
        } else if self.devices.contains_key(&stream.request.device) {
            self.request_device(id, now);
        } else {
            self.await_device(id, now);
        }
    }

    /// Ends the earlier request with this id, whose connection broke before its result, and returns what it leaves.
    /// Fails if the target may have its early data, and if the earlier request has to go on.
    pub(super) fn take_over(&mut self, id: StreamId, request: &OpenRequest, now: Instant) -> Result<Earlier, Refusal> {
        let refusal = Refusal::from(RefusalKind::LostWhileOpening);
        let stream = self.streams.get(&id);
        let Some(earlier) = stream.map(Stream::for_repetition).or_else(|| self.recent_requests.get(&id).copied())
        else {
            return Ok(Earlier { early: EarlyState::Unsent, device_requests: 0 });
        };
        // On a standby connection it is the original, arriving late: clients repeat requests on other connections.
        if request.standby || stream.is_some_and(|stream| !stream.is_requested_by(request)) {
            return Err(refusal);
        }
        let was_joined = stream.is_some_and(|stream| !stream.is_opening());
        self.end(id, refusal.clone(), now);
        if was_joined || earlier.early == EarlyState::PassedOn {
            return Err(refusal);
        }
        // Legs that still connect find the token void.
        self.forget(id);
        Ok(earlier)
    }

    /// Refuses a repeated request: its early data must not be delivered a second time.
    pub(super) fn refuse_repetition(
        &mut self,
        id: StreamId,
        requester: ConnectionId,
        request: OpenRequest,
        refusal: Refusal,
        now: Instant,
    ) {
        let again = Stream::new(requester, request, now);
        let event = again.event(id, Operation::Invoke, refusal.kind.row().label, now);
        self.record(Event { reason: refusal.kind.row().sentence.into(), ..event });
        self.outputs.push_back(Output::CompleteOpen { requester, result: Err(refusal) });
    }

    /// Remembers a stream that is forgotten, if its device was requested and its service can repeat its request.
    pub(super) fn remember_request(&mut self, id: StreamId, stream: &Stream) {
        if stream.request.stream.is_some() && stream.device_requests > 0 {
            self.recent_requests.remove(&id);
            self.recent_requests.insert(id, stream.for_repetition());
        }
    }
}

/// The refusal of a stream that lost a leg while it was opened.
pub(super) fn lost_leg(role: Role) -> Refusal {
    Refusal::new(RefusalKind::LostWhileOpening, format!("the {role}'s connection"))
}

impl Stream {
    /// Reports whether the legs have never been joined.
    pub(super) fn is_opening(&self) -> bool {
        match self.phase {
            Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_) => true,
            Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. } => false,
        }
    }

    /// Reports whether a standby connection of the service, which sends ahead, waits for the device.
    pub(super) fn is_awaited_on_standby(&self) -> bool {
        self.request.standby && matches!(self.phase, Phase::AwaitingDevice | Phase::Requested { .. })
    }

    /// Returns what must be known of this request for one that repeats it.
    fn for_repetition(&self) -> Earlier {
        Earlier { early: self.early, device_requests: self.device_requests }
    }

    /// Reports whether the request may repeat this stream's.
    fn is_requested_by(&self, request: &OpenRequest) -> bool {
        self.request.service == request.service && self.request.device == request.device
    }

    /// Takes the early data that is sent with a request to this run of the agent; none with a repetition.
    pub(super) fn take_early_for(&mut self, run: u64, repeated: bool) -> Bytes {
        let early = std::mem::take(&mut self.request.early);
        if repeated || early.is_empty() {
            return Bytes::new();
        }
        self.early = EarlyState::Sent { run };
        early
    }

    /// Records that an agent has accepted: on the connection that the early data was sent on, or on the control
    /// connection. An agent does not accept there what it has passed early data on for.
    pub(super) fn early_accepted(&mut self, standby: bool) {
        if let EarlyState::Sent { .. } = self.early {
            self.early = if standby { EarlyState::PassedOn } else { EarlyState::Unsent };
        }
    }

    /// Agrees on the protocol with an agent. What the service has been told stays.
    pub(super) fn negotiate(&mut self, hello: &Hello, resumption: bool) -> Result<(), Refusal> {
        let known = |protocol: &StreamProtocol| {
            self.request.protocols.contains(protocol) && hello.protocols.iter().any(|name| name == protocol.as_str())
        };
        let protocol = StreamProtocol::offered(resumption).find(known);
        if !self.is_granted() {
            self.protocol = protocol;
            // Only the resumable protocol tells when the other end has received everything.
            self.reusable = self.request.reusable && hello.reusable && self.resumes();
        } else if protocol != self.protocol || self.reusable && !hello.reusable {
            return Err(Refusal::new(RefusalKind::LostWhileOpening, "the device's agent was restarted"));
        }
        Ok(())
    }

    /// Detaches the leg that must return with its ticket before the legs can be joined, since the other one has and
    /// expects to resume.
    pub(super) fn detach_unresumed(&mut self) -> Option<ConnectionId> {
        let slot = match (self.device.has_returned(), self.service.has_returned()) {
            (true, false) => &mut self.service,
            (false, true) => &mut self.device,
            (true, true) | (false, false) => return None,
        };
        let leg = slot.leg();
        slot.detach();
        leg
    }

    /// Reports whether a ticket is for this stream, from this run of the hub unless the stream was adopted, and for the
    /// device's present end. Until the legs are joined, the service's end goes on with another one.
    pub(super) fn is_ticket_current(&self, ticket: &ResumeTicket, hub: HubRun) -> bool {
        if !self.is_named_by(ticket) || ticket.hub != hub && !self.adopted {
            return false;
        }
        match ticket.role {
            Role::Device => self.agent_run == ticket.agent && self.device_requests <= ticket.request,
            Role::Service => self.agent_run == ticket.agent || self.is_opening(),
        }
    }

    /// Reports whether a ticket names this stream's ends and forward: a service may have requested the id again for
    /// another forward, and its scope is checked for the stream's.
    fn is_named_by(&self, ticket: &ResumeTicket) -> bool {
        (&self.request.device, &self.request.service) == (&ticket.device, &ticket.service)
            && self.request.name.as_ref() == Some(&ticket.name)
    }
}
