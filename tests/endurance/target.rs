//! The agents' target: a server whose behaviour the first byte of a connection selects. It echoes that byte first, so
//! that the client knows that the stream is open.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::load::LONGEST_PAUSE;
use super::support::bytes::{read_some, reset};

/// Echoes immediately.
pub(crate) const ECHO: u8 = b'e';
/// Echoes everything once the client has ended its direction.
pub(crate) const ANSWER: u8 = b'a';
/// Resets the connection after a few bytes.
pub(crate) const RESET: u8 = b'r';

/// Number of bytes before the reset.
pub(crate) const BEFORE_RESET: usize = 5;

/// Limit of bytes kept for [`ANSWER`].
const ANSWER_BYTES: u64 = 16 * 1024 * 1024;

/// A server that runs until the program ends.
pub(crate) struct Server {
    pub(crate) port: u16,
    open: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let open = Arc::new(AtomicUsize::new(0));
        let counter = open.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = counter.clone();
                counter.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    // The other end reports any failure.
                    let _ = serve(stream);
                    counter.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { port, open }
    }

    /// Returns the number of open connections.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LONGEST_PAUSE))?;
    stream.set_write_timeout(Some(LONGEST_PAUSE))?;
    let mut mode = [0];
    stream.read_exact(&mut mode)?;
    stream.write_all(&mode)?;
    match mode[0] {
        ANSWER => {
            let mut all = Vec::new();
            (&stream).take(ANSWER_BYTES).read_to_end(&mut all)?;
            stream.write_all(&all)?;
        }
        RESET => {
            stream.read_exact(&mut [0; BEFORE_RESET])?;
            reset(stream);
            return Ok(());
        }
        _ => echo(&mut stream)?,
    }
    stream.shutdown(Shutdown::Write)
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match read_some(stream, &mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
