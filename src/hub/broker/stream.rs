//! One stream as the broker knows it.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Ask, Event, Operation};
use crate::proto::id::{ConnectionId, Principal, Role, StreamId, StreamName};
use crate::proto::message::Hello;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::Ticket;
use crate::proto::secret::{SecretHash, StreamToken};
use crate::proto::stream::StreamProtocol;

/// How far a stream has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// The device is offline; the service waits for it.
    Waiting,
    /// The device on this connection was asked.
    Asked {
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
            Self::Waiting => Some("waiting"),
            Self::Asked { .. } => Some("asked"),
            Self::Accepted => Some("accepted"),
            Self::Joined | Self::Ending(_) => Some("open"),
            Self::Interrupted { .. } => Some("interrupted"),
            Self::Failed(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) ask: Ask,
    /// The service's connection, until it has its answer.
    pub(super) asker: Option<ConnectionId>,
    pub(super) asked_at: Instant,
    /// How long an offline device is waited for.
    pub(super) online_until: Instant,
    /// How long both sides are waited for, once the device was asked.
    pub(super) handshake_until: Option<Instant>,
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
    pub(super) device: Side,
    pub(super) service: Side,
}

impl Stream {
    pub(super) fn new(asker: ConnectionId, ask: Ask, now: Instant) -> Self {
        Self {
            asker: Some(asker),
            asked_at: now,
            online_until: now + ask.connect_timeout,
            handshake_until: None,
            protocol: None,
            reusable: false,
            agent: 0,
            opened_at: None,
            adopted: false,
            phase: Phase::Waiting,
            timer: None,
            device: Side::default(),
            service: Side::default(),
            ask,
        }
    }

    /// Which of a device's forwards it is for.
    pub(super) fn choose(&self, hello: &Hello) -> Result<StreamName, Refusal> {
        if let Some(asked) =
            self.ask.name.as_ref().filter(|name| hello.accepts_any_name && self.ask.scope.covers_stream(name))
        {
            return Ok(asked.clone());
        }
        let mut offered = hello.forwards.iter().filter(|name| self.ask.scope.covers_stream(name));
        let wanted = |name: &&StreamName| self.ask.name.as_ref().is_none_or(|asked| asked == *name);
        if let Some(name) = offered.clone().find(wanted) {
            return Ok(name.clone());
        }
        let asked = self.ask.name.as_ref().map_or("its first", StreamName::as_str);
        let first = offered.next().map_or("nothing", StreamName::as_str).to_owned();
        let offered = offered.fold(first, |list, name| format!("{list}, {name}"));
        Err(Refusal::new(RefusalKind::StreamNotOffered, format!("asked for {asked}; offered: {offered}")))
    }

    pub(super) fn side(&mut self, role: Role) -> &mut Side {
        match role {
            Role::Device => &mut self.device,
            Role::Service => &mut self.service,
        }
    }

    /// Whether this identity is one of the stream's two.
    pub(super) fn is_side(&self, principal: &Principal) -> bool {
        let id = principal.id.as_str();
        match principal.role {
            Role::Device => id == self.ask.device.as_str(),
            Role::Service => id == self.ask.service.as_str(),
        }
    }

    /// Whether its ends outlive their connections.
    pub(super) fn resumes(&self) -> bool {
        self.protocol == Some(StreamProtocol::Resumable)
    }

    /// What one of its ends comes back with, where it can.
    pub(super) fn ticket(&self, id: StreamId, role: Role, hub: u64) -> Option<Ticket> {
        let name = self.ask.name.clone().filter(|_| self.resumes())?;
        let (device, service) = (self.ask.device.clone(), self.ask.service.clone());
        Some(Ticket { stream: id, name, device, agent: self.agent, service, role, hub })
    }

    pub(super) fn event(&self, id: StreamId, operation: Operation, result: &'static str, now: Instant) -> Event {
        Event {
            stream: Some(id),
            name: self.ask.name.clone(),
            device: Some(self.ask.device.clone()),
            service: Some(self.ask.service.clone()),
            source: Some(self.ask.source),
            peer: self.device.address,
            took: Some(now.saturating_duration_since(self.asked_at)),
            ..Event::new(operation, result)
        }
    }
}

/// One side's way in: a token that is spent once, then the connection that spent it.
#[derive(Debug, Default)]
pub(super) struct Side {
    token: Option<(SecretHash, Instant)>,
    spent: bool,
    leg: Option<ConnectionId>,
    address: Option<SocketAddr>,
}

impl Side {
    /// A token was given out; any earlier one is void.
    pub(super) fn expect(&mut self, token: &StreamToken, until: Instant) {
        self.token = Some((token.hash(), until));
        self.spent = false;
    }

    /// No token is good any more.
    pub(super) fn void(&mut self) {
        self.token = None;
    }

    /// Whether somebody may still come with the token.
    pub(super) fn is_expected(&self) -> bool {
        self.token.is_some() && !self.spent
    }

    /// Spends the token. The hash is compared first, and in constant time, so that only its owner learns more.
    pub(super) fn spend(&mut self, presented: &SecretHash, now: Instant) -> Result<(), &'static str> {
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

    pub(super) fn arrived(&mut self, leg: ConnectionId, address: SocketAddr) {
        self.leg = Some(leg);
        self.address = Some(address);
    }

    pub(super) fn left(&mut self) {
        self.leg = None;
    }

    pub(super) fn leg(&self) -> Option<ConnectionId> {
        self.leg
    }
}

/// What a device may refuse with: it speaks for itself and its targets, not for the hub.
pub(super) const DEVICE_KINDS: [RefusalKind; 5] = [
    RefusalKind::RejectedByDevice,
    RefusalKind::StreamNotOffered,
    RefusalKind::TargetRefused,
    RefusalKind::TargetUnreachable,
    RefusalKind::TargetTimedOut,
];

pub(super) fn device_refusal(reason: Option<Refusal>) -> Refusal {
    match reason {
        Some(refusal) if DEVICE_KINDS.contains(&refusal.kind) => refusal,
        Some(refusal) => Refusal { kind: RefusalKind::RejectedByDevice, detail: refusal.detail },
        None => RefusalKind::RejectedByDevice.into(),
    }
}

pub(super) fn wrong_token(id: StreamId, principal: &Principal, wrong: &str, address: SocketAddr) -> Event {
    let event = Event::about(principal, Operation::Authenticate, RefusalKind::AuthenticationFailed.row().label);
    Event { stream: Some(id), source: Some(address), reason: wrong.into(), ..event }
}
