//! A hub, with a chaos proxy in front of it for each other role.

use std::fmt::Display;
use std::net::TcpStream;
use std::time::Duration;

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::chaos::Chaos;
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::is_alive;

/// Arguments of every role: a short idle timeout, so that silence is detected soon.
pub(crate) const SILENCE: [&str; 2] = ["--dead-after", "4"];

/// The idle timeout.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(4);

/// Control, requests and streams all go through the network.
pub(crate) struct Fixture {
    pub(crate) proxy: ServiceProxy,
    pub(crate) agent: Process,
    /// The network between agent and hub …
    pub(crate) below: Chaos,
    /// … and in the proxy's.
    pub(crate) above: Chaos,
    pub(crate) hub: Hub,
    arguments: &'static [&'static str],
    _machines: [Machine; 2],
}

impl Fixture {
    /// Starts all roles with a forward to each of these ports, and these arguments for every role.
    pub(crate) fn forwarding(ports: &[u16], arguments: &'static [&'static str]) -> Self {
        let hub = Hub::start_with(&Machine::new(), arguments);
        let machines = [(); 2].map(|()| Machine::new());
        let [device, laptop] = &machines;
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let [below, above] = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        let (below_at, above_at) = (below.address(), above.address());
        let forwards: Vec<_> = ports.iter().map(|port| format!("to-{port}={port}")).collect();
        let forwards = forwards.iter().flat_map(|forward| ["--forward", forward.as_str()]);
        let own: Vec<_> = ["device-agent", "--hub", below_at.as_str()].into_iter().chain(forwards).collect();
        let agent = device.start(&[own.as_slice(), arguments].concat());
        agent.wait_line("is online");
        let locals: Vec<_> = ports.iter().map(|port| local(*port)).collect();
        let locals = locals.iter().skip(1).flat_map(|local| ["--local", local.as_str()]);
        let own: Vec<_> = ["--hub", above_at.as_str()].into_iter().chain(locals).collect();
        let proxy = ServiceProxy::start_with(laptop, DEVICE, &local(ports[0]), &[own.as_slice(), arguments].concat());
        Self { proxy, agent, below, above, hub, arguments, _machines: machines }
    }

    /// Opens a stream and echoes bytes. One after the other: the hub limits unauthenticated connections.
    pub(crate) fn alive(&self) -> TcpStream {
        let mut local = self.proxy.connect();
        is_alive(&mut local);
        local
    }

    /// The local port of the forward to this port.
    pub(crate) fn local(&self, port: u16) -> u16 {
        self.proxy.port_for(DEVICE, &local(port))
    }

    /// Restarts the hub at its address.
    pub(crate) fn start_hub(&mut self) {
        self.hub = Hub::start_on(&self.hub.machine().clone(), self.hub.port, self.arguments);
    }

    /// Applies a fault to the agent's network and to the proxy's.
    pub(crate) fn on_both_legs(&self, what: impl Fn(&Chaos)) {
        [&self.below, &self.above].into_iter().for_each(what);
    }

    /// Asserts that no role gave up a stream.
    pub(crate) fn assert_none_given_up(&self) {
        let sentence = RefusalKind::NotResumed.row().sentence;
        for process in [&self.proxy.process, &self.agent] {
            assert!(!process.log().contains(sentence), "{process}");
        }
    }
}

fn local(port: u16) -> String {
    format!("0=to-{port}")
}

/// Shows the figures of a test that asserts none of them.
#[expect(clippy::print_stdout, reason = "the harness keeps it for who wants to know")]
pub(crate) fn show(figures: impl Display) {
    println!("{figures}");
}
