//! Overload: a hub short of resources, or under attack, keeps open streams and recovers.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use devstream::net::os::clock;
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{MIB, StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::memory::MemoryGroup;
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, ServiceProxy, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, SOON, TIMEOUT, poll};

/// A second address of this machine, as another source.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Arguments of a proxy that does not wait for a busy hub.
const IMPATIENT: [&str; 2] = ["--response-timeout", "1"];

const WRONG_KEYS: u32 = 100_000;
const THREADS: u32 = 4;

#[test]
fn a_hundred_thousand_wrong_keys_admit_nobody_and_delay_nobody() {
    let target = Target::echo();
    let (machine, hub) = hub_with(&[]);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start(&machine);
    let mut running = proxy.connect();
    is_alive(&mut running);
    let alice = RawClient::join(&hub.service_link("alice"));
    let calm = median_first_byte(&proxy);
    let before = hub.process.memory().now;

    let storms: Vec<_> = (0..THREADS)
        .map(|_| {
            let thief = alice.impostor(ATTACKER);
            thread::spawn(move || {
                let answers = (0..WRONG_KEYS / THREADS).map(|_| thief.try_ask("GET", "/devices"));
                answers.filter_map(Result::ok).map(|answer| answer.status).collect::<Vec<_>>()
            })
        })
        .collect();
    let stormy = median_first_byte(&proxy);
    let answers: Vec<u16> = storms.into_iter().flat_map(|storm| storm.join().unwrap()).collect();
    assert!(!answers.is_empty() && answers.iter().all(|status| *status == 401), "{answers:?}");
    assert!(answers.len() < 1000, "kept away after a few: {}", answers.len());
    hub.wait_activity("sourcePenalised", Some("banned"));
    let growth = hub.process.memory().now.saturating_sub(before);
    assert!(growth < 8 * MIB, "{growth} bytes more");
    // With room for a machine that does other things meanwhile; the storm takes processor time as well.
    assert!(stormy < calm * 20 + Duration::from_millis(50), "first byte after {calm:?}, in the storm {stormy:?}");
    is_alive(&mut running);
    assert_eq!(alice.ask("GET", "/devices", &[], "").status, 200, "others are as welcome as before");
}

#[test]
fn a_source_with_authenticated_connections_is_throttled_and_not_banned() {
    let (_machine, hub) = hub_with(&[]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let thief = alice.impostor(Ipv4Addr::LOCALHOST);
    let _good = alice.dial();
    let held = alice.open("ssh", &[("iothub-streaming-connect-timeout-in-seconds", "60")]);
    hub.device_link(DEVICE);
    let held_open = alice.open("ssh", &[("iothub-streaming-connect-timeout-in-seconds", "60")]);
    while hub.activity().iter().all(|entry| entry["operationName"] != "sourcePenalised") {
        assert_eq!(thief.try_ask("GET", "/devices").unwrap().status, 401);
    }
    hub.wait_activity("sourcePenalised", Some("slowed"));
    let start = clock::now();
    assert_eq!(thief.try_ask("GET", "/devices").unwrap().status, 401, "answered, and late");
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(alice.ask("GET", "/devices", &[], "").status, 200);
    drop((held, held_open));
}

/// They share an address, as behind a NAT, and the neighbour does not pause for the restart.
#[test]
fn an_agent_is_back_after_a_restart_of_the_hub_while_a_neighbour_sends_wrong_keys() {
    let (machine, hub) = hub_with(&[]);
    let agent = Agent::start(&machine, &["22"]);
    let thief = RawClient::join(&hub.service_link("alice")).impostor(Ipv4Addr::LOCALHOST);
    let known = machine.home().join(".local/share/devstream/hub/known-sources");
    poll("the agent's address on disk", || {
        fs::read_to_string(&known).is_ok_and(|text| text.contains("127.0.0.1")).then_some(())
    });
    let (lines, port, stop) = (agent.process.lines(), hub.port, AtomicBool::new(false));
    hub.process.kill();
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = thief.try_ask("GET", "/devices");
            }
        });
        let hub = Hub::start_on(&machine, port, &[]);
        let online = agent.process.find_line(lines, "is online", SOON);
        stop.store(true, Ordering::Relaxed);
        drop(hub);
        assert!(online.is_some(), "it is still away: {}", agent.process);
    });
}

/// They share an address, and the neighbour's connections end before TLS.
#[test]
fn a_neighbours_garbage_keeps_no_client_out() {
    let (_machine, hub) = hub_with(&[]);
    let (alice, stop) = (RawClient::join(&hub.service_link("alice")), AtomicBool::new(false));
    assert_eq!(alice.ask("GET", "/devices", &[], "").status, 200, "its address is known");
    let send_garbage = || {
        let mut garbage = connect(hub.port);
        let _ = garbage.write_all(b"no TLS at all").and_then(|()| garbage.read(&mut [0]));
    };
    (0..100).for_each(|_| send_garbage());
    hub.wait_activity("sourcePenalised", Some("slowed"));
    let statuses: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                send_garbage();
            }
        });
        let statuses = (0..20).map(|_| alice.try_ask("GET", "/devices").ok().map(|answer| answer.status)).collect();
        stop.store(true, Ordering::Relaxed);
        statuses
    });
    assert!(statuses.iter().all(|status| *status == Some(200)), "{statuses:?}");
}

/// Load balancers and monitors look whether the port is open.
#[test]
fn connections_without_a_byte_cost_no_penalty() {
    let (_machine, hub) = hub_with(&[]);
    for _ in 0..40 {
        drop(connect(hub.port));
    }
    let alice = RawClient::join(&hub.service_link("alice"));
    assert_eq!(alice.ask("GET", "/devices", &[], "").status, 200);
    assert!(hub.activity().iter().all(|entry| entry["operationName"] != "sourcePenalised"));
}

#[test]
fn wrong_keys_are_penalised_where_tls_inspection_is_allowed_too() {
    let (_machine, hub) = hub_with(&["--allow-tls-inspection"]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let thief = alice.impostor(ATTACKER);
    let answers = (0..20).filter(|_| thief.try_ask("GET", "/devices").is_ok()).count();
    assert!(answers < 10, "{answers} of 20 wrong keys were looked at");
    hub.wait_activity("sourcePenalised", Some("banned"));
}

#[test]
fn a_hub_out_of_descriptors_reports_it_and_keeps_open_streams() {
    let target = Target::echo();
    let machine = Machine::new();
    let hub = Hub::start_under(&machine, &["prlimit", "--nofile=64"], &[]);
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &IMPATIENT);
    let mut running: Vec<TcpStream> = (0..3).map(|_| proxy.connect()).collect();
    running.iter_mut().for_each(is_alive);

    let mut stalled: Vec<TcpStream> = Vec::new();
    let line = loop {
        let mut local = proxy.connect();
        if !answers(&mut local) {
            break proxy.process.wait_line("the limit of open files");
        }
        stalled.push(local);
        assert!(stalled.len() < 64, "64 streams on 64 descriptors");
    };
    assert!(line.contains(RefusalKind::HubBusy.row().sentence), "{line}");
    // Unauthenticated connections in addition.
    let unauthenticated: Vec<TcpStream> = (0..100).map(|_| connect(hub.port)).collect();
    hub.process.wait_line("rejecting connections");
    running.iter_mut().for_each(is_alive);
    assert!(hub.ask(&["status"]).contains("no new streams"), "the hub's own user still gets in, and sees why");

    drop((unauthenticated, stalled));
    wait_until_served(&proxy);
    running.iter_mut().for_each(is_alive);
}

#[test]
fn a_hub_near_its_memory_budget_refuses_streams_keeps_open_ones_and_recovers() {
    let machine = Machine::new();
    let hub = Hub::start_with(&machine, &["--memory-budget", "16MiB"]);
    run_out_of_memory(&machine, &hub);
}

#[test]
fn a_hub_near_the_limit_of_its_control_group_refuses_streams_keeps_open_ones_and_recovers() {
    let machine = Machine::new();
    // Where the tests may not make a control group, this is the other test with another figure.
    let group = MemoryGroup::new(36 * MIB);
    let hub = match &group {
        Some(group) => Hub::start_under(&machine, &["sh", "-c", &group.entering()], &[]),
        None => Hub::start_with(&machine, &["--memory-budget", "36MiB"]),
    };
    run_out_of_memory(&machine, &hub);
}

/// Fills the hub's memory with bytes for readers that stop, until it refuses a stream, and takes the readers away.
fn run_out_of_memory(machine: &Machine, hub: &Hub) {
    let (echo, source) = (Target::echo(), Target::source(9, 1024 * MIB));
    let _agents = [
        Agent::start(machine, &[&echo.port.to_string()]),
        Agent::start_as(machine, "source", &[&source.port.to_string()]),
    ];
    let (proxy, stalled) = (ServiceProxy::start(machine), ServiceProxy::start_with(machine, "source", "0", &IMPATIENT));
    let mut running = proxy.connect();
    is_alive(&mut running);

    let mut readers = Vec::new();
    let line = loop {
        let mut reader = stalled.connect();
        if reader.read_exact(&mut [0]).is_ok() {
            readers.push(reader);
        } else if let Some(line) = stalled.process.find_line(0, "of the memory budget used", SOON) {
            break line;
        }
        // The echo gives up on a connection that is idle for a minute.
        if readers.len() % 10 == 0 {
            is_alive(&mut running);
        }
        assert!(readers.len() < 2000, "memory does not fill");
    };
    assert!(line.contains(RefusalKind::HubBusy.row().sentence), "{line}");
    is_alive(&mut running);
    // At the limit, what is refused and what is taken alternate.
    poll("the hub's word of it", || {
        readers.push(stalled.connect());
        hub.ask(&["status"]).contains("no new streams").then_some(())
    });
    // The kernel kills a process beyond its group's limit.
    assert!(hub.process.is_running());

    drop(readers);
    poll("a hub that takes streams again", || (!hub.ask(&["status"]).contains("no new streams:")).then_some(()));
    is_alive(&mut proxy.connect());
    is_alive(&mut running);
}

fn hub_with(arguments: &[&str]) -> (Machine, Hub) {
    let machine = Machine::new();
    let hub = Hub::start_with(&machine, arguments);
    (machine, hub)
}

/// Reports whether an echo arrives, rather than a reset.
fn answers(local: &mut TcpStream) -> bool {
    local.write_all(b"x").is_ok() && local.read_exact(&mut [0]).is_ok()
}

/// The pressure is over: streams are opened again.
fn wait_until_served(proxy: &ServiceProxy) {
    let deadline = clock::now() + TIMEOUT;
    while !answers(&mut proxy.connect()) {
        assert!(clock::now() < deadline, "the hub does not recover");
    }
}

/// Time from a local connection to the first byte of the echo.
fn median_first_byte(proxy: &ServiceProxy) -> Duration {
    let mut times: Vec<Duration> = (0..31)
        .map(|_| {
            let start: Instant = clock::now();
            let mut local = proxy.connect();
            assert!(answers(&mut local));
            let took = start.elapsed();
            local.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(drain(&mut local).end, StreamEnd::Eof);
            took
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}
