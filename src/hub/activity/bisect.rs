//! Finding a time in a file by halving it: its lines are in the order of their times.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use super::line::Head;
use super::line_reader::LineReader;
use crate::proto::timestamp::Timestamp;

/// Halving ends here: so much is read at once anyway.
const MIN_RANGE: u64 = 64 * 1024;

/// What one probe reads at a time: a few lines.
const CHUNK_SIZE: usize = 4 * 1024;

/// Before which line everything is earlier than this time, as an offset, and how many bytes were read to know it.
pub(super) fn find(mut file: &File, since: Timestamp) -> io::Result<(u64, u64)> {
    let (mut low, mut high, mut read) = (0, file.metadata()?.len(), 0);
    while high - low > MIN_RANGE {
        let middle = low + (high - low) / 2;
        file.seek(SeekFrom::Start(middle))?;
        let mut lines = LineReader::new(file.take(high - middle), CHUNK_SIZE);
        // Most likely the end of a line that began before the middle.
        lines.next()?;
        match next_timed_line(&mut lines)?.filter(|(_, time)| *time < since) {
            Some((start, _)) => low = middle + start,
            None => high = middle,
        }
        read += lines.bytes_read();
    }
    Ok((low, read))
}

/// When a file's first line was recorded; none if nothing like a line is at its beginning.
pub(super) fn first_time(mut file: &File) -> io::Result<Option<Timestamp>> {
    file.seek(SeekFrom::Start(0))?;
    Ok(next_timed_line(&mut LineReader::new(file.take(MIN_RANGE), CHUNK_SIZE))?.map(|(_, time)| time))
}

/// The first whole line from here on: where it begins, and its time.
fn next_timed_line(lines: &mut LineReader<impl Read>) -> io::Result<Option<(u64, Timestamp)>> {
    loop {
        let start = lines.bytes_consumed();
        let Some(line) = lines.next()? else { return Ok(None) };
        if let Some(time) = Head::parse(line).and_then(|head| head.time()) {
            return Ok(Some((start, time)));
        }
    }
}
