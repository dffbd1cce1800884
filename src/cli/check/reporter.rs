//! The report as it grows: each hop is told once it is done, and on a terminal the one under way is shown, so that whoever
//! looks on sees where it hangs.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::OutputArgs;
use crate::cli::{Failure, output};
use crate::proto::check::{Finding, Hop, Report};

/// How often the hop under way is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Its columns are those of a hop that is done.
const ROW_TEMPLATE: &str = "{prefix:15} {spinner:6} {elapsed:>11}  {msg}";

/// For a person, hop by hop; for a program, one document at the end.
pub(super) struct Reporter {
    is_json: bool,
    shows_progress: bool,
    state: Mutex<ReportState>,
}

#[derive(Default)]
struct ReportState {
    report: Report,
    current_row: Option<ProgressBar>,
}

impl Reporter {
    pub(super) fn new(output: OutputArgs) -> Self {
        // Log lines and a row that is drawn anew would be in each other's way.
        let is_quiet = !tracing::enabled!(tracing::Level::DEBUG);
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { is_json: output.json, shows_progress: !output.json && is_terminal && is_quiet, state: Mutex::default() }
    }

    /// This hop is under way.
    pub(super) fn begin(&self, hop: Hop, at: impl Display) {
        let style = ProgressStyle::with_template(ROW_TEMPLATE);
        if let (true, Ok(style)) = (self.shows_progress, style) {
            let row = ProgressBar::new_spinner().with_style(style).with_prefix(hop.as_str());
            row.set_message(at.to_string());
            row.enable_steady_tick(TICK);
            self.state().set_row(Some(row));
        }
    }

    /// This is what came of it.
    pub(super) fn push(&self, finding: Finding) {
        let mut state = self.state();
        state.set_row(None);
        if !self.is_json {
            output::print(&finding.to_string());
        }
        state.report.push(finding);
    }

    /// There is nothing more to find.
    pub(super) fn end(self) -> Result<(), Failure> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.set_row(None);
        if self.is_json {
            output::print(&format!("{:#}", state.report.json()));
        }
        match state.report.exit() {
            0 => Ok(()),
            code => Err(Failure::AlreadyReported(code)),
        }
    }

    fn state(&self) -> MutexGuard<'_, ReportState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportState {
    /// On a terminal there is one row at most.
    fn set_row(&mut self, row: Option<ProgressBar>) {
        if let Some(before) = std::mem::replace(&mut self.current_row, row) {
            before.finish_and_clear();
        }
    }
}
