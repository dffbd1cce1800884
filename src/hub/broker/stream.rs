//! One stream as the broker knows it.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Event, OpenRequest, Operation};
use crate::proto::id::{ConnectionId, Principal, Role, StreamId, StreamName};
use crate::proto::message::Hello;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeTicket;
use crate::proto::secret::{SecretHash, StreamToken};
use crate::proto::stream::StreamProtocol;

/// How far a stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The device is offline; the service waits for it.
    AwaitingDevice,
    /// The device on this connection was asked.
    Requested {
        /// Which connection.
        connection: ConnectionId,
    },
    /// The device accepted; both sides are awaited.
    Accepted,
    /// The handshake failed; whoever still comes is told.
    Failed(Refusal),
    /// Both sides are there.
    Joined,
    /// They were, and are told that the stream is over, and why: nothing brings it back.
    Ending(Refusal),
    /// They were, and are awaited again.
    Interrupted {
        /// From then, as far as this hub knows …
        since: Instant,
        /// … until then.
        until: Instant,
    },
}

impl Phase {
    /// For whoever looks on; nothing for what is only remembered.
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

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) request: OpenRequest,
    /// The service's connection, until it has its answer.
    pub(super) requester: Option<ConnectionId>,
    pub(super) requested_at: Instant,
    /// How long an offline device is waited for.
    pub(super) connect_deadline: Instant,
    /// How long both sides are waited for, once the device was asked.
    pub(super) handshake_deadline: Option<Instant>,
    pub(super) protocol: Option<StreamProtocol>,
    /// Whether the connections of both sides go on after the stream: those that first came to it.
    pub(super) reusable: bool,
    /// The run of the agent that has, or had, the device's end.
    pub(super) agent: u64,
    /// When both sides first met, as far as this hub knows.
    pub(super) opened_at: Option<Instant>,
    /// It was opened by an earlier run of the hub.
    pub(super) adopted: bool,
    pub(super) phase: Phase,
    pub(super) timer: Option<Instant>,
    pub(super) device: LegSlot,
    pub(super) service: LegSlot,
}

impl Stream {
    pub(super) fn new(requester: ConnectionId, request: OpenRequest, now: Instant) -> Self {
        Self {
            requester: Some(requester),
            requested_at: now,
            connect_deadline: now + request.connect_timeout,
            handshake_deadline: None,
            protocol: None,
            reusable: false,
            agent: 0,
            opened_at: None,
            adopted: false,
            phase: Phase::AwaitingDevice,
            timer: None,
            device: LegSlot::default(),
            service: LegSlot::default(),
            request,
        }
    }

    /// Which of a device's forwards it is for.
    pub(super) fn choose_forward(&self, hello: &Hello) -> Result<StreamName, Refusal> {
        if let Some(requested) =
            self.request.name.as_ref().filter(|name| hello.accepts_any_name && self.request.scope.covers_stream(name))
        {
            return Ok(requested.clone());
        }
        let mut offered = hello.forwards.iter().filter(|name| self.request.scope.covers_stream(name));
        let is_requested = |name: &&StreamName| self.request.name.as_ref().is_none_or(|requested| requested == *name);
        if let Some(name) = offered.clone().find(is_requested) {
            return Ok(name.clone());
        }
        let requested = self.request.name.as_ref().map_or("its first", StreamName::as_str);
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

    /// Whether this identity is one of the stream's two.
    pub(super) fn belongs_to(&self, principal: &Principal) -> bool {
        let id = principal.id.as_str();
        match principal.role {
            Role::Device => id == self.request.device.as_str(),
            Role::Service => id == self.request.service.as_str(),
        }
    }

    /// Whether its ends outlive their connections.
    pub(super) fn resumes(&self) -> bool {
        self.protocol == Some(StreamProtocol::Resumable)
    }

    /// What one of its ends comes back with, where it can.
    pub(super) fn ticket(&self, id: StreamId, role: Role, hub: u64) -> Option<ResumeTicket> {
        let name = self.request.name.clone().filter(|_| self.resumes())?;
        let (device, service) = (self.request.device.clone(), self.request.service.clone());
        Some(ResumeTicket { stream: id, name, device, agent: self.agent, service, role, hub })
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

/// One side's way in: a token that is spent once, then the connection that spent it.
#[derive(Debug, Default)]
pub(super) struct LegSlot {
    token: Option<(SecretHash, Instant)>,
    spent: bool,
    leg: Option<ConnectionId>,
    address: Option<SocketAddr>,
}

impl LegSlot {
    /// A token was given out; any earlier one is void.
    pub(super) fn issue_token(&mut self, token: &StreamToken, until: Instant) {
        self.token = Some((token.hash(), until));
        self.spent = false;
    }

    /// No token is good any more.
    pub(super) fn revoke_token(&mut self) {
        self.token = None;
    }

    /// Whether somebody may still come with the token.
    pub(super) fn has_unspent_token(&self) -> bool {
        self.token.is_some() && !self.spent
    }

    /// Spends the token. The hash is compared first, and in constant time, so that only its owner learns more.
    pub(super) fn spend_token(&mut self, presented: &SecretHash, now: Instant) -> Result<(), &'static str> {
        match &self.token {
            Some((token, _)) if token != presented => Err("a wrong token"),
            Some(_) if self.spent => Err("a token that was used before"),
            Some((_, until)) if now >= *until => Err("an expired token"),
            Some(_) => {
                self.spent = true;
                Ok(())
            }
            None => Err("a token before any was given out"),
        }
    }

    pub(super) fn attach(&mut self, leg: ConnectionId, address: SocketAddr) {
        self.leg = Some(leg);
        self.address = Some(address);
    }

    pub(super) fn detach(&mut self) {
        self.leg = None;
    }

    pub(super) fn leg(&self) -> Option<ConnectionId> {
        self.leg
    }
}

/// What a device may refuse with: it speaks for itself and its targets, not for the hub.
pub(super) const DEVICE_REFUSALS: [RefusalKind; 5] = [
    RefusalKind::RejectedByDevice,
    RefusalKind::StreamNotOffered,
    RefusalKind::TargetRefused,
    RefusalKind::TargetUnreachable,
    RefusalKind::TargetTimedOut,
];

pub(super) fn device_refusal(reason: Option<Refusal>) -> Refusal {
    match reason {
        Some(refusal) if DEVICE_REFUSALS.contains(&refusal.kind) => refusal,
        Some(refusal) => Refusal { kind: RefusalKind::RejectedByDevice, detail: refusal.detail },
        None => RefusalKind::RejectedByDevice.into(),
    }
}

pub(super) fn token_rejected(id: StreamId, principal: &Principal, wrong: &str, address: SocketAddr) -> Event {
    let event = Event::about(principal, Operation::Authenticate, RefusalKind::AuthenticationFailed.row().label);
    Event { stream: Some(id), source: Some(address), reason: wrong.into(), ..event }
}
