//! The activity log and the messages on standard error: retention, and behaviour when neither can be written.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use devstream::net::os::clock;
use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::disk::{STATE, on_a_small_disk};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, ServiceProxy, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, TIMEOUT, poll};

/// More messages than a pipe takes.
const FLOOD: usize = 1000;

/// More streams than a file's last page has room for lines about them.
const STREAMS: usize = 20;

#[test]
fn every_administrative_event_names_the_user_who_caused_it() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let user = Process::start(machine.command("id").arg("-un")).finish().stdout.trim().to_owned();
    hub.device_link(DEVICE);
    hub.link(&["device", "rotate", DEVICE]);
    hub.ask(&["device", "disable", DEVICE]);
    hub.service_link("alice");
    hub.ask(&["service", "set", "alice", "--device", "pi-*"]);
    hub.link(&["enroll", "add", "--device", "*", "--uses", "1"]);
    hub.ask(&["enroll", "remove", "1"]);
    hub.ask(&["device", "remove", DEVICE]);
    hub.wait_activity("identityRemoved", None);
    let log = hub.activity();
    assert_eq!(log[0]["operationName"], "hubStarted", "{log:#?}");
    let log = &log[1..];
    assert_eq!(log.len(), 8, "{log:#?}");
    for entry in log {
        let by = entry["properties"]["by"].as_str().unwrap_or_default();
        assert!(by == user || by.starts_with(&format!("{user} (")), "{entry}");
    }
    assert_eq!(log[4]["properties"]["reason"], "pi-*, streams *");
    assert!(hub.process.log().contains("service alice was given another scope by "), "{}", hub.process);

    // As after `sudo`, where the system keeps who has logged in.
    let line = "echo 65534 >/proc/self/loginuid && exec \"$0\" hub device add pi-9";
    let as_another = Process::start(machine.command("sh").args(["-c", line, DEVSTREAM])).finish();
    if as_another.code == Some(0) {
        let named = |entry: &Value| entry["properties"]["by"] == format!("{user} (nobody)");
        poll("the event", || hub.activity().iter().any(named).then_some(()));
    }
}

#[test]
fn the_start_and_the_end_of_a_hub_are_logged() {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start_with(&machine, &["--no-resume", "--drain-timeout", "0"]);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let process = hub.process;
    process.signal("TERM");
    assert!(!process.finish().stderr.contains("the hub st"), "its own lines say so");
    let logs = machine.ask(&["hub", "logs"]);
    let version = format!("reason=\"version {}\"", env!("CARGO_PKG_VERSION"));
    let first = logs.lines().next().unwrap_or_default();
    assert!(first.contains("  hubStarted  ") && first.ends_with(&version), "{logs}");
    let last = logs.lines().next_back().unwrap_or_default();
    assert!(last.contains("  hubStopped  ") && last.ends_with("reason=\"SIGTERM, 1 stream cut off\""), "{logs}");
}

#[test]
fn a_hub_of_a_cluster_lost_the_last_lines_of_its_log() {
    let mut hubs = Cluster::start(1).hubs;
    let hub = hubs.remove(0);
    let machine = hub.machine().clone();
    hub.process.signal("TERM");
    let ended = hub.process.finish();
    assert!(ended.code == Some(0) && !ended.stderr.contains("are lost"), "{ended:?}");
    let logs = machine.ask(&["hub", "logs"]);
    assert!(logs.lines().next_back().is_some_and(|last| last.contains("  hubStopped  ")), "{logs}");
}

#[test]
fn logs_follow_across_rotation_until_the_reader_closes() {
    let machine = Machine::new();
    let hub = Hub::start_with(
        &machine,
        &["--activity-rotate-size", "64KiB", "--activity-keep-size", "256KiB", "--penalty-exempt", "127.0.0.0/8"],
    );
    let services = ["one", "other"].map(|name| RawClient::join(&hub.service_link(name)));
    let follow = machine.start(&["hub", "logs", "--follow", "--json"]);
    follow.wait_line("identityAdded");
    let mut reader = machine.command(DEVSTREAM);
    let mut reader =
        reader.args(["hub", "logs", "--follow", "--device", "no-line"]).stdout(Stdio::piped()).spawn().unwrap();
    for service in &services {
        be_refused(service, 300);
    }
    hub.service_link("last-one");
    follow.wait_line("last-one");
    let state = machine.home().join(STATE);
    let files = log_files(&state);
    assert!(files.len() > 2, "{files:?}");
    let followed = follow.log().matches("unknown-device").count();
    let all = hub.activity();
    assert_eq!(all.iter().filter(|line| line["resultType"] == "unknown-device").count(), 600);
    assert_eq!(followed, 600, "each of them, once");
    let ours = hub.ask(&["logs", "--json", "--service", "last-one"]);
    assert!(ours.lines().count() == 1 && ours.contains("identityAdded"), "{ours}");
    assert_eq!(hub.ask(&["logs", "--since", "1h", "--json"]).lines().count(), all.len());
    drop(reader.stdout.take());
    let deadline = clock::now() + TIMEOUT;
    while reader.try_wait().unwrap().is_none() {
        assert!(clock::now() < deadline, "still following");
        std::thread::yield_now();
    }
}

#[test]
fn a_change_of_an_identity_outlives_the_log() {
    let machine = Machine::new();
    let hub = Hub::start_with(
        &machine,
        &["--activity-rotate-size", "64KiB", "--activity-keep-size", "128KiB", "--penalty-exempt", "127.0.0.0/8"],
    );
    let services = ["one", "other"].map(|name| RawClient::join(&hub.service_link(name)));
    hub.service_link("the-first");
    for service in &services {
        be_refused(service, 350);
    }
    hub.service_link("the-last");
    let all = poll("the last line", || Some(hub.ask(&["logs"])).filter(|all| all.contains("the-last")));
    let state = machine.home().join(STATE);
    let kept = log_files(&state).iter().map(|name| fs::read_to_string(state.join(name)).unwrap()).collect::<String>();
    assert!(!kept.contains("the-first") && kept.contains("the-last"), "{kept}");
    for added in [
        "identityAdded      added                  reason=\"*, streams *\" serviceId=the-first by=",
        "serviceId=the-last",
        "joined                 serviceId=one",
    ] {
        assert_eq!(all.matches(added).count(), 1, "{all}");
    }
}

#[test]
fn who_has_no_identity_pushes_nothing_out_of_the_log() {
    let machine = Machine::new();
    let hub = Hub::start_with(
        &machine,
        &["--activity-rotate-size", "64KiB", "--activity-keep-size", "128KiB", "--penalty-exempt", "127.0.0.0/8"],
    );
    let device = RawClient::join(&hub.device_link(DEVICE));
    let service = RawClient::join(&hub.service_link("laptop"));
    be_refused(&service, 1);
    let follow = machine.start(&["hub", "logs", "--follow"]);
    follow.wait_line("unknown-device");
    // Some 300 bytes each.
    for _ in 0..700 {
        assert_eq!(device.ask_unsigned("POST", "/twins/nobody/streams/ssh").status, 401);
    }
    be_refused(&service, 1);
    // The two files are written by one thread, but read one after the other.
    let times = |log: &str, word: &str| log.matches(word).count();
    poll("the last lines", || {
        let log = follow.log();
        (times(&log, "authenticate") == 700 && times(&log, "unknown-device") == 2).then_some(())
    });
    let state = machine.home().join(STATE);
    let kept = log_files(&state).iter().map(|name| fs::read_to_string(state.join(name)).unwrap()).collect::<String>();
    assert!(times(&kept, "unknown-device") == 2 && times(&kept, "authenticate") == 0, "{kept}");
    let all = hub.activity();
    let results: Vec<_> = all.iter().filter_map(|line| line["resultType"].as_str()).skip(5).collect();
    assert_eq!(results.len(), 702, "{results:?}");
    assert!(results[0] == "unknown-device" && results[701] == "unknown-device", "merged in time: {results:?}");
    assert_eq!(hub.ask(&["logs", "--since", "1h", "--json"]).lines().count(), all.len());
}

#[test]
fn a_full_disk_stops_no_stream() {
    on_a_small_disk("activity::a_full_disk_stops_no_stream", |machine, disk| {
        let target = Target::echo();
        let hub = Hub::start(machine);
        let _agent = Agent::start(&machine.hidden(), &[&target.port.to_string()]);
        let proxy = ServiceProxy::start(machine);
        let mut running = proxy.connect();
        is_alive(&mut running);
        disk.fill();
        for _ in 0..STREAMS {
            is_alive(&mut proxy.connect());
        }
        hub.process.wait_line("the activity log cannot be written");
        // The registry, on the same disk, cannot note when the device was here.
        let _second = Agent::start(machine, &[&target.port.to_string()]);
        is_alive(&mut proxy.connect());
        is_alive(&mut running);
        disk.free();
        hub.process.wait_line("the activity log is written again");
        let lost = hub.wait_activity("activityLost", None);
        assert!(lost["properties"]["linesLost"].as_u64().is_some_and(|lost| lost > 0), "{lost}");
        is_alive(&mut proxy.connect());
        is_alive(&mut running);
    });
}

#[test]
fn a_full_disk_stops_new_streams_where_an_audit_is_required() {
    on_a_small_disk("activity::a_full_disk_stops_new_streams_where_an_audit_is_required", |machine, disk| {
        let target = Target::echo();
        let hub = Hub::start_with(machine, &["--audit-required"]);
        let _agent = Agent::start(machine, &[&target.port.to_string()]);
        let proxy = ServiceProxy::start(machine);
        let mut running = proxy.connect();
        is_alive(&mut running);
        disk.fill();
        // The first line that does not fit tells; the file's last page may still have room for some.
        let refused = (0..STREAMS).any(|_| !is_accepted(&mut proxy.connect()));
        assert!(refused, "{}", hub.process);
        hub.process.wait_line("new streams are refused");
        proxy.process.wait_line(RefusalKind::AuditFailed.row().sentence);
        is_alive(&mut running);
        disk.free();
        hub.process.wait_line("the activity log is written again");
        is_alive(&mut proxy.connect());
        hub.wait_activity("activityLost", None);
    });
}

#[test]
fn a_blocked_log_reader_delays_nothing() {
    let target = Target::echo();
    let machine = Machine::new();
    let hub = UnreadOutput::start(&machine);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&machine);
    let mut running = proxy.connect();
    is_alive(&mut running);
    let peer = RawClient::join(&hub.link);
    for _ in 0..FLOOD {
        assert_eq!(peer.ask_unsigned("POST", "/twins/nobody/streams/ssh").status, 401);
    }
    is_alive(&mut proxy.connect());
    is_alive(&mut running);
}

#[test]
fn every_log_message_is_a_json_object_with_json_logging() {
    let target = Target::echo();
    let machine = Machine::new();
    let json = ["--log-format", "json"];
    let start = |arguments: &[&str]| machine.start(&[arguments, &json].concat());
    let hub = start(&["hub", "--listen", "127.0.0.1:0"]);
    hub.wait_line("listening on");
    let agent = start(&["device-agent", "--id", DEVICE, "--forward", &target.port.to_string()]);
    agent.wait_line("is online");
    let proxy = start(&["service-proxy", "--device", DEVICE, "--local", "0"]);
    let listening: Value = serde_json::from_str(&proxy.wait_line(" on ")).unwrap();
    let port = listening["message"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    is_alive(&mut connect(port));
    hub.wait_line("opened");
    // The state directory is in use.
    let wrong = Process::start(machine.command(DEVSTREAM).args(["hub", "--listen", "127.0.0.1:0"]).args(json));
    wrong.wait_line("another hub");
    for process in [&proxy, &agent, &hub] {
        process.signal("TERM");
    }
    for (process, target) in [(proxy, "service-proxy"), (agent, "device-agent"), (hub, "hub"), (wrong, "hub")] {
        let finished = process.finish();
        assert!(finished.stderr.lines().count() > 0, "{target}");
        for line in finished.stderr.lines() {
            let message: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            for key in ["time", "level", "target", "message"] {
                assert!(message[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {line}");
            }
            assert!(message["fields"].is_object() && message["target"] == target, "{line}");
        }
        if finished.code != Some(0) {
            assert!(finished.stderr.contains(r#""level":"ERROR""#), "{finished:?}");
        }
    }
}

/// A hub whose standard error nobody reads once it listens.
struct UnreadOutput {
    child: Child,
    link: String,
    _stderr: BufReader<ChildStderr>,
}

impl UnreadOutput {
    fn start(machine: &Machine) -> Self {
        let mut command = machine.command(DEVSTREAM);
        command.args(["hub", "--listen", "127.0.0.1:0", "--penalty-exempt", "127.0.0.0/8"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(stderr.read_line(&mut line).unwrap() > 0, "it ended");
        }
        let added = machine.ask(&["hub", "device", "add", "flooder"]);
        let link = added.split('\'').nth(1).unwrap().to_owned();
        Self { child, link, _stderr: stderr }
    }
}

impl Drop for UnreadOutput {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_history_that_every_rotation_would_delete_is_refused() {
    let machine = Machine::new();
    let finished = machine.run(&["hub", "--activity-rotate-size", "64MiB", "--activity-keep-size", "127MiB"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    for told in ["at least twice --activity-rotate-size", "give --activity-keep-size 134217728 or more"] {
        assert!(finished.stderr.contains(told), "{finished:?}");
    }
}

/// Reports whether a byte is echoed.
/// Has the log record refusals, of some 300 bytes each. An identity has a thousand; after 500, its answers come later.
fn be_refused(service: &RawClient, count: usize) {
    for _ in 0..count {
        assert_eq!(service.ask("POST", "/twins/nobody/streams/ssh", &[], "").status, 404);
    }
}

fn is_accepted(stream: &mut TcpStream) -> bool {
    let mut byte = [0];
    stream.write_all(b"?").is_ok() && stream.read(&mut byte).is_ok_and(|count| count > 0)
}

fn log_files(state: &Path) -> Vec<String> {
    let names = fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("activity")).collect()
}
