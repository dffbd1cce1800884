//! Streams over bad networks and with suspended processes.

use std::io::Read as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{KIB, MIB, Pattern, StreamEnd, drain, echo_round_trip, end_of, read_some};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, SOON, TIMEOUT, within};

/// A hub, and a chaos proxy in front of it for each other role: control, requests and streams all pass through it.
struct Fixture {
    proxy: ServiceProxy,
    agent: Process,
    /// The network between agent and hub …
    below: Chaos,
    /// … and in the proxy's.
    above: Chaos,
    target: Target,
    hub: Hub,
    _machines: [Machine; 2],
}

impl Fixture {
    fn with(target: Target) -> Self {
        Self::with_hub(target, &[])
    }

    /// Disables resume.
    fn without_resume(target: Target) -> Self {
        Self::with_hub(target, &["--no-resume"])
    }

    fn with_hub(target: Target, arguments: &[&str]) -> Self {
        // The last connection is a stream's, and no other's.
        let hub = Hub::start_with(&Machine::new(), &[arguments, &["--standbys", "0"]].concat());
        let machines = [(); 2].map(|()| Machine::new());
        let [device, laptop] = &machines;
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        let [below, above] = [(); 2].map(|()| Chaos::in_front_of(&hub.address()));
        let forward = format!("target={}", target.port);
        let agent = device.start(&["device-agent", "--forward", &forward, "--hub", &below.address()]);
        agent.wait_line("is online");
        let proxy = ServiceProxy::start_with(laptop, DEVICE, "0", &["--hub", &above.address()]);
        Self { proxy, agent, below, above, target, hub, _machines: machines }
    }

    /// A stream over which bytes have passed.
    fn alive(&self) -> TcpStream {
        let mut local = self.proxy.connect();
        is_alive(&mut local);
        local
    }
}

/// The agent's first connection.
const CONTROL: u64 = 0;

/// The leg of the stream that was opened last.
fn hit_leg(network: &Chaos, fault: Fault) {
    assert!(network.hit(network.connections() - 1, fault), "no leg is there");
}

#[test]
fn without_resume_every_kind_of_break_resets_both_ends_at_once() {
    let fixture = Fixture::without_resume(Target::echo());
    for fault in
        [Fault::Cut, Fault::Close(Direction::Both), Fault::Close(Direction::Down), Fault::Truncate(Direction::Both)]
    {
        for network in [&fixture.below, &fixture.above] {
            let mut local = fixture.alive();
            hit_leg(network, fault);
            within(AT_ONCE, "the reset", || assert_eq!(drain(&mut local).end, StreamEnd::Reset, "{fault:?}"));
            within(AT_ONCE, "the target's", || assert_eq!(fixture.target.seen().end, StreamEnd::Reset, "{fault:?}"));
        }
    }
    assert!(!fixture.agent.log().contains("trying again"), "only streams were hit: {}", fixture.agent);
}

#[test]
fn with_resume_every_kind_of_break_only_interrupts() {
    let fixture = Fixture::with(Target::echo());
    let broken = [
        Fault::Cut,
        Fault::Close(Direction::Both),
        Fault::Close(Direction::Down),
        Fault::Truncate(Direction::Both),
        Fault::Corrupt(Direction::Both),
    ];
    for fault in broken {
        for network in [&fixture.below, &fixture.above] {
            let mut local = fixture.alive();
            hit_leg(network, fault);
            is_alive(&mut local);
        }
    }
    fixture.proxy.process.wait_line("resumed after");
}

#[test]
fn a_transfer_cut_at_a_tls_record_boundary_is_a_reset_and_never_complete() {
    for below in [true, false] {
        let fixture = Fixture::without_resume(Target::source(1, u64::MAX));
        let mut local = fixture.proxy.connect();
        let pattern = Pattern::new(1);
        pattern.expect(&mut local, MIB);
        // The direction of the transfer ends without close_notify but with a FIN.
        let (network, direction) =
            if below { (&fixture.below, Direction::Up) } else { (&fixture.above, Direction::Down) };
        hit_leg(network, Fault::Truncate(direction));
        let (_, end) = verify(&pattern, &mut local, MIB, u64::MAX);
        assert_eq!(end, StreamEnd::Reset);
    }
}

#[test]
fn a_flipped_bit_is_a_reset_and_never_a_wrong_byte() {
    for below in [true, false] {
        let fixture = Fixture::without_resume(Target::source(2, u64::MAX));
        let mut local = fixture.proxy.connect();
        let pattern = Pattern::new(2);
        pattern.expect(&mut local, MIB);
        hit_leg(if below { &fixture.below } else { &fixture.above }, Fault::Corrupt(Direction::Both));
        let (_, end) = verify(&pattern, &mut local, MIB, u64::MAX);
        assert_eq!(end, StreamEnd::Reset);
    }
}

#[test]
fn a_round_trip_of_300_ms_with_jitter_loses_no_byte_and_no_connection() {
    let fixture = Fixture::with(Target::echo());
    let (delay, jitter) = (Duration::from_millis(75), Duration::from_millis(50));
    for network in [&fixture.below, &fixture.above] {
        network.hit_everything(Fault::Delay { delay, jitter });
    }
    let start = clock::now();
    let local = fixture.alive();
    assert!(clock::now() - start >= 4 * delay, "there and back, twice");
    echo_round_trip(&local, 3, 8 * MIB);
    assert!(!fixture.agent.log().contains("trying again"), "{}", fixture.agent);
}

#[test]
fn a_very_slow_link_carries_every_byte_and_keeps_the_control_connection() {
    let fixture = Fixture::with(Target::echo());
    let mut local = fixture.alive();
    fixture.below.hit_everything(Fault::Trickle(64 * KIB));
    echo_round_trip(&local, 3, 128 * KIB);
    fixture.below.heal();
    is_alive(&mut local);
    assert!(!fixture.agent.log().contains("trying again"), "{}", fixture.agent);
}

#[test]
fn a_leg_that_freezes_for_ten_seconds_loses_nothing() {
    let freeze = |below: bool| {
        let fixture = Fixture::with(Target::source(4, u64::MAX));
        let network = if below { &fixture.below } else { &fixture.above };
        stall_and_continue(&fixture, || hit_leg(network, Fault::Freeze(Direction::Both)), || network.heal());
    };
    thread::scope(|scope| [true, false].map(|below| scope.spawn(move || freeze(below))).map(drop));
}

#[test]
fn a_process_suspended_for_ten_seconds_loses_nothing() {
    let suspend = |who: fn(&Fixture) -> &Process| {
        let fixture = Fixture::with(Target::source(4, u64::MAX));
        let process = who(&fixture);
        stall_and_continue(&fixture, || process.signal("STOP"), || process.signal("CONT"));
        assert!(!fixture.agent.log().contains("trying again"), "{}", fixture.agent);
        fixture.proxy.connect().read_exact(&mut [0]).unwrap();
    };
    let all: [fn(&Fixture) -> &Process; 3] =
        [|fixture| &fixture.agent, |fixture| &fixture.hub.process, |fixture| &fixture.proxy.process];
    thread::scope(|scope| all.map(|who| scope.spawn(move || suspend(who))).map(drop));
}

#[test]
fn a_reader_that_stalls_and_then_dies_frees_its_target() {
    let fixture = Fixture::without_resume(Target::source(5, u64::MAX));
    let mut local = fixture.proxy.connect();
    local.read_exact(&mut [0]).unwrap();
    assert_eq!(fixture.target.seen().end, StreamEnd::Stalled, "the source is held back");
    fixture.proxy.process.kill();
    within(AT_ONCE, "the target's end", || assert_eq!(fixture.target.seen().end, StreamEnd::Reset));
}

#[test]
fn a_broken_control_connection_is_reopened_soon_and_streams_continue() {
    for fault in
        [Fault::Cut, Fault::Close(Direction::Both), Fault::Truncate(Direction::Both), Fault::Corrupt(Direction::Down)]
    {
        let fixture = Fixture::with(Target::echo());
        let mut local = fixture.alive();
        let lines = fixture.agent.lines();
        assert!(fixture.below.hit(CONTROL, fault));
        if matches!(fault, Fault::Corrupt(_)) {
            // A bit can only be flipped in bytes that arrive; lost requests are repeated.
            fixture.alive();
        }
        within(SOON, "coming back", || fixture.agent.wait_line_after(lines, "is online"));
        is_alive(&mut local);
        fixture.alive();
    }
}

#[test]
fn an_agent_that_cannot_reach_the_hub_reports_it_keeps_its_streams_and_reconnects() {
    let fixture = Fixture::with(Target::echo());
    let mut local = fixture.alive();
    let lines = fixture.agent.lines();
    for network in [&fixture.below, &fixture.above] {
        network.refuse();
    }
    assert!(fixture.below.hit(CONTROL, Fault::Cut));
    let sentence = RefusalKind::HubUnreachable.row().sentence;
    let line = fixture.agent.wait_line_after(lines, sentence);
    assert!(line.contains("trying again"), "{line}");
    assert_eq!(drain(&mut fixture.proxy.connect()).end, StreamEnd::Reset);
    fixture.proxy.process.wait_line(sentence);
    is_alive(&mut local);
    for network in [&fixture.below, &fixture.above] {
        network.heal();
    }
    fixture.agent.wait_line_after(lines, "is online");
    fixture.alive();
    is_alive(&mut local);
}

/// Stalls a download: bytes in transit arrive, then none for ten seconds, then all the rest.
fn stall_and_continue(fixture: &Fixture, stop: impl FnOnce(), go_on: impl FnOnce()) {
    let mut local = fixture.proxy.connect();
    let pattern = Pattern::new(4);
    pattern.expect(&mut local, MIB);
    stop();
    local.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (position, end) = verify(&pattern, &mut local, MIB, u64::MAX);
    assert_eq!(end, StreamEnd::Stalled);
    go_on();
    local.set_read_timeout(Some(TIMEOUT)).unwrap();
    let (reached, _) = verify(&pattern, &mut local, position, position + 16 * MIB);
    assert_eq!(reached, position + 16 * MIB);
}

/// Reads from a position to another or to the end; returns the position reached, and the end.
fn verify(pattern: &Pattern, from: &mut TcpStream, mut position: u64, limit: u64) -> (u64, StreamEnd) {
    let mut buffer = vec![0; 64 * 1024];
    while position < limit {
        let wanted = pattern.chunk(position, limit - position);
        match read_some(from, &mut buffer[..wanted.len()]) {
            Ok(0) => return (position, StreamEnd::Eof),
            Ok(count) => {
                assert!(buffer[..count] == wanted[..count], "other bytes after {position}");
                position += count as u64;
            }
            Err(error) => return (position, end_of(&error)),
        }
    }
    (position, StreamEnd::Stalled)
}
