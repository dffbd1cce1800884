//! Name resolution: failures, and dead addresses.

use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, within};
use devstream::proto::refusal::RefusalKind;

const NAME: &str = "hub.test";

/// A hub with a name, and a device that is enrolled at it; then the name resolves differently.
struct Fixture {
    _target: Target,
    agent: Process,
    hub: Hub,
    device: Machine,
    near: NetNs,
    far: NetNs,
}

impl Fixture {
    fn new(then: &str) -> Self {
        let [near, far] = NetNs::two();
        far.run("mount -t tmpfs names /mnt && touch /mnt/hosts && mount --bind /mnt/hosts /etc/hosts");
        let hub = Hub::start_at(&near.machine(), "10.0.0.1:0", &["--hostname", NAME]);
        let device = far.machine();
        name(&far, "10.0.0.1");
        device.ask(&["join", &hub.device_link(DEVICE)]);
        name(&far, then);
        let target = far.enter(Target::echo);
        let agent = Agent::launch(&device.hidden(), DEVICE, &[&target.port.to_string()]);
        Self { _target: target, agent, hub, device, near, far }
    }

    fn works(&self) {
        self.agent.wait_line("is online");
        let proxy = ServiceProxy::start(self.hub.machine());
        is_alive(&mut self.near.enter(|| proxy.connect()));
    }
}

#[test]
fn an_unresolvable_name_is_reported_and_retried() {
    let fixture = Fixture::new("");
    let line = fixture.agent.wait_line(RefusalKind::HubUnreachable.row().sentence);
    assert!(line.contains("cannot resolve hub.test") && line.contains("trying again"), "{line}");
    name(&fixture.far, "10.0.0.1");
    fixture.works();
}

#[test]
fn dead_addresses_of_the_hub_cost_little_time() {
    let fixture = Fixture::new("");
    // Several of both families: each would cost its six seconds, if they were waited for.
    fixture.far.run("ip address add fd00::2/64 dev veth nodad");
    for (program, address) in [("iptables", "10.0.0.9"), ("ip6tables", "fd00::8"), ("ip6tables", "fd00::9")] {
        fixture.far.run(&format!("{program} -A OUTPUT -d {address} -j DROP"));
    }
    name(&fixture.far, "fd00::8 fd00::9 10.0.0.9 10.0.0.1");
    let agent = Agent::launch(&fixture.device, DEVICE, &["22"]);
    within(3 * AT_ONCE, "the first connection", || agent.wait_line("is online"));
}

/// Makes the hub's name resolve to these addresses in a namespace, or to none.
fn name(netns: &NetNs, addresses: &str) {
    let lines: Vec<_> = addresses.split_whitespace().map(|address| format!("{address} {NAME}")).collect();
    netns.run(&format!("printf '127.0.0.1 localhost\n{}\n' > /etc/hosts", lines.join("\n")));
}
