//! What the operator sees while streams run: live rows on a terminal, plain lines elsewhere.

mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub(super) use self::table::Table;
use super::args::{Cli, Command};
use super::logging::Format;
use super::output::{format_bytes, format_duration};
use crate::proto::refusal::Refusal;
use crate::proto::stream::Ending;
use crate::proxy::{Event, StreamInfo};

/// Where running streams are shown, if the command has any and a person looks on.
pub(super) fn table(cli: &Cli) -> Option<Table> {
    let live = match &cli.command {
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
        | Command::Config(_)
        | Command::Completions(_) => false,
    };
    let is_for_people = cli.verbosity() >= 0 && cli.log_format == Format::Text;
    (live && is_for_people).then(Table::on_terminal).flatten()
}

/// Shows what happens to streams.
pub(super) struct StreamMonitor {
    table: Option<Table>,
    since: Instant,
    state: Mutex<MonitorState>,
}

#[derive(Default)]
struct MonitorState {
    running: HashMap<u64, (Arc<StreamInfo>, Instant)>,
    opened: u64,
    refused: u64,
    interruptions: u64,
    /// Of streams that are over.
    up: u64,
    down: u64,
}

impl StreamMonitor {
    pub(super) fn new(table: Option<Table>) -> Self {
        Self { table, since: Instant::now(), state: Mutex::default() }
    }

    /// Takes note of an event.
    pub(super) fn on_event(&self, event: Event) {
        if let Some(table) = &self.table {
            update_table(table, &event);
        }
        match event {
            Event::Requested(info) => drop(self.state().running.insert(info.number, (info, Instant::now()))),
            Event::Opened(info) => {
                self.state().opened += 1;
                // Whoever has a table sees it there.
                if self.table.is_none() {
                    tracing::info!(target: "service-proxy", "{}: opened", label(&info));
                }
            }
            Event::Draining(info, left) => {
                let (name, left) = (label(&info), left.as_secs());
                let advice = "connect again once it is back";
                tracing::warn!(target: "service-proxy", "{name}: the hub is shutting down or restarting, and ends this in {left} s; {advice}");
            }
            Event::Interrupted(info, why) => {
                self.state().interruptions += 1;
                let name = label(&info);
                tracing::warn!(target: "service-proxy", "{name}: interrupted ({why}); it comes back by itself");
            }
            Event::Resumed(info, after) => {
                let (name, seconds) = (label(&info), after.as_secs_f64());
                tracing::info!(target: "service-proxy", "{name}: resumed after {seconds:.1} s");
            }
            Event::Refused(info, refusal) => {
                {
                    let mut state = self.state();
                    state.refused += 1;
                    state.running.remove(&info.number);
                }
                tracing::warn!(target: "service-proxy", "{}: {refusal}", info.to);
            }
            Event::Ended(info, ending, refusal) => {
                let since = self.state().record_end(&info);
                log_end(&info, ending, refusal, since);
            }
        }
    }

    /// All of it together, once nothing runs any more; nothing, if there never was anything.
    pub(super) fn summary(&self) -> Option<String> {
        let mut state = self.state();
        let cut: Vec<_> = state.running.values().map(|(info, _)| info.clone()).collect();
        for info in &cut {
            let _ = state.record_end(info);
        }
        let MonitorState { opened, refused, interruptions, up, down, .. } = *state;
        let (up, down, time) = (format_bytes(up), format_bytes(down), format_duration(self.since.elapsed()));
        let sum = format!(
            "in all: streams {opened}, refused {refused}, interruptions {interruptions}; up {up}, down {down}, in {time}"
        );
        (opened + refused > 0).then_some(sum)
    }

    fn state(&self) -> MutexGuard<'_, MonitorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MonitorState {
    /// Counts a stream that is over, and tells when it was asked for.
    fn record_end(&mut self, info: &StreamInfo) -> Option<Instant> {
        let (down, up) = info.counters.received_and_sent();
        self.up += up;
        self.down += down;
        self.running.remove(&info.number).map(|(_, since)| since)
    }
}

fn update_table(table: &Table, event: &Event) {
    match event {
        Event::Requested(info) => table.add(info),
        Event::Opened(info) | Event::Resumed(info, _) => table.set_open(info.number),
        Event::Interrupted(info, _) => table.set_interrupted(info.number),
        Event::Refused(info, _) | Event::Ended(info, ..) => table.remove(info.number),
        Event::Draining(..) => {}
    }
}

fn label(info: &StreamInfo) -> String {
    let from = info.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{} #{}{from}", info.to, info.number)
}

fn log_end(info: &StreamInfo, ending: Ending, refusal: Option<Refusal>, since: Option<Instant>) {
    let (down, up) = info.counters.received_and_sent();
    let age = since.map(|since| format_duration(since.elapsed())).unwrap_or_default();
    let (name, up, down) = (label(info), format_bytes(up), format_bytes(down));
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
