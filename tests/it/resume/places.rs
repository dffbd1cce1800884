//! The places at which a stream is resumed: those that the hub lists, in their order, and only where the client may connect.

use std::io::Read as _;
use std::net::TcpStream;

use devstream::net::tls::Trust;
use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::join::JoinLink;
use devstream::proto::resume::RESUME_PLACES_HEADER;
use devstream::proto::stream::StreamProtocol;

use crate::support::DEVICE;
use crate::support::certificates::NAME;
use crate::support::chaos::{Chaos, Fault};
use crate::support::machine::Machine;
use crate::support::middlebox::Middlebox;
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, closed_port, is_alive};

/// A hub that is reached at two addresses through an inspecting proxy, and a stream that both ends began at the first.
struct Fixture {
    local: TcpStream,
    first: Chaos,
    second: Chaos,
    /// In no client's list of addresses.
    foreign: Chaos,
    roles: (ServiceProxy, Process),
    _hub: (Hub, Middlebox, Target, [Machine; 2]),
}

impl Fixture {
    /// The proxy adds this list to the responses to upgrades: `FIRST`, `SECOND`, `DEAD` and `FOREIGN` are addresses.
    fn with_places(list: Option<&str>) -> Self {
        let mut fixture = Self::start(list);
        is_alive(&mut fixture.local);
        assert_eq!(fixture.second.connections(), 0, "the first address answers");
        fixture
    }

    /// The same before the stream is open.
    fn start(list: Option<&str>) -> Self {
        let target = Target::echo();
        let [machine, device, laptop] = [(); 3].map(|()| Machine::new());
        let allowed = "--allow-tls-inspection";
        let hub = Hub::start_with(&machine, &["--hostname", NAME, "--standbys", "0", allowed]);
        let link = hub.device_link(DEVICE);
        let pin = link.parse::<JoinLink>().unwrap().pin.unwrap();
        device.ask(&["join", &link]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let middlebox = Middlebox::start_removing(&machine, hub.port, &Trust::Pin(pin), &[]);
        let chaos = [(); 3].map(|()| Chaos::in_front_of(&middlebox.address()));
        let at = |port: &str| format!("{NAME}:{port}");
        let [one, two, foreign_at] = chaos.each_ref().map(|chaos| at(chaos.address().rsplit(':').next().unwrap()));
        let dead = at(&closed_port().to_string());
        if let Some(list) = list {
            let list = list.replace("FIRST", &one).replace("SECOND", &two).replace("DEAD", &dead);
            middlebox.add_to_upgrades(RESUME_PLACES_HEADER, &list.replace("FOREIGN", &foreign_at));
        }
        let hubs = format!("{one},{two},{dead}");
        let way = ["--hub", &hubs, "--ca", &middlebox.authority, allowed];
        let forward = target.port.to_string();
        let agent = device.start(&[&["device-agent", "-vv", "--forward", &forward], &way[..]].concat());
        agent.wait_line("is online");
        let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0", &[&["-vv"], &way[..]].concat());
        let (local, [first, second, foreign]) = (proxy.connect(), chaos);
        let _hub = (hub, middlebox, target, [device, laptop]);
        Self { local, first, second, foreign, roles: (proxy, agent), _hub }
    }

    /// Cuts every connection; the stream goes on all the same.
    fn cut(&mut self) {
        self.first.hit_all(Fault::Cut);
        is_alive(&mut self.local);
        assert_eq!(self.foreign.connections(), 0, "an address that the hub names, and that no client was told of");
    }
}

#[test]
fn both_ends_resume_at_the_first_place_of_the_list_that_answers() {
    let mut fixture = Fixture::with_places(Some("wss://DEAD, wss://FOREIGN, wss://SECOND, wss://FIRST"));
    fixture.cut();
    assert_eq!(fixture.second.live(), 2, "both legs");
    let (proxy, agent) = &fixture.roles;
    for end in [&proxy.process, agent] {
        end.wait_line("the stream is not resumed at localhost:");
    }
}

#[test]
fn without_a_list_both_ends_resume_where_they_were() {
    let mut fixture = Fixture::with_places(None);
    fixture.cut();
    assert_eq!(fixture.second.connections(), 0);
}

#[test]
fn a_list_of_places_where_nobody_answers_leads_back_to_where_the_ends_were() {
    let mut fixture = Fixture::with_places(Some("wss://DEAD, wss://FOREIGN"));
    fixture.cut();
    assert_eq!(fixture.second.connections(), 0);
}

#[test]
fn a_list_that_no_hub_sends_is_named_and_the_stream_not_opened() {
    let mut fixture = Fixture::start(Some("wss://FIRST, https://SECOND"));
    let wrong = "the hub sent a place to resume at (number 2) that is not wss://HOST[:PORT]";
    let line = fixture.roles.1.wait_line(wrong);
    assert!(line.contains("could not open the stream"), "{line}");
    assert!(!matches!(fixture.local.read(&mut [0]), Ok(1..)), "nothing is carried");
}

#[test]
fn a_hub_with_an_endpoint_of_its_own_names_it_to_both_ends_as_the_place_to_resume_at() {
    for has_endpoint in [true, false] {
        let machine = Machine::new();
        let hub = if has_endpoint { Hub::start_with_own_endpoint(&machine) } else { Hub::start(&machine) };
        let alice = RawClient::join(&hub.service_link("alice"));
        let protocol = StreamProtocol::Resumable.as_str();
        let mut device = RawDevice::speaking(RawClient::join(&hub.device_link(DEVICE)), &["ssh"], &[protocol]);
        let pending = alice.open("ssh", &[(STREAM_PROTOCOL_HEADER, protocol)]);
        let request = device.request();
        device.accept(&request);
        let own = StreamGrant { protocol: Some(protocol.into()), ..pending.answer().grant() };
        let expected = has_endpoint.then(|| own.url.split("/bridges/").next().unwrap().to_owned());
        let (_service, answer) = alice.attach_with_response(&own).unwrap();
        let (_device, others) = device.identity.attach_with_response(&StreamGrant::from(&request)).unwrap();
        for answer in [answer, others] {
            assert_eq!(answer.header(RESUME_PLACES_HEADER), expected.as_deref());
        }
    }
}
