//! Three homes as three machines, one pasted command on two of them, and trust by the pin alone.

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::sshd::Sshd;
use crate::support::targets::{Target, closed_port, is_alive};

#[test]
fn one_pasted_command_per_machine_and_ssh_works() {
    let sshd = Sshd::start();
    let (hub_machine, device, laptop) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    // As pasted at a prompt.
    let mut join = laptop.command(DEVSTREAM);
    let finished =
        Process::start_with_input(join.arg("join"), format!("{}\n", hub.service_link("alice")).into()).finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");

    let agent = device.start(&["device-agent", "--forward", &format!("ssh={}", sshd.port)]);
    agent.wait_line(&format!("device-agent: {DEVICE} is online"));
    let proxy = ServiceProxy::start(&laptop);
    let mut ssh = sshd.ssh(&laptop, proxy.port, "cat");
    let finished = Process::start_with_input(&mut ssh, b"from afar\n".into()).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("from afar\n", Some(0)), "{finished:?}");
    let invoked = hub.wait_activity("invoke", Some("accepted"));
    assert_eq!(invoked["properties"]["serviceId"], "alice", "{invoked}");
}

#[test]
fn a_join_link_works_once() {
    let (hub_machine, device, thief) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    let link = hub.device_link(DEVICE);
    device.ask(&["join", &link]);
    let finished = thief.run(&["join", &link]);
    assert!(finished.code.is_some_and(|code| code > 0), "{finished:?}");
    let _agent = Agent::start(&device, &[&closed_port().to_string()]);
}

#[test]
fn another_hubs_certificate_is_refused_with_a_message() {
    let [own_machine, other_machine, device, laptop] = [(); 4].map(|()| Machine::new());
    let (own, other) = (Hub::start(&own_machine), Hub::start(&other_machine));
    device.ask(&["join", &own.device_link(DEVICE)]);
    laptop.ask(&["join", &own.service_link("alice")]);
    other.device_link(DEVICE);
    let row = RefusalKind::CertificateNotTrusted.row();

    let agent = device.start(&["device-agent", "--forward", "22", "--hub", &other.address()]);
    let line = agent.wait_line(row.sentence);
    assert!(line.contains("another authority") && line.contains(row.hint), "{line}");
    let finished = laptop.run(&["service-proxy", "--device", DEVICE, "--stdio", "--hub", &other.address()]);
    assert_eq!(finished.code, Some(row.exit.into()), "{finished:?}");
    assert!(finished.stderr.contains(row.sentence), "{finished:?}");
    assert!(agent.is_running(), "it waits for its own hub to come back");
}

#[test]
fn a_device_may_not_open_streams_and_a_service_may_not_be_a_device() {
    let (hub_machine, device, laptop) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let as_service = device.run(&["service-proxy", "--device", DEVICE, "--stdio"]);
    assert!(as_service.code.is_some_and(|code| code > 0), "{as_service:?}");
    let as_device = laptop.start(&["device-agent", "--forward", "22"]);
    assert_eq!(as_device.find_line(0, "is online", std::time::Duration::from_secs(2)), None);
}

#[test]
fn a_hub_at_a_new_address_is_reached_with_its_old_pin() {
    let target = Target::echo();
    let (hub_machine, device) = (Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    drop(hub);
    let hub = Hub::start(&hub_machine);
    let agent = device.start(&["device-agent", "--forward", &target.port.to_string(), "--hub", &hub.address()]);
    agent.wait_line("is online");
    is_alive(&mut ServiceProxy::start(&hub_machine).connect());
}
