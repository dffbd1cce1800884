//! The report of a check as it runs: each hop is printed once it is done, and on a terminal the current one is shown
//! with its time, so that a hop that hangs is seen.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use parking_lot::{Mutex, MutexGuard};

use super::finding::{Finding, Report};
use super::hop::Hop;
use crate::cli::args::OutputArgs;
use crate::cli::{Failure, output};

/// The interval at which the row of the current hop is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// The row of the current hop, in the columns of a finding.
const ROW_TEMPLATE: &str = "{prefix:15} {spinner:6} {elapsed:>11}  {msg}";

/// The output of a check: findings as they come for a person, one JSON document at the end for a program.
pub(super) struct Reporter {
    is_json: bool,
    shows_progress: bool,
    state: Mutex<ReportState>,
}

#[derive(Default)]
struct ReportState {
    report: Report,
    current_row: Option<ProgressBar>,
    /// The finding that the next one of the same hop becomes, if that is good.
    doubt: Option<Finding>,
}

impl Reporter {
    pub(super) fn new(output: OutputArgs) -> Self {
        // Log lines would break a row that is redrawn.
        let is_quiet = !tracing::enabled!(tracing::Level::DEBUG);
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { is_json: output.json, shows_progress: !output.json && is_terminal && is_quiet, state: Mutex::default() }
    }

    /// Shows that this hop is being checked.
    pub(super) fn begin(&self, hop: Hop, at: impl Display) {
        let style = ProgressStyle::with_template(ROW_TEMPLATE);
        if let (true, Ok(style)) = (self.shows_progress, style) {
            let row = ProgressBar::new_spinner().with_style(style).with_prefix(hop.as_str());
            row.set_message(at.to_string());
            row.enable_steady_tick(TICK);
            self.state().set_row(Some(row));
        }
    }

    /// Keeps a finding for the next one of its hop, which it replaces if that is good. [`Self::settle`] ends that.
    pub(super) fn doubt(&self, finding: Option<Finding>) {
        self.state().doubt = finding;
    }

    /// Reports the kept finding, if no other was made of its hop.
    pub(super) fn settle(&self) {
        let kept = self.state().doubt.take();
        self.push_if(kept);
    }

    /// Reports the result of a hop.
    pub(super) fn push(&self, mut finding: Finding) {
        let mut state = self.state();
        if let Some(doubt) = state.doubt.take_if(|doubt| doubt.hop == finding.hop) {
            finding = finding.doubted(doubt.verdict);
        }
        let finding = finding.with_state_dir();
        state.set_row(None);
        if !self.is_json {
            output::print(&finding.to_string());
        }
        state.report.push(finding);
    }

    /// Reports a result, if there is one.
    pub(super) fn push_if(&self, finding: Option<Finding>) {
        finding.into_iter().for_each(|finding| self.push(finding));
    }

    /// Ends the report; fails with the exit code of the first failure.
    pub(super) fn end(self) -> Result<(), Failure> {
        let mut state = self.state.into_inner();
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
        self.state.lock()
    }
}

impl ReportState {
    /// Replaces the row of the current hop; there is one at most.
    fn set_row(&mut self, row: Option<ProgressBar>) {
        if let Some(before) = std::mem::replace(&mut self.current_row, row) {
            before.finish_and_clear();
        }
    }
}
