//! Streams on which numbers are echoed one after the other: a byte that is lost or repeated, and an end, show at once.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use devstream::net::os::clock;

use super::stop_signal::StopSignal;
use super::support::bytes::{Observed, StreamEnd, drain};

/// Time between an answer and the next number.
const PAUSE: Duration = Duration::from_millis(50);

/// Far more than a number and its answer take on the stack.
const STACK: usize = 128 * 1024;

/// What a stream went through.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Numbers that came back.
    pub(crate) numbers: u64,
    /// The longest time from a number to its answer …
    pub(crate) slowest: Duration,
    /// … and the time of that answer.
    pub(crate) answered: Instant,
}

/// A stream that counts until the signal, and then ends in order.
pub(crate) struct Counting(JoinHandle<Result<Counted, String>>);

impl Counting {
    /// Begins; the first number has come back when this returns.
    pub(crate) fn start(mut stream: TcpStream, stop: &'static StopSignal) -> Self {
        answer(&mut stream, 0).expect("the stream is open");
        let builder = thread::Builder::new().stack_size(STACK);
        Self(builder.spawn(move || count(stream, stop)).expect("a thread"))
    }

    /// Waits for its end; the error is what went wrong with it.
    pub(crate) fn end(self) -> Result<Counted, String> {
        self.0.join().expect("no thread panics")
    }
}

fn count(mut stream: TcpStream, stop: &StopSignal) -> Result<Counted, String> {
    let mut counted = Counted { numbers: 1, slowest: Duration::ZERO, answered: clock::now() };
    while !stop.wait_for(PAUSE) {
        let asked = clock::now();
        answer(&mut stream, counted.numbers)?;
        counted.numbers += 1;
        if asked.elapsed() > counted.slowest {
            (counted.slowest, counted.answered) = (asked.elapsed(), clock::now());
        }
    }
    stream.shutdown(Shutdown::Write).map_err(|error| error.to_string())?;
    match drain(&mut stream) {
        Observed { bytes: 0, end: StreamEnd::Eof } => Ok(counted),
        other => Err(format!("after the last number: {other:?}")),
    }
}

fn answer(stream: &mut TcpStream, number: u64) -> Result<(), String> {
    let mut back = [0; 8];
    let echoed = stream.write_all(&number.to_le_bytes()).and_then(|()| stream.read_exact(&mut back));
    echoed.map_err(|error| format!("number {number}: {error}"))?;
    let came = u64::from_le_bytes(back);
    (came == number).then_some(()).ok_or_else(|| format!("{came} came instead of {number}"))
}
