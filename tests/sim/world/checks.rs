//! The checks of everything that the broker puts out, and of its state after each step.

use super::*;

impl World {
    pub(super) fn process_outputs(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => self.on_device_request(connection, request),
                Output::CompleteOpen { requester, result } => self.answer(requester, result),
                Output::Admit { leg, admission } => self.admit(leg, admission),
                Output::Refuse { leg, refusal } => self.refused(leg, refusal.kind),
                Output::Join(joined) => self.join(joined),
                Output::EndStream { stream, refusal } => self.end_stream(stream, refusal.kind),
                Output::StreamEnded { stream } => {
                    self.ended.insert(stream);
                    assert!(
                        self.joined.contains(&stream)
                            || self.issued_tickets.iter().any(|issued| issued.ticket.stream == stream)
                    );
                    let is_open = self.open.iter().any(|(leg, id)| *id == stream && !self.ending.contains_key(leg));
                    assert!(!is_open, "a stream is over, and its legs are open");
                }
                Output::Displace { .. }
                | Output::Dismiss { .. }
                | Output::RevalidateKey { .. }
                | Output::CancelRequest { .. }
                | Output::Record(_) => {}
            }
        }
    }

    pub(super) fn on_device_request(&mut self, connection: ConnectionId, request: DeviceRequest) {
        let device = self.devices.get(&connection).expect("asked a device that is not connected").clone();
        let principal = Principal { role: Role::Device, id: device.clone().into() };
        let (stream, token) = (request.stream, request.token.clone());
        let on_standby = !request.repeated && self.random_below(2) == 0;
        if on_standby {
            self.on_standby.insert(stream);
        } else {
            self.on_standby.remove(&stream);
            self.broker.early_unsent(stream);
        }
        assert!(!request.repeated || request.early.is_empty(), "early data was sent again");
        if on_standby && !request.early.is_empty() {
            let agent = (device.clone(), self.runs[&connection]);
            let first = self.early_at.entry(stream).or_insert_with(|| agent.clone());
            assert_eq!(*first, agent, "early data went to two agents");
        }
        self.tokens.retain(|ticket| ticket.stream != stream || ticket.principal.role == Role::Service);
        let resumes = request.protocol == Some(StreamProtocol::Resumable);
        self.void_tickets((stream, &request.name), self.runs[&connection], resumes);
        self.tokens.push(IssuedToken { stream, device, principal, token, issued_at: self.now });
        self.device_requests.push((connection, request));
    }

    pub(super) fn answer(&mut self, requester: ConnectionId, answer: Result<Grant, Refusal>) {
        let request = self.requests.remove(&requester).expect("answered an unknown request, or twice");
        assert!(self.answered.insert(requester), "answered twice");
        assert!(self.now <= request.deadline_to_answer, "answered late: {answer:?}");
        assert!(!request.must_fail || answer.is_err(), "one request, two streams");
        match answer {
            Ok(grant) => {
                self.accepted.insert(grant.stream);
                let (stream, device, token) = (grant.stream, request.request.device, grant.token);
                let principal = Principal { role: Role::Service, id: request.request.service.into() };
                self.tokens.retain(|ticket| ticket.stream != stream || ticket.principal.role == Role::Device);
                self.tokens.push(IssuedToken { stream, device, principal, token, issued_at: self.now });
            }
            Err(refusal) => {
                let here = self.current.contains_key(&request.request.device);
                assert!(refusal.kind != RefusalKind::DeviceOffline || !here, "reported a connected device as offline");
            }
        }
    }

    /// Only a token issued to this identity for this stream admits a leg, in time and once.
    pub(super) fn admit(&mut self, leg: ConnectionId, admission: LegAdmission) {
        if let Some(attempt) = self.resuming.remove(&leg) {
            return self.readmit(leg, &attempt, admission);
        }
        let credential = self.attaching.remove(&leg).expect("admitted an unknown leg");
        let same = |ticket: &&IssuedToken| {
            ticket.stream == credential.stream
                && ticket.device == credential.device
                && ticket.principal == credential.principal
        };
        let issued = self.tokens.iter().find(same).expect("admitted a leg without a token");
        assert!(issued.token.hash() == credential.token.hash(), "admitted with another token");
        assert!(self.now < issued.issued_at + self.settings.token, "admitted with an expired token");
        assert!(
            !self.used_tokens.iter().any(|spent| spent.hash() == credential.token.hash()),
            "a token admitted twice"
        );
        self.used_tokens.push(credential.token.clone());
        self.enter(leg, (credential.stream, credential.principal.role), admission);
    }

    pub(super) fn check(&mut self) {
        for request in self.requests.values() {
            assert!(self.now <= request.deadline_to_answer, "a request was forgotten: {:?}", request.request);
        }
        if let Some(deadline) = self.broker.next_deadline() {
            assert!(deadline + TICK > self.now, "a deadline was missed");
        }
        self.check_interruptions();
        let standing: Vec<_> = self.open.iter().filter(|(leg, _)| !self.ending.contains_key(leg)).collect();
        assert!(self.broker.streams() >= standing.len());
        for (_, stream) in standing {
            let event = self.opened.get(stream).expect("an open stream was joined");
            let (device, name) = (event.device.as_ref().unwrap(), event.name.as_ref().unwrap());
            let Some((scope, until)) = self.scopes.get(event.service.as_ref().unwrap()) else { continue };
            assert!(scope.covers_device(device) && scope.covers_stream(name), "outside of its scope: {event:?}");
            // Time moves in steps of the clock, of which the broker gets each.
            assert!(until.is_none_or(|until| self.now < until + TICK), "beyond the end of its scope: {event:?}");
        }
    }

    /// Disconnects everybody and lets time pass: nothing may be left.
    pub(crate) fn wind_down(&mut self) {
        self.current.clear();
        for (connection, device) in std::mem::take(&mut self.devices) {
            self.broker.handle(Input::DeviceDisconnected { device, connection, reason: String::new() }, self.now);
        }
        self.wait();
        assert!(self.requests.is_empty(), "requests without an answer");
        assert!(self.admitted.is_empty(), "legs that wait forever");
        for leg in std::mem::take(&mut self.open).into_keys() {
            self.broker.handle(Input::LegLeft { leg, exit: lost() }, self.now);
        }
        self.process_outputs();
        self.wait();
        assert_eq!(self.broker.streams(), 0, "streams that are never forgotten");
        assert_eq!(self.broker.next_deadline(), None);
        assert_eq!(self.broker.devices_online(), 0);
        self.tick();
        assert_eq!(self.broker.retained(), 0, "ended streams that are never forgotten");
    }

    /// Lets more time pass than any timeout.
    pub(super) fn wait(&mut self) {
        for _ in 0..100 {
            self.now += TICK;
            self.broker.handle_timeout(self.now);
            self.process_outputs();
        }
    }
}
