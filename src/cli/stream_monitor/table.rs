//! The table of running streams at the foot of a terminal.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{FormattedDuration, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::super::output::{format_bytes, format_columns, format_duration};
use crate::proxy::StreamInfo;

/// How often it is drawn anew.
const TICK: Duration = Duration::from_millis(250);

/// Rows that fit beside what else a terminal shows; further streams are counted below them.
const ROWS: usize = 16;

/// Over at least this long a rate is measured: long enough to be read, short enough to be of now.
const RATE_SPAN: Duration = Duration::from_secs(1);

/// One for every [`TICK`], to see that it lives.
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// Drawn by a thread of its own: a terminal that was stopped with Ctrl-S stops nothing else. Clones are the same.
#[derive(Clone)]
pub(in crate::cli) struct Table {
    rows: Rows,
    bar: ProgressBar,
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

/// Bytes a second, of late.
struct Rate {
    since: Instant,
    total: u64,
    latest: f64,
}

impl Table {
    /// On standard error, if that is a terminal which can draw.
    pub(in crate::cli) fn on_terminal() -> Option<Self> {
        let is_dumb = std::env::var_os("TERM").is_some_and(|name| name == "dumb");
        if is_dumb || !std::io::stderr().is_terminal() {
            return None;
        }
        let rows = Rows::default();
        let drawn = rows.clone();
        let style = ProgressStyle::with_template("{table}").ok()?;
        let style = style.with_key("table", move |_: &indicatif::ProgressState, to: &mut dyn std::fmt::Write| {
            let _ = to.write_str(&drawn.text(Instant::now()));
        });
        let bar = ProgressBar::new_spinner().with_style(style);
        bar.enable_steady_tick(TICK);
        Some(Self { rows, bar })
    }

    /// Writes something else while the table is out of the way.
    pub(in crate::cli) fn above<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }

    /// A stream was asked for, and its device is waited for.
    pub(super) fn add(&self, info: &Arc<StreamInfo>) {
        let now = Instant::now();
        let rate = Rate { since: now, total: 0, latest: 0.0 };
        let row = Row { info: info.clone(), since: now, state: State::Waiting, interruptions: 0, rate };
        self.rows.lock().insert(info.number, row);
    }

    /// It is open, or open again.
    pub(super) fn set_open(&self, number: u64) {
        if let Some(row) = self.rows.lock().get_mut(&number) {
            if matches!(row.state, State::Waiting) {
                row.since = Instant::now();
            }
            row.state = State::Open;
        }
    }

    /// Its connection is lost for now.
    pub(super) fn set_interrupted(&self, number: u64) {
        if let Some(row) = self.rows.lock().get_mut(&number) {
            row.state = State::Interrupted(Instant::now());
            row.interruptions += 1;
        }
    }

    /// It is over.
    pub(super) fn remove(&self, number: u64) {
        self.rows.lock().remove(&number);
    }
}

impl Rows {
    fn text(&self, now: Instant) -> String {
        let mut rows = self.lock();
        if rows.is_empty() {
            return String::new();
        }
        let shown = rows.values_mut().take(ROWS).map(|row| row.cells(now)).collect();
        let mut lines = format_columns(&["  TO", "FROM", "UP", "DOWN", "RATE", "AGE", ""], shown);
        if rows.len() > ROWS {
            lines.push(format!("  and {} more", rows.len() - ROWS));
        }
        lines.join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
                format!(
                    "interrupted for {}, comes back by itself",
                    format_duration(now.saturating_duration_since(*since))
                )
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
    fn nothing_is_drawn_where_nothing_runs() {
        assert_eq!(rows(0).0.text(Instant::now()), "");
    }

    #[test]
    fn a_row_has_whence_whereto_how_much_how_fast_and_how_long() {
        let (rows, since) = rows(1);
        let text = rows.text(since + Duration::from_secs(63));
        let wanted = "  TO            FROM             UP   DOWN  RATE   AGE\n\
                      ⠹ pi-42/ssh #1  127.0.0.1:50000  0 B  0 B   0 B/s  00:01:03";
        assert_eq!(text, wanted);
    }

    #[test]
    fn a_row_tells_what_is_waited_for_and_how_often_it_was() {
        let (rows, since) = rows(1);
        let last = |state, interruptions| {
            let mut rows = rows.lock();
            let row = rows.get_mut(&1).unwrap();
            (row.state, row.interruptions) = (state, interruptions);
            row.cells(since + Duration::from_secs(12)).pop().unwrap()
        };
        assert_eq!(last(State::Waiting, 0), "waiting for the device");
        assert_eq!(last(State::Interrupted(since), 1), "interrupted for 12.0 s, comes back by itself");
        assert_eq!(last(State::Open, 1), "1 interruption");
        assert_eq!(last(State::Open, 2), "2 interruptions");
    }

    #[test]
    fn more_streams_than_fit_are_counted() {
        let (rows, since) = rows(ROWS as u64 + 3);
        let text = rows.text(since);
        assert_eq!(text.lines().count(), 1 + ROWS + 1);
        assert!(text.ends_with("\n  and 3 more"), "{text}");
    }

    #[test]
    fn a_rate_is_of_now_and_not_of_the_whole_life() {
        let since = Instant::now();
        let mut rate = Rate { since, total: 0, latest: 0.0 };
        let mut at = |seconds: f64, total| rate.at(since + Duration::from_secs_f64(seconds), total);
        assert_eq!(at(0.5, 1000), 0, "too short to tell");
        assert_eq!(at(2.0, 1000), 500);
        assert_eq!(at(2.5, 9000), 500, "measured anew a second later");
        assert_eq!(at(12.0, 1000), 0, "nothing moves any more");
    }
}
