//! The matrix over the wire: a hub, two devices, and an identity of each role, in each state, with each scope.

use std::sync::mpsc::Receiver;

use devstream::net::os::random;
use devstream::proto::admin::DeviceStatus;
use devstream::proto::id::Role;
use devstream::proto::message::StreamRequest;

use super::matrix::{SCOPES, STATES, State, column};
use crate::support::TIMEOUT;
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::response::HttpResponse;
use crate::support::roles::Hub;
use crate::support::websocket::WebSocket;

#[test]
fn every_cell_of_the_matrix_for_a_service_over_the_wire() {
    let fixture = Fixture::new();
    let mut cells = 0;
    for state in STATES {
        for (scope, typed) in SCOPES {
            let somebody = fixture.service(state, scope, typed);
            for cell in column(Role::Service, state, scope) {
                let answered = somebody.tries(&fixture, cell.entry);
                assert_eq!(answered, cell.answered, "service {state:?} {scope}: {}", cell.entry);
                cells += 1;
            }
            somebody.sees_what_is_in_scope(state, scope);
        }
    }
    assert_eq!(cells, 7 * 5 * 23);
}

#[test]
fn every_cell_of_the_matrix_for_a_device_over_the_wire() {
    let fixture = Fixture::new();
    let mut cells = 0;
    for state in STATES.into_iter().filter(|state| *state != State::Ended) {
        let somebody = fixture.device(state);
        for cell in column(Role::Device, state, "") {
            let answered = somebody.tries(&fixture, cell.entry);
            assert_eq!(answered, cell.answered, "device {state:?}: {}", cell.entry);
            cells += 1;
        }
    }
    assert_eq!(cells, 6 * 23);
}

/// A hub with `pi-42` and `pi-43` online, and a service that may reach both.
struct Fixture {
    hub: Hub,
    device: Receiver<StreamRequest>,
    _another: Receiver<StreamRequest>,
    witness: RawClient,
}

/// The caller, and both sides of two streams, the first of which is the caller's where possible.
struct TestIdentity {
    raw: RawClient,
    role: Role,
    /// Its device's id: its own, if it is one.
    id: String,
    /// Its own id.
    own: String,
    first: Stream,
    second: Stream,
}

struct Stream {
    service: StreamGrant,
    device: StreamGrant,
}

impl Stream {
    fn side(&self, role: Role) -> &StreamGrant {
        if role == Role::Service { &self.service } else { &self.device }
    }
}

impl Fixture {
    fn new() -> Self {
        let hub = Hub::start_with(&Machine::new(), &["--penalty-exempt", "127.0.0.0/8"]);
        let online = |id| RawDevice::online(RawClient::join(&hub.device_link(id)), &["ssh"]).accepting();
        let (device, another) = (online("pi-42"), online("pi-43"));
        let witness = RawClient::join(&hub.service_link("witness"));
        Self { hub, device, _another: another, witness }
    }

    /// A service with a scope, in this state.
    fn service(&self, state: State, scope: &str, typed: &[&str]) -> TestIdentity {
        let id = format!("{state:?}-{scope}").to_lowercase();
        let before = if typed.is_empty() { typed } else { &["--device", "*"] };
        let link = self.hub.service_link_with(&id, before);
        let mut raw = RawClient::before_joining(&link);
        if !matches!(state, State::NoIdentity | State::NotJoined) {
            assert_eq!(raw.redeem(&link).status, 204);
        }
        let own = !typed.is_empty() && !matches!(state, State::NoIdentity | State::NotJoined);
        let asker = if own { &raw } else { &self.witness };
        let [first, second] = [(); 2].map(|()| stream(asker, "pi-42", &self.device));
        if !typed.is_empty() {
            self.hub.ask(&[&["service", "set", &id], typed].concat());
        }
        raw = self.attached_to(state, "service", &id, raw);
        TestIdentity { raw, role: Role::Service, id: "pi-42".into(), own: id, first, second }
    }

    /// A device in this state.
    fn device(&self, state: State) -> TestIdentity {
        let id = format!("{state:?}").to_lowercase();
        let link = self.hub.device_link(&id);
        let mut raw = RawClient::before_joining(&link);
        let joins = !matches!(state, State::NoIdentity | State::NotJoined);
        let [first, second] = if joins {
            assert_eq!(raw.redeem(&link).status, 204);
            let requests = RawDevice::online(raw.clone(), &["ssh"]).accepting();
            [(); 2].map(|()| stream(&self.witness, &id, &requests))
        } else {
            [(); 2].map(|()| stream(&self.witness, "pi-42", &self.device))
        };
        raw = self.attached_to(state, "device", &id, raw);
        TestIdentity { raw, role: Role::Device, own: id.clone(), id, first, second }
    }

    fn attached_to(&self, state: State, role: &str, id: &str, raw: RawClient) -> RawClient {
        let change = |words: &[&str]| drop(self.hub.ask(&[&[role], words].concat()));
        match state {
            State::NoIdentity => return raw.without_key(),
            State::NotJoined | State::Active => {}
            State::Disabled => change(&["disable", id]),
            State::Removed => change(&["remove", id]),
            State::Replaced => drop(RawClient::join(&self.hub.link(&[role, "rotate", id, "--overlap", "0s"]))),
            State::Ended => change(&["set", id, "--for", "0s"]),
        }
        raw
    }
}

/// A stream that its device has accepted and that neither side has connected to.
fn stream(service: &RawClient, device: &str, requests: &Receiver<StreamRequest>) -> Stream {
    let pending = service.send("POST", &format!("/twins/{device}/streams/ssh"), &[], "");
    let request = requests.recv_timeout(TIMEOUT).expect("the device is asked");
    Stream { service: pending.answer().grant(), device: (&request).into() }
}

impl TestIdentity {
    /// The result, as a word of the matrix.
    fn tries(&self, fixture: &Fixture, entry: &str) -> &'static str {
        let own = self.first.side(self.role);
        let with_token = |token: String| upgraded(self.raw.attach(&StreamGrant { token, ..own.clone() }));
        match entry {
            "be-device" => upgraded(self.raw.control(&self.id)),
            "be-another-device" => upgraded(self.raw.control("pi-43")),
            "open-named" => self.opens("pi-42/streams/ssh", fixture),
            "open-first" => self.opens("pi-42/streams", fixture),
            "open-named-on-unknown-device" => self.opens("nobody/streams/ssh", fixture),
            "open-first-on-unknown-device" => self.opens("nobody/streams", fixture),
            "open-named-on-another-device" => self.opens("pi-43/streams/ssh", fixture),
            "open-first-on-another-device" => self.opens("pi-43/streams", fixture),
            "bring-without-token" => with_token(String::new()),
            "bring-made-up-token" => with_token(random::secret::<32>().reveal()),
            "bring-other-sides-token" => with_token(self.first.side(!self.role).token.clone()),
            "bring-other-streams-token" => with_token(self.second.side(self.role).token.clone()),
            "bring-to-the-other-side" => {
                let url = self.first.side(!self.role).url.clone();
                upgraded(self.raw.attach(&StreamGrant { url, ..own.clone() }))
            }
            "bring-to-another-devices-stream" => {
                let url = own.url.replace(&format!("/d/{}/", self.id), "/d/pi-43/");
                upgraded(self.raw.attach(&StreamGrant { url, ..own.clone() }))
            }
            "bring" => upgraded(self.raw.attach(own)),
            "certificates" => self.certificate("GET", "devices", "pi-42"),
            "certificates-of-unknown-device" => self.certificate("GET", "devices", "nobody"),
            "certificates-of-a-service" => self.certificate("GET", "services", "nobody"),
            "own-certificates" => self.certificate("GET", &format!("{}s", self.role), &self.own),
            "store-certificate" => self.certificate("PUT", "devices", "pi-42"),
            "store-own-certificate" => self.certificate("PUT", &format!("{}s", self.role), &self.own),
            "list" => self.raw.ask("GET", "/devices", &[], "").refusal_label(),
            "join-with-wrong-code" => self.raw.redeem(&fixture.hub.device_link("wrong")).refusal_label(),
            entry => panic!("no such entry point: {entry}"),
        }
    }

    fn certificate(&self, method: &str, owners: &str, id: &str) -> &'static str {
        self.raw.ask(method, &format!("/{owners}/{id}/certificate"), &[], "").refusal_label()
    }

    fn opens(&self, path: &str, fixture: &Fixture) -> &'static str {
        let word = self.raw.ask("POST", &format!("/twins/{path}"), &[], "").refusal_label();
        if word == "yes" && path.starts_with("pi-42") {
            fixture.device.recv_timeout(TIMEOUT).expect("the device was asked");
        }
        word
    }

    /// The list has the devices in the scope, with what may be asked of them, and no others.
    fn sees_what_is_in_scope(&self, state: State, scope: &str) {
        if state != State::Active {
            return;
        }
        let body = self.raw.ask("GET", "/devices", &[], "").body;
        let listed: Vec<DeviceStatus> = serde_json::from_str(&body).expect("a list of devices");
        let offers = |device: &DeviceStatus| device.online.iter().flat_map(|online| online.forwards.clone()).count();
        let seen: Vec<_> = listed.iter().map(|device| (device.id.as_str(), offers(device))).collect();
        let expected: &[(&str, usize)] = match scope {
            "nothing" => &[],
            "elsewhere" => &[("pi-43", 1)],
            "device" => &[("pi-42", 1)],
            "othername" => &[("pi-42", 0)],
            _ => &[("pi-42", 1), ("pi-43", 1), ("wrong", 0)],
        };
        assert_eq!(seen, expected, "{scope}");
    }
}

fn upgraded(result: Result<WebSocket, HttpResponse>) -> &'static str {
    result.map_or_else(|answer| answer.refusal_label(), |_| "yes")
}
