//! Lines out of a file, without taking one for whole that is not, and without growing with a line that never ends.

use std::io::{self, BufRead as _, BufReader, Read};

use memchr::memchr;

/// Longer lines are not ours: the longest fields are a reason and two ids.
pub(super) const LONGEST: usize = 64 * 1024;

/// Reads line by line.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    source: BufReader<R>,
    line: Vec<u8>,
    is_whole: bool,
    /// Bytes read from the source.
    read: u64,
    /// Bytes handed out or passed over.
    taken: u64,
}

impl<R: Read> LineReader<R> {
    /// From where the source stands, in pieces of this size.
    pub(super) fn new(source: R, piece: usize) -> Self {
        let source = BufReader::with_capacity(piece, source);
        Self { source, line: Vec::new(), is_whole: false, read: 0, taken: 0 }
    }

    /// The next line, without its newline. None at the end, or before a newline that is still to come: a later call
    /// finds what was appended meanwhile.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.is_whole) {
            self.line.clear();
        }
        while !self.is_whole {
            let is_empty = self.source.buffer().is_empty();
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            self.read += if is_empty { buffer.len() as u64 } else { 0 };
            let (piece, rest) = match memchr(b'\n', buffer) {
                Some(at) => (&buffer[..at], 1),
                None => (buffer, 0),
            };
            let room = (LONGEST + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            let length = piece.len() + rest;
            self.source.consume(length);
            self.taken += length as u64;
            self.is_whole = rest > 0;
            if self.is_whole && self.line.len() > LONGEST {
                self.line.clear();
                self.is_whole = false;
            }
        }
        Ok(Some(&self.line))
    }

    /// How many bytes the lines so far took.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes were read for them.
    pub(super) fn read(&self) -> u64 {
        self.read
    }
}
