//! The broker's state of one stream.

use std::net::SocketAddr;
use std::time::Instant;

use super::{LegKey, OpenRequest};
use crate::hub::event::{DEVICE_REFUSALS, Event, Operation};
use crate::proto::id::{ConnectionId, HubId, Principal, Role, StreamId, StreamName};
use crate::proto::message::Hello;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{HubRun, ResumeTicket};
use crate::proto::secret::{SecretHash, StreamToken};
use crate::proto::stream::StreamProtocol;

/// The phase of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The device is offline, and the service waits for it.
    AwaitingDevice,
    /// The request was sent to the device on this connection.
    Requested {
        /// The control connection.
        connection: ConnectionId,
    },
    /// The device accepted; both legs are awaited.
    Accepted,
    /// The handshake failed; legs that still connect are refused with the reason.
    Failed(Refusal),
    /// Both legs are joined.
    Joined,
    /// The legs are being told that the stream has ended, and why; it cannot be resumed.
    Ending(Refusal),
    /// A connection was lost; both legs are awaited again.
    Interrupted {
        /// The start of the interruption, as far as this hub knows.
        since: Instant,
        /// The end of the grace period.
        until: Instant,
    },
}

impl Phase {
    /// Returns the state's word for the operator; `None` for a failed handshake.
    pub(super) fn word(&self) -> Option<&'static str> {
        match self {
            Self::AwaitingDevice => Some("waiting"),
            Self::Requested { .. } => Some("asked"),
            Self::Accepted => Some("accepted"),
            Self::Joined | Self::Ending(_) => Some("open"),
            Self::Interrupted { .. } => Some("interrupted"),
            Self::Failed(_) => None,
        }
    }
}

/// Where the application's first bytes are, as far as the hub knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EarlyState {
    /// No agent has them.
    Unsent,
    /// They were sent, with a request that is not accepted yet, to the agent of this run, which knows whether it has
    /// passed them on.
    Sent {
        /// The run of the agent.
        run: u64,
    },
    /// The target may have them.
    PassedOn,
}

/// What must be known of a request for one that repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Earlier {
    pub(super) early: EarlyState,
    /// The requests sent to the device so far: their ends have tickets.
    pub(super) device_requests: u32,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: OpenRequest,
    /// The service's request, until its result.
    pub(super) requester: Option<ConnectionId>,
    pub(super) early: EarlyState,
    /// The requests sent to the device so far.
    pub(super) device_requests: u32,
    pub(super) requested_at: Instant,
    /// The deadline for an offline device to come online.
    pub(super) connect_deadline: Instant,
    /// The deadline of the handshake, once the device was asked.
    pub(super) handshake_deadline: Option<Instant>,
    pub(super) protocol: Option<StreamProtocol>,
    /// The legs' connections are reused after the stream: those that were attached first.
    pub(super) reusable: bool,
    /// Both ends say that they encrypt it end to end.
    pub(super) end_to_end: bool,
    /// The time at which the device accepted, last.
    pub(super) accepted_at: Option<Instant>,
    /// The run of the agent that holds the device's end.
    pub(super) agent_run: u64,
    /// The time at which the stream was first joined, as far as this hub knows.
    pub(super) opened_at: Option<Instant>,
    /// Opened by an earlier run of the hub, or by another one.
    pub(super) adopted: bool,
    /// The other hub that opened it.
    pub(super) adopted_from: Option<HubId>,
    pub(super) phase: Phase,
    pub(super) timer: Option<Instant>,
    pub(super) device: LegSlot,
    pub(super) service: LegSlot,
}

impl Stream {
    pub(super) fn new(requester: ConnectionId, request: OpenRequest, now: Instant) -> Self {
        Self {
            requester: Some(requester),
            early: EarlyState::Unsent,
            device_requests: 0,
            requested_at: now,
            connect_deadline: now + request.connect_timeout,
            handshake_deadline: None,
            protocol: None,
            reusable: false,
            end_to_end: false,
            accepted_at: None,
            agent_run: 0,
            opened_at: None,
            adopted: false,
            adopted_from: None,
            phase: Phase::AwaitingDevice,
            timer: None,
            device: LegSlot::default(),
            service: LegSlot::default(),
            request,
        }
    }

    /// Reports whether the service has the result of its request, which then holds whichever agent accepts.
    pub(super) fn is_granted(&self) -> bool {
        self.requester.is_none()
    }

    /// Reports whether the device may have received the request before: the agent is then asked on its control
    /// connection, where a request supersedes an earlier one.
    pub(super) fn is_repetition(&self) -> bool {
        self.device_requests > 0 || self.request.stream.is_some() && !self.request.standby
    }

    /// Returns the end of the time in which the device is requested again, once it was: that of the handshake, and until
    /// the service has the result, that of its timeouts.
    pub(super) fn reopen_deadline(&self) -> Option<Instant> {
        let until = self.connect_deadline + self.request.response_timeout;
        self.handshake_deadline.map(|deadline| if self.is_granted() { deadline } else { deadline.min(until) })
    }

    /// Returns the deadline for the device's response to a request sent now.
    pub(super) fn response_deadline(&self, now: Instant) -> Option<Instant> {
        let until = now + self.request.response_timeout;
        self.reopen_deadline().map(|deadline| if self.is_granted() { deadline } else { deadline.min(until) })
    }

    /// Chooses the device's forward for the stream.
    pub(super) fn choose_forward(&self, hello: &Hello) -> Result<StreamName, Refusal> {
        if let Some(requested) =
            self.request.name.as_ref().filter(|name| hello.accepts_any_name && self.request.scope.covers_stream(name))
        {
            return Ok(requested.clone());
        }
        let mut offered = hello.forwards.iter().filter(|name| self.request.scope.covers_stream(name));
        // An end-to-end session for the first forward is for the device's own first one, and for no other.
        let is_default = |name: &StreamName| !self.request.end_to_end || hello.forwards.first() == Some(name);
        let is_requested = |name: &&StreamName| match &self.request.name {
            Some(requested) => requested == *name,
            None => is_default(name),
        };
        if let Some(name) = offered.clone().find(is_requested) {
            return Ok(name.clone());
        }
        let requested = self.request.name.as_ref().map_or("the device's first", StreamName::as_str);
        let first = offered.next().map_or("nothing", StreamName::as_str).to_owned();
        let offered = offered.fold(first, |list, name| format!("{list}, {name}"));
        Err(Refusal::new(RefusalKind::StreamNotOffered, format!("asked for {requested}; offered: {offered}")))
    }

    pub(super) fn slot(&mut self, role: Role) -> &mut LegSlot {
        match role {
            Role::Device => &mut self.device,
            Role::Service => &mut self.service,
        }
    }

    /// Reports whether the identity is one of the stream's two.
    pub(super) fn belongs_to(&self, principal: &Principal) -> bool {
        let id = principal.id.as_str();
        match principal.role {
            Role::Device => id == self.request.device.as_str(),
            Role::Service => id == self.request.service.as_str(),
        }
    }

    /// Returns the end of what allows the stream: the service's access, or the key of the leg of this role.
    pub(super) fn access_end(&self) -> Option<(Instant, Option<Role>)> {
        let of_key = |slot: &LegSlot, role| Some((slot.key.and_then(|key| key.until)?, Some(role)));
        let access = self.request.until.map(|until| (until, None));
        let ends = [access, of_key(&self.device, Role::Device), of_key(&self.service, Role::Service)];
        ends.into_iter().flatten().min_by_key(|(until, _)| *until)
    }

    /// Returns one of the stream's two identities.
    pub(super) fn principal(&self, role: Role) -> Principal {
        let id = match role {
            Role::Device => self.request.device.clone().into(),
            Role::Service => self.request.service.clone().into(),
        };
        Principal { role, id }
    }

    /// The refusal of a stream whose service's access has expired.
    pub(super) fn access_ended(&self) -> Refusal {
        Refusal::new(RefusalKind::AccessEnded, self.principal(Role::Service).to_string())
    }

    /// Reports whether the stream survives the loss of its connections.
    pub(super) fn resumes(&self) -> bool {
        self.protocol == Some(StreamProtocol::Resumable)
    }

    /// Returns the time since which the service's leg alone holds up the handshake, if it does.
    pub(super) fn half_open_since(&self) -> Option<Instant> {
        self.accepted_at.filter(|_| self.phase == Phase::Accepted && self.service.leg().is_none())
    }

    /// Returns the resume ticket of one end, if the stream can be resumed.
    pub(super) fn ticket(&self, id: StreamId, role: Role, hub: HubRun) -> Option<ResumeTicket> {
        let name = self.request.name.clone().filter(|_| self.resumes())?;
        let (device, service) = (self.request.device.clone(), self.request.service.clone());
        Some(ResumeTicket {
            stream: id,
            name,
            device,
            agent: self.agent_run,
            request: self.device_requests,
            service,
            role,
            hub,
        })
    }

    pub(super) fn event(&self, id: StreamId, operation: Operation, result: &'static str, now: Instant) -> Event {
        Event {
            stream: Some(id),
            name: self.request.name.clone(),
            device: Some(self.request.device.clone()),
            service: Some(self.request.service.clone()),
            source: Some(self.request.source),
            peer: self.device.address,
            took: Some(now.saturating_duration_since(self.requested_at)),
            ..Event::new(operation, result)
        }
    }
}

/// One leg's slot: its one-time token, then its connection.
#[derive(Debug, Default)]
pub(super) struct LegSlot {
    token: Option<(SecretHash, Instant)>,
    spent: bool,
    /// The leg has a ticket and has returned with it: its end expects to resume.
    returned: bool,
    leg: Option<ConnectionId>,
    address: Option<SocketAddr>,
    /// The key that authenticated the leg.
    key: Option<LegKey>,
}

impl LegSlot {
    /// Sets the slot's token; an earlier one is void.
    pub(super) fn issue_token(&mut self, token: &StreamToken, until: Instant) {
        self.token = Some((token.hash(), until));
        self.spent = false;
    }

    /// Voids the token.
    pub(super) fn revoke_token(&mut self) {
        self.token = None;
    }

    /// Reports whether a leg may still attach with the token.
    pub(super) fn has_unspent_token(&self) -> bool {
        self.token.is_some() && !self.spent
    }

    /// Spends the token. The hash is compared first and in constant time, so that only the token's owner learns more.
    pub(super) fn spend_token(&mut self, presented: &SecretHash, now: Instant) -> Result<(), &'static str> {
        match &self.token {
            Some((token, _)) if token != presented => Err("wrong token"),
            Some(_) if self.spent => Err("token already used"),
            Some((_, until)) if now >= *until => Err("expired token"),
            Some(_) => {
                self.spent = true;
                Ok(())
            }
            None => Err("token before any was issued"),
        }
    }

    pub(super) fn attach(&mut self, leg: ConnectionId, address: SocketAddr, key: LegKey) {
        self.leg = Some(leg);
        self.address = Some(address);
        self.key = Some(key);
        self.returned = false;
    }

    /// Attaches a leg that has returned with its ticket. Its token is of no more use.
    pub(super) fn reattach(&mut self, leg: ConnectionId, address: SocketAddr, key: LegKey) {
        self.attach(leg, address, key);
        self.returned = true;
        self.revoke_token();
    }

    /// Reports whether the leg has returned with its ticket.
    pub(super) fn has_returned(&self) -> bool {
        self.returned
    }

    /// Reports whether the leg that spent the token is gone.
    pub(super) fn has_lost_leg(&self) -> bool {
        self.spent && self.leg.is_none()
    }

    pub(super) fn detach(&mut self) {
        (self.leg, self.key) = (None, None);
    }

    /// Returns the key of the leg that is attached.
    pub(super) fn key(&self) -> Option<LegKey> {
        self.key
    }

    /// Sets the key of the leg that is attached.
    pub(super) fn set_key(&mut self, key: LegKey) {
        self.key = Some(key);
    }

    pub(super) fn leg(&self) -> Option<ConnectionId> {
        self.leg
    }
}

/// Returns the refusal that a device gave; one for a repeated request in the hub's words.
pub(super) fn device_refusal(reason: Option<Refusal>) -> Refusal {
    match reason {
        Some(refusal) if refusal.kind == RefusalKind::LostWhileOpening => refusal.kind.into(),
        Some(refusal) if DEVICE_REFUSALS.contains(&refusal.kind) => refusal,
        Some(refusal) => Refusal::new(RefusalKind::RejectedByDevice, refusal.detail.as_str()),
        None => RefusalKind::RejectedByDevice.into(),
    }
}

pub(super) fn token_rejected(id: StreamId, principal: &Principal, wrong: &str, address: SocketAddr) -> Event {
    let event = Event::about(principal, Operation::Authenticate, RefusalKind::AuthenticationFailed.row().label);
    Event { stream: Some(id), source: Some(address), reason: wrong.into(), ..event }
}
