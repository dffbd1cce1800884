//! Wrong clocks, under libfaketime: only certificates and displayed times depend on them.

use devstream::net::os::clock::now_rfc3339;
use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};

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
