//! What is under load: the real program as a hub, three agents and three proxies, each on a machine of its own, with a
//! bad network on either side of the hub.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use devstream::net::clock;

use super::bell::Bell;
use super::health::Usage;
use super::support::TIMEOUT;
use super::support::chaos::Chaos;
use super::support::machine::Machine;
use super::support::process::Process;
use super::support::roles::{Agent, Hub, ServiceProxy};
use super::target::Server;

/// Devices, each with a proxy of its own.
const PAIRS: usize = 3;

const POLL_INTERVAL: Duration = Duration::from_millis(200);

const HUB_ARGUMENTS: [&str; 2] = ["--metrics", "127.0.0.1:0"];

pub(crate) struct Fixture {
    pub(crate) target: Server,
    /// On the devices' side of the hub, and on the operators'.
    pub(crate) sides: [Chaos; 2],
    agents: Vec<Agent>,
    proxies: Vec<ServiceProxy>,
    hub: Mutex<Hub>,
    /// Where their users are at home, as long as they run.
    _homes: Vec<Machine>,
}

impl Fixture {
    /// Everybody has joined and is online.
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
            proxies.push(ServiceProxy::start_with(&laptop, &device, "0", &[]));
            homes.extend([home, laptop]);
        }
        Self { target, sides, agents, proxies, hub: Mutex::new(hub), _homes: homes }
    }

    /// Where local programs connect.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.proxies.iter().map(|proxy| proxy.port).collect()
    }

    /// Kills the hub as a power cut would.
    pub(crate) fn kill_hub(&self) {
        self.hub().process.kill();
    }

    /// Starts it again, where it was.
    pub(crate) fn restart_hub(&self) {
        let mut hub = self.hub();
        *hub = Hub::start_on(&hub.machine().clone(), hub.port, &HUB_ARGUMENTS);
    }

    /// Everything but the hub, and what it is called.
    pub(crate) fn clients(&self) -> Vec<(String, &Process)> {
        let agents = self.agents.iter().enumerate().map(|(at, agent)| (format!("agent {at}"), &agent.process));
        let proxies = self.proxies.iter().enumerate().map(|(at, proxy)| (format!("proxy {at}"), &proxy.process));
        agents.chain(proxies).collect()
    }

    /// What each process has of the machine now, and what it is called. The hub comes first.
    pub(crate) fn usage(&self) -> Vec<(String, Usage)> {
        let hub = ("hub".to_owned(), Usage::of(&self.hub().process));
        let clients = self.clients().into_iter().map(|(name, process)| (name, Usage::of(process)));
        std::iter::once(hub).chain(clients).collect()
    }

    /// Waits until every stream has ended and every device is back; what is still to come when that takes too long.
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
            Bell::default().rings_within(POLL_INTERVAL);
        }
    }

    /// A number that the hub exports.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.hub().metric(name)
    }

    fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap()
    }
}
