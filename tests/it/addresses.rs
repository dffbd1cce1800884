//! The names and addresses of a hub: in links, in its certificate, through proxies, and what is said where they do not fit.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use devstream::proto::refusal::RefusalKind;

use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::ports;
use crate::support::process::Process;
use crate::support::roles::{Hub, assert_is};

#[test]
fn a_hub_without_a_name_of_its_own_says_so_wherever_it_prints_a_link() {
    let (machine, port) = (Machine::new(), ports::reserve());
    let hub = Hub::start_at(&machine, &format!("[::]:{port}"), &[]);
    hub.process.wait_line("hub: join links have this machine's own name, ");
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

    let _hub = Hub::start(&machine);
    let added = machine.run(&["hub", "device", "add", "pi-3"]);
    assert!(added.stderr.contains("the link works on this machine only"), "{added:?}");
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
    let next = joined.stderr.split_once("add this one where it starts: devstream hub").expect("what to do").1.trim();
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
    let next = "); check the name; if this network reaches the outside only through a proxy, --via http://HOST:PORT \
                resolves the name there\n";
    assert!(unresolved.stderr.ends_with(next), "{unresolved:?}");
    let unresolved = laptop.run(&["devices", "--via", "http://proxy.invalid:3128"]);
    let next = "); check that name; --via URL sets another proxy, --via direct uses none\n";
    assert!(unresolved.stderr.ends_with(next), "{unresolved:?}");
    for advised in [refused, laptop.run(&["devices", "--via-login", "absent"])] {
        assert_is(&advised, RefusalKind::HubUnreachable);
        assert!(!advised.stderr.contains("any firewall"), "{advised:?}");
    }
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

#[test]
fn an_unreadable_data_directory_is_named() {
    const USER: &str = "65534";
    let machine = Machine::new();
    let directory = machine.home().join("data");
    fs::create_dir_all(directory.join("devstream")).unwrap();
    fs::set_permissions(directory.join("devstream"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(machine.home(), fs::Permissions::from_mode(0o755)).unwrap();
    // The test's program may lie where only root reaches it.
    let program = machine.home().join("program");
    fs::copy(DEVSTREAM, &program).unwrap();
    let mut command = machine.command("setpriv");
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]).arg(&program).arg("devices");
    command.env("XDG_DATA_HOME", &directory);
    let finished = Process::start(&mut command).finish();
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

/// Starts a proxy that answers every request with 403; it ends with the test's process.
fn forbidding_proxy() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a socket can be shared")).lines();
            let _head = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        }
    });
    address
}
