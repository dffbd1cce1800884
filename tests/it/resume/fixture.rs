//! A hub, with a bad network in front of it for each of the others.

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

/// What every role is told, so that silence is noticed soon.
pub(crate) const SILENCE: [&str; 2] = ["--dead-after", "4"];

/// The limit itself.
pub(crate) const DEAD_AFTER: Duration = Duration::from_secs(4);

/// Control, requests and streams all go through the network.
pub(crate) struct Fixture {
    pub(crate) proxy: ServiceProxy,
    pub(crate) agent: Process,
    /// What is in the agent's way to the hub …
    pub(crate) below: Chaos,
    /// … and in the proxy's.
    pub(crate) above: Chaos,
    pub(crate) hub: Hub,
    arguments: &'static [&'static str],
    _machines: [Machine; 2],
}

impl Fixture {
    /// With a forward to each of these ports, and these arguments for every role.
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

    /// A stream over which bytes have passed. One after the other: so many strangers at once the hub turns away.
    pub(crate) fn alive(&self) -> TcpStream {
        let mut local = self.proxy.connect();
        is_alive(&mut local);
        local
    }

    /// Where the forward to this port can be had.
    pub(crate) fn local(&self, port: u16) -> u16 {
        self.proxy.port_for(DEVICE, &local(port))
    }

    /// The hub is there again, where it was.
    pub(crate) fn start_hub(&mut self) {
        self.hub = Hub::start_on(&self.hub.machine().clone(), self.hub.port, self.arguments);
    }

    /// Does something to the agent's way and to the proxy's.
    pub(crate) fn on_both_legs(&self, what: impl Fn(&Chaos)) {
        [&self.below, &self.above].into_iter().for_each(what);
    }

    /// No stream was given up by anybody.
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
