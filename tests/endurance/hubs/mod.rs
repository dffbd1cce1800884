//! The campaign of `tests/hubs`: what several hubs as one are promised to do, each trial with its own number.

mod isolation;
mod open;
mod races;
mod revocation;
mod third;

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::report;
use super::stop_signal::StopSignal;
use super::support::{poll, roles};

/// What a trial found, and whether that is what was promised.
pub(crate) type Outcome = (String, bool);

type Trial = (&'static str, usize, fn(usize) -> Outcome);

/// The trials, and the number of each: minutes, rounds, races, opens or identities.
const TRIALS: [Trial; 5] = [
    ("isolation", 10, isolation::isolation),
    ("revocation", 200, revocation::revocation),
    ("races", 10_000, races::races),
    ("open", 500, open::open),
    ("third", 10_000, third::third),
];

/// Runs the trials of these names, each as `NAME` or `NAME=NUMBER`, or all. Returns the number of those that failed.
pub(crate) fn run(words: &[String]) -> usize {
    let all: Vec<String> = TRIALS.iter().map(|(name, ..)| (*name).to_owned()).collect();
    let words = if words.is_empty() { &all } else { words };
    let failed = words.iter().filter(|word| !run_one(word)).count();
    report(format!("hubs: {} trials: {}", words.len(), verdict(failed == 0)));
    failed
}

fn run_one(word: &str) -> bool {
    let (name, number) = word.split_once('=').map_or((word, None), |(name, number)| (name, Some(number.parse())));
    let trial = TRIALS.iter().find(|(known, ..)| *known == name);
    let (Some((_, usual, trial)), Ok(number)) = (trial, number.transpose()) else {
        report(format!("hubs: no trial is named {word}"));
        return false;
    };
    let (figures, good) = trial(number.unwrap_or(*usual).max(1));
    report(format!("hubs: {name}: {figures}: {}", verdict(good)));
    good
}

fn verdict(good: bool) -> &'static str {
    if good { "passed" } else { "FAILED" }
}

/// A byte there and back.
fn byte(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(b"x")?;
    stream.read_exact(&mut [0])
}

/// A stream that works, or none at present.
fn try_open(port: u16) -> Option<TcpStream> {
    let mut stream = roles::connect(port);
    byte(&mut stream).ok().map(|()| stream)
}

/// A stream that works, as soon as there is one.
fn opened(port: u16) -> TcpStream {
    poll("a stream", || try_open(port))
}

/// Lets this time pass.
fn pass(time: Duration) {
    StopSignal::default().wait_for(time);
}
