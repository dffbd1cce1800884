//! The live table of running streams at the bottom of a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::FormattedDuration;
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::screen::Screen;
use crate::cli::output::format::{format_bytes, format_columns, format_duration};
use crate::proxy::StreamInfo;

/// The interval at which it is redrawn.
const TICK: Duration = Duration::from_millis(250);

/// The limit on rows, which leaves room for messages; further streams are counted below them.
const ROWS: usize = 16;

/// The lines of a terminal that are not for rows: a message, the head, and the count of further streams.
const OTHER_LINES: usize = 3;

/// The longest wait for a terminal that is stopped with Ctrl-S.
const SCREEN_WAIT: Duration = Duration::from_millis(100);

/// The minimum span of a rate: long enough to read it, short enough to be current.
const RATE_SPAN: Duration = Duration::from_secs(1);

/// The spinner's frames, one for each [`TICK`].
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// The table, drawn by a thread of its own: a terminal stopped with Ctrl-S blocks nothing else. Clones share it.
#[derive(Clone)]
pub(in crate::cli) struct Table {
    rows: Rows,
    screen: Arc<Mutex<Screen>>,
}

#[derive(Clone, Default)]
struct Rows(Arc<Mutex<BTreeMap<u64, Row>>>);

struct Row {
    info: Arc<StreamInfo>,
    since: Instant,
    state: State,
    interruptions: u32,
    rate: Rate,
}

enum State {
    Waiting,
    Open,
    Interrupted(Instant),
}

/// The current rate in bytes per second.
struct Rate {
    since: Instant,
    total: u64,
    latest: f64,
}

impl Table {
    /// Creates the table on standard error, if that is a terminal with cursor control.
    pub(in crate::cli) fn on_terminal() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        if is_dumb || !std::io::stderr().is_terminal() {
            return None;
        }
        let table = Self { rows: Rows::default(), screen: Arc::new(Mutex::new(Screen::on_stderr())) };
        let drawing = table.clone();
        let thread = std::thread::Builder::new().name("table".into());
        thread.spawn(move || drawing.draw_until_exit()).ok()?;
        Some(table)
    }

    /// Writes above the table.
    pub(in crate::cli) fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        let mut screen = self.screen.lock();
        screen.erase();
        let written = write();
        self.paint(&mut screen);
        written
    }

    /// Removes the table before the process stops, or ends.
    pub(in crate::cli) fn suspend(&self) {
        self.screen.try_lock_for(SCREEN_WAIT).iter_mut().for_each(|screen| screen.suspend());
    }

    /// Draws the table anew after the process has stopped: others have written meanwhile.
    pub(in crate::cli) fn resume(&self) {
        self.screen.try_lock_for(SCREEN_WAIT).iter_mut().for_each(|screen| screen.resume());
    }

    fn draw_until_exit(&self) {
        loop {
            std::thread::park_timeout(TICK);
            self.paint(&mut self.screen.lock());
        }
    }

    fn paint(&self, screen: &mut Screen) {
        screen.paint(|lines| self.rows.lines(Instant::now(), lines));
    }

    /// Adds a stream that was requested, and waits for its device.
    pub(super) fn add(&self, info: &Arc<StreamInfo>) {
        let now = Instant::now();
        let rate = Rate { since: now, total: 0, latest: 0.0 };
        let row = Row { info: info.clone(), since: now, state: State::Waiting, interruptions: 0, rate };
        self.rows.lock().insert(info.number, row);
    }

    /// Shows a stream as open, or resumed.
    pub(super) fn set_open(&self, number: u64) {
        if let Some(row) = self.rows.lock().get_mut(&number) {
            if matches!(row.state, State::Waiting) {
                row.since = Instant::now();
            }
            row.state = State::Open;
        }
    }

    /// Shows a stream as interrupted.
    pub(super) fn set_interrupted(&self, number: u64) {
        if let Some(row) = self.rows.lock().get_mut(&number) {
            row.state = State::Interrupted(Instant::now());
            row.interruptions += 1;
        }
    }

    /// Removes a stream that ended.
    pub(super) fn remove(&self, number: u64) {
        self.rows.lock().remove(&number);
    }
}

impl Rows {
    /// Returns the table's lines for a terminal of this many. One of less than the table has no head, which would scroll
    /// away and be painted again and again.
    fn lines(&self, now: Instant, terminal: usize) -> Vec<String> {
        let limit = terminal.saturating_sub(OTHER_LINES).clamp(1, ROWS);
        let mut rows = self.lock();
        if rows.is_empty() {
            return Vec::new();
        }
        let shown = rows.values_mut().take(limit).map(|row| row.cells(now)).collect();
        let mut lines = format_columns(&["  TO", "FROM", "UP", "DOWN", "RATE", "AGE", ""], shown);
        if rows.len() > limit {
            lines.push(format!("  and {} more", rows.len() - limit));
        }
        if lines.len() > terminal {
            lines.remove(0);
            lines.truncate(terminal);
        }
        lines
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Row>> {
        self.0.lock()
    }
}

impl Row {
    fn cells(&mut self, now: Instant) -> Vec<String> {
        let (down, up) = self.info.counters.received_and_sent();
        let age = now.saturating_duration_since(self.since);
        let turn = age.as_millis() / TICK.as_millis();
        let spinner = SPINNER[(turn % SPINNER.len() as u128) as usize];
        let from = self.info.from.map(|from| from.to_string()).unwrap_or_default();
        let rate = format!("{}/s", format_bytes(self.rate.at(now, up + down)));
        let to = format!("{spinner} {} #{}", self.info.to, self.info.number);
        vec![
            to,
            from,
            format_bytes(up),
            format_bytes(down),
            rate,
            FormattedDuration(age).to_string(),
            self.status_text(now),
        ]
    }

    fn status_text(&self, now: Instant) -> String {
        match (&self.state, self.interruptions) {
            (State::Waiting, _) => "waiting for the device".into(),
            (State::Interrupted(since), _) => {
                format!("interrupted for {}, resuming", format_duration(now.saturating_duration_since(*since)))
            }
            (State::Open, 0) => String::new(),
            (State::Open, 1) => "1 interruption".into(),
            (State::Open, count) => format!("{count} interruptions"),
        }
    }
}

impl Rate {
    fn at(&mut self, now: Instant, total: u64) -> u64 {
        let past = now.saturating_duration_since(self.since);
        if past >= RATE_SPAN {
            self.latest = total.saturating_sub(self.total) as f64 / past.as_secs_f64();
            (self.since, self.total) = (now, total);
        }
        self.latest as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64) -> (Rows, Instant) {
        let (rows, since) = (Rows::default(), Instant::now());
        for number in 1..=count {
            let from = "127.0.0.1:50000".parse().ok();
            let info = Arc::new(StreamInfo { number, from, to: "pi-42/ssh".into(), counters: Default::default() });
            let rate = Rate { since, total: 0, latest: 0.0 };
            rows.lock().insert(number, Row { info, since, state: State::Open, interruptions: 0, rate });
        }
        (rows, since)
    }

    #[test]
    fn a_table_without_streams_is_empty() {
        assert_eq!(rows(0).0.lines(Instant::now(), 24), [""; 0]);
    }

    #[test]
    fn a_row_has_the_stream_its_source_bytes_rate_and_age() {
        let (rows, since) = rows(1);
        let text = rows.lines(since + Duration::from_secs(63), 24).join("\n");
        let wanted = "  TO            FROM             UP   DOWN  RATE   AGE\n\
                      ⠹ pi-42/ssh #1  127.0.0.1:50000  0 B  0 B   0 B/s  00:01:03";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_row_shows_its_state_and_the_number_of_interruptions() {
        let (rows, since) = rows(1);
        let last = |state, interruptions| {
            let mut rows = rows.lock();
            let row = rows.get_mut(&1).unwrap();
            (row.state, row.interruptions) = (state, interruptions);
            row.cells(since + Duration::from_secs(12)).pop().unwrap()
        };
        assert_eq!(last(State::Waiting, 0), "waiting for the device");
        assert_eq!(last(State::Interrupted(since), 1), "interrupted for 12.0 s, resuming");
        assert_eq!(last(State::Open, 1), "1 interruption");
        assert_eq!(last(State::Open, 2), "2 interruptions");
    }

    #[test]
    fn more_streams_than_fit_are_counted() {
        let (rows, since) = rows(ROWS as u64 + 3);
        for (terminal, limit, more) in [(100, ROWS, "  and 3 more"), (6, 3, "  and 16 more"), (4, 1, "  and 18 more")] {
            let lines = rows.lines(since, terminal);
            assert_eq!((lines.len(), lines.last().map(String::as_str)), (1 + limit + 1, Some(more)));
        }
    }

    #[test]
    fn the_table_is_no_longer_than_its_terminal() {
        let (rows, since) = rows(3);
        let starts = |terminal| {
            let lines = rows.lines(since, terminal);
            lines.iter().map(|line| line.trim_start().chars().take(5).collect::<String>()).collect::<Vec<_>>()
        };
        assert_eq!(starts(3), ["TO   ", "⠋ pi-", "and 2"]);
        assert_eq!(starts(2), ["⠋ pi-", "and 2"]);
        assert_eq!(starts(1), ["⠋ pi-"]);
        assert_eq!(starts(0), [""; 0]);
    }

    #[test]
    fn a_rate_is_the_current_one_and_not_an_average() {
        let since = Instant::now();
        let mut rate = Rate { since, total: 0, latest: 0.0 };
        let mut at = |seconds: f64, total| rate.at(since + Duration::from_secs_f64(seconds), total);
        assert_eq!(at(0.5, 1000), 0, "too short a span");
        assert_eq!(at(2.0, 1000), 500);
        assert_eq!(at(2.5, 9000), 500, "measured again a second later");
        assert_eq!(at(12.0, 1000), 0, "no bytes");
    }
}
