//! The crowd campaign: a hundred people type while a hundred readers stand still and one copies as fast as it can.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use devstream::net::clock;

use super::bell::Bell;
use super::say;
use super::support::bytes::End;
use super::support::roles::{Agent, OneMachine, ServiceProxy};
use super::support::targets::Target;

const TYPING: u64 = 100;
const FROZEN: usize = 100;

/// From one key to the next; everybody types so long.
const BETWEEN_KEYS: Duration = Duration::from_millis(100);
const TIME: Duration = Duration::from_secs(20);

/// Of 1,000 echoes, 990 come back within this, or within so many times what it takes when nothing else happens.
const QUICK: Duration = Duration::from_millis(20);
const TIMES_IDLE: u32 = 5;

pub(crate) fn campaign() -> ExitCode {
    let (echo, source) = (Target::echo(), Target::source(1, u64::MAX));
    let scene = OneMachine::forwarding(echo.port);
    let _agent = Agent::start_as(&scene.machine, "source", &[&source.port.to_string()]);
    let copies = ServiceProxy::start_with(&scene.machine, "source", "0", &[]);
    let idle = p99(&scene.proxy);
    // One after the other: a device is asked for so many streams at once, and no more.
    let open = || {
        let reader = copies.connect();
        reader.peek(&mut [0]).unwrap();
        reader
    };
    let frozen: Vec<TcpStream> = (0..FROZEN).map(|_| open()).collect();
    for _ in 0..FROZEN {
        assert_eq!(source.seen().end, End::Stalled, "the source is held back");
    }
    let over = Bell::default();
    let (busy, copied) = thread::scope(|scope| {
        let copying = scope.spawn(|| copy(copies.connect(), &over));
        let busy = p99(&scene.proxy);
        over.ring();
        (busy, copying.join().unwrap())
    });
    drop(frozen);
    let good = busy <= QUICK.max(TIMES_IDLE * idle);
    say(format!(
        "crowd: {TYPING} echoing streams, p99 {:.1} ms idle, {:.1} ms beside {FROZEN} frozen readers and a copy at {:.0} \
         Mbit/s: {}",
        idle.as_secs_f64() * 1e3,
        busy.as_secs_f64() * 1e3,
        copied as f64 * 8e-6 / TIME.as_secs_f64(),
        if good { "passed" } else { "FAILED" },
    ));
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Everybody types for a while.
fn p99(proxy: &ServiceProxy) -> Duration {
    let mut took: Vec<Duration> = thread::scope(|scope| {
        let typing: Vec<_> = (0..TYPING).map(|number| scope.spawn(move || echoes(proxy.connect(), number))).collect();
        typing.into_iter().flat_map(|typing| typing.join().unwrap()).collect()
    });
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// How long the echo of each key took. The first is for the stream to be opened, and does not count.
fn echoes(mut stream: TcpStream, number: u64) -> Vec<Duration> {
    let mut key = || -> Duration {
        let start: Instant = clock::now();
        stream.write_all(b"k").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        clock::now() - start
    };
    key();
    let (never, end) = (Bell::default(), clock::now() + TIME);
    // Not all in step.
    never.rings_within(BETWEEN_KEYS * u32::try_from(number).unwrap() / u32::try_from(TYPING).unwrap());
    let mut took = Vec::new();
    while clock::now() < end {
        took.push(key());
        never.rings_within(BETWEEN_KEYS);
    }
    took
}

/// As fast as it goes; how much it was.
fn copy(mut stream: TcpStream, over: &Bell) -> usize {
    let (mut buffer, mut copied) = (vec![0; 64 * 1024], 0);
    while !over.rings_within(Duration::ZERO) {
        copied += stream.read(&mut buffer).unwrap();
    }
    copied
}
