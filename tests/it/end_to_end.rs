//! End-to-end keys as a person sees them: `identity`, `trust`, `check`, `devices`, and what ends a stream.

mod certificates;
mod check;
mod fleet;
mod fleet_upkeep;
mod identity;
mod invitations;
mod rotation;
mod service;
mod trust;

use serde_json::Value;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::process::Finished;
use crate::support::roles::{Agent, Hub};

/// The characters of a key.
const KEY_CHARS: usize = 43;

/// A hub, [`DEVICE`] and `alice`, each on a machine of its own and joined with a link.
struct Joined {
    hub: Hub,
    device: Machine,
    laptop: Machine,
}

impl Joined {
    fn new() -> Self {
        let (hub, device, laptop) = (Hub::start(&Machine::new()), Machine::new(), Machine::new());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        Self { hub, device, laptop }
    }

    /// Starts the device's agent with one forward, to this port.
    fn agent(&self, port: u16) -> Agent {
        Agent::start(&self.device, &[&format!("target={port}")])
    }

    /// Has the device set up anew: its key is another one, which nothing vouches for.
    fn set_up_anew(&mut self) {
        self.device = Machine::new();
        self.device.ask(&["join", &self.hub.link(&["device", "rotate", DEVICE, "--overlap", "0s"])]);
    }
}

/// Runs a stream from the laptop on standard input and output.
fn stream(machine: &Machine) -> Finished {
    machine.run(&["service-proxy", DEVICE, "--stdio"])
}

/// The key of a machine's identity in this role.
fn key(machine: &Machine, role: &str) -> String {
    let identities: Value = json(machine, &["identity"]);
    let identity = identities.as_array().unwrap().iter().find(|identity| identity["role"] == role).unwrap();
    let key = identity["endToEndKey"].as_str().unwrap();
    assert_eq!(key.len(), KEY_CHARS, "{identity}");
    key.to_owned()
}

/// The peers that a machine knows.
fn known(machine: &Machine) -> Vec<Value> {
    json(machine, &["trust", "list"]).as_array().unwrap().clone()
}

fn json(machine: &Machine, arguments: &[&str]) -> Value {
    serde_json::from_str(&machine.ask(&[arguments, &["--json"]].concat())).unwrap()
}

/// A key as messages show it.
fn short(key: &str) -> String {
    format!("{}…", &key[..8])
}
