//! The system under load: the real program as a hub, three agents and three proxies, each on a machine of its own, with
//! an unreliable network on either side of the hub.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use devstream::net::os::clock;

use super::health::{Snapshot, Usage};
use super::stop_signal::StopSignal;
use super::support::TIMEOUT;
use super::support::chaos::Chaos;
use super::support::machine::Machine;
use super::support::process::Process;
use super::support::roles::{Agent, Hub, ServiceProxy};
use super::target::Server;

/// Number of devices, each with a proxy of its own.
const PAIRS: usize = 3;

const POLL_INTERVAL: Duration = Duration::from_millis(200);

const HUB_ARGUMENTS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

pub(crate) struct Fixture {
    pub(crate) target: Server,
    /// The networks on the devices' side of the hub and on the services' side.
    pub(crate) sides: [Chaos; 2],
    agents: Vec<Agent>,
    proxies: Vec<ServiceProxy>,
    hub: Mutex<Hub>,
    /// Home directories, kept while the processes run.
    _homes: Vec<Machine>,
}

impl Fixture {
    /// Starts everything; every device is online.
    pub(crate) fn start() -> Self {
        let target = Server::start();
        let hub = Hub::start_with(&Machine::new(), &HUB_ARGUMENTS);
        let sides = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        let joined = |link: &str, side: &Chaos| {
            let machine = Machine::new();
            machine.ask(&["join", &link.replace(&hub.address(), &side.address())]);
            machine
        };
        let (mut agents, mut proxies, mut homes) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..PAIRS {
            let device = format!("device-{number}");
            let home = joined(&hub.device_link(&device), &sides[0]);
            agents.push(Agent::start_as(&home, &device, &[&format!("target={}", target.port)]));
            let laptop = joined(&hub.service_link(&format!("laptop-{number}")), &sides[1]);
            // Says how many round trips the first bytes of a stream took.
            let laptop = laptop.with("DEVSTREAM_LOG", "service-proxy=debug");
            proxies.push(ServiceProxy::start_with(&laptop, &device, "0", &[]));
            homes.extend([home, laptop]);
        }
        Self { target, sides, agents, proxies, hub: Mutex::new(hub), _homes: homes }
    }

    /// Returns the ports for local connections.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.proxies.iter().map(|proxy| proxy.port).collect()
    }

    /// Kills the hub, as a power failure would.
    pub(crate) fn kill_hub(&self) {
        self.hub().process.kill();
    }

    /// Restarts the hub on the same port.
    pub(crate) fn restart_hub(&self) {
        let mut hub = self.hub();
        *hub = Hub::start_on(&hub.machine().clone(), hub.port, &HUB_ARGUMENTS);
    }

    /// Returns the number of streams that were opened on a standby connection, and of those whose first bytes took one round
    /// trip.
    pub(crate) fn standby_opens(&self) -> (usize, usize) {
        let logs: Vec<String> = self.proxies.iter().map(|proxy| proxy.process.errors()).collect();
        let count = |words: &str| logs.iter().map(|log| log.matches(words).count()).sum();
        (count("its first bytes took "), count("its first bytes took one round trip"))
    }

    /// Returns every process but the hub, with a name.
    pub(crate) fn clients(&self) -> Vec<(String, &Process)> {
        let agents = self.agents.iter().enumerate().map(|(at, agent)| (format!("agent {at}"), &agent.process));
        let proxies = self.proxies.iter().enumerate().map(|(at, proxy)| (format!("proxy {at}"), &proxy.process));
        agents.chain(proxies).collect()
    }

    /// Returns the resource usage of each process, with its name; the hub first.
    pub(crate) fn usage(&self) -> Vec<(String, Usage)> {
        let hub = ("hub".to_owned(), Usage::of(&self.hub().process));
        let clients = self.clients().into_iter().map(|(name, process)| (name, Usage::of(process)));
        std::iter::once(hub).chain(clients).collect()
    }

    /// Returns the usage of all processes, taken while no standby connection came or went.
    pub(crate) fn snapshot(&self) -> Snapshot {
        loop {
            let standbys = self.standbys();
            let snapshot = Snapshot { usage: self.usage(), standbys };
            if standbys == self.standbys() {
                return snapshot;
            }
        }
    }

    fn standbys(&self) -> usize {
        usize::try_from(self.metric("devstream_standby_connections")).unwrap()
    }

    /// Waits until every stream has ended and every device is online; returns what is missing after a timeout.
    pub(crate) fn wait_until_idle(&self) -> Option<String> {
        let deadline = clock::now() + TIMEOUT;
        loop {
            let (streams, devices) = (self.metric("devstream_streams"), self.metric("devstream_devices_online"));
            let connections = self.target.open();
            if streams == 0 && devices == PAIRS as u64 && connections == 0 {
                return None;
            }
            if clock::now() > deadline {
                let left = format!("{streams} streams and {connections} connections do not end");
                return Some(format!("{left}; {devices} of {PAIRS} devices are online"));
            }
            StopSignal::default().wait_for(POLL_INTERVAL);
        }
    }

    /// Reads a metric of the hub.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.hub().metric(name)
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap()
    }
}
