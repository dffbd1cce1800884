//! Targets with habits, and handshakes of which one half is missing.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{Observed, StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy};
use crate::support::targets::Target;
use crate::support::{DEVICE, within};

/// A handshake may take this long …
const HANDSHAKE: [&str; 2] = ["--handshake-timeout", "1"];

/// … and what ends because of that, ends within this.
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
    assert_eq!(alice.bring(&grant).err().map(|answer| answer.status), Some(401), "the token is void");
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

fn hub() -> (Machine, Hub) {
    let machine = Machine::new();
    let hub = Hub::start_with(&machine, &HANDSHAKE);
    (machine, hub)
}
