//! The attacks campaign: cheap attacks by one who has no key, or one that opens nothing, on a hub of the release build.
//! Each reports what it costs the hub and those who use it.

use std::net::{Ipv4Addr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use devstream::net::os::{clock, random, rlimit};
use devstream::proto::id::StreamId;
use devstream::proto::message::encode;
use devstream::proto::standby::{StandbyOpenRequest, StandbyToHub};

use super::report;
use super::stop_signal::{StopOnDrop, StopSignal};
use super::support::disk::STATE;
use super::support::machine::Machine;
use super::support::poll;
use super::support::raw::RawClient;
use super::support::roles::{Agent, Hub, connect_from};
use super::support::targets::Target;
use super::support::websocket::WebSocket;

/// Idle standby connections, those of one identity, and wrong join codes per second.
const STANDBYS: u16 = 4000;
const STANDBYS_EACH: u16 = 250;
const WRONG_JOINS: u32 = 50;

/// Silent connections per second, the addresses that open them, and those that are kept open.
const SILENT: u32 = 616;
const SILENT_SOURCES: u8 = 24;
const KEPT: usize = 6000;

/// The connections on which a service is refused.
const REFUSED_ON: usize = 64;

/// The interval between two lists of devices that are timed.
const LIST_INTERVAL: Duration = Duration::from_millis(100);

/// The time in which an agent must be back.
const BACK: Duration = Duration::from_secs(5);

/// Runs the campaign with attacks of this many seconds.
pub(crate) fn campaign(seconds: &str) -> ExitCode {
    rlimit::raise_descriptors();
    let Ok(seconds @ 10..) = seconds.parse() else {
        report("usage: tests/attacks [SECONDS]");
        return ExitCode::from(2);
    };
    let time = Duration::from_secs(seconds);
    let passed = [wrong_joins(time), wrong_neighbour(time), refused_opens(time), silent_connections(time)];
    let failed = passed.iter().filter(|passed| !**passed).count();
    report(format!("attacks: {failed} of {} FAILED", passed.len()).replace("0 of 4 FAILED", "passed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Wrong join codes, each from an address of its own, while thousands of connections stand by.
fn wrong_joins(time: Duration) -> bool {
    let hub = Hub::start_with(&Machine::new(), &["--standbys", "256"]);
    let laptop = RawClient::join(&hub.service_link("laptop"));
    let standbys: Vec<WebSocket> = (0..STANDBYS / STANDBYS_EACH)
        .flat_map(|number| {
            let device = RawClient::join(&hub.device_link(&format!("device-{number}")));
            (0..STANDBYS_EACH).map(move |_| device.standby().expect("it stands by"))
        })
        .collect();
    let (quiet, quiet_cpu) = timed_lists(&hub, &laptop, time);
    let link = hub.device_link("nobody");
    let unjoined = RawClient::before_joining(&link);
    let wrong = format!("{}{}", &link[..link.len() - 22], "A".repeat(22));
    let stop = StopSignal::default();
    let (attacked, attacked_cpu) = thread::scope(|scope| {
        scope.spawn(|| {
            let start = clock::now();
            for number in 0.. {
                if stop.wait_for((start + Duration::from_secs(1) * number / WRONG_JOINS) - clock::now()) {
                    break;
                }
                let source = Ipv4Addr::from_bits(0x7f01_0000 + number);
                assert_eq!(unjoined.from(source).redeem(&wrong).status, 401);
            }
        });
        let _stop = StopOnDrop(&stop);
        timed_lists(&hub, &laptop, time)
    });
    let more = attacked_cpu - quiet_cpu;
    let passed = more <= 0.10 && attacked <= 2 * quiet;
    report(format!(
        "{} standby connections, {WRONG_JOINS} wrong joins a second: {:+.1} % of a core (10), GET /devices p99 {:.1} ms, quiet \
         {:.1} ms (2x): {}",
        standbys.len(),
        100.0 * more,
        milliseconds(attacked),
        milliseconds(quiet),
        word(passed)
    ));
    passed
}

/// Wrong proofs from the address of an agent, before, while and after its hub restarts.
fn wrong_neighbour(time: Duration) -> bool {
    let (machine, target) = (Machine::new(), Target::echo());
    let hub = Hub::start(&machine);
    let device = Machine::new();
    device.ask(&["join", &hub.device_link("device")]);
    let neighbour = RawClient::join(&hub.device_link("neighbour")).impostor(Ipv4Addr::LOCALHOST);
    let agent = Agent::start_as(&device, "device", &[&target.port.to_string()]);
    let (stop, port) = (StopSignal::default(), hub.port);
    // A hub that ran for a second has noted who is good; then it is killed.
    let known = machine.home().join(STATE).join("known-sources");
    poll("the file of known sources", || known.exists().then_some(()));
    drop(hub);
    let back = thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.wait_for(Duration::from_millis(20)) {
                let _ = neighbour.try_ask("GET", "/devices");
            }
        });
        let _stop = StopOnDrop(&stop);
        let lines = agent.process.lines();
        let hub = Hub::start_on(&machine, port, &[]);
        let start = clock::now();
        agent.process.wait_line_after(lines, "is online");
        let back = start.elapsed();
        stop.wait_for(time);
        drop(hub);
        back
    });
    let passed = back <= BACK;
    report(format!(
        "wrong proofs from an agent's address: back {:.1} s after the hub (5): {}",
        back.as_secs_f64(),
        word(passed)
    ));
    passed
}

/// Opens that are refused, as many as its connections allow a service that may reach nothing.
fn refused_opens(time: Duration) -> bool {
    let hub = Hub::start_with(&Machine::new(), &["--standbys", "256"]);
    let nobody = RawClient::join(&hub.service_link_with("nobody", &["--device", "none"]));
    (0..10).for_each(|number| drop(hub.service_link(&format!("kept-{number}"))));
    let (refused, before) = (AtomicU64::new(0), hub.process.processor_time());
    let (start, end) = (clock::now(), clock::now() + time);
    thread::scope(|scope| {
        for _ in 0..REFUSED_ON {
            scope.spawn(|| {
                let mut standby = nobody.standby().expect("it stands by");
                while clock::now() < end {
                    standby.text(&encode(&StandbyToHub::Open(open("device")))).expect("it is taken");
                    standby.next().expect("a refusal");
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    let cpu = (hub.process.processor_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    let logs = hub.ask(&["logs"]);
    let kept = (0..10).filter(|number| logs.contains(&format!("serviceId=kept-{number} "))).count();
    let passed = cpu <= 0.20 && kept == 10;
    report(format!(
        "{} refused opens on {REFUSED_ON} connections in {} s: {:.1} % of a core (20), {kept} of 10 identity lines, {} lines: {}",
        refused.into_inner(),
        time.as_secs(),
        100.0 * cpu,
        logs.lines().count(),
        word(passed)
    ));
    passed
}

/// Connections that never send a byte, from two dozen addresses.
fn silent_connections(time: Duration) -> bool {
    let hub = Hub::start(&Machine::new());
    let laptop = RawClient::join(&hub.service_link("laptop"));
    let known = laptop.from(Ipv4Addr::new(127, 0, 3, 1));
    let _online = known.standby().expect("it stands by");
    let (stop, port) = (StopSignal::default(), hub.port);
    let mut slowest = Duration::ZERO;
    let (mut good, mut asked) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let (start, mut kept) = (clock::now(), std::collections::VecDeque::<TcpStream>::new());
            for number in 0.. {
                if stop.wait_for((start + Duration::from_secs(1) * number / SILENT) - clock::now()) {
                    break;
                }
                let source = u8::try_from(number % u32::from(SILENT_SOURCES)).unwrap();
                kept.extend(connect_from(Ipv4Addr::new(127, 0, 1, 1 + source), port));
                kept.drain(..kept.len().saturating_sub(KEPT));
            }
        });
        let _stop = StopOnDrop(&stop);
        let end = clock::now() + time;
        while clock::now() < end {
            let start = clock::now();
            assert_eq!(known.try_ask("GET", "/devices").map(|answer| answer.status).ok(), Some(200), "a known source");
            slowest = slowest.max(start.elapsed());
            let newcomer = laptop.from(Ipv4Addr::from_bits(0x7f02_0000 + asked));
            good += u32::from(newcomer.try_ask("GET", "/devices").is_ok_and(|answer| answer.status == 200));
            asked += 1;
            stop.wait_for(LIST_INTERVAL);
        }
    });
    let passed = slowest <= Duration::from_secs(1) && 10 * good >= 9 * asked;
    report(format!(
        "{SILENT} silent connections a second from {SILENT_SOURCES} addresses: a known source gets in within {:.0} ms (1000), {good} \
         of {asked} newcomers (9 of 10): {}",
        milliseconds(slowest),
        word(passed)
    ));
    passed
}

/// Lists the devices at an even pace for this time. Returns the 99th percentile of the times that it takes, and the hub's use
/// of the processor as a share of one core.
fn timed_lists(hub: &Hub, client: &RawClient, time: Duration) -> (Duration, f64) {
    let (before, start, pace) = (hub.process.processor_time(), clock::now(), StopSignal::default());
    let mut took: Vec<Duration> = Vec::new();
    while start.elapsed() < time {
        let asked: Instant = clock::now();
        assert_eq!(client.ask("GET", "/devices", &[], "").status, 200);
        took.push(asked.elapsed());
        pace.wait_for(LIST_INTERVAL);
    }
    took.sort_unstable();
    let cpu = (hub.process.processor_time() - before).as_secs_f64() / start.elapsed().as_secs_f64();
    (took[took.len() * 99 / 100], cpu)
}

fn open(device: &str) -> StandbyOpenRequest {
    StandbyOpenRequest {
        request_id: StreamId::from_bytes(random::bytes()),
        device: device.parse().unwrap(),
        stream_name: Some("ssh".parse().unwrap()),
        connect_timeout_ms: 0,
        response_timeout_ms: 20_000,
        protocols: vec!["devstream.v1".into()],
        end_to_end: false,
        early: 0.try_into().unwrap(),
        repeatable: false,
    }
}

fn milliseconds(time: Duration) -> f64 {
    1000.0 * time.as_secs_f64()
}

fn word(passed: bool) -> &'static str {
    if passed { "passed" } else { "FAILED" }
}
