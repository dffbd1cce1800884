//! Faults of the network between a hub and a device.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::limits::TARGET_TIMEOUT;
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{KIB, StreamEnd, drain, echo_round_trip};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, TIMEOUT, within};

/// A hub and an operator in one network namespace, a device with an echo target in another.
struct Fixture {
    _target: Target,
    agent: Agent,
    proxy: ServiceProxy,
    hub: Hub,
    _device: Machine,
    near: NetNs,
    far: NetNs,
}

impl Fixture {
    /// Creates two networks with one cable between them.
    fn new() -> Self {
        let [near, far] = NetNs::two();
        Self::on(near, far, "10.0.0.1", &[])
    }

    /// Starts all roles, with the hub at this address.
    fn on(near: NetNs, far: NetNs, host: &str, arguments: &[&str]) -> Self {
        let (hub_machine, device) = (near.machine(), far.machine());
        let hub = Hub::start_at(&hub_machine, &format!("{host}:0"), &[&["--hostname", host], arguments].concat());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        let target = far.enter(Target::echo);
        let agent = Agent::start(&device, &[&target.port.to_string()]);
        let proxy = ServiceProxy::start(&hub_machine);
        Self { _target: target, agent, proxy, hub, _device: device, near, far }
    }

    fn connect(&self) -> TcpStream {
        self.near.enter(|| self.proxy.connect())
    }

    /// Reports whether no role had to reconnect.
    fn stayed_connected(&self) -> bool {
        !self.agent.process.log().contains("trying again")
    }
}

#[test]
fn a_tenth_of_all_packets_lost_each_way_loses_no_byte_and_no_connection() {
    let fixture = Fixture::new();
    let local = fixture.connect();
    // A tenth each way is a fifth of the round trips.
    for netns in [&fixture.near, &fixture.far] {
        netns.run("iptables -A INPUT -i veth -m statistic --mode random --probability 0.1 -j DROP");
    }
    echo_round_trip(&local, 3, 256 * KIB);
    assert!(fixture.stayed_connected(), "{}", fixture.agent.process);
    let dropped = fixture.near.run("iptables -L INPUT -v -n -x");
    let dropped: u64 = dropped.lines().nth(2).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    assert!(dropped > 10, "only {dropped} packets were lost");
}

#[test]
fn a_network_outage_of_three_seconds_breaks_no_stream() {
    let fixture = Fixture::new();
    let mut local = fixture.connect();
    is_alive(&mut local);
    fixture.far.run("ip link set veth down");
    local.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    local.write_all(b"hello").unwrap();
    assert_eq!(drain(&mut local).end, StreamEnd::Stalled, "nothing comes back");
    fixture.far.run("ip link set veth up");
    local.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut answer = [0; 5];
    local.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"hello");
    is_alive(&mut local);
    assert!(fixture.stayed_connected(), "{}", fixture.agent.process);
}

#[test]
fn a_lost_nat_mapping_is_detected_by_the_hub_at_once() {
    let [near, nat, far] = [(); 3].map(|()| NetNs::new());
    near.join(&nat, "10.0.0.1/24", "10.0.0.2/24", "veth");
    nat.join(&far, "192.168.0.1/24", "192.168.0.2/24", "lan");
    far.run("ip route add default via 192.168.0.1");
    nat.run("sysctl -qw net.ipv4.ip_forward=1 && iptables -t nat -A POSTROUTING -o veth -j MASQUERADE");
    let fixture = Fixture::on(near, far, "10.0.0.1", &["--no-resume"]);
    let mut local = fixture.connect();
    is_alive(&mut local);
    // Otherwise the device's next packet would renew the mapping.
    nat.run("iptables -A FORWARD -i lan -j DROP && conntrack -F");
    // The NAT itself answers packets of a connection without a mapping: an acknowledgement of the hub's may have been the
    // first.
    let _ = local.write_all(b"hello");
    within(AT_ONCE, "the reset", || assert_eq!(drain(&mut local).end, StreamEnd::Reset));
    assert_eq!(drain(&mut fixture.connect()).end, StreamEnd::Reset);
    fixture.hub.wait_activity("deviceDisconnected", None);
}

#[test]
fn a_filtered_target_is_named_within_its_time() {
    let fixture = Fixture::new();
    is_alive(&mut fixture.connect());
    fixture.far.run("iptables -A INPUT -i lo -p tcp --syn -j DROP");
    let start = clock::now();
    assert_eq!(drain(&mut fixture.connect()).end, StreamEnd::Reset);
    let took = clock::now() - start;
    assert!(took >= TARGET_TIMEOUT && took < TARGET_TIMEOUT + 3 * AT_ONCE, "{took:?}");
    fixture.proxy.process.wait_line(RefusalKind::TargetTimedOut.row().sentence);
    fixture.hub.wait_activity("invoke", Some(RefusalKind::TargetTimedOut.row().label));
    assert!(fixture.stayed_connected(), "{}", fixture.agent.process);
    fixture.far.run("iptables -F INPUT");
    is_alive(&mut fixture.connect());
}

#[test]
fn everything_works_over_ipv6_alone() {
    let [near, far] = NetNs::two();
    for (netns, address) in [(&near, "fd00::1"), (&far, "fd00::2")] {
        netns.run(&format!("ip address flush dev veth && ip address add {address}/64 dev veth nodad"));
    }
    let fixture = Fixture::on(near, far, "[fd00::1]", &[]);
    is_alive(&mut fixture.connect());
}

#[test]
fn an_address_that_vanishes_and_comes_back_still_listens() {
    let [near, far] = NetNs::two();
    let fixture = Fixture::on(near, far, "10.0.0.1", &[]);
    fixture.near.run("ip address add 10.0.0.3/24 dev veth");
    let proxy = ServiceProxy::start_with(fixture.hub.machine(), DEVICE, "10.0.0.3:0", &[]);
    let reach = || fixture.near.enter(|| TcpStream::connect_timeout(&([10, 0, 0, 3], proxy.port).into(), AT_ONCE));
    is_alive(&mut reach().unwrap());
    fixture.near.run("ip address del 10.0.0.3/24 dev veth");
    assert!(reach().is_err());
    fixture.near.run("ip address add 10.0.0.3/24 dev veth");
    is_alive(&mut reach().unwrap());
}

#[test]
fn a_privileged_port_is_refused_with_advice() {
    let netns = NetNs::new();
    netns.run("sysctl -qw net.ipv4.ip_unprivileged_port_start=1024");
    let machine = netns.machine();
    let setpriv = ["--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"];
    let mut command = machine.command("setpriv");
    command.args(setpriv).arg(DEVSTREAM).args(["hub", "--listen", "127.0.0.1:443"]);
    let finished = Process::start(&mut command).finish();
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains("127.0.0.1:443"), "{finished:?}");
}
