//! The load: new connections of every kind at a constant rate, and a few that stay open.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use devstream::net::os::clock;

use super::rng::Rng;
use super::stop_signal::StopSignal;
use super::support::bytes::{KIB, MIB, Pattern, read_some, reset};
use super::target::{ANSWER, BEFORE_RESET, ECHO, RESET};

/// Rate of new connections.
pub(crate) const OPENS_PER_SECOND: u32 = 10;

/// Longest time without progress, whatever the network does: the dead-peer timeout, the resume grace and slack for a
/// busy machine.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(240);

/// Limit of concurrent connections: when all of them are stalled by a fault, the rate drops here instead of the machine
/// running out of resources.
const MAX_CONCURRENT: u64 = 512;

/// Interval between two numbers on a stream that stays open.
const COUNTING: Duration = Duration::from_millis(100);

/// Number of patterns: concurrent connections carry different bytes.
const PATTERNS: u64 = 16;

/// Limit of reported errors.
const MAX_ERRORS: usize = 20;

/// The results.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) opens: AtomicU64,
    /// Every byte and both ends were right.
    pub(crate) good: AtomicU64,
    /// Reset before the stream was open.
    pub(crate) refused: AtomicU64,
    /// Reset after that.
    pub(crate) broken: AtomicU64,
    /// Any other failure, which is never right.
    pub(crate) wrong: AtomicU64,
    pub(crate) errors: Mutex<Vec<String>>,
    concurrent: AtomicU64,
}

/// A failure of a connection.
enum Failure {
    /// Before the target's greeting.
    Refused,
    /// After it, by a reset.
    Broken,
    /// Wrong bytes, a wrong end, or none.
    Wrong(String),
}

impl Tally {
    fn count(&self, what: &str, done: Result<(), Failure>) {
        let counter = match done {
            Ok(()) => &self.good,
            Err(Failure::Refused) => &self.refused,
            Err(Failure::Broken) => &self.broken,
            Err(Failure::Wrong(how)) => {
                let mut errors = self.errors.lock().unwrap();
                if errors.len() < MAX_ERRORS {
                    errors.push(format!("{what}: {how}"));
                }
                &self.wrong
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Loads these ports until the stop signal, then waits for all connections to end.
pub(crate) fn load(ports: &[u16], seed: u64, tally: &Tally, stop: &StopSignal) {
    let patterns: Vec<Pattern> = (1..=PATTERNS).map(Pattern::new).collect();
    let mut rng = Rng::new(seed);
    thread::scope(|scope| {
        for port in ports {
            scope.spawn(|| count_until_stopped(*port, tally, stop));
        }
        let mut next = clock::now();
        loop {
            next += Duration::from_secs(1) / OPENS_PER_SECOND;
            if stop.wait_for(next.saturating_duration_since(clock::now())) {
                return;
            }
            if tally.concurrent.load(Ordering::Relaxed) < MAX_CONCURRENT {
                let port = *rng.pick(ports);
                open(scope, port, rng.below(100), rng.pick(&patterns), tally);
            }
        }
    });
}

/// Opens one connection of this kind in a thread of its own.
fn open<'s>(scope: &'s Scope<'s, '_>, port: u16, kind: u64, pattern: &'s Pattern, tally: &'s Tally) {
    tally.opens.fetch_add(1, Ordering::Relaxed);
    tally.concurrent.fetch_add(1, Ordering::Relaxed);
    scope.spawn(move || {
        let (what, done) = match kind {
            0..70 => ("an echo", echo(port, pattern)),
            70..80 => ("a transfer", transfer(port, pattern)),
            80..90 => ("a half-close", half_close(port, pattern)),
            90..95 => ("a reset here", reset_here(port, pattern)),
            _ => ("a reset there", reset_there(port, pattern)),
        };
        tally.count(what, done);
        tally.concurrent.fetch_sub(1, Ordering::Relaxed);
    });
}

/// A few short messages, each echoed.
fn echo(port: u16, pattern: &Pattern) -> Result<(), Failure> {
    let mut stream = connect(port, ECHO)?;
    let mut done = 0;
    for length in [1, 100, KIB] {
        send(&mut stream, pattern, done, length)?;
        receive(&mut stream, pattern, done, length)?;
        done += length;
    }
    stream.shutdown(Shutdown::Write)?;
    expect_end(&mut stream)
}

/// One MiB in each direction at the same time.
fn transfer(port: u16, pattern: &Pattern) -> Result<(), Failure> {
    let stream = connect(port, ECHO)?;
    let (mut reader, mut writer) = (&stream, &stream);
    thread::scope(|scope| {
        let sent = scope.spawn(move || {
            send(&mut writer, pattern, 0, MIB)?;
            Ok::<(), Failure>(writer.shutdown(Shutdown::Write)?)
        });
        let received = receive(&mut reader, pattern, 0, MIB).and_then(|()| expect_end(&mut reader));
        let sent = sent.join().unwrap();
        // A wrong result says more than the break of the other direction that follows.
        if matches!(received, Err(Failure::Wrong(_))) { received } else { sent.and(received) }
    })
}

/// A request that ends with a half-close, then the response.
fn half_close(port: u16, pattern: &Pattern) -> Result<(), Failure> {
    let mut stream = connect(port, ANSWER)?;
    send(&mut stream, pattern, 0, 64 * KIB)?;
    stream.shutdown(Shutdown::Write)?;
    receive(&mut stream, pattern, 0, 64 * KIB)?;
    expect_end(&mut stream)
}

fn reset_here(port: u16, pattern: &Pattern) -> Result<(), Failure> {
    let mut stream = connect(port, ECHO)?;
    send(&mut stream, pattern, 0, KIB)?;
    receive(&mut stream, pattern, 0, KIB / 2)?;
    reset(stream);
    Ok(())
}

fn reset_there(port: u16, pattern: &Pattern) -> Result<(), Failure> {
    let mut stream = connect(port, RESET)?;
    send(&mut stream, pattern, 0, BEFORE_RESET as u64)?;
    match expect_end(&mut stream) {
        Err(Failure::Broken) => Ok(()),
        Ok(()) => Err(Failure::Wrong("a reset arrived as an end".into())),
        Err(other) => Err(other),
    }
}

/// Keeps a counting stream open; reopens it when it breaks.
fn count_until_stopped(port: u16, tally: &Tally, stop: &StopSignal) {
    while !stop.wait_for(COUNTING) {
        tally.opens.fetch_add(1, Ordering::Relaxed);
        tally.count("a counter", count(port, stop));
    }
}

fn count(port: u16, stop: &StopSignal) -> Result<(), Failure> {
    let mut stream = connect(port, ECHO)?;
    let mut number = 0_u64;
    while !stop.wait_for(COUNTING) {
        stream.write_all(&number.to_be_bytes())?;
        let mut echoed = [0; 8];
        exactly(&mut stream, &mut echoed)?;
        if echoed != number.to_be_bytes() {
            return Err(Failure::Wrong(format!("{} for {number}", u64::from_be_bytes(echoed))));
        }
        number += 1;
    }
    stream.shutdown(Shutdown::Write)?;
    expect_end(&mut stream)
}

/// Opens a stream, with the target's greeting.
fn connect(port: u16, mode: u8) -> Result<TcpStream, Failure> {
    let connected = TcpStream::connect(("127.0.0.1", port));
    let mut stream = connected.map_err(|error| Failure::Wrong(format!("the proxy does not listen: {error}")))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONGEST_PAUSE))?;
    stream.set_write_timeout(Some(LONGEST_PAUSE))?;
    let mut greeting = [0];
    let greeted = stream.write_all(&[mode]).map_err(Failure::from).and_then(|()| exactly(&mut stream, &mut greeting));
    match greeted {
        Ok(()) if greeting == [mode] => Ok(stream),
        Ok(()) => Err(Failure::Wrong("another greeting".into())),
        Err(Failure::Broken) => Err(Failure::Refused),
        Err(other) => Err(other),
    }
}

fn send(to: &mut impl Write, pattern: &Pattern, from: u64, length: u64) -> Result<(), Failure> {
    let mut sent = 0;
    while sent < length {
        let chunk = pattern.chunk(from + sent, length - sent);
        to.write_all(chunk)?;
        sent += chunk.len() as u64;
    }
    Ok(())
}

fn receive(from: &mut impl Read, pattern: &Pattern, position: u64, length: u64) -> Result<(), Failure> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    while received < length {
        let wanted = pattern.chunk(position + received, length - received);
        let count = read_some(from, &mut buffer[..wanted.len()])?;
        if count == 0 {
            return Err(Failure::Wrong(format!("the end after {received} of {length} bytes")));
        }
        if buffer[..count] != wanted[..count] {
            return Err(Failure::Wrong(format!("other bytes after {received} of {length}")));
        }
        received += count as u64;
    }
    Ok(())
}

fn exactly(from: &mut impl Read, buffer: &mut [u8]) -> Result<(), Failure> {
    from.read_exact(buffer)?;
    Ok(())
}

fn expect_end(from: &mut impl Read) -> Result<(), Failure> {
    match read_some(from, &mut [0])? {
        0 => Ok(()),
        _ => Err(Failure::Wrong("more bytes than there are".into())),
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected) {
            return Self::Broken;
        }
        let timed_out = matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        Self::Wrong(if timed_out { format!("nothing for {LONGEST_PAUSE:?}") } else { error.to_string() })
    }
}
