//! A stream that comes apart, until both sides are back or it is given up.
//!
//! Nothing here is needed for the sides to come back: what a ticket says is enough, for a hub that has started anew as
//! well. What is remembered of an interrupted stream is what lets it be ended.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::stream::{Phase, Stream};
use super::{Broker, Event, LegAttach, OpenRequest, Operation, Output};
use crate::proto::id::{ConnectionId, DeviceId, Role, StreamId};
use crate::proto::limits::RECENTLY_CLOSED_STREAMS;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeTicket;
use crate::proto::scope::Scope;
use crate::proto::stream::StreamProtocol;

/// The sides of an earlier run's streams notice its end at different times.
const EARLIER_RUN_GRACE: Duration = Duration::from_secs(60);

/// Why nobody will come back to a device's side.
const AGENT_STARTED: &str = "the agent was started anew";

/// Whose stream it was, is certain by then.
const ENDED: &str = "the resume token of an ended stream";

/// The last streams that ended well.
#[derive(Debug, Default)]
pub(super) struct RecentlyClosed {
    ids: HashSet<StreamId>,
    oldest_first: VecDeque<StreamId>,
}

impl RecentlyClosed {
    pub(super) fn insert(&mut self, id: StreamId) {
        if self.ids.insert(id) {
            self.oldest_first.push_back(id);
        }
        if self.oldest_first.len() > RECENTLY_CLOSED_STREAMS
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }

    fn contains(&self, id: &StreamId) -> bool {
        self.ids.contains(id)
    }
}

impl Broker {
    /// A joined stream has come apart: both sides are awaited. Another run of the agent than had it cannot go on with it.
    pub(super) fn interrupt(&mut self, id: StreamId, (by, reason): (Option<Role>, String), now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let event = stream.event(id, Operation::StreamInterrupted, "interrupted", now);
        let took = stream.opened_at.map(|at| now.saturating_duration_since(at));
        self.record(Event { reason, ended_by: by, took, ..event });
        self.await_legs(id, now);
    }

    fn await_legs(&mut self, id: StreamId, now: Instant) {
        let grace = self.settings.resume.unwrap_or_default();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.device.detach();
        stream.service.detach();
        stream.reusable = false;
        stream.phase = Phase::Interrupted { since: now, until: now + grace };
        let until = stream.request.until.map_or(now + grace, |until| until.min(now + grace));
        let (device, agent) = (stream.request.device.clone(), stream.agent);
        self.set_timer(id, Some(until));
        if self.devices.get(&device).is_some_and(|online| online.hello.run != agent) {
            self.abandon(id, Refusal::new(RefusalKind::NotResumed, AGENT_STARTED), now);
        }
    }

    /// A side comes back with its ticket.
    pub(super) fn resume_leg(&mut self, arrival: LegAttach, ticket: &ResumeTicket, now: Instant) {
        match self.check_ticket(&arrival, ticket, now) {
            // It lost its connection while the stream ended, and cannot know that it did.
            Err(ENDED) if self.recently_closed.contains(&ticket.stream) => {
                let refusal = RefusalKind::AlreadyEnded.into();
                return self.outputs.push_back(Output::Refuse { leg: arrival.leg, refusal });
            }
            Err(wrong) => return self.reject_leg(&arrival, wrong),
            Ok(()) => {}
        }
        let id = ticket.stream;
        if !self.streams.contains_key(&id) {
            let stream = adopt(&arrival, ticket, now);
            let own = arrival.scope.max_streams.filter(|_| ticket.role == Role::Service);
            if let Some(limit) = self.stream_counts.exceeded_limit(&stream.request, own) {
                let refusal = Refusal::new(RefusalKind::HubBusy, limit);
                return self.outputs.push_back(Output::Refuse { leg: arrival.leg, refusal });
            }
            self.stream_counts.add(&stream.request.device, &stream.request.service);
            self.streams.insert(id, stream);
            self.await_legs(id, now);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return self.refuse_return(arrival.leg) };
        if stream.phase == Phase::Joined {
            // The side noticed what the hub has not: the other side is sent to come back too. How the service's former
            // leg leaves is still of interest.
            self.outputs.push_back(Output::EndStream { stream: id, refusal: RefusalKind::Interrupted.into() });
            self.interrupt(id, (Some(ticket.role), "it has come back on another connection".into()), now);
        } else if let Some(leg) = stream.slot(ticket.role).leg() {
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::Interrupted.into() });
        }
        if self.streams.contains_key(&id) { self.admit_leg(&arrival, now) } else { self.refuse_return(arrival.leg) }
    }

    /// A side that has come back need not wait.
    fn refuse_return(&mut self, leg: ConnectionId) {
        let refusal = Refusal::new(RefusalKind::NotResumed, AGENT_STARTED);
        self.outputs.push_back(Output::Refuse { leg, refusal });
    }

    /// Whether a ticket is its owner's, and for a stream that is not over.
    fn check_ticket(&self, arrival: &LegAttach, ticket: &ResumeTicket, now: Instant) -> Result<(), &'static str> {
        let bridge = &arrival.bridge;
        if ticket.principal() != arrival.principal {
            return Err("the resume token of another role or identity");
        }
        if (ticket.stream, &ticket.device, ticket.role) != (bridge.stream, &bridge.device, bridge.role) {
            return Err("the resume token of another stream");
        }
        let known = self.streams.get(&ticket.stream);
        if known.is_some_and(|stream| !stream.resumes() || stream.agent != ticket.agent) {
            return Err("the resume token of an earlier handshake");
        }
        match known.map(|stream| &stream.phase) {
            Some(Phase::Joined | Phase::Interrupted { .. }) => Ok(()),
            Some(Phase::Ending(_)) => Err(ENDED),
            Some(Phase::AwaitingDevice | Phase::Requested { .. } | Phase::Accepted | Phase::Failed(_)) => {
                Err("a resume token before the stream was open")
            }
            None if ticket.hub == self.run || self.ended_adopted.contains(&ticket.stream) => Err(ENDED),
            None if self.accepts_earlier_run(now) => Ok(()),
            None => Err("the resume token of an earlier run, too late"),
        }
    }

    /// Whether streams of an earlier run may still come.
    pub(super) fn accepts_earlier_run(&self, now: Instant) -> bool {
        let until =
            self.started_at.zip(self.settings.resume).map(|(started_at, grace)| started_at + grace + EARLIER_RUN_GRACE);
        until.is_some_and(|until| now < until)
    }

    /// No stream of an earlier run is taken up any more: there is nothing left to know about those that were.
    pub(super) fn forget_earlier_runs(&mut self, now: Instant) {
        if !self.ended_adopted.is_empty() && !self.accepts_earlier_run(now) {
            self.ended_adopted = HashSet::new();
        }
    }

    /// Another run of an agent cannot go on with what this one had.
    pub(super) fn agent_started(&mut self, device: &DeviceId, run: u64, now: Instant) {
        let orphaned = |stream: &Stream| {
            matches!(stream.phase, Phase::Interrupted { .. }) && stream.request.device == *device && stream.agent != run
        };
        for id in self.ids(orphaned) {
            self.abandon(id, Refusal::new(RefusalKind::NotResumed, AGENT_STARTED), now);
        }
    }

    /// An interrupted stream is broken: whoever is back is told.
    pub(super) fn abandon(&mut self, id: StreamId, reason: Refusal, now: Instant) {
        self.finish_interrupted(id, "broken", &reason, now);
    }

    /// An interrupted stream is over as it should be: one side has all of it, and knows that the other does.
    pub(super) fn close(&mut self, id: StreamId, now: Instant) {
        self.recently_closed.insert(id);
        self.finish_interrupted(id, "closed", &RefusalKind::AlreadyEnded.into(), now);
    }

    fn finish_interrupted(&mut self, id: StreamId, result: &'static str, reason: &Refusal, now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let event = stream.event(id, Operation::StreamClosed, result, now);
        let took = stream.opened_at.map(|at| now.saturating_duration_since(at));
        let legs = [stream.device.leg(), stream.service.leg()];
        for leg in legs.into_iter().flatten() {
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: reason.clone() });
        }
        self.record(Event { reason: reason.message(), took, ..event });
        self.forget(id);
    }

    /// A stream that this run did not open is not known by its absence when it has ended.
    pub(super) fn remember_ended(&mut self, id: StreamId, stream: &Stream) {
        if stream.adopted {
            self.ended_adopted.insert(id);
        }
    }
}

/// What the ticket says is all there is, and enough. What its service may reach is known when that comes.
fn adopt(arrival: &LegAttach, ticket: &ResumeTicket, now: Instant) -> Stream {
    let request = OpenRequest {
        device: ticket.device.clone(),
        name: Some(ticket.name.clone()),
        scope: Scope::everything(),
        until: None,
        service: ticket.service.clone(),
        source: arrival.address,
        connect_timeout: Duration::ZERO,
        response_timeout: Duration::ZERO,
        protocols: vec![StreamProtocol::Resumable],
        stream: Some(ticket.stream),
        reusable: false,
        standby: false,
        early: Bytes::new(),
    };
    let mut stream = Stream::new(arrival.leg, request, now);
    stream.requester = None;
    (stream.protocol, stream.agent, stream.adopted) = (Some(StreamProtocol::Resumable), ticket.agent, true);
    stream
}

impl Stream {
    /// What the log says when both sides have met.
    pub(super) fn opened(&self, id: StreamId, now: Instant) -> Event {
        match self.phase {
            Phase::Interrupted { since, .. } => {
                let took = Some(now.saturating_duration_since(since));
                Event { took, ..self.event(id, Operation::StreamResumed, "resumed", now) }
            }
            Phase::AwaitingDevice
            | Phase::Requested { .. }
            | Phase::Accepted
            | Phase::Failed(_)
            | Phase::Joined
            | Phase::Ending(_) => self.event(id, Operation::StreamOpened, "opened", now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_streams_that_ended_well_are_known_and_no_more_than_that() {
        let id = |number: usize| StreamId::from_bytes((number as u128).to_be_bytes());
        let mut recent = RecentlyClosed::default();
        (0..RECENTLY_CLOSED_STREAMS + 2).for_each(|number| recent.insert(id(number)));
        recent.insert(id(RECENTLY_CLOSED_STREAMS));
        assert!(
            !recent.contains(&id(1)) && recent.contains(&id(2)) && recent.contains(&id(RECENTLY_CLOSED_STREAMS + 1))
        );
        assert_eq!((recent.ids.len(), recent.oldest_first.len()), (RECENTLY_CLOSED_STREAMS, RECENTLY_CLOSED_STREAMS));
    }
}
