//! A stream from its request until both sides are joined.

use std::time::Instant;

use bytes::Bytes;

use super::stream::{self, Phase, Stream};
use super::{
    ACCEPTED, Admission, Broker, DeviceRequest, Event, Grant, JoinedStream, LegAttach, LegCredential, LegExit,
    OpenRequest, Operation, Output,
};
use crate::proto::id::{ConnectionId, Role, StreamId};
use crate::proto::message::StreamResponse;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::StreamToken;
use crate::proto::stream::StreamProtocol;

impl Broker {
    pub(super) fn open_requested(&mut self, requester: ConnectionId, request: OpenRequest, now: Instant) {
        let id = request.stream.unwrap_or_else(|| StreamId::from_bytes(self.random_id()));
        if self.streams.contains_key(&id) {
            return self.repeated_open(id, requester, &request, now);
        }
        let stream = Stream::new(requester, request, now);
        let full = self
            .pending_counts
            .exceeded_limit(&stream.request, None)
            .or_else(|| self.stream_counts.exceeded_limit(&stream.request, stream.request.scope.max_streams));
        let refusal = match full {
            _ if self.draining => Some(RefusalKind::Draining.into()),
            Some(limit) => Some(Refusal::new(RefusalKind::HubBusy, limit)),
            None => None,
        };
        self.pending_counts.add(&stream.request.device, &stream.request.service);
        self.stream_counts.add(&stream.request.device, &stream.request.service);
        self.connections.insert(requester, id);
        let online = self.devices.contains_key(&stream.request.device);
        self.streams.insert(id, stream);
        match refusal {
            Some(refusal) => self.refuse(id, refusal, now),
            None if online => self.request_device(id, now),
            None => self.await_device(id, now),
        }
    }

    /// A request that is repeated, because the connection on which it was made broke before the answer. What came along with
    /// it may have reached the device, so it is not passed on a second time.
    fn repeated_open(&mut self, id: StreamId, requester: ConnectionId, request: &OpenRequest, now: Instant) {
        let refusal = Refusal::from(RefusalKind::LostWhileOpening);
        // One that comes on a standby connection is the first one, late: whoever repeats a request does so on another way.
        if !request.standby && self.streams.get(&id).is_some_and(|stream| stream.request.service == request.service) {
            self.end(id, refusal.clone(), now);
        }
        let again = Stream::new(requester, request.clone(), now);
        let event = again.event(id, Operation::Invoke, refusal.kind.row().label, now);
        self.record(Event { reason: RefusalKind::LostWhileOpening.row().sentence.into(), ..event });
        self.outputs.push_back(Output::CompleteOpen { requester, result: Err(refusal) });
    }

    /// The device is not here: the service waits as long as it said it would.
    pub(super) fn await_device(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.phase = Phase::AwaitingDevice;
        let until = stream.connect_deadline;
        if until <= now || self.draining {
            let kind = if self.draining { RefusalKind::Draining } else { RefusalKind::DeviceOffline };
            self.refuse(id, kind.into(), now);
        } else {
            self.set_timer(id, Some(until));
        }
    }

    /// The device is here: ask it.
    pub(super) fn request_device(&mut self, id: StreamId, now: Instant) {
        let token = StreamToken::new((self.random)());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(agent) = self.devices.get(&stream.request.device) else { return };
        let name = match stream.choose_forward(&agent.hello) {
            Ok(name) => name,
            Err(refusal) => return self.refuse(id, refusal, now),
        };
        if stream.handshake_deadline.is_some() && stream.agent != agent.hello.run && !stream.request.early.is_empty() {
            // The former agent may have passed on what came along with the request, and this one does not know.
            return self.refuse(id, RefusalKind::LostWhileOpening.into(), now);
        }
        if let Some(leg) = stream.device.leg() {
            // It came in answer to an earlier request, on a control connection that is gone.
            stream.device.detach();
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::PeerGone.into() });
        }
        let known = |protocol: &StreamProtocol| {
            stream.request.protocols.contains(protocol)
                && agent.hello.protocols.iter().any(|name| name == protocol.as_str())
        };
        let protocol = StreamProtocol::offered(self.settings.resume.is_some()).find(known);
        stream.request.name = Some(name.clone());
        (stream.protocol, stream.agent) = (protocol, agent.hello.run);
        // Others cannot tell when the other end has everything.
        stream.reusable = stream.request.reusable && agent.hello.reusable && stream.resumes();
        stream.phase = Phase::Requested { connection: agent.connection };
        // Set once: a device that comes and goes must not keep the service waiting for ever.
        let handshake_deadline = *stream.handshake_deadline.get_or_insert(now + self.settings.handshake);
        stream.device.issue_token(&token, now + self.settings.token);
        let until = handshake_deadline.min(now + stream.request.response_timeout);
        let request = DeviceRequest {
            stream: id,
            name,
            token,
            protocol,
            service: stream.request.service.clone(),
            source: stream.request.source,
            ticket: stream.ticket(id, Role::Device, self.run).zip(self.settings.resume),
            reusable: stream.reusable,
            early: stream.request.early.clone(),
        };
        self.outputs.push_back(Output::RequestDevice { connection: agent.connection, request });
        self.set_timer(id, Some(until));
    }

    pub(super) fn requester_left(&mut self, requester: ConnectionId, now: Instant) {
        let Some(id) = self.connections.get(&requester).copied() else { return };
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.requester == Some(requester)) else {
            return;
        };
        stream.requester = None;
        self.connections.remove(&requester);
        self.refuse(id, Refusal::new(RefusalKind::PeerGone, "the service left before the answer"), now);
    }

    pub(super) fn device_responded(
        &mut self,
        connection: ConnectionId,
        response: StreamResponse,
        standby: bool,
        now: Instant,
    ) {
        let id = response.request_id;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_current = self.devices.get(&stream.request.device).is_some_and(|agent| agent.connection == connection);
        match stream.phase {
            Phase::Requested { connection: requested } if requested == connection => {}
            // A device that said yes may find that it cannot come after all.
            Phase::Accepted if !response.accepted && is_current && stream.device.leg().is_none() => {}
            // An answer that comes too late, twice, or from somebody else changes nothing.
            Phase::Requested { .. }
            | Phase::Accepted
            | Phase::AwaitingDevice
            | Phase::Failed(_)
            | Phase::Joined
            | Phase::Ending(_)
            | Phase::Interrupted { .. } => return,
        }
        if !response.accepted {
            return self.refuse(id, stream::device_refusal(response.reason), now);
        }
        let token = StreamToken::new((self.random)());
        stream.phase = Phase::Accepted;
        stream.service.issue_token(&token, now + self.settings.token);
        let until = stream.handshake_deadline;
        let (protocol, reusable) = (stream.protocol, stream.reusable);
        stream.request.early = Bytes::new();
        let event = stream.event(id, Operation::Invoke, ACCEPTED, now);
        let requester = stream.requester.take();
        // Recorded first: whoever gets the answer can tell whether the record was lost.
        self.record(event);
        if let Some(requester) = requester {
            self.connections.remove(&requester);
            let grant = Grant { stream: id, token, protocol, reusable, has_early: standby };
            self.outputs.push_back(Output::CompleteOpen { requester, result: Ok(grant) });
        }
        self.set_timer(id, until);
    }

    pub(super) fn leg_attached(&mut self, arrival: LegAttach, now: Instant) {
        let token = match &arrival.credential {
            LegCredential::Token(token) => token,
            LegCredential::Ticket(ticket) => {
                let ticket = ticket.as_ref().clone();
                return self.resume_leg(arrival, &ticket, now);
            }
        };
        let (id, principal) = (arrival.bridge.stream, &arrival.principal);
        let wrong = match self.streams.get_mut(&id) {
            None => Some("unknown or ended stream"),
            Some(stream) if !stream.belongs_to(principal) => Some("the token of another role or identity"),
            // Whether the sender may come to this device was decided by what the path says.
            Some(stream) if stream.request.device != arrival.bridge.device => {
                Some("the token of another device's stream")
            }
            Some(stream) => stream.slot(principal.role).spend_token(token, now).err(),
        };
        match wrong {
            Some(wrong) => self.reject_leg(&arrival, wrong),
            None => self.admit_leg(&arrival, now),
        }
    }

    /// Whoever shows what is not good hears no more than that.
    pub(super) fn reject_leg(&mut self, arrival: &LegAttach, wrong: &str) {
        self.outputs.push_back(Output::Refuse { leg: arrival.leg, refusal: RefusalKind::AuthenticationFailed.into() });
        self.record(stream::token_rejected(arrival.bridge.stream, &arrival.principal, wrong, arrival.address));
    }

    /// What a side showed is good.
    pub(super) fn admit_leg(&mut self, arrival: &LegAttach, now: Instant) {
        let LegAttach { leg, bridge, principal, address, scope, until, .. } = arrival;
        let (leg, id) = (*leg, bridge.stream);
        if principal.role == Role::Service {
            // A change of the scope may have come between the reading of it and the request.
            self.rescope(id, scope, *until, now);
        }
        let (run, grace) = (self.run, self.settings.resume);
        let Some(stream) = self.streams.get_mut(&id) else {
            return self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::NotPermitted.into() });
        };
        if let Phase::Failed(refusal) = &stream.phase {
            return self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
        }
        if principal.role == Role::Service {
            // It may have moved since it asked.
            stream.request.source = *address;
        }
        stream.slot(principal.role).attach(leg, *address);
        let ticket = stream.ticket(id, principal.role, run).zip(grace);
        let reusable = stream.reusable.then_some(stream.agent);
        let admission = Admission { protocol: stream.protocol, ticket, reusable };
        self.connections.insert(leg, id);
        self.outputs.push_back(Output::Admit { leg, admission });
        self.join_if_complete(id, now);
    }

    pub(super) fn join_if_complete(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let resumed = matches!(stream.phase, Phase::Interrupted { .. });
        if stream.phase != Phase::Accepted && !resumed {
            return;
        }
        let until = stream.request.until;
        if until.is_some_and(|until| until <= now) {
            return self.end(id, RefusalKind::AccessEnded.into(), now);
        }
        let (Some(device_leg), Some(service_leg)) = (stream.device.leg(), stream.service.leg()) else { return };
        let opened = stream.opened(id, now);
        stream.phase = Phase::Joined;
        let since = *stream.opened_at.get_or_insert(now);
        let (protocol, reusable) = (stream.protocol, stream.reusable);
        let joined =
            JoinedStream { stream: id, device_leg, service_leg, protocol, reusable, since, opened: opened.clone() };
        if !resumed {
            self.pending_counts.remove(&stream.request.device, &stream.request.service);
        }
        // The service's side now stands for the stream: when it leaves, the stream is over, or comes apart.
        self.connections.remove(&device_leg);
        self.set_timer(id, until);
        self.record(opened);
        self.outputs.push_back(Output::Join(joined));
    }

    pub(super) fn leg_left(&mut self, leg: ConnectionId, exit: LegExit, now: Instant) {
        let Some(id) = self.connections.remove(&leg) else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let role = if stream.device.leg() == Some(leg) { Role::Device } else { Role::Service };
        let is_former = stream.slot(role).leg() != Some(leg);
        let resumes = stream.resumes();
        match (&stream.phase, exit) {
            (Phase::Joined | Phase::Ending(_), _) if is_former => {}
            (Phase::Joined, LegExit::Lost(role, reason)) if resumes => self.interrupt(id, (role, reason), now),
            (Phase::Ending(reason), LegExit::Lost(..)) if resumes => {
                // It was lost in the moment in which it was told to end.
                let reason = reason.clone();
                stream.device.detach();
                stream.service.detach();
                self.abandon(id, reason, now);
            }
            (Phase::Joined, LegExit::Closed) if resumes => {
                self.recently_closed.insert(id);
                self.forget(id);
            }
            (Phase::Joined | Phase::Ending(_), _) => self.forget(id),
            (Phase::Interrupted { .. }, LegExit::Lost(..)) if is_former => {}
            (Phase::Interrupted { .. }, exit) => {
                // A side that waits anew is told what becomes of the stream.
                if !is_former {
                    stream.slot(role).detach();
                }
                match exit {
                    LegExit::Lost(..) => {}
                    LegExit::Closed => self.close(id, now),
                    LegExit::Deliberate => {
                        self.abandon(id, Refusal::new(RefusalKind::NotResumed, "the other side has ended it"), now)
                    }
                }
            }
            (Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_), _) => {
                stream.slot(role).detach();
                self.refuse(id, Refusal::new(RefusalKind::LostWhileOpening, format!("that of the {role}")), now);
            }
        }
    }
}
