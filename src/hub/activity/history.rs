//! Reads the log with the lines of unauthenticated peers between its own, and before its first line the changes of
//! identities that only `administration.jsonl` still has.

use std::io;
use std::path::Path;

use super::files::{administration_path, unauthenticated_path};
use super::line::Line;
use super::reader::{Filter, Reader, ignore_not_found};

/// An iterator over the matching lines, in order.
pub struct History {
    /// The changes of identities before the log's first line, until they are read.
    earlier: Option<Reader>,
    log: Reader,
    /// Unauthenticated peers; `None` beside a log of an earlier version.
    unauthenticated: Option<Reader>,
    /// The next lines of the log and of unauthenticated peers, read to be compared.
    next: [Option<Line>; 2],
    /// Bytes read of the earlier changes.
    bytes_read: u64,
}

impl History {
    /// Opens the log for all matching lines.
    pub fn open(path: &Path, filter: Filter) -> io::Result<Self> {
        let earlier = open_earlier(path, &filter)?;
        let unauthenticated = ignore_not_found(Reader::open(&unauthenticated_path(path), filter.clone()))?;
        Ok(Self { earlier, log: Reader::open(path, filter)?, unauthenticated, next: [None, None], bytes_read: 0 })
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
        last.extend(lines);
        let other = ignore_not_found(Reader::open_at_end(&unauthenticated_path(path), filter, count))?;
        let (others, unauthenticated) = other.map_or_else(Default::default, |(lines, reader)| (lines, Some(reader)));
        let mut last = merged(last, others);
        last.drain(..last.len().saturating_sub(count));
        Ok((last, Self { earlier: None, log, unauthenticated, next: [None, None], bytes_read: 0 }))
    }

    /// Returns the next matching line. `None` at the end; a later call returns what was written meanwhile.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        if self.next[0].is_none() {
            self.next[0] = self.next_of_log()?;
        }
        if let (None, Some(unauthenticated)) = (&self.next[1], &mut self.unauthenticated) {
            self.next[1] = unauthenticated.next_line()?;
        }
        let [log, unauthenticated] = &mut self.next;
        Ok(take_earlier(log, unauthenticated))
    }

    fn next_of_log(&mut self) -> io::Result<Option<Line>> {
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
        let earlier = self.earlier.as_ref().map_or(self.bytes_read, Reader::bytes_read);
        earlier + self.log.bytes_read() + self.unauthenticated.as_ref().map_or(0, Reader::bytes_read)
    }
}

/// Merges lines in time, each list in its own order.
fn merged(lines: Vec<Line>, others: Vec<Line>) -> Vec<Line> {
    let (mut lines, mut others) = (lines.into_iter(), others.into_iter());
    let mut next = [lines.next(), others.next()];
    std::iter::from_fn(|| {
        let [line, other] = &mut next;
        let earlier = take_earlier(line, other);
        *line = line.take().or_else(|| lines.next());
        *other = other.take().or_else(|| others.next());
        earlier
    })
    .collect()
}

/// Takes the earlier of two lines; of the same time, the first.
fn take_earlier(line: &mut Option<Line>, other: &mut Option<Line>) -> Option<Line> {
    match (&*line, &*other) {
        (Some(first), Some(second)) if second.time() < first.time() => other.take(),
        (None, _) => other.take(),
        _ => line.take(),
    }
}

/// Opens what the log no longer has. `None` if there is nothing: a log of an earlier version, or one that still begins
/// where it began.
fn open_earlier(path: &Path, filter: &Filter) -> io::Result<Option<Reader>> {
    let until = Reader::first_time(path)?;
    ignore_not_found(Reader::open_until(&administration_path(path), filter.clone(), until))
}
