//! Wrong clocks, under libfaketime: only certificates and displayed times depend on them.

use std::fs;
use std::net::TcpStream;

use devstream::net::os::clock::now_rfc3339;
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::drain;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, SOON, within};

#[test]
fn a_day_more_or_less_on_any_machine_changes_nothing() {
    let target = Target::echo();
    for by in ["+1d", "-1d"] {
        for who in 0..3 {
            let machine = |number| if who == number { Machine::new().off_by(by) } else { Machine::new() };
            let [hub_machine, device, laptop] = [machine(0), machine(1), machine(2)];
            let hub = Hub::start(&hub_machine);
            device.ask(&["join", &hub.device_link(DEVICE)]);
            laptop.ask(&["join", &hub.service_link("alice")]);
            let _agent = Agent::start(&device, &[&target.port.to_string()]);
            is_alive(&mut ServiceProxy::start(&laptop).connect());
            let noted = hub.wait_activity("invoke", Some("accepted"))["time"].to_string();
            assert_eq!(noted.contains(&now_rfc3339()[..10]), who != 0, "the hub's day: {noted}");
        }
    }
}

#[test]
fn a_clock_that_is_years_ahead_is_reported_as_the_cause() {
    let hub = Hub::start(&Machine::new());
    let finished = Machine::new().off_by("+20y").run(&["join", &hub.device_link(DEVICE)]);
    assert_eq!(finished.code, Some(RefusalKind::ClockOrInspection.row().exit.into()), "{finished:?}");
    assert!(finished.stderr.contains(RefusalKind::ClockOrInspection.row().hint), "{finished:?}");
}

#[test]
fn a_hub_that_started_with_a_wrong_clock_lets_machines_in_soon_after_the_clock_is_set() {
    for wrong in ["-10y", "+10y"] {
        let (machine, offset) = Machine::with_settable_clock(wrong);
        let hub = Hub::start(&machine);
        fs::write(&offset, "+0").unwrap();
        hub.process.wait_line("renewed the hub's own certificate");
        let device = Machine::new();
        device.ask(&["join", &hub.device_link(DEVICE)]);
    }
}

#[test]
fn a_hubs_clock_that_is_set_back_ends_no_stream_and_keeps_nobody_out() {
    let mut stepped = SteppedHub::new("+2d", "+0");
    stepped.hub.process.wait_line("renewed the hub's own certificate");
    is_alive(&mut stepped.local);
    is_alive(&mut stepped.proxy.connect());
    Machine::new().ask(&["join", &stepped.hub.service_link("bob")]);
}

#[test]
fn access_ends_by_the_new_time_when_the_hubs_clock_is_set() {
    let mut stepped = SteppedHub::new("+0", "+2h");
    within(SOON, "the end of the stream", || drain(&mut stepped.local));
    stepped.proxy.process.wait_line(RefusalKind::AccessEnded.row().sentence);
}

/// A hub whose clock is set from one offset to another while a service with access for an hour has a stream.
struct SteppedHub {
    hub: Hub,
    proxy: ServiceProxy,
    local: TcpStream,
    _agent: Agent,
    _target: Target,
}

impl SteppedHub {
    fn new(before: &str, after: &str) -> Self {
        let target = Target::echo();
        let ((machine, offset), device, laptop) =
            (Machine::with_settable_clock(before), Machine::new(), Machine::new());
        let hub = Hub::start(&machine);
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link_with("alice", &["--device", "*", "--for", "1h"])]);
        let agent = Agent::start(&device, &[&target.port.to_string()]);
        let proxy = ServiceProxy::start(&laptop);
        let mut local = proxy.connect();
        is_alive(&mut local);
        fs::write(&offset, after).unwrap();
        Self { hub, proxy, local, _agent: agent, _target: target }
    }
}
