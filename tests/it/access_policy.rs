//! A device's own access policy, enforced in addition to the hub's.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::limits::ACCEPT_COMMAND_TIMEOUT;
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::MIB;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process, children};
use crate::support::roles::{Hub, ServiceProxy, assert_is, pipe};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, poll};

#[test]
fn a_devices_access_policy_allows_the_named_services_only() {
    let target = Target::echo();
    let fixture = Fixture::new(&["--allow-service", "al*", "--allow-service", "carol", "--forward", &port(&target)]);
    let bob = fixture.joined("bob");
    is_alive(&mut ServiceProxy::start(&fixture.laptop).connect());
    is_alive(&mut ServiceProxy::start(&fixture.joined("carol")).connect());
    assert_rejected(&pipe(&bob, DEVICE), "its access policy does not allow bob");
    fixture.agent.wait_line("its access policy does not allow bob");
    fixture.hub.wait_activity("invoke", Some(RefusalKind::RejectedByDevice.row().label));
}

/// The accept command: each stream name selects a behaviour.
const ACCEPT_SCRIPT: &str = "case $DEVSTREAM_STREAM in
    yes) ;;
    no) exit 3 ;;
    alice) test \"$DEVSTREAM_SERVICE\" = alice ;;
    reason) echo ' closed for repairs '; echo and more; exit 1 ;;
    talkative) head -c 1048576 /dev/zero ;;
    verbose) yes indeed | head -c 1048576; exit 1 ;;
    unfair) kill -KILL $$ ;;
    helper) (while kill -0 $PPID; do sleep 1; done) & exit 0 ;;
    missing) no-such-program ;;
esac";

#[test]
fn an_accept_commands_status_decides_and_its_first_line_is_the_reason() {
    let target = Target::echo();
    let names = ["yes", "no", "alice", "reason", "talkative", "verbose", "unfair", "helper", "missing"];
    let forwards: Vec<_> = names.iter().map(|name| format!("--forward={name}={}", target.port)).collect();
    let forwards: Vec<_> = forwards.iter().map(String::as_str).collect();
    let fixture = Fixture::new(&[&["--accept-command", ACCEPT_SCRIPT], &forwards[..]].concat());
    let bob = fixture.joined("bob");
    assert_eq!(MIB, 1_048_576);
    for name in ["yes", "alice", "talkative", "helper"] {
        let start = clock::now();
        is_alive(&mut ServiceProxy::start_with(&fixture.laptop, DEVICE, &format!("0={name}"), &[]).connect());
        assert!(clock::now() - start < Duration::from_secs(5), "{name}");
    }
    for (machine, name, reason) in [
        (&fixture.laptop, "no", "its accept command rejected it: exit status: 3"),
        (&bob, "alice", "its accept command rejected it: exit status: 1"),
        (&fixture.laptop, "reason", "(closed for repairs)"),
        (&fixture.laptop, "verbose", "(indeed)"),
        (&fixture.laptop, "unfair", "its accept command rejected it: signal: 9"),
        (&fixture.laptop, "missing", "its accept command cannot be run: exit status: 127"),
    ] {
        assert_rejected(&ask(machine, name, &[]), reason);
    }
}

/// Hangs, together with a child, and prints both process ids.
const HANGING_SCRIPT: &str = "test $DEVSTREAM_STREAM = hang || exit 0; sleep 1000 & echo $$ $! >> pids; wait";

#[test]
fn a_hanging_accept_command_is_killed_with_its_process_group() {
    let target = Target::echo();
    let (hang, other) = (format!("hang={}", target.port), format!("other={}", target.port));
    let fixture = Fixture::new(&["--accept-command", HANGING_SCRIPT, "--forward", &hang, "--forward", &other]);
    let start = clock::now();
    let asked = fixture.laptop.start(&["service-proxy", "--device", DEVICE, "--stdio", "--stream", "hang"]);
    let running = fixture.pids(2);
    is_alive(&mut ServiceProxy::start_with(&fixture.laptop, DEVICE, "0=other", &[]).connect());
    assert!(running.iter().all(|id| is_running(*id)), "{running:?}");
    assert_rejected(&asked.finish(), "its accept command took more than 10 s");
    let took = clock::now() - start;
    assert!(took >= ACCEPT_COMMAND_TIMEOUT && took < ACCEPT_COMMAND_TIMEOUT * 3 / 2, "{took:?}");
    poll("the command's end", || running.iter().all(|id| !is_running(*id)).then_some(()));
}

#[test]
fn an_accept_command_of_a_cancelled_request_is_killed_with_its_process_group() {
    let target = Target::echo();
    let fixture = Fixture::new(&["--accept-command", HANGING_SCRIPT, "--forward", &format!("hang={}", target.port)]);
    let asked = ask(&fixture.laptop, "hang", &["--response-timeout", "1"]);
    assert_is(&asked, RefusalKind::HandshakeTimedOut);
    let start = clock::now();
    let running = fixture.pids(2);
    poll("the command's end", || running.iter().all(|id| !is_running(*id)).then_some(()));
    assert!(clock::now() - start < ACCEPT_COMMAND_TIMEOUT / 2, "it was not waited for");
}

/// Leaves two processes behind, one of them in a session of its own.
const ORPHANING_SCRIPT: &str = "(sleep 0.1; echo ended >> orphans) & setsid sh -c 'sleep 0.1; echo ended >> orphans' &";

#[test]
fn orphans_of_accept_commands_do_not_stay_as_zombies_of_an_agent_that_is_pid_1() {
    let (target, hub, device) = (Target::echo(), Hub::start(&Machine::new()), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let mut command = device.command("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", DEVSTREAM, "device-agent", "--forward"]);
    let unshare = Process::start(command.args([&port(&target), "--accept-command", ORPHANING_SCRIPT]));
    unshare.wait_line("is online");
    let laptop = joined(&hub, "alice");
    for _ in 0..3 {
        is_alive(&mut ServiceProxy::start(&laptop).connect());
    }
    poll("the end of the orphans", || {
        let ended = fs::read_to_string(device.home().join("orphans")).ok()?;
        (ended.lines().count() == 6).then_some(())
    });
    let agent = children(unshare.id())[0];
    poll("an agent without zombies", || children(agent).is_empty().then_some(()));
    is_alive(&mut ServiceProxy::start(&laptop).connect());
}

#[test]
fn an_accept_command_gets_the_request_and_names_cannot_inject_code() {
    let target = Target::echo();
    // Names with shell metacharacters.
    let names = ["-e", "--help", "..x", "a_b-c.d"];
    let forwards: Vec<_> = names.iter().map(|name| format!("--forward={name}={}", target.port)).collect();
    let forwards: Vec<_> = forwards.iter().map(String::as_str).collect();
    let command = "env > $DEVSTREAM_REQUEST";
    let fixture = Fixture::new(&[&["--accept-command", command], &forwards[..]].concat());
    for name in names {
        is_alive(&mut ServiceProxy::start_with(&fixture.laptop, DEVICE, &format!("0={name}"), &[]).connect());
        let fits =
            |entry: &serde_json::Value| entry["operationName"] == "invoke" && entry["properties"]["streamName"] == name;
        let noted = poll("the hub's note of it", || fixture.hub.activity().into_iter().find(fits));
        let properties = &noted["properties"];
        let word = |name: &str| properties[name].as_str().expect("a word").to_owned();
        let written = fs::read_to_string(fixture.device.home().join(word("streamId"))).expect("the command wrote it");
        let told: BTreeMap<_, _> = written
            .lines()
            // All but the agent's own setting.
            .filter(|line| line.starts_with("DEVSTREAM_") && !line.starts_with("DEVSTREAM_ALLOW_PLAIN="))
            .filter_map(|line| line.split_once('='))
            .collect();
        let expected = [
            ("DEVSTREAM_DEVICE", DEVICE.to_owned()),
            ("DEVSTREAM_REQUEST", word("streamId")),
            ("DEVSTREAM_SERVICE", "alice".to_owned()),
            ("DEVSTREAM_SOURCE", word("sourceAddress")),
            ("DEVSTREAM_STREAM", name.to_owned()),
        ];
        assert!(told.into_iter().eq(expected.iter().map(|(name, value)| (*name, value.as_str()))), "{written}");
    }
}

/// A device with an access policy, and alice's laptop.
struct Fixture {
    hub: Hub,
    device: Machine,
    laptop: Machine,
    agent: Process,
}

impl Fixture {
    fn new(arguments: &[&str]) -> Self {
        let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        let agent = device.start(&[&["device-agent"], arguments].concat());
        agent.wait_line("is online");
        let laptop = joined(&hub, "alice");
        Self { hub, device, laptop, agent }
    }

    fn joined(&self, service: &str) -> Machine {
        joined(&self.hub, service)
    }

    /// Process ids that the command printed: its own and its child's.
    fn pids(&self, count: usize) -> Vec<u32> {
        poll("the command", || {
            let written = fs::read_to_string(self.device.home().join("pids")).ok()?;
            let ids: Vec<u32> = written.split_whitespace().filter_map(|id| id.parse().ok()).collect();
            (ids.len() == count && written.ends_with('\n')).then_some(ids)
        })
    }
}

fn joined(hub: &Hub, service: &str) -> Machine {
    let machine = Machine::new();
    machine.ask(&["join", &hub.service_link(service)]);
    machine
}

fn port(target: &Target) -> String {
    target.port.to_string()
}

fn ask(machine: &Machine, stream: &str, arguments: &[&str]) -> Finished {
    let asked = ["service-proxy", "--device", DEVICE, "--stdio", "--stream", stream];
    machine.run(&[&asked, arguments].concat())
}

fn assert_rejected(finished: &Finished, reason: &str) {
    assert_is(finished, RefusalKind::RejectedByDevice);
    assert!(finished.stderr.contains(reason), "{reason}: {finished:?}");
}

/// Reports whether a process runs; a zombie does not.
fn is_running(id: u32) -> bool {
    let state = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with(['Z', 'X']))
}
