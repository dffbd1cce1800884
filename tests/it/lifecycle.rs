//! Starting, stopping and restarting the roles in any order.

use std::io::read_to_string;
use std::net::Shutdown;
use std::process::Command;
use std::time::Duration;

use devstream::proto::admin::Identity;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::stream::CLOSE_NORMAL;

use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Process, children};
use crate::support::raw::{RawClient, RawDevice, StreamGrant};
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy, connect};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, SOON, poll, within};

#[test]
fn a_second_agent_with_the_same_id_takes_over() {
    let (first, second) = (Target::greeting_then_reading("first"), Target::greeting_then_reading("second"));
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let agent = Agent::start(&machine.hidden(), &[&format!("target={}", first.port)]);
    let proxy = ServiceProxy::start(&machine);
    assert_eq!(read_to_string(proxy.connect()).unwrap(), "first");
    let _second = Agent::start(&machine, &[&format!("target={}", second.port)]);
    agent.process.wait_line(RefusalKind::Displaced.row().sentence);
    assert_eq!(read_to_string(proxy.connect()).unwrap(), "second");
    let displaced = hub.wait_activity("deviceDisplaced", None);
    assert!(displaced.to_string().matches("127.0.0.1:").count() >= 2, "both addresses: {displaced}");
}

#[test]
fn an_agent_that_was_displaced_is_back_once_the_other_one_has_ended_and_not_before() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let first = Agent::start(&machine.hidden(), &["22"]);
    let second = Agent::start(&machine, &["22"]);
    first.process.wait_line(RefusalKind::Displaced.row().sentence);
    let verbose = hub.machine().hidden().start(&["-v", "device-agent", "--id", "other", "--forward", "22"]);
    verbose.wait_line("other is online");
    let other = Agent::start_as(&machine, "other", &["22"]);
    (0..3).fold(0, |lines, _| {
        verbose.wait_line_after(lines, "another agent with the same id has connected");
        verbose.lines()
    });
    assert!(!other.process.log().contains("another agent"), "it was left alone: {}", other.process);
    let lines = first.process.lines();
    second.process.signal("TERM");
    within(Duration::from_secs(35), "coming back", || first.process.wait_line_after(lines, "pi-42 is online"));
}

#[test]
fn a_running_agent_takes_up_another_identity_at_once() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &["22"]);
    hub.ask(&["device", "remove", DEVICE]);
    let line = agent.process.wait_line(RefusalKind::AuthenticationFailed.row().sentence);
    assert!(line.ends_with(" s, or at once if this agent is restarted"), "{line}");
    let lines = agent.process.lines();
    device.ask(&["join", &hub.device_link(DEVICE)]);
    within(SOON, "taking it up", || agent.process.wait_line_after(lines, "pi-42 is online"));
}

#[test]
fn a_device_whose_agent_is_ending_is_not_said_to_be_offline() {
    let target = Target::echo();
    let OneMachine { proxy, agent, hub, machine } = OneMachine::forwarding(target.port);
    let mut local = proxy.connect();
    is_alive(&mut local);
    agent.process.signal("TERM");
    agent.process.wait_line("device-agent: ending: 1 stream may go on for 30 s; a second SIGTERM ends it");
    let state = |text: String| {
        let line = text.lines().find(|line| line.starts_with(DEVICE)).map(str::to_owned);
        line.and_then(|line| line.split_whitespace().nth(1).map(str::to_owned))
    };
    for (on_the_hub, wanted) in [(false, "ending"), (true, "ending"), (false, "offline"), (true, "offline")] {
        if wanted == "offline" {
            // Once more is no harm.
            let _ = local.shutdown(Shutdown::Both);
        }
        poll(wanted, || {
            let text = if on_the_hub { hub.ask(&["device", "list"]) } else { machine.ask(&["devices"]) };
            (state(text)? == wanted).then_some(())
        });
    }
}

#[test]
fn a_device_with_a_stream_is_ending_only_if_its_agent_closed_its_connection() {
    let hub = Hub::start(&Machine::new());
    let (identity, alice) = (RawClient::join(&hub.device_link(DEVICE)), RawClient::join(&hub.service_link("alice")));
    let mut device = RawDevice::online(identity, &["ssh"]);
    let pending = alice.open("ssh", &[]);
    let request = device.request();
    device.accept(&request);
    let mut there = device.identity.attach(&StreamGrant::from(&request)).unwrap();
    let mut here = alice.attach(&pending.answer().grant()).unwrap();
    let is_ending = || {
        let listed = hub.json::<Vec<Identity>>(&["device", "list"]);
        listed[0].online.is_none().then_some(listed[0].ending)
    };
    let RawDevice { identity, control } = device;
    control.disconnect();
    drop(control);
    assert!(!poll("its loss", is_ending), "it may be back at any moment");
    let mut device = RawDevice::online(identity, &["ssh"]);
    device.control.close(CLOSE_NORMAL).unwrap();
    assert!(poll("its end", is_ending));
    here.bytes(b"still open").unwrap();
    assert_eq!(there.expect_bytes(10), b"still open");
}

#[test]
fn a_stream_that_outlasts_the_time_to_end_says_so_at_both_ends() {
    let (machine, target) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let forward = format!("target={}", target.port);
    let agent = || {
        let agent = machine.start(&["device-agent", "--id", DEVICE, "--forward", &forward, "--drain-timeout", "1"]);
        agent.wait_line("is online");
        agent
    };
    let over = "its 1 s for that are over";
    let told = format!("the program at the other end was told to end, and {over}");
    let (first, proxy) = (agent(), ServiceProxy::start_with(&machine, DEVICE, "0", &["--drain-timeout", "1"]));
    let mut local = proxy.connect();
    is_alive(&mut local);
    first.signal("TERM");
    first.wait_line(&format!("this program was told to end ({over})"));
    proxy.process.wait_line(&told);
    let second = agent();
    let mut local = proxy.connect();
    is_alive(&mut local);
    proxy.process.signal("TERM");
    proxy.process.wait_line(&format!("this program was told to end ({over})"));
    second.wait_line(&told);
}

#[test]
fn a_takeover_leaves_running_streams_alone() {
    let target = Target::echo();
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let agent = Agent::start(&machine.hidden(), &[&format!("target={}", target.port)]);
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let _second = Agent::start(&machine, &[&format!("target={}", target.port)]);
    agent.process.wait_line(RefusalKind::Displaced.row().sentence);
    is_alive(&mut local);
}

#[test]
fn the_agent_reconnects_when_the_hub_is_back() {
    let target = Target::echo();
    let OneMachine { proxy, agent, mut hub, machine } = OneMachine::forwarding(target.port);
    for _ in 0..2 {
        let lines = agent.process.lines();
        hub.process.kill();
        hub = Hub::start_on(&machine, hub.port, &[]);
        agent.process.wait_line_after(lines, "is online");
        is_alive(&mut proxy.connect());
    }
}

#[test]
fn an_agent_waits_for_a_hub_that_is_not_running_yet() {
    let target = Target::echo();
    let (hub_machine, device) = (Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let port = hub.port;
    drop(hub);
    let agent = Agent::launch(&device, DEVICE, &[&target.port.to_string()]);
    agent.wait_line(RefusalKind::HubUnreachable.row().sentence);
    let _hub = Hub::start_on(&hub_machine, port, &[]);
    agent.wait_line("is online");
    is_alive(&mut ServiceProxy::start(&hub_machine).connect());
}

#[test]
fn an_agent_with_nothing_configured_waits_for_this_users_hub() {
    let target = Target::echo();
    let machine = Machine::new();
    let agent = Agent::launch(&machine, DEVICE, &[&target.port.to_string()]);
    agent.wait_line(RefusalKind::NotJoined.row().sentence);
    let _hub = Hub::start(&machine);
    agent.wait_line("is online");
    is_alive(&mut ServiceProxy::start(&machine).connect());
}

#[test]
fn a_second_hub_on_one_state_directory_is_refused() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let second = machine.run(&["hub", "--listen", "127.0.0.1:0"]);
    assert!(second.code.is_some_and(|code| code > 0), "{second:?}");
    assert!(second.stderr.contains("another hub is running"), "{second:?}");
    let shown = hub.ask(&["show"]);
    assert!(shown.contains(&hub.address()), "the first one is still the one that answers: {shown}");
}

#[test]
fn a_hub_drains_its_streams_on_the_first_signal() {
    let target = Target::echo();
    let fixture = OneMachine::without_resume(target.port);
    let mut local = fixture.proxy.connect();
    is_alive(&mut local);
    fixture.hub.process.signal("TERM");
    fixture.hub.process.wait_line("hub: draining: 1 stream may go on for 30 s; a second SIGTERM ends it");
    for told in [&fixture.proxy.process, &fixture.agent.process] {
        told.wait_line("the hub is shutting down or restarting");
    }
    is_alive(&mut local);
    assert_eq!(drain(&mut fixture.proxy.connect()).end, StreamEnd::Reset, "no new streams");
    fixture.proxy.process.wait_line(RefusalKind::Draining.row().hint);
    drop(local);
    let finished = fixture.hub.process.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_hub_exits_at_once_on_the_second_signal() {
    let target = Target::echo();
    let fixture = OneMachine::without_resume(target.port);
    let mut local = fixture.proxy.connect();
    is_alive(&mut local);
    fixture.hub.process.signal("TERM");
    fixture.hub.process.wait_line("drain");
    fixture.hub.process.signal("TERM");
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
    let finished = fixture.hub.process.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_hub_drains_no_longer_than_it_may() {
    let target = Target::echo();
    let machine = Machine::new();
    let hub = Hub::start_with(&machine, &["--drain-timeout", "1", "--no-resume"]);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    is_alive(&mut local);
    hub.process.signal("TERM");
    let finished = hub.process.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
}

#[test]
fn agent_and_proxy_exit_on_a_signal() {
    let OneMachine { proxy, agent, hub, machine: _machine } = OneMachine::forwarding(closed_port());
    for process in [proxy.process, agent.process, hub.process] {
        process.signal("TERM");
        let finished = process.finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
}

#[test]
fn a_hub_keeps_its_registry_across_a_restart() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    hub.device_link("kept");
    hub.service_link("alice");
    let pin = shown(&hub)["pin"].clone();
    hub.process.kill();
    let hub = Hub::start(&machine);
    assert!(hub.ask(&["device", "list", "--json"]).contains("kept"));
    assert!(hub.ask(&["service", "list", "--json"]).contains("alice"));
    assert_eq!(shown(&hub)["pin"], pin);
}

#[test]
fn a_removed_device_is_disconnected_and_refused() {
    let target = Target::echo();
    let (hub_machine, device) = (Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &[&target.port.to_string()]);
    hub.ask(&["device", "remove", DEVICE]);
    hub.wait_activity("deviceDisconnected", None);
    agent.process.wait_line(RefusalKind::AuthenticationFailed.row().sentence);
    assert!(agent.process.is_running(), "it waits until it is let in again");
}

fn shown(hub: &Hub) -> serde_json::Value {
    serde_json::from_str(&hub.ask(&["show"])).unwrap()
}

#[test]
fn a_ctrl_c_for_another_command_does_not_end_a_proxy_that_a_script_started_in_the_background() {
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    // A shell without job control starts it with SIGINT and SIGQUIT ignored.
    let job = format!("{DEVSTREAM} service-proxy --device {DEVICE} --local 0=target & wait");
    let script = Process::start(fixture.machine.command("sh").args(["-c", &job]));
    let line = script.wait_line("pi-42/target on 127.0.0.1:");
    let id = children(script.id())[0];
    assert_eq!(ignored(id) & (1 << (2 - 1)), 1 << (2 - 1), "it handles SIGINT");
    send(id, "INT");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    is_alive(&mut connect(port));
    send(id, "TERM");
    script.wait_end();
}

#[test]
fn a_hub_under_nohup_stays_deaf_to_sighup() {
    let hub = Machine::new();
    let started = Process::start(hub.command("nohup").args([DEVSTREAM, "hub", "--listen", "127.0.0.1:0"]));
    started.wait_line("listening on");
    assert_eq!(ignored(started.id()) & 1, 1, "it handles SIGHUP");
}

#[test]
fn a_hub_names_the_file_and_the_address_that_it_cannot_use() {
    let machine = Machine::new();
    let state = machine.home().join("state");
    std::fs::create_dir_all(state.join("activity.jsonl")).unwrap();
    assert!(Command::new("chmod").args(["-R", "700"]).arg(&state).status().is_ok_and(|status| status.success()));
    let hub = ["hub", "--state-dir", &state.display().to_string(), "--listen"];
    let no_log = machine.run(&[&hub[..], &["127.0.0.1:0"]].concat());
    assert!(no_log.stderr.contains(&format!("activity log {}/activity.jsonl: ", state.display())), "{no_log:?}");
    let no_address = machine.run(&[&hub[..], &["192.0.2.1:8443"]].concat());
    assert!(no_address.stderr.contains("192.0.2.1:8443 (this machine has no such address"), "{no_address:?}");
}

/// The mask of a process's ignored signals.
fn ignored(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("the kernel says so");
    u64::from_str_radix(mask.trim(), 16).expect("a mask")
}

fn send(id: u32, signal: &str) {
    let line = format!("kill -s {signal} {id}");
    assert!(Command::new("sh").args(["-c", &line]).status().is_ok_and(|status| status.success()));
}

#[test]
fn a_proxy_that_is_told_to_end_says_what_it_waits_for_and_why_a_stream_ends() {
    let target = Target::echo();
    let OneMachine { proxy, agent, hub: _hub, machine: _machine } = OneMachine::forwarding(target.port);
    let mut local = proxy.connect();
    is_alive(&mut local);
    proxy.process.signal("INT");
    proxy.process.wait_line("service-proxy: ending: 1 stream may go on for 30 s; Ctrl-C again ends it");
    is_alive(&mut local);
    proxy.process.signal("INT");
    let line = proxy.process.wait_line(": ended by Ctrl-C; up ");
    assert!(line.contains("pi-42 #1 from "), "{line}");
    let finished = proxy.process.finish();
    assert!(finished.code == Some(0) && finished.stderr.ends_with("service-proxy: stopped\n"), "{finished:?}");
    agent.process.wait_line("the other end has disconnected");
}

#[test]
fn an_agent_that_is_told_to_end_says_what_it_waits_for_and_goodbye() {
    let target = Target::echo();
    let OneMachine { proxy, agent, hub: _hub, machine: _machine } = OneMachine::forwarding(target.port);
    let mut streams = [(); 2].map(|()| proxy.connect());
    streams.iter_mut().for_each(is_alive);
    agent.process.signal("INT");
    agent.process.wait_line("device-agent: ending: 2 streams may go on for 30 s; Ctrl-C again ends them");
    agent.process.signal("INT");
    agent.process.wait_line("this program was told to end");
    let finished = agent.process.finish();
    assert!(finished.stderr.ends_with("device-agent: stopped; pi-42 is offline\n"), "{finished:?}");
}
