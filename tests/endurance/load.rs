//! The load: so many new connections a second of every kind that there is, and a few that never end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, Scope};
use std::time::Duration;

use devstream::net::clock;

use super::bell::Bell;
use super::rng::Rng;
use super::support::bytes::{KIB, MIB, Pattern, read_some, reset};
use super::target::{ANSWER, BEFORE_RESET, ECHO, RESET};

/// The pace of new connections.
pub(crate) const OPENS_PER_SECOND: u32 = 10;

/// Nothing stands still longer, whatever happens to the network: the silence limit, the grace time of a resume, and
/// room for a busy machine.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(240);

/// Connections at once: when all of them hang in a fault, the pace breaks down here rather than the machine.
const AT_ONCE: u64 = 512;

/// How often a stream that never ends says the next number.
const COUNTING: Duration = Duration::from_millis(100);

/// Different bytes for connections that are open at the same time.
const PATTERNS: u64 = 16;

/// The first ones are all that somebody reads.
const MISTAKES_KEPT: usize = 20;

/// What came of it all.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) opens: AtomicU64,
    /// Every byte and both ends were right.
    pub(crate) good: AtomicU64,
    /// Reset before the stream stood.
    pub(crate) refused: AtomicU64,
    /// Reset after that.
    pub(crate) broken: AtomicU64,
    /// Anything else, which is never right.
    pub(crate) wrong: AtomicU64,
    pub(crate) mistakes: Mutex<Vec<String>>,
    at_once: AtomicU64,
}

/// How a connection failed.
enum Trouble {
    /// Before the target said that it is there.
    Refused,
    /// Afterwards, by a reset.
    Broken,
    /// Other bytes, another end, or none at all.
    Wrong(String),
}

impl Tally {
    fn count(&self, what: &str, done: Result<(), Trouble>) {
        let counter = match done {
            Ok(()) => &self.good,
            Err(Trouble::Refused) => &self.refused,
            Err(Trouble::Broken) => &self.broken,
            Err(Trouble::Wrong(how)) => {
                let mut mistakes = self.mistakes.lock().unwrap();
                if mistakes.len() < MISTAKES_KEPT {
                    mistakes.push(format!("{what}: {how}"));
                }
                &self.wrong
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Loads these ports until the bell rings, and then until everything that was begun has ended.
pub(crate) fn load(ports: &[u16], seed: u64, tally: &Tally, bell: &Bell) {
    let patterns: Vec<Pattern> = (1..=PATTERNS).map(Pattern::new).collect();
    let mut rng = Rng::new(seed);
    thread::scope(|scope| {
        for port in ports {
            scope.spawn(|| count_for_ever(*port, tally, bell));
        }
        let mut next = clock::now();
        loop {
            next += Duration::from_secs(1) / OPENS_PER_SECOND;
            if bell.rings_within(next.saturating_duration_since(clock::now())) {
                return;
            }
            if tally.at_once.load(Ordering::Relaxed) < AT_ONCE {
                let port = *rng.pick(ports);
                open(scope, port, rng.below(100), rng.pick(&patterns), tally);
            }
        }
    });
}

/// One connection of a kind, in a thread of its own.
fn open<'s>(scope: &'s Scope<'s, '_>, port: u16, kind: u64, pattern: &'s Pattern, tally: &'s Tally) {
    tally.opens.fetch_add(1, Ordering::Relaxed);
    tally.at_once.fetch_add(1, Ordering::Relaxed);
    scope.spawn(move || {
        let (what, done) = match kind {
            0..70 => ("an echo", echo(port, pattern)),
            70..80 => ("a transfer", transfer(port, pattern)),
            80..90 => ("a half-close", half_close(port, pattern)),
            90..95 => ("a reset here", reset_here(port, pattern)),
            _ => ("a reset there", reset_there(port, pattern)),
        };
        tally.count(what, done);
        tally.at_once.fetch_sub(1, Ordering::Relaxed);
    });
}

/// A few words back and forth.
fn echo(port: u16, pattern: &Pattern) -> Result<(), Trouble> {
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

/// A mebibyte each way at the same time.
fn transfer(port: u16, pattern: &Pattern) -> Result<(), Trouble> {
    let stream = connect(port, ECHO)?;
    let (mut reader, mut writer) = (&stream, &stream);
    thread::scope(|scope| {
        let sent = scope.spawn(move || {
            send(&mut writer, pattern, 0, MIB)?;
            Ok::<(), Trouble>(writer.shutdown(Shutdown::Write)?)
        });
        let received = receive(&mut reader, pattern, 0, MIB).and_then(|()| expect_end(&mut reader));
        let sent = sent.join().unwrap();
        // What was wrong tells more than that the other direction broke because of it.
        if matches!(received, Err(Trouble::Wrong(_))) { received } else { sent.and(received) }
    })
}

/// A question that ends, and only then the answer.
fn half_close(port: u16, pattern: &Pattern) -> Result<(), Trouble> {
    let mut stream = connect(port, ANSWER)?;
    send(&mut stream, pattern, 0, 64 * KIB)?;
    stream.shutdown(Shutdown::Write)?;
    receive(&mut stream, pattern, 0, 64 * KIB)?;
    expect_end(&mut stream)
}

fn reset_here(port: u16, pattern: &Pattern) -> Result<(), Trouble> {
    let mut stream = connect(port, ECHO)?;
    send(&mut stream, pattern, 0, KIB)?;
    receive(&mut stream, pattern, 0, KIB / 2)?;
    reset(stream);
    Ok(())
}

fn reset_there(port: u16, pattern: &Pattern) -> Result<(), Trouble> {
    let mut stream = connect(port, RESET)?;
    send(&mut stream, pattern, 0, BEFORE_RESET as u64)?;
    match expect_end(&mut stream) {
        Err(Trouble::Broken) => Ok(()),
        Ok(()) => Err(Trouble::Wrong("a reset arrived as an end".into())),
        Err(other) => Err(other),
    }
}

/// A stream that says the next number again and again, and hears it back. One that broke is begun anew.
fn count_for_ever(port: u16, tally: &Tally, bell: &Bell) {
    while !bell.rings_within(COUNTING) {
        tally.opens.fetch_add(1, Ordering::Relaxed);
        tally.count("a counter", count(port, bell));
    }
}

fn count(port: u16, bell: &Bell) -> Result<(), Trouble> {
    let mut stream = connect(port, ECHO)?;
    let mut number = 0_u64;
    while !bell.rings_within(COUNTING) {
        stream.write_all(&number.to_be_bytes())?;
        let mut heard = [0; 8];
        exactly(&mut stream, &mut heard)?;
        if heard != number.to_be_bytes() {
            return Err(Trouble::Wrong(format!("{} for {number}", u64::from_be_bytes(heard))));
        }
        number += 1;
    }
    stream.shutdown(Shutdown::Write)?;
    expect_end(&mut stream)
}

/// A stream that stands: the target has said so.
fn connect(port: u16, habit: u8) -> Result<TcpStream, Trouble> {
    let connected = TcpStream::connect(("127.0.0.1", port));
    let mut stream = connected.map_err(|error| Trouble::Wrong(format!("the proxy does not listen: {error}")))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONGEST_PAUSE))?;
    stream.set_write_timeout(Some(LONGEST_PAUSE))?;
    let mut said = [0];
    let greeted = stream.write_all(&[habit]).map_err(Trouble::from).and_then(|()| exactly(&mut stream, &mut said));
    match greeted {
        Ok(()) if said == [habit] => Ok(stream),
        Ok(()) => Err(Trouble::Wrong("another greeting".into())),
        Err(Trouble::Broken) => Err(Trouble::Refused),
        Err(other) => Err(other),
    }
}

fn send(to: &mut impl Write, pattern: &Pattern, from: u64, length: u64) -> Result<(), Trouble> {
    let mut sent = 0;
    while sent < length {
        let chunk = pattern.chunk(from + sent, length - sent);
        to.write_all(chunk)?;
        sent += chunk.len() as u64;
    }
    Ok(())
}

fn receive(from: &mut impl Read, pattern: &Pattern, position: u64, length: u64) -> Result<(), Trouble> {
    let mut buffer = vec![0; 64 * 1024];
    let mut received = 0;
    while received < length {
        let wanted = pattern.chunk(position + received, length - received);
        let count = read_some(from, &mut buffer[..wanted.len()])?;
        if count == 0 {
            return Err(Trouble::Wrong(format!("the end after {received} of {length} bytes")));
        }
        if buffer[..count] != wanted[..count] {
            return Err(Trouble::Wrong(format!("other bytes after {received} of {length}")));
        }
        received += count as u64;
    }
    Ok(())
}

fn exactly(from: &mut impl Read, buffer: &mut [u8]) -> Result<(), Trouble> {
    from.read_exact(buffer)?;
    Ok(())
}

fn expect_end(from: &mut impl Read) -> Result<(), Trouble> {
    match read_some(from, &mut [0])? {
        0 => Ok(()),
        _ => Err(Trouble::Wrong("more bytes than there are".into())),
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::NotConnected) {
            return Self::Broken;
        }
        let stood_still = matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut);
        Self::Wrong(if stood_still { format!("nothing for {LONGEST_PAUSE:?}") } else { error.to_string() })
    }
}
