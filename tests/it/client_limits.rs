//! The limits of an agent and of a proxy: `--max-streams` and `--memory-budget`.

use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::stream::StreamProtocol;

use crate::support::bytes::{MIB, Pattern, StreamEnd, drain, echo_to_eof};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::raw::RawClient;
use crate::support::roles::{Hub, ServiceProxy, assert_is, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::Frame;
use crate::support::{DEVICE, TIMEOUT};

/// Memory of a stream besides the bytes that it holds, with room for what the allocator does not return.
const STREAM_OVERHEAD: u64 = 100 * 1024;

#[test]
fn an_agent_whose_streams_are_never_acknowledged_stays_within_its_budget() {
    const STREAMS: u64 = 256;
    const BUDGET: u64 = 16 * MIB;
    let growth = unacknowledged(STREAMS, &["--memory-budget", "16MiB"]);
    // Without a budget, each stream holds 256 KiB, and its overhead.
    assert!(growth < BUDGET + STREAMS * STREAM_OVERHEAD, "{growth} bytes more");
}

/// Has a service open streams from a source, read all that it gets and acknowledge nothing; returns the growth of the
/// agent's memory.
fn unacknowledged(streams: u64, flags: &[&str]) -> u64 {
    let (source, machine) = (Target::source(9, 1024 * MIB), Machine::new());
    let hub = Hub::start(&machine);
    let agent = agent(&machine, source.port, flags);
    let alice = RawClient::join(&hub.service_link("alice"));
    let resumable = [(STREAM_PROTOCOL_HEADER, StreamProtocol::Resumable.as_str())];
    let before = agent.memory().now;
    for _ in 0..streams {
        let grant = alice.open("target", &resumable).answer().grant();
        let mut stream = alice.attach(&grant).expect("let in");
        thread::spawn(move || while stream.next().is_ok() {});
    }
    for _ in 0..streams {
        assert_eq!(source.seen().end, StreamEnd::Stalled, "the source is held back");
    }
    agent.memory().now.saturating_sub(before)
}

#[test]
fn an_agent_whose_single_bytes_are_never_acknowledged_keeps_no_block_for_each() {
    const STREAMS: u64 = 8;
    const BYTES: usize = 1000;
    let (target, machine) = (Target::echo(), Machine::new());
    let hub = Hub::start(&machine);
    let agent = agent(&machine, target.port, &[]);
    let alice = RawClient::join(&hub.service_link("alice"));
    let resumable = [(STREAM_PROTOCOL_HEADER, StreamProtocol::Resumable.as_str())];
    let open = || alice.attach(&alice.open("target", &resumable).answer().grant()).expect("let in");
    let streams: Vec<_> = (0..STREAMS).map(|_| open()).collect();
    let before = agent.memory().now;
    let echoing = streams.into_iter().map(|mut stream| {
        thread::spawn(move || {
            for _ in 0..BYTES {
                stream.bytes(b"x").expect("it takes bytes");
                while matches!(stream.next().expect("an echo"), Frame::Text(_)) {}
            }
            stream
        })
    });
    let echoing: Vec<_> = echoing.collect();
    let _streams: Vec<_> = echoing.into_iter().map(|echoing| echoing.join().expect("it echoes")).collect();
    let growth = agent.memory().now.saturating_sub(before);
    assert!(growth < STREAMS * 3 * STREAM_OVERHEAD, "{growth} bytes more");
}

#[test]
fn streams_go_on_beside_others_that_use_the_budget_up() {
    let (echo, source, machine) = (Target::echo(), Target::source(6, 1024 * MIB), Machine::new());
    let _hub = Hub::start(&machine);
    let (first, second) = (format!("echo={}", echo.port), format!("source={}", source.port));
    let flags = ["--forward", &first, "--forward", &second, "--memory-budget", "1MiB"];
    let agent = machine.start(&[&["device-agent", "--id", DEVICE], flags.as_slice()].concat());
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0=echo", &["--local", "0=source"]);
    let source_port = proxy.port_for(DEVICE, "0=source");
    let open = || {
        let reader = connect(source_port);
        reader.peek(&mut [0]).unwrap();
        reader
    };
    let mut stalled: Vec<TcpStream> = (0..14).map(|_| open()).collect();
    for _ in &stalled {
        assert_eq!(source.seen().end, StreamEnd::Stalled);
    }
    echo_to_eof(&proxy.connect(), 3, 8 * MIB);
    let mut reader = stalled.pop().unwrap();
    Pattern::new(6).expect(&mut reader, 64 * MIB);
}

#[test]
fn an_agent_at_its_limit_refuses_streams_and_names_the_flag() {
    let (target, machine) = (Target::echo(), Machine::new());
    let _hub = Hub::start(&machine);
    for (flags, streams, named) in [
        (["--max-streams", "2"], 2, "--max-streams is 2"),
        (["--memory-budget", "1MiB"], 16, "--memory-budget has room for 16 streams"),
    ] {
        let agent = agent(&machine, target.port, &flags);
        let proxy = ServiceProxy::start(&machine);
        let mut open: Vec<TcpStream> = (0..streams).map(|_| proxy.connect()).collect();
        open.iter_mut().for_each(is_alive);
        let asked_once = ["service-proxy", "--device", DEVICE, "--stdio", "--response-timeout", "2"];
        let refused = machine.run(&asked_once);
        assert_is(&refused, RefusalKind::DeviceBusy);
        assert!(refused.stderr.contains(named), "{refused:?}");
        assert_eq!(agent.log().matches("refused").count(), 1, "it was asked again and again");
        open[0].shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(&mut open[0]).end, StreamEnd::Eof);
        open[0] = proxy.connect();
        open.iter_mut().for_each(is_alive);
        drop(open);
        agent.kill();
    }
}

#[test]
fn a_proxy_at_its_limit_has_further_connections_wait_on_every_port() {
    let (target, machine) = (Target::echo(), Machine::new());
    let _hub = Hub::start(&machine);
    let _agent = agent(&machine, target.port, &[]);
    let proxy = ServiceProxy::start_with(&machine, DEVICE, "0", &["--local", "0=target", "--max-streams", "1"]);
    let other_port = proxy.port_for(DEVICE, "0=target");
    for port in [proxy.port, other_port] {
        let mut first = connect(proxy.port);
        is_alive(&mut first);
        let mut waiting = connect(port);
        proxy.process.wait_line("local connections wait until a stream ends: --max-streams is 1");
        waiting.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert_eq!(drain(&mut waiting).end, StreamEnd::Stalled, "neither served nor reset");
        waiting.set_read_timeout(Some(TIMEOUT)).unwrap();
        first.shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(&mut first).end, StreamEnd::Eof);
        is_alive(&mut waiting);
        waiting.shutdown(Shutdown::Write).unwrap();
        assert_eq!(drain(&mut waiting).end, StreamEnd::Eof);
    }
}

/// Starts an agent for one forward, with these flags.
fn agent(machine: &Machine, port: u16, flags: &[&str]) -> Process {
    let forward = format!("target={port}");
    let agent = machine.start(&[&["device-agent", "--id", DEVICE, "--forward", &forward], flags].concat());
    agent.wait_line("is online");
    agent
}
