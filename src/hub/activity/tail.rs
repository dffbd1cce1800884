//! Reads the last lines of a file, from its end backwards.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use memchr::{memchr, memrchr};

use super::line::Line;
use super::line_reader::MAX_LINE_BYTES;

/// The read size: some hundred lines.
const BLOCK: u64 = 64 * 1024;

/// Returns the offset of the end of the last complete line.
pub(super) fn end(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let start = size.saturating_sub(BLOCK);
    let newline = memrchr(b'\n', &block(file, start, size)?);
    Ok(newline.map_or(start, |at| start + at as u64 + 1))
}

/// The last matching lines, collected so far.
pub(super) struct TailReader<F> {
    count: usize,
    /// The bytes that may still be read.
    left: u64,
    matcher: F,
    lines: VecDeque<Line>,
}

impl<F: Fn(&[u8]) -> Option<Line>> TailReader<F> {
    /// Collects at most `count` lines, from about so many bytes.
    pub(super) fn new(count: usize, within: u64, matcher: F) -> Self {
        Self { count, left: within, matcher, lines: VecDeque::new() }
    }

    /// Reports whether enough lines are collected, or enough is read.
    pub(super) fn is_complete(&self) -> bool {
        self.lines.len() >= self.count || self.is_cut()
    }

    /// Reports whether enough is read.
    pub(super) fn is_cut(&self) -> bool {
        self.left == 0
    }

    /// Prepends lines of an earlier file, up to an offset.
    pub(super) fn prepend_from(&mut self, file: &File, end: u64) -> io::Result<()> {
        let (mut at, mut tail) = (end, Vec::new());
        while at > 0 && !self.is_complete() {
            let start = at.saturating_sub(BLOCK);
            let mut chunk = block(file, start, at)?;
            chunk.append(&mut tail);
            // The first line of a block begins in the one before it.
            let begin = if start == 0 { 0 } else { memchr(b'\n', &chunk).map_or(chunk.len(), |newline| newline + 1) };
            for line in chunk[begin..].rsplit(|byte| *byte == b'\n') {
                if !self.is_complete()
                    && let Some(line) = (self.matcher)(line)
                {
                    self.lines.push_front(line);
                }
            }
            self.left = self.left.saturating_sub(at - start);
            chunk.truncate(begin.min(MAX_LINE_BYTES));
            (at, tail) = (start, chunk);
        }
        Ok(())
    }

    /// Returns the lines in order.
    pub(super) fn into_lines(self) -> Vec<Line> {
        self.lines.into()
    }
}

fn block(mut file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(end - start).read_to_end(&mut bytes)?;
    Ok(bytes)
}
