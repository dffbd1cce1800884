//! A line reader that returns complete lines only and bounds its memory.

use std::io::{self, BufRead as _, BufReader, Read};

use memchr::memchr;

/// The limit on a line; longer ones are not the log's, whose longest fields are a reason and two ids.
pub(super) const MAX_LINE_BYTES: usize = 64 * 1024;

/// Reads lines from a source that may still grow.
#[derive(Debug)]
pub(super) struct LineReader<R> {
    source: BufReader<R>,
    line: Vec<u8>,
    is_complete: bool,
    /// The number of bytes read from the source.
    bytes_read: u64,
    /// The number of bytes returned or skipped.
    bytes_consumed: u64,
    /// The offset of the present line.
    line_start: u64,
}

impl<R: Read> LineReader<R> {
    /// Reads from the source's position in chunks of this size.
    pub(super) fn new(source: R, chunk: usize) -> Self {
        let source = BufReader::with_capacity(chunk, source);
        Self { source, line: Vec::new(), is_complete: false, bytes_read: 0, bytes_consumed: 0, line_start: 0 }
    }

    /// Returns the next line without its newline. `None` at the end or within an incomplete line; a later call returns
    /// what was appended meanwhile.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        if std::mem::take(&mut self.is_complete) {
            self.begin_line();
        }
        while !self.is_complete {
            let is_empty = self.source.buffer().is_empty();
            let buffer = self.source.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            self.bytes_read += if is_empty { buffer.len() as u64 } else { 0 };
            let (chunk, rest) = match memchr(b'\n', buffer) {
                Some(at) => (&buffer[..at], 1),
                None => (buffer, 0),
            };
            let room = (MAX_LINE_BYTES + 1).saturating_sub(self.line.len());
            self.line.extend_from_slice(&chunk[..chunk.len().min(room)]);
            let length = chunk.len() + rest;
            self.source.consume(length);
            self.bytes_consumed += length as u64;
            self.is_complete = rest > 0;
            if self.is_complete && self.line.len() > MAX_LINE_BYTES {
                self.begin_line();
                self.is_complete = false;
            }
        }
        Ok(Some(&self.line))
    }

    fn begin_line(&mut self) {
        self.line.clear();
        self.line_start = self.bytes_consumed;
    }

    /// Returns the source.
    pub(super) fn source(&self) -> &R {
        self.source.get_ref()
    }

    /// Returns the offset of the line that was returned last.
    pub(super) fn last_start(&self) -> u64 {
        self.line_start
    }

    /// Returns the offset of the next line: of one that is too long already, within it.
    pub(super) fn next_start(&self) -> u64 {
        let is_within = !self.is_complete && self.line.len() <= MAX_LINE_BYTES;
        if is_within { self.line_start } else { self.bytes_consumed }
    }

    /// Returns the number of bytes of the lines so far.
    pub(super) fn bytes_consumed(&self) -> u64 {
        self.bytes_consumed
    }

    /// Returns the number of bytes read from the source.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }
}
