//! Several hubs as one, each on a machine of its own.

use devstream::proto::admin::ClusterStatus;

use super::machine::Machine;
use super::nats::Nats;
use super::roles::{Agent, Hub, ServiceProxy};
use super::{DEVICE, poll, ports};

/// Hubs over NATS servers.
pub(crate) struct Cluster {
    pub(crate) nats: Nats,
    pub(crate) hubs: Vec<Hub>,
    /// The machine of the device, and that of the service `alice`.
    pub(crate) device: Machine,
    pub(crate) laptop: Machine,
}

impl Cluster {
    /// Starts this many hubs over one NATS server.
    pub(crate) fn start(hubs: usize) -> Self {
        Self::over(Nats::start(1), hubs, &[])
    }

    /// Starts this many hubs, with further arguments.
    pub(crate) fn over(nats: Nats, hubs: usize, arguments: &[&str]) -> Self {
        let ports: Vec<_> = (0..hubs).map(|_| ports::reserve()).collect();
        let address = |port: &u16| format!("127.0.0.1:{port}");
        let first = Machine::new();
        let hub = Hub::start_on(&first, ports[0], arguments);
        hub.ask(&["cluster", "init", "--nats", &nats.urls(), "--name", &hub.address()]);
        hub.process.kill();
        let mut started = vec![Hub::start_on(&first, ports[0], arguments)];
        for port in &ports[1..] {
            let (machine, link) = (Machine::new(), started[0].ask(&["cluster", "invite"]));
            let joined = machine.paste(&["hub", "cluster", "join", "--name", &address(port)], link.trim());
            assert_eq!(joined.code, Some(0), "{joined:?}");
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
        let cluster = Self { nats, hubs: started, device, laptop };
        cluster.wait_alive(hubs);
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

    /// A machine that tries this hub first, and then the others.
    pub(crate) fn beginning_with(&self, machine: &Machine, hub: usize) -> Machine {
        let count = self.hubs.len();
        let order: Vec<_> = (hub..hub + count).map(|number| self.hubs[number % count].address()).collect();
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
