//! Reads the log across all its files, and follows it as it grows. The hub may be running or not.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use memchr::memmem::Finder;

use super::bisect;
use super::files::{Files, RotatedFile};
use super::line::{Head, Line};
use super::line_reader::{LineReader, MAX_LINE_BYTES};
use super::tail;
use crate::proto::admin::{FilePosition, LogFilter};
use crate::proto::id::{DeviceId, ServiceName};

/// The read size at which the system calls no longer dominate.
const CHUNK_SIZE: usize = 256 * 1024;

/// The read size for a file's first line: one is enough for most.
const FIRST_LINE: usize = 1024;

/// The disorder between lines: threads take the time before they queue, and clocks are set back a little.
const MAX_DISORDER: Duration = Duration::from_secs(60);

/// The limit on lookups of a file that the hub rotates or deletes while it is opened.
const MAX_LOOKUPS: usize = 16;

/// An iterator over the matching lines, in order. Lines that a full disk truncated are skipped.
pub(in crate::hub) struct Reader {
    files: Files,
    matcher: LineMatcher,
    cursor: Cursor,
    /// Bytes read in earlier files.
    bytes_read: u64,
    /// The bytes after which reading stops, and whether it has.
    stop_at: u64,
    is_stopped: bool,
}

/// A position in a file.
struct Cursor {
    /// The file's name if it is a rotated one.
    name: Option<RotatedFile>,
    /// The rotated file before it.
    after: Option<RotatedFile>,
    /// The offset at which reading began.
    start: u64,
    lines: LineReader<File>,
    /// The file was rotated: it is read once more, for lines written until then.
    is_ending: bool,
}

impl Reader {
    /// Opens the log for all matching lines.
    pub(in crate::hub) fn open(path: &Path, filter: LogFilter) -> io::Result<Self> {
        Self::open_until(path, filter, None)
    }

    /// Opens the log for the matching lines before a time, as text in the lines' own format.
    pub(super) fn open_until(path: &Path, filter: LogFilter, until: Option<String>) -> io::Result<Self> {
        let files = Files::of(path);
        let since = filter.since.map(|since| since.before(MAX_DISORDER));
        let mut after = None;
        if let Some(since) = since {
            after = files.rotated_files()?.into_iter().take_while(|rotated| rotated.0 < since).last();
        }
        let (file, name) = open_next(&files, after)?;
        let (start, bytes_read) = since.map_or(Ok((0, 0)), |since| bisect::find(&file, since))?;
        let cursor = Cursor::new(file, name, after, start)?;
        Ok(Self { bytes_read, ..Self::new(files, LineMatcher::new(filter, until), cursor) })
    }

    /// Opens the log for the matching lines from a position on, and before a time. If the file was deleted meanwhile,
    /// from the beginning of the one after it.
    pub(super) fn resume(
        path: &Path,
        filter: LogFilter,
        until: Option<String>,
        position: &FilePosition,
    ) -> io::Result<Self> {
        let (files, after) = (Files::of(path), position.after.map(RotatedFile));
        let (file, name) = open_next(&files, after)?;
        let is_same = position.offset == 0 || first_time_text(&file)? == position.first;
        let cursor = Cursor::new(file, name, after, if is_same { position.offset } else { 0 })?;
        Ok(Self::new(files, LineMatcher::new(filter, until), cursor))
    }

    fn new(files: Files, matcher: LineMatcher, cursor: Cursor) -> Self {
        Self { files, matcher, cursor, bytes_read: 0, stop_at: u64::MAX, is_stopped: false }
    }

    /// Has the reader stop after about so many bytes without a matching line.
    pub(super) fn stop_after(&mut self, bytes: u64) {
        self.stop_at = self.bytes_read().saturating_add(bytes);
    }

    /// Reports whether reading has stopped: there may be more.
    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped
    }

    /// Returns the position of the next line; with `again`, that of the line that was returned last.
    pub(super) fn position(self, again: bool) -> io::Result<FilePosition> {
        let Cursor { after, start, lines, .. } = self.cursor;
        let offset = start + if again { lines.last_start() } else { lines.next_start() };
        let first = if offset == 0 { None } else { first_time_text(lines.source())? };
        Ok(FilePosition { after: after.map(|rotated| rotated.0), offset, first })
    }

    /// Returns the time of the log's first line; `None` if it has none.
    pub(super) fn first_time(path: &Path) -> io::Result<Option<String>> {
        let first = Self::open(path, LogFilter::default())?.next_line()?;
        Ok(first.and_then(|line| Some(line.time()?.into_owned())))
    }

    /// Returns the last matching lines, at most `count`, from about so many bytes, and a reader for later ones. It is
    /// stopped if there may be more before them.
    pub(super) fn open_at_end(
        path: &Path,
        filter: LogFilter,
        count: usize,
        within: u64,
    ) -> io::Result<(Vec<Line>, Self)> {
        let (files, matcher) = (Files::of(path), LineMatcher::new(filter, None));
        let earlier = files.rotated_files()?;
        let after = earlier.last().copied();
        let (file, name) = open_next(&files, after)?;
        let end = tail::end(&file)?;
        let mut lines = tail::TailReader::new(count, within, |line| matcher.match_line(line));
        lines.prepend_from(&file, end)?;
        for rotated in earlier.into_iter().rev() {
            if lines.is_complete() {
                break;
            }
            if let Some(file) = ignore_not_found(File::open(files.rotated(rotated)))? {
                lines.prepend_from(&file, file.metadata()?.len())?;
            }
        }
        let (is_stopped, lines) = (lines.is_cut(), lines.into_lines());
        let cursor = Cursor::new(file, name, after, end)?;
        Ok((lines, Self { is_stopped, ..Self::new(files, matcher, cursor) }))
    }

    /// Returns the next matching line. `None` at the end; a later call returns what was written meanwhile.
    pub(in crate::hub) fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            while let Some(line) = self.cursor.lines.next()? {
                if let Some(line) = self.matcher.match_line(line) {
                    return Ok(Some(line));
                }
                if self.bytes_read + self.cursor.lines.bytes_read() >= self.stop_at {
                    self.is_stopped = true;
                    return Ok(None);
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Returns the number of bytes read.
    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read + self.cursor.lines.bytes_read()
    }

    /// Moves on at the end of a file. Reports whether there is more to read.
    fn advance(&mut self) -> io::Result<bool> {
        let cursor = &mut self.cursor;
        let rotated = cursor.name.or(self.files.rotated_after(cursor.after)?.first().copied());
        let Some(name) = rotated else {
            let size = ignore_not_found(fs::metadata(self.files.current()))?.map(|file| file.len());
            // The file was truncated by hand: it is read from its beginning.
            let is_emptied = size.is_some_and(|size| size < cursor.start + cursor.lines.bytes_consumed());
            let after = cursor.after;
            return if is_emptied { self.open_after(after) } else { Ok(false) };
        };
        if !std::mem::replace(&mut cursor.is_ending, true) {
            return Ok(true);
        }
        self.open_after(Some(name))
    }

    /// Opens the file after this one; `false` if it does not exist yet.
    fn open_after(&mut self, after: Option<RotatedFile>) -> io::Result<bool> {
        let Some((file, name)) = ignore_not_found(open_next(&self.files, after))? else { return Ok(false) };
        self.bytes_read += self.cursor.lines.bytes_read();
        self.cursor = Cursor::new(file, name, after, 0)?;
        Ok(true)
    }
}

impl Cursor {
    fn new(mut file: File, name: Option<RotatedFile>, after: Option<RotatedFile>, start: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(start))?;
        Ok(Self { name, after, start, lines: LineReader::new(file, CHUNK_SIZE), is_ending: false })
    }
}

/// Opens the file after this one. Returns its name too if it is a rotated file.
fn open_next(files: &Files, after: Option<RotatedFile>) -> io::Result<(File, Option<RotatedFile>)> {
    for _ in 0..MAX_LOOKUPS {
        if let Some(next) = files.rotated_after(after)?.first() {
            if let Some(file) = ignore_not_found(File::open(files.rotated(*next)))? {
                return Ok((file, Some(*next)));
            }
        } else {
            let file = File::open(files.current());
            // If no file was rotated meanwhile, this is still the next one.
            if files.rotated_after(after)?.is_empty() {
                return Ok((file?, None));
            }
        }
    }
    Err(io::Error::other("the log is rotated faster than its files can be opened"))
}

/// Returns the time of a file's first line, as it is written. The place in the file is lost.
fn first_time_text(mut file: &File) -> io::Result<Option<String>> {
    file.seek(SeekFrom::Start(0))?;
    let mut lines = LineReader::new(file.take(MAX_LINE_BYTES as u64 + 1), FIRST_LINE);
    Ok(lines.next()?.and_then(|line| Some(Head::parse(line)?.time.into_owned())))
}

/// Returns `None` for a file that does not exist.
pub(super) fn ignore_not_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// A filter, with substrings that every matching line contains: most others need not be parsed.
struct LineMatcher {
    filter: LogFilter,
    /// The text of the time of which lines are too late.
    until: Option<String>,
    contained: Vec<Finder<'static>>,
}

impl LineMatcher {
    fn new(filter: LogFilter, until: Option<String>) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let device = filter.device.iter().map(|id| quoted(id.as_str()));
        let service = filter.service.iter().map(|name| quoted(name.as_str()));
        let contained = device.chain(service).map(|text| Finder::new(text.as_bytes()).into_owned()).collect();
        Self { filter, until, contained }
    }

    fn match_line(&self, line: &[u8]) -> Option<Line> {
        if self.contained.iter().any(|text| text.find(line).is_none()) {
            return None;
        }
        let head = Head::parse(line)?;
        let is = |wanted: Option<&str>, found: Option<&str>| wanted.is_none_or(|wanted| found == Some(wanted));
        let device = is(self.filter.device.as_ref().map(DeviceId::as_str), head.properties.device_id.as_deref());
        let service = is(self.filter.service.as_ref().map(ServiceName::as_str), head.properties.service_id.as_deref());
        let since = self.filter.since.is_none_or(|since| head.time().is_some_and(|time| time >= since));
        let until = self.until.as_ref().is_none_or(|until| *head.time < **until);
        (device && service && since && until).then(|| Line(String::from_utf8_lossy(line).into_owned()))
    }
}
