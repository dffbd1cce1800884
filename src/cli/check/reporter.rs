//! The report as it grows: each hop is told once it is done, and on a terminal the one under way is shown, so that whoever
//! looks on sees where it hangs.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::args::Listing;
use crate::cli::{Failure, output};
use crate::proto::check::{Finding, Hop, Report};

/// How often the hop under way is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// Its columns are those of a hop that is done.
const UNDER_WAY: &str = "{prefix:15} {spinner:6} {elapsed:>11}  {msg}";

/// For a person, hop by hop; for a program, one document at the end.
pub(super) struct Telling {
    is_json: bool,
    is_watched: bool,
    so_far: Mutex<SoFar>,
}

#[derive(Default)]
struct SoFar {
    report: Report,
    under_way: Option<ProgressBar>,
}

impl Telling {
    pub(super) fn new(listing: Listing) -> Self {
        // Log lines and a row that is drawn anew would be in each other's way.
        let is_quiet = !tracing::enabled!(tracing::Level::DEBUG);
        let is_terminal = std::io::stdout().is_terminal() && std::io::stderr().is_terminal();
        Self { is_json: listing.json, is_watched: !listing.json && is_terminal && is_quiet, so_far: Mutex::default() }
    }

    /// This hop is under way.
    pub(super) fn begin(&self, hop: Hop, at: impl Display) {
        let style = ProgressStyle::with_template(UNDER_WAY);
        if let (true, Ok(style)) = (self.is_watched, style) {
            let row = ProgressBar::new_spinner().with_style(style).with_prefix(hop.as_str());
            row.set_message(at.to_string());
            row.enable_steady_tick(TICK);
            self.so_far().take_its_place(Some(row));
        }
    }

    /// This is what came of it.
    pub(super) fn push(&self, finding: Finding) {
        let mut so_far = self.so_far();
        so_far.take_its_place(None);
        if !self.is_json {
            output::out(&finding.to_string());
        }
        so_far.report.push(finding);
    }

    /// There is nothing more to find.
    pub(super) fn end(self) -> Result<(), Failure> {
        let mut so_far = self.so_far.into_inner().unwrap_or_else(PoisonError::into_inner);
        so_far.take_its_place(None);
        if self.is_json {
            output::out(&format!("{:#}", so_far.report.json()));
        }
        match so_far.report.exit() {
            0 => Ok(()),
            code => Err(Failure::Said(code)),
        }
    }

    fn so_far(&self) -> MutexGuard<'_, SoFar> {
        self.so_far.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SoFar {
    /// On a terminal there is one row at most.
    fn take_its_place(&mut self, row: Option<ProgressBar>) {
        if let Some(before) = std::mem::replace(&mut self.under_way, row) {
            before.finish_and_clear();
        }
    }
}
