//! The activity log: one JSON line for each thing that happened, field names as the original's. Never a secret.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use serde_json::{Map, Value, json};

use super::broker::{ACCEPTED, Event, Operation};
use super::metrics::Metrics;
use crate::net::clock::timestamp;
use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::moment::Moment;
use crate::proto::refusal::Detail;

/// Lines not yet on disk. A disk that is slower than this for long loses lines, counted, rather than streams.
const QUEUE: usize = 4096;

/// Takes note of events; any thread may.
#[derive(Debug, Clone)]
pub struct Activity {
    lines: SyncSender<String>,
    metrics: Arc<Metrics>,
    lost: Arc<AtomicU64>,
}

/// The thread that writes; ends when every [`Activity`] is gone.
#[derive(Debug)]
pub struct Writer(JoinHandle<()>);

impl Activity {
    /// Appends to a file.
    pub(super) fn open(path: &Path, metrics: Arc<Metrics>) -> io::Result<(Self, Writer)> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let (lines, queue) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let counter = lost.clone();
        let thread = std::thread::Builder::new().name("activity-log".into()).spawn(move || {
            write(file, &queue, &counter);
        })?;
        Ok((Self { lines, metrics, lost }, Writer(thread)))
    }

    /// Notes an event, with the present time.
    pub fn record(&self, mut event: Event) {
        // Some reasons quote a peer.
        event.reason = Detail::from(event.reason).into();
        self.metrics.event(&event);
        if matches!(event.operation, Operation::Authenticate | Operation::DeviceDisplaced | Operation::SourcePenalised)
        {
            tracing::warn!(target: "hub", "{event}");
        } else if event.operation == Operation::Invoke && event.result == ACCEPTED {
            tracing::debug!(target: "hub", "{event}");
        } else {
            tracing::info!(target: "hub", "{event}");
        }
        if self.lines.try_send(line(event)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Writer {
    /// Waits until everything is on disk.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!(target: "hub", "the activity log's thread failed");
        }
    }
}

fn write(mut file: File, queue: &Receiver<String>, lost: &AtomicU64) {
    let mut failing = false;
    while let Ok(line) = queue.recv() {
        // After a failure part of a line may be there: the next one starts afresh.
        let result = if failing { file.write_all(b"\n") } else { Ok(()) };
        match result.and_then(|()| file.write_all(line.as_bytes())) {
            Ok(()) => failing = false,
            Err(error) => {
                lost.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut failing, true) {
                    tracing::error!(target: "hub", %error, "the activity log cannot be written; streams go on");
                }
            }
        }
    }
}

fn line(event: Event) -> String {
    let mut properties = Map::new();
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            properties.insert(name.into(), value.into());
        }
    };
    put("streamId", event.stream.map(|id| id.to_string()));
    put("streamName", event.name.map(|name| name.to_string()));
    put("deviceId", event.device.map(|id| id.to_string()));
    put("serviceId", event.service.map(|name| name.to_string()));
    put("sourceAddress", event.source.map(|address| address.to_string()));
    put("peerAddress", event.peer.map(|address| address.to_string()));
    put("reason", Some(event.reason));
    put("endedBy", event.ended_by.map(|role| role.to_string()));
    if let Some((to_device, to_service)) = event.bytes {
        properties.insert("bytesToDevice".into(), to_device.into());
        properties.insert("bytesToService".into(), to_service.into());
    }
    let record = json!({
        "time": timestamp(),
        "category": "DeviceStreams",
        "operationName": event.operation.word(),
        "resultType": event.result,
        "durationMs": event.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        "properties": properties,
    });
    format!("{record}\n")
}

/// Which lines to read.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only of this device.
    pub device: Option<DeviceId>,
    /// Only of this service.
    pub service: Option<ServiceName>,
    /// Only from this moment on.
    pub since: Option<Moment>,
}

impl Filter {
    fn admits(&self, record: &Value) -> bool {
        let property = |name: &str| record["properties"][name].as_str();
        let device = self.device.as_ref().is_none_or(|id| property("deviceId") == Some(id.as_str()));
        let service = self.service.as_ref().is_none_or(|id| property("serviceId") == Some(id.as_str()));
        let time = record["time"].as_str().and_then(Moment::parse);
        let since = self.since.is_none_or(|since| time.is_some_and(|time| time >= since));
        device && service && since
    }
}

/// One line of the log.
#[derive(Debug, Clone)]
pub struct Line(Value);

impl Line {
    /// As it stands in the file.
    pub fn json(&self) -> String {
        self.0.to_string()
    }

    /// For a person.
    pub fn text(&self) -> String {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut line = format!(
            "{}  {:<18} {:<22}",
            text(&self.0["time"]),
            text(&self.0["operationName"]),
            text(&self.0["resultType"])
        );
        if let Some(properties) = self.0["properties"].as_object() {
            properties.iter().for_each(|(name, value)| line += &format!(" {name}={}", text(value)));
        }
        line
    }
}

/// The lines of a log that pass the filter, in order. Lines that a full disk cut short are passed over.
pub fn read(path: &Path, filter: Filter) -> io::Result<impl Iterator<Item = Line>> {
    let lines = BufReader::new(File::open(path)?).lines();
    let records = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
    Ok(records.filter(move |record| filter.admits(record)).map(Line))
}
