//! Roles short of descriptors or disk: open streams continue, new ones are refused with the reason, and they recover.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::admin::Identity;

use crate::support::disk::{STATE, on_a_small_disk};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, poll, within};

/// More than a role needs for itself, and too few for many streams.
const FEW: usize = 40;

/// A device and a laptop that joined a hub; one of them has few descriptors.
fn joined(hub: &Hub, device: Machine, laptop: Machine) -> [Machine; 2] {
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    [device, laptop]
}

fn short_of(descriptors: usize) -> Machine {
    Machine::behind("prlimit", vec![format!("--nofile={descriptors}")])
}

#[test]
fn an_agent_out_of_descriptors_refuses_streams_and_keeps_open_ones() {
    // A stream takes two: the last one is missing for the way to the target, or to the hub.
    for descriptors in [FEW, FEW + 1] {
        runs_out_and_refuses(descriptors);
    }
}

fn runs_out_and_refuses(descriptors: usize) {
    let target = Target::echo();
    let hub = Hub::start(&Machine::new());
    let [device, laptop] = joined(&hub, short_of(descriptors), Machine::new());
    let agent = Agent::start(&device, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&laptop);
    let mut running = proxy.connect();
    is_alive(&mut running);
    let mut locals = Vec::new();
    loop {
        // The service gets a refusal if the agent reaches its target but not the hub.
        let mut local = proxy.connect();
        if !within(AT_ONCE * 2, "an echo or a refusal", || answers(&mut local)) {
            break;
        }
        locals.push(local);
        assert!(locals.len() < FEW, "{FEW} streams on {descriptors} descriptors");
    }
    // Whether the way to the target or to the hub is missing depends on the connections that the agent opens ahead. The
    // service is not told the cause of the latter: it would tell about the device's network.
    poll("the cause, at the service or in the log that it is told of", || {
        let (at_proxy, at_agent) = (proxy.process.log(), agent.process.log());
        let cause = "Too many open files";
        let told = at_proxy.contains(cause) || at_proxy.contains("its log has the cause") && at_agent.contains(cause);
        told.then_some(())
    });
    assert_idle(&agent.process);
    is_alive(&mut running);
    assert!(!agent.process.log().contains("trying again"), "{}", agent.process);
    drop(locals);
    poll("a stream", || answers(&mut proxy.connect()).then_some(()));
    is_alive(&mut running);
}

#[test]
fn a_proxy_out_of_descriptors_keeps_open_streams_and_recovers() {
    let target = Target::echo();
    let hub = Hub::start(&Machine::new());
    let [device, laptop] = joined(&hub, Machine::new(), short_of(FEW));
    let _agent = Agent::start(&device, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&laptop);
    let mut running = proxy.connect();
    is_alive(&mut running);
    let mut locals: Vec<TcpStream> = (0..60).map(|_| proxy.connect()).collect();
    locals.iter_mut().for_each(|local| local.set_read_timeout(Some(Duration::from_secs(1))).unwrap());
    assert!(!locals.iter_mut().all(answers), "60 streams on {FEW} descriptors");
    assert_idle(&proxy.process);
    is_alive(&mut running);
    drop(locals);
    poll("a stream", || answers(&mut proxy.connect()).then_some(()));
    is_alive(&mut running);
}

#[test]
fn a_read_only_registry_refuses_changes_atomically() {
    on_a_small_disk("faults::shortage::a_read_only_registry_refuses_changes_atomically", |machine, disk| {
        let target = Target::echo();
        let hub = Hub::start(machine);
        let _agent = Agent::start(machine, &[&target.port.to_string()]);
        let proxy = ServiceProxy::start(machine);
        let mut running = proxy.connect();
        is_alive(&mut running);
        disk.fill();
        let add = |number: usize| machine.run(&["hub", "device", "add", &format!("more-{number}")]);
        // The file's last page may still have room for some.
        let mut added = 0;
        let refused = loop {
            let finished = add(added);
            if finished.code != Some(0) {
                break finished;
            }
            added += 1;
            assert!(added < 200, "the disk is full");
        };
        assert!(refused.stderr.contains("full"), "{refused:?}");
        is_alive(&mut proxy.connect());
        is_alive(&mut running);
        assert_eq!(devices(&hub), added + 1, "not half a device");
        disk.free();
        assert_eq!(add(added).code, Some(0));
        assert_eq!(devices(&hub), added + 2);
        hub.process.kill();
        let hub = Hub::start(machine);
        assert_eq!(devices(&hub), added + 2, "nothing was damaged");
    });
}

#[test]
fn a_read_only_state_directory_is_reported_at_startup() {
    let netns = NetNs::new();
    let machine = netns.machine();
    let state = machine.home().join(STATE);
    fs::create_dir_all(&state).unwrap();
    netns.run(&format!("mount -t tmpfs -o ro,mode=700 none {}", state.display()));
    let finished = Process::start(machine.command(DEVSTREAM).args(["hub", "--listen", "127.0.0.1:0"])).finish();
    assert!(finished.code.is_some_and(|code| code > 0), "{finished:?}");
    assert!(finished.stderr.contains("Read-only file system") && finished.stderr.contains(STATE), "{finished:?}");
}

fn devices(hub: &Hub) -> usize {
    hub.json::<Vec<Identity>>(&["device", "list"]).len()
}

/// Reports whether an echo arrives.
fn answers(local: &mut TcpStream) -> bool {
    local.write_all(b"x").is_ok() && local.read_exact(&mut [0]).is_ok()
}

/// Over a second in which nothing is asked of it, a process takes under a fifth of a processor: it does not try in a
/// circle. Beside others, what little it does takes longer.
fn assert_idle(process: &Process) {
    let (start, before) = (clock::now(), process.processor_time());
    while clock::now() - start < Duration::from_secs(1) {
        thread::yield_now();
    }
    let took = process.processor_time() - before;
    assert!(took < Duration::from_millis(200), "{took:?} of a second: {process}");
}
