//! What the operator sees while streams run: live rows on a terminal, plain lines elsewhere.

mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

pub(super) use self::table::Table;
use super::args::{Cli, Command};
use super::logging::Format;
use super::output::{bytes, span};
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
        | Command::Configuration(_)
        | Command::Completions(_) => false,
    };
    let is_for_people = cli.verbosity() >= 0 && cli.log_format == Format::Text;
    (live && is_for_people).then(Table::on_terminal).flatten()
}

/// Shows what happens to streams.
pub(super) struct Watcher {
    table: Option<Table>,
    since: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    running: HashMap<u64, (Arc<StreamInfo>, Instant)>,
    opened: u64,
    refused: u64,
    interruptions: u64,
    /// Of streams that are over.
    up: u64,
    down: u64,
}

impl Watcher {
    pub(super) fn new(table: Option<Table>) -> Self {
        Self { table, since: Instant::now(), seen: Mutex::default() }
    }

    /// Takes note of an event.
    pub(super) fn see(&self, event: Event) {
        if let Some(table) = &self.table {
            draw(table, &event);
        }
        match event {
            Event::Requested(info) => drop(self.seen().running.insert(info.number, (info, Instant::now()))),
            Event::Opened(info) => {
                self.seen().opened += 1;
                // Whoever has a table sees it there.
                if self.table.is_none() {
                    tracing::info!(target: "service-proxy", "{}: opened", name(&info));
                }
            }
            Event::Draining(info, left) => {
                let (name, left) = (name(&info), left.as_secs());
                let advice = "connect again once it is back";
                tracing::warn!(target: "service-proxy", "{name}: the hub is shutting down or restarting, and ends this in {left} s; {advice}");
            }
            Event::Interrupted(info, why) => {
                self.seen().interruptions += 1;
                let name = name(&info);
                tracing::warn!(target: "service-proxy", "{name}: interrupted ({why}); it comes back by itself");
            }
            Event::Resumed(info, after) => {
                let (name, seconds) = (name(&info), after.as_secs_f64());
                tracing::info!(target: "service-proxy", "{name}: resumed after {seconds:.1} s");
            }
            Event::Refused(info, refusal) => {
                {
                    let mut seen = self.seen();
                    seen.refused += 1;
                    seen.running.remove(&info.number);
                }
                tracing::warn!(target: "service-proxy", "{}: {refusal}", info.to);
            }
            Event::Ended(info, ending, refusal) => {
                let since = self.seen().over(&info);
                ended(&info, ending, refusal, since);
            }
        }
    }

    /// All of it together, once nothing runs any more; nothing, if there never was anything.
    pub(super) fn total(&self) -> Option<String> {
        let mut seen = self.seen();
        let cut: Vec<_> = seen.running.values().map(|(info, _)| info.clone()).collect();
        for info in &cut {
            let _ = seen.over(info);
        }
        let Seen { opened, refused, interruptions, up, down, .. } = *seen;
        let (up, down, time) = (bytes(up), bytes(down), span(self.since.elapsed()));
        let sum = format!(
            "in all: streams {opened}, refused {refused}, interruptions {interruptions}; up {up}, down {down}, in {time}"
        );
        (opened + refused > 0).then_some(sum)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Counts a stream that is over, and tells when it was asked for.
    fn over(&mut self, info: &StreamInfo) -> Option<Instant> {
        let (down, up) = info.counters.received_and_sent();
        self.up += up;
        self.down += down;
        self.running.remove(&info.number).map(|(_, since)| since)
    }
}

fn draw(table: &Table, event: &Event) {
    match event {
        Event::Requested(info) => table.asked(info),
        Event::Opened(info) | Event::Resumed(info, _) => table.opened(info.number),
        Event::Interrupted(info, _) => table.interrupted(info.number),
        Event::Refused(info, _) | Event::Ended(info, ..) => table.ended(info.number),
        Event::Draining(..) => {}
    }
}

fn name(info: &StreamInfo) -> String {
    let from = info.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{} #{}{from}", info.to, info.number)
}

fn ended(info: &StreamInfo, ending: Ending, refusal: Option<Refusal>, since: Option<Instant>) {
    let (down, up) = info.counters.received_and_sent();
    let age = since.map(|since| span(since.elapsed())).unwrap_or_default();
    let (name, up, down) = (name(info), bytes(up), bytes(down));
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
