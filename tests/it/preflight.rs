//! What a role says at its start about what its first connection would meet.

use std::net::TcpListener;

use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, ServiceProxy, pipe};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, SOON, poll, within};

#[test]
fn a_proxy_warns_at_its_start_about_a_wrong_device() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let proxy = ServiceProxy::start_with(&machine, "pi-24", "0", &[]);
    let line = proxy.process.wait_line("warning: pi-24: ");
    assert!(line.contains("no such device") && line.contains("`devstream devices`"), "{line}");
    let rdp = machine.start(&["rdp", "--no-client", "pi-24"]);
    rdp.wait_line("rdp: warning: pi-24: no such device");
}

#[test]
fn a_proxy_warns_at_its_start_about_an_offline_device() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.device_link(DEVICE);
    let proxy = ServiceProxy::start(&machine);
    let line = proxy.process.wait_line("warning: pi-42: the device is offline (it has not joined yet: on it, run the ");
    assert!(line.ends_with("that the hub printed)"), "{line}");
}

#[test]
fn a_device_that_never_joined_is_told_apart_from_one_that_is_offline() {
    let (machine, device) = (Machine::new(), Machine::new());
    let hub = Hub::start(&machine);
    let link = hub.device_link(DEVICE);
    for list in [&["devices"][..], &["hub", "device", "list"]] {
        assert!(machine.ask(list).contains("pi-42  not joined yet  -"), "{list:?}: {}", machine.ask(list));
    }
    assert!(machine.ask(&["devices", "--json"]).contains("\"joined\": false"));
    device.ask(&["join", &link]);
    for list in [&["devices"][..], &["hub", "device", "list"]] {
        assert!(machine.ask(list).contains("pi-42  offline  -"), "{list:?}: {}", machine.ask(list));
    }
    let proxy = ServiceProxy::start(&machine);
    proxy.process.wait_line("warning: pi-42: the device is offline (it has never been online)");
    hub.ask(&["device", "disable", DEVICE]);
    for list in [&["devices"][..], &["hub", "device", "list"]] {
        assert!(machine.ask(list).contains("pi-42  disabled  -"), "{list:?}: {}", machine.ask(list));
    }
    let proxy = ServiceProxy::start(&machine);
    proxy
        .process
        .wait_line("the device is offline (it is disabled at the hub: `devstream hub device enable pi-42` there)");
}

#[test]
fn a_proxy_warns_at_its_start_about_a_stream_that_the_device_does_not_offer() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let port = target.port;
    let _agent = Agent::start(&machine, &[&format!("ssh={port}"), &format!("metrics={port}")]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=wbe", &["--local", "0=ssh"]);
    let line = proxy.process.wait_line("warning: pi-42: ");
    assert!(
        line.contains("(asked for wbe; it offers this service: ssh, metrics)") && line.contains("--local PORT=NAME"),
        "{line}"
    );
    assert_eq!(proxy.process.errors().matches("warning").count(), 1, "{}", proxy.process);

    hub.link(&["service", "add", "alice", "--device", "*", "--stream", "metrics"]);
    let laptop = Machine::new();
    laptop.ask(&["join", &hub.link(&["service", "rotate", "alice"])]);
    let proxy = ServiceProxy::start(&laptop);
    let line = proxy.process.wait_line("warning: pi-42: ");
    assert!(
        line.contains("(asked for the device's first, which is for others; it offers this service: metrics)"),
        "{line}"
    );
    hub.ask(&["service", "set", "alice", "--stream", "db"]);
    for (local, asked) in [("0", "the device's first, which is for others"), ("0=ssh", "ssh")] {
        let line = ServiceProxy::start_with(&laptop, DEVICE, local, &[]).process.wait_line("warning: pi-42: ");
        let words = format!("(asked for {asked}; it offers this service: nothing); ask the hub's operator for access");
        assert!(line.contains(&words), "{line}");
    }

    let _any = RawDevice::accepting_any_name(RawClient::join(&hub.device_link("any")), &["web"]);
    // A page's URL comes with the hub's answer, after which nothing more does.
    let any = ServiceProxy::start_with(&machine, "any", "0=other", &["--local", "0"]);
    any.process.wait_line("open http://127.0.0.1:");
    any.process.signal("TERM");
    assert!(!any.process.finish().stderr.contains("warning"), "it takes any name");
}

#[test]
fn a_stream_that_is_a_web_page_has_its_url_printed() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("web={}", target.port), &format!("ssh={}", target.port)]);
    for local in ["0=web", "0"] {
        let proxy = ServiceProxy::start_with(&machine, DEVICE, local, &[]);
        proxy.process.wait_line(&format!("service-proxy: open http://127.0.0.1:{}/", proxy.port));
    }
    let plain = ServiceProxy::start_with(&machine, DEVICE, "0=ssh", &[]);
    is_alive(&mut plain.connect());
    assert!(!plain.process.errors().contains("http://"), "{}", plain.process);
}

#[test]
fn a_hub_that_is_down_delays_no_proxy_and_is_named() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let laptop = Machine::new();
    laptop.ask(&["join", &hub.service_link("alice")]);
    let port = hub.port;
    drop(hub);
    // Accepts connections in its backlog, and never answers.
    let silent = TcpListener::bind(("127.0.0.1", port)).expect("the hub's port is free");
    let proxy = within(SOON, "its start", || ServiceProxy::start(&laptop));
    drop(silent);
    let line = proxy.process.wait_line("warning: pi-42: ");
    assert!(line.contains("hub"), "{line}");
    let _hub = Hub::start_on(&machine, port, &[]);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    is_alive(&mut proxy.connect());
}

#[test]
fn an_agent_warns_at_its_start_about_a_target_where_nothing_listens() {
    let (machine, target, closed) = (Machine::new(), Target::echo(), closed_port());
    let _hub = Hub::start(&machine);
    let forwards = [&format!("ssh={closed}"), &format!("echo={}", target.port), &"web:8080".to_owned()];
    let agent = Agent::start(&machine, &forwards.map(String::as_str));
    agent.process.wait_line(&format!(
        "device-agent: warning: forward ssh: nothing listens on 127.0.0.1:{closed} (connection refused); streams to it \
         will be refused until it does"
    ));
    agent.process.wait_line("did you mean --forward web=8080?");
    assert!(!agent.process.errors().contains("forward echo"), "{}", agent.process);
    assert_eq!(target.connections(), 0, "a listener of this machine is not connected to");
}

#[test]
fn a_proxy_warns_at_its_start_about_a_target_where_nothing_listens_and_not_once_something_does() {
    let (machine, echo, closed) = (Machine::new(), Target::echo(), closed_port());
    let hub = Hub::start(&machine);
    let forwards = [format!("ssh={closed}"), format!("echo={}", echo.port)];
    let agent = Agent::start(&machine, &forwards.each_ref().map(String::as_str)).process;
    let is_dead = || machine.ask(&["devices", "--json"]).contains("deadTargets");
    let becomes_dead = |dead| within(SOON, "the report", || poll("the report", || (is_dead() == dead).then_some(())));
    becomes_dead(true);
    let warning = format!(
        "warning: pi-42 offers ssh, but nothing listens on 127.0.0.1:{closed} there; streams to it will be refused until \
         something does"
    );
    for local in ["0", "0=ssh"] {
        let proxy = ServiceProxy::start_with(&machine, DEVICE, local, &[]);
        proxy.process.wait_line(&format!("service-proxy: {warning}"));
    }
    for client in [&["--no-client"][..], &[]] {
        let rdp = machine.start(&[&["rdp", "--stream", "ssh", DEVICE], client].concat());
        rdp.wait_line(&format!("rdp: {warning}"));
    }
    // `ssh` opens its stream at once.
    let refused = pipe(&machine, DEVICE);
    let said = format!("the target refused the connection (127.0.0.1:{closed}: ");
    assert!(refused.stderr.contains(&said), "{refused:?}");

    // Who may not open it learns nothing of it.
    let bob = Machine::new();
    bob.ask(&["join", &hub.service_link_with("bob", &["--device", "*", "--stream", "echo"])]);
    let seen = bob.ask(&["devices", "--json"]);
    assert!(seen.contains("echo") && !seen.contains(&closed.to_string()), "{seen}");

    let listener = TcpListener::bind(("127.0.0.1", closed)).expect("its port");
    agent.wait_line(&format!("device-agent: forward ssh: 127.0.0.1:{closed} answers now"));
    becomes_dead(false);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=ssh", &["--local", "0"]);
    let _carried = proxy.connect();
    proxy.process.wait_line(": opened");
    assert!(!proxy.process.errors().contains("warning"), "{}", proxy.process);
    drop(listener);
    // A stream shows it too.
    drop(proxy.connect());
    becomes_dead(true);
}

#[test]
fn an_agent_before_it_has_joined_says_so_once_with_its_own_command() {
    let machine = Machine::new();
    let agent = Agent::launch(&machine, DEVICE, &["22"]);
    let line = agent.wait_line("this machine has not joined a hub");
    assert!(line.contains("`devstream hub device add pi-42`") && !line.contains("service add"), "{line}");
    assert!(line.ends_with("trying again in 1 s"), "{line}");
    let verbose = machine.start(&["-v", "device-agent", "--id", DEVICE, "--forward", "22"]);
    (0..4).fold(0, |lines, _| {
        verbose.wait_line_after(lines, "trying again in ");
        lines + 1
    });
    agent.signal("TERM");
    let finished = agent.finish();
    assert_eq!(finished.stderr.matches("trying again").count(), 1, "{finished:?}");
}

#[test]
fn a_second_agent_of_one_device_on_one_machine_ends_before_it_reaches_the_hub() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let first = Agent::start(&machine, &["22"]);
    let second = Agent::launch(&machine, DEVICE, &["22"]).finish();
    let here =
        format!("an agent of device pi-42 runs here already, process {}; stop that one first", first.process.id());
    assert!(second.code == Some(26) && second.stderr.contains(&here), "{second:?}");
    assert!(!hub.ask(&["logs"]).contains("deviceDisplaced"), "{}", hub.process);
    // Another device is no second one.
    let _other = Agent::start_as(&machine, "other", &["22"]);
}

#[test]
fn an_agent_that_another_one_displaces_names_its_process() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let first = Agent::start(&machine.hidden(), &["22"]);
    let second = Agent::start(&machine, &["22"]);
    let line = first.process.wait_line("another agent with the same id has connected");
    let process = format!("process {} on this machine; stop one of the two", second.process.id());
    assert!(line.contains(&process), "{line}");
}

#[test]
fn an_address_of_the_hub_is_said_once() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let address = hub.address();
    drop(hub);
    let agent = Process::start(device.command(DEVSTREAM).args(["device-agent", "--forward", "22"]));
    let line = agent.wait_line("the hub cannot be reached");
    assert_eq!(line.matches(&address).count(), 1, "{line}");
}
