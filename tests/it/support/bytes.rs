//! Byte patterns, and the ends of connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

pub(crate) const KIB: u64 = 1024;
pub(crate) const MIB: u64 = 1024 * KIB;

/// A prime, so that a lost or repeated buffer of any usual size shows.
const PERIOD: usize = 1_048_573;
const CHUNK: usize = 64 * 1024;

/// An endless byte sequence from a seed: received bytes are compared with it, which is stricter than a hash.
pub(crate) struct Pattern(Vec<u8>);

impl Pattern {
    /// The bytes of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        // Marsaglia's xorshift64; any seed but 0.
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut block = Vec::with_capacity(PERIOD + 8);
        while block.len() < PERIOD {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            block.extend(state.to_le_bytes());
        }
        block.truncate(PERIOD);
        Self(block)
    }

    /// The first bytes.
    pub(crate) fn prefix(&self, length: u64) -> Vec<u8> {
        let mut all = Vec::new();
        self.send(&mut all, length).expect("memory takes everything");
        all
    }

    /// Up to one chunk from a position on.
    pub(crate) fn chunk(&self, position: u64, limit: u64) -> &[u8] {
        let start = usize::try_from(position % PERIOD as u64).expect("less than the period");
        let length = usize::try_from(limit).unwrap_or(CHUNK).min(CHUNK).min(PERIOD - start);
        &self.0[start..start + length]
    }

    /// Writes the first bytes.
    pub(crate) fn send(&self, to: &mut impl Write, length: u64) -> io::Result<()> {
        let mut sent = 0;
        while sent < length {
            let chunk = self.chunk(sent, length - sent);
            to.write_all(chunk)?;
            sent += chunk.len() as u64;
        }
        Ok(())
    }

    /// Reads the first bytes and nothing else; panics at the first difference.
    pub(crate) fn expect(&self, from: &mut impl Read, length: u64) {
        let mut buffer = vec![0; CHUNK];
        let mut read = 0;
        while read < length {
            let wanted = self.chunk(read, length - read).len();
            let count =
                read_some(from, &mut buffer[..wanted]).unwrap_or_else(|error| panic!("after {read} bytes: {error}"));
            assert!(count > 0, "the end after {read} of {length} bytes");
            assert!(buffer[..count] == self.chunk(read, length - read)[..count], "other bytes after {read}");
            read += count as u64;
        }
    }
}

/// The end of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamEnd {
    /// As TCP's FIN.
    Eof,
    /// As TCP's RST.
    Reset,
    /// None within [`STALL_TIMEOUT`].
    Stalled,
}

/// A connection as one side saw it: bytes received, and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) bytes: u64,
    pub(crate) end: StreamEnd,
}

/// A connection that takes no bytes for this long is stalled.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Reads to the end, whichever it is.
pub(crate) fn drain(from: &mut TcpStream) -> Observed {
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        match read_some(from, &mut buffer) {
            Ok(0) => return Observed { bytes, end: StreamEnd::Eof },
            Ok(count) => bytes += count as u64,
            Err(error) => return Observed { bytes, end: end_of(&error) },
        }
    }
}

/// The end that a failed read or write reports.
pub(crate) fn end_of(error: &io::Error) -> StreamEnd {
    let kind = error.kind();
    if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) {
        StreamEnd::Reset
    } else {
        assert!(matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut), "an unexpected end: {error}");
        StreamEnd::Stalled
    }
}

/// Ends a connection with TCP's RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket can be reset");
    drop(stream);
}

/// Reads the available bytes, repeating reads that a signal interrupts: std does not for a socket with a timeout.
pub(crate) fn read_some(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// Sends and receives at the same time, over an echo.
pub(crate) fn echo_round_trip(stream: &TcpStream, seed: u64, length: u64) {
    echoed(stream, seed, length, || ());
}

/// Sends and receives at the same time, and expects the end of each direction after its last byte.
pub(crate) fn echo_to_eof(stream: &TcpStream, seed: u64, length: u64) {
    echoed(stream, seed, length, || stream.shutdown(Shutdown::Write).unwrap());
    assert_eq!(drain(&mut stream.try_clone().unwrap()), Observed { bytes: 0, end: StreamEnd::Eof });
}

fn echoed(stream: &TcpStream, seed: u64, length: u64, when_sent: impl FnOnce() + Send) {
    let pattern = Pattern::new(seed);
    let (mut reader, mut writer) = (stream, stream);
    thread::scope(|scope| {
        scope.spawn(|| {
            pattern.send(&mut writer, length).unwrap();
            when_sent();
        });
        pattern.expect(&mut reader, length);
    });
}
