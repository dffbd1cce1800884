//! The hub: the real broker, and relays that pass on what comes.

use super::*;

use devstream::hub::broker::{LegAttach, LegCredential, LegExit, OpenRequest, Output, Settings};
use devstream::proto::http::Bridge;
use devstream::proto::id::{Principal, Role};
use devstream::proto::keepalive::KeepaliveAction;
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::Refusal;
use devstream::proto::scope::Scope;
use devstream::proto::stream::{CLOSE_NORMAL, StreamProtocol};

use crate::world::{self, address, name, plain_request, random, service};

const ROLES: [Role; 2] = [Role::Device, Role::Service];

/// How long a relay may take to tell dead connections that they are over.
const TELLING: u64 = 5000;

impl Journey {
    pub(super) fn hub_starts(&mut self) {
        self.run += 1;
        self.stopping = false;
        let settings = Settings { resume: Some(self.grace), ..Settings::default() };
        self.broker = Some(Broker::new(settings, random(mix(self.dice ^ self.run))));
        let connection = ConnectionId(self.run);
        let protocols = StreamProtocol::ALL.map(|protocol| protocol.as_str().into()).to_vec();
        let hello = Hello {
            version: "1".into(),
            run: 1,
            protocols,
            forwards: vec![name("ssh")],
            accepts_any_name: false,
            reusable: false,
        };
        let device = "device-0".parse().unwrap();
        self.tell(Input::DeviceConnected { device, connection, hello, address: address() });
        self.after(Duration::from_secs(1), Event::HubLooks);
    }

    /// The handshake: it is the other simulation's matter, and goes well.
    pub(super) fn open(&mut self) {
        let device = "device-0".parse().unwrap();
        let ask = OpenRequest { protocols: StreamProtocol::ALL.to_vec(), ..plain_request(&device) };
        let broker = self.broker.as_mut().unwrap();
        broker.handle(Input::OpenRequested { requester: ConnectionId(999), request: ask }, self.now);
        let mut tokens = Vec::new();
        while let Some(output) = broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => {
                    tokens.push(request.token);
                    self.stream = request.stream;
                    let response = StreamResponse { request_id: request.stream, accepted: true, reason: None };
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
            place: Place::Gone,
            keepalive: Keepalive::new(self.idle_timeout, Endpoint::Server, self.start, self.dice),
            beat_at: self.now,
            said: self.now,
            heard: self.now,
        });
        let bridge = Bridge { hub: "hub".into(), device, stream: self.stream, role };
        let principal = Principal { role, id };
        let (scope, until) = (Scope::everything(), None);
        self.tell(Input::LegAttached(LegAttach {
            leg,
            bridge,
            principal,
            credential,
            address: address(),
            scope,
            until,
        }));
    }

    /// A side is back at the door.
    pub(super) fn knock(&mut self, side: usize, attempt: u64) {
        if self.broker.is_none() || self.sides[side].away_until > self.now {
            let late = self.up_to(300);
            return self.after(late, Event::Refused(side, attempt, None));
        }
        let ticket = self.sides[side].ticket.clone().unwrap();
        self.arrives(side, attempt, LegCredential::Ticket(Box::new(ticket)));
    }

    fn tell(&mut self, input: Input) {
        let now = self.now;
        if let Some(broker) = &mut self.broker {
            broker.handle(input, now);
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.broker.as_mut().and_then(Broker::next_output) {
            match output {
                Output::Admit { leg, admission } => {
                    let (ticket, grace) = admission.ticket.expect("both ends resume");
                    let leg = index(leg);
                    self.legs[leg].place = Place::Waits(Vec::new());
                    if self.legs[leg].attempt == 0 {
                        let now = self.now;
                        self.sides[self.legs[leg].side].begins(leg, ticket, grace, now);
                    } else {
                        self.send_down(leg, Message::Welcome(Box::new(ticket), grace));
                    }
                }
                Output::Refuse { leg, refusal } => {
                    let leg = index(leg);
                    match std::mem::replace(&mut self.legs[leg].place, Place::Gone) {
                        Place::Gone => {
                            let Leg { side, attempt, .. } = self.legs[leg];
                            let late = self.delay(side);
                            self.after(late, Event::Refused(side, attempt, Some(refusal.kind)));
                        }
                        Place::Waits(_) => self.close(leg, &refusal),
                        Place::Joined(_) => panic!("refused a side that is joined"),
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
        if let Some(stays) = self.one_that_stays(device, service) {
            return stays.map_or((), |leg| self.close_lost(leg, service));
        }
        for (leg, other) in [(device, service), (service, device)] {
            let place = std::mem::replace(&mut self.legs[leg].place, Place::Joined(other));
            let Place::Waits(early) = place else { panic!("joined a side that does not wait") };
            for message in early {
                self.send_down(other, message);
            }
        }
    }

    /// A side may have left while the broker did not know; the other one, if it is there, is sent to come again.
    fn one_that_stays(&self, device: usize, service: usize) -> Option<Option<usize>> {
        let waits = |leg: usize| matches!(self.legs[leg].place, Place::Waits(_));
        match (waits(device), waits(service)) {
            (true, true) => None,
            (true, false) => Some(Some(device)),
            (false, true) => Some(Some(service)),
            (false, false) => Some(None),
        }
    }

    fn close_lost(&mut self, leg: usize, service: usize) {
        self.legs[leg].place = Place::Gone;
        self.close(leg, &RefusalKind::Interrupted.into());
        if leg == service {
            self.after(Duration::ZERO, Event::Farewell(self.run, ConnectionId(1000 + leg as u64), true));
        }
    }

    /// Both sides of the relay are told, and it says later that it is over.
    fn end_relay(&mut self, refusal: &Refusal) {
        let run = self.run;
        let joined = |leg: &&Leg| leg.run == run && matches!(leg.place, Place::Joined(_)) && leg.side == 1;
        let Some(service) = self.legs.iter().position(|leg| joined(&leg)) else { return };
        let Place::Joined(device) = self.legs[service].place else { return };
        for leg in [device, service] {
            self.legs[leg].place = Place::Gone;
            self.close(leg, refusal);
        }
        let lost = matches!(refusal.kind, RefusalKind::Interrupted | RefusalKind::Draining);
        let late = self.up_to(TELLING);
        self.after(late, Event::Farewell(run, ConnectionId(1000 + service as u64), lost));
    }

    fn close(&mut self, leg: usize, refusal: &Refusal) {
        self.send_down(leg, Message::Close(refusal.kind.row().close, refusal.close_reason()));
    }

    pub(super) fn at_hub(&mut self, leg: usize, message: Message) {
        if self.is_stale(leg) || !self.legs[leg].up {
            return;
        }
        self.legs[leg].heard = self.now;
        if matches!(message, Message::Ping) {
            return self.send_down(leg, Message::Pong);
        }
        match (&mut self.legs[leg].place, message) {
            (Place::Gone, _) | (_, Message::Pong | Message::Ping | Message::Welcome(..)) => {}
            (Place::Waits(_), Message::Close(code, _)) if code != CLOSE_NORMAL => self.leaves(leg, false, None),
            (Place::Waits(early), message) => early.push(message),
            (Place::Joined(_), Message::Close(code, reason)) => self.leaves(leg, false, Some((code, reason))),
            (Place::Joined(other), message) => {
                let other = *other;
                self.pass_on(other, message);
            }
        }
    }

    /// Where a message of bytes ends means nothing, and is not kept.
    fn pass_on(&mut self, leg: usize, message: Message) {
        match message {
            Message::Bytes(mut bytes) if bytes.len() > 1 && self.roll(3) == 0 => {
                let first = 1 + self.roll(bytes.len() as u64 - 1) as usize;
                self.send_down(leg, Message::Bytes(bytes.split_to(first)));
                self.send_down(leg, Message::Bytes(bytes));
            }
            Message::Bytes(_)
            | Message::Text(_)
            | Message::Ping
            | Message::Pong
            | Message::Close(..)
            | Message::Welcome(..) => self.send_down(leg, message),
        }
    }

    pub(super) fn hub_loses(&mut self, leg: usize) {
        if !self.is_stale(leg) {
            let refusal = Refusal::from(RefusalKind::Interrupted);
            self.leaves(leg, true, Some((refusal.kind.row().close, refusal.close_reason())));
        }
    }

    fn is_stale(&self, leg: usize) -> bool {
        self.broker.is_none() || self.legs[leg].run != self.run
    }

    /// A side is gone; the other one, if it is joined, is told this.
    fn leaves(&mut self, leg: usize, lost: bool, told: Option<(u16, String)>) {
        let id = match std::mem::replace(&mut self.legs[leg].place, Place::Gone) {
            Place::Gone => return,
            Place::Waits(_) => leg,
            Place::Joined(other) => {
                self.legs[other].place = Place::Gone;
                let (code, reason) = told.unwrap_or((CLOSE_NORMAL, String::new()));
                self.send_down(other, Message::Close(code, reason));
                if self.legs[leg].side == 1 { leg } else { other }
            }
        };
        let late = self.up_to(50);
        self.after(late, Event::Farewell(self.run, ConnectionId(1000 + id as u64), lost));
    }

    pub(super) fn farewell(&mut self, run: u64, leg: ConnectionId, lost: bool) {
        if run == self.run {
            self.tell(Input::LegLeft { leg, exit: if lost { world::lost() } else { LegExit::Deliberate } });
        }
    }

    /// Timers of the broker and of each connection.
    pub(super) fn hub_looks(&mut self) {
        let now = self.now;
        let Some(broker) = &mut self.broker else { return };
        broker.handle_timeout(now);
        self.carry_out();
        let mut next = now + Duration::from_secs(30);
        for leg in 0..self.legs.len() {
            if self.legs[leg].run != self.run || matches!(self.legs[leg].place, Place::Gone) {
                continue;
            }
            if self.legs[leg].beat_at <= now {
                self.hub_beats(leg);
            }
            next = next.min(self.legs[leg].beat_at);
        }
        let deadline = self.broker.as_ref().and_then(Broker::next_deadline);
        let over = self.sides.iter().all(|side| side.ending.is_some());
        if !over || deadline.is_some() || self.broker.as_ref().is_some_and(|broker| broker.streams() > 0) {
            let soonest = now + Duration::from_millis(500);
            self.at(deadline.unwrap_or(next).min(next).max(soonest), Event::HubLooks);
        }
    }

    fn hub_beats(&mut self, leg: usize) {
        let now = self.now;
        let Leg { keepalive, said, heard, beat_at, up, down, side, .. } = &mut self.legs[leg];
        match keepalive.poll(now, *said, *heard) {
            KeepaliveAction::WaitUntil(at) => *beat_at = at,
            KeepaliveAction::Ping => {
                *beat_at = now + Duration::from_secs(1);
                self.send_down(leg, Message::Ping);
            }
            KeepaliveAction::GiveUp => {
                let sound = *up && *down && self.sides[*side].leg == Some(leg);
                assert!(!sound, "the hub gave up a side that is there");
                self.hub_loses(leg);
            }
        }
    }

    /// At once, and its host with it or not; and it starts again.
    pub(super) fn hub_dies(&mut self, long: u64) {
        if self.broker.is_none() {
            return;
        }
        let silently = self.roll(3) == 0;
        self.hub_is_gone(silently);
        let down = self.up_to(long * 1000);
        self.after(down, Event::HubStarts);
    }

    fn hub_is_gone(&mut self, silently: bool) {
        self.broker = None;
        for leg in 0..self.legs.len() {
            let sound = self.legs[leg].down;
            // What was sent before is lost with it, or not.
            if silently {
                (self.legs[leg].up, self.legs[leg].down) = (false, false);
            } else if sound {
                let late = self.delay(self.legs[leg].side);
                let at = (self.now + late).max(self.legs[leg].last_down);
                self.at(at, Event::SideLoses(leg));
            }
        }
    }

    /// It says so, waits, and sends everybody away.
    pub(super) fn hub_drains(&mut self) {
        if self.broker.is_none() || std::mem::replace(&mut self.stopping, true) {
            return;
        }
        self.tell(Input::Drain);
        let reconnect_delay_ms = self.roll(3000);
        for leg in 0..self.legs.len() {
            if self.legs[leg].run == self.run && matches!(self.legs[leg].place, Place::Joined(_)) {
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
            if self.legs[leg].run == run && !matches!(self.legs[leg].place, Place::Gone) {
                self.legs[leg].place = Place::Gone;
                self.close(leg, &refusal);
            }
        }
        self.hub_is_gone(false);
        let down = self.up_to(5000);
        self.after(down, Event::HubStarts);
    }

    pub(super) fn kill(&mut self) {
        self.tell(Input::StreamKilled { stream: self.stream });
    }

    pub(super) fn revoke(&mut self) {
        let principal = Principal { role: Role::Service, id: service(0).into() };
        self.tell(Input::IdentityRevoked { principal, reason: RefusalKind::AuthenticationFailed.into() });
    }
}

fn index(leg: ConnectionId) -> usize {
    usize::try_from(leg.0 - 1000).unwrap()
}
