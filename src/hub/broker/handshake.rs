//! A stream from its request until both sides are joined.

use std::time::Instant;

use bytes::Bytes;

use super::stream::{self, Phase, Stream};
use super::{
    ACCEPTED, Admission, Ask, Broker, DeviceAsk, Event, Grant, Joint, Left, Operation, Output, Shown, SideArrival,
};
use crate::proto::id::{ConnectionId, Role, StreamId};
use crate::proto::message::StreamResponse;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::StreamToken;
use crate::proto::stream::StreamProtocol;

impl Broker {
    pub(super) fn asked(&mut self, asker: ConnectionId, ask: Ask, now: Instant) {
        let id = ask.stream.unwrap_or_else(|| StreamId::from_bytes(self.random_id()));
        if self.streams.contains_key(&id) {
            return self.asked_again(id, asker, &ask, now);
        }
        let stream = Stream::new(asker, ask, now);
        let full =
            self.pending.full(&stream.ask, None).or_else(|| self.all.full(&stream.ask, stream.ask.scope.max_streams));
        let refusal = match full {
            _ if self.draining => Some(RefusalKind::Draining.into()),
            Some(limit) => Some(Refusal::new(RefusalKind::HubBusy, limit)),
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

    /// A request that is repeated, because the connection on which it was made broke before the answer. What came along with
    /// it may have reached the device, so it is not passed on a second time.
    fn asked_again(&mut self, id: StreamId, asker: ConnectionId, ask: &Ask, now: Instant) {
        let refusal = Refusal::from(RefusalKind::LostWhileOpening);
        // One that comes on a standby connection is the first one, late: whoever repeats a request does so on another way.
        if !ask.standby && self.streams.get(&id).is_some_and(|stream| stream.ask.service == ask.service) {
            self.end(id, refusal.clone(), now);
        }
        let again = Stream::new(asker, ask.clone(), now);
        let event = again.event(id, Operation::Invoke, refusal.kind.row().label, now);
        self.record(Event { reason: RefusalKind::LostWhileOpening.row().sentence.into(), ..event });
        self.outputs.push_back(Output::Answer { asker, answer: Err(refusal) });
    }

    /// The device is not here: the service waits as long as it said it would.
    pub(super) fn await_device(&mut self, id: StreamId, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.phase = Phase::Waiting;
        let until = stream.online_until;
        if until <= now || self.draining {
            let kind = if self.draining { RefusalKind::Draining } else { RefusalKind::DeviceOffline };
            self.refuse(id, kind.into(), now);
        } else {
            self.set_timer(id, Some(until));
        }
    }

    /// The device is here: ask it.
    pub(super) fn ask_device(&mut self, id: StreamId, now: Instant) {
        let token = StreamToken::new((self.random)());
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let Some(seat) = self.seats.get(&stream.ask.device) else { return };
        let name = match stream.choose(&seat.hello) {
            Ok(name) => name,
            Err(refusal) => return self.refuse(id, refusal, now),
        };
        if stream.handshake_until.is_some() && stream.agent != seat.hello.run && !stream.ask.early.is_empty() {
            // The former agent may have passed on what came along with the request, and this one does not know.
            return self.refuse(id, RefusalKind::LostWhileOpening.into(), now);
        }
        if let Some(leg) = stream.device.leg() {
            // It came in answer to an earlier request, on a control connection that is gone.
            stream.device.left();
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::PeerGone.into() });
        }
        let known = |protocol: &StreamProtocol| {
            stream.ask.protocols.contains(protocol) && seat.hello.protocols.iter().any(|name| name == protocol.as_str())
        };
        let protocol = StreamProtocol::offered(self.settings.resume.is_some()).find(known);
        stream.ask.name = Some(name.clone());
        (stream.protocol, stream.agent) = (protocol, seat.hello.run);
        // Others cannot tell when the other end has everything.
        stream.reusable = stream.ask.reusable && seat.hello.reusable && stream.resumes();
        stream.phase = Phase::Asked { connection: seat.connection };
        // Set once: a device that comes and goes must not keep the service waiting for ever.
        let handshake_until = *stream.handshake_until.get_or_insert(now + self.settings.handshake);
        stream.device.expect(&token, now + self.settings.token);
        let until = handshake_until.min(now + stream.ask.response_timeout);
        let request = DeviceAsk {
            stream: id,
            name,
            token,
            protocol,
            service: stream.ask.service.clone(),
            source: stream.ask.source,
            ticket: stream.ticket(id, Role::Device, self.run).zip(self.settings.resume),
            reusable: stream.reusable,
            early: stream.ask.early.clone(),
        };
        self.outputs.push_back(Output::AskDevice { connection: seat.connection, request });
        self.set_timer(id, Some(until));
    }

    pub(super) fn asker_left(&mut self, asker: ConnectionId, now: Instant) {
        let Some(id) = self.connections.get(&asker).copied() else { return };
        let Some(stream) = self.streams.get_mut(&id).filter(|stream| stream.asker == Some(asker)) else { return };
        stream.asker = None;
        self.connections.remove(&asker);
        self.refuse(id, Refusal::new(RefusalKind::PeerGone, "the service left before the answer"), now);
    }

    pub(super) fn answered(&mut self, connection: ConnectionId, response: StreamResponse, standby: bool, now: Instant) {
        let id = response.request_id;
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let seated = self.seats.get(&stream.ask.device).is_some_and(|seat| seat.connection == connection);
        match stream.phase {
            Phase::Asked { connection: asked } if asked == connection => {}
            // A device that said yes may find that it cannot come after all.
            Phase::Accepted if !response.accepted && seated && stream.device.leg().is_none() => {}
            // An answer that comes too late, twice, or from somebody else changes nothing.
            Phase::Asked { .. }
            | Phase::Accepted
            | Phase::Waiting
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
        stream.service.expect(&token, now + self.settings.token);
        let until = stream.handshake_until;
        let (protocol, reusable) = (stream.protocol, stream.reusable);
        stream.ask.early = Bytes::new();
        let event = stream.event(id, Operation::Invoke, ACCEPTED, now);
        let asker = stream.asker.take();
        // Recorded first: whoever gets the answer can tell whether the record was lost.
        self.record(event);
        if let Some(asker) = asker {
            self.connections.remove(&asker);
            let grant = Grant { stream: id, token, protocol, reusable, has_early: standby };
            self.outputs.push_back(Output::Answer { asker, answer: Ok(grant) });
        }
        self.set_timer(id, until);
    }

    pub(super) fn side_arrived(&mut self, arrival: SideArrival, now: Instant) {
        let token = match &arrival.shown {
            Shown::Token(token) => token,
            Shown::Ticket(ticket) => {
                let ticket = ticket.as_ref().clone();
                return self.returned(arrival, &ticket, now);
            }
        };
        let (id, principal) = (arrival.place.stream, &arrival.principal);
        let wrong = match self.streams.get_mut(&id) {
            None => Some("unknown or ended stream"),
            Some(stream) if !stream.is_side(principal) => Some("the token of another role or identity"),
            // Whether the sender may come to this device was decided by what the path says.
            Some(stream) if stream.ask.device != arrival.place.device => Some("the token of another device's stream"),
            Some(stream) => stream.side(principal.role).spend(token, now).err(),
        };
        match wrong {
            Some(wrong) => self.turn_away(&arrival, wrong),
            None => self.let_in(&arrival, now),
        }
    }

    /// Whoever shows what is not good hears no more than that.
    pub(super) fn turn_away(&mut self, arrival: &SideArrival, wrong: &str) {
        self.outputs.push_back(Output::Refuse { leg: arrival.leg, refusal: RefusalKind::AuthenticationFailed.into() });
        self.record(stream::wrong_token(arrival.place.stream, &arrival.principal, wrong, arrival.address));
    }

    /// What a side showed is good.
    pub(super) fn let_in(&mut self, arrival: &SideArrival, now: Instant) {
        let SideArrival { leg, place, principal, address, scope, until, .. } = arrival;
        let (leg, id) = (*leg, place.stream);
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
            stream.ask.source = *address;
        }
        stream.side(principal.role).arrived(leg, *address);
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
        let until = stream.ask.until;
        if until.is_some_and(|until| until <= now) {
            return self.end(id, RefusalKind::AccessEnded.into(), now);
        }
        let (Some(device_leg), Some(service_leg)) = (stream.device.leg(), stream.service.leg()) else { return };
        let opened = stream.opened(id, now);
        stream.phase = Phase::Joined;
        let since = *stream.opened_at.get_or_insert(now);
        let (protocol, reusable) = (stream.protocol, stream.reusable);
        let joint = Joint { stream: id, device_leg, service_leg, protocol, reusable, since, opened: opened.clone() };
        if !resumed {
            self.pending.remove(&stream.ask.device, &stream.ask.service);
        }
        // The service's side now stands for the stream: when it leaves, the stream is over, or comes apart.
        self.connections.remove(&device_leg);
        self.set_timer(id, until);
        self.record(opened);
        self.outputs.push_back(Output::Join(joint));
    }

    pub(super) fn side_left(&mut self, leg: ConnectionId, how: Left, now: Instant) {
        let Some(id) = self.connections.remove(&leg) else { return };
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let role = if stream.device.leg() == Some(leg) { Role::Device } else { Role::Service };
        let is_former = stream.side(role).leg() != Some(leg);
        let resumes = stream.resumes();
        match (&stream.phase, how) {
            (Phase::Joined | Phase::Ending(_), _) if is_former => {}
            (Phase::Joined, Left::Lost(role, why)) if resumes => self.interrupt(id, (role, why), now),
            (Phase::Ending(why), Left::Lost(..)) if resumes => {
                // It was lost in the moment in which it was told to end.
                let why = why.clone();
                stream.device.left();
                stream.service.left();
                self.give_up(id, why, now);
            }
            (Phase::Joined, Left::Closed) if resumes => {
                self.ended_well.note(id);
                self.forget(id);
            }
            (Phase::Joined | Phase::Ending(_), _) => self.forget(id),
            (Phase::Interrupted { .. }, Left::Lost(..)) if is_former => {}
            (Phase::Interrupted { .. }, how) => {
                // A side that waits anew is told what becomes of the stream.
                if !is_former {
                    stream.side(role).left();
                }
                match how {
                    Left::Lost(..) => {}
                    Left::Closed => self.end_well(id, now),
                    Left::Meant => {
                        self.give_up(id, Refusal::new(RefusalKind::NotResumed, "the other side has ended it"), now)
                    }
                }
            }
            (Phase::Waiting | Phase::Asked { .. } | Phase::Accepted | Phase::Failed(_), _) => {
                stream.side(role).left();
                self.refuse(id, Refusal::new(RefusalKind::LostWhileOpening, format!("that of the {role}")), now);
            }
        }
    }
}
