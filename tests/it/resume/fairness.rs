//! Fairness: stalled and busy readers delay no other stream.

use std::fmt;
use std::io::Read as _;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;

use super::fixture::{Fixture, show};
use crate::support::bytes::{KIB, MIB, Pattern};
use crate::support::roles::connect;
use crate::support::targets::Target;

/// Interval at which a stream sends.
const EVERY: Duration = Duration::from_millis(100);

#[test]
fn echoes_go_on_beside_frozen_readers_and_a_bulk_transfer() {
    show(echo_beside(Size { frozen: 20, echoes: 20, rounds: 20 }));
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) frozen: usize,
    pub(crate) echoes: usize,
    /// Payload and interval of each echo stream.
    pub(crate) rounds: u32,
}

/// The 99th percentile of the echoes' round trips.
#[derive(Debug)]
pub(crate) struct Figures {
    /// The baseline, without other load.
    pub(crate) idle: Duration,
    /// Beside everything.
    pub(crate) beside: Duration,
    /// Bytes that the bulk transfer took meanwhile.
    pub(crate) bulk: u64,
}

/// Every echo comes back.
pub(crate) fn echo_beside(size: Size) -> Figures {
    let (echo, source) = (Target::echo(), Target::source(6, u64::MAX));
    let fixture = Fixture::forwarding(&[echo.port, source.port], &[]);
    let mut echoes: Vec<_> = (0..size.echoes).map(|_| fixture.alive()).collect();
    let idle = p99(&mut echoes, size.rounds);

    let source = fixture.local(source.port);
    let begun = || {
        let mut reader = connect(source);
        reader.read_exact(&mut [0]).unwrap();
        reader
    };
    let _frozen: Vec<_> = (0..size.frozen).map(|_| begun()).collect();
    let over = AtomicBool::new(false);
    let mut bulk = begun();
    thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
            while !over.load(Ordering::Relaxed) {
                bytes += bulk.read(&mut buffer).unwrap() as u64;
            }
            bytes
        });
        let beside = p99(&mut echoes, size.rounds);
        over.store(true, Ordering::Relaxed);
        let bulk = reading.join().unwrap();
        assert!(bulk > KIB, "the transfer goes on as well");
        Figures { idle, beside, bulk }
    })
}

/// Runs all at once, each at its own rate.
fn p99(streams: &mut [TcpStream], rounds: u32) -> Duration {
    let (took, start, count) = (Mutex::new(Vec::new()), clock::now(), u32::try_from(streams.len()).unwrap());
    thread::scope(|scope| {
        for (at, stream) in (0..).zip(streams) {
            let took = &took;
            scope.spawn(move || {
                let (pattern, mut own) = (Pattern::new(7), Vec::new());
                stream.set_nodelay(true).unwrap();
                for round in 0..rounds {
                    let due = start + EVERY * round + EVERY * at / count;
                    while clock::now() < due {
                        thread::park_timeout(due.saturating_duration_since(clock::now()));
                    }
                    let asked = clock::now();
                    pattern.send(stream, 64).unwrap();
                    pattern.expect(stream, 64);
                    own.push(asked.elapsed());
                }
                took.lock().unwrap().extend(own);
            });
        }
    });
    let mut took = took.into_inner().unwrap();
    took.sort_unstable();
    took[(took.len() - 1) * 99 / 100]
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle, beside, bulk } = self;
        write!(f, "echoes come back within {beside:.1?} (p99) beside {} MiB, {idle:.1?} when idle", bulk / MIB)
    }
}
