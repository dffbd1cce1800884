//! Interrupted streams, until both legs are back or the stream is abandoned.
//!
//! A ticket alone suffices for the legs to return, also after a restart of the hub. What is kept of an interrupted
//! stream serves to end it.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::stream::{EarlyState, Phase, Stream};
use super::{Broker, LegAttach, OpenRequest, Output, WaitingLeg};
use crate::hub::event::{Event, Operation};
use crate::proto::id::{ConnectionId, DeviceId, Role, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeTicket;
use crate::proto::scope::Scope;
use crate::proto::stream::StreamProtocol;

/// Reserve for the legs of an earlier run's streams, which notice its end at different times.
const EARLIER_RUN_GRACE: Duration = Duration::from_secs(60);

/// The time after which a leg is late for the first join, and may give way: the other one is there within it, also on a slow
/// network, and a service may open many streams at once.
const OPENING_TIME: Duration = Duration::from_secs(2);

/// The reason why a device's leg cannot return.
const AGENT_STARTED: &str = "the agent was restarted";

/// The only cause that the leg may learn: it is the stream's own.
const ENDED: &str = "resume token of an ended stream";

/// The leg returns before the device has accepted, perhaps again; it may try again.
const NOT_ACCEPTED: &str = "resume token before the device has accepted";

/// The stream goes on where it is, or is adopted there; the leg tries that hub first, each time.
const AT_ANOTHER_HUB: &str = "resume token of a stream of another hub, which is there";

impl Broker {
    /// Interrupts a joined stream: both legs are awaited. Another run of the agent cannot continue it.
    pub(super) fn interrupt(&mut self, id: StreamId, (by, reason): (Option<Role>, String), now: Instant) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let event = stream.event(id, Operation::StreamInterrupted, "interrupted", now);
        let took = stream.opened_at.map(|at| now.saturating_duration_since(at));
        self.record(Event { reason, ended_by: by, took, ..event });
        self.await_legs(id, now);
    }

    /// Interrupts a joined stream whose ends resume it when there is memory again. A leg that waits to resume it is refused.
    pub(super) fn interrupt_for_memory(&mut self, id: StreamId, refusal: Refusal, now: Instant) {
        self.refuse_waiting(id, &refusal);
        if self.streams.get(&id).is_some_and(|stream| stream.phase == Phase::Joined && stream.resumes()) {
            let reason = format!("the hub is short of memory: {}", refusal.detail);
            self.outputs.push_back(Output::EndStream { stream: id, refusal });
            self.interrupt(id, (None, reason), now);
        }
    }

    /// Returns the legs that have returned and wait for the other one, and those that wait for the first join: one of a
    /// service on a standby connection also before the device has accepted.
    pub fn waiting(&self, now: Instant) -> impl Iterator<Item = WaitingLeg<'_>> {
        self.streams.iter().filter_map(move |(id, stream)| {
            let is_resumable = matches!(stream.phase, Phase::Interrupted { .. });
            let since = stream.accepted_at.unwrap_or(stream.requested_at);
            if !is_resumable && !stream.is_opening() {
                return None;
            }
            let end = if stream.device.leg().is_some() { Role::Device } else { Role::Service };
            let is_late = since + OPENING_TIME <= now;
            let leg = WaitingLeg { stream: *id, service: &stream.request.service, end, is_resumable, is_late };
            let is_there = stream.device.leg().is_some() || stream.service.leg().is_some();
            (is_there || stream.is_awaited_on_standby()).then_some(leg)
        })
    }

    /// Refuses the leg that waits for an interrupted stream's other one. The stream stays interrupted.
    pub(super) fn refuse_waiting(&mut self, id: StreamId, refusal: &Refusal) {
        let Some(stream) = self.streams.get_mut(&id).filter(|it| matches!(it.phase, Phase::Interrupted { .. })) else {
            return;
        };
        for slot in [&mut stream.device, &mut stream.service] {
            if let Some(leg) = slot.leg() {
                slot.detach();
                self.connections.remove(&leg);
                self.outputs.push_back(Output::Refuse { leg, refusal: refusal.clone() });
            }
        }
    }

    fn await_legs(&mut self, id: StreamId, now: Instant) {
        let grace = self.settings.resume.unwrap_or_default();
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.device.detach();
        stream.service.detach();
        stream.reusable = false;
        stream.phase = Phase::Interrupted { since: now, until: now + grace };
        let until = stream.request.until.map_or(now + grace, |until| until.min(now + grace));
        let (device, agent) = (stream.request.device.clone(), stream.agent_run);
        self.set_timer(id, Some(until));
        if self.devices.get(&device).is_some_and(|online| online.hello.run != agent) {
            self.abandon(id, Refusal::new(RefusalKind::NotResumed, AGENT_STARTED), now);
        }
    }

    /// Attaches a leg that returns with its ticket.
    pub(super) fn resume_leg(&mut self, attach: LegAttach, ticket: &ResumeTicket, now: Instant) {
        match self.check_ticket(&attach, ticket, now) {
            // The leg lost its connection while the stream ended, and cannot know that it did.
            Err(ENDED) if self.recently_closed.contains(&ticket.stream) => {
                let refusal = RefusalKind::AlreadyEnded.into();
                return self.outputs.push_back(Output::Refuse { leg: attach.leg, refusal });
            }
            Err(NOT_ACCEPTED | AT_ANOTHER_HUB) => {
                let refusal = RefusalKind::Interrupted.into();
                return self.outputs.push_back(Output::Refuse { leg: attach.leg, refusal });
            }
            Err(wrong) => return self.reject_leg(&attach, wrong),
            Ok(()) => {}
        }
        let id = ticket.stream;
        if !self.streams.contains_key(&id) {
            let mut stream = adopt(&attach, ticket, now);
            stream.adopted_from = ticket.hub.id.filter(|_| self.is_other_hubs(ticket));
            let own = attach.scope.max_streams.filter(|_| ticket.role == Role::Service);
            if let Some(limit) = self.stream_counts.reached_limit_on_return(&stream.request, own) {
                let refusal = limit.refusal();
                return self.outputs.push_back(Output::Refuse { leg: attach.leg, refusal });
            }
            self.stream_counts.add(&stream.request.device, &stream.request.service);
            self.streams.insert(id, stream);
            self.await_legs(id, now);
        }
        let Some(stream) = self.streams.get_mut(&id) else { return self.refuse_return(attach.leg) };
        // A service's ticket, with which a stream was adopted, may be older than the device's end.
        stream.device_requests = stream.device_requests.max(ticket.request);
        if stream.phase == Phase::Joined {
            // The leg noticed a loss that the hub has not: the other leg must return too. The former service leg's exit
            // still counts.
            self.outputs.push_back(Output::EndStream { stream: id, refusal: RefusalKind::Interrupted.into() });
            self.interrupt(id, (Some(ticket.role), "it returned on another connection".into()), now);
        } else if let Some(leg) = stream.slot(ticket.role).leg() {
            stream.slot(ticket.role).detach();
            self.connections.remove(&leg);
            self.outputs.push_back(Output::Refuse { leg, refusal: RefusalKind::Interrupted.into() });
        }
        if self.streams.contains_key(&id) { self.admit_leg(&attach, now) } else { self.refuse_return(attach.leg) }
    }

    /// Refuses a returned leg whose stream cannot be continued.
    fn refuse_return(&mut self, leg: ConnectionId) {
        let refusal = Refusal::new(RefusalKind::NotResumed, AGENT_STARTED);
        self.outputs.push_back(Output::Refuse { leg, refusal });
    }

    /// Checks that a ticket belongs to this identity, and that its stream has not ended.
    fn check_ticket(&self, attach: &LegAttach, ticket: &ResumeTicket, now: Instant) -> Result<(), &'static str> {
        let bridge = &attach.bridge;
        if ticket.principal() != attach.principal {
            return Err("resume token of another role or identity");
        }
        if (ticket.stream, &ticket.device, ticket.role) != (bridge.stream, &bridge.device, bridge.role) {
            return Err("resume token of another stream");
        }
        let known = self.streams.get(&ticket.stream);
        if known.is_some_and(|stream| !stream.resumes() || !stream.is_ticket_current(ticket, self.hub)) {
            return Err("resume token of an earlier handshake");
        }
        match known.map(|stream| &stream.phase) {
            Some(Phase::Joined | Phase::Interrupted { .. } | Phase::Accepted) => Ok(()),
            Some(Phase::AwaitingDevice | Phase::Requested { .. }) => Err(NOT_ACCEPTED),
            Some(Phase::Ending(_)) => Err(ENDED),
            Some(Phase::Failed(_)) => Err("resume token of a stream that was never open"),
            None if ticket.hub == self.hub || self.ended_after_restart.contains(&ticket.stream) => Err(ENDED),
            None if self.is_other_hubs(ticket) && ticket.hub.id.is_some_and(|hub| self.other_hubs.carries_on(hub)) => {
                Err(AT_ANOTHER_HUB)
            }
            None if self.waits_elsewhere(ticket, now) => Err(AT_ANOTHER_HUB),
            None if self.accepts_earlier_run(now) || self.adopts_from(ticket, now) => Ok(()),
            None => Err("resume token of an earlier run of the hub, too late"),
        }
    }

    /// Reports whether legs of an earlier run's streams may still return.
    pub(super) fn accepts_earlier_run(&self, now: Instant) -> bool {
        let until = self.started_at.zip(self.adoption_window()).map(|(started_at, window)| started_at + window);
        until.is_some_and(|until| now < until)
    }

    /// Sends legs that wait for a stream of a hub that lives again to that hub, at which they try first: the other end may have
    /// found it there.
    pub(super) fn return_to_living_hubs(&mut self) {
        let waits = |stream: &Stream| {
            let is_back = stream.adopted_from.is_some_and(|hub| self.other_hubs.carries_on(hub));
            is_back && stream.was_never_joined_here()
        };
        for id in self.ids(waits) {
            self.send_away(id);
        }
    }

    /// Reports whether a ticket is another hub's.
    fn is_other_hubs(&self, ticket: &ResumeTicket) -> bool {
        ticket.hub.id.is_some() && ticket.hub.id != self.hub.id
    }

    /// Reports whether the stream of another hub's ticket may go on here.
    fn adopts_from(&self, ticket: &ResumeTicket, now: Instant) -> bool {
        let window = self.adoption_window().filter(|_| self.is_other_hubs(ticket));
        window.zip(ticket.hub.id).is_some_and(|(window, hub)| self.other_hubs.may_adopt_from(hub, window, now))
    }

    /// The time for which the legs of a hub's streams may return after its end, if they may.
    fn adoption_window(&self) -> Option<Duration> {
        self.settings.resume.map(|grace| grace + EARLIER_RUN_GRACE)
    }

    /// Forgets the adopted streams that have ended, once no more are adopted.
    pub(super) fn forget_earlier_runs(&mut self, now: Instant) {
        let adopts = |broker: &Self| broker.adopts_any(now) || broker.accepts_earlier_run(now);
        if !self.ended_after_restart.is_empty() && !adopts(self) {
            self.ended_after_restart = HashSet::new();
        }
    }

    /// Reports whether streams of any other hub may go on here.
    pub(super) fn adopts_any(&self, now: Instant) -> bool {
        self.adoption_window().is_some_and(|window| self.other_hubs.may_adopt(window, now))
    }

    /// Abandons the interrupted streams of an agent's earlier run.
    pub(super) fn agent_started(&mut self, device: &DeviceId, run: u64, now: Instant) {
        let orphaned = |stream: &Stream| {
            matches!(stream.phase, Phase::Interrupted { .. })
                && stream.request.device == *device
                && stream.agent_run != run
        };
        for id in self.ids(orphaned) {
            self.abandon(id, Refusal::new(RefusalKind::NotResumed, AGENT_STARTED), now);
        }
    }

    /// Ends an interrupted stream as broken. A returned leg is refused with the reason.
    pub(super) fn abandon(&mut self, id: StreamId, reason: Refusal, now: Instant) {
        self.finish_interrupted(id, "broken", &reason, now);
    }

    /// Ends an interrupted stream as complete: one leg has received all of it, and knows that the other has too.
    pub(super) fn close(&mut self, id: StreamId, now: Instant) {
        self.recently_closed.insert(id, ());
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

    /// Remembers the end of an adopted stream, which its absence does not show.
    pub(super) fn remember_ended(&mut self, id: StreamId, stream: &Stream) {
        if stream.adopted {
            self.ended_after_restart.insert(id);
        }
    }
}

/// Rebuilds a stream of an earlier run from its ticket. The service's scope is set when its leg returns.
fn adopt(attach: &LegAttach, ticket: &ResumeTicket, now: Instant) -> Stream {
    let request = OpenRequest {
        device: ticket.device.clone(),
        name: Some(ticket.name.clone()),
        scope: Scope::everything(),
        until: None,
        service: ticket.service.clone(),
        source: attach.address,
        connect_timeout: Duration::ZERO,
        response_timeout: Duration::ZERO,
        protocols: vec![StreamProtocol::Resumable],
        end_to_end: false,
        stream: Some(ticket.stream),
        reusable: false,
        standby: false,
        early: Bytes::new(),
        repeatable: false,
    };
    let mut stream = Stream::new(attach.leg, request, now);
    stream.requester = None;
    (stream.protocol, stream.agent_run, stream.adopted) = (Some(StreamProtocol::Resumable), ticket.agent, true);
    (stream.device_requests, stream.early) = (ticket.request, EarlyState::PassedOn);
    stream
}

impl Stream {
    /// Returns the event of a joined stream: opened or resumed.
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
            | Phase::Ending(_) => {
                let event = self.event(id, Operation::StreamOpened, "opened", now);
                Event { end_to_end: Some(self.end_to_end), ..event }
            }
        }
    }
}
