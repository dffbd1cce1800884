//! A hub with a chaos proxy in front of it for each other role, which counts its connections.

use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use crate::support::bytes::{KIB, Observed, Pattern, StreamEnd, drain, echo_to_eof};
use crate::support::chaos::Chaos;
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::{Hub, ServiceProxy, connect};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, poll};

/// [`DEVICE`] with forwards `target` and `closed`, and `alice` with a port for each, and for `nothing`.
pub(crate) struct Fixture {
    pub(crate) proxy: ServiceProxy,
    pub(crate) agent: Process,
    /// The network between agent and hub …
    pub(crate) below: Chaos,
    /// … and in the proxy's.
    pub(crate) above: Chaos,
    pub(crate) hub: Hub,
    pub(crate) laptop: Machine,
    pub(crate) device: Machine,
    forwards: [String; 2],
    arguments: [Vec<String>; 3],
}

impl Fixture {
    pub(crate) fn forwarding(target: &Target) -> Self {
        Self::with(target, [&[]; 3])
    }

    /// Starts with these arguments for the hub, the agent and the proxy.
    pub(crate) fn with(target: &Target, arguments: [&[&str]; 3]) -> Self {
        Self::to_port(target.port, arguments)
    }

    pub(crate) fn to_port(port: u16, arguments: [&[&str]; 3]) -> Self {
        let [of_hub, of_agent, of_proxy] = arguments;
        let hub = Hub::start_with(&Machine::new(), of_hub);
        let [device, laptop] = [(); 2].map(|()| Machine::new());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let [below, above] = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        let forwards = [format!("target={port}"), format!("closed={}", closed_port())];
        let agent = start_agent(&device, &below, &forwards, of_agent);
        let above_at = above.address();
        let own = ["--hub", &above_at, "--local", "0=closed", "--local", "0=nothing"];
        let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0=target", &[&own, of_proxy].concat());
        let arguments = arguments.map(|own| own.iter().map(|&own| own.to_owned()).collect());
        Self { proxy, agent, below, above, hub, laptop, device, forwards, arguments }
    }

    /// Connections that the proxy and the agent have made so far.
    pub(crate) fn connections(&self) -> [u64; 2] {
        [self.above.connections(), self.below.connections()]
    }

    /// A stream over which bytes have passed.
    pub(crate) fn alive(&self) -> TcpStream {
        let mut local = self.proxy.connect();
        is_alive(&mut local);
        local
    }

    /// Carries one stream from its start to both its ends.
    pub(crate) fn echo(&self, seed: u64, length: u64) {
        echo_to_eof(&self.proxy.connect(), seed, length);
    }

    /// Carries one stream with an existing pattern.
    pub(crate) fn echo_with(&self, pattern: &Pattern, length: u64) {
        let stream = self.proxy.connect();
        let (mut reader, mut writer) = (&stream, &stream);
        thread::scope(|scope| {
            scope.spawn(|| {
                pattern.send(&mut writer, length).unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
            });
            pattern.expect(&mut reader, length);
        });
        assert_eq!(drain(&mut stream.try_clone().unwrap()), Observed { bytes: 0, end: StreamEnd::Eof });
    }

    /// Opens this many streams at once until they need no new connection, then one more, so that all others stand by.
    /// Returns their number.
    pub(crate) fn warm(&self, at_once: u64) -> u64 {
        for round in 1..100 {
            let before = self.connections();
            let streams: Vec<_> = (0..at_once).map(|_| self.alive()).collect();
            for mut stream in streams {
                stream.shutdown(Shutdown::Write).unwrap();
                assert_eq!(drain(&mut stream), Observed { bytes: 0, end: StreamEnd::Eof });
            }
            if round > 1 && self.connections() == before {
                self.echo(round, LITTLE);
                self.settle();
                return round * at_once + 1;
            }
        }
        panic!("every stream makes connections: {:?}", self.connections());
    }

    /// Waits until no more connections are being opened: spares follow the streams that found none.
    pub(crate) fn settle(&self) {
        const QUIET: Duration = Duration::from_millis(150);
        let mut seen = (self.connections(), clock::now());
        poll("an end of new connections", || {
            if self.connections() != seen.0 {
                seen = (self.connections(), clock::now());
            }
            (clock::now() - seen.1 >= QUIET).then_some(())
        });
    }

    /// The port of the proxy for another of the device's forwards.
    pub(crate) fn local(&self, name: &str) -> u16 {
        self.proxy.port_for(DEVICE, &format!("0={name}"))
    }

    /// Connects to that port.
    pub(crate) fn connect_to(&self, name: &str) -> TcpStream {
        connect(self.local(name))
    }

    /// Restarts the hub at its address.
    pub(crate) fn start_hub(&mut self) {
        let arguments: Vec<_> = self.arguments[0].iter().map(String::as_str).collect();
        self.hub = Hub::start_on(&self.hub.machine().clone(), self.hub.port, &arguments);
    }

    /// Restarts with other arguments.
    pub(crate) fn start_hub_with(&mut self, arguments: &[&str]) {
        self.arguments[0] = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self.start_hub();
    }

    /// Another agent of the same device.
    pub(crate) fn another_agent(&self) -> Process {
        let arguments: Vec<_> = self.arguments[1].iter().map(String::as_str).collect();
        start_agent(&self.device, &self.below, &self.forwards, &arguments)
    }
}

fn start_agent(device: &Machine, below: &Chaos, forwards: &[String], arguments: &[&str]) -> Process {
    let hub = below.address();
    let forwards = forwards.iter().flat_map(|forward| ["--forward", forward.as_str()]);
    let own: Vec<_> = ["device-agent", "--hub", &hub].into_iter().chain(forwards).collect();
    let agent = device.hidden().start(&[own.as_slice(), arguments].concat());
    agent.wait_line("is online");
    agent
}

/// One block distinguishes streams.
pub(crate) const LITTLE: u64 = 2 * KIB;
