//! What a person reads who uses the program for the first time, and makes mistakes with it.

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::disk::STATE;
use crate::support::machine::Machine;
use crate::support::roles::{Hub, assert_is};

/// What every command says where nobody has joined.
const NOT_JOINED: &str = "this machine has not joined a hub, and you run no hub on it";

/// What it says to do.
const JOIN: &str = "and here the command that it prints; or start a hub here with `devstream hub`";

#[test]
fn every_command_on_a_machine_that_has_not_joined_says_the_same() {
    let machine = Machine::new();
    let service = "on the hub's machine run `devstream hub service add ";
    let neutral = "on the hub's machine run `devstream hub device add ID`, for an operator `devstream hub service add";
    for (command, next) in [
        (&["ssh", DEVICE][..], service),
        (&["rdp", DEVICE], service),
        (&["rdp", "--no-client", DEVICE], service),
        (&["service-proxy", DEVICE, "--stdio"], service),
        (&["check"], service),
        (&["check", DEVICE], service),
        (&["devices"], service),
        (&["status"], neutral),
    ] {
        let finished = machine.run(command);
        assert_eq!(finished.code, Some(30), "{command:?}: {finished:?}");
        let said = format!("{}{}", finished.stdout, finished.stderr);
        assert!([NOT_JOINED, next, JOIN].iter().all(|part| said.contains(part)), "{command:?}: {said}");
        let others = ["listening", " on 127.0.0.1", "kex_exchange", "UNKNOWN port"];
        assert!(!others.iter().any(|other| said.contains(other)), "{command:?}: {said}");
    }
    for (command, next) in [
        (&["device-agent", "--forward", "1"][..], "on the hub's machine run `devstream hub device add "),
        (&["service-proxy", DEVICE, "--local", "0"], service),
    ] {
        let line = machine.start(command).wait_line(NOT_JOINED);
        assert!(line.contains(next) && line.contains(JOIN), "{line}");
    }
}

#[test]
fn a_machine_that_joined_in_the_other_role_says_so() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    machine.ask(&["join", &hub.device_link(DEVICE)]);
    let finished = machine.run(&["devices"]);
    assert_is(&finished, RefusalKind::NotJoined);
    assert!(finished.stderr.contains("(it joined only as device pi-42); on the hub's machine run"), "{finished:?}");
}

#[test]
fn ssh_config_on_a_machine_that_has_not_joined_warns() {
    let machine = Machine::new();
    for command in [&["ssh-config"][..], &["ssh-config", "--install"]] {
        let finished = machine.run(command);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let warning = format!("ssh-config: warning: `ssh` cannot reach a device yet: {NOT_JOINED}");
        assert!(finished.stderr.contains(&warning) && finished.stderr.contains(JOIN), "{finished:?}");
        assert!(!finished.stderr.contains("next: ssh"), "{finished:?}");
    }
    let _hub = Hub::start(&machine);
    let installed = machine.run(&["ssh-config", "--install"]).stderr;
    assert!(installed.contains("next: ssh ID.devstream") && !installed.contains("warning"), "{installed}");
}

#[test]
fn a_command_to_a_hub_that_does_not_run_names_the_state_directory_and_the_next_step() {
    let machine = Machine::new();
    let own = machine.home().join("own").display().to_string();
    let hub = Hub::start_with(&machine, &["--state-dir", &own]);
    let default = machine.home().join(STATE).display().to_string();
    let commands = [&["device", "add", "pi-1"][..], &["status"], &["check"], &["show"]];
    let each = |flags: &[&str], parts: [&str; 2]| {
        for command in commands {
            let said = machine.run(&[&["hub"], command, flags].concat());
            let printed = said.stdout.clone() + &said.stderr;
            assert!(said.code != Some(0) && parts.iter().all(|part| printed.contains(part)), "{command:?}: {said:?}");
        }
    };
    let other = "if it runs with another --state-dir, give that here too: `devstream hub --state-dir DIR …`";
    each(&[], [&format!("there is no state directory {default}"), other]);
    each(
        &["--state-dir", "nowhere"],
        ["there is no state directory nowhere", "give the one that the hub was started with"],
    );
    drop(hub);
    let cannot = "which says why if it cannot; or give the directory that it runs with";
    each(&["--state-dir", &own], [&format!("no hub runs with the state directory {own}"), cannot]);
    // Of a hub that could not start.
    assert_eq!(machine.run(&["hub", "--listen", "192.0.2.1:1"]).code, Some(2));
    let other = format!("start it with `devstream hub`, which says why if it cannot; {other}");
    each(&[], [&format!("no hub runs with the state directory {default}"), &other]);
}
