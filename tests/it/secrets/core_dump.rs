//! Process memory is protected: no core dumps, and no access for other processes of the same user.

use std::os::unix::process::ExitStatusExt as _;

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::Target;

/// Runs as another user than root, without a limit on core dumps.
fn machine() -> Machine {
    let words = ["--core=unlimited", "setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    Machine::behind("prlimit", words.map(str::to_owned).into())
}

#[test]
fn no_role_dumps_core_or_exposes_its_memory() {
    let [hub_machine, device, laptop] = [(); 3].map(|()| machine());
    let target = Target::sink();
    let hub = Hub::start(&hub_machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let agent = Agent::start(&device, &[&format!("sink={}", target.port)]);
    let proxy = ServiceProxy::start(&laptop);
    // Its input does not end.
    let (input, _held) = std::io::pipe().unwrap();
    let mut pipe = laptop.command(DEVSTREAM);
    pipe.args(["service-proxy", "--device", DEVICE, "--stdio"]);
    let pipe = Process::start_with_stdin(&mut pipe, input.into(), Vec::new());
    hub.wait_activity("invoke", Some("accepted"));

    // Another program on the same machine, for comparison.
    let other = Process::start(laptop.command("sh").args(["-c", "echo ready; exec sleep 1000"]));
    other.wait_line("ready");
    assert!(shows(&laptop, &other), "this machine shows nobody anything, so the test shows nothing");
    for (machine, process) in
        [(&laptop, &pipe), (&laptop, &proxy.process), (&device, &agent.process), (&hub_machine, &hub.process)]
    {
        assert!(!shows(machine, process), "{process}");
        assert_eq!(ends(process), (Some(ABORTED), false), "{process}");
    }
    let wanted = "this machine writes no cores at all (/proc/sys/kernel/core_pattern), so the test shows nothing";
    assert_eq!(ends(&other), (Some(ABORTED), true), "{wanted}");
}

/// The signal of an abort.
const ABORTED: i32 = 6;

/// Crashes the process; returns the signal and whether it dumped core.
fn ends(process: &Process) -> (Option<i32>, bool) {
    process.signal("ABRT");
    let status = process.wait_end();
    (status.signal(), status.core_dumped())
}

/// Reports whether the same user may read its environment, for which the kernel asks the same permission as for its
/// memory.
fn shows(machine: &Machine, process: &Process) -> bool {
    let read = Process::start(machine.command("cat").arg(process.proc().join("environ"))).finish();
    assert!(read.code == Some(0) || read.stderr.contains("Permission denied"), "{read:?}");
    read.code == Some(0)
}
