//! What a device forwards to: small TCP servers, each with one habit.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::TIMEOUT;
use super::bytes::{KIB, Observed, Pattern, STALL_TIMEOUT, StreamEnd, drain, end_of, read_some, reset};

/// A server on a port that the system chose. It tells what it saw of each connection.
pub(crate) struct Target {
    pub(crate) port: u16,
    seen: Mutex<Receiver<Observed>>,
    stopped: Arc<AtomicBool>,
}

/// More connections than any test makes.
const REPORTS: usize = 1024;

impl Target {
    /// Sends everything back, and the end too.
    pub(crate) fn echo() -> Self {
        Self::echo_watched(|_, _| false)
    }

    /// The same, but shows what comes and from where on in its connection; where it is told so, it resets that instead.
    pub(crate) fn echo_watched(resets: impl Fn(u64, &[u8]) -> bool + Send + Sync + 'static) -> Self {
        Self::serving(move |mut stream, _| {
            let mut buffer = vec![0; 64 * 1024];
            let mut bytes = 0;
            loop {
                match read_some(&mut stream, &mut buffer) {
                    Ok(0) => return Observed { bytes, end: StreamEnd::Eof },
                    Ok(count) if resets(bytes, &buffer[..count]) => {
                        reset(stream);
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
        })
    }

    /// Reads to the end and only then sends everything back.
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

    /// Greets, ends its own direction, and goes on reading.
    pub(crate) fn greeting_then_reading(greeting: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self::serving(move |mut stream, _| {
            // Whoever hung up before the greeting is found out below.
            let _ = stream.write_all(greeting.as_ref());
            let _ = stream.shutdown(Shutdown::Write);
            drain(&mut stream)
        })
    }

    /// Reads and says nothing.
    pub(crate) fn sink() -> Self {
        Self::serving(|mut stream, _| drain(&mut stream))
    }

    /// Sends this much of a pattern; says so when it stands still, and goes on.
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

    /// Each connection in a thread of its own, which is over when the connection is.
    fn serving(serve: impl Fn(TcpStream, &SyncSender<Observed>) -> Observed + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sender, seen) = sync_channel(REPORTS);
        let stopped = Arc::new(AtomicBool::new(false));
        let (stop, serve) = (stopped.clone(), Arc::new(serve));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                stream.set_read_timeout(Some(TIMEOUT * 2)).expect("a socket takes a timeout");
                let (serve, sender) = (serve.clone(), sender.clone());
                thread::spawn(move || report(&sender, serve(stream, &sender)));
            }
        });
        Self { port, seen: Mutex::new(seen), stopped }
    }

    /// What it saw of the next connection that ended or stands still.
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

/// A port on which nothing listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A test that has ended does not listen any more, and then nobody needs to know.
fn report(to: &SyncSender<Observed>, seen: Observed) {
    let _ = to.try_send(seen);
}

/// An exchange of a few bytes over an echo: the stream works at this moment.
pub(crate) fn is_alive(stream: &mut TcpStream) {
    let pattern = Pattern::new(4);
    pattern.send(stream, KIB).expect("the stream takes bytes");
    pattern.expect(stream, KIB);
}
