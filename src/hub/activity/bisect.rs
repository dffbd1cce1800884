//! Binary search for a time in a log file, whose lines are ordered by time.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};

use super::line::Head;
use super::line_reader::LineReader;
use crate::proto::timestamp::Timestamp;

/// The search ends at this range: the reader's chunk is as large.
const MIN_RANGE: u64 = 64 * 1024;

/// The read size of one probe: a few lines.
const CHUNK_SIZE: usize = 4 * 1024;

/// Returns an offset before which every line is earlier than `since`, and the number of bytes read to find it.
pub(super) fn find(mut file: &File, since: Timestamp) -> io::Result<(u64, u64)> {
    let (mut low, mut high, mut read) = (0, file.metadata()?.len(), 0);
    while high - low > MIN_RANGE {
        let middle = low + (high - low) / 2;
        file.seek(SeekFrom::Start(middle))?;
        let mut lines = LineReader::new(file.take(high - middle), CHUNK_SIZE);
        // Usually the end of a line that began before the middle.
        lines.next()?;
        match next_timed_line(&mut lines)?.filter(|(_, time)| *time < since) {
            Some((start, _)) => low = middle + start,
            None => high = middle,
        }
        read += lines.bytes_read();
    }
    Ok((low, read))
}

/// Returns the time of the first line; `None` if the file does not begin with log lines.
pub(super) fn first_time(mut file: &File) -> io::Result<Option<Timestamp>> {
    file.seek(SeekFrom::Start(0))?;
    Ok(next_timed_line(&mut LineReader::new(file.take(MIN_RANGE), CHUNK_SIZE))?.map(|(_, time)| time))
}

/// Returns the offset and time of the next complete line.
fn next_timed_line(lines: &mut LineReader<impl Read>) -> io::Result<Option<(u64, Timestamp)>> {
    loop {
        let start = lines.bytes_consumed();
        let Some(line) = lines.next()? else { return Ok(None) };
        if let Some(time) = Head::parse(line).and_then(|head| head.time()) {
            return Ok(Some((start, time)));
        }
    }
}
