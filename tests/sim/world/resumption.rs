//! Legs that resume, with their own tickets and others', on this run of the hub and the next; and the invariants.

use super::*;

use devstream::hub::broker::JoinedStream;
use devstream::proto::resume;

/// A resume ticket that a run of the hub issued.
#[derive(Clone)]
pub(super) struct IssuedTicket {
    pub(super) ticket: resume::ResumeTicket,
    run: u64,
    /// Another run of the agent was asked since, or without resumption: the ticket is for the former stream.
    void: bool,
}

/// The expected result for a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Expected {
    LegAdmission,
    Refusal,
    /// Undetermined: the end of the grace time is within one step of the clock, or the stream's protocol is not known
    /// here.
    Either,
}

/// An attempt to resume.
pub(super) struct ResumeAttempt {
    ticket: resume::ResumeTicket,
    expected: Expected,
}

impl World {
    /// Usually the owner at the right endpoint; sometimes another role, identity, stream or device.
    pub(super) fn leg_resumes(&mut self) {
        let issued_tickets = self.recent_tickets();
        let Some((issued, other)) = self.pick(&issued_tickets).zip(self.pick(&issued_tickets)) else { return };
        let how = self.random_below(14);
        self.returns(issued, &other, how);
    }

    /// Both ends of one stream resume correctly.
    pub(crate) fn both_resume(&mut self) {
        let issued_tickets = self.recent_tickets();
        let Some(one) = self.pick(&issued_tickets) else { return };
        let wanted =
            |issued: &&IssuedTicket| issued.ticket.stream == one.ticket.stream && issued.ticket.role != one.ticket.role;
        let other = issued_tickets.iter().rfind(wanted).cloned();
        for issued in [Some(one), other].into_iter().flatten() {
            self.returns(issued.clone(), &issued, 14);
        }
    }

    fn recent_tickets(&self) -> Vec<IssuedTicket> {
        self.issued_tickets[self.issued_tickets.len().saturating_sub(12)..].to_vec()
    }

    fn returns(&mut self, issued: IssuedTicket, other: &IssuedTicket, how: u64) {
        let IssuedTicket { ticket, run, void } = issued;
        let mut principal = ticket.principal();
        let mut bridge =
            Bridge { hub: "hub".into(), device: ticket.device.clone(), stream: ticket.stream, role: ticket.role };
        match how {
            0 => principal = other.ticket.principal(),
            1 => (principal.role, bridge.role) = (!principal.role, !bridge.role),
            2 => bridge.stream = other.ticket.stream,
            3 => bridge.device = other.ticket.device.clone(),
            4 => bridge.role = !bridge.role,
            _ => {}
        }
        let own = principal == ticket.principal()
            && (&bridge.device, bridge.stream, bridge.role) == (&ticket.device, ticket.stream, ticket.role);
        let good = !void || self.issued_tickets.iter().any(|issued| !issued.void && issued.ticket == ticket);
        let expected = match self.expected(&ticket, run) {
            expected if own && (good || expected == Expected::Either) => expected,
            _ => Expected::Refusal,
        };
        let leg = self.connection();
        self.resuming.insert(leg, ResumeAttempt { ticket: ticket.clone(), expected });
        let named = ServiceName::from(principal.id.clone());
        let (scope, until) = self.scopes.get(&named).cloned().unwrap_or((Scope::everything(), None));
        let credential = LegCredential::Ticket(Box::new(ticket));
        let (address, key) = (address(), any_key());
        let arrival = LegAttach { leg, bridge, principal, credential, address, scope, until, key };
        self.broker.handle(Input::LegAttached(arrival), self.now);
        self.process_outputs();
        assert!(!self.resuming.contains_key(&leg), "neither admitted nor refused");
    }

    /// Opens a resumable stream without faults, as far as the hub allows.
    pub(crate) fn open_stream(&mut self) {
        let (connection, device) = (self.connection(), self.any_device());
        let protocols = StreamProtocol::ALL.map(|protocol| protocol.as_str().into()).to_vec();
        let run = *self.agents.entry(device.clone()).or_default();
        let hello = Hello {
            version: "1".into(),
            run,
            protocols,
            forwards: vec![name("ssh")],
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        self.send_hello(connection, device.clone(), hello);
        self.process_outputs();
        let (requester, service) = (self.connection(), service(self.rng % 3));
        let (scope, until) = self.scopes.get(&service).cloned().unwrap_or((Scope::everything(), None));
        if !scope.covers_device(&device) {
            return;
        }
        let request =
            OpenRequest { service, scope, until, protocols: StreamProtocol::ALL.to_vec(), ..plain_request(&device) };
        let deadline_to_answer = self.now + self.settings.handshake + TICK;
        self.requests
            .insert(requester, PendingRequest { request: request.clone(), deadline_to_answer, must_fail: false });
        self.broker.handle(Input::OpenRequested { requester, request }, self.now);
        self.process_outputs();
        let Some((connection, request)) = self.device_requests.pop() else { return };
        let response = StreamResponse { request_id: request.stream, accepted: true, end_to_end: false, reason: None };
        self.broker.handle(Input::DeviceResponded { connection, response, standby: false }, self.now);
        self.process_outputs();
        let invited: Vec<_> = self.tokens.iter().filter(|ticket| ticket.stream == request.stream).cloned().collect();
        for ticket in invited {
            self.arrive(ticket);
            self.process_outputs();
        }
    }

    /// Reports whether another run of the agent is connected: no one can resume the streams of the earlier run.
    fn has_another_run(&self, ticket: &resume::ResumeTicket) -> bool {
        let another = self.agents.get(&ticket.device).is_some_and(|run| *run != ticket.agent);
        another && self.current.contains_key(&ticket.device)
    }

    /// The expected result for the owner of a ticket.
    fn expected(&self, ticket: &resume::ResumeTicket, run: u64) -> Expected {
        let word = self.state(ticket.stream);
        if self.ended.contains(&ticket.stream) {
            return Expected::Refusal;
        }
        match word {
            _ if self.has_another_run(ticket) => Expected::Either,
            Some("open" | "interrupted") => Expected::LegAdmission,
            // The ends of a resumable stream may return from the device's acceptance on.
            Some("accepted") => Expected::Either,
            Some(_) => Expected::Refusal,
            None if run == self.run => Expected::Refusal,
            None => {
                let Some(grace) = self.settings.resume else { return Expected::Refusal };
                let until = self.began + grace + LATE;
                if self.now < until - TICK {
                    Expected::LegAdmission
                } else if self.now > until + TICK {
                    Expected::Refusal
                } else {
                    Expected::Either
                }
            }
        }
    }

    pub(super) fn state(&self, stream: StreamId) -> Option<&'static str> {
        self.broker.all_streams().find(|(id, ..)| *id == stream).map(|(_, _, word, _)| word)
    }

    pub(super) fn readmit(&mut self, leg: ConnectionId, attempt: &ResumeAttempt, admission: LegAdmission) {
        let ResumeAttempt { ticket, expected } = attempt;
        assert_ne!(*expected, Expected::Refusal, "admitted with an invalid ticket: {ticket:?}");
        assert_eq!(admission.protocol, Some(StreamProtocol::Resumable));
        assert!(admission.ticket.is_some(), "admitted without a resume ticket");
        self.enter(leg, (ticket.stream, ticket.role), admission);
    }

    /// An admitted leg waits for the other, and keeps its ticket.
    pub(super) fn enter(&mut self, leg: ConnectionId, who: (StreamId, Role), admission: LegAdmission) {
        if let Some((ticket, _)) = admission.ticket {
            assert_eq!((ticket.stream, ticket.role), who, "another's ticket");
            assert_eq!(admission.protocol, Some(StreamProtocol::Resumable));
            self.issued_tickets.push(IssuedTicket { ticket, run: self.run, void: false });
        }
        self.admitted.insert(leg, who);
        self.last.insert(who, leg);
    }

    pub(super) fn refused(&mut self, leg: ConnectionId, kind: RefusalKind) {
        if let Some(ResumeAttempt { ticket, expected }) = self.resuming.remove(&leg) {
            // A scope that excludes the stream takes precedence over the ticket.
            let refused = kind == RefusalKind::NotResumed && self.has_another_run(&ticket)
                || matches!(kind, RefusalKind::AuthenticationFailed | RefusalKind::Interrupted)
                    && expected != Expected::LegAdmission
                || kind == RefusalKind::AlreadyEnded
                    && expected != Expected::LegAdmission
                    && self.ended_cleanly.contains(&ticket.stream)
                || matches!(kind, RefusalKind::NotPermitted | RefusalKind::AccessEnded)
                    && expected != Expected::Refusal
                    && ticket.role == Role::Service;
            assert!(refused, "refused as {kind:?}, and was due {expected:?}: {ticket:?}");
            return;
        }
        let known = self.attaching.remove(&leg).is_some() || self.admitted.remove(&leg).is_some();
        assert!(known, "refused an unknown leg");
    }

    pub(super) fn join(&mut self, joined: JoinedStream) {
        let JoinedStream { stream, device_leg, service_leg, protocol, opened, .. } = joined;
        assert!(!self.ended.contains(&stream), "joined a stream that is over");
        assert!(self.accepted.contains(&stream), "joined before the device accepted");
        let is_open = self.open.iter().any(|(leg, id)| *id == stream && !self.ending.contains_key(leg));
        assert!(!is_open, "joined again, and the former legs are open");
        for (leg, role) in [(device_leg, Role::Device), (service_leg, Role::Service)] {
            assert_eq!(self.admitted.remove(&leg), Some((stream, role)), "joined a leg that was not admitted");
            assert_eq!(self.last.get(&(stream, role)), Some(&leg), "another {role} came since");
        }
        if !self.joined.insert(stream) {
            assert_eq!(protocol, Some(StreamProtocol::Resumable), "a stream was joined twice");
            self.rejoined += 1;
        }
        self.interrupted.remove(&stream);
        self.open.insert(service_leg, stream);
        self.opened.insert(stream, opened);
    }

    pub(super) fn end_stream(&mut self, stream: StreamId, kind: RefusalKind) {
        assert!(self.joined.contains(&stream));
        let legs = self.open.iter().filter(|(leg, id)| **id == stream && !self.ending.contains_key(leg));
        let legs: Vec<_> = legs.map(|(leg, _)| *leg).collect();
        assert!(legs.len() <= 1, "joined twice at the same time");
        self.ending.extend(legs.into_iter().map(|leg| (leg, kind)));
        if kind != RefusalKind::Interrupted {
            self.ended.insert(stream);
        }
    }

    pub(super) fn is_told_to_end(&self, stream: StreamId) -> bool {
        self.open.iter().filter(|(_, id)| **id == stream).all(|(leg, _)| self.ending.contains_key(leg))
    }

    /// Records that these streams end now, for good.
    pub(super) fn mark_ended(&mut self, whose: impl Fn(&OpenRequest) -> bool) {
        let doomed = self.broker.all_streams().filter(|(_, request, ..)| whose(request)).map(|(id, ..)| id);
        self.ended.extend(doomed);
    }

    /// An admitted leg leaves while it waits.
    pub(super) fn leg_leaves(&mut self) {
        let admitted = std::mem::take(&mut self.admitted);
        let gone = self.pick_key(&admitted);
        self.admitted = admitted;
        if let Some(leg) = gone
            && let Some((stream, _)) = self.admitted.remove(&leg)
        {
            let how = [lost(), LegExit::Aborted, LegExit::Closed][self.random_below(3) as usize].clone();
            self.leaves((leg, stream), how, false);
        }
    }

    /// A joined stream comes apart, by itself or closed by the hub. A loss may coincide.
    pub(super) fn stream_ends(&mut self) {
        let open = std::mem::take(&mut self.open);
        let ended = self.pick_key(&open);
        self.open = open;
        let Some(leg) = ended else { return };
        let stream = self.open.remove(&leg).unwrap();
        let reason = self.ending.remove(&leg);
        // A leg that the hub closed may have finished at the same time.
        let is_lost = self.random_below(3) > 0;
        let how = match (is_lost, reason) {
            (true, _) => lost(),
            (false, Some(RefusalKind::Interrupted)) => LegExit::Closed,
            (false, _) => [LegExit::Aborted, LegExit::Closed][self.random_below(2) as usize].clone(),
        };
        let before = self.state(stream);
        self.leaves((leg, stream), how, reason == Some(RefusalKind::Interrupted));
        self.process_outputs();
        match reason {
            None => {
                let issued = self.issued_tickets.iter().find(|issued| !issued.void && issued.ticket.stream == stream);
                let resumes = issued.is_some_and(|issued| !self.has_another_run(&issued.ticket));
                let word = if is_lost && resumes { Some("interrupted") } else { None };
                assert_eq!(self.state(stream), word, "lost: {is_lost}");
            }
            Some(RefusalKind::Interrupted) if !is_lost && before == Some("interrupted") => {
                assert_eq!(self.state(stream), None, "ended cleanly, and continues");
            }
            Some(RefusalKind::Interrupted) => {
                assert_eq!(self.state(stream), before, "a closed leg changes nothing")
            }
            Some(why) => assert_eq!(self.state(stream), None, "ended as {why:?}, and continues; lost: {is_lost}"),
        }
    }

    /// Only a current leg that leaves with everything received ends its stream cleanly.
    fn leaves(&mut self, (leg, stream): (ConnectionId, StreamId), how: LegExit, is_former: bool) {
        let is_present = self.state(stream) == Some("interrupted") || !is_former && self.state(stream) == Some("open");
        if how == LegExit::Closed && is_present {
            self.ended_cleanly.insert(stream);
        }
        self.broker.handle(Input::LegLeft { leg, exit: how }, self.now);
    }

    /// Restarts the hub: everybody reconnects, and the new run knows no streams.
    pub(super) fn hub_restarts(&mut self) {
        self.run += 1;
        self.settings.resume = (self.random_below(8) > 0).then(|| Duration::from_secs(30 + self.rng % 90));
        self.broker = Broker::new(self.settings, HUB, random(mix(mix(self.rng).wrapping_add(self.run))));
        (self.began, self.draining) = (self.now, false);
        self.tick();
        self.issued_tickets.retain(|issued| !issued.void);
        // Only a granted service has a ticket: the device has accepted once. Both ends of that may return, also if the
        // device was being asked again: until then nothing was passed on, and an agent that hears of it drops the earlier
        // end.
        let granted = self.issued_tickets.iter().filter(|issued| issued.ticket.role == Role::Service);
        self.accepted.extend(granted.map(|issued| issued.ticket.stream));
        self.devices.clear();
        self.current.clear();
        self.device_requests.clear();
        self.requests.clear();
        self.tokens.clear();
        self.attaching.clear();
        self.admitted.clear();
        self.open.clear();
        self.ending.clear();
        self.last.clear();
        self.ended.clear();
        self.interrupted.clear();
    }

    pub(super) fn drain(&mut self) {
        self.draining = true;
        self.broker.handle(Input::Drain, self.now);
    }

    /// Gives the broker the time, and nothing else.
    pub(super) fn tick(&mut self) {
        let principal = Principal { role: Role::Device, id: "nobody".to_owned().try_into().unwrap() };
        self.broker.handle(Input::KeysChanged { principal, keys: Vec::new() }, self.now);
    }

    /// No interruption lasts longer than the grace time, and both legs are closed for each.
    pub(super) fn check_interruptions(&mut self) {
        let grace = self.settings.resume.unwrap_or_default();
        let of = |word| self.broker.all_streams().filter(move |(_, _, other, _)| *other == word).map(|(id, ..)| id);
        let interrupted: HashSet<_> = of("interrupted").collect();
        for (leg, stream) in &self.open {
            let is_open = interrupted.contains(stream) && !self.ending.contains_key(leg);
            assert!(!is_open, "interrupted, and its legs are open");
        }
        self.interrupted.retain(|stream, _| interrupted.contains(stream));
        for stream in interrupted {
            let since = *self.interrupted.entry(stream).or_insert(self.now);
            assert!(self.now <= since + grace + TICK, "interrupted for too long");
        }
    }

    /// Voids a stream's tickets that are not for this run of the agent, or for its end of an earlier request, or for
    /// another forward, or not for a stream that resumes.
    pub(super) fn void_tickets(&mut self, (stream, name): (StreamId, &StreamName), run: u64, resumes: bool) {
        self.issued_tickets
            .iter_mut()
            .filter(|issued| {
                issued.ticket.stream == stream
                    && (issued.ticket.agent != run
                        || issued.ticket.role == Role::Device
                        || issued.ticket.name != *name
                        || !resumes)
            })
            .for_each(|issued| issued.void = true);
    }

    pub(super) fn any_protocols(&mut self) -> Vec<StreamProtocol> {
        match self.random_below(4) {
            0 => Vec::new(),
            1 => vec![StreamProtocol::V1],
            _ => StreamProtocol::ALL.to_vec(),
        }
    }
}

/// The longest time after which the legs of an earlier run notice its end.
const LATE: Duration = Duration::from_secs(60);
