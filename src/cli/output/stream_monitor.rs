//! The operator's view of running streams: live rows on a terminal, log lines elsewhere.

mod screen;
mod table;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

pub(in crate::cli) use self::table::Table;
use super::advice::Advice;
use super::format::{format_bytes, format_duration};
use crate::net::shutdown::Shutdown;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;
use crate::proxy::{Event, StreamInfo};

/// The monitor of streams: reports their events and counts them.
pub(in crate::cli) struct StreamMonitor {
    table: Option<Table>,
    advice: Advice,
    shutdown: Shutdown,
    since: Instant,
    state: Mutex<MonitorState>,
}

#[derive(Default)]
struct MonitorState {
    running: HashMap<u64, (Arc<StreamInfo>, Instant)>,
    opened: u64,
    refused: u64,
    interruptions: u64,
    /// Bytes of ended streams to the device.
    up: u64,
    /// Bytes of ended streams from the device.
    down: u64,
}

impl StreamMonitor {
    pub(in crate::cli) fn new(table: Option<Table>, advice: Advice, shutdown: Shutdown) -> Self {
        Self { table, advice, shutdown, since: Instant::now(), state: Mutex::default() }
    }

    /// Records an event, and reports it.
    pub(in crate::cli) fn on_event(&self, event: Event) {
        if let Some(table) = &self.table {
            update_table(table, &event);
        }
        match event {
            Event::Requested(info) => drop(self.state().running.insert(info.number, (info, Instant::now()))),
            Event::Opened(info) => {
                self.state().opened += 1;
                // With a table, the row shows it.
                if self.table.is_none() {
                    tracing::info!(target: "service-proxy", "{}: opened", label(&info));
                }
            }
            Event::Accepted(_) => {}
            Event::Draining(info, left) => {
                let (name, left) = (label(&info), left.as_secs());
                let advice = "connect again once it is back";
                tracing::warn!(target: "service-proxy", "{name}: the hub is shutting down or restarting, and ends the stream in {left} s; {advice}");
            }
            Event::Interrupted(info, why) => {
                self.state().interruptions += 1;
                let name = label(&info);
                tracing::warn!(target: "service-proxy", "{name}: interrupted ({why}); resuming");
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
                tracing::warn!(target: "service-proxy", "{}: {}", info.to, self.advice.describe(&refusal));
            }
            Event::Ended(info, ending, refusal) => {
                let since = self.state().record_end(&info);
                log_end(&info, (ending, refusal.map(|refusal| self.describe_end(&refusal))), since);
            }
        }
    }

    /// Words why a stream broke off. Whoever ended this program knows that, and needs no advice.
    fn describe_end(&self, refusal: &Refusal) -> String {
        if refusal.kind != RefusalKind::LocalShutdown {
            return self.advice.describe(refusal);
        }
        self.shutdown.cause().map_or_else(|| refusal.message(), |signal| format!("ended by {signal}"))
    }

    /// Returns the totals after the last stream; none if there were no streams.
    pub(in crate::cli) fn summary(&self) -> Option<String> {
        let mut state = self.state();
        let cut: Vec<_> = state.running.values().map(|(info, _)| info.clone()).collect();
        for info in &cut {
            let _ = state.record_end(info);
        }
        let MonitorState { opened, refused, interruptions, up, down, .. } = *state;
        let (up, down, time) = (format_bytes(up), format_bytes(down), format_duration(self.since.elapsed()));
        let sum = format!(
            "total: streams {opened}, refused {refused}, interruptions {interruptions}; up {up}, down {down}, in {time}"
        );
        (opened + refused > 0).then_some(sum)
    }

    fn state(&self) -> MutexGuard<'_, MonitorState> {
        self.state.lock()
    }
}

impl MonitorState {
    /// Counts an ended stream, and returns the time of its request.
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
        Event::Accepted(_) | Event::Draining(..) => {}
    }
}

fn label(info: &StreamInfo) -> String {
    let from = info.from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{} #{}{from}", info.to, info.number)
}

fn log_end(info: &StreamInfo, (ending, why): (Ending, Option<String>), since: Option<Instant>) {
    let (down, up) = info.counters.received_and_sent();
    let age = since.map(|since| format_duration(since.elapsed())).unwrap_or_default();
    let (name, up, down) = (label(info), format_bytes(up), format_bytes(down));
    match (ending, why) {
        (Ending::Broken, Some(why)) => {
            tracing::warn!(target: "service-proxy", "{name}: {why}; up {up}, down {down}, after {age}");
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
