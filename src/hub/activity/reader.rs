//! Reading the log, whether a hub writes to it or not: over all its files in order, and on as it grows.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek as _, SeekFrom};
use std::path::Path;
use std::time::Duration;

use memchr::memmem::Finder;

use super::bisect;
use super::files::{Files, RotatedFile};
use super::line::{Head, Line};
use super::line_reader::LineReader;
use super::tail;
use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::timestamp::Timestamp;

/// Read at once: the system call is then no longer what takes the time.
const CHUNK_SIZE: usize = 256 * 1024;

/// How far lines may be out of order: threads take the time before they queue, and clocks are set a little back.
const MAX_DISORDER: Duration = Duration::from_secs(60);

/// While a file is opened, the hub may put it aside or delete it: then it is looked up again, but not for ever.
const MAX_LOOKUPS: usize = 16;

/// Which lines to read.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this device.
    pub device: Option<DeviceId>,
    /// Only of this service.
    pub service: Option<ServiceName>,
    /// Only from this moment on.
    pub since: Option<Timestamp>,
}

/// The lines that pass a filter, in order. Lines that a full disk cut short are passed over.
pub struct Reader {
    files: Files,
    matcher: LineMatcher,
    cursor: Cursor,
    /// Bytes read elsewhere than in the present file.
    bytes_read: u64,
}

/// A file, and how far it was read.
struct Cursor {
    /// What it is called, if it was put aside.
    name: Option<RotatedFile>,
    /// The one before it.
    after: Option<RotatedFile>,
    /// Where reading began.
    start: u64,
    lines: LineReader<File>,
    /// It is no longer written to, and what came until then has still to be read.
    is_ending: bool,
}

impl Reader {
    /// All lines that pass.
    pub fn open(path: &Path, filter: Filter) -> io::Result<Self> {
        let files = Files::of(path);
        let since = filter.since.map(|since| since.before(MAX_DISORDER));
        let mut after = None;
        if let Some(since) = since {
            after = files.rotated_files()?.into_iter().take_while(|rotated| rotated.0 < since).last();
        }
        let (file, name) = open_next(&files, after)?;
        let (start, bytes_read) = since.map_or(Ok((0, 0)), |since| bisect::find(&file, since))?;
        let cursor = Cursor::new(file, name, after, start)?;
        Ok(Self { files, matcher: LineMatcher::new(filter), cursor, bytes_read })
    }

    /// The last lines that pass, at most so many; then those that are still to come.
    pub fn open_at_end(path: &Path, filter: Filter, count: usize) -> io::Result<(Vec<Line>, Self)> {
        let (files, matcher) = (Files::of(path), LineMatcher::new(filter));
        let earlier = files.rotated_files()?;
        let after = earlier.last().copied();
        let (file, name) = open_next(&files, after)?;
        let end = tail::end(&file)?;
        let mut lines = tail::TailReader::new(count, |line| matcher.match_line(line));
        lines.prepend_from(&file, end)?;
        for rotated in earlier.into_iter().rev() {
            if lines.is_complete() {
                break;
            }
            if let Some(file) = ignore_not_found(File::open(files.rotated(rotated)))? {
                lines.prepend_from(&file, file.metadata()?.len())?;
            }
        }
        let lines = lines.into_lines();
        Ok((lines, Self { files, matcher, cursor: Cursor::new(file, name, after, end)?, bytes_read: 0 }))
    }

    /// The next line that passes. None at the end; a later call finds what was written meanwhile.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            while let Some(line) = self.cursor.lines.next()? {
                if let Some(line) = self.matcher.match_line(line) {
                    return Ok(Some(line));
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read + self.cursor.lines.bytes_read()
    }

    /// At the end of a file: whether there is more to read.
    fn advance(&mut self) -> io::Result<bool> {
        let cursor = &mut self.cursor;
        let rotated = cursor.name.or(self.files.rotated_after(cursor.after)?.first().copied());
        let Some(name) = rotated else {
            let size = ignore_not_found(fs::metadata(self.files.current()))?.map(|file| file.len());
            // Somebody made room, and the hub begins anew.
            let is_emptied = size.is_some_and(|size| size < cursor.start + cursor.lines.bytes_consumed());
            let after = cursor.after;
            return if is_emptied { self.open_after(after) } else { Ok(false) };
        };
        if !std::mem::replace(&mut cursor.is_ending, true) {
            return Ok(true);
        }
        self.open_after(Some(name))
    }

    /// Not if the next file is not there yet.
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

/// The file after this one, and its name if it was put aside.
fn open_next(files: &Files, after: Option<RotatedFile>) -> io::Result<(File, Option<RotatedFile>)> {
    for _ in 0..MAX_LOOKUPS {
        if let Some(next) = files.rotated_after(after)?.first() {
            if let Some(file) = ignore_not_found(File::open(files.rotated(*next)))? {
                return Ok((file, Some(*next)));
            }
        } else {
            let file = File::open(files.current());
            // If none was put aside meanwhile, this is still the file that follows.
            if files.rotated_after(after)?.is_empty() {
                return Ok((file?, None));
            }
        }
    }
    Err(io::Error::other("its files change faster than they can be read"))
}

fn ignore_not_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// A filter, and what every line that passes it contains: most others need not be parsed.
struct LineMatcher {
    filter: Filter,
    contained: Vec<Finder<'static>>,
}

impl LineMatcher {
    fn new(filter: Filter) -> Self {
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let device = filter.device.iter().map(|id| quoted(id.as_str()));
        let service = filter.service.iter().map(|name| quoted(name.as_str()));
        let contained = device.chain(service).map(|text| Finder::new(text.as_bytes()).into_owned()).collect();
        Self { filter, contained }
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
        (device && service && since).then(|| Line(String::from_utf8_lossy(line).into_owned()))
    }
}
