//! Unusual targets, and handshakes that one side does not complete.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{Observed, StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, within};

/// The handshake timeout …
const HANDSHAKE: [&str; 2] = ["--handshake-timeout", "1"];

/// … and the time limit for its consequences.
const IN_TIME: Duration = Duration::from_secs(5);

#[test]
fn a_target_that_closes_at_once_is_a_clean_end() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fixture = OneMachine::forwarding(listener.local_addr().unwrap().port());
    thread::spawn(move || listener.incoming().for_each(drop));
    for _ in 0..20 {
        assert_eq!(drain(&mut fixture.proxy.connect()), Observed { bytes: 0, end: StreamEnd::Eof });
    }
}

#[test]
fn a_service_that_never_brings_its_stream_frees_the_devices_target_in_time() {
    let target = Target::echo();
    let (machine, hub) = hub();
    let _agent = Agent::start(&machine, &[&format!("ssh={}", target.port)]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let grant = alice.open("ssh", &[]).answer().grant();
    within(IN_TIME, "the target's end", || assert_eq!(target.seen().end, StreamEnd::Reset));
    hub.wait_activity("invoke", Some(RefusalKind::HandshakeTimedOut.row().label));
    assert_eq!(alice.attach(&grant).err().map(|answer| answer.status), Some(401), "the token is void");
}

#[test]
fn a_device_that_accepts_and_never_brings_its_stream_resets_the_service_in_time() {
    let (machine, hub) = hub();
    let device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
    let requests = device.accepting();
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    within(IN_TIME, "the reset", || assert_eq!(drain(&mut local).end, StreamEnd::Reset));
    assert_eq!(requests.try_iter().count(), 1);
    proxy.process.wait_line(RefusalKind::HandshakeTimedOut.row().sentence);
    hub.wait_activity("invoke", Some(RefusalKind::HandshakeTimedOut.row().label));
}

#[test]
fn a_target_name_whose_first_address_is_dead_connects_well_within_its_time() {
    let netns = NetNs::new();
    // getent leaves out a family that has no address but the loopback's.
    netns.run("ip address add 192.0.2.1 dev lo && ip address add 2001:db8::1/64 dev lo nodad");
    netns.run("ip6tables -A OUTPUT -d 2001:db8::9 -j DROP");
    let hosts = r"127.0.0.1 localhost\n2001:db8::9 target.test\n127.0.0.1 target.test\n";
    netns.run(&format!(
        "mount -t tmpfs names /mnt && printf '{hosts}' > /mnt/hosts && mount --bind /mnt/hosts /etc/hosts"
    ));
    let order = netns.run("getent ahosts target.test");
    assert!(
        order.starts_with("2001:db8::9 ") && order.contains("\n127.0.0.1 "),
        "the dead address comes first: {order}"
    );
    let (machine, target) = (netns.machine(), netns.enter(Target::echo));
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("ssh=target.test:{}", target.port)]);
    let proxy = ServiceProxy::start(&machine);
    within(3 * AT_ONCE, "the stream", || is_alive(&mut netns.enter(|| proxy.connect())));
}

#[test]
fn a_service_that_listens_on_the_other_loopback_address_only_is_reached() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let fixture = OneMachine::forwarding(port);
    thread::spawn(move || listener.incoming().for_each(drop));
    assert_eq!(drain(&mut fixture.proxy.connect()), Observed { bytes: 0, end: StreamEnd::Eof });
}

fn hub() -> (Machine, Hub) {
    let machine = Machine::new().plain();
    let hub = Hub::start_with(&machine, &HANDSHAKE);
    (machine, hub)
}
