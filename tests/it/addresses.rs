//! The names and addresses of a hub: in links, in its certificate, through proxies, and what is said where they do not fit.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::thread;

use devstream::proto::refusal::RefusalKind;

use crate::support::disk::STATE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::roles::{Hub, assert_is};
use crate::support::targets::closed_port;

#[test]
fn a_hub_without_a_name_of_its_own_says_so_wherever_it_prints_a_link() {
    let (machine, port) = (Machine::new(), ports::reserve());
    let hub = Hub::start_at(&machine, &format!("[::]:{port}"), &[]);
    hub.process.wait_line("hub: join links have this machine's own name, ");
    // Links that were made before have the port that it has.
    let both = format!("start the hub with --listen '[::]:443' --listen '[::]:{port}'");
    assert!(hub.process.log().contains(&both), "{}", hub.process);
    for add in [
        &["device", "add", "pi-1"][..],
        &["device", "rotate", "pi-1"],
        &["service", "add", "alice"],
        &["enroll", "add", "--device", "*", "--uses", "1"],
    ] {
        let added = machine.run(&[&["hub"], add].concat());
        assert!(added.stderr.contains("the link has this machine's own name, "), "{added:?}");
        assert!(added.stderr.contains("restart the hub with --hostname NAME, and run this again"), "{added:?}");
    }
    let checked = machine.run(&["hub", "check"]).stdout;
    assert!(checked.contains(&format!("listening [::]:{port}, ")), "{checked}");
    assert!(checked.contains("cause: join links have this machine's own name, "), "{checked}");
    assert!(checked.contains("next: if so, start the hub with --hostname NAME"), "{checked}");
    drop(hub);

    let hub = Hub::start_at(&machine, &format!("[::]:{port}"), &["--hostname", "hub.invalid"]);
    let added = machine.run(&["hub", "device", "add", "pi-2"]);
    assert!(added.stdout.contains("//hub.invalid:") && !added.stderr.contains("the link has"), "{added:?}");
    let checked = machine.run(&["hub", "check"]).stdout;
    assert!(checked.contains("start the hub with --hostname NAME"), "{checked}");
    assert!(!checked.contains("--hub ") && !checked.contains("--via "), "it takes neither: {checked}");
    drop(hub);

    let hub = Hub::start(&machine);
    let added = machine.run(&["hub", "device", "add", "pi-3"]);
    let next =
        format!("this machine only: for others, restart the hub with --listen '[::]:{}' --hostname NAME", hub.port);
    assert!(added.stderr.contains(&next), "{added:?}");
}

#[test]
fn a_hub_that_listens_for_others_is_not_told_to_listen_for_them() {
    let (machine, port) = (Machine::new(), ports::reserve());
    for name in ["127.0.0.1", "localhost"] {
        let hub = Hub::start_at(&machine, &format!("[::]:{port}"), &["--hostname", name]);
        hub.process
            .wait_line(&format!("hub: join links have {name}, which is every machine itself; open it to others with"));
        let added = machine.run(&["hub", "device", "add", &format!("at-{name}")]).stderr;
        let next = format!(
            "the link has {name}, which is every machine itself: for others, restart the hub with --hostname NAME"
        );
        assert!(added.contains(&next) && !format!("{added}{}", hub.process.log()).contains("--listen"), "{added}");
        let checked = machine.run(&["hub", "check"]).stdout;
        assert!(checked.contains(&format!("cause: {name} is every machine itself: ")), "{checked}");
        assert!(checked.contains("next: start the hub with --hostname NAME"), "{checked}");
    }
}

#[test]
fn a_check_of_a_hub_whose_names_are_this_machine_itself_says_nothing_about_others() {
    let (machine, port) = (Machine::new(), ports::reserve());
    let check = |address: &str, names: &[&str]| {
        let names: Vec<_> = names.iter().flat_map(|name| ["--hostname", name]).collect();
        let hub = Hub::start_at(&machine, &format!("{address}:{port}"), &names);
        let checked = machine.run(&["hub", "check"]).stdout;
        (checked, hub.process.wait_line("with --"))
    };
    let (checked, said) = check("[::]", &["127.0.0.1"]);
    assert!(checked.contains("cause: 127.0.0.1 is every machine itself"), "{checked}");
    assert!(said.ends_with("open it to others with --hostname NAME"), "{said}");
    let (checked, said) = check("127.0.0.1", &["127.0.0.1", "localhost", "hub.invalid"]);
    assert!(
        said.contains(&format!("--listen '[::]:{port}'")) && checked.contains("cannot resolve hub.invalid"),
        "{said} {checked}"
    );
    assert!(checked.contains("cause: localhost is 127.0.0.1 here: this says nothing about other"), "{checked}");
    let (checked, said) = check("127.0.0.1", &["localhost"]);
    assert!(checked.contains("cause: it listens on this machine only"), "{checked}");
    assert!(said.contains("listens on this machine only: others reach localhost by what forwards to it"), "{said}");
    let own_port = format!("--listen '[::]:{port}'");
    assert!(said.contains(&own_port) && checked.contains(&own_port), "{said} {checked}");
    assert!(!check("127.0.0.1", &[]).0.contains("warning"), "nothing was said about other machines");
}

#[test]
fn a_hub_that_is_reached_by_a_name_it_does_not_know_is_told_apart_from_an_impostor() {
    let (machine, laptop) = (Machine::new(), Machine::new());
    let port = ports::reserve();
    let hub = Hub::start_at(&machine, &format!("0.0.0.0:{port}"), &["--hostname", "hub.example.com"]);
    let link = hub.service_link("alice").replace("//hub.example.com:", "//127.0.0.2:");
    let joined = laptop.run(&["join", &link]);
    assert_is(&joined, RefusalKind::WrongHubName);
    assert!(joined.stderr.contains("it calls itself hub.example.com"), "{joined:?}");
    assert!(joined.stderr.contains("not 127.0.0.2"), "{joined:?}");
    let next = joined
        .stderr
        .split_once("have the hub's command name them all, beside its other flags:")
        .expect("what to do")
        .1
        .trim();
    drop(hub);
    let names: Vec<_> = next.split(' ').collect();
    assert!(names.starts_with(&["--hostname", "hub.example.com"]) && names.ends_with(&["127.0.0.2"]), "{joined:?}");
    let _hub = Hub::start_at(&machine, &format!("0.0.0.0:{port}"), &names);
    laptop.ask(&["join", &link]);
}

#[test]
fn a_proxy_that_forbids_the_hubs_port_and_a_name_only_a_proxy_resolves_come_with_what_helps() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    let via = format!("http://{}", forbidding_proxy());
    let refused = laptop.run(&["devices", "--via", &via]);
    assert_is(&refused, RefusalKind::HubUnreachable);
    assert!(refused.stderr.contains("answered 403 Forbidden for 127.0.0.1:"), "{refused:?}");
    assert!(refused.stderr.contains("proxies often allow port 443 only, so have the hub listen there"), "{refused:?}");
    let checked = laptop.run(&["check", "--via", &via]).stdout;
    assert!(checked.contains("devstream hub --listen '[::]:443'") && checked.contains("--hub HOST:443"), "{checked}");

    let unresolved = laptop.run(&["devices", "--hub", "hub.invalid", "--via", "direct"]);
    let next = "); check the name; if the hub has moved: devstream profiles set --hub HOST:PORT; if this network reaches the \
                outside only through a proxy, --via http://HOST:PORT resolves the name there\n";
    assert!(unresolved.stderr.ends_with(next), "{unresolved:?}");
    let unresolved = laptop.run(&["devices", "--via", "http://proxy.invalid:3128"]);
    let next = "); check that name; --via URL sets another proxy, --via direct uses none\n";
    assert!(unresolved.stderr.ends_with(next), "{unresolved:?}");
    assert!(!refused.stderr.contains("any firewall"), "{refused:?}");
    let unusable = laptop.run(&["devices", "--via-login", "absent"]);
    let why = "devices: cannot use --via-login: cannot read absent: ";
    assert!(unusable.code == Some(1) && unusable.stderr.starts_with(why), "{unusable:?}");
    let dead = format!("127.0.0.1:{}", closed_port());
    let refused = laptop.run(&["devices", "--via", &format!("http://{dead}")]);
    let next = format!("check that the proxy {dead} is running and reached from here; --via URL sets another proxy");
    assert!(refused.code == Some(25) && refused.stderr.contains(&next), "{refused:?}");
    let checked = laptop.run(&["check", "--hub", "hub.invalid", "--via", "direct"]).stdout;
    assert!(checked.contains("--via http://HOST:PORT has the proxy resolve it"), "{checked}");
}

#[test]
fn an_unusable_login_file_fails_the_proxys_row_with_the_command_that_mends_it() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    let file = laptop.home().join("login");
    fs::write(&file, "alice:secret\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let name = file.display().to_string();
    let checked = laptop.run(&["check", "--via", "http://127.0.0.1:9", "--via-login", &name]).stdout;
    let row = checked.lines().find(|line| line.contains("FAILED")).unwrap_or_default();
    assert!(row.starts_with("proxy ") && row.ends_with(&format!("--via-login {name}")), "{checked}");
    assert!(checked.contains(&format!("and run: chmod 600 {name}")), "{checked}");
}

/// The number of a user who owns nothing.
const USER: &str = "65534";

/// The program as that user runs it, who has only what is his in the machine's home.
fn as_another_user(machine: &Machine, arguments: &[&str]) -> Command {
    fs::set_permissions(machine.home(), fs::Permissions::from_mode(0o755)).unwrap();
    // The test's program may lie where only root reaches it. Copied by another process: this one's other threads start
    // programs meanwhile, which would hold the copy open for writing.
    let program = machine.home().join("program");
    if !program.exists() {
        let copied = Process::start(machine.command("cp").arg(DEVSTREAM).arg(&program)).finish();
        assert_eq!(copied.code, Some(0), "{copied:?}");
    }
    let mut command = machine.command("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(&program).args(arguments);
    command
}

#[test]
fn a_check_of_a_hub_as_another_user_blames_the_user_and_not_the_hub() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let state = machine.home().join(STATE).display().to_string();
    let mut command = as_another_user(&machine, &["hub", "--state-dir", &state, "check"]);
    let finished = Process::start(&mut command).finish();
    assert!(finished.code != Some(0), "{finished:?}");
    let owner = "belongs to root: run this as that user (sudo -u root …)";
    assert!(finished.stdout.contains("cannot read it: ") && finished.stdout.contains(owner), "{finished:?}");
    for blame in ["restart", "is not running", "missing", "no hub runs"] {
        assert!(!finished.stdout.contains(blame), "{blame}: {finished:?}");
    }
    assert!(hub.process.is_running());
}

#[test]
fn a_home_directory_that_does_not_exist_is_named_with_what_to_set() {
    let machine = Machine::new();
    let home = machine.home().join("gone").display().to_string();
    let run = |arguments: &[&str]| {
        let mut command = as_another_user(&machine, arguments);
        for name in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env_remove(name);
        }
        Process::start(command.env("HOME", &home)).finish()
    };
    let not_joined = format!("(the home directory {home} does not exist: set HOME to one of this user's)");
    for command in [&["devices"][..], &["status"], &["ssh", "pi"], &["check"]] {
        let finished = run(command);
        let said = finished.stdout + &finished.stderr;
        assert!(finished.code == Some(30) && said.contains(&not_joined), "{command:?}: {said}");
    }
    let cannot = format!("{home} does not exist, and {} belongs to root: set HOME", machine.home().display());
    for (command, setting) in
        [(&["hub", "--listen", "127.0.0.1:0"][..], " or --state-dir to a "), (&["ssh-config", "--install"], " to a ")]
    {
        let (finished, cannot) = (run(command), format!("{cannot}{setting}"));
        assert!(finished.code == Some(1) && finished.stderr.contains(&cannot), "{command:?}: {finished:?}");
    }
}

#[test]
fn an_unreadable_data_directory_is_named() {
    let machine = Machine::new();
    let directory = machine.home().join("data");
    fs::create_dir_all(directory.join("devstream")).unwrap();
    fs::set_permissions(directory.join("devstream"), fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = as_another_user(&machine, &["devices"]);
    let finished = Process::start(command.env("XDG_DATA_HOME", &directory)).finish();
    let named = format!("cannot read {}", directory.join("devstream").display());
    assert!(finished.code != Some(0) && finished.stderr.contains(&named), "{finished:?}");
}

#[test]
fn the_hubs_commands_on_a_laptop_name_the_machine_to_run_them_on() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    let commands =
        [&["hub", "device", "add", "pi-1"][..], &["hub", "check"], &["hub", "backup", "file"], &["hub", "logs"]];
    let each = |cause: &str, next: &str| {
        for command in commands {
            let said = laptop.run(command);
            let printed = said.stdout.clone() + &said.stderr;
            assert!(said.code != Some(0) && printed.contains(cause) && printed.contains(next), "{command:?}: {said:?}");
            assert!(!printed.contains("os error") && !printed.contains("start "), "{command:?}: {said:?}");
        }
    };
    let next =
        "run this on the hub's machine, as its user or root; if it runs with another --state-dir, give that here too";
    each("no hub of this user runs here: there is no state directory ", next);
    laptop.ask(&["join", &hub.service_link("alice")]);
    laptop.ask(&["profiles", "set", "--hub", "hub.example.com"]);
    each("no hub runs on this machine", "run this on hub.example.com, the hub that this machine joined");
}

#[test]
fn a_proxy_that_does_not_get_to_the_hub_comes_with_what_to_check_there() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &hub.service_link("alice")]);
    for status in ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"] {
        let via = format!("http://{}", proxy_answering(status));
        let said = format!("cannot reach the hub: {status}");
        let next = "the proxy itself answers: check that the hub runs, and that its name and port are right, which the proxy looks \
                    up; if the hub has moved: devstream profiles set --hub HOST:PORT; --via direct uses no proxy";
        for command in ["devices", "check"] {
            let refused = laptop.run(&[command, "--via", &via]);
            let printed = format!("{}{}", refused.stdout, refused.stderr);
            assert!(refused.code == Some(25) && printed.contains(&said) && printed.contains(next), "{refused:?}");
            assert!(!printed.contains("any firewall") && !printed.contains("administrator"), "{refused:?}");
        }
    }
}

/// Starts a proxy that answers every request with 403; it ends with the test's process.
fn forbidding_proxy() -> String {
    proxy_answering("403 Forbidden")
}

/// Starts a proxy that answers every request with this status; it ends with the test's process.
fn proxy_answering(status: &'static str) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a socket can be shared")).lines();
            let _head = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let _ = write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        }
    });
    address
}
