//! The same cells over the wire: a hub, two devices, and somebody of each kind, in each state, with each scope.

use std::sync::mpsc::Receiver;

use devstream::net::random;
use devstream::proto::admin::DeviceStatus;
use devstream::proto::id::Role;
use devstream::proto::message::StreamRequest;

use super::matrix::{SCOPES, STATES, State, column};
use crate::support::PATIENCE;
use crate::support::answer::Answer;
use crate::support::machine::Machine;
use crate::support::raw::{Raw, RawDevice, Ticket};
use crate::support::roles::Hub;
use crate::support::websocket::WebSocket;

#[test]
fn every_cell_of_a_service_over_the_wire() {
    let scene = Scene::new();
    let mut cells = 0;
    for state in STATES {
        for (scope, typed) in SCOPES {
            let somebody = scene.service(state, scope, typed);
            for cell in column(Role::Service, state, scope) {
                let answered = somebody.tries(&scene, cell.entry);
                assert_eq!(answered, cell.answered, "service {state:?} {scope}: {}", cell.entry);
                cells += 1;
            }
            somebody.sees_what_is_in_scope(state, scope);
        }
    }
    assert_eq!(cells, 7 * 5 * 17);
}

#[test]
fn every_cell_of_a_device_over_the_wire() {
    let scene = Scene::new();
    let mut cells = 0;
    for state in STATES.into_iter().filter(|state| *state != State::Ended) {
        let somebody = scene.device(state);
        for cell in column(Role::Device, state, "") {
            let answered = somebody.tries(&scene, cell.entry);
            assert_eq!(answered, cell.answered, "device {state:?}: {}", cell.entry);
            cells += 1;
        }
    }
    assert_eq!(cells, 6 * 17);
}

/// A hub with `pi-42` and `pi-43` online, and a service that may reach both.
struct Scene {
    hub: Hub,
    device: Receiver<StreamRequest>,
    _another: Receiver<StreamRequest>,
    witness: Raw,
}

/// Who tries, and the two sides of two streams, the first of which is theirs where that can be.
struct Somebody {
    raw: Raw,
    role: Role,
    id: String,
    first: Stream,
    second: Stream,
}

struct Stream {
    service: Ticket,
    device: Ticket,
}

impl Stream {
    fn side(&self, role: Role) -> &Ticket {
        if role == Role::Service { &self.service } else { &self.device }
    }
}

impl Scene {
    fn new() -> Self {
        let hub = Hub::start_with(&Machine::new(), &["--penalty-exempt", "127.0.0.0/8"]);
        let online = |id| RawDevice::online(Raw::join(&hub.device_link(id)), &["ssh"]).accepting();
        let (device, another) = (online("pi-42"), online("pi-43"));
        let witness = Raw::join(&hub.service_link("witness"));
        Self { hub, device, _another: another, witness }
    }

    /// A service with a scope, as far as its life has come.
    fn service(&self, state: State, scope: &str, typed: &[&str]) -> Somebody {
        let id = format!("{state:?}-{scope}").to_lowercase();
        let before = if typed.is_empty() { typed } else { &["--device", "*"] };
        let link = self.hub.service_link_with(&id, before);
        let mut raw = Raw::before_joining(&link);
        if !matches!(state, State::Stranger | State::NotJoined) {
            assert_eq!(raw.redeem(&link).status, 204);
        }
        let own = !typed.is_empty() && !matches!(state, State::Stranger | State::NotJoined);
        let asker = if own { &raw } else { &self.witness };
        let [first, second] = [(); 2].map(|()| stream(asker, "pi-42", &self.device));
        if !typed.is_empty() {
            self.hub.ask(&[&["service", "set", &id], typed].concat());
        }
        raw = self.brought_to(state, "service", &id, raw);
        Somebody { raw, role: Role::Service, id: "pi-42".into(), first, second }
    }

    /// A device, as far as its life has come.
    fn device(&self, state: State) -> Somebody {
        let id = format!("{state:?}").to_lowercase();
        let link = self.hub.device_link(&id);
        let mut raw = Raw::before_joining(&link);
        let joins = !matches!(state, State::Stranger | State::NotJoined);
        let [first, second] = if joins {
            assert_eq!(raw.redeem(&link).status, 204);
            let requests = RawDevice::online(raw.clone(), &["ssh"]).accepting();
            [(); 2].map(|()| stream(&self.witness, &id, &requests))
        } else {
            [(); 2].map(|()| stream(&self.witness, "pi-42", &self.device))
        };
        raw = self.brought_to(state, "device", &id, raw);
        Somebody { raw, role: Role::Device, id, first, second }
    }

    fn brought_to(&self, state: State, role: &str, id: &str, raw: Raw) -> Raw {
        let change = |words: &[&str]| drop(self.hub.ask(&[&[role], words].concat()));
        match state {
            State::Stranger => return raw.without_key(),
            State::NotJoined | State::Active => {}
            State::Disabled => change(&["disable", id]),
            State::Removed => change(&["remove", id]),
            State::Replaced => drop(Raw::join(&self.hub.link(&[role, "rotate", id, "--overlap", "0s"]))),
            State::Ended => change(&["set", id, "--for", "0s"]),
        }
        raw
    }
}

/// A stream that its device has accepted and to which neither side has come.
fn stream(service: &Raw, device: &str, requests: &Receiver<StreamRequest>) -> Stream {
    let asked = service.send("POST", &format!("/twins/{device}/streams/ssh"), &[], "");
    let request = requests.recv_timeout(PATIENCE).expect("the device is asked");
    Stream { service: asked.answer().ticket(), device: (&request).into() }
}

impl Somebody {
    /// What comes of it, in a word.
    fn tries(&self, scene: &Scene, entry: &str) -> &'static str {
        let own = self.first.side(self.role);
        let with_token = |token: String| upgraded(self.raw.bring(&Ticket { token, ..own.clone() }));
        match entry {
            "be-device" => upgraded(self.raw.control(&self.id)),
            "be-another-device" => upgraded(self.raw.control("pi-43")),
            "open-named" => self.opens("pi-42/streams/ssh", scene),
            "open-first" => self.opens("pi-42/streams", scene),
            "open-named-on-unknown-device" => self.opens("nobody/streams/ssh", scene),
            "open-first-on-unknown-device" => self.opens("nobody/streams", scene),
            "open-named-on-another-device" => self.opens("pi-43/streams/ssh", scene),
            "open-first-on-another-device" => self.opens("pi-43/streams", scene),
            "bring-without-token" => with_token(String::new()),
            "bring-made-up-token" => with_token(random::secret::<32>().reveal()),
            "bring-other-sides-token" => with_token(self.first.side(!self.role).token.clone()),
            "bring-other-streams-token" => with_token(self.second.side(self.role).token.clone()),
            "bring-to-the-other-side" => {
                let url = self.first.side(!self.role).url.clone();
                upgraded(self.raw.bring(&Ticket { url, ..own.clone() }))
            }
            "bring-to-another-devices-stream" => {
                let url = own.url.replace(&format!("/d/{}/", self.id), "/d/pi-43/");
                upgraded(self.raw.bring(&Ticket { url, ..own.clone() }))
            }
            "bring" => upgraded(self.raw.bring(own)),
            "list" => self.raw.ask("GET", "/devices", &[], "").word(),
            "join-with-wrong-code" => self.raw.redeem(&scene.hub.device_link("wrong")).word(),
            entry => panic!("no such entry point: {entry}"),
        }
    }

    fn opens(&self, path: &str, scene: &Scene) -> &'static str {
        let word = self.raw.ask("POST", &format!("/twins/{path}"), &[], "").word();
        if word == "yes" && path.starts_with("pi-42") {
            scene.device.recv_timeout(PATIENCE).expect("the device was asked");
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

fn upgraded(result: Result<WebSocket, Answer>) -> &'static str {
    result.map_or_else(|answer| answer.word(), |_| "yes")
}
