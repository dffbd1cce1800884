//! Several hubs as one, each on a machine of its own.

use std::fs;

use devstream::proto::admin::{ClusterHub, ClusterStatus, StreamStatus};
use devstream::proto::join::HubAddress;
use serde_json::{Value, json};

use super::chaos::Chaos;
use super::machine::Machine;
use super::nats::Nats;
use super::roles::{Agent, Hub, ServiceProxy};
use super::{DEVICE, poll, ports};

/// The settings of a hub's cluster, below its home.
const SETTINGS: &str = ".local/share/devstream/hub/cluster.json";

/// Hubs over NATS servers.
pub(crate) struct Cluster {
    pub(crate) nats: Nats,
    pub(crate) hubs: Vec<Hub>,
    /// The machine of the device, and that of the service `alice`.
    pub(crate) device: Machine,
    pub(crate) laptop: Machine,
    /// The networks in front of each hub and between each hub and the NATS servers, if they may fail.
    pub(crate) fronts: Vec<Chaos>,
    pub(crate) links: Vec<Vec<Chaos>>,
    /// The addresses at which clients reach the hubs.
    pub(crate) addresses: Vec<String>,
}

/// Where a cluster's hubs are, before they run.
struct Plan {
    ports: Vec<u16>,
    fronts: Vec<Chaos>,
    links: Vec<Vec<Chaos>>,
    addresses: Vec<String>,
}

impl Plan {
    fn of(hubs: usize) -> Self {
        let ports: Vec<_> = (0..hubs).map(|_| ports::reserve()).collect();
        let addresses = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        Self { ports, fronts: Vec::new(), links: Vec::new(), addresses }
    }

    fn with_networks(self, nats: &Nats) -> Self {
        let fronts: Vec<_> = self.addresses.iter().map(|hub| Chaos::in_front_of(hub)).collect();
        let links = || nats.addresses().iter().map(|server| Chaos::in_front_of(server)).collect();
        let links = fronts.iter().map(|_| links()).collect();
        let addresses = fronts.iter().map(Chaos::address).collect();
        Self { fronts, links, addresses, ..self }
    }

    /// The URLs at which a hub finds the NATS servers.
    fn urls(&self, hub: usize) -> Option<Vec<String>> {
        Some(self.links.get(hub)?.iter().map(|link| format!("nats://{}", link.address())).collect())
    }
}

impl Cluster {
    /// Starts this many hubs over one NATS server.
    pub(crate) fn start(hubs: usize) -> Self {
        Self::over(Nats::start(1), hubs, &[])
    }

    /// Starts this many hubs, with further arguments.
    pub(crate) fn over(nats: Nats, hubs: usize, arguments: &[&str]) -> Self {
        Self::planned(nats, Plan::of(hubs), arguments)
    }

    /// Starts this many hubs, with networks that may fail in front of each, and between each and the NATS servers.
    pub(crate) fn with_networks(nats: Nats, hubs: usize) -> Self {
        let plan = Plan::of(hubs).with_networks(&nats);
        Self::planned(nats, plan, &[])
    }

    fn planned(nats: Nats, plan: Plan, arguments: &[&str]) -> Self {
        let first = Machine::new();
        let hub = Hub::start_on(&first, plan.ports[0], arguments);
        let urls = plan.urls(0).map_or_else(|| nats.urls(), |urls| urls.join(","));
        hub.ask(&["cluster", "init", "--nats", &urls, "--name", &plan.addresses[0]]);
        hub.process.kill();
        let mut started = vec![Hub::start_on(&first, plan.ports[0], arguments)];
        for (number, port) in plan.ports.iter().enumerate().skip(1) {
            let (machine, link) = (Machine::new(), started[0].ask(&["cluster", "invite"]));
            let joined = machine.paste(&["hub", "cluster", "join", "--name", &plan.addresses[number]], link.trim());
            assert_eq!(joined.code, Some(0), "{joined:?}");
            if let Some(urls) = plan.urls(number) {
                use_servers(&machine, &urls);
            }
            started.push(Hub::start_on(&machine, *port, arguments));
        }
        for hub in &started {
            poll("a hub that follows the registry", || {
                let status: ClusterStatus = hub.json(&["cluster", "status"]);
                status.registry.is_some_and(|registry| registry.follows).then_some(())
            });
        }
        let (device, laptop) = (Machine::new(), Machine::new());
        device.ask(&["join", &started[0].device_link(DEVICE)]);
        laptop.ask(&["join", &started[0].service_link("alice")]);
        let Plan { fronts, links, addresses, .. } = plan;
        let cluster = Self { nats, hubs: started, device, laptop, fronts, links, addresses };
        cluster.wait_alive(cluster.hubs.len());
        cluster
    }

    /// Waits until every hub knows that so many live, itself included.
    pub(crate) fn wait_alive(&self, count: usize) {
        for hub in self.hubs.iter().filter(|hub| hub.process.is_running()) {
            poll(&format!("{count} hubs that live, as {} sees them", hub.address()), || {
                let status: ClusterStatus = hub.json(&["cluster", "status"]);
                (status.hubs.iter().filter(|hub| hub.state == "live").count() == count).then_some(())
            });
        }
    }

    /// Waits until a hub takes another one for dead.
    pub(crate) fn wait_dead(&self, hub: usize, dead: usize) {
        poll("a hub that counts as dead", || {
            let status: ClusterStatus = self.hubs[hub].json(&["cluster", "status"]);
            let is_dead = |hub: &ClusterHub| hub.address.to_string() == self.addresses[dead] && hub.state == "dead";
            status.hubs.iter().any(is_dead).then_some(())
        });
    }

    /// The states of the streams that this hub has itself.
    pub(crate) fn states_at(&self, hub: usize) -> Vec<String> {
        let streams: Vec<StreamStatus> = self.hubs[hub].json(&["streams", "list"]);
        let is_own = |at: &HubAddress| at.to_string() == self.addresses[hub];
        streams
            .into_iter()
            .filter(|stream| stream.hub.as_ref().is_some_and(is_own))
            .map(|stream| stream.state)
            .collect()
    }

    /// A machine that tries this hub first, and then the others.
    pub(crate) fn beginning_with(&self, machine: &Machine, hub: usize) -> Machine {
        let count = self.hubs.len();
        let order: Vec<_> = (hub..hub + count).map(|number| self.addresses[number % count].clone()).collect();
        machine.clone().with("DEVSTREAM_HUB", &order.join(","))
    }

    /// Starts the device's agent at this hub.
    pub(crate) fn agent_at(&self, hub: usize, target: u16) -> Agent {
        Agent::start(&self.beginning_with(&self.device, hub), &[&format!("target={target}")])
    }

    /// Starts the service's proxy at this hub.
    pub(crate) fn proxy_at(&self, hub: usize) -> ServiceProxy {
        ServiceProxy::start(&self.laptop_at(hub))
    }

    /// The service's machine, which tries this hub first.
    pub(crate) fn laptop_at(&self, hub: usize) -> Machine {
        self.beginning_with(&self.laptop, hub)
    }

    /// Starts a hub again that was killed.
    pub(crate) fn restart(&mut self, hub: usize) {
        let (machine, port) = (self.hubs[hub].machine().clone(), self.hubs[hub].port);
        self.hubs[hub] = Hub::start_on(&machine, port, &[]);
    }
}

/// Has a hub that does not run find its NATS servers at these URLs.
fn use_servers(machine: &Machine, urls: &[String]) {
    let path = machine.home().join(SETTINGS);
    let mut settings: Value = serde_json::from_slice(&fs::read(&path).expect("it has joined")).expect("JSON");
    settings["nats"] = json!(urls);
    fs::write(&path, settings.to_string()).expect("a file can be written");
}
