//! Reads the log, and before its first line the changes of identities that only `administration.jsonl` still has.

use std::io;
use std::path::Path;

use super::files::administration_path;
use super::line::Line;
use super::reader::{Filter, Reader, ignore_not_found};

/// An iterator over the matching lines, in order.
pub struct History {
    /// The changes of identities before the log's first line, until they are read.
    earlier: Option<Reader>,
    log: Reader,
    /// Bytes read of the former.
    bytes_read: u64,
}

impl History {
    /// Opens the log for all matching lines.
    pub fn open(path: &Path, filter: Filter) -> io::Result<Self> {
        let earlier = open_earlier(path, &filter)?;
        Ok(Self { earlier, log: Reader::open(path, filter)?, bytes_read: 0 })
    }

    /// Returns the last matching lines, at most `count`, and a reader for later ones.
    pub fn open_at_end(path: &Path, filter: Filter, count: usize) -> io::Result<(Vec<Line>, Self)> {
        let (lines, log) = Reader::open_at_end(path, filter.clone(), count)?;
        let mut last = Vec::new();
        if lines.len() < count {
            let mut earlier = open_earlier(path, &filter)?;
            while let Some(line) = earlier.as_mut().map_or(Ok(None), Reader::next_line)? {
                last.push(line);
            }
        }
        last.drain(..last.len().saturating_sub(count - lines.len()));
        last.extend(lines);
        Ok((last, Self { earlier: None, log, bytes_read: 0 }))
    }

    /// Returns the next matching line. `None` at the end; a later call returns what was written meanwhile.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        if let Some(earlier) = &mut self.earlier {
            if let Some(line) = earlier.next_line()? {
                return Ok(Some(line));
            }
            self.bytes_read = earlier.bytes_read();
            self.earlier = None;
        }
        self.log.next_line()
    }

    /// Returns the number of bytes read.
    pub fn bytes_read(&self) -> u64 {
        self.earlier.as_ref().map_or(self.bytes_read, Reader::bytes_read) + self.log.bytes_read()
    }
}

/// Opens what the log no longer has. `None` if there is nothing: a log of an earlier version, or one that still begins
/// where it began.
fn open_earlier(path: &Path, filter: &Filter) -> io::Result<Option<Reader>> {
    let until = Reader::first_time(path)?;
    ignore_not_found(Reader::open_until(&administration_path(path), filter.clone(), until))
}
