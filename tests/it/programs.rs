//! The library: the examples as processes, and streams within this process.

mod in_process;
mod other_languages;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use devstream::RefusalKind;
use devstream::proto::admin::{HubStatus, StreamStatus};

use crate::support::bytes::{MIB, Pattern};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::is_alive;
use crate::support::{DEVICE, poll};

#[test]
fn the_echo_example_accepts_one_service_and_rejects_another() {
    let (machine, laptop) = (Machine::new(), Machine::new());
    let hub = Hub::start(&machine);
    let _device = example(&machine, "echo", &["serve", DEVICE]);
    is_online(&hub);
    let finished = example(&machine, "echo", &["call", DEVICE, "hello there"]).finish();
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(0), "hello there\n"), "{finished:?}");
    laptop.ask(&["join", &hub.service_link("mallory")]);
    let mallory = example(&laptop, "echo", &["call", DEVICE, "x"]).finish();
    assert_refused(&mallory, RefusalKind::RejectedByDevice, "no echo for mallory");
    assert_refused(&example(&machine, "echo", &["call", "nobody", "x"]).finish(), RefusalKind::UnknownDevice, "");
    // The command and the library interoperate.
    is_alive(&mut ServiceProxy::start_with(&machine, DEVICE, "0=echo", &[]).connect());
}

#[test]
fn the_copy_example_copies_a_file_and_removes_a_partial_one() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let incoming = machine.home().join("incoming");
    fs::create_dir(&incoming).unwrap();
    let _device = example(&machine, "copy", &["receive", DEVICE, "incoming"]);
    is_online(&hub);
    let whole = Pattern::new(7).prefix(5 * MIB + 3);
    fs::write(machine.home().join("report.pdf"), &whole).unwrap();
    let send = || example(&machine, "copy", &["send", DEVICE, "report.pdf"]).finish();
    let finished = send();
    assert_eq!((finished.code, finished.stdout), (Some(0), format!("{} bytes\n", whole.len())), "{}", finished.stderr);
    assert!(fs::read(incoming.join("report.pdf")).unwrap() == whole);
    assert_refused(&send(), RefusalKind::RejectedByDevice, "report.pdf already exists");
    // A sender that is cut off in the middle leaves nothing behind.
    let mut sender = machine.command(DEVSTREAM);
    sender.args(["service-proxy", "--device", DEVICE, "--stdio", "--stream", "part.pdf"]);
    let mut sender = sender.stdin(Stdio::piped()).spawn().unwrap();
    sender.stdin.as_mut().unwrap().write_all(&whole[..100_000]).unwrap();
    let part = incoming.join("part.pdf~");
    poll("the first part", || fs::metadata(&part).is_ok_and(|part| part.len() == 100_000).then_some(()));
    let running: Vec<StreamStatus> = hub.json(&["streams"]);
    hub.ask(&["streams", "kill", &running[0].id.to_string()]);
    poll("the part's end", || (!part.exists()).then_some(()));
    assert!(!incoming.join("part.pdf").exists());
    sender.wait().unwrap();
}

/// Returns an example's program, which `cargo test` builds.
fn example(machine: &Machine, name: &str, arguments: &[&str]) -> Process {
    let program = Path::new(DEVSTREAM).with_file_name("examples").join(name);
    assert!(program.exists(), "there is no {}; `cargo build --examples` makes it", program.display());
    Process::start(machine.command(program).args(arguments))
}

fn is_online(hub: &Hub) {
    poll("the device", || (hub.json::<HubStatus>(&["status"]).online == 1).then_some(()));
}

fn assert_refused(finished: &Finished, kind: RefusalKind, detail: &str) {
    let row = kind.row();
    assert_eq!(finished.code, Some(row.exit.into()), "{finished:?}");
    assert!(finished.stderr.contains(row.sentence) && finished.stderr.contains(detail), "{finished:?}");
}
