//! `devstream status`: running roles, their hubs and identities, as reported by the roles themselves.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _, pipe};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use devstream::net::os::clock;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::status::{RoleState, RoleStatus};
use serde_json::Value;

use crate::support::bytes::MIB;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, ServiceProxy, assert_is, connect};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, SOON, poll, within};

#[test]
fn an_agent_reports_connected_and_without_the_hub_retrying_with_the_reason() {
    let (start, hub_machine, device) = (clock::now_utc(), Machine::new(), Machine::new());
    let hub = Hub::start(&hub_machine);
    let (port, address) = (hub.port, hub.address());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &["22", "web=8080"]);

    let online = role(&device, RoleState::Connected);
    assert_eq!((online.role.as_str(), online.identity.to_string()), ("device-agent", format!("device {DEVICE}")));
    assert_eq!(
        (online.process, online.hub.as_ref().map(ToString::to_string)),
        (agent.process.id(), Some(address.clone()))
    );
    assert!(online.since >= start && online.state_since >= online.since && online.last_error.is_none(), "{online:?}");
    assert_eq!(online.endpoints, ["offers ssh=22", "offers web=8080"]);
    let text = device.ask(&["status"]);
    for part in
        ["device-agent", DEVICE, &address, "connected since", "offers ssh", "joined", &online.process.to_string()]
    {
        assert!(text.contains(part), "no {part} in {text}");
    }

    drop(hub);
    let retrying = role(&device, RoleState::Retrying);
    let error = retrying.last_error.expect("a reason");
    assert!(retrying.state_since >= online.state_since && error.at >= retrying.state_since, "{error:?}");
    let text = device.ask(&["status"]);
    assert!(text.contains("retrying since") && text.contains(&address), "{text}");
    assert!(text.contains("cannot be reached") || text.contains("lost the connection to the hub"), "{text}");

    let _hub = Hub::start_on(&hub_machine, port, &[]);
    assert!(role(&device, RoleState::Connected).last_error.is_some(), "what was wrong can still be read");
    assert!(!device.ask(&["status"]).contains("cannot be reached"), "but is not in the way");
}

#[test]
fn a_stream_that_waits_for_its_device_is_not_shown_as_open() {
    let (machine, echo) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    hub.device_link(DEVICE);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["--connect-timeout", "60"]);
    let mut local = proxy.connect();
    let status = poll("the stream", || Some(machine.ask(&["status"])).filter(|text| text.contains("streams: 1")));
    assert!(status.contains(", waiting for its device ("), "{status}");
    assert!(role(&machine, RoleState::Listening).oldest_streams[0].waiting);
    let _agent = Agent::start(&machine, &[&echo.port.to_string()]);
    is_alive(&mut local);
    let status = machine.ask(&["status"]);
    assert!(status.contains(", for ") && !status.contains("waiting"), "{status}");
}

#[test]
fn open_streams_are_reported_at_both_ends() {
    let (machine, echo) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &[&format!("target={}", echo.port)]);
    let proxy = ServiceProxy::start(&machine);
    let both = |wanted: usize| {
        poll("the streams", || {
            let roles: [RoleStatus; 2] = roles(&machine).try_into().expect("two roles");
            roles.iter().all(|role| role.streams == wanted && role.oldest_streams.len() == wanted).then_some(roles)
        })
    };
    both(0);
    // The second one opens on a standby.
    for number in 1..=3 {
        let mut local = proxy.connect();
        is_alive(&mut local);
        let [device, service] = both(1);
        assert_eq!([device.process, service.process], [agent.process.id(), proxy.process.id()]);
        let from = local.local_addr().unwrap();
        assert_eq!(service.oldest_streams[0].description, format!("{DEVICE} from {from}"));
        assert!(device.oldest_streams[0].description.starts_with("target for "), "{device:?}");
        assert_eq!((service.state, service.endpoints.len()), (RoleState::Listening, 1), "{number}");
        let text = machine.ask(&["status"]);
        for part in [&format!("{DEVICE} from {from}, for "), "target for ", "hub", &hub.process.id().to_string()] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        drop(local);
        both(0);
    }
    assert_eq!(report(&machine)["hub"]["online"], 1);
    drop(agent);
    drop(proxy.connect());
    poll("the failure", || roles(&machine).into_iter().find(|role| role.state == RoleState::Failing));
    assert!(machine.ask(&["status"]).contains("offline"), "the last error is told");
}

#[test]
fn a_proxy_with_one_target_that_refuses_is_listening_and_reports_that_error() {
    let (machine, echo) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("ssh={}", echo.port), &format!("web={}", closed_port())]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=ssh", &["--local", "0=web"]);
    let mut local = proxy.connect();
    is_alive(&mut local);
    drop(connect(proxy.port_for(DEVICE, "0=web")));
    let refused = |role: &RoleStatus| role.role == "service-proxy" && role.last_error.is_some();
    let role = poll("the error", || roles(&machine).into_iter().find(refused));
    assert_eq!(role.state, RoleState::Listening, "{role:?}");
    let text = machine.ask(&["status"]);
    let at = role.last_error.expect("an error").at;
    let error = format!("last error {at}: pi-42/web #2: the target refused the connection");
    assert!(text.contains("listening since") && text.contains(&error) && !text.contains("failing"), "{text}");
}

#[test]
fn a_proxy_reports_retrying_until_its_stream_has_resumed() {
    let (machine, echo) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("target={}", echo.port)]);
    let proxy = ServiceProxy::start(&machine);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let wait = |state| {
        let proxy = |role: &RoleStatus| role.role == "service-proxy" && role.state == state;
        poll("the state", || roles(&machine).into_iter().find(proxy))
    };
    let port = hub.port;
    hub.process.kill();
    let error = wait(RoleState::Retrying).last_error.expect("a reason");
    assert!(error.reason.contains("pi-42 #1: interrupted"), "{error:?}");
    drop(hub);
    let _hub = Hub::start_on(&machine, port, &[]);
    is_alive(&mut local);
    assert_eq!(wait(RoleState::Listening).streams, 1);
}

#[test]
fn roles_that_let_their_streams_go_on_before_they_end_are_ending() {
    let (machine, echo) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &[&format!("target={}", echo.port)]);
    let proxy = ServiceProxy::start(&machine);
    let [mut first, second] = [proxy.connect(), proxy.connect()];
    is_alive(&mut first);
    for process in [&proxy.process, &agent.process] {
        process.signal("INT");
        let is_ending = |role: &RoleStatus| role.process == process.id() && role.state == RoleState::Ending;
        poll("the state", || roles(&machine).into_iter().find(is_ending));
    }
    // The end of one stream changes nothing for the others.
    drop(second);
    is_alive(&mut first);
    let one_stream = |role: &RoleStatus| role.streams == 1;
    poll("the end of a stream", || roles(&machine).iter().all(one_stream).then_some(()));
    let text = machine.ask(&["status"]);
    assert!(text.matches("ending since").count() == 2 && !text.contains("connected since"), "{text}");
}

#[test]
fn a_proxy_command_is_reported_while_it_runs() {
    let (machine, echo) = (Machine::new(), Target::echo());
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("echo={}", echo.port)]);
    let (input, held) = pipe().unwrap();
    let mut command = machine.command(DEVSTREAM);
    command.args(["service-proxy", "--device", DEVICE, "--stream", "echo", "--stdio"]);
    let session = Process::start_with_stdin(&mut command, input.into(), Vec::new());
    let mut told = poll("the session", || {
        let role = roles(&machine).into_iter().find(|role| role.process == session.id())?;
        (role.state == RoleState::Connected).then_some(role)
    });
    assert_eq!((told.role.as_str(), told.streams), ("service-proxy", 1), "{told:?}");
    assert_eq!(told.endpoints, [format!("{DEVICE}/echo on standard input and output")]);
    assert_eq!(told.oldest_streams.remove(0).description, format!("{DEVICE}/echo"));
    drop(held);
    let finished = session.finish();
    assert_eq!((finished.code, finished.stdout + &finished.stderr), (Some(0), String::new()));
    assert_eq!(roles(&machine).len(), 1);
}

#[test]
fn status_ignores_roles_of_other_machines_in_a_shared_home() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let agent = Agent::start(&machine, &["22"]);
    let place = machine.home().join(".local/share/devstream/run");
    // Over NFS it looks like this: it exists, and refuses connections.
    let elsewhere = place.join("device-agent-7@elsewhere.sock");
    drop(UnixListener::bind(&elsewhere).unwrap());
    // Containers leave many, and none of them is asked in place of what runs here.
    (0..600).for_each(|number| drop(UnixListener::bind(place.join(format!("hub-1@container{number}.sock"))).unwrap()));
    let told = roles(&machine).iter().map(|role| role.process).collect::<Vec<_>>();
    assert_eq!((told, elsewhere.exists()), (vec![agent.process.id()], true));
}

#[test]
fn status_from_another_users_process_is_sanitised_and_bounded() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &["22"]);
    let place = machine.home().join(".local/share/devstream/run");
    let mut evil = roles(&machine).remove(0);
    (evil.role, evil.version) = ("\u{9b}31mdevice\u{1b}[2J".into(), "1\nhub: all is well\u{202e}".into());
    evil.endpoints = vec!["\u{1b}]0;title\u{7}".into()];
    let said = serde_json::to_string(&evil).unwrap() + "\n";
    let written = Arc::new(AtomicUsize::new(0));
    answering(&place.join("evil.sock"), move |stream| drop(stream.write_all(said.as_bytes())));
    let count = written.clone();
    answering(&place.join("endless.sock"), move |stream| {
        while let Ok(more) = stream.write(&[b'x'; 4096]) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    });
    for arguments in [&["status"][..], &["status", "--json"]] {
        let text = machine.ask(arguments);
        let acts = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!text.contains(acts) && !text.contains("\nhub: all is well"), "{text:?}");
        assert!(text.contains("31mdevice") && text.contains("endless.sock"), "{text}");
    }
    // Twice what is taken, and what the kernel keeps between.
    assert!(written.load(Ordering::Relaxed) < 2 * MIB as usize, "{written:?}");
}

#[test]
fn a_killed_role_is_not_reported_and_leaves_no_socket() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let (agent, other) = (Agent::start(&machine, &["22"]), Agent::start_as(&machine, "other", &["22"]));
    let place = machine.home().join(".local/share/devstream/run");
    let files = || fs::read_dir(&place).unwrap().flatten().collect::<Vec<_>>();
    assert_eq!((roles(&machine).len(), files().len()), (2, 2));
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&files()[0].path())), (0o700, 0o600));
    agent.process.kill();
    assert_eq!(files().len(), 2);
    let left = roles(&machine);
    assert_eq!(left.iter().map(|role| role.process).collect::<Vec<_>>(), [other.process.id()]);
    assert_eq!(files().len(), 1);
    other.process.signal("TERM");
    other.process.wait_end();
    assert_eq!((roles(&machine).len(), files().len()), (0, 0));
}

#[test]
fn a_suspended_role_is_reported_without_delay() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let (stopped, _other) = (Agent::start(&machine, &["22"]), Agent::start_as(&machine, "other", &["22"]));
    stopped.process.signal("STOP");
    let text = within(SOON, "the others' status", || machine.ask(&["status"]));
    assert!(text.contains(&format!("device-agent-{}-", stopped.process.id())), "{text}");
    assert!(text.contains("no answer at ") && text.contains("device other"), "{text}");
    stopped.process.signal("CONT");
    assert_eq!(roles(&machine).len(), 2);
}

#[test]
fn without_a_running_role_status_shows_the_stored_identities() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let finished = machine.run(&["status"]);
    assert!(finished.stdout.is_empty(), "{finished:?}");
    assert_is(&finished, RefusalKind::NotJoined);
    machine.ask(&["join", &hub.service_link("alice")]);
    let finished = machine.run(&["status"]);
    assert_eq!(finished.stdout, format!("joined {} as service alice\n", hub.address()));
    assert!(finished.code == Some(0) && finished.stderr.contains("no role of this user runs here"), "{finished:?}");
    let report = report(&machine);
    assert!(report["hub"].is_null() && report["roles"] == Value::Array(Vec::new()), "{report}");
    assert_eq!(report["identities"][0]["identity"]["id"], "alice", "{report}");
}

#[test]
fn the_service_manager_sets_the_status_sockets_path_and_it_is_optional() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let directory = machine.home().join("runtime");
    // A unit may have several; systemd puts a colon between.
    let several = format!("{}:{}", directory.display(), machine.home().join("second").display());
    let given = machine.clone().with("RUNTIME_DIRECTORY", &several);
    let _agent = Agent::start(&given, &["22"]);
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 1);
    let nowhere = machine.clone().with("RUNTIME_DIRECTORY", "/dev/null/nowhere");
    let other = Agent::start_as(&nowhere, "other", &["22"]);
    other.process.wait_line("`devstream status` cannot show this role");
    assert!(roles(&machine).is_empty());
}

/// A process of another user, which answers every request.
fn answering(socket: &Path, answer: impl Fn(&mut UnixStream) + Send + 'static) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = BufReader::new(&stream).read_line(&mut String::new());
            answer(&mut stream);
        }
    });
}

fn report(machine: &Machine) -> Value {
    let text = machine.ask(&["status", "--json"]);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn roles(machine: &Machine) -> Vec<RoleStatus> {
    serde_json::from_value(report(machine)["roles"].take()).expect("roles")
}

/// The only one, once it is in this state.
fn role(machine: &Machine, state: RoleState) -> RoleStatus {
    poll("the state", || {
        let [role] = roles(machine).try_into().expect("one role");
        (role.state == state).then_some(role)
    })
}
