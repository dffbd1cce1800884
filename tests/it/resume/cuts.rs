//! Transfers whose legs break repeatedly, by every kind of fault.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use super::fixture::{Fixture, SILENCE};
use crate::support::bytes::{MIB, Observed, Pattern, StreamEnd, drain, read_some};
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::process::Process;
use crate::support::rng::Rng;
use crate::support::targets::Target;

/// Size and count of the transfers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) streams: u64,
    /// Bytes each way, of all streams together.
    pub(crate) bytes: u64,
    pub(crate) hits: u64,
    /// After so many hits, what only stands still goes on, as a network does that was gone for a moment.
    pub(crate) heal_every: u64,
    pub(crate) seed: u64,
}

/// Faults of a leg. Without healing, silence ends with an idle timeout.
const FAULTS: [Fault; 7] = [
    Fault::Cut,
    Fault::Close(Direction::Both),
    Fault::BlackHole(Direction::Both),
    Fault::BlackHole(Direction::Up),
    Fault::BlackHole(Direction::Down),
    Fault::Freeze(Direction::Both),
    Fault::Freeze(Direction::Down),
];

/// Longest time between two hits without progress.
const PROGRESS_TIMEOUT: Duration = Duration::from_secs(1);

/// Longer than several silences in a row.
const LONGEST: Duration = Duration::from_secs(120);

#[test]
fn eight_streams_whose_legs_are_cut_blackholed_and_frozen_lose_no_byte() {
    transfer(Size { streams: 8, bytes: 256 * MIB, hits: 24, heal_every: 12, seed: 1 });
}

/// Asserts that every byte arrives both ways, in order, and that every stream ends cleanly. Returns the figures.
pub(crate) fn transfer(size: Size) -> String {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&[target.port], &SILENCE);
    let start = clock::now();
    let received = AtomicU64::new(0);
    let hits = thread::scope(|scope| {
        let streams: Vec<_> = (0..size.streams).map(|seed| (seed, fixture.alive())).collect();
        let transfers: Vec<_> = streams
            .into_iter()
            .map(|(seed, stream)| {
                let received = &received;
                scope.spawn(move || echo_round_trip(&stream, seed, size.bytes / size.streams, received))
            })
            .collect();
        hit_again_and_again(&fixture, size, &received, || transfers.iter().all(|transfer| transfer.is_finished()))
    });
    let took = clock::now() - start;
    for _ in 0..size.streams {
        assert_eq!(target.seen().end, StreamEnd::Eof, "every stream ended as it should");
    }
    fixture.assert_none_given_up();
    let resumed = resumed(&fixture.proxy.process);
    assert!(resumed > 0, "a hit that nobody felt");
    format!(
        "{} MiB each way on {} streams: {hits} hits, {resumed} resumptions by the proxy, all bytes right, {took:.1?}",
        size.bytes / MIB,
        size.streams
    )
}

/// Hits one leg after the other, evenly over the transfer; returns the number of hits.
fn hit_again_and_again(fixture: &Fixture, size: Size, received: &AtomicU64, is_over: impl Fn() -> bool) -> u64 {
    let mut rng = Rng::new(size.seed);
    let mut hits = 0;
    let mut last = clock::now();
    while hits < size.hits {
        assert!(!is_over(), "only {hits} hits: too little to carry, or a stream broke");
        let due = received.load(Ordering::Relaxed) > size.bytes * hits / (size.hits + 1);
        if !due && last.elapsed() < PROGRESS_TIMEOUT {
            thread::park_timeout(PROGRESS_TIMEOUT / 100);
            continue;
        }
        let network = if rng.random_below(2) == 0 { &fixture.below } else { &fixture.above };
        if network.hit_one(rng.random_below(usize::MAX) as u64, FAULTS[rng.random_below(FAULTS.len())]).is_some() {
            hits += 1;
            last = clock::now();
            if hits % size.heal_every == 0 {
                fixture.on_both_legs(Chaos::heal);
            }
        }
    }
    hits
}

fn resumed(process: &Process) -> usize {
    process.log().lines().filter(|line| line.contains("resumed after")).count()
}

/// Sends and receives at the same time, over an echo, and counts.
fn echo_round_trip(stream: &TcpStream, seed: u64, length: u64, received: &AtomicU64) {
    let pattern = Pattern::new(seed);
    stream.set_read_timeout(Some(LONGEST)).unwrap();
    stream.set_write_timeout(Some(LONGEST)).unwrap();
    let mut reader = Counting(stream, received);
    thread::scope(|scope| {
        scope.spawn(|| {
            pattern.send(&mut &*stream, length).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        pattern.expect(&mut reader, length);
    });
    assert_eq!(drain(&mut stream.try_clone().unwrap()), Observed { bytes: 0, end: StreamEnd::Eof });
}

struct Counting<'a>(&'a TcpStream, &'a AtomicU64);

impl std::io::Read for Counting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = read_some(&mut self.0, buffer)?;
        self.1.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
