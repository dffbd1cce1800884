//! The hub: the real broker, and relays that forward messages.

use super::*;

use devstream::hub::broker::{LegAttach, LegCredential, LegExit, OpenRequest, Output, Settings};
use devstream::proto::http::Bridge;
use devstream::proto::id::{Principal, Role};
use devstream::proto::keepalive::KeepaliveAction;
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::Refusal;
use devstream::proto::scope::Scope;
use devstream::proto::stream::{CLOSE_NORMAL, StreamProtocol};

use crate::world::{self, HUB, address, any_key, name, plain_request, random, service};

const ROLES: [Role; 2] = [Role::Device, Role::Service];

/// Longest time that a relay takes to close dead connections, in milliseconds.
const CLOSE_DELAY: u64 = 5000;

impl Simulation {
    pub(super) fn hub_starts(&mut self) {
        self.run += 1;
        self.stopping = false;
        let settings = Settings { resume: Some(self.grace), ..Settings::default() };
        self.broker = Some(Broker::new(settings, HUB, random(mix(self.rng ^ self.run))));
        let connection = ConnectionId(self.run);
        let protocols = StreamProtocol::ALL.map(|protocol| protocol.as_str().into()).to_vec();
        let hello = Hello {
            version: "1".into(),
            run: 1,
            protocols,
            forwards: vec![name("ssh")],
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        let device = "device-0".parse().unwrap();
        self.handle(Input::DeviceConnected { device, connection, hello, address: address() });
        self.after(Duration::from_secs(1), Event::PollHub);
    }

    /// Performs the handshake without faults: the broker's simulation covers it.
    pub(super) fn open(&mut self) {
        let device = "device-0".parse().unwrap();
        let request = OpenRequest { protocols: StreamProtocol::ALL.to_vec(), ..plain_request(&device) };
        let broker = self.broker.as_mut().unwrap();
        broker.handle(Input::OpenRequested { requester: ConnectionId(999), request }, self.now);
        let mut tokens = Vec::new();
        while let Some(output) = broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => {
                    tokens.push(request.token);
                    self.stream = request.stream;
                    let response =
                        StreamResponse { request_id: request.stream, accepted: true, end_to_end: false, reason: None };
                    broker.handle(Input::DeviceResponded { connection, response, standby: false }, self.now);
                }
                Output::CompleteOpen { result: answer, .. } => tokens.push(answer.unwrap().token),
                Output::Displace { .. }
                | Output::Dismiss { .. }
                | Output::RevalidateKey { .. }
                | Output::CancelRequest { .. }
                | Output::Admit { .. }
                | Output::Refuse { .. }
                | Output::Join(_)
                | Output::EndStream { .. }
                | Output::StreamEnded { .. }
                | Output::Record(_) => {}
            }
        }
        for (side, token) in tokens.into_iter().enumerate() {
            self.arrives(side, 0, LegCredential::Token(token.hash()));
        }
    }

    fn arrives(&mut self, side: usize, attempt: u64, credential: LegCredential) {
        let role = ROLES[side];
        let device: devstream::proto::id::DeviceId = "device-0".parse().unwrap();
        let id = if role == Role::Device { device.clone().into() } else { service(0).into() };
        let leg = ConnectionId(1000 + self.legs.len() as u64);
        self.legs.push(Leg {
            side,
            attempt,
            run: self.run,
            up: true,
            down: true,
            last_up: self.now,
            last_down: self.now,
            state: LegState::Closed,
            keepalive: Keepalive::new(self.idle_timeout, WebSocketRole::Server, self.start, self.rng),
            keepalive_at: self.now,
            last_write: self.now,
            last_read: self.now,
        });
        let bridge = Bridge { hub: "hub".into(), device, stream: self.stream, role };
        let principal = Principal { role, id };
        let (scope, until) = (Scope::everything(), None);
        self.handle(Input::LegAttached(LegAttach {
            leg,
            bridge,
            principal,
            credential,
            address: address(),
            scope,
            until,
            key: any_key(),
        }));
    }

    /// An attempt to rejoin reaches the hub.
    pub(super) fn rejoin_arrives(&mut self, side: usize, attempt: u64) {
        if self.broker.is_none() || self.sides[side].offline_until > self.now {
            let late = self.up_to(300);
            return self.after(late, Event::Refused(side, attempt, None));
        }
        let ticket = self.sides[side].ticket.clone().unwrap();
        self.arrives(side, attempt, LegCredential::Ticket(Box::new(ticket)));
    }

    fn handle(&mut self, input: Input) {
        let now = self.now;
        if let Some(broker) = &mut self.broker {
            broker.handle(input, now);
        }
        self.process_outputs();
    }

    fn process_outputs(&mut self) {
        while let Some(output) = self.broker.as_mut().and_then(Broker::next_output) {
            match output {
                Output::Admit { leg, admission } => {
                    let (ticket, grace) = admission.ticket.expect("both ends resume");
                    let leg = index(leg);
                    self.legs[leg].state = LegState::Waiting(Vec::new());
                    if self.legs[leg].attempt == 0 {
                        let now = self.now;
                        self.sides[self.legs[leg].side].begin(leg, ticket, grace, now);
                    } else {
                        self.send_down(leg, Message::Upgraded(Box::new(ticket), grace));
                    }
                }
                Output::Refuse { leg, refusal } => {
                    let leg = index(leg);
                    match std::mem::replace(&mut self.legs[leg].state, LegState::Closed) {
                        LegState::Closed => {
                            let Leg { side, attempt, .. } = self.legs[leg];
                            let late = self.delay(side);
                            self.after(late, Event::Refused(side, attempt, Some(refusal.kind)));
                        }
                        LegState::Waiting(_) => self.close(leg, &refusal),
                        LegState::Joined(_) => panic!("refused a joined leg"),
                    }
                }
                Output::Join(joined) => self.join(index(joined.device_leg), index(joined.service_leg)),
                Output::EndStream { refusal, .. } => self.end_relay(&refusal),
                Output::Displace { .. }
                | Output::Dismiss { .. }
                | Output::RevalidateKey { .. }
                | Output::RequestDevice { .. }
                | Output::CancelRequest { .. }
                | Output::CompleteOpen { .. }
                | Output::StreamEnded { .. }
                | Output::Record(_) => {}
            }
        }
    }

    fn join(&mut self, device: usize, service: usize) {
        if let Some(stays) = self.lone_leg(device, service) {
            return stays.map_or((), |leg| self.close_lost(leg, service));
        }
        for (leg, other) in [(device, service), (service, device)] {
            let state = std::mem::replace(&mut self.legs[leg].state, LegState::Joined(other));
            let LegState::Waiting(early) = state else { panic!("joined a leg that does not wait") };
            for message in early {
                self.send_down(other, message);
            }
        }
    }

    /// Returns the remaining leg, if one has left without the broker's knowledge: it has to rejoin.
    fn lone_leg(&self, device: usize, service: usize) -> Option<Option<usize>> {
        let waits = |leg: usize| matches!(self.legs[leg].state, LegState::Waiting(_));
        match (waits(device), waits(service)) {
            (true, true) => None,
            (true, false) => Some(Some(device)),
            (false, true) => Some(Some(service)),
            (false, false) => Some(None),
        }
    }

    fn close_lost(&mut self, leg: usize, service: usize) {
        self.legs[leg].state = LegState::Closed;
        self.close(leg, &RefusalKind::Interrupted.into());
        if leg == service {
            self.after(Duration::ZERO, Event::RelayEnded(self.run, ConnectionId(1000 + leg as u64), true));
        }
    }

    /// Closes both legs of the relay, which ends later.
    fn end_relay(&mut self, refusal: &Refusal) {
        let run = self.run;
        let joined = |leg: &&Leg| leg.run == run && matches!(leg.state, LegState::Joined(_)) && leg.side == 1;
        let Some(service) = self.legs.iter().position(|leg| joined(&leg)) else { return };
        let LegState::Joined(device) = self.legs[service].state else { return };
        for leg in [device, service] {
            self.legs[leg].state = LegState::Closed;
            self.close(leg, refusal);
        }
        let lost = matches!(refusal.kind, RefusalKind::Interrupted | RefusalKind::Draining);
        let late = self.up_to(CLOSE_DELAY);
        self.after(late, Event::RelayEnded(run, ConnectionId(1000 + service as u64), lost));
    }

    fn close(&mut self, leg: usize, refusal: &Refusal) {
        self.send_down(leg, Message::Close(refusal.kind.row().close, refusal.close_reason()));
    }

    pub(super) fn at_hub(&mut self, leg: usize, message: Message) {
        if self.is_stale(leg) || !self.legs[leg].up {
            return;
        }
        self.legs[leg].last_read = self.now;
        if matches!(message, Message::Ping) {
            return self.send_down(leg, Message::Pong);
        }
        match (&mut self.legs[leg].state, message) {
            (LegState::Closed, _) | (_, Message::Pong | Message::Ping | Message::Upgraded(..)) => {}
            (LegState::Waiting(_), Message::Close(code, _)) if code != CLOSE_NORMAL => self.leaves(leg, false, None),
            (LegState::Waiting(early), message) => early.push(message),
            (LegState::Joined(_), Message::Close(code, reason)) => self.leaves(leg, false, Some((code, reason))),
            (LegState::Joined(other), message) => {
                let other = *other;
                self.pass_on(other, message);
            }
        }
    }

    /// Forwards a message; boundaries of binary messages are not kept.
    fn pass_on(&mut self, leg: usize, message: Message) {
        match message {
            Message::Bytes(mut bytes) if bytes.len() > 1 && self.random_below(3) == 0 => {
                let first = 1 + self.random_below(bytes.len() as u64 - 1) as usize;
                self.send_down(leg, Message::Bytes(bytes.split_to(first)));
                self.send_down(leg, Message::Bytes(bytes));
            }
            Message::Bytes(_)
            | Message::Text(_)
            | Message::Ping
            | Message::Pong
            | Message::Close(..)
            | Message::Upgraded(..) => self.send_down(leg, message),
        }
    }

    pub(super) fn hub_disconnects(&mut self, leg: usize) {
        if !self.is_stale(leg) {
            let refusal = Refusal::from(RefusalKind::Interrupted);
            self.leaves(leg, true, Some((refusal.kind.row().close, refusal.close_reason())));
        }
    }

    fn is_stale(&self, leg: usize) -> bool {
        self.broker.is_none() || self.legs[leg].run != self.run
    }

    /// A leg is gone; the other, if joined, is closed.
    fn leaves(&mut self, leg: usize, lost: bool, close_frame: Option<(u16, String)>) {
        let id = match std::mem::replace(&mut self.legs[leg].state, LegState::Closed) {
            LegState::Closed => return,
            LegState::Waiting(_) => leg,
            LegState::Joined(other) => {
                self.legs[other].state = LegState::Closed;
                let (code, reason) = close_frame.unwrap_or((CLOSE_NORMAL, String::new()));
                self.send_down(other, Message::Close(code, reason));
                if self.legs[leg].side == 1 { leg } else { other }
            }
        };
        let late = self.up_to(50);
        self.after(late, Event::RelayEnded(self.run, ConnectionId(1000 + id as u64), lost));
    }

    pub(super) fn relay_ended(&mut self, run: u64, leg: ConnectionId, lost: bool) {
        if run == self.run {
            self.handle(Input::LegLeft { leg, exit: if lost { world::lost() } else { LegExit::Aborted } });
        }
    }

    /// Polls the timers of the broker and of each connection.
    pub(super) fn poll_hub(&mut self) {
        let now = self.now;
        let Some(broker) = &mut self.broker else { return };
        broker.handle_timeout(now);
        self.process_outputs();
        let mut next = now + Duration::from_secs(30);
        for leg in 0..self.legs.len() {
            if self.legs[leg].run != self.run || matches!(self.legs[leg].state, LegState::Closed) {
                continue;
            }
            if self.legs[leg].keepalive_at <= now {
                self.poll_keepalive(leg);
            }
            next = next.min(self.legs[leg].keepalive_at);
        }
        let deadline = self.broker.as_ref().and_then(Broker::next_deadline);
        let over = self.sides.iter().all(|side| side.ending.is_some());
        if !over || deadline.is_some() || self.broker.as_ref().is_some_and(|broker| broker.streams() > 0) {
            let soonest = now + Duration::from_millis(500);
            self.at(deadline.unwrap_or(next).min(next).max(soonest), Event::PollHub);
        }
    }

    fn poll_keepalive(&mut self, leg: usize) {
        let now = self.now;
        let Leg { keepalive, last_write, last_read, keepalive_at, up, down, side, .. } = &mut self.legs[leg];
        match keepalive.poll(now, *last_write, *last_read) {
            KeepaliveAction::WaitUntil(at) => *keepalive_at = at,
            KeepaliveAction::Ping => {
                *keepalive_at = now + Duration::from_secs(1);
                self.send_down(leg, Message::Ping);
            }
            KeepaliveAction::GiveUp => {
                let sound = *up && *down && self.sides[*side].leg == Some(leg);
                assert!(!sound, "the hub gave up a connected end");
                self.hub_disconnects(leg);
            }
        }
    }

    /// Crashes the hub, with or without its host, and restarts it.
    pub(super) fn hub_dies(&mut self, long: u64) {
        if self.broker.is_none() {
            return;
        }
        let silently = self.random_below(3) == 0;
        self.hub_is_gone(silently);
        let down = self.up_to(long * 1000);
        self.after(down, Event::HubStarts);
    }

    fn hub_is_gone(&mut self, silently: bool) {
        self.broker = None;
        for leg in 0..self.legs.len() {
            let sound = self.legs[leg].down;
            // Messages in flight are lost with its host, or arrive.
            if silently {
                (self.legs[leg].up, self.legs[leg].down) = (false, false);
            } else if sound {
                let late = self.delay(self.legs[leg].side);
                let at = (self.now + late).max(self.legs[leg].last_down);
                self.at(at, Event::SideDisconnects(leg));
            }
        }
    }

    /// Announces the shutdown, waits, and closes all connections.
    pub(super) fn hub_drains(&mut self) {
        if self.broker.is_none() || std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.handle(Input::Drain);
        let reconnect_delay_ms = self.random_below(3000);
        for leg in 0..self.legs.len() {
            if self.legs[leg].run == self.run && matches!(self.legs[leg].state, LegState::Joined(_)) {
                self.send_down(leg, Message::Text(StreamControl::Drain { seconds: 2, reconnect_delay_ms }));
            }
        }
        let left = self.up_to(2000);
        self.after(left, Event::HubStops(self.run));
    }

    pub(super) fn hub_stops(&mut self, run: u64) {
        if run != self.run || self.broker.is_none() {
            return;
        }
        let refusal = Refusal::from(RefusalKind::Draining);
        for leg in 0..self.legs.len() {
            if self.legs[leg].run == run && !matches!(self.legs[leg].state, LegState::Closed) {
                self.legs[leg].state = LegState::Closed;
                self.close(leg, &refusal);
            }
        }
        self.hub_is_gone(false);
        let down = self.up_to(5000);
        self.after(down, Event::HubStarts);
    }

    pub(super) fn kill(&mut self) {
        self.handle(Input::StreamKilled { stream: self.stream });
    }

    pub(super) fn revoke(&mut self) {
        let principal = Principal { role: Role::Service, id: service(0).into() };
        self.handle(Input::IdentityRevoked { principal, reason: RefusalKind::AuthenticationFailed.into() });
    }
}

fn index(leg: ConnectionId) -> usize {
    usize::try_from(leg.0 - 1000).unwrap()
}
