//! The activity log: one JSON line per event, with Azure's field names. Never a secret.
//!
//! In: events from any thread. Out: lines in `activity.jsonl` and rotated files; those about changes of identities in
//! `administration.jsonl` too, which nothing else can fill; those of unauthenticated peers in `unauthenticated.jsonl` alone,
//! where they push out only each other. In the order of a line: `record` (any thread), `budgets` (of
//! what a peer can cause in any number), `line` (its JSON), `writer` (the one thread that writes), `store` (the file, its
//! rotation and retention), `files` (their names), `history`, `reader` and `tail` (for `devstream hub logs`), `pages`
//! (for that of another hub).

mod bisect;
mod budgets;
mod files;
mod history;
mod line;
mod line_reader;
mod pages;
mod reader;
mod store;
mod tail;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::budgets::{Budgets, Subject};
pub use self::history::History;
pub use self::line::Line;
pub(in crate::hub) use self::pages::page;
pub(in crate::hub) use self::reader::Reader;
use self::store::{Destination, Stores};
use super::event::{ACCEPTED, Event, Operation};
use super::metrics::Metrics;
use crate::net::os::clock;
use crate::proto::refusal::{Detail, Refusal, RefusalKind};

/// The queue of lines that are not written yet. If the disk stays slower than this, lines are lost and counted, rather
/// than streams delayed.
const QUEUE: usize = 4096;

/// Places in it that are for lines about changes of identities alone: who may not make one pushes none out.
const PLACES_OF_CHANGES: usize = 256;

/// The time that a stream waits for its line to be written where the log is required, and a change of an identity for its
/// own to be on the disk; and the interval of the checks.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);
const AUDIT_POLL: Duration = Duration::from_millis(2);

/// Settings of rotation and retention, and of what happens when the log cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The size in bytes at which the file is rotated …
    pub rotate_size: u64,
    /// … or the age of its first line.
    pub rotate_age: Duration,
    /// The limit in bytes on all files together; the oldest are deleted.
    pub keep_size: u64,
    /// The age at which rotated files are deleted.
    pub keep_age: Duration,
    /// Streams are refused while the log cannot be written.
    pub required: bool,
}

impl Default for Settings {
    /// A day or 64 MiB per file, which any editor opens; 90 days or 1 GiB (some two million lines) in all.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { rotate_size: 64 << 20, rotate_age: DAY, keep_size: 1 << 30, keep_age: 90 * DAY, required: false }
    }
}

/// The settings of `administration.jsonl`, whatever the log's are: a hundred thousand changes, however old.
const ADMINISTRATION: Settings = Settings {
    rotate_size: 4 << 20,
    rotate_age: Duration::MAX,
    keep_size: 32 << 20,
    keep_age: Duration::MAX,
    required: false,
};

/// The settings of `unauthenticated.jsonl`: some 200,000 lines, and the log's age.
fn unauthenticated(log: Settings) -> Settings {
    Settings { rotate_size: 8 << 20, keep_size: 64 << 20, ..log }
}

/// Records events, from any thread.
#[derive(Debug, Clone)]
pub struct Activity {
    lines: SyncSender<WrittenLine>,
    budgets: Arc<Mutex<Budgets>>,
    metrics: Arc<Metrics>,
    counters: Arc<Counters>,
    required: bool,
}

/// A line to be written.
#[derive(Debug)]
struct WrittenLine {
    json: String,
    destination: Destination,
}

/// Counters shared by the recording threads and the writer.
#[derive(Debug, Default)]
struct Counters {
    queued: AtomicUsize,
    /// Lines recorded, and lines written or lost.
    recorded: AtomicU64,
    settled: AtomicU64,
    lost: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    failing: AtomicBool,
    /// Lines about changes of identities recorded, and those on the disk or lost.
    changes: AtomicU64,
    synced: watch::Sender<u64>,
    /// Those that are lost.
    changes_lost: AtomicU64,
}

/// Lines about changes of identities: how many were recorded by some time, and how many of them are lost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes {
    recorded: u64,
    lost: u64,
}

/// The writer's thread. It ends when every [`Activity`] is dropped.
#[derive(Debug)]
pub struct WriterHandle(JoinHandle<()>);

impl Activity {
    /// Opens the log and starts its writer. Rotated files are kept beside it.
    pub(super) fn open(path: &Path, settings: Settings, metrics: Arc<Metrics>) -> anyhow::Result<(Self, WriterHandle)> {
        let stores = Stores::open(path, settings)?;
        let (lines, queue) = sync_channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let thread = std::thread::Builder::new().name("activity-log".into());
        let budgets = Arc::new(Mutex::new(Budgets::new(clock::now())));
        let writer = writer::LogWriter::new(stores, budgets.clone(), counters.clone(), settings.required);
        let thread = thread.spawn(move || writer.run(&queue))?;
        Ok((Self { lines, budgets, metrics, counters, required: settings.required }, WriterHandle(thread)))
    }

    /// Records an event with the present time, or counts it if its budget is used up.
    pub fn record(&self, mut event: Event) {
        // Some reasons quote a peer: sanitised.
        event.reason = Detail::from(event.reason).into();
        self.metrics.event(&event);
        match Subject::of(&event) {
            // A stream that needs its line to be opened has one.
            Some(Subject::Streams(..)) if self.required => self.write(event),
            Some(subject) => {
                let admitted = self.budgets.lock().admit(event, subject, clock::now());
                admitted.into_iter().for_each(|event| self.write(event));
            }
            None => self.write(event),
        }
    }

    fn write(&self, event: Event) {
        print(&event);
        let waiting = self.counters.queued.fetch_add(1, Ordering::Relaxed);
        self.counters.recorded.fetch_add(1, Ordering::Relaxed);
        let destination = Destination::of(&event);
        let is_change = destination == Destination::Administration;
        if is_change {
            self.counters.changes.fetch_add(1, Ordering::Relaxed);
        }
        let has_place = is_change || waiting < QUEUE - PLACES_OF_CHANGES;
        if !has_place || self.lines.try_send(WrittenLine { json: line::json(event), destination }).is_err() {
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            self.counters.lost.fetch_add(1, Ordering::Release);
            self.counters.settled.fetch_add(1, Ordering::Release);
            if is_change {
                self.counters.changes_lost.fetch_add(1, Ordering::Relaxed);
                self.counters.synced.send_modify(|count| *count += 1);
            }
        }
    }

    /// The lines about changes of identities so far.
    pub(super) fn changes(&self) -> Changes {
        let [recorded, lost] = [&self.counters.changes, &self.counters.changes_lost];
        Changes { recorded: recorded.load(Ordering::Relaxed), lost: lost.load(Ordering::Relaxed) }
    }

    /// Waits until the lines about changes of identities that were recorded since then would survive a loss of power, and reports
    /// whether they do. Whoever acknowledges a change calls this first. A disk that takes too long delays it no further.
    pub(super) async fn changes_synced(&self, since: Changes) -> bool {
        let recorded = self.counters.changes.load(Ordering::Relaxed);
        if recorded == since.recorded {
            return true;
        }
        let mut synced = self.counters.synced.subscribe();
        let is_in_time = timeout(AUDIT_TIMEOUT, synced.wait_for(|count| *count >= recorded)).await.is_ok();
        let is_kept = is_in_time && self.counters.changes_lost.load(Ordering::Relaxed) == since.lost;
        if !is_kept {
            tracing::error!(target: "hub", "a change is acknowledged whose line in the activity log is lost, or not on the disk yet");
        }
        is_kept
    }

    /// Reports whether a line recorded now is likely to be written.
    pub fn can_record(&self) -> bool {
        !self.counters.failing.load(Ordering::Relaxed) && self.counters.queued.load(Ordering::Relaxed) < QUEUE
    }

    /// Starts an audit before an action that must not happen unrecorded. Fails if the log is required and cannot be
    /// written.
    pub fn audit_checkpoint(&self) -> Result<AuditCheckpoint, Refusal> {
        if self.required && !self.can_record() {
            Err(RefusalKind::AuditFailed.into())
        } else {
            Ok(AuditCheckpoint(self.lost()))
        }
    }

    /// Reports whether streams require a working log.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Completes an audit after the action was recorded: fails if any line was lost meanwhile, which may be that one,
    /// or if the disk takes too long.
    pub async fn verify_audit(&self, audit: &AuditCheckpoint) -> Result<(), Refusal> {
        if !self.required {
            return Ok(());
        }
        let recorded = self.counters.recorded.load(Ordering::Relaxed);
        let written = async {
            while self.counters.settled.load(Ordering::Acquire) < recorded {
                sleep(AUDIT_POLL).await;
            }
        };
        let in_time = timeout(AUDIT_TIMEOUT, written).await.is_ok();
        if in_time && self.lost() == audit.0 { Ok(()) } else { Err(RefusalKind::AuditFailed.into()) }
    }

    /// Returns the number of lost lines.
    pub fn lost(&self) -> u64 {
        self.counters.lost.load(Ordering::Acquire)
    }

    /// Returns the number of written lines.
    pub fn written(&self) -> u64 {
        self.counters.written.load(Ordering::Relaxed)
    }

    /// Returns the log's size on disk in bytes, rotated files included.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(Ordering::Relaxed)
    }
}

/// Tells the hub's operator of an event.
fn print(event: &Event) {
    if matches!(event.operation, Operation::Authenticate | Operation::SourcePenalised | Operation::DeviceDisplaced) {
        tracing::warn!(target: "hub", "{event}");
    } else if is_said_otherwise(event) {
        tracing::debug!(target: "hub", "{event}");
    } else {
        tracing::info!(target: "hub", "{event}");
    }
}

/// Reports whether another line follows that says the same: the stream is opened, the hub listens or has ended.
fn is_said_otherwise(event: &Event) -> bool {
    let is_hubs = matches!(event.operation, Operation::HubStarted | Operation::HubStopped);
    is_hubs || (event.operation == Operation::Invoke && event.result == ACCEPTED)
}

/// The number of lost lines when an audited action began.
#[derive(Debug)]
pub struct AuditCheckpoint(u64);

impl WriterHandle {
    /// Waits until all lines are written to the file. The system syncs them to the disk.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!(target: "hub", "the activity log's writer panicked");
        }
    }
}

#[cfg(test)]
mod tests;
