//! Fairness at a device: a service that takes all it can keeps no other out.

use std::time::{Duration, Instant};

use devstream::hub::broker::{
    Broker, Grant, Input, LegAttach, LegCredential, OpenRequest, Output, Settings, StreamLimits,
};
use devstream::proto::http::Bridge;
use devstream::proto::id::{ConnectionId, DeviceId, Principal, Role, StreamId};
use devstream::proto::limits::{
    HALF_OPEN_GRACE, HANDSHAKE_TIMEOUT, PENDING_PER_DEVICE, PENDING_PER_SERVICE_AND_DEVICE, STREAMS_PER_DEVICE,
};
use devstream::proto::message::StreamResponse;
use devstream::proto::refusal::{Refusal, RefusalKind};
use devstream::proto::resume::{HubRun, ResumeTicket};
use devstream::proto::scope::Scope;
use devstream::proto::secret::StreamToken;

use super::world::{HUB, address, any_key, hello, name, plain_request, random, service};

/// A broker with one device, which accepts every request and brings its leg at once.
pub(super) struct OneDevice {
    pub(super) broker: Broker,
    pub(super) device: DeviceId,
    pub(super) now: Instant,
    last: u64,
    /// Streams whose legs were refused.
    pub(super) refused: Vec<(StreamId, Refusal)>,
    legs: Vec<(ConnectionId, StreamId)>,
    /// Streams that the hub ended, and why.
    pub(super) ended: Vec<(StreamId, RefusalKind)>,
}

impl OneDevice {
    pub(super) fn new(settings: Settings) -> Self {
        let (broker, device) = (Broker::new(settings, HUB, random(1)), "pi".parse().unwrap());
        let now = tokio::time::Instant::now().into_std();
        let mut one = Self { broker, device, now, last: 0, refused: Vec::new(), legs: Vec::new(), ended: Vec::new() };
        let (device, connection) = (one.device.clone(), one.connection());
        one.broker.handle(Input::DeviceConnected { device, connection, hello: hello(), address: address() }, now);
        one
    }

    fn connection(&mut self) -> ConnectionId {
        self.last += 1;
        ConnectionId(self.last)
    }

    /// Requests a stream for this service.
    fn ask(&mut self, number: u64) -> Result<Grant, Refusal> {
        let requester = self.connection();
        let request = OpenRequest { service: service(number), ..plain_request(&self.device) };
        self.broker.handle(Input::OpenRequested { requester, request }, self.now);
        self.process_outputs().expect("an answer")
    }

    /// Requests a stream and brings the service's leg.
    pub(super) fn open(&mut self, number: u64) -> Result<(), Refusal> {
        let Grant { stream, token, .. } = self.ask(number)?;
        let principal = Principal { role: Role::Service, id: service(number).into() };
        self.attach(stream, principal, &token);
        Ok(())
    }

    /// Requests streams until one is refused; returns their number, and the refusal's detail.
    fn take_all(&mut self, mut request: impl FnMut(&mut Self) -> Result<(), Refusal>) -> (usize, String) {
        let mut taken = 0;
        loop {
            match request(self) {
                Ok(()) => taken += 1,
                Err(refusal) => {
                    assert_eq!(refusal.kind, RefusalKind::HubBusy);
                    return (taken, refusal.detail.to_string());
                }
            }
        }
    }

    fn attach(&mut self, stream: StreamId, principal: Principal, token: &StreamToken) {
        self.attach_with(stream, principal, LegCredential::Token(token.hash()));
    }

    pub(super) fn attach_with(&mut self, stream: StreamId, principal: Principal, credential: LegCredential) {
        let leg = self.connection();
        let bridge = Bridge { hub: "hub".into(), device: self.device.clone(), stream, role: principal.role };
        let (address, scope) = (address(), Scope::everything());
        self.legs.push((leg, stream));
        let (until, key) = (None, any_key());
        let attach = LegAttach { leg, bridge, principal, credential, address, scope, until, key };
        self.broker.handle(Input::LegAttached(attach), self.now);
        self.process_outputs();
    }

    pub(super) fn process_outputs(&mut self) -> Option<Result<Grant, Refusal>> {
        let mut answer = None;
        while let Some(output) = self.broker.next_output() {
            match output {
                Output::RequestDevice { connection, request } => {
                    let response =
                        StreamResponse { request_id: request.stream, accepted: true, end_to_end: false, reason: None };
                    self.broker.handle(Input::DeviceResponded { connection, response, standby: false }, self.now);
                    let principal = Principal { role: Role::Device, id: self.device.clone().into() };
                    answer = answer.or(self.process_outputs());
                    self.attach(request.stream, principal, &request.token);
                }
                Output::CompleteOpen { result, .. } => answer = Some(result),
                Output::EndStream { stream, refusal } => self.ended.push((stream, refusal.kind)),
                Output::Refuse { leg, refusal } => {
                    let stream = self.legs.iter().find(|(other, _)| *other == leg).expect("an own leg").1;
                    self.refused.push((stream, refusal));
                }
                Output::Displace { .. }
                | Output::Dismiss { .. }
                | Output::RevalidateKey { .. }
                | Output::CancelRequest { .. }
                | Output::Admit { .. }
                | Output::Join(_)
                | Output::StreamEnded { .. }
                | Output::Record(_) => {}
            }
        }
        answer
    }

    pub(super) fn advance(&mut self, time: Duration) {
        self.now += time;
        self.broker.handle_timeout(self.now);
        self.process_outputs();
    }
}

/// Requests a stream and leaves its handshake half-open.
fn half_open(number: u64) -> impl FnMut(&mut OneDevice) -> Result<(), Refusal> {
    move |one| one.ask(number).map(|_| ())
}

#[test]
fn a_service_that_never_brings_its_side_keeps_no_other_out() {
    let mut one = OneDevice::new(Settings::default());
    let (taken, detail) = one.take_all(half_open(0));
    assert_eq!(taken, PENDING_PER_SERVICE_AND_DEVICE);
    assert_eq!(detail, format!("this service has {taken} streams being opened to this device"));
    for _ in 0..100 {
        one.open(1).unwrap();
    }
    assert!(one.refused.is_empty(), "the first service's handshakes go on");
}

#[test]
fn half_open_handshakes_that_fill_a_device_give_way_to_a_service_with_fewer() {
    let mut one = OneDevice::new(Settings::default());
    let first = one.ask(0).unwrap().stream;
    one.advance(Duration::from_millis(1));
    assert_eq!(one.take_all(half_open(0)).0 + one.take_all(half_open(1)).0 + 1, PENDING_PER_DEVICE);
    let full = one.ask(2).unwrap_err();
    assert_eq!(full.detail.as_str(), format!("this device has {PENDING_PER_DEVICE} streams being opened"));
    assert!(one.refused.is_empty(), "a service has some time to connect");

    one.advance(HALF_OPEN_GRACE);
    one.open(2).unwrap();
    assert_eq!(one.refused.len(), 1, "one handshake made room");
    assert_eq!((one.refused[0].0, one.refused[0].1.kind), (first, RefusalKind::HubBusy), "the oldest");
    // The place that became free is taken again, which displaces nobody.
    one.take_all(half_open(0));
    one.take_all(half_open(1));
    assert_eq!(one.refused.len(), 1, "the two displace each other");
    let mut served = 0;
    while one.open(2).is_ok() {
        one.take_all(half_open(0));
        one.take_all(half_open(1));
        served += 1;
    }
    assert_eq!(served, PENDING_PER_DEVICE - 1, "each old handshake makes room once");
    one.advance(HALF_OPEN_GRACE);
    one.open(2).expect("the new ones are old by then");
}

#[test]
fn a_single_place_for_handshakes_is_given_up_as_well() {
    let pending = StreamLimits { per_device: 1, ..StreamLimits::PENDING };
    let mut one = OneDevice::new(Settings { pending, ..Settings::default() });
    assert_eq!(one.take_all(half_open(0)).0, 1);
    one.advance(HALF_OPEN_GRACE);
    one.open(1).unwrap();
}

#[test]
fn a_service_takes_no_more_streams_to_a_device_than_it_leaves_free() {
    let mut one = OneDevice::new(Settings::default());
    let mut free = STREAMS_PER_DEVICE;
    for number in 0..6 {
        let (taken, detail) = one.take_all(|one| one.open(number));
        assert_eq!(taken, free / 2, "service {number}");
        assert_eq!(detail, format!("this service has {taken} streams to this device"));
        free -= taken;
    }
    assert_eq!(one.broker.streams(), STREAMS_PER_DEVICE - free);
    assert!(free >= 32, "others still get in");
}

/// An earlier run of the hub.
pub(crate) fn earlier_run() -> HubRun {
    HubRun { id: Some(HUB), run: 7 }
}

/// The order of their return is not that of their requests.
#[test]
fn streams_that_return_after_a_restart_of_the_hub_are_held_to_no_share() {
    let mut one = OneDevice::new(Settings::default());
    let principal = Principal { role: Role::Service, id: service(0).into() };
    for number in 0..STREAMS_PER_DEVICE as u128 {
        let stream = StreamId::from_bytes(number.to_be_bytes());
        let ticket = ResumeTicket {
            stream,
            name: name("ssh"),
            device: one.device.clone(),
            agent: 1,
            request: 1,
            service: service(0),
            role: Role::Service,
            hub: earlier_run(),
        };
        one.attach_with(stream, principal.clone(), LegCredential::Ticket(Box::new(ticket)));
    }
    assert!(one.refused.is_empty(), "{:?}", one.refused[0]);
    assert_eq!(one.broker.streams(), STREAMS_PER_DEVICE);
}

#[test]
fn the_share_of_a_service_is_what_the_limits_say() {
    assert_eq!(StreamLimits::PENDING.per_service_and_device(), PENDING_PER_SERVICE_AND_DEVICE);
    let shares = [1, 2, 3, 4].map(|per_device| {
        let pending = StreamLimits { per_device, ..StreamLimits::PENDING };
        let mut one = OneDevice::new(Settings { pending, ..Settings::default() });
        one.take_all(half_open(0)).0
    });
    assert_eq!(shares, [1, 1, 2, 2]);
    assert!(HALF_OPEN_GRACE < HANDSHAKE_TIMEOUT);
}

/// What it sends ahead is held for its service, from a hub that may be short of memory.
#[test]
fn a_leg_that_waits_for_the_first_join_counts_for_its_service_and_gives_way_when_it_is_late() {
    let mut one = OneDevice::new(Settings::default());
    let stream = one.ask(0).unwrap().stream;
    let waiting = |one: &OneDevice| {
        let legs = one.broker.waiting(one.now).map(|leg| (leg.stream, leg.service.clone(), leg.end, leg.is_late));
        legs.collect::<Vec<_>>()
    };
    one.advance(Duration::from_millis(1900));
    assert_eq!(waiting(&one), [(stream, service(0), Role::Device, false)], "the other leg may be on its way");
    one.advance(Duration::from_millis(100));
    assert_eq!(waiting(&one), [(stream, service(0), Role::Device, true)]);
    let refusal = Refusal::from(RefusalKind::NotRead);
    one.broker.handle(Input::GivesWay { stream, refusal: refusal.clone() }, one.now);
    one.process_outputs();
    assert_eq!(one.refused, [(stream, refusal)]);
    assert_eq!(waiting(&one), []);
    one.open(0).unwrap();
    one.advance(Duration::from_secs(3));
    assert_eq!(waiting(&one), [], "joined");
}
