//! Disabling, enabling, removing and rotating identities: each affects open connections.

use devstream::proto::admin::Identity;
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, ServiceProxy, ThreeMachines, assert_is, pipe};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, SOON, poll, within};

const EVERYTHING: &[&str] = &["--device", "*"];

#[test]
fn a_disabled_device_is_disconnected_at_once_and_reconnects_when_enabled() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent, laptop, device, hub } = ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let lines = agent.process.lines();

    within(AT_ONCE, "the control connection's end", || {
        hub.ask(&["device", "disable", DEVICE]);
        agent.process.wait_line_after(lines, &format!("{DEVICE}: {}", RefusalKind::Disabled.row().sentence))
    });
    assert_eq!(within(SOON, "the stream's end", || drain(&mut local)).end, StreamEnd::Reset);
    proxy.process.wait_line(RefusalKind::Disabled.row().sentence);
    assert!(agent.process.is_running(), "it waits until it is let in again");
    assert!(!hub.json::<Vec<Identity>>(&["device", "show", DEVICE])[0].enabled);

    drop(agent);
    let second = Agent::launch(&device, DEVICE, &[&target.port.to_string()]);
    second.wait_line(RefusalKind::Disabled.row().sentence);
    hub.wait_activity("authenticate", Some(RefusalKind::Disabled.row().label));
    let finished = pipe(&laptop, DEVICE);
    assert_is(&finished, RefusalKind::DeviceOffline);
    let command = finished.stderr.split_once("it is disabled at the hub: `devstream ").expect("what to do").1;
    let command = command.split_once("` there").expect("a command").0;

    drop(second);
    let enabled = hub.machine().run(&command.split(' ').collect::<Vec<_>>());
    let said = "device pi-42 is enabled; its agent connects again within 30 s, or at once if it is restarted\n";
    assert_eq!((enabled.code, enabled.stderr.as_str()), (Some(0), said), "{command}");
    let _agent = within(SOON, "coming back", || Agent::start(&device, &[&target.port.to_string()]));
    is_alive(&mut proxy.connect());
}

#[test]
fn a_removed_device_is_disconnected_at_once() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent, laptop, device, hub } = ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut local = proxy.connect();
    is_alive(&mut local);

    within(AT_ONCE, "the control connection's end", || {
        hub.ask(&["device", "remove", DEVICE]);
        agent.process.wait_line(&format!("{DEVICE}: {}", RefusalKind::AuthenticationFailed.row().sentence))
    });
    assert_eq!(within(SOON, "the stream's end", || drain(&mut local)).end, StreamEnd::Reset);
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::UnknownDevice);

    drop(agent);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let _agent = Agent::start(&device, &[&target.port.to_string()]);
    is_alive(&mut proxy.connect());
}

#[test]
fn a_disabled_service_loses_its_own_streams_only() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent, laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, EVERYTHING);
    let other_laptop = Machine::new();
    other_laptop.ask(&["join", &hub.service_link("bob")]);
    let bobs = ServiceProxy::start(&other_laptop);
    let (mut local, mut untouched) = (proxy.connect(), bobs.connect());
    is_alive(&mut local);
    is_alive(&mut untouched);
    let lines = agent.process.lines();

    let disable = || hub.ask(&["service", "disable", "alice"]);
    assert_eq!(within(SOON, "the stream's end", || (disable(), drain(&mut local))).1.end, StreamEnd::Reset);
    proxy.process.wait_line(RefusalKind::Disabled.row().sentence);
    agent.process.wait_line_after(lines, RefusalKind::Disabled.row().sentence);
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::Disabled);
    assert_eq!(RefusalKind::Disabled.row().exit, 31, "as the manual says");
    assert_is(&laptop.run(&["devices"]), RefusalKind::Disabled);

    hub.ask(&["service", "enable", "alice"]);
    is_alive(&mut proxy.connect());
    is_alive(&mut untouched);
}

#[test]
fn a_removed_service_loses_its_streams() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent: _agent, laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let remove = || hub.ask(&["service", "remove", "alice"]);
    assert_eq!(within(SOON, "the stream's end", || (remove(), drain(&mut local))).1.end, StreamEnd::Reset);
    proxy.process.wait_line("service alice was removed");
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::AuthenticationFailed);
}

#[test]
fn a_waiting_request_ends_when_its_service_is_disabled() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    hub.device_link(DEVICE);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let waiting = laptop.start(&["service-proxy", "--device", DEVICE, "--stdio", "--connect-timeout", "60"]);
    poll("the request", || hub.ask(&["streams"]).contains("waiting").then_some(()));
    let disable = || hub.ask(&["service", "disable", "alice"]);
    assert_is(&within(AT_ONCE, "the answer", || (disable(), waiting.finish())).1, RefusalKind::Disabled);
}

#[test]
fn a_running_agent_switches_to_the_new_key_and_keeps_its_stream() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent, laptop: _laptop, device, hub } =
        ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let old = key(&hub, "device", DEVICE);
    let lines = agent.process.lines();

    join_on(&device, &hub.link(&["device", "rotate", DEVICE, "--overlap", "1h"]));
    assert_ne!(key(&hub, "device", DEVICE), old);
    // Both keys are good: nobody makes it do so.
    within(SOON, "the new key", || {
        agent.process.wait_line_after(lines, RefusalKind::KeyReplaced.row().sentence);
        agent.process.wait_line_after(lines, "is online");
    });
    is_alive(&mut local);
    is_alive(&mut proxy.connect());
    assert_eq!(agent.process.find_line(lines, "trying again", std::time::Duration::ZERO), None, "{}", agent.process);
}

#[test]
fn a_running_agent_whose_hub_has_another_address_stays_where_it_is() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let target = Target::echo();
    let agent = Agent::start(&device, &[&target.port.to_string()]).process;
    let lines = agent.lines();
    device.ask(&["profiles", "set", "--hub", "192.0.2.1:8443"]);
    // It looks at its files once a second.
    assert_eq!(agent.find_line(lines, "", SOON / 2), None, "{agent}");
    device.ask(&["profiles", "set", "--hub", &hub.address()]);
    device.ask(&["join", &hub.link(&["device", "rotate", DEVICE])]);
    agent.wait_line_after(lines, "is online");
}

#[test]
fn a_replaced_device_key_is_valid_during_the_overlap_only() {
    let hub = Hub::start(&Machine::new());
    let old = RawClient::join(&hub.device_link(DEVICE));
    let control = online(&old);
    let new = RawClient::join(&hub.link(&["device", "rotate", DEVICE, "--overlap", "2s"]));
    online(&new);
    drop(control);
    let mut control = online(&old);
    let shown = || hub.ask(&["device", "show", DEVICE]);
    assert!(shown().contains(", replaced, valid until 20"), "{}", shown());
    let code = within(SOON, "the overlap", || control.expect_close());
    assert_eq!(code, RefusalKind::KeyReplaced.row().close);
    assert!(shown().contains(", replaced, ended 20") && !shown().contains("valid until"), "{}", shown());
    assert_eq!(old.control(DEVICE).err().map(|answer| answer.status), Some(401));
    online(&new);
}

/// It goes on meanwhile, and not a moment longer: nothing resumes it with the new key.
#[test]
fn a_stream_that_cannot_be_resumed_ends_with_the_overlap_of_either_key() {
    for (role, id) in [("device", DEVICE), ("service", "alice")] {
        let hub = Hub::start(&Machine::new());
        let mut device = RawDevice::online(RawClient::join(&hub.device_link(DEVICE)), &["ssh"]);
        let alice = RawClient::join(&hub.service_link("alice"));
        let pending = alice.open("ssh", &[]);
        let request = device.request();
        device.accept(&request);
        let mut at_service = alice.attach(&pending.answer().grant()).unwrap();
        let mut at_device = device.identity.attach(&(&request).into()).unwrap();
        let _new = RawClient::join(&hub.link(&[role, "rotate", id, "--overlap", "2s"]));
        at_service.bytes(b"hello").unwrap();
        assert_eq!(at_device.expect_bytes(5), b"hello", "{role}");
        let code = within(SOON, "the end of the overlap", || at_service.expect_close());
        assert_eq!(code, RefusalKind::KeyReplaced.row().close, "{role}");
    }
}

#[test]
fn a_replaced_key_without_an_overlap_is_refused_at_once() {
    let hub = Hub::start(&Machine::new());
    let old = RawClient::join(&hub.device_link(DEVICE));
    let mut control = online(&old);
    let link = hub.link(&["device", "rotate", DEVICE, "--overlap", "0s"]);
    let join = || RawClient::join(&link);
    let (new, code) = within(AT_ONCE, "the control connection's end", || (join(), control.expect_close()));
    assert_eq!(code, RefusalKind::KeyReplaced.row().close);
    assert_eq!(old.control(DEVICE).err().map(|answer| answer.status), Some(401));
    assert_eq!(RawClient::before_joining(&link).redeem(&link).status, 410, "the link is spent");
    online(&new);
}

#[test]
fn a_replaced_service_key_is_valid_during_the_overlap_only() {
    let hub = Hub::start(&Machine::new());
    let old = RawClient::join(&hub.service_link("alice"));
    let new = RawClient::join(&hub.link(&["service", "rotate", "alice", "--overlap", "2s"]));
    let status = |raw: &RawClient| raw.ask("GET", "/devices", &[], "").status;
    assert_eq!((status(&old), status(&new)), (200, 200));
    within(SOON, "the overlap", || poll("the old key's end", || (status(&old) == 401).then_some(())));
    assert_eq!(status(&new), 200);
}

#[test]
fn a_running_proxy_switches_to_the_new_key() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent: _agent, laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut of_the_old_key = proxy.connect();
    is_alive(&mut of_the_old_key);
    join_on(&laptop, &hub.link(&["service", "rotate", "alice", "--overlap", "0s"]));
    assert_eq!(drain(&mut of_the_old_key).end, StreamEnd::Reset, "it may be in other hands");
    is_alive(&mut proxy.connect());
}

/// The former key is good meanwhile: nobody makes the proxy do so.
#[test]
fn a_running_proxy_takes_a_new_key_up_by_itself_for_new_streams_and_their_connections() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent: _agent, laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut running = proxy.connect();
    is_alive(&mut running);
    // Its connection stands by for the next stream.
    is_alive(&mut proxy.connect());
    let lines = proxy.process.lines();
    let joined = laptop.run(&["join", &hub.link(&["service", "rotate", "alice", "--overlap", "4s"])]);
    let id = proxy.process.id();
    let said = format!("the running service-proxy (process {id}) takes this up by itself, within seconds");
    assert!(joined.stderr.contains(&said) && !joined.stderr.contains("restart"), "{joined:?}");
    let taken_up = "service alice: this key has been replaced by a newer one; new streams use that from now on";
    within(SOON, "the new key", || proxy.process.wait_line_after(lines, taken_up));
    is_alive(&mut running);
    let mut of_the_new_key = proxy.connect();
    is_alive(&mut of_the_new_key);
    // It may say so after the first answer.
    proxy.process.wait_line_after(lines, "#3 from ");
    let lines = proxy.process.lines();
    let ended = || hub.ask(&["service", "show", "alice"]).contains(", replaced, ended 20").then_some(());
    within(SOON, "the overlap", || poll("the former key's end", ended));
    proxy.process.wait_line_after(lines, "#1 from ");
    is_alive(&mut running);
    is_alive(&mut of_the_new_key);
    is_alive(&mut proxy.connect());
    assert_eq!(proxy.process.find_line(lines, "#3", std::time::Duration::ZERO), None, "{}", proxy.process);
}

#[test]
fn a_proxy_that_was_started_before_its_machine_joined_carries_streams_after_that() {
    let (hub, target) = (Hub::start(&Machine::new()), Target::echo());
    let (laptop, device) = (Machine::new(), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let _agent = Agent::start(&device, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&laptop);
    proxy.process.wait_line("this machine has not joined a hub");
    laptop.ask(&["join", &hub.service_link("another-name")]);
    is_alive(&mut proxy.connect());
}

#[test]
fn a_join_with_a_running_agent_says_that_this_takes_the_new_key_up() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &["22"]).process;
    let printed = agent.lines();
    let joined = device.run(&["join", &hub.link(&["device", "rotate", DEVICE, "--overlap", "0s"])]);
    let said = format!("the running device-agent (process {}) takes this up by itself, within seconds", agent.id());
    assert!(joined.stderr.contains(&said) && !joined.stderr.contains("next:"), "{joined:?}");
    agent.wait_line_after(printed, &format!("device-agent: {DEVICE} is online"));
    // The same hub by another of its names.
    let link = hub.link(&["device", "rotate", DEVICE]).replace("127.0.0.1", "localhost");
    let joined = device.run(&["join", &link]);
    assert!(joined.stderr.contains(&said) && !joined.stderr.contains("next:"), "{joined:?}");
}

#[test]
fn an_identity_that_never_joined_can_be_rotated_and_then_joins() {
    let (machine, device) = (Machine::new(), Machine::new());
    let hub = Hub::start(&machine);
    let first = hub.device_link(DEVICE);
    let rotated = machine.run(&["hub", "device", "rotate", DEVICE]);
    let earlier = format!("{DEVICE} has not joined yet; the earlier link no longer works");
    assert!(rotated.stderr.contains(&earlier), "{rotated:?}");
    let added = ["pi-7", DEVICE].map(|id| machine.run(&["hub", "device", "add", id]).stderr);
    assert!(!added[0].contains("the earlier link") && added[1].contains(&earlier), "{added:?}");
    let second = hub.link(&["device", "rotate", DEVICE]);
    assert_eq!(RawClient::before_joining(&first).redeem(&first).status, 401, "the later link voids the earlier one");
    device.ask(&["join", &second]);
    let _agent = Agent::start(&device, &["22"]);
}

#[test]
fn a_rotation_says_how_long_the_present_key_works_and_how_to_cut_it_off() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    RawClient::join(&hub.device_link(DEVICE));
    RawClient::join(&hub.service_link("alice"));
    for (role, id, flags, said) in [
        ("device", DEVICE, &[][..], ", and for 1 day after that (--overlap 0s: not after); to cut it off now: "),
        ("service", "alice", &["--overlap", "0s"], ", and not after; to cut it off now: "),
    ] {
        let rotated = machine.run(&[&["hub", role, "rotate", id], flags].concat());
        let said = format!(
            "the present key works until the link is used{said}devstream hub {role} disable {id}, and enable it after the join\n"
        );
        assert!(rotated.code == Some(0) && rotated.stderr.ends_with(&said), "{said}: {rotated:?}");
    }
}

#[test]
fn an_unknown_identity_is_named() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    for command in ["show", "enable", "disable", "rotate", "remove"] {
        for role in ["device", "service"] {
            let finished = machine.run(&["hub", role, command, "nobody"]);
            assert_eq!(finished.code, Some(1), "{finished:?}");
            let (named, advice) = (format!("there is no {role} nobody"), format!("devstream hub {role} list"));
            assert!(finished.stderr.contains(&named) && finished.stderr.contains(&advice), "{finished:?}");
        }
    }
}

/// The control connection of a device that has said hello.
fn online(device: &RawClient) -> crate::support::websocket::WebSocket {
    let mut control = device.control(DEVICE).expect("the hub lets it in");
    control.text(r#"{"type":"hello","version":"0","forwards":["ssh"]}"#).expect("the hub takes a hello");
    control.next().expect("a welcome");
    control
}

/// Joins with a pasted link.
fn join_on(machine: &Machine, link: &str) {
    let mut join = machine.command(crate::support::machine::DEVSTREAM);
    let finished = Process::start_with_input(join.arg("join"), format!("{link}\n").into()).finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

/// The fingerprint of an identity's newest key.
fn key(hub: &Hub, role: &str, id: &str) -> String {
    let shown: Vec<Identity> = hub.json(&[role, "show", id]);
    shown[0].keys[0].fingerprint.clone()
}
