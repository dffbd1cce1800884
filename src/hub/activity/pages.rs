//! A log in pages, for the other hubs of a cluster: each is read in a short time and fits into one message.

use std::io;
use std::path::Path;

use super::history::History;
use super::line::Line;
use crate::proto::admin::{LogPage, LogRequest};

/// The limits of one page.
#[derive(Debug, Clone, Copy)]
pub(super) struct PageLimits {
    /// The bytes of its lines, but for the last one.
    pub(super) text: usize,
    /// The bytes that are read of each series of files without a matching line.
    pub(super) scanned: u64,
}

/// Lines of a quarter of what NATS carries in one message, since JSON in JSON grows; and what an ordinary disk reads in a
/// fraction of the time that a hub waits for a page.
pub(super) const PAGE: PageLimits = PageLimits { text: 256 << 10, scanned: 16 << 20 };

/// The limit on the last lines: some screens.
const MAX_LAST: usize = 100;

/// Reads one page.
pub(in crate::hub) fn page(path: &Path, request: LogRequest) -> io::Result<LogPage> {
    page_within(path, request, PAGE)
}

pub(super) fn page_within(path: &Path, request: LogRequest, limits: PageLimits) -> io::Result<LogPage> {
    let LogRequest { filter, from, last } = request;
    let mut history = match (from, last) {
        (Some(position), _) => History::resume(path, filter, &position)?,
        (None, None) => History::open(path, filter)?,
        (None, Some(count)) => {
            let last = History::open_at_end_within(path, filter, count.min(MAX_LAST), limits.scanned)?;
            return last_page(last, limits);
        }
    };
    history.stop_after(limits.scanned);
    let (mut lines, mut text) = (Vec::new(), 0);
    while text < limits.text {
        let Some(Line(line)) = history.next_line()? else {
            let more = history.is_stopped();
            return Ok(LogPage { lines, next: history.position()?, more });
        };
        text += line.len();
        lines.push(line);
    }
    Ok(LogPage { lines, next: history.position()?, more: true })
}

/// The last lines that have room.
fn last_page((last, history): (Vec<Line>, History), limits: PageLimits) -> io::Result<LogPage> {
    let mut room = limits.text;
    let has_room = |Line(line): &Line| {
        let left = room.checked_sub(line.len());
        room = left.unwrap_or(0);
        left.is_some()
    };
    let mut lines: Vec<_> = last.into_iter().rev().take_while(has_room).map(|Line(line)| line).collect();
    lines.reverse();
    Ok(LogPage { lines, next: history.position()?, more: false })
}
