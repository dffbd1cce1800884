//! What it knows of earlier keys serves nobody: old keys, what they sign, and files of known keys that were damaged.

use std::fs;
use std::process::Command;

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, assert_is, pipe};
use crate::support::targets::Target;

/// A copy of a machine's disk, as somebody has it who stole an old one.
fn copy(machine: &Machine) -> Machine {
    let copy = Machine::new();
    let copied = Command::new("cp").arg("-aT").args([machine.home(), copy.home()]).status();
    assert!(copied.expect("cp").success());
    copy
}

#[test]
fn a_former_key_and_a_key_that_it_vouches_for_are_refused_once_its_successor_is_known() {
    let (hub, target) = (Hub::start(&Machine::new()), Target::greeting_then_reading("hello\n"));
    let [device, laptop] = [(); 2].map(|()| Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let forward = format!("target={}", target.port);
    let says_hello = |machine: &Machine| {
        let _agent = Agent::start(machine, &[&forward]);
        assert_eq!(pipe(&laptop, DEVICE).stdout, "hello\n");
    };
    says_hello(&device);
    let former = copy(&device);
    device.ask(&["join", &hub.link(&["device", "rotate", DEVICE])]);
    says_hello(&device);
    // The hub lets the former key in, and later one that the former key has signed as its successor.
    let evil_target = Target::greeting_then_reading("evil\n");
    for joins_again in [false, true] {
        if joins_again {
            former.ask(&["join", &hub.link(&["device", "rotate", DEVICE])]);
        }
        let _evil = Agent::start(&former, &[&format!("target={}", evil_target.port)]);
        let refused = pipe(&laptop, DEVICE);
        assert_is(&refused, RefusalKind::AnotherPeerKey);
        assert!(refused.stdout.is_empty(), "{refused:?}");
        assert_eq!(evil_target.seen().bytes, 0);
    }
    device.ask(&["join", &hub.link(&["device", "rotate", DEVICE])]);
    says_hello(&device);
}

#[test]
fn a_file_of_known_keys_that_was_damaged_lets_no_device_be_met_anew() {
    let (hub, target) = (Hub::start(&Machine::new()), Target::greeting_then_reading("hello\n"));
    let [device, laptop] = [(); 2].map(|()| Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let _agent = Agent::start(&device, &[&format!("target={}", target.port)]);
    assert_eq!(pipe(&laptop, DEVICE).stdout, "hello\n");
    let path = laptop.home().join(".local/share/devstream/service/known");
    let whole = fs::read_to_string(&path).unwrap();
    let key = whole.split(' ').nth(2).unwrap();
    for damaged in [whole[..whole.len() / 2].to_owned(), whole.replace(key, &key[1..]), format!("{whole}\n")] {
        fs::write(&path, &damaged).unwrap();
        let refused = pipe(&laptop, DEVICE);
        assert!(refused.code != Some(0) && refused.stdout.is_empty(), "{damaged}: {refused:?}");
        assert!(refused.stderr.contains(&path.display().to_string()), "{damaged}: {refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
    fs::write(&path, whole).unwrap();
    assert_eq!(pipe(&laptop, DEVICE).stdout, "hello\n");
}
