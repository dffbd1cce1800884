//! Refusals: on the proxy's stderr, in time, and in the hub's activity log.

use std::io::Read as _;
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::refusal::{Refusal, RefusalKind};

use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy, ThreeMachines, connect};
use crate::support::sshd::Sshd;
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, poll};

#[test]
fn an_unknown_device_is_named() {
    let (machine, hub) = hub();
    let proxy = ServiceProxy::start_with(&machine, "nobody", "0", &[]);
    assert_refused(&hub, &proxy, proxy.port, RefusalKind::UnknownDevice, "");
}

#[test]
fn a_device_that_was_never_online_is_offline() {
    let (machine, hub) = hub();
    hub.device_link(DEVICE);
    let proxy = ServiceProxy::start(&machine);
    let said = "run the `devstream join` command that the hub printed)";
    assert_refused(&hub, &proxy, proxy.port, RefusalKind::DeviceOffline, said);
}

#[test]
fn a_device_whose_agent_ended_is_offline() {
    let fixture = OneMachine::forwarding(closed_port());
    fixture.agent.process.kill();
    fixture.hub.wait_activity("deviceDisconnected", None);
    assert_refused(&fixture.hub, &fixture.proxy, fixture.proxy.port, RefusalKind::DeviceOffline, "");
}

#[test]
fn an_offline_device_is_waited_for_if_asked_to() {
    let target = Target::echo();
    let (machine, hub) = hub();
    hub.device_link(DEVICE);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["--connect-timeout", "50"]);
    let mut local = proxy.connect();
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    is_alive(&mut local);
}

#[test]
fn a_local_port_without_a_stream_opens_the_one_of_the_stream_flag() {
    let target = Target::echo();
    let (machine, _hub) = hub();
    let _agent = Agent::start(&machine, &[&format!("ssh={}", closed_port()), &format!("web={}", target.port)]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=ssh", &["--stream", "web", "--local", "0"]);
    is_alive(&mut connect(proxy.port_for(DEVICE, "0=web")));
    drop(proxy.connect());
    proxy.process.wait_line(RefusalKind::TargetRefused.row().sentence);
}

#[test]
fn who_chose_how_long_to_wait_for_a_device_is_not_advised_to_wait() {
    let (machine, hub) = hub();
    let link = hub.device_link(DEVICE);
    let open = || machine.run(&["service-proxy", DEVICE, "--stdio", "--connect-timeout", "0"]);
    // No agent of a device that has not joined, or is disabled, can be waited for or looked after.
    let wanted = "service-proxy: the device is offline (it has not joined yet: on it, run the `devstream join` command that \
                  the hub printed)\n";
    let finished = open();
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(11), wanted));
    Machine::new().ask(&["join", &link]);
    assert!(open().stderr.ends_with("; check that its agent is running\n"));
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["--connect-timeout", "0.1"]);
    drop(proxy.connect());
    let line = proxy.process.wait_line("pi-42: the device is offline");
    assert!(line.ends_with("; check that its agent is running"), "{line}");
    hub.ask(&["device", "disable", DEVICE]);
    let finished = machine.run(&["service-proxy", DEVICE, "--stdio"]);
    assert!(finished.stderr.ends_with("`devstream hub device enable pi-42` there)\n"), "{finished:?}");
}

#[test]
fn a_stream_name_that_is_not_offered_is_answered_with_those_that_are() {
    let target = Target::echo();
    let (machine, hub) = hub();
    let port = target.port;
    let _agent = Agent::start(&machine, &[&format!("ssh={port}"), &format!("metrics={port}")]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=web", &["--local", "0=ssh"]);
    assert_refused(&hub, &proxy, proxy.port, RefusalKind::StreamNotOffered, ": ssh, metrics)");
    is_alive(&mut connect(proxy.port_for(DEVICE, "0=ssh")));
}

#[test]
fn a_closed_target_port_is_named_within_a_second() {
    let target = closed_port();
    let fixture = OneMachine::forwarding(target);
    let start = clock::now();
    assert_reset(fixture.proxy.port);
    let elapsed = clock::now() - start;
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    assert_refused(&fixture.hub, &fixture.proxy, fixture.proxy.port, RefusalKind::TargetRefused, &target.to_string());
}

#[test]
fn a_devices_own_reason_is_relayed_without_terminal_escapes() {
    let (machine, hub) = hub();
    let mut device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
    let rejecting = thread::spawn(move || {
        let request = device.request();
        device.reject(&request, Refusal::new(RefusalKind::RejectedByDevice, "closed for\x1b[2J repairs"));
        device
    });
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
    let line = proxy.process.wait_line(RefusalKind::RejectedByDevice.row().sentence);
    assert!(line.contains("closed for") && line.contains("repairs") && !line.contains('\x1b'), "{line:?}");
    hub.wait_activity("invoke", Some(RefusalKind::RejectedByDevice.row().label));
    drop(rejecting.join().unwrap());
}

#[test]
fn a_device_that_does_not_respond_is_timed_out() {
    let target = Target::echo();
    let (machine, hub) = hub();
    let agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["--response-timeout", "2"]);
    agent.process.signal("STOP");
    let start = clock::now();
    assert_refused(&hub, &proxy, proxy.port, RefusalKind::HandshakeTimedOut, "");
    let elapsed = clock::now() - start;
    assert!(elapsed >= Duration::from_secs(2) && elapsed < Duration::from_secs(10), "{elapsed:?}");
    agent.process.signal("CONT");
    is_alive(&mut proxy.connect());
}

#[test]
fn an_unreachable_hub_is_reported_and_the_proxy_keeps_running() {
    let target = Target::echo();
    let OneMachine { proxy, agent, hub, machine } = OneMachine::forwarding(target.port);
    let laptop = Machine::new();
    laptop.ask(&["join", &hub.service_link("alice")]);
    let afar = ServiceProxy::start(&laptop);
    let lines = agent.process.lines();
    hub.process.kill();
    for proxy in [&proxy, &afar] {
        assert_reset(proxy.port);
        proxy.process.wait_line(RefusalKind::HubUnreachable.row().sentence);
    }
    let _hub = Hub::start_on(&machine, hub.port, &[]);
    agent.process.wait_line_after(lines, "is online");
    is_alive(&mut proxy.connect());
    is_alive(&mut afar.connect());
}

#[test]
fn stdio_exits_with_the_reasons_code_and_prints_the_reason_last() {
    let (machine, hub) = hub();
    hub.device_link(DEVICE);
    for (device, kind) in [("nobody", RefusalKind::UnknownDevice), (DEVICE, RefusalKind::DeviceOffline)] {
        let finished = machine.run(&["service-proxy", "--device", device, "--stdio"]);
        assert_eq!(finished.code, Some(kind.row().exit.into()), "{finished:?}");
        assert!(finished.stderr.lines().next_back().unwrap().contains(kind.row().sentence), "{finished:?}");
        assert_eq!(finished.stdout, "");
    }
}

#[test]
fn an_identity_that_is_refused_reads_its_name_and_the_command_that_helps() {
    let ThreeMachines { hub, device: _device, laptop, agent, proxy } =
        ThreeMachines::forwarding(Target::echo().port, &["--device", "*"]);
    hub.ask(&["device", "disable", DEVICE]);
    let line = agent.process.wait_line("this identity is disabled on the hub (device pi-42); ");
    assert!(line.contains("enable it again: devstream hub device enable pi-42; trying again"), "{line}");
    let refused = |code: u8, why: &str, next: &str| {
        let asked = [&["devices"][..], &["service-proxy", DEVICE, "--stdio"], &["check"]];
        for command in asked {
            let finished = laptop.run(command);
            let said = format!("{}{}", finished.stdout, finished.stderr);
            assert_eq!(finished.code, Some(code.into()), "{command:?}: {finished:?}");
            assert!(said.contains(why) && said.contains(next), "{command:?}: {finished:?}");
        }
    };
    hub.ask(&["service", "disable", "alice"]);
    refused(31, "this identity is disabled on the hub (service alice)", "again: devstream hub service enable alice\n");
    hub.ask(&["service", "enable", "alice"]);
    hub.ask(&["service", "set", "alice", "--for", "1s"]);
    poll("the end of its access", || (laptop.run(&["devices"]).code == Some(32)).then_some(()));
    let next = "the hub's operator can extend it: devstream hub service set alice --for 8h\n";
    refused(32, "this service's access has expired (service alice)", next);
    drop(connect(proxy.port));
    proxy.process.wait_line(next.trim_end());
    hub.ask(&["service", "remove", "alice"]);
    let next = "(on the hub: devstream hub service rotate alice, or if it was removed: devstream hub service add alice --device GLOB)";
    refused(21, "the hub rejected this identity's key (service alice)", next);
}

#[test]
fn a_stream_that_ends_with_its_services_access_names_the_service() {
    let target = Target::echo();
    let ThreeMachines { hub, device: _device, laptop: _laptop, agent, proxy } =
        ThreeMachines::forwarding(target.port, &["--device", "*"]);
    is_alive(&mut proxy.connect());
    let mut local = proxy.connect();
    is_alive(&mut local);
    hub.ask(&["service", "set", "alice", "--for", "1s"]);
    let line = proxy.process.wait_line("this service's access has expired (service alice)");
    assert!(line.contains("devstream hub service set alice --for 8h"), "{line}");
    agent.process.wait_line("this service's access has expired (service alice)");
}

#[test]
fn the_user_of_ssh_sees_the_reason() {
    let (machine, hub) = hub();
    hub.device_link(DEVICE);
    let sshd = Sshd::start();
    let mut ssh = sshd.client(&machine, "ssh");
    ssh.args(["-o", &format!("ProxyCommand={DEVSTREAM} service-proxy --device %n --stdio"), DEVICE, "true"]);
    let finished = Process::start(&mut ssh).finish();
    assert_eq!(finished.code, Some(255));
    assert!(finished.stderr.contains(RefusalKind::DeviceOffline.row().sentence), "{finished:?}");
}

fn hub() -> (Machine, Hub) {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    (machine, hub)
}

/// Asserts that the local connection is reset, and that the proxy and the activity log have the reason.
fn assert_refused(hub: &Hub, proxy: &ServiceProxy, port: u16, kind: RefusalKind, particulars: &str) {
    assert_reset(port);
    let line = proxy.process.wait_line(kind.row().sentence);
    assert!(line.contains(particulars), "{line}");
    // Details that name a command are the next step themselves.
    assert_eq!(line.contains(kind.row().hint), !particulars.contains("`devstream "), "{line}");
    let entry = hub.wait_activity("invoke", Some(kind.row().label));
    assert!(entry["properties"]["deviceId"].is_string() && entry["properties"]["serviceId"].is_string(), "{entry}");
}

fn assert_reset(port: u16) {
    let mut local = connect(port);
    // Unlike `read`, not ended by a signal to the tests.
    let read = local.read_exact(&mut [0]);
    assert!(read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset), "{read:?}");
}
