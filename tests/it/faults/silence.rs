//! Silence on any leg is detected within the idle timeout; a stalled reader is not mistaken for it.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::Duration;

use crate::support::bytes::{StreamEnd, drain};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, within};

/// Arguments of every role that make the tests quick …
const SILENCE: [&str; 2] = ["--dead-after", "4"];

/// … and disable resume, which would hide the interruption.
const NO_RESUME: &str = "--no-resume";

/// Silence is detected within this: the idle timeout, and reserve for a busy machine.
const NOTICED: Duration = Duration::from_secs(4 + 3);

/// The last connection is a stream's, and no other's.
const NO_STANDBYS: [&str; 2] = ["--standbys", "0"];

/// Arguments of every role.
fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    [arguments, &SILENCE, &[NO_RESUME], &NO_STANDBYS].concat()
}

/// A hub, and a chaos proxy in front of it for each other role.
struct Fixture {
    proxy: ServiceProxy,
    agent: Process,
    below: Chaos,
    above: Chaos,
    target: Target,
    hub: Hub,
    _machines: [Machine; 2],
}

/// The agent's first connection.
const CONTROL: u64 = 0;

impl Fixture {
    fn with(target: Target) -> Self {
        let hub = Hub::start_with(&Machine::new(), &with(&[]));
        let machines = [(); 2].map(|()| Machine::new());
        let [device, laptop] = &machines;
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let [below, above] = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        let forward = format!("target={}", target.port);
        let agent = device.start(&with(&["device-agent", "--forward", &forward, "--hub", &below.address()]));
        agent.wait_line("is online");
        let proxy = ServiceProxy::start_with(laptop, DEVICE, "0", &with(&["--hub", &above.address()]));
        Self { proxy, agent, below, above, target, hub, _machines: machines }
    }

    fn alive(&self) -> TcpStream {
        let mut local = self.proxy.connect();
        is_alive(&mut local);
        local
    }
}

#[test]
fn a_silent_control_connection_is_closed_by_both_ends() {
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        let fixture = Fixture::with(Target::echo());
        let lines = fixture.agent.lines();
        assert!(fixture.below.hit(CONTROL, Fault::BlackHole(direction)));
        within(NOTICED, "the hub's notice", || fixture.hub.process.wait_line("went offline"));
        within(NOTICED, "the agent's return", || fixture.agent.wait_line_after(lines, "is online"));
        fixture.alive();
    }
}

#[test]
fn a_silent_leg_ends_the_stream_at_both_ends() {
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        for below in [true, false] {
            let fixture = Fixture::with(Target::echo());
            let mut local = fixture.alive();
            let leg = if below { &fixture.below } else { &fixture.above };
            assert!(leg.hit(leg.connections() - 1, Fault::BlackHole(direction)));
            within(2 * NOTICED, "the reset", || assert_eq!(drain(&mut local).end, StreamEnd::Reset));
            within(2 * NOTICED, "the target's", || assert_eq!(fixture.target.seen().end, StreamEnd::Reset));
        }
    }
}

#[test]
fn a_reader_that_stalls_and_then_falls_silent_frees_its_target() {
    let fixture = Fixture::with(Target::source(5, u64::MAX));
    let mut local = fixture.proxy.connect();
    local.read_exact(&mut [0]).unwrap();
    assert_eq!(fixture.target.seen().end, StreamEnd::Stalled, "the source is held back");
    fixture.above.hit_all(Fault::BlackHole(Direction::Both));
    within(2 * NOTICED, "the target's end", || assert_eq!(fixture.target.seen().end, StreamEnd::Reset));
}

#[test]
fn a_stalled_reader_is_never_timed_out() {
    let fixture = Fixture::with(Target::source(5, u64::MAX));
    let mut local = fixture.proxy.connect();
    local.read_exact(&mut [0]).unwrap();
    assert_eq!(fixture.target.seen().end, StreamEnd::Stalled, "the source is held back");
    // A second stream: what is waited for is that nothing ends.
    let mut other = fixture.proxy.connect();
    other.read_exact(&mut [0]).unwrap();
    assert_eq!(fixture.target.seen().end, StreamEnd::Stalled);
    assert!(!fixture.proxy.process.log().contains("warning"), "{}", fixture.proxy.process);
    for reader in [&mut local, &mut other] {
        reader.read_exact(&mut vec![0; 32 << 20]).unwrap();
    }
}

#[test]
fn a_suspended_agent_goes_offline_and_reconnects_when_continued() {
    let fixture = Fixture::with(Target::echo());
    let mut local = fixture.alive();
    fixture.agent.signal("STOP");
    within(NOTICED, "the hub's notice", || fixture.hub.process.wait_line("went offline"));
    within(NOTICED, "the reset", || assert_eq!(drain(&mut local).end, StreamEnd::Reset));
    let lines = fixture.agent.lines();
    fixture.agent.signal("CONT");
    assert_eq!(fixture.target.seen().end, StreamEnd::Reset);
    fixture.agent.wait_line_after(lines, "is online");
    fixture.alive();
}

/// A hub and an operator in one network namespace, a device in another.
struct SeparateNetworks {
    target: Target,
    agent: Process,
    proxy: ServiceProxy,
    hub: Hub,
    _device: Machine,
    near: NetNs,
    far: NetNs,
}

impl SeparateNetworks {
    fn on(near: NetNs, far: NetNs) -> Self {
        let (hub_machine, device) = (near.machine(), far.machine());
        let hub = Hub::start_at(&hub_machine, "10.0.0.1:0", &with(&["--hostname", "10.0.0.1"]));
        device.ask(&["join", &hub.device_link(DEVICE)]);
        let target = far.enter(Target::echo);
        let agent = device.start(&with(&["device-agent", "--forward", &target.port.to_string()]));
        agent.wait_line("is online");
        let proxy = ServiceProxy::start_with(&hub_machine, DEVICE, "0", &with(&[]));
        Self { target, agent, proxy, hub, _device: device, near, far }
    }

    fn alive(&self) -> TcpStream {
        let mut local = self.near.enter(|| self.proxy.connect());
        is_alive(&mut local);
        local
    }
}

#[test]
fn a_vanished_machine_is_detected_by_both_ends() {
    let [near, far] = NetNs::two();
    let fixture = SeparateNetworks::on(near, far);
    let mut local = fixture.alive();
    let lines = fixture.agent.lines();
    fixture.far.run("iptables -A INPUT -i veth -j DROP && iptables -A OUTPUT -o veth -j DROP");
    within(NOTICED, "the hub's notice", || fixture.hub.process.wait_line("went offline"));
    within(NOTICED, "the reset", || assert_eq!(drain(&mut local).end, StreamEnd::Reset));
    within(NOTICED, "the target's end", || assert_eq!(fixture.target.seen().end, StreamEnd::Reset));
    fixture.far.run("iptables -F");
    fixture.agent.wait_line_after(lines, "is online");
    fixture.alive();
}

#[test]
fn an_address_change_reconnects_the_control_connection_soon() {
    let [near, far] = NetNs::two();
    let fixture = SeparateNetworks::on(near, far);
    fixture.alive();
    let lines = fixture.agent.lines();
    fixture.far.run("ip address del 10.0.0.2/24 dev veth && ip address add 10.0.0.3/24 dev veth");
    within(NOTICED, "coming back", || fixture.agent.wait_line_after(lines, "is online"));
    fixture.hub.process.wait_line("is online from 10.0.0.3");
    fixture.alive();
}

#[test]
fn a_device_whose_nat_mapping_was_lost_reconnects_within_the_limit() {
    let [near, nat, far] = [(); 3].map(|()| NetNs::new());
    near.join(&nat, "10.0.0.1/24", "10.0.0.2/24", "veth");
    nat.join(&far, "192.168.0.1/24", "192.168.0.2/24", "lan");
    far.run("ip route add default via 192.168.0.1");
    nat.run("sysctl -qw net.ipv4.ip_forward=1 && iptables -t nat -A POSTROUTING -o veth -j MASQUERADE");
    // As a router drops packets without a mapping.
    nat.run("sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0");
    nat.run("iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP");
    let fixture = SeparateNetworks::on(near, far);
    let lines = fixture.agent.lines();
    nat.run("conntrack -F");
    within(2 * NOTICED, "coming back", || fixture.agent.wait_line_after(lines, "is online"));
    fixture.alive();
}
