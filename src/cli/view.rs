//! What the operator sees while streams run: live rows on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use tokio::time::Instant;

use super::args::Command;
use super::text::{bytes, span};
use crate::proto::refusal::Refusal;
use crate::proto::stream::Ending;
use crate::proxy::{Event, View};

/// How often the live rows are drawn anew.
const TICK: Duration = Duration::from_millis(250);

/// Live rows at once; more streams than that are counted by the log lines alone.
const ROWS: usize = 32;

/// Where live rows are drawn, if the command has any and a person looks on.
pub(super) fn progress_bars(command: &Command) -> Option<MultiProgress> {
    let live = match command {
        Command::ServiceProxy(proxy) => !proxy.stdio,
        Command::Demo(_) => true,
        Command::Hub(_)
        | Command::Service(_)
        | Command::Join(_)
        | Command::DeviceAgent(_)
        | Command::Devices(_)
        | Command::Check(_)
        | Command::Status(_)
        | Command::Ssh(_)
        | Command::SshConfig(_)
        | Command::Rdp(_)
        | Command::Profiles(_)
        | Command::Configuration(_)
        | Command::Completions(_) => false,
    };
    (live && std::io::stderr().is_terminal()).then(MultiProgress::new)
}

/// Shows what happens to streams.
pub(super) struct Watcher {
    progress: Option<MultiProgress>,
    rows: Mutex<HashMap<u64, Row>>,
}

struct Row {
    bar: Option<ProgressBar>,
    since: Instant,
}

impl Watcher {
    pub(super) fn new(progress: Option<MultiProgress>) -> Self {
        Self { progress, rows: Mutex::new(HashMap::new()) }
    }

    /// Takes note of an event.
    pub(super) fn see(&self, event: Event) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Asked(view) => {
                let bar = self.progress.as_ref().filter(|_| rows.len() < ROWS).map(|progress| asked(progress, &view));
                rows.insert(view.number, Row { bar, since: Instant::now() });
            }
            Event::Opened(view) => match rows.get(&view.number).and_then(|row| row.bar.as_ref()) {
                Some(bar) => opened(bar, &view),
                None => tracing::info!(target: "service-proxy", "{}: opened", name(&view)),
            },
            Event::Draining(view, left) => {
                let (name, left) = (name(&view), left.as_secs());
                let advice = "connect again once it is back";
                tracing::warn!(target: "service-proxy", "{name}: the hub is shutting down or restarting, and ends this in {left} s; {advice}");
            }
            Event::Interrupted(view, why) => {
                let name = name(&view);
                tracing::warn!(target: "service-proxy", "{name}: interrupted ({why}); it comes back by itself");
            }
            Event::Resumed(view, after) => {
                let (name, seconds) = (name(&view), after.as_secs_f64());
                tracing::info!(target: "service-proxy", "{name}: resumed after {seconds:.1} s");
            }
            Event::Refused(view, refusal) => {
                finish(rows.remove(&view.number));
                tracing::warn!(target: "service-proxy", "{}: {refusal}", view.to);
            }
            Event::Ended(view, ending, refusal) => {
                let since = rows.get(&view.number).map(|row| row.since);
                finish(rows.remove(&view.number));
                ended(&view, ending, refusal, since);
            }
        }
    }
}

fn name(view: &View) -> String {
    let from = view.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{} #{}{from}", view.to, view.number)
}

fn asked(progress: &MultiProgress, view: &View) -> ProgressBar {
    let bar = progress.add(ProgressBar::new_spinner());
    bar.set_message(format!("{}: waiting for the device", name(view)));
    bar.enable_steady_tick(TICK);
    bar
}

/// The row reads the counters whenever it is drawn.
fn opened(bar: &ProgressBar, view: &Arc<View>) {
    let counted = view.clone();
    let style = ProgressStyle::with_template("{spinner} {msg}  {traffic}  {elapsed}");
    let Ok(style) = style else { return };
    let style = style.with_key("traffic", move |state: &indicatif::ProgressState, row: &mut dyn std::fmt::Write| {
        let (down, up) = counted.counters.received_and_sent();
        let seconds = state.elapsed().as_secs_f64().max(0.1);
        let rate = bytes(((down + up) as f64 / seconds) as u64);
        let _ = write!(row, "up {}  down {}  {rate}/s", bytes(up), bytes(down));
    });
    bar.set_style(style);
    bar.set_message(name(view));
    bar.reset_elapsed();
}

fn finish(row: Option<Row>) {
    if let Some(bar) = row.and_then(|row| row.bar) {
        bar.finish_and_clear();
    }
}

fn ended(view: &View, ending: Ending, refusal: Option<Refusal>, since: Option<Instant>) {
    let (down, up) = view.counters.received_and_sent();
    let age = since.map(|since| span(since.elapsed())).unwrap_or_default();
    let (name, up, down) = (name(view), bytes(up), bytes(down));
    match (ending, refusal) {
        (Ending::Broken, Some(refusal)) => {
            tracing::warn!(target: "service-proxy", "{name}: {refusal}; up {up}, down {down}, after {age}");
        }
        (Ending::Broken, None) => {
            let why = "the connection to the hub broke; connect again";
            tracing::warn!(target: "service-proxy", "{name}: {why}; up {up}, down {down}, after {age}");
        }
        (Ending::Clean | Ending::LocalReset | Ending::PeerReset, _) => {
            tracing::info!(target: "service-proxy", "{name}: {ending}; up {up}, down {down}, after {age}");
        }
    }
}
