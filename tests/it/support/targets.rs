//! Targets of forwards: small TCP servers, each with one behaviour.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::bytes::{KIB, Observed, Pattern, STALL_TIMEOUT, StreamEnd, drain, end_of, read_some, reset};
use super::{TIMEOUT, ports};

/// A server on a port that the system chose; it reports its observations of each connection.
pub(crate) struct Target {
    pub(crate) port: u16,
    seen: Mutex<Receiver<Observed>>,
    stopped: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
}

/// More connections than any test makes.
const REPORTS: usize = 1024;

impl Target {
    /// Echoes everything, and the end too.
    pub(crate) fn echo() -> Self {
        Self::echo_watched(|_, _| false)
    }

    /// Echoes, unless `resets` returns true for the bytes and their position: then it resets the connection.
    pub(crate) fn echo_watched(resets: impl Fn(u64, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self::serving(move |mut stream, _| {
            let observed = echo(&mut stream, &resets);
            if observed.end == StreamEnd::Reset {
                reset(stream);
            }
            observed
        })
    }

    /// Echoes everything once the input has ended.
    pub(crate) fn answering_at_the_end() -> Self {
        Self::serving(|mut stream, _| {
            let mut all = Vec::new();
            if let Err(error) = stream.read_to_end(&mut all) {
                return Observed { bytes: all.len() as u64, end: end_of(&error) };
            }
            let sent = stream.write_all(&all);
            Observed { bytes: all.len() as u64, end: sent.map_or_else(|error| end_of(&error), |()| StreamEnd::Eof) }
        })
    }

    /// Sends a banner, and echoes everything, and the end too.
    pub(crate) fn greeting_then_echoing(greeting: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::serving(move |mut stream, _| {
            // A peer that has closed before the greeting is detected below.
            let _ = stream.write_all(greeting.as_ref());
            echo(&mut stream, &|_, _| false)
        })
    }

    /// Sends a banner, ends its own direction, and reads to the end.
    pub(crate) fn greeting_then_reading(greeting: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::serving(move |mut stream, _| {
            // A peer that has closed before the greeting is detected below.
            let _ = stream.write_all(greeting.as_ref());
            let _ = stream.shutdown(Shutdown::Write);
            drain(&mut stream)
        })
    }

    /// Reads without responding.
    pub(crate) fn sink() -> Self {
        Self::serving(|mut stream, _| drain(&mut stream))
    }

    /// Sends this much of a pattern; reports a stall, and continues.
    pub(crate) fn source(seed: u64, length: u64) -> Self {
        Self::serving(move |mut stream, seen| {
            let pattern = Pattern::new(seed);
            stream.set_write_timeout(Some(STALL_TIMEOUT)).expect("a socket takes a timeout");
            let mut bytes = 0;
            let mut stalls = 0;
            while bytes < length {
                match stream.write(pattern.chunk(bytes, length - bytes)) {
                    Ok(count) => bytes += count as u64,
                    Err(error) if end_of(&error) == StreamEnd::Stalled => {
                        stalls += 1;
                        if stalls == 1 {
                            report(seen, Observed { bytes, end: StreamEnd::Stalled });
                        }
                    }
                    Err(error) => return Observed { bytes, end: end_of(&error) },
                }
            }
            let _ = stream.shutdown(Shutdown::Write);
            drain(&mut stream)
        })
    }

    /// Sends a little, reads a little, and resets the connection.
    pub(crate) fn resetting() -> Self {
        Self::serving(|mut stream, _| {
            let mut some = [0; 5];
            let read = stream.read_exact(&mut some);
            reset(stream);
            Observed { bytes: read.map_or(0, |()| 5), end: StreamEnd::Reset }
        })
    }

    /// Serves each connection in a thread of its own, which ends with the connection.
    fn serving(serve: impl Fn(TcpStream, &SyncSender<Observed>) -> Observed + Send + Sync + 'static) -> Self {
        let port = ports::reserve();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("a reserved port");
        let (sender, seen) = sync_channel(REPORTS);
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, accepted, serve) = (stopped.clone(), Arc::new(AtomicU64::new(0)), Arc::new(serve));
        let count = accepted.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                stream.set_read_timeout(Some(TIMEOUT * 2)).expect("a socket takes a timeout");
                count.fetch_add(1, Ordering::Relaxed);
                let (serve, sender) = (serve.clone(), sender.clone());
                thread::spawn(move || report(&sender, serve(stream, &sender)));
            }
        });
        Self { port, seen: Mutex::new(seen), stopped, accepted }
    }

    /// Number of connections accepted so far.
    pub(crate) fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Observations of the next connection that ended or stalled.
    pub(crate) fn seen(&self) -> Observed {
        let seen = self.seen.lock().expect("no thread panics").recv_timeout(TIMEOUT * 2);
        seen.expect("the target saw nothing end")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Echoes until the end, or until `resets` returns true for the bytes and their position: then the connection is to be
/// reset.
fn echo(stream: &mut TcpStream, resets: &impl Fn(u64, &[u8]) -> bool) -> Observed {
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        match read_some(stream, &mut buffer) {
            Ok(0) => return Observed { bytes, end: StreamEnd::Eof },
            Ok(count) if resets(bytes, &buffer[..count]) => {
                return Observed { bytes: bytes + count as u64, end: StreamEnd::Reset };
            }
            Ok(count) => {
                bytes += count as u64;
                if let Err(error) = stream.write_all(&buffer[..count]) {
                    return Observed { bytes, end: end_of(&error) };
                }
            }
            Err(error) => return Observed { bytes, end: end_of(&error) },
        }
    }
}

/// A port on which nothing listens, unless the test has something listen there.
pub(crate) fn closed_port() -> u16 {
    ports::reserve()
}

/// Reports an observation; a finished test no longer receives it.
fn report(to: &SyncSender<Observed>, seen: Observed) {
    let _ = to.try_send(seen);
}

/// Echoes a few bytes: asserts that the stream works.
pub(crate) fn is_alive(stream: &mut TcpStream) {
    let pattern = Pattern::new(4);
    pattern.send(stream, KIB).expect("the stream takes bytes");
    pattern.expect(stream, KIB);
}
