//! Resume tickets of one stream id at a hub that was restarted: only ends of the same stream are joined.

use std::time::{Duration, Instant};

use devstream::hub::broker::{Broker, Input, LegAttach, LegCredential, OpenRequest, Output, Settings};
use devstream::hub::cluster::view::other_hubs::OtherHubs;
use devstream::proto::http::Bridge;
use devstream::proto::id::{ConnectionId, HubId, Principal, Role, StreamId};
use devstream::proto::message::{Hello, StreamResponse};
use devstream::proto::refusal::RefusalKind;
use devstream::proto::resume::{HubRun, ResumeTicket};
use devstream::proto::scope::Scope;
use devstream::proto::stream::StreamProtocol;

use super::fairness::earlier_run;
use super::world::{HUB, address, any_key, hello, name, plain_request, random, service};

const STREAM: [u8; 16] = [7; 16];

/// A broker whose device and service connect one after the other.
struct Hub {
    broker: Broker,
    now: Instant,
    last: u64,
}

impl Hub {
    fn new(seed: u64) -> Self {
        let broker = Broker::new(Settings::default(), HUB, random(seed));
        let mut hub = Self { broker, now: tokio::time::Instant::now().into_std(), last: 0 };
        // Tells the broker when its run began.
        let principal = Principal { role: Role::Device, id: "nobody".to_owned().try_into().unwrap() };
        hub.outputs(Input::KeysChanged { principal, keys: Vec::new() });
        hub
    }

    fn connection(&mut self) -> ConnectionId {
        self.last += 1;
        ConnectionId(self.last)
    }

    fn outputs(&mut self, input: Input) -> Vec<Output> {
        self.broker.handle(input, self.now);
        std::iter::from_fn(|| self.broker.next_output()).collect()
    }

    /// Connects the device, which resumes streams; returns its connection.
    fn device_connects(&mut self) -> ConnectionId {
        let (connection, device) = (self.connection(), "pi".parse().unwrap());
        let protocols = StreamProtocol::ALL.map(|protocol| protocol.as_str().into()).to_vec();
        let hello = Hello { protocols, ..hello() };
        self.outputs(Input::DeviceConnected { device, connection, hello, address: address() });
        connection
    }

    /// The service requests the stream by HTTP, with an id of its own.
    fn service_requests(&mut self) -> Vec<Output> {
        let requester = self.connection();
        let plain = plain_request(&"pi".parse().unwrap());
        let (stream, protocols) = (Some(StreamId::from_bytes(STREAM)), StreamProtocol::ALL.to_vec());
        let request = OpenRequest { stream, protocols, connect_timeout: plain.response_timeout, ..plain };
        self.outputs(Input::OpenRequested { requester, request })
    }

    fn attaches(&mut self, principal: Principal, credential: LegCredential) -> Vec<Output> {
        let (leg, stream, device) = (self.connection(), StreamId::from_bytes(STREAM), "pi".parse().unwrap());
        let bridge = Bridge { hub: "hub".into(), device, stream, role: principal.role };
        let (address, scope, until, key) = (address(), Scope::everything(), None, any_key());
        self.outputs(Input::LegAttached(LegAttach { leg, bridge, principal, credential, address, scope, until, key }))
    }

    fn returns(&mut self, ticket: ResumeTicket) -> Vec<Output> {
        self.attaches(ticket.principal(), LegCredential::Ticket(Box::new(ticket)))
    }
}

/// The ticket of an end of the one stream, as this hub or run gave it.
fn ticket(role: Role, hub: HubRun) -> ResumeTicket {
    ResumeTicket {
        stream: StreamId::from_bytes(STREAM),
        name: name("ssh"),
        device: "pi".parse().unwrap(),
        agent: hello().run,
        request: 1,
        service: service(0),
        role,
        hub,
    }
}

fn is_joined(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Join(_)))
}

fn refusals(outputs: &[Output]) -> Vec<RefusalKind> {
    let refusals = outputs.iter().filter_map(|output| {
        let Output::Refuse { refusal, .. } = output else { return None };
        Some(refusal.kind)
    });
    refusals.collect()
}

/// Both ends are of the first acceptance, and have received nothing: the second request has reached nobody.
#[test]
fn ends_of_an_acceptance_return_to_a_new_hub_though_the_device_was_to_be_asked_again() {
    let mut hub = Hub::new(1);
    let connection = hub.device_connects();
    let asked = hub.service_requests();
    let [Output::RequestDevice { request, .. }] = &asked[..] else { panic!("not asked: {asked:?}") };
    let (of_device, _) = request.ticket.clone().unwrap();
    let response = StreamResponse { request_id: request.stream, accepted: true, end_to_end: false, reason: None };
    let accepted = hub.outputs(Input::DeviceResponded { connection, response, standby: false });
    let grant = accepted.into_iter().find_map(|output| {
        let Output::CompleteOpen { result, .. } = output else { return None };
        result.ok()
    });
    let principal = Principal { role: Role::Service, id: service(0).into() };
    let admitted = hub.attaches(principal, LegCredential::Token(grant.unwrap().token.hash()));
    let [Output::Admit { admission, .. }] = &admitted[..] else { panic!("not admitted: {admitted:?}") };
    let (of_service, _) = admission.ticket.clone().unwrap();

    hub.outputs(Input::DeviceDisconnected { device: "pi".parse().unwrap(), connection, reason: String::new() });
    let again = hub.service_requests();
    assert!(!again.iter().any(|output| matches!(output, Output::RequestDevice { .. })), "the device is offline");
    assert_eq!(refusals(&hub.returns(of_service.clone())), [RefusalKind::AuthenticationFailed], "not accepted again");

    let mut hub = Hub::new(2);
    hub.device_connects();
    assert!(!is_joined(&hub.returns(of_device)));
    assert!(is_joined(&hub.returns(of_service)));
}

/// One end found the hub dead that carried the stream, the other one found it restarted.
#[test]
fn an_end_that_waits_for_a_stream_of_another_hub_goes_back_once_that_hub_lives_again() {
    let other = HubId::from_bytes([9; 16]);
    let ticket = |role| ticket(role, HubRun { id: Some(other), run: 1 });
    let mut hub = Hub::new(3);
    let others =
        |died: Option<Instant>| Input::HubsChanged(OtherHubs { hubs: [(other, died)].into(), isolated: false });
    hub.outputs(others(None));
    assert_eq!(refusals(&hub.returns(ticket(Role::Device))), [RefusalKind::Interrupted], "it is there");
    let died = hub.now;
    hub.outputs(others(Some(died)));
    assert!(refusals(&hub.returns(ticket(Role::Device))).is_empty(), "it waits here");
    assert_eq!(refusals(&hub.outputs(others(None))), [RefusalKind::Interrupted], "the hub lives again");
    assert!(!hub.broker.has_stream(StreamId::from_bytes(STREAM)));
    hub.outputs(others(Some(died)));
    assert!(!is_joined(&hub.returns(ticket(Role::Device))));
    assert!(is_joined(&hub.returns(ticket(Role::Service))), "both are here");
    assert!(refusals(&hub.outputs(others(None))).is_empty(), "it goes on here");
}

/// One end could reach one hub only, and the other one another.
#[test]
fn ends_that_wait_at_different_hubs_meet_where_the_device_is() {
    let other = HubId::from_bytes([9; 16]);
    let ticket = |role| ticket(role, HubRun { id: Some(other), run: 1 });
    let stream = StreamId::from_bytes(STREAM);
    let [mut of_device, mut of_service] = [4, 5].map(Hub::new);
    for hub in [&mut of_device, &mut of_service] {
        let hubs = [(other, Some(hub.now))].into();
        hub.outputs(Input::HubsChanged(OtherHubs { hubs, isolated: false }));
    }
    assert!(refusals(&of_device.returns(ticket(Role::Device))).is_empty(), "it waits");
    assert!(refusals(&of_service.returns(ticket(Role::Service))).is_empty(), "it waits");
    let waiting = |hub: &Hub, after| hub.broker.devices_waiting(hub.now + Duration::from_millis(after));
    assert_eq!(waiting(&of_device, 0), [], "the other end may come in a moment");
    assert_eq!(waiting(&of_device, 300), [stream]);
    assert_eq!(waiting(&of_service, 300), [], "a service goes to its device");

    let told = || Input::DevicesWaitElsewhere { streams: vec![stream] };
    assert_eq!(refusals(&of_service.outputs(told())), [RefusalKind::Interrupted], "sent away");
    assert_eq!(
        refusals(&of_service.returns(ticket(Role::Service))),
        [RefusalKind::Interrupted],
        "and not let in again"
    );
    assert!(is_joined(&of_device.returns(ticket(Role::Service))));
    assert_eq!(waiting(&of_device, 300), []);
    assert!(refusals(&of_device.outputs(told())).is_empty(), "what was said earlier ends nothing");

    // The device's end comes to the other hub after all.
    assert!(refusals(&of_service.returns(ticket(Role::Device))).is_empty());
    assert!(is_joined(&of_service.returns(ticket(Role::Service))));
    // It has gone from where it waited, and nobody says otherwise.
    let mut left = Hub::new(6);
    left.outputs(Input::HubsChanged(OtherHubs { hubs: [(other, Some(left.now))].into(), isolated: false }));
    left.outputs(told());
    left.now += Duration::from_secs(3);
    assert!(refusals(&left.returns(ticket(Role::Service))).is_empty(), "it waits here again");
}

/// The service may have used the id again, for another forward, and its scope is checked for one of them.
#[test]
fn ends_of_different_streams_with_one_id_are_not_joined() {
    let ticket = |role| ticket(role, earlier_run());
    let (device, own) = (ticket(Role::Device), ticket(Role::Service));
    let of_another_forward = ResumeTicket { name: name("web"), request: 2, ..device.clone() };
    let of_another_service = ResumeTicket { service: service(1), ..device.clone() };
    for other in [of_another_forward, of_another_service] {
        for [first, second] in [[&own, &other], [&other, &own]] {
            let mut hub = Hub::new(2);
            hub.device_connects();
            assert!(refusals(&hub.returns(first.clone())).is_empty());
            let outputs = hub.returns(second.clone());
            assert_eq!(refusals(&outputs), [RefusalKind::AuthenticationFailed], "{second:?}");
            assert!(!is_joined(&outputs));
            let is_own = first.role == Role::Service;
            assert_eq!(is_joined(&hub.returns(device.clone())), is_own, "the right one may still come");
        }
    }
}
