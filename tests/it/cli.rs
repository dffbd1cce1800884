//! The command line: help, lists, and errors with advice.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::Stdio;

use devstream::proto::admin::StreamStatus;
use serde_json::Value;

use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub, OneMachine};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, TIMEOUT, poll};

#[test]
fn help_names_the_main_commands_and_exit_codes() {
    let machine = Machine::new();
    let help = machine.ask(&["--help"]);
    for command in ["hub", "device-agent", "service-proxy", "join", "demo"] {
        assert!(help.contains(command), "no {command} in {help}");
        assert!(!machine.ask(&[command, "--help"]).is_empty());
    }
    assert!(machine.ask(&["--version"]).starts_with("devstream "));
    for row in devstream::proto::refusal::TABLE.iter().filter(|row| row.exit > 2) {
        assert!(help.contains(&format!("  {}  {}\n", row.exit, row.sentence)), "no {row:?} in {help}");
    }
}

#[test]
fn output_that_cannot_be_written_fails_every_command_and_a_closed_pipe_fails_none() {
    let (target, machine) = (Target::source(1, 1024), Machine::new());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let stdio = ["service-proxy", "--device", DEVICE, "--stdio"];
    for arguments in [
        &["hub", "device", "add", "other"][..],
        &["hub", "device", "list"],
        &["hub", "device", "list", "--json"],
        &["hub", "logs"],
        &["hub", "logs", "--json"],
        &["hub", "show"],
        &["status"],
        &["completions", "bash"],
        &["config", "show"],
        &stdio,
    ] {
        let run = |stdout: Stdio| {
            let mut command = machine.command(DEVSTREAM);
            command.args(arguments).stdin(Stdio::null()).stdout(stdout).output().expect("it runs")
        };
        let full = run(File::options().write(true).open("/dev/full").unwrap().into());
        let stderr = String::from_utf8_lossy(&full.stderr).into_owned();
        assert_eq!(full.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("standard output: No space left on device"), "{arguments:?}: {stderr}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let closed = run(writer.into());
        assert_eq!(closed.status.code(), Some(0), "{arguments:?}: {}", String::from_utf8_lossy(&closed.stderr));
    }
    let mut command = machine.command(DEVSTREAM);
    let unreadable = command.args(stdio).stdin(File::open("/").unwrap()).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&unreadable.stderr).into_owned();
    assert!(unreadable.status.code() == Some(1) && stderr.contains("cannot read standard input"), "{stderr}");
}

#[test]
fn invalid_arguments_are_usage_errors_that_name_them() {
    let machine = Machine::new();
    for (arguments, named) in [
        (&["device-agent", "--forward", "22x"][..], "22x"),
        (&["device-agent", "--forward", "0"], "0"),
        (&["device-agent"], "--forward"),
        (&["device-agent", "--forward", "22", "--id", "a/b"], "a/b"),
        (&["service-proxy", "--local", "0"], "--device"),
        (&["service-proxy", "--device", DEVICE, "--local", "ssh"], "ssh"),
        (&["service-proxy", "--device", DEVICE, "--local", "0", "--response-timeout", "soon"], "soon"),
        (&["hub", "--listen", "nowhere"], "nowhere"),
        (&["join", "https://example.com"], "devstream://"),
        (&["no-such-command"], "no-such-command"),
    ] {
        let Finished { code, stdout, stderr } = machine.run(arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_local_port_in_use_is_reported_with_an_alternative() {
    let taken = Target::echo();
    let fixture = OneMachine::forwarding(taken.port);
    let port = taken.port.to_string();
    let finished = fixture.machine.run(&["service-proxy", "--device", DEVICE, "--local", &port]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains(&port) && finished.stderr.contains("in use"), "{finished:?}");
    assert!(finished.stderr.contains("--local"), "a way out: {finished:?}");
}

#[test]
fn a_hub_port_in_use_is_reported() {
    let taken = Target::echo();
    let finished = Machine::new().run(&["hub", "--listen", &format!("127.0.0.1:{}", taken.port)]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stderr.contains(&taken.port.to_string()) && finished.stderr.contains("--listen"), "{finished:?}");
}

#[test]
fn hub_status_prints_json() {
    let hub = Hub::start(&Machine::new());
    let shown = json(&hub.ask(&["show"]));
    let address = hub.address();
    assert_eq!(shown["hostname"], "127.0.0.1", "{shown}");
    assert_eq!(shown["streamingEndpoints"][0], format!("https://{address}"), "{shown}");
    assert_eq!(shown["local"], address, "{shown}");
    assert!(shown["pin"].as_str().is_some_and(|pin| pin.starts_with("sha256:")), "{shown}");
}

#[test]
fn devices_are_added_listed_shown_and_removed() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let link = hub.device_link("press-7");
    assert!(link.starts_with(&format!("devstream://{}/press-7?role=device&pin=sha256:", hub.address())), "{link}");
    let _agent = Agent::start(&machine, &[&closed_port().to_string(), "ssh=22"]);

    let listed = json(&hub.ask(&["device", "list", "--json"]));
    let ids: Vec<_> = listed.as_array().unwrap().iter().map(|device| device["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [DEVICE, "press-7"], "{listed}");
    let table = hub.ask(&["device", "list"]);
    assert!(table.contains("press-7") && table.contains("ssh"), "{table}");
    let shown = hub.ask(&["device", "show", DEVICE]);
    assert!(shown.contains("ssh") && shown.contains("127.0.0.1"), "{shown}");

    hub.ask(&["device", "remove", "press-7"]);
    assert!(!hub.ask(&["device", "list"]).contains("press-7"));
    let gone = machine.run(&["hub", "device", "remove", "press-7"]);
    assert_eq!(gone.code, Some(1), "{gone:?}");
    assert!(gone.stderr.contains("press-7"), "{gone:?}");
}

#[test]
fn services_are_added_listed_shown_and_removed() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    assert!(hub.service_link("alice").contains("/alice?role=service&"));
    assert!(hub.ask(&["service", "list"]).contains("alice"));
    assert!(hub.ask(&["service", "show", "alice"]).contains("alice"));
    hub.ask(&["service", "remove", "alice"]);
    assert!(!hub.ask(&["service", "list"]).contains("alice"));
}

#[test]
fn logs_are_filtered_by_who_they_are_about() {
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    let _other = Agent::start_as(&fixture.machine, "other", &["22"]);
    is_alive(&mut fixture.proxy.connect());
    fixture.hub.wait_activity("streamClosed", None);
    let words = |arguments: &[&str]| fixture.hub.ask(&[&["logs"], arguments].concat());
    assert!(words(&["--device", "other"]).contains("deviceConnected"));
    assert!(!words(&["--device", "other"]).contains("streamOpened"));
    assert!(words(&["--device", DEVICE]).contains("streamOpened"));
    assert_eq!(words(&["--service", "nobody"]), "");
    for line in words(&["--json"]).lines() {
        let entry = json(line);
        assert!(
            entry["time"].is_string() && entry["operationName"].is_string() && entry["properties"].is_object(),
            "{line}"
        );
    }
}

#[test]
fn without_a_hub_its_commands_report_that() {
    for arguments in [&["hub", "show"][..], &["hub", "device", "list"], &["hub", "device", "add", "x"]] {
        let machine = Machine::new();
        let finished = machine.run(arguments);
        assert!(
            finished.code == Some(1) && finished.stderr.contains("no hub of this user runs here: "),
            "{finished:?}"
        );
        let beside = [arguments, &["--state-dir", "my state"]].concat();
        let finished = machine.run(&beside);
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("there is no state directory my state"), "{finished:?}");
        let advice = "start a hub with this one: `devstream hub --state-dir 'my state'`";
        assert!(finished.stderr.contains(advice), "{finished:?}");
    }
}

#[test]
fn an_invalid_log_filter_is_refused() {
    let machine = Machine::new().with("DEVSTREAM_LOG", "debgu");
    let finished = machine.run(&["hub", "--listen", "127.0.0.1:0"]);
    assert!(finished.code == Some(2) && finished.stderr.contains("invalid DEVSTREAM_LOG"), "{finished:?}");
    let _hub = Hub::start(&Machine::new().with("DEVSTREAM_LOG", "info,rustls=debug"));
}

#[test]
fn a_port_in_use_is_reported_with_the_flag_that_sets_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let (port, address) = (address.port(), address.to_string());
    let (url, own) = (format!("wss://{address}"), ["hub", "--listen", "127.0.0.1:0"]);
    for (flags, flag) in [
        (&["hub", "--listen", &address][..], "--listen"),
        (&[&own[..], &["--metrics", &address]].concat(), "--metrics"),
        (&[&own[..], &["--streaming-endpoint", &url, "--streaming-listen", &address]].concat(), "--streaming-listen"),
    ] {
        let finished = Machine::new().run(flags);
        let said = format!("(port {port} is in use; `ss -tlnp` shows by what; choose another with {flag}): Address");
        assert!(finished.code == Some(2) && finished.stderr.contains(&said), "{finished:?}");
    }
}

#[test]
fn an_unusable_state_directory_is_a_failure_and_no_usage_error() {
    let machine = Machine::new();
    drop(Hub::start(&machine));
    let registry = machine.home().join(".local/share/devstream/hub/registry.sqlite");
    // SQLite would repair it from its journal.
    let _ = ["-wal", "-shm"].map(|end| fs::remove_file(format!("{}{end}", registry.display())));
    fs::write(registry, "once upon a time").expect("a file");
    let finished = machine.run(&["hub", "--listen", "127.0.0.1:0"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("registry.sqlite"), "{finished:?}");
}

#[test]
fn too_many_forwards_are_reported_at_once() {
    let forwards: Vec<_> = (1..=257).map(|port| format!("--forward=127.0.0.1:{port}")).collect();
    let arguments: Vec<_> = ["device-agent"].into_iter().chain(forwards.iter().map(String::as_str)).collect();
    let finished = Machine::new().run(&arguments);
    assert!(finished.code == Some(2) && finished.stderr.contains("257 forwards are more than"), "{finished:?}");
}

#[test]
fn secrets_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = OneMachine::forwarding(closed_port());
    let mut folders = vec![fixture.machine.home().join(".local/share/devstream")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            let file_type = entry.file_type().unwrap();
            if file_type.is_dir() {
                assert_eq!(mode, 0o700, "{:?}", entry.path());
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().contains("key") {
                assert_eq!(mode, 0o600, "{:?}", entry.path());
                files += 1;
            }
        }
    }
    assert!(files >= 2, "the hub's key and the roles' keys");
}

#[test]
fn the_demo_works_unattended_and_ends_on_a_signal() {
    let target = Target::echo();
    let machine = Machine::new();
    let demo = machine.start(&["demo", "--local", "0", "--forward", &target.port.to_string()]);
    let line = demo.find_line(0, " on 127.0.0.1:", TIMEOUT).unwrap_or_else(|| panic!("{demo}"));
    let port: u16 =
        line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).unwrap_or_else(|| panic!("{line}"));
    is_alive(&mut crate::support::roles::connect(port));
    demo.signal("INT");
    let finished = demo.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn colours_are_for_terminals_without_no_color() {
    let machine = Machine::new();
    let terminal = |machine: &Machine| {
        let mut script = machine.clone().with("TERM", "xterm").command("script");
        let line = format!("{} --help", crate::support::machine::DEVSTREAM);
        Process::start(script.args(["-qec", &line, "/dev/null"])).finish().stdout
    };
    let is_coloured = |text: &str| text.contains("\u{1b}[");
    assert!(is_coloured(&terminal(&machine)), "else this shows nothing");
    assert!(!is_coloured(&terminal(&machine.clone().with("NO_COLOR", "1"))));
    assert!(!is_coloured(&machine.ask(&["--help"])));
    let refused = machine.run(&["service-proxy", "--device", DEVICE, "--stdio"]);
    assert!(!is_coloured(&refused.stderr) && !refused.stderr.is_empty(), "{refused:?}");
}

#[test]
fn a_quiet_hub_prints_nothing_unless_something_is_wrong() {
    let machine = Machine::new();
    let hub = machine.start(&["-q", "hub", "--listen", "127.0.0.1:0"]);
    poll("the hub", || (machine.run(&["hub", "show"]).code == Some(0)).then_some(()));
    let added = machine.run(&["-q", "hub", "service", "add", "alice"]);
    assert!(added.stdout.contains("devstream join '"), "what was asked for: {added:?}");
    assert!(added.stderr.contains("may not reach any device yet") && !added.stderr.contains("Run this"), "{added:?}");
    assert_eq!(machine.run(&["-q", "hub", "service", "disable", "alice"]).stderr, "");
    hub.signal("TERM");
    assert_eq!(hub.finish().stderr, "");
}

#[test]
fn every_change_says_what_was_done() {
    let target = Target::echo();
    let OneMachine { proxy, agent: _agent, hub, machine } = OneMachine::forwarding(target.port);
    let (mut first, mut second) = (proxy.connect(), proxy.connect());
    is_alive(&mut first);
    is_alive(&mut second);
    let streams: Vec<StreamStatus> = hub.json(&["streams"]);
    let (service, stream) = (streams[0].service.to_string(), streams[0].id.to_string());
    hub.service_link("alice");
    hub.link(&["enroll", "add", "--device", "*", "--uses", "1"]);
    let added_again = "; the hub's own user is added again, with access to everything, at the next use: to bar that, `devstream \
                       hub service disable local`";
    for (arguments, said) in [
        (&["streams", "kill", &stream][..], format!("stream {stream} was ended\n")),
        (&["device", "disable", DEVICE], format!("device {DEVICE} is disabled; its connection and 1 stream ended\n")),
        (&["device", "disable", DEVICE], format!("device {DEVICE} is disabled already; nothing was changed\n")),
        (
            &["device", "enable", DEVICE],
            format!(
                "device {DEVICE} is enabled; its agent connects again within 30 s, or at once if it is restarted\n"
            ),
        ),
        (&["service", "set", "alice", "--device", "pi-*"], "service alice may reach pi-*, streams *\n".into()),
        (
            &["service", "set", "alice"],
            "service alice may reach pi-*, streams *, as before; nothing was changed\n".into(),
        ),
        (&["service", "remove", &service], format!("service {service} is removed; it had no streams{added_again}\n")),
        (&["enroll", "remove", "1"], "enrolment key 1 is revoked; devices that joined with it stay\n".into()),
    ] {
        assert_eq!(machine.run(&[&["hub"], arguments].concat()).stderr, said);
    }
    let changes = |result: &str| {
        let lines = hub.activity();
        lines.iter().filter(|line| line["operationName"] == "identityChanged" && line["resultType"] == result).count()
    };
    assert_eq!(["disabled", "rescoped"].map(changes), [1, 1], "what changed nothing is no change in the log");
}

#[test]
fn quiet_logs_warnings_and_errors_and_verbose_logs_more() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let target = Target::echo();
    let forward = target.port.to_string();
    let lines = |flag: &[&str]| {
        let agent = machine.start(&[&["device-agent", "--id", DEVICE, "--forward", &forward], flag].concat());
        let seen = || machine.ask(&["status"]).contains("connected");
        crate::support::poll("the agent", || seen().then_some(()));
        agent.signal("TERM");
        agent.finish().stderr
    };
    assert_eq!(lines(&["-q"]), "");
    let (usual, more) = (lines(&[]), lines(&["-v"]));
    assert!(usual.contains("is online") && !usual.contains("debug: "), "{usual}");
    assert!(more.contains("is online") && more.contains("debug: "), "{more}");
}

#[test]
fn a_proxys_device_is_named_by_position_by_flag_or_by_environment_and_once() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let from_environment = machine.clone().with("DEVSTREAM_DEVICE", "other");
    for (machine, named, device) in [
        (&machine, &["pi-42"][..], "pi-42"),
        (&machine, &["--device", "pi-42"], "pi-42"),
        (&from_environment, &["pi-42"], "pi-42"),
        (&from_environment, &[], "other"),
    ] {
        let proxy = machine.start(&[&["service-proxy", "--local", "0"], named].concat());
        proxy.wait_line(&format!("service-proxy: {device} on 127.0.0.1:"));
    }
    let two = machine.run(&["service-proxy", "pi-42", "--device", "pi-42", "--local", "0"]);
    assert!(two.code == Some(2) && two.stderr.contains("two devices are named"), "{two:?}");
    let none = machine.run(&["service-proxy", "--local", "0"]);
    assert!(none.code == Some(2) && none.stderr.contains("--device <ID>"), "{none:?}");
}

#[test]
fn a_hub_listens_on_a_port_that_is_given_alone() {
    let machine = Machine::new();
    for port in ["0", ":0"] {
        let hub = machine.start(&["hub", "--listen", port]);
        let line = hub.wait_line("hub: listening on https://");
        assert!(["https://[::]:", "https://0.0.0.0:"].iter().any(|all| line.contains(all)), "{line}");
        hub.signal("TERM");
        hub.finish();
    }
    let wrong = machine.run(&["hub", "--listen", "localhost"]);
    assert!(wrong.stderr.contains("expected ADDR:PORT or a port"), "{wrong:?}");
}

#[test]
fn global_options_are_together_at_the_end_of_the_help() {
    let machine = Machine::new();
    for command in [&["hub"][..], &["service-proxy"], &["hub", "device", "add"], &["ssh"]] {
        let help = machine.ask(&[command, &["--help"]].concat());
        let (own, global) = help.split_once("Global options:\n").unwrap_or_else(|| panic!("{help}"));
        let global = global.split("\n\nExamples:").next().expect("its options");
        for flag in ["--verbose", "--quiet", "--log-format", "--profile"] {
            assert!(global.contains(flag) && !own.contains(&format!("{flag} ")), "{flag}: {help}");
        }
        assert_eq!(global.contains("--state-dir <DIR>"), command[0] == "hub", "{help}");
        let is_heading = |line: &str| line.ends_with(':') && !line.starts_with(' ');
        assert!(!global.lines().any(is_heading), "no other heading follows: {help}");
    }
}
