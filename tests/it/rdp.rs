//! `devstream rdp` with a fake client: its arguments, and the cleanup.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use devstream::proto::refusal::RefusalKind;

use crate::ssh::fake;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, assert_is, connect};
use crate::support::targets::{Target, closed_port, is_alive};
use crate::support::{DEVICE, poll};

/// Connects to the file's address, and prints the response, its arguments and the file's path.
const CLIENT: &str = r#"
address=$(sed -n 's/\r$//; s/^full address:s://p' "$1")
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
echo hello >&3; read -r answer <&3
echo "$answer" "${@:2}"; echo "$1" >file
exit "$(cat code)""#;

/// Connects, prints the address and its process id, and stays.
const SLOW_CLIENT: &str = r#"
address=$(sed -n 's/\r$//; s/^full address:s://p' "$1")
exec 3<>"/dev/tcp/${address%:*}/${address##*:}"
echo hello >&3; read -r answer <&3
echo "client $address $$"; read -r more <&3"#;

struct Fixture {
    machine: Machine,
    agent: Agent,
    hub: Hub,
    _target: Target,
}

impl Fixture {
    fn new() -> Self {
        let (machine, target) = (Machine::new(), Target::echo());
        let hub = Hub::start(&machine);
        let agent = Agent::start(&machine, &["ssh=1", &format!("rdp={}", target.port)]);
        Self { machine, agent, hub, _target: target }
    }

    /// Creates a machine with an empty PATH.
    fn without_clients(&self) -> Machine {
        self.machine.clone().with("PATH", &self.machine.home().join("nothing").display().to_string())
    }
}

#[test]
fn the_rdp_client_connects_to_the_desktop_and_its_exit_ends_the_command() {
    let fixture = Fixture::new();
    let home = fixture.machine.home();
    for (name, status, code) in [("xfreerdp", 0, 0), ("xfreerdp", 12, 0), ("xfreerdp3", 0, 0), ("xfreerdp3", 131, 1)] {
        let machine = fake(&fixture.machine, name, &format!("echo {name}\n{CLIENT}"));
        fs::write(home.join("code"), status.to_string()).unwrap();
        let finished = machine.run(&["rdp", DEVICE, "/u:alice"]);
        assert_eq!(finished.code, Some(code), "{name} {status}: {finished:?}");
        assert_eq!(finished.stdout, format!("{name}\nhello /cert:name:pi-42 /u:alice\n"), "{finished:?}");
        assert_eq!(code != 0, finished.stderr.contains("exit status: 131"), "{finished:?}");
        let file = fs::read_to_string(home.join("file")).unwrap();
        assert!(file.contains("pi-42.rdp") && !Path::new(file.trim()).exists(), "{file}");
        poll("its stream's end", || (fixture.hub.ask(&["streams", "--json"]).trim() == "[]").then_some(()));
    }
    assert!(!fixture.agent.process.log().contains("interrupted"), "{}", fixture.agent.process);
}

#[test]
fn an_rdp_client_without_execute_permission_is_ignored() {
    let fixture = Fixture::new();
    let machine = fake(&fixture.machine, "xfreerdp", &format!("echo another\n{CLIENT}"));
    fs::write(machine.home().join("programs/xfreerdp3"), "").unwrap();
    fs::write(machine.home().join("code"), "0").unwrap();
    let finished = machine.run(&["rdp", DEVICE]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.starts_with("another\n"), "{finished:?}");
}

#[test]
fn an_rdp_client_that_exits_without_connecting_is_a_failure() {
    let fixture = Fixture::new();
    let finished = fake(&fixture.machine, "xfreerdp", "exit 1").run(&["rdp", DEVICE]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("xfreerdp exited without connecting (exit status: 1)"), "{finished:?}");
}

#[test]
fn a_device_has_the_same_port_each_time_and_two_sessions_have_two() {
    let fixture = Fixture::new();
    let machine = fixture.without_clients();
    let start = || {
        let rdp = machine.start(&["rdp", "--no-client", "of-this-test-alone"]);
        let line = rdp.wait_line("rdp: of-this-test-alone/rdp on 127.0.0.1:");
        (line, rdp)
    };
    let (first, one) = start();
    let (second, _two) = start();
    assert_ne!(first, second);
    one.signal("TERM");
    one.finish();
    assert_eq!(start().0, first);
}

#[test]
fn ctrl_c_at_an_rdp_client_ends_its_stream_cleanly() {
    let fixture = Fixture::new();
    let machine = fake(&fixture.machine, "xfreerdp", SLOW_CLIENT);
    // The client's end and that of its connection come in any order.
    for _ in 0..8 {
        let rdp = machine.start(&["rdp", DEVICE]);
        let said = rdp.wait_line("client ");
        let [address, client] = [1, 2].map(|word| said.split(' ').nth(word).unwrap());
        rdp.signal("INT");
        poll("the end of listening", || TcpListener::bind(address).ok());
        let kill = format!("kill -s INT {client}");
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let finished = rdp.finish();
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert!(finished.stderr.contains("closed; up") && !finished.stderr.contains("warning"), "{finished:?}");
    }
    assert!(!fixture.agent.process.log().contains("interrupted"), "{}", fixture.agent.process);
}

#[test]
fn without_an_rdp_client_the_address_is_printed_and_served_until_a_signal() {
    let fixture = Fixture::new();
    let rdp = fixture.without_clients().start(&["rdp", DEVICE]);
    let advice = rdp.wait_line("with another client, or connect it to ");
    let address: SocketAddr = word_after(&advice, "connect it to ").trim_end_matches(';').parse().unwrap();
    assert!(rdp.log().contains("xfreerdp3"), "{rdp}");
    is_alive(&mut connect(address.port()));
    rdp.signal("TERM");
    assert_eq!(rdp.finish().code, Some(0));
}

#[test]
fn with_no_client_the_address_and_the_file_are_all_that_is_printed() {
    let fixture = Fixture::new();
    let machine = fake(&fixture.machine, "xfreerdp3", "echo started");
    let rdp = machine.start(&["rdp", "--no-client", DEVICE]);
    rdp.wait_line("rdp: serving until Ctrl-C");
    let file = rdp.wait_line("/pi-42.rdp");
    let content = fs::read_to_string(&file).unwrap();
    let address: SocketAddr = word_after(&content, "full address:s:").parse().unwrap();
    assert!(address.ip().is_loopback());
    is_alive(&mut connect(address.port()));
    rdp.signal("INT");
    let finished = rdp.finish();
    assert_eq!((finished.code, finished.stdout), (Some(0), format!("{address}\n{file}\n")));
    assert!(!Path::new(&file).exists());
}

#[test]
fn rdp_reports_a_stream_that_would_be_refused_before_a_client_starts() {
    let fixture = Fixture::new();
    fixture.hub.device_link("off");
    let _bare = Agent::start_as(&fixture.machine, "bare", &["ssh=1"]);
    let machine = fake(&fixture.machine, "xfreerdp3", "echo started");
    for (arguments, kind, advice) in [
        (&["nobody"][..], RefusalKind::UnknownDevice, "`devstream devices` lists"),
        (&["off"], RefusalKind::DeviceOffline, "run the `devstream join` command that the hub printed)"),
        (
            &["--stream", "web", DEVICE],
            RefusalKind::StreamNotOffered,
            "with --forward web=3389 as well; or choose a name that it offers with --stream NAME",
        ),
        (
            &["--no-client", "bare"],
            RefusalKind::StreamNotOffered,
            "offer it: on bare, start `devstream device-agent` with \
         --forward 3389 as well; or choose",
        ),
    ] {
        let refused = machine.run(&[&["rdp"], arguments].concat());
        assert_is(&refused, kind);
        assert!(refused.stdout.is_empty() && refused.stderr.contains(advice), "{refused:?}");
    }
    let waited = machine.run(&["rdp", "--connect-timeout", "1", "off"]);
    assert!(waited.stdout == "started\n" && !waited.stderr.contains("waits for it"), "{waited:?}");
}

#[test]
fn rdp_takes_the_proxy_to_the_hub() {
    let fixture = Fixture::new();
    let proxy = format!("http://127.0.0.1:{}", closed_port());
    fixture.without_clients().start(&["rdp", "--via", &proxy, DEVICE]).wait_line("cannot be reached");
}

#[test]
fn rdp_uses_the_service_proxys_settings() {
    let fixture = Fixture::new();
    let directory = fixture.machine.home().join(".config/devstream");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("config.toml"), "[service-proxy]\nlocal = [\"0=x\"]\nhub = \"127.0.0.1:1\"\n").unwrap();
    let rdp = fixture.without_clients().start(&["rdp", DEVICE]);
    let line = rdp.wait_line("rdp: pi-42/rdp on 127.0.0.1:");
    let _connection = connect(line.rsplit(':').next().unwrap().parse().unwrap());
    rdp.wait_line("cannot be reached");
}

fn word_after<'a>(text: &'a str, mark: &str) -> &'a str {
    text.split_once(mark).and_then(|(_, rest)| rest.split_whitespace().next()).unwrap_or_else(|| panic!("{text}"))
}
