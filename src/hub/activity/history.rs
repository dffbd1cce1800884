//! Reads the log with the lines of unauthenticated peers between its own, and before its first line the changes of
//! identities that only `administration.jsonl` still has.

use std::io;
use std::path::Path;

use super::files::{administration_path, unauthenticated_path};
use super::line::Line;
use super::reader::{Reader, ignore_not_found};
use crate::proto::admin::{LogFilter, LogPosition};

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
    pub fn open(path: &Path, filter: LogFilter) -> io::Result<Self> {
        let earlier = open_earlier(path, &filter)?;
        let unauthenticated = ignore_not_found(Reader::open(&unauthenticated_path(path), filter.clone()))?;
        Ok(Self { earlier, log: Reader::open(path, filter)?, unauthenticated, next: [None, None], bytes_read: 0 })
    }

    /// Opens the log for the matching lines from a position on.
    pub(super) fn resume(path: &Path, filter: LogFilter, position: &LogPosition) -> io::Result<Self> {
        let earlier = position.earlier.as_ref().map(|earlier| {
            let until = Reader::first_time(path)?;
            ignore_not_found(Reader::resume(&administration_path(path), filter.clone(), until, earlier))
        });
        let other = unauthenticated_path(path);
        let unauthenticated = ignore_not_found(match &position.unauthenticated {
            Some(position) => Reader::resume(&other, filter.clone(), None, position),
            None => Reader::open(&other, filter.clone()),
        })?;
        let log = Reader::resume(path, filter, None, &position.log)?;
        Ok(Self { earlier: earlier.transpose()?.flatten(), log, unauthenticated, next: [None, None], bytes_read: 0 })
    }

    /// Returns the last matching lines, at most `count`, and a reader for later ones.
    pub fn open_at_end(path: &Path, filter: LogFilter, count: usize) -> io::Result<(Vec<Line>, Self)> {
        Self::open_at_end_within(path, filter, count, u64::MAX)
    }

    /// The same, from about so many bytes of each series of files.
    pub(super) fn open_at_end_within(
        path: &Path,
        filter: LogFilter,
        count: usize,
        within: u64,
    ) -> io::Result<(Vec<Line>, Self)> {
        let (lines, log) = Reader::open_at_end(path, filter.clone(), count, within)?;
        let mut last = Vec::new();
        if lines.len() < count && !log.is_stopped() {
            let mut earlier = open_earlier(path, &filter)?;
            while let Some(line) = earlier.as_mut().map_or(Ok(None), Reader::next_line)? {
                last.push(line);
            }
        }
        last.extend(lines);
        let other = ignore_not_found(Reader::open_at_end(&unauthenticated_path(path), filter, count, within))?;
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
        if self.is_stopped() {
            return Ok(None);
        }
        let [log, unauthenticated] = &mut self.next;
        Ok(take_earlier(log, unauthenticated))
    }

    fn next_of_log(&mut self) -> io::Result<Option<Line>> {
        if let Some(earlier) = &mut self.earlier {
            if let Some(line) = earlier.next_line()? {
                return Ok(Some(line));
            }
            if earlier.is_stopped() {
                return Ok(None);
            }
            self.bytes_read = earlier.bytes_read();
            self.earlier = None;
        }
        self.log.next_line()
    }

    /// Has reading stop after about so many bytes of each series of files without a matching line.
    pub(super) fn stop_after(&mut self, bytes: u64) {
        let readers = self.earlier.iter_mut().chain([&mut self.log]).chain(&mut self.unauthenticated);
        readers.for_each(|reader| reader.stop_after(bytes));
    }

    /// Reports whether reading has stopped: there may be more.
    pub(super) fn is_stopped(&self) -> bool {
        let mut readers = self.earlier.iter().chain([&self.log]).chain(&self.unauthenticated);
        readers.any(Reader::is_stopped)
    }

    /// Returns the position of the next line.
    pub(super) fn position(self) -> io::Result<LogPosition> {
        let [of_log, of_unauthenticated] = self.next.each_ref().map(Option::is_some);
        // A line that is read to be compared is one of the earlier ones while there are any.
        let is_earlier = self.earlier.is_some();
        Ok(LogPosition {
            earlier: self.earlier.map(|reader| reader.position(of_log)).transpose()?,
            log: self.log.position(of_log && !is_earlier)?,
            unauthenticated: self.unauthenticated.map(|reader| reader.position(of_unauthenticated)).transpose()?,
        })
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
fn open_earlier(path: &Path, filter: &LogFilter) -> io::Result<Option<Reader>> {
    let until = Reader::first_time(path)?;
    ignore_not_found(Reader::open_until(&administration_path(path), filter.clone(), until))
}
