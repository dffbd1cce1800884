//! The random actions: devices, services and operators do anything they can.

use super::*;

impl World {
    pub(super) fn device_connects(&mut self) {
        let (connection, device) = (self.connection(), self.any_device());
        let protocols = self.any_protocols().iter().map(|protocol| protocol.as_str().to_owned()).collect();
        let forwards = vec![name("ssh"), name("web")];
        let started_anew = self.random_below(6) == 0;
        let run = self.agents.entry(device.clone()).or_default();
        *run += u64::from(started_anew);
        let hello = Hello {
            version: "1".into(),
            run: *run,
            protocols,
            forwards,
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        self.send_hello(connection, device, hello);
    }

    pub(super) fn send_hello(&mut self, connection: ConnectionId, device: DeviceId, hello: Hello) {
        self.devices.insert(connection, device.clone());
        self.runs.insert(connection, hello.run);
        self.current.insert(device.clone(), connection);
        self.broker.handle(Input::DeviceConnected { device, connection, hello, address: address() }, self.now);
    }

    pub(super) fn device_disconnects(&mut self) {
        let devices = std::mem::take(&mut self.devices);
        if let Some(connection) = self.pick_key(&devices) {
            self.devices = devices;
            let device = self.devices.remove(&connection).unwrap();
            self.current.retain(|_, newest| *newest != connection);
            self.broker.handle(Input::DeviceDisconnected { device, connection, reason: String::new() }, self.now);
        }
    }

    pub(super) fn service_requests(&mut self) {
        let requester = self.connection();
        let wanted = match self.random_below(4) {
            0 => None,
            1 => Some(name("nothing")),
            2 => Some(name("web")),
            _ => Some(name("ssh")),
        };
        let (device, service) = (self.any_device(), service(self.rng % 3));
        let (scope, until) = self.scopes.get(&service).cloned().unwrap_or((Scope::everything(), None));
        if !scope.covers_device(&device) {
            // The request is not authorised, and does not reach the broker.
            return;
        }
        let there: Vec<_> =
            if self.random_below(5) == 0 { self.broker.all_streams().map(|(id, ..)| id).collect() } else { Vec::new() };
        let stream = self.pick_id(there);
        let request = OpenRequest {
            device,
            name: wanted,
            scope,
            until,
            service,
            source: address(),
            connect_timeout: Duration::from_secs(self.random_below(3) * 20),
            response_timeout: Duration::from_secs(5 + self.random_below(3) * 30),
            protocols: self.any_protocols(),
            end_to_end: false,
            stream,
            reusable: self.random_below(2) == 0,
            standby: self.random_below(2) == 0,
            early: bytes::Bytes::from_static(if self.random_below(2) == 0 { b"early" } else { b"" }),
            repeatable: false,
        };
        // A device that reconnects may be asked again for as long as the service waits for it.
        let deadline_to_answer = self.now + request.connect_timeout + self.settings.handshake + TICK;
        let earlier = stream.and_then(|id| self.request_of(id));
        let repeats = earlier.as_ref().is_some_and(|(earlier, _)| {
            !request.standby && (&earlier.service, &earlier.device) == (&request.service, &request.device)
        });
        let was_open = earlier.as_ref().is_some_and(|(_, word)| matches!(*word, "open" | "interrupted"));
        let must_fail = earlier.is_some() && (!repeats || was_open);
        self.requests.insert(requester, PendingRequest { request: request.clone(), deadline_to_answer, must_fail });
        self.broker.handle(Input::OpenRequested { requester, request }, self.now);
        if let Some((id, (_, word))) = stream.zip(earlier) {
            self.check_repeated_request(id, word, repeats);
        }
    }

    fn request_of(&self, id: StreamId) -> Option<(OpenRequest, &'static str)> {
        let found = self.broker.all_streams().find(|(other, ..)| *other == id);
        found.map(|(_, request, word, _)| (request.clone(), word))
    }

    /// A repeated request ends the earlier one, and may take its place; a late first one, or one for another stream,
    /// ends nothing.
    fn check_repeated_request(&mut self, id: StreamId, word: &str, repeats: bool) {
        self.repeated += 1;
        let after = self.state(id);
        if !repeats {
            assert_eq!(after, Some(word), "a request that repeats nothing changed a stream");
        } else if matches!(word, "open" | "interrupted") || after.is_none() {
            self.ended.insert(id);
        } else {
            self.replaced += 1;
            self.accepted.remove(&id);
        }
    }

    pub(super) fn request_cancelled(&mut self) {
        let requests = std::mem::take(&mut self.requests);
        let gone = self.pick_key(&requests);
        self.requests = requests;
        if let Some(requester) = gone {
            self.requests.remove(&requester);
            self.answered.insert(requester);
            self.broker.handle(Input::RequesterLeft { requester }, self.now);
        }
    }

    /// Usually the right device in time; sometimes another connection, or the same response again.
    pub(super) fn device_answers(&mut self) {
        let device_requests = std::mem::take(&mut self.device_requests);
        let chosen = self.pick(&device_requests);
        self.device_requests = device_requests;
        let Some((mut connection, request)) = chosen else { return };
        if self.random_below(10) == 0 {
            connection = self.connection();
        } else if self.random_below(4) > 0 {
            self.device_requests.retain(|(_, other)| other.stream != request.stream);
        }
        let accepted = self.random_below(5) > 0;
        let kinds = [RefusalKind::TargetRefused, RefusalKind::AuthenticationFailed];
        let reason = if accepted { None } else { self.pick(&kinds).map(Refusal::from) };
        let response = StreamResponse { request_id: request.stream, accepted, end_to_end: false, reason };
        let (standby, stream) = (self.on_standby.contains(&request.stream), request.stream);
        if standby && self.random_below(8) == 0 {
            let was_sent = self.random_below(2) == 0;
            return self.broker.handle(Input::StandbyFailed { connection, stream, was_sent }, self.now);
        }
        self.broker.handle(Input::DeviceResponded { connection, response, standby }, self.now);
    }

    /// Usually a leg with its own token; sometimes with another's, another identity, or for the second time.
    pub(super) fn leg_attaches(&mut self) {
        let tokens = std::mem::take(&mut self.tokens);
        let (chosen, other) = (self.pick(&tokens), self.pick(&tokens));
        self.tokens = tokens;
        let Some((mut ticket, other)) = chosen.zip(other) else { return };
        match self.random_below(12) {
            0 => ticket.principal = other.principal,
            1 => ticket.token = other.token,
            2 => ticket.stream = other.stream,
            5 => ticket.device = other.device,
            3 => ticket.principal.role = !ticket.principal.role,
            4 => ticket.token = StreamToken::new([9; 32]),
            _ => {}
        }
        self.arrive(ticket);
    }

    pub(super) fn arrive(&mut self, ticket: IssuedToken) {
        let leg = self.connection();
        let IssuedToken { stream, device, principal, token, .. } = ticket.clone();
        self.attaching.insert(leg, ticket);
        let bridge = Bridge { hub: "hub".into(), device, stream, role: principal.role };
        let own = ServiceName::from(principal.id.clone());
        let (scope, until) = self.scopes.get(&own).cloned().unwrap_or((Scope::everything(), None));
        let (credential, address) = (LegCredential::Token(token.hash()), address());
        let arrived =
            Input::LegAttached(LegAttach { leg, bridge, principal, credential, address, scope, until, key: any_key() });
        self.broker.handle(arrived, self.now);
    }

    pub(super) fn revoke(&mut self) {
        let principal = if self.random_below(2) == 0 {
            Principal { role: Role::Device, id: self.any_device().into() }
        } else {
            Principal { role: Role::Service, id: service(self.rng % 3).into() }
        };
        let theirs = |request: &OpenRequest| match principal.role {
            Role::Device => request.device.as_str() == principal.id.as_str(),
            Role::Service => request.service.as_str() == principal.id.as_str(),
        };
        self.mark_ended(theirs);
        self.broker
            .handle(Input::IdentityRevoked { principal, reason: RefusalKind::AuthenticationFailed.into() }, self.now);
    }

    pub(super) fn rescope(&mut self) {
        let (whose, end) = (service(self.rng % 3), Duration::from_secs(self.random_below(60)));
        let until = (self.random_below(2) == 0).then(|| self.now + end);
        let mut scope = Scope::everything();
        match self.random_below(4) {
            0 => scope.devices = vec!["device-0".parse().unwrap()],
            1 => scope.streams = vec!["s*".parse().unwrap()],
            2 => scope = Scope::default(),
            _ => {}
        }
        self.scopes.insert(whose.clone(), (scope.clone(), until));
        let covers = |request: &OpenRequest| {
            scope.covers_device(&request.device) && request.name.as_ref().is_none_or(|name| scope.covers_stream(name))
        };
        self.mark_ended(|request| request.service == whose && !covers(request));
        self.broker.handle(Input::ScopeChanged { service: whose, scope, until }, self.now);
    }

    pub(crate) fn kill(&mut self) {
        let ids = self.broker.all_streams().map(|(id, ..)| id).collect();
        if let Some(stream) = self.pick_id(ids) {
            self.ended.insert(stream);
            self.broker.handle(Input::StreamKilled { stream }, self.now);
            self.process_outputs();
            let gone = self.broker.all_streams().all(|(id, ..)| id != stream);
            assert!(gone || self.is_told_to_end(stream), "a stream that was killed goes on");
        }
    }

    pub(super) fn advance_time(&mut self) {
        let seconds = if self.random_below(8) == 0 { 61 } else { self.random_below(20) };
        let until = self.now + Duration::from_secs(seconds);
        while self.now < until {
            self.now += TICK.min(until - self.now);
            self.broker.handle_timeout(self.now);
            self.process_outputs();
            self.check();
        }
    }
}
