//! Load: no loss, little memory, and no head-of-line blocking between streams.

use std::net::Shutdown;
use std::thread;

use crate::support::bytes::{KIB, MIB, Observed, Pattern, StreamEnd, drain, echo_to_eof};
use crate::support::poll;
use crate::support::roles::{Agent, OneMachine, ServiceProxy};
use crate::support::targets::{Target, is_alive};

const STREAMS: u64 = 8;
const EACH: u64 = 128 * MIB;
const MEMORY: u64 = 100 * MIB;

#[test]
fn eight_streams_carry_a_gibibyte_each_way_within_100_mib_of_memory() {
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    let proxy = &fixture.proxy;
    thread::scope(|scope| {
        for seed in 1..=STREAMS {
            scope.spawn(move || echo_to_eof(&proxy.connect(), seed, EACH));
        }
    });
    for _ in 0..STREAMS {
        assert_eq!(target.seen(), Observed { bytes: EACH, end: StreamEnd::Eof });
    }
    for process in [&fixture.hub.process, &fixture.agent.process, &fixture.proxy.process] {
        let memory = process.memory();
        assert!(memory.peak < MEMORY, "{memory:?}: {process}");
    }
}

#[test]
fn stalled_readers_cost_the_hub_under_a_mebibyte_each_and_delay_nobody() {
    const STALLED: u64 = 100;
    const LENGTH: u64 = 256 * MIB;
    let (echo, source) = (Target::echo(), Target::source(9, LENGTH));
    let fixture = OneMachine::forwarding(echo.port);
    let _agent = Agent::start_as(&fixture.machine, "source", &[&source.port.to_string()]);
    let stalled = ServiceProxy::start_with(&fixture.machine, "source", "0", &[]);
    let mut live = fixture.proxy.connect();
    echo_to_eof(&fixture.proxy.connect(), 1, 16 * MIB);

    let before = fixture.hub.process.memory().now;
    // One after the other: pending requests of one device are limited.
    let open = || {
        let reader = stalled.connect();
        reader.peek(&mut [0]).unwrap();
        reader
    };
    let mut readers: Vec<_> = (0..STALLED).map(|_| open()).collect();
    for _ in 0..STALLED {
        assert_eq!(source.seen().end, StreamEnd::Stalled, "the source is held back");
    }
    let growth = fixture.hub.process.memory().now.saturating_sub(before);
    assert!(growth < STALLED * MIB, "{STALLED} stalled streams take {growth} bytes of the hub's memory");

    is_alive(&mut live);
    echo_to_eof(&fixture.proxy.connect(), 2, 64 * MIB);
    let mut reader = readers.pop().unwrap();
    Pattern::new(9).expect(&mut reader, LENGTH);
    reader.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut reader), Observed { bytes: 0, end: StreamEnd::Eof });
}

#[test]
fn an_idle_stream_takes_under_40_kib_of_the_agent_and_under_34_of_the_proxy() {
    const STREAMS: u64 = 300;
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    let mut streams = Vec::new();
    let mut open = |count| {
        for _ in 0..count {
            let mut stream = fixture.proxy.connect();
            is_alive(&mut stream);
            streams.push(stream);
        }
    };
    // What the first streams take stays.
    open(STREAMS / 10);
    let ends = [(&fixture.agent.process, 40 * KIB), (&fixture.proxy.process, 34 * KIB)];
    let before = ends.map(|(process, _)| process.memory().now);
    open(STREAMS);
    for ((process, limit), before) in ends.into_iter().zip(before) {
        // Buffers are released a moment after the last byte.
        let growth = || process.memory().now.saturating_sub(before);
        poll(&format!("under {limit} bytes"), || (growth() < STREAMS * limit).then_some(()));
    }
}
