//! The hub: the real broker, and what its handlers and relays do with each connection.

use super::*;

use devstream::hub::broker::{Input, LegAdmission, LegAttach, LegExit, OpenRequest, Output};
use devstream::proto::http::Bridge;
use devstream::proto::id::{DeviceId, Principal};
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::Refusal;
use devstream::proto::scope::Scope as Permissions;
use devstream::proto::stream::StreamProtocol;

use crate::world::{address, any_key, name, plain_request, service};

/// The hub's use of a connection.
#[derive(Debug)]
pub(super) enum HubUse {
    New,
    Control(ConnectionId),
    /// A device's standby, and the request that was sent on it, with the control connection.
    DeviceStandby(Option<(ConnectionId, Box<DeviceRequest>)>),
    ServiceStandby,
    /// A request that waits for its result, with its early data if it came on a standby.
    Requesting(ConnectionId, Option<Bytes>),
    /// A standby that is attached as the leg of an accepted stream.
    Attaching {
        early: Bytes,
    },
    /// An upgrade that is being decided.
    Upgrading,
    Waiting(ConnectionId, Vec<Message>),
    Joined(ConnectionId, usize),
    Done,
}

/// The channels to an online device.
#[derive(Default)]
pub(super) struct HubDevice {
    control: usize,
    standbys: Vec<usize>,
    /// Requests on standbys without a response.
    withdrawals: HashMap<StreamId, usize>,
}

impl Opening {
    fn device_id() -> DeviceId {
        "device-0".parse().unwrap()
    }

    fn protocols(&self) -> Vec<StreamProtocol> {
        StreamProtocol::offered(self.case.resumes).collect()
    }

    fn handle(&mut self, input: Input) {
        self.broker.handle(input, self.now);
        self.process_outputs();
    }

    pub(super) fn at_hub(&mut self, link: usize, message: Message) {
        match (std::mem::replace(&mut self.links[link].at_hub, HubUse::Done), message) {
            (HubUse::New, Message::Hello(run)) => self.register(link, run),
            (HubUse::New, Message::StandBy(run)) => {
                let connection = self.broker.connection_of_run(&Self::device_id(), run);
                match connection.and_then(|connection| self.devices.get_mut(&connection)) {
                    Some(device) => {
                        device.standbys.push(link);
                        self.links[link].at_hub = HubUse::DeviceStandby(None);
                    }
                    None => self.close(link, RefusalKind::PeerGone),
                }
            }
            (HubUse::ServiceStandby, Message::Open(id, early)) => self.requested(link, Some(id), Some(early)),
            (HubUse::New, Message::Request(id)) => self.requested(link, id, None),
            (HubUse::Control(connection), Message::Response(request_id, accepted)) => {
                self.links[link].at_hub = HubUse::Control(connection);
                let response = StreamResponse { request_id, accepted, end_to_end: false, reason: None };
                self.handle(Input::DeviceResponded { connection, response, standby: false });
            }
            (HubUse::DeviceStandby(Some((connection, request))), Message::Response(request_id, accepted)) => {
                if let Some(device) = self.devices.get_mut(&connection) {
                    device.withdrawals.remove(&request_id);
                }
                let response = StreamResponse { request_id, accepted, end_to_end: false, reason: None };
                self.handle(Input::DeviceResponded { connection, response, standby: true });
                if accepted {
                    self.links[link].at_hub = HubUse::Attaching { early: Bytes::new() };
                    self.attach(link, request.stream, Role::Device, LegCredential::Token(request.token.hash()));
                }
            }
            (HubUse::New, Message::Attach(stream, credential)) => {
                self.links[link].at_hub = HubUse::Upgrading;
                self.attach(link, stream, self.links[link].role, *credential);
            }
            (HubUse::Waiting(leg, mut early), message) => {
                assert!(!matches!(message, Message::Close(..)), "an end closes before it is joined");
                early.push(message);
                self.links[link].at_hub = HubUse::Waiting(leg, early);
            }
            (HubUse::Joined(_, other), Message::Close(code, reason)) => self.relay_ends(link, other, code, reason),
            (HubUse::Joined(leg, other), message) => {
                self.links[link].at_hub = HubUse::Joined(leg, other);
                self.send(other, false, message);
            }
            (HubUse::Done, _) => {}
            (at_hub, message) => panic!("{message:?} at {at_hub:?}: {}", self.describe()),
        }
    }

    fn register(&mut self, link: usize, run: u64) {
        let connection = self.connection();
        self.links[link].at_hub = HubUse::Control(connection);
        self.devices.insert(connection, HubDevice { control: link, ..HubDevice::default() });
        let protocols = self.protocols().iter().map(|protocol| protocol.as_str().to_owned()).collect();
        let forwards = vec![name("ssh")];
        let hello = Hello {
            version: "1".into(),
            run,
            protocols,
            forwards,
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        self.handle(Input::DeviceConnected { device: Self::device_id(), connection, hello, address: address() });
    }

    fn requested(&mut self, link: usize, stream: Option<StreamId>, early: Option<Bytes>) {
        let requester = self.connection();
        self.requesters.insert(requester, link);
        self.was_offline |= self.broker.online(&Self::device_id()).is_none();
        let request = OpenRequest {
            connect_timeout: if self.case.waits { PATIENCE } else { Duration::ZERO },
            response_timeout: LIMIT,
            protocols: self.protocols(),
            end_to_end: false,
            stream,
            standby: early.is_some(),
            early: early.clone().unwrap_or_default(),
            ..plain_request(&Self::device_id())
        };
        self.links[link].at_hub = HubUse::Requesting(requester, early);
        self.handle(Input::OpenRequested { requester, request });
    }

    fn attach(&mut self, link: usize, stream: StreamId, role: Role, credential: LegCredential) {
        let leg = self.connection();
        self.legs.insert(leg, link);
        let device = Self::device_id();
        let id = if role == Role::Device { device.clone().into() } else { service(0).into() };
        let bridge = Bridge { hub: "hub".into(), device, stream, role };
        let (principal, scope) = (Principal { role, id }, Permissions::everything());
        self.handle(Input::LegAttached(LegAttach {
            leg,
            bridge,
            principal,
            credential,
            address: address(),
            scope,
            until: None,
            key: any_key(),
        }));
    }

    pub(super) fn hub_attaches(&mut self, link: usize, grant: Grant) {
        let HubUse::Requesting(_, early) = std::mem::replace(&mut self.links[link].at_hub, HubUse::Done) else {
            return;
        };
        let early = if grant.early_data_delivered { Bytes::new() } else { early.unwrap_or_default() };
        self.links[link].at_hub = HubUse::Attaching { early };
        self.attach(link, grant.stream, Role::Service, LegCredential::Token(grant.token.hash()));
    }

    pub(super) fn process_outputs(&mut self) {
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => self.request(connection, request),
                Output::CancelRequest { connection, stream } => self.cancel(connection, stream),
                Output::CompleteOpen { requester, result } => self.complete(requester, result),
                Output::Admit { leg, admission } => self.admit(leg, admission),
                Output::Refuse { leg, refusal } => self.refuse(leg, &refusal),
                Output::Join(joined) => self.join(joined.device_leg, joined.service_leg),
                Output::EndStream { refusal, .. } => self.end_relay(&refusal),
                Output::Displace { connection, .. } => {
                    self.close(self.devices[&connection].control, RefusalKind::Displaced);
                    self.drop_device(connection);
                }
                Output::Dismiss { .. } | Output::RevalidateKey { .. } => panic!("nobody is revoked"),
                Output::StreamEnded { .. } | Output::Record(_) => {}
            }
        }
        if let Some(deadline) = self.broker.next_deadline() {
            self.at(deadline.max(self.now), Event::HubPolls);
        }
    }

    /// As the broker's driver: on a standby, else, and if it is a repetition, on the control connection.
    fn request(&mut self, connection: ConnectionId, request: DeviceRequest) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        let standby = if request.repeated { None } else { device.standbys.pop() };
        let Some(standby) = standby else { return self.request_on_control(connection, request) };
        device.withdrawals.insert(request.stream, standby);
        if !request.early.is_empty() {
            self.early_sent_to = self.broker.online(&Self::device_id()).map(|(_, hello, _)| hello.run);
        }
        self.links[standby].at_hub = HubUse::DeviceStandby(Some((connection, Box::new(request.clone()))));
        self.send(standby, false, Message::StreamRequest(Box::new(request)));
    }

    fn request_on_control(&mut self, connection: ConnectionId, mut request: DeviceRequest) {
        if !request.early.is_empty() {
            self.broker.early_unsent(request.stream);
        }
        request.early = Bytes::new();
        let control = self.devices[&connection].control;
        self.send(control, false, Message::StreamRequest(Box::new(request)));
    }

    fn cancel(&mut self, connection: ConnectionId, stream: StreamId) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        match device.withdrawals.remove(&stream) {
            Some(standby) => self.close(standby, RefusalKind::PeerGone),
            None => {
                let control = device.control;
                self.send(control, false, Message::Cancel(stream));
            }
        }
    }

    fn complete(&mut self, requester: ConnectionId, result: Result<Grant, Refusal>) {
        let Some(link) = self.requesters.remove(&requester) else { return };
        let on_standby = matches!(self.links[link].at_hub, HubUse::Requesting(_, Some(_)));
        match result {
            Ok(grant) if on_standby => self.after(Duration::ZERO, Event::HubAttaches(link, Box::new(grant))),
            Ok(grant) => {
                self.links[link].at_hub = HubUse::Done;
                self.send(link, false, Message::Granted(Box::new(grant)));
            }
            Err(refusal) => {
                self.links[link].at_hub = if on_standby { HubUse::ServiceStandby } else { HubUse::Done };
                self.send(link, false, Message::Refused(refusal.kind));
            }
        }
    }

    fn admit(&mut self, leg: ConnectionId, admission: LegAdmission) {
        let link = self.legs[&leg];
        let ticket = admission.ticket.map(|(ticket, _)| ticket);
        let at_hub = std::mem::replace(&mut self.links[link].at_hub, HubUse::Waiting(leg, Vec::new()));
        match (at_hub, self.links[link].role) {
            (HubUse::Attaching { .. }, Role::Device) => {}
            (HubUse::Attaching { early }, Role::Service) => {
                self.send(link, false, Message::Opened(self.service.id, ticket));
                if !early.is_empty() {
                    self.links[link].at_hub = HubUse::Waiting(leg, vec![Message::Bytes(early)]);
                }
            }
            (HubUse::Upgrading, _) => self.send(link, false, Message::Upgraded(ticket)),
            (at_hub, _) => panic!("admitted {at_hub:?}"),
        }
    }

    fn refuse(&mut self, leg: ConnectionId, refusal: &Refusal) {
        let link = self.legs[&leg];
        let role = self.links[link].role;
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other connection is a leg that waits")]
        match std::mem::replace(&mut self.links[link].at_hub, HubUse::Done) {
            HubUse::Upgrading => self.send(link, false, Message::Refused(refusal.kind)),
            HubUse::Attaching { .. } if role == Role::Service => {
                self.links[link].at_hub = HubUse::ServiceStandby;
                self.send(link, false, Message::Refused(refusal.kind));
            }
            HubUse::Attaching { .. } | HubUse::Waiting(..) => self.close(link, refusal.kind),
            at_hub => panic!("refused {at_hub:?}: {}", self.describe()),
        }
    }

    fn join(&mut self, device_leg: ConnectionId, service_leg: ConnectionId) {
        self.joined = true;
        let (device, service) = (self.legs[&device_leg], self.legs[&service_leg]);
        for (link, leg, other) in [(device, device_leg, service), (service, service_leg, device)] {
            let at_hub = std::mem::replace(&mut self.links[link].at_hub, HubUse::Joined(leg, other));
            let HubUse::Waiting(_, early) = at_hub else { panic!("joined {at_hub:?}") };
            self.early_relayed |= link == service && early.iter().any(|message| matches!(message, Message::Bytes(_)));
            early.into_iter().for_each(|message| self.send(other, false, message));
        }
    }

    fn close(&mut self, link: usize, kind: RefusalKind) {
        let refusal = Refusal::from(kind);
        self.links[link].at_hub = HubUse::Done;
        self.send(link, false, Message::Close(kind.row().close, refusal.close_reason()));
    }

    /// Closes the joined legs: the broker learns of it as of any other end.
    fn end_relay(&mut self, refusal: &Refusal) {
        for link in 0..self.links.len() {
            if let HubUse::Joined(leg, _) = self.links[link].at_hub {
                self.close(link, refusal.kind);
                if self.links[link].role == Role::Service {
                    let interrupted = refusal.kind == RefusalKind::Interrupted;
                    let exit = if interrupted { lost() } else { LegExit::Aborted };
                    self.broker.handle(Input::LegLeft { leg, exit }, self.now);
                }
            }
        }
    }

    /// An end has closed a joined stream.
    fn relay_ends(&mut self, link: usize, other: usize, code: u16, reason: String) {
        let leg =
            self.legs.iter().find(|(_, of)| **of == if self.links[link].role == Role::Service { link } else { other });
        let leg = *leg.unwrap().0;
        self.links[other].at_hub = HubUse::Done;
        self.send(other, false, Message::Close(code, reason));
        self.handle(Input::LegLeft { leg, exit: LegExit::Aborted });
    }

    pub(super) fn hub_notices(&mut self, link: usize) {
        self.links[link].hub_notices = true;
        let role = self.links[link].role;
        match std::mem::replace(&mut self.links[link].at_hub, HubUse::Done) {
            HubUse::Control(connection) => {
                self.drop_device(connection);
                let device = Self::device_id();
                self.handle(Input::DeviceDisconnected { device, connection, reason: String::new() });
            }
            HubUse::DeviceStandby(None) => {
                self.devices.values_mut().for_each(|device| device.standbys.retain(|standby| *standby != link));
            }
            HubUse::DeviceStandby(Some((connection, request))) => self.standby_failed(connection, &request),
            HubUse::Requesting(requester, _) => self.handle(Input::RequesterLeft { requester }),
            HubUse::Waiting(leg, _) => self.handle(Input::LegLeft { leg, exit: lost() }),
            HubUse::Joined(leg, other) => {
                let HubUse::Joined(other_leg, _) = self.links[other].at_hub else { panic!("joined to nothing") };
                let kind = if self.case.resumes { RefusalKind::Interrupted } else { RefusalKind::PeerGone };
                self.close(other, kind);
                let leg = if role == Role::Service { leg } else { other_leg };
                self.handle(Input::LegLeft { leg, exit: lost() });
            }
            HubUse::New | HubUse::ServiceStandby | HubUse::Done => {}
            at_hub @ (HubUse::Attaching { .. } | HubUse::Upgrading) => panic!("lost {at_hub:?}"),
        }
    }

    /// As the broker's driver: the request is repeated on the control connection.
    fn standby_failed(&mut self, connection: ConnectionId, request: &DeviceRequest) {
        let Some(device) = self.devices.get_mut(&connection) else { return };
        for standby in std::mem::take(&mut device.standbys) {
            self.close(standby, RefusalKind::PeerGone);
        }
        let device = self.devices.get_mut(&connection).unwrap();
        if device.withdrawals.remove(&request.stream).is_some() {
            let stream = request.stream;
            self.handle(Input::StandbyFailed { connection, stream, was_sent: true });
        }
    }

    /// Drops the channels to a device whose control connection is gone: its standbys close.
    fn drop_device(&mut self, connection: ConnectionId) {
        let Some(device) = self.devices.remove(&connection) else { return };
        for standby in device.standbys.into_iter().chain(device.withdrawals.into_values()) {
            self.close(standby, RefusalKind::PeerGone);
        }
    }
}

fn lost() -> LegExit {
    crate::world::lost()
}
