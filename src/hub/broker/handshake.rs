//! The handshake of a stream: from its request until both legs are joined.

use std::cmp::Reverse;
use std::time::Instant;

use super::reopen::lost_leg;
use super::stream::{self, Earlier, EarlyState, Phase, Stream};
use super::{
    Broker, DeviceRequest, Grant, JoinedStream, LegAdmission, LegAttach, LegCredential, LegExit, OpenRequest, Output,
};
use crate::hub::event::{ACCEPTED, Operation};
use crate::proto::id::{ConnectionId, Role, StreamId};
use crate::proto::limits::{HALF_OPEN_GRACE, RETURN_WAIT};
use crate::proto::message::StreamResponse;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::StreamToken;

impl Broker {
    pub(super) fn open_requested(&mut self, requester: ConnectionId, request: OpenRequest, now: Instant) {
        let id = request.stream.unwrap_or_else(|| StreamId::from_bytes(self.random_id()));
        let Earlier { early, device_requests } = match self.take_over(id, &request, now) {
            Ok(earlier) => earlier,
            Err(refusal) => return self.refuse_repetition(id, requester, request, refusal, now),
        };
        let refusal = self.refusal_of_request(&request, now);
        let stream = Stream { early, device_requests, ..Stream::new(requester, request, now) };
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

    /// Returns the refusal of a new stream that the hub, or a limit, does not allow. A device whose places for handshakes
    /// are taken has room if one of them is given up.
    fn refusal_of_request(&mut self, request: &OpenRequest, now: Instant) -> Option<Refusal> {
        if self.draining {
            return Some(RefusalKind::Draining.into());
        }
        let streams = self.stream_counts.reached_limit(request, request.scope.max_streams);
        let limit = streams.or_else(|| self.pending_counts.reached_limit(request, None))?;
        let gave_up = limit.is_of_pending_at_device() && self.give_up_half_open(request, now);
        (!gave_up).then(|| limit.refusal())
    }

    /// Gives up a handshake for another service's request: the oldest half-open one of the service that has the most
    /// handshakes with the device, if that has more than the requesting service has with it. Reports whether there was
    /// one. Looks at all streams, which is rare: it takes more than one service to fill a device's places.
    fn give_up_half_open(&mut self, request: &OpenRequest, now: Instant) -> bool {
        let count = |service| self.pending_counts.of_service_at(&request.device, service);
        let own = count(&request.service);
        let candidates = self.streams.iter().filter_map(|(id, stream)| {
            let since = stream.half_open_since().filter(|since| *since + HALF_OPEN_GRACE <= now)?;
            let others = (stream.request.device == request.device).then(|| count(&stream.request.service))?;
            // Else the two would take each other's places in turn.
            (own == 0 || own + 1 < others).then_some((others, Reverse(since), *id))
        });
        let Some((.., id)) = candidates.max() else { return false };
        let detail = "the service did not connect to the streaming endpoint, and another one needs its place";
        self.refuse(id, Refusal::new(RefusalKind::HubBusy, detail), now);
        true
    }

    /// Waits for an offline device until the service's connect timeout; for one that was asked and left, from then on and
    /// at least for [`RETURN_WAIT`], within the time for its response.
    pub(super) fn await_device(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.phase = Phase::AwaitingDevice;
        let return_deadline = now + stream.request.connect_timeout.max(RETURN_WAIT);
        let reopen_deadline = stream.reopen_deadline().map(|deadline| deadline.min(return_deadline));
        let until = reopen_deadline.unwrap_or(stream.connect_deadline);
        if until <= now || self.draining {
            let kind = if self.draining { RefusalKind::Draining } else { RefusalKind::DeviceOffline };
            self.refuse(id, kind.into(), now);
        } else {
            self.set_timer(id, Some(until));
        }
    }

    /// Sends the request to an online device.
    pub(super) fn request_device(&mut self, id: StreamId, now: Instant) {
        let token = StreamToken::new((self.random)());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.request.until.is_some_and(|until| until <= now) {
            // While the device was offline.
            let ended = stream.access_ended();
            return self.refuse(id, ended, now);
        }
        let Some(agent) = self.devices.get(&stream.request.device) else { return };
        let name = match stream.choose_forward(&agent.hello) {
            Ok(name) => name,
            Err(refusal) => return self.refuse(id, refusal, now),
        };
        let run = agent.hello.run;
        if matches!(stream.early, EarlyState::Sent { run: asked } if asked != run && !stream.request.repeatable) {
            // The former agent may have delivered the early data to the target; this one does not know.
            return self.refuse(id, RefusalKind::LostWhileOpening.into(), now);
        }
        if let Some(leg) = stream.device.leg() {
            // Attached for an earlier request, on a control connection that is gone.
            stream.device.detach();
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::PeerGone.into() });
        }
        stream.request.name = Some(name.clone());
        if let Err(refusal) = stream.negotiate(&agent.hello, self.settings.resume.is_some()) {
            return self.refuse(id, refusal, now);
        }
        if stream.agent_run != run
            && stream.resumes()
            && let Some(leg) = stream.service.leg()
        {
            // Its ticket is for the former agent's stream.
            stream.service.detach();
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::Interrupted.into() });
        }
        stream.agent_run = run;
        stream.phase = Phase::Requested { connection: agent.connection };
        // Set once: a device that reconnects repeatedly must not prolong the service's wait.
        stream.handshake_deadline.get_or_insert(now + self.settings.handshake);
        stream.device.issue_token(&token, now + self.settings.token);
        let until = stream.response_deadline(now);
        let repeated = stream.is_repetition();
        stream.device_requests += 1;
        let early = stream.take_early_for(run, repeated);
        let request = DeviceRequest {
            stream: id,
            name,
            token,
            protocol: stream.protocol,
            service: stream.request.service.clone(),
            source: stream.request.source,
            ticket: stream.ticket(id, Role::Device, self.hub).zip(self.settings.resume),
            reusable: stream.reusable,
            end_to_end: stream.request.end_to_end,
            repeated,
            early,
            repeatable: stream.request.repeatable,
        };
        self.outputs.push_back(Output::RequestDevice { connection: agent.connection, request });
        self.set_timer(id, until);
    }

    pub(super) fn requester_left(&mut self, requester: ConnectionId, now: Instant) {
        let Some(id) = self.connections.get(&requester).copied() else { return };
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.requester == Some(requester)) else {
            return;
        };
        stream.requester = None;
        self.connections.remove(&requester);
        self.refuse(id, Refusal::new(RefusalKind::PeerGone, "the service left before the device responded"), now);
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
            // A device that accepted may still fail to connect its leg.
            Phase::Accepted if !response.accepted && is_current && stream.device.leg().is_none() => {}
            // A response that is late, repeated or from another connection changes nothing.
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
        (stream.phase, stream.accepted_at) = (Phase::Accepted, Some(now));
        stream.end_to_end = response.end_to_end;
        stream.early_accepted(standby);
        let (until, lost) = (stream.handshake_deadline, stream.device.has_lost_leg());
        self.set_timer(id, until);
        self.complete_open(id, standby, now);
        if lost {
            return self.request_again(id, lost_leg(Role::Device), now);
        }
        // The service's leg may be there from an earlier acceptance.
        self.join_if_complete(id, now);
    }

    /// Gives the service the result of its request, unless it has it from an earlier acceptance.
    fn complete_open(&mut self, id: StreamId, standby: bool, now: Instant) {
        let Some(requester) = self.streams.get_mut(&id).and_then(|stream| stream.requester.take()) else { return };
        let token = StreamToken::new((self.random)());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.service.issue_token(&token, now + self.settings.token);
        let (protocol, reusable, end_to_end) = (stream.protocol, stream.reusable, stream.end_to_end);
        let event = stream.event(id, Operation::Invoke, ACCEPTED, now);
        // Recorded before the result: the requester can then check that the record was not lost.
        self.record(event);
        self.connections.remove(&requester);
        let grant = Grant { stream: id, token, protocol, reusable, end_to_end, early_data_delivered: standby };
        self.outputs.push_back(Output::CompleteOpen { requester, result: Ok(grant) });
    }

    pub(super) fn leg_attached(&mut self, attach: LegAttach, now: Instant) {
        // Before its credential is spent: an end with the new key may still use that.
        let Some(key) = self.present_key(&attach.principal, attach.key) else {
            let refusal = Refusal::new(RefusalKind::KeyReplaced, attach.principal.to_string());
            return self.outputs.push_back(Output::Refuse { leg: attach.leg, refusal });
        };
        let attach = LegAttach { key, ..attach };
        let token = match &attach.credential {
            LegCredential::Token(token) => token,
            LegCredential::Ticket(ticket) => {
                let ticket = ticket.as_ref().clone();
                return self.resume_leg(attach, &ticket, now);
            }
        };
        let (id, principal) = (attach.bridge.stream, &attach.principal);
        let wrong = match self.streams.get_mut(&id) {
            None => Some("unknown or ended stream"),
            Some(stream) if !stream.belongs_to(principal) => Some("token of another role or identity"),
            // The sender was authorised for the device in the path.
            Some(stream) if stream.request.device != attach.bridge.device => Some("token of another device's stream"),
            Some(stream) => stream.slot(principal.role).spend_token(token, now).err(),
        };
        match wrong {
            Some(wrong) => self.reject_leg(&attach, wrong),
            None => self.admit_leg(&attach, now),
        }
    }

    /// Refuses a leg with a wrong credential. The refusal does not say what was wrong.
    pub(super) fn reject_leg(&mut self, attach: &LegAttach, wrong: &str) {
        self.outputs.push_back(Output::Refuse { leg: attach.leg, refusal: RefusalKind::AuthenticationFailed.into() });
        self.record(stream::token_rejected(attach.bridge.stream, &attach.principal, wrong, attach.address));
    }

    /// Admits a leg whose credential was accepted.
    pub(super) fn admit_leg(&mut self, attach: &LegAttach, now: Instant) {
        let LegAttach { leg, bridge, principal, address, scope, until, key, .. } = attach;
        let (leg, id, key) = (*leg, bridge.stream, *key);
        if principal.role == Role::Service {
            // The scope may have changed after it was read and before the request.
            self.rescope(id, scope, *until, now);
        }
        let (hub, grace) = (self.hub, self.settings.resume);
        let Some(stream) = self.streams.get_mut(&id) else {
            return self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::NotPermitted.into() });
        };
        if let Phase::Failed(refusal) = &stream.phase {
            return self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
        }
        if principal.role == Role::Service {
            // Its address may have changed since the request.
            stream.request.source = *address;
        }
        match attach.credential {
            LegCredential::Token(_) => stream.slot(principal.role).attach(leg, *address, key),
            LegCredential::Ticket(_) => {
                // A connection that joins with a ticket is not reused.
                stream.reusable = false;
                stream.slot(principal.role).reattach(leg, *address, key);
            }
        }
        let ticket = stream.ticket(id, principal.role, hub).zip(grace);
        let reusable_by_run = stream.reusable.then_some(stream.agent_run);
        let admission = LegAdmission { protocol: stream.protocol, ticket, reusable_by_run };
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
        let access_end = stream.access_end();
        if let Some((_, key_of)) = access_end.filter(|(until, _)| *until <= now) {
            return self.access_ended(id, key_of, now);
        }
        let until = access_end.map(|(until, _)| until);
        let (Some(device_leg), Some(service_leg)) = (stream.device.leg(), stream.service.leg()) else { return };
        if let Some(leg) = stream.detach_unresumed() {
            self.connections.remove(&leg);
            return self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::Interrupted.into() });
        }
        stream.early = EarlyState::PassedOn;
        let opened = stream.opened(id, now);
        stream.phase = Phase::Joined;
        let since = *stream.opened_at.get_or_insert(now);
        let (protocol, reusable) = (stream.protocol, stream.reusable);
        let joined =
            JoinedStream { stream: id, device_leg, service_leg, protocol, reusable, since, opened: opened.clone() };
        if !resumed {
            self.pending_counts.remove(&stream.request.device, &stream.request.service);
        }
        // From now on the service's leg stands for the stream: its end is the stream's end or interruption.
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
                // Lost while the end was announced.
                let reason = reason.clone();
                stream.device.detach();
                stream.service.detach();
                self.abandon(id, reason, now);
            }
            (Phase::Joined, LegExit::Closed) if resumes => {
                self.recently_closed.insert(id, ());
                self.forget(id);
            }
            (Phase::Joined | Phase::Ending(_), _) => self.forget(id),
            (Phase::Interrupted { .. }, LegExit::Lost(..)) if is_former => {}
            (Phase::Interrupted { .. }, exit) => {
                // A leg that has returned and waits learns the outcome.
                if !is_former {
                    stream.slot(role).detach();
                }
                match exit {
                    LegExit::Lost(..) => {}
                    LegExit::Closed => self.close(id, now),
                    LegExit::Aborted => {
                        self.abandon(id, Refusal::new(RefusalKind::NotResumed, "the other end closed it"), now)
                    }
                }
            }
            (Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_), exit) => {
                stream.slot(role).detach();
                self.left_while_opening(id, role, &exit, now);
            }
        }
    }
}
