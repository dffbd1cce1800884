//! The activity log: one JSON line for each thing that happened, field names as the original's. Never a secret.
//!
//! In the order a line travels: `record` (any thread), `line` (its JSON), `writer` (the one thread that writes),
//! `store` (the file, its rotation and what is kept), `files` (their names), `reader` and `tail` (who reads it).

mod bisect;
mod files;
mod line;
mod line_reader;
mod reader;
mod store;
mod tail;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::time::{sleep, timeout};

pub use self::line::Line;
pub use self::reader::{Filter, Reader};
use self::store::Store;
use super::broker::{ACCEPTED, Event, Operation};
use super::metrics::Metrics;
use crate::proto::refusal::{Detail, Refusal, RefusalKind};

/// Lines not yet on disk. A disk that is slower than this for long loses lines, counted, rather than streams.
const QUEUE: usize = 4096;

/// A stream that must be logged waits this long for a disk, and asks this often whether it is done.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(5);
const AUDIT_POLL: Duration = Duration::from_millis(2);

/// When the file is put aside for a new one, what is kept of those, and what happens when it cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The file is put aside before it grows beyond this …
    pub rotate_size: u64,
    /// … or when its first line is this old.
    pub rotate_age: Duration,
    /// What all files together may take; the oldest are deleted.
    pub keep_size: u64,
    /// Files that were put aside longer ago than this are deleted.
    pub keep_age: Duration,
    /// Whether a stream that cannot be logged is refused.
    pub required: bool,
}

impl Default for Settings {
    /// A day or 64 MiB in a file, which any editor opens; 90 days or 1 GiB (some two million lines) in all.
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self { rotate_size: 64 << 20, rotate_age: DAY, keep_size: 1 << 30, keep_age: 90 * DAY, required: false }
    }
}

/// Takes note of events; any thread may.
#[derive(Debug, Clone)]
pub struct Activity {
    lines: SyncSender<String>,
    metrics: Arc<Metrics>,
    counters: Arc<Counters>,
    required: bool,
}

/// What the threads that record and the one that writes know of each other.
#[derive(Debug, Default)]
struct Counters {
    queued: AtomicUsize,
    /// Lines that were recorded, and those of them that were written or lost.
    recorded: AtomicU64,
    settled: AtomicU64,
    lost: AtomicU64,
    written: AtomicU64,
    bytes: AtomicU64,
    failing: AtomicBool,
}

/// The thread that writes; ends when every [`Activity`] is gone.
#[derive(Debug)]
pub struct WriterHandle(JoinHandle<()>);

impl Activity {
    /// Appends to a file, beside which it puts those that are full.
    pub(super) fn open(path: &Path, settings: Settings, metrics: Arc<Metrics>) -> io::Result<(Self, WriterHandle)> {
        let store = Store::open(path, settings)?;
        let (lines, queue) = sync_channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let thread = std::thread::Builder::new().name("activity-log".into());
        let writer = writer::LogWriter::new(store, counters.clone(), settings.required);
        let thread = thread.spawn(move || writer.run(&queue))?;
        Ok((Self { lines, metrics, counters, required: settings.required }, WriterHandle(thread)))
    }

    /// Notes an event, with the present time.
    pub fn record(&self, mut event: Event) {
        // Some reasons quote a peer.
        event.reason = Detail::from(event.reason).into();
        self.metrics.event(&event);
        if matches!(event.operation, Operation::Authenticate | Operation::SourcePenalised | Operation::DeviceDisplaced)
        {
            tracing::warn!(target: "hub", "{event}");
        } else if event.operation == Operation::Invoke && event.result == ACCEPTED {
            tracing::debug!(target: "hub", "{event}");
        } else {
            tracing::info!(target: "hub", "{event}");
        }
        self.counters.queued.fetch_add(1, Ordering::Relaxed);
        self.counters.recorded.fetch_add(1, Ordering::Relaxed);
        if self.lines.try_send(line::json(event)).is_err() {
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            self.counters.lost.fetch_add(1, Ordering::Release);
            self.counters.settled.fetch_add(1, Ordering::Release);
        }
    }

    /// Whether a line that is recorded now will be written, as far as one can know.
    pub fn can_record(&self) -> bool {
        !self.counters.failing.load(Ordering::Relaxed) && self.counters.queued.load(Ordering::Relaxed) < QUEUE
    }

    /// Before something that must not happen unrecorded: an error if it could not be recorded, and that matters.
    pub fn audit(&self) -> Result<Audit, Refusal> {
        if self.required && !self.can_record() { Err(RefusalKind::AuditFailed.into()) } else { Ok(Audit(self.lost())) }
    }

    /// Whether nothing may happen that is not recorded.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// After it was recorded: an error if any line was lost meanwhile, for it may have been that one, or if the disk
    /// takes too long to tell.
    pub async fn audited(&self, audit: &Audit) -> Result<(), Refusal> {
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

    /// Lines that could not be written.
    pub fn lost(&self) -> u64 {
        self.counters.lost.load(Ordering::Acquire)
    }

    /// Lines that were written.
    pub fn written(&self) -> u64 {
        self.counters.written.load(Ordering::Relaxed)
    }

    /// What the log takes on disk, with the files that were put aside.
    pub fn bytes(&self) -> u64 {
        self.counters.bytes.load(Ordering::Relaxed)
    }
}

/// How much was lost when something began that must not happen unrecorded.
#[derive(Debug)]
pub struct Audit(u64);

impl WriterHandle {
    /// Waits until everything is with the system, which writes it to the disk in its own time.
    pub fn finish(self) {
        if self.0.join().is_err() {
            tracing::error!(target: "hub", "the activity log's thread failed");
        }
    }
}

#[cfg(test)]
mod tests;
