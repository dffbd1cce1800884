//! One user on one machine without configuration, with real OpenSSH at both ends.

use std::fs::{self, File};

use crate::support::DEVICE;
use crate::support::bytes::{MIB, Pattern};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy, connect};
use crate::support::sshd::Sshd;
use crate::support::targets::{Target, is_alive};

#[test]
fn ssh_runs_a_command_with_input() {
    let (sshd, fixture) = fixture();
    let mut ssh = sshd.ssh(&fixture.machine, fixture.proxy.port, "tr a-z A-Z; exit 7");
    let finished = Process::start_with_input(&mut ssh, b"through the hub\n".into()).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("THROUGH THE HUB\n", Some(7)), "{finished:?}");
}

#[test]
fn enrolments_by_the_admin_are_in_the_activity_log() {
    let (_sshd, fixture) = fixture();
    // The service is unknown before its first stream.
    let _stream = connect(fixture.proxy.port);
    fixture.hub.wait_activity("streamOpened", None);
    let log = fixture.hub.activity();
    let added = log.iter().filter(|entry| entry["operationName"] == "identityAdded");
    let who: Vec<_> = added.map(|entry| &entry["properties"]).collect();
    assert_eq!(who.len(), 2, "the device and the service, once each: {log:#?}");
    assert!(who.iter().any(|properties| properties["deviceId"] == DEVICE), "{who:?}");
}

#[test]
fn scp_moves_64_mib_both_ways() {
    let (sshd, fixture) = fixture();
    let pattern = Pattern::new(1);
    let home = fixture.machine.home();
    let [original, there, back] = ["original", "there", "back"].map(|name| home.join(name).display().to_string());
    pattern.send(&mut File::create(&original).unwrap(), 64 * MIB).unwrap();
    let remote = format!("{}@127.0.0.1:{there}", sshd.user);
    for (from, to) in [(&original, &remote), (&remote, &back)] {
        let mut scp = sshd.client(&fixture.machine, "scp");
        let finished = Process::start(scp.args(["-P", &fixture.proxy.port.to_string(), from, to])).finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
    }
    for copy in [there, back] {
        assert_eq!(fs::metadata(&copy).unwrap().len(), 64 * MIB);
        pattern.expect(&mut File::open(copy).unwrap(), 64 * MIB);
    }
}

#[test]
fn forty_ssh_at_once_all_succeed() {
    let (sshd, fixture) = fixture();
    let start = |number: usize| {
        let mut ssh = sshd.ssh(&fixture.machine, fixture.proxy.port, "cat");
        Process::start_with_input(&mut ssh, format!("session {number}\n").into())
    };
    let all: Vec<_> = (0..40).map(start).collect();
    for (number, ssh) in all.into_iter().enumerate() {
        let Finished { code, stdout, stderr } = ssh.finish();
        assert_eq!((code, stdout), (Some(0), format!("session {number}\n")), "{stderr}");
    }
}

#[test]
fn ssh_takes_the_proxy_as_its_proxy_command() {
    let (sshd, fixture) = fixture();
    let mut ssh = sshd.client(&fixture.machine, "ssh");
    ssh.args([
        "-o",
        &format!("ProxyCommand={DEVSTREAM} service-proxy --device %n --stdio"),
        "-l",
        &sshd.user,
        DEVICE,
        "cat",
    ]);
    let finished = Process::start_with_input(&mut ssh, b"by name\n".into()).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("by name\n", Some(0)), "{finished:?}");
}

#[test]
fn stdio_ends_each_direction_by_itself_and_prints_nothing_else() {
    let echo = Target::answering_at_the_end();
    let fixture = OneMachine::forwarding(echo.port);
    let mut proxy = fixture.machine.command(DEVSTREAM);
    proxy.args(["service-proxy", "--device", DEVICE, "--stdio", "--stream", "target"]);
    let finished = Process::start_with_input(&mut proxy, b"a line\nand another\n".into()).finish();
    assert_eq!((finished.stdout.as_str(), finished.code), ("a line\nand another\n", Some(0)), "{finished:?}");
}

#[test]
fn each_listener_reaches_the_forward_it_names_and_an_unnamed_one_the_first() {
    let (first, second) = (Target::greeting_then_reading("first"), Target::greeting_then_reading("second"));
    let fixture = OneMachine::forwarding(first.port);
    let (first, second) = (format!("a={}", first.port), format!("b=localhost:{}", second.port));
    let _agent = Agent::start_as(&fixture.machine, "pi-43", &[&first, &second]);
    let proxy =
        ServiceProxy::start_with(&fixture.machine, "pi-43", "0", &["--local", "0=a", "--local", "127.0.0.1:0=b"]);
    for (port, greeting) in
        [(proxy.port, "first"), (proxy.port_for("pi-43", "0=a"), "first"), (proxy.port_for("pi-43", "0=b"), "second")]
    {
        assert_eq!(std::io::read_to_string(connect(port)).unwrap(), greeting);
    }
}

#[test]
fn a_separate_streaming_endpoint_carries_the_streams() {
    let echo = Target::echo();
    let machine = Machine::new();
    let hub = Hub::start_with_own_endpoint(&machine);
    let _agent = Agent::start(&machine, &[&format!("target={}", echo.port)]);
    let proxy = ServiceProxy::start(&machine);
    is_alive(&mut proxy.connect());
    let shown: serde_json::Value = serde_json::from_str(&hub.ask(&["show"])).unwrap();
    let endpoint = shown["streamingEndpoints"][0].as_str().unwrap();
    assert!(!endpoint.contains(&hub.address()), "{shown}");
}

fn fixture() -> (Sshd, OneMachine) {
    let sshd = Sshd::start();
    let fixture = OneMachine::forwarding(sshd.port);
    (sshd, fixture)
}
