//! The last lines of a file, read from its end backwards.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use memchr::{memchr, memrchr};

use super::line::Line;
use super::line_reader::LONGEST;

/// Read at once; some hundred lines.
const BLOCK: u64 = 64 * 1024;

/// Where a file's last whole line ends.
pub(super) fn end(file: &File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let start = size.saturating_sub(BLOCK);
    let newline = memrchr(b'\n', &block(file, start, size)?);
    Ok(newline.map_or(start, |at| start + at as u64 + 1))
}

/// The last lines that somebody wants, so far.
pub(super) struct TailReader<F> {
    count: usize,
    wanted: F,
    lines: VecDeque<Line>,
}

impl<F: Fn(&[u8]) -> Option<Line>> TailReader<F> {
    /// At most so many.
    pub(super) fn new(count: usize, wanted: F) -> Self {
        Self { count, wanted, lines: VecDeque::new() }
    }

    /// Whether no more are wanted.
    pub(super) fn is_complete(&self) -> bool {
        self.lines.len() >= self.count
    }

    /// Adds lines of an earlier file, as far as the given offset, before those that there are.
    pub(super) fn look_in(&mut self, file: &File, end: u64) -> io::Result<()> {
        let (mut at, mut tail) = (end, Vec::new());
        while at > 0 && !self.is_complete() {
            let start = at.saturating_sub(BLOCK);
            let mut piece = block(file, start, at)?;
            piece.append(&mut tail);
            // The first line of a block begins in the one before it.
            let begin = if start == 0 { 0 } else { memchr(b'\n', &piece).map_or(piece.len(), |newline| newline + 1) };
            for line in piece[begin..].rsplit(|byte| *byte == b'\n') {
                if !self.is_complete()
                    && let Some(line) = (self.wanted)(line)
                {
                    self.lines.push_front(line);
                }
            }
            piece.truncate(begin.min(LONGEST));
            (at, tail) = (start, piece);
        }
        Ok(())
    }

    /// All of them, in order.
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
