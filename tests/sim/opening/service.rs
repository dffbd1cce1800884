//! The service: a proxy that opens on a standby, else by HTTP, again after a loss, and its application.

use super::*;

use super::ends::Leg;

/// Repetitions of a request by HTTP.
const RETRIES: u32 = 3;

/// The proxy's use of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceUse {
    None,
    Standby,
    /// A request waits for its answer: on a standby, or by HTTP.
    Asking,
    Requesting,
    /// The leg of an end.
    Leg(usize),
}

/// What became of the application's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Refused(RefusalKind),
    /// The stream was open.
    Broken,
}

pub(super) struct Service {
    pub(super) deadline: Instant,
    pub(super) outcome: Option<Outcome>,
    pub(super) id: StreamId,
    /// A lost request on a standby had early data.
    repeats: bool,
    early: Bytes,
    /// A leg of the stream was lost.
    pub(super) lost_leg: bool,
    retries: u32,
    received: Vec<u8>,
    spoken: usize,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            deadline: tokio::time::Instant::now().into_std(),
            outcome: None,
            id: StreamId::from_bytes([1; 16]),
            repeats: false,
            early: Bytes::new(),
            lost_leg: false,
            retries: 0,
            received: Vec::new(),
            spoken: 0,
        }
    }
}

impl Service {
    pub(super) fn refused(&mut self, kind: RefusalKind) {
        self.outcome.get_or_insert(Outcome::Refused(kind));
    }

    pub(super) fn broken(&mut self) {
        self.outcome.get_or_insert(Outcome::Broken);
    }

    /// The application receives bytes; returns what it says then.
    pub(super) fn receive(&mut self, bytes: &[u8]) -> Option<Bytes> {
        self.received.extend_from_slice(bytes);
        let all = [GREETING, WORDS].concat();
        assert!(all.starts_with(&self.received), "the application received {:?}", self.received);
        if self.received == all {
            self.outcome.get_or_insert(Outcome::Succeeded);
        }
        let words = &WORDS[self.spoken..];
        self.spoken = WORDS.len();
        (!words.is_empty()).then(|| Bytes::copy_from_slice(words))
    }
}

impl Opening {
    pub(super) fn service_connects(&mut self) {
        if self.case.service_stands_by {
            let standby = self.connect(Role::Service);
            self.links[standby].at_service = ServiceUse::Standby;
            self.links[standby].at_hub = HubUse::ServiceStandby;
        }
    }

    pub(super) fn service_opens(&mut self) {
        if self.case.early {
            self.service.early = Bytes::copy_from_slice(&WORDS[..EARLY]);
            self.service.spoken = EARLY;
        }
        let Some(standby) = self.links.iter().position(|link| link.at_service == ServiceUse::Standby) else {
            return self.service_requests();
        };
        self.service.repeats = self.case.early;
        self.links[standby].at_service = ServiceUse::Asking;
        let message = Message::Open(self.service.id, self.service.early.clone());
        self.send(standby, true, message);
    }

    /// Requests the stream by HTTP.
    pub(super) fn service_requests(&mut self) {
        let link = self.connect(Role::Service);
        self.links[link].at_service = ServiceUse::Requesting;
        let id = Some(self.service.id).filter(|_| self.service.repeats);
        self.send(link, true, Message::Request(id));
    }

    pub(super) fn service_retries(&mut self) {
        self.service.retries += 1;
        if self.service.retries > RETRIES || self.now >= self.service.deadline {
            return self.service.refused(RefusalKind::HubUnreachable);
        }
        let pause = self.up_to(200);
        self.after(pause, Event::ServiceRequests);
    }

    pub(super) fn at_service(&mut self, link: usize, message: Message) {
        match (self.links[link].at_service, message) {
            (ServiceUse::Asking, Message::Opened(stream, ticket)) => {
                let mut end = self.service_end(stream);
                (end.leg, end.ticket) = (Leg::Open(link), ticket);
                end.endpoint.record_early_data_sent(self.service.early.clone());
                self.links[link].at_service = ServiceUse::Leg(self.ends.len());
                self.ends.push(end);
                self.flush(self.ends.len() - 1);
            }
            (ServiceUse::Requesting, Message::Granted(grant)) => {
                self.links[link].at_service = ServiceUse::None;
                self.service.repeats = false;
                let mut end = self.service_end(grant.stream);
                end.token = Some(grant.token);
                if self.case.early {
                    end.endpoint.push_local(self.service.early.clone());
                }
                self.ends.push(end);
                self.dials(self.ends.len() - 1);
            }
            (ServiceUse::Asking | ServiceUse::Requesting, Message::Refused(kind)) => self.service.refused(kind),
            (ServiceUse::Leg(end), message) => self.leg_receives(end, link, message),
            (ServiceUse::None | ServiceUse::Standby, Message::Close(..)) => {}
            (at_service, message) => panic!("{message:?} at {at_service:?}: {}", self.describe()),
        }
    }

    fn service_end(&self, stream: StreamId) -> End {
        End::new(Role::Service, stream, self.case.resumes)
    }

    pub(super) fn service_loses(&mut self, link: usize) {
        match std::mem::replace(&mut self.links[link].at_service, ServiceUse::None) {
            ServiceUse::Asking => self.service_requests(),
            ServiceUse::Requesting => self.service_retries(),
            ServiceUse::Leg(end) => {
                self.links[link].at_service = ServiceUse::Leg(end);
                self.leg_lost(end, link);
            }
            ServiceUse::Standby | ServiceUse::None => {}
        }
    }
}
