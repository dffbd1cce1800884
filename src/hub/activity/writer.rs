//! The log's writer thread. While the log cannot be written, lines are dropped and counted; the writer retries and then
//! logs how many were lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::budgets::Budgets;
use super::store::{Destination, Stores, WriteFailed};
use super::{Counters, QUEUE, WrittenLine, line, print};
use crate::hub::event::{Event, Operation};
use crate::net::os::clock;
use crate::proto::text;

/// The time between attempts after a write error.
const RETRY: Duration = Duration::from_secs(1);

/// The time to collect further lines after the first, unless streams wait for their lines: waking up for each would
/// cost a busy hub more than writing it.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// The size of lines that are written together, in bytes: dozens of lines for one system call.
const BATCH_BYTES: usize = 16 * 1024;

/// The interval of rotation and retention by age, and of the counts of events beyond their budgets.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// The thread's state.
pub(super) struct LogWriter {
    stores: Stores,
    budgets: Arc<Mutex<Budgets>>,
    counters: Arc<Counters>,
    required: bool,
    /// Lost lines that were reported in the log.
    reported_lost: u64,
    /// Lines about changes of identities that are settled by the next sync: their number, and how many of them are written.
    unsynced: (usize, usize),
    /// The next attempt while writing fails.
    retry: Option<Instant>,
    maintained_at: Instant,
}

impl LogWriter {
    /// A writer to an open store.
    pub(super) fn new(stores: Stores, budgets: Arc<Mutex<Budgets>>, counters: Arc<Counters>, required: bool) -> Self {
        counters.bytes.store(stores.bytes(), Ordering::Relaxed);
        let (unsynced, maintained_at) = ((0, 0), clock::now());
        Self { stores, budgets, counters, required, reported_lost: 0, unsynced, retry: None, maintained_at }
    }

    /// Writes until every sender is dropped.
    pub(super) fn run(mut self, queue: &Receiver<WrittenLine>) {
        loop {
            match queue.recv_timeout(RETRY) {
                Ok(first) => {
                    if !self.required {
                        std::thread::park_timeout(BATCH_DELAY);
                    }
                    self.process(first, queue.try_iter().take(QUEUE));
                }
                Err(RecvTimeoutError::Timeout) => self.retry_pending(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.sync();
            if self.maintained_at.elapsed() >= MAINTENANCE_INTERVAL {
                self.maintained_at = clock::now();
                self.stores.maintain(clock::now_utc());
                // What cannot be written now is counted further.
                if self.retry.is_none() {
                    let omitted = self.budgets.lock().take_omitted(self.maintained_at);
                    self.report_omitted(omitted);
                }
            }
            self.counters.bytes.store(self.stores.bytes(), Ordering::Relaxed);
        }
        let omitted = self.budgets.lock().take_all_omitted();
        self.report_omitted(omitted);
        if self.report_lost().is_err() {
            let lost = self.unreported();
            tracing::error!(target: "hub", "lost {} of the activity log: it could not be written", text::count(lost, "line"));
        }
    }

    /// Writes the first line and those behind it, in as few writes as their size allows.
    fn process(&mut self, first: WrittenLine, others: impl Iterator<Item = WrittenLine>) {
        let (mut batch, mut count, mut destination) = (String::new(), 0, first.destination);
        for line in std::iter::once(first).chain(others) {
            self.counters.queued.fetch_sub(1, Ordering::Relaxed);
            let is_alone = line.destination != destination || destination == Destination::Administration;
            if count > 0 && (is_alone || batch.len() + line.json.len() > BATCH_BYTES) {
                self.write_or_drop(&batch, count, destination);
                (batch, count) = (String::with_capacity(BATCH_BYTES), 0);
            }
            destination = line.destination;
            batch += &line.json;
            count += 1;
        }
        if count > 0 {
            self.write_or_drop(&batch, count, destination);
        }
    }

    /// Writes what became of the events beyond their budgets.
    fn report_omitted(&mut self, omitted: Vec<Event>) {
        for event in omitted {
            print(&event);
            self.counters.recorded.fetch_add(1, Ordering::Relaxed);
            let destination = Destination::of(&event);
            self.write_or_drop(&line::json(event), 1, destination);
        }
    }

    fn write_or_drop(&mut self, lines: &str, count: usize, destination: Destination) {
        let may_write = self.retry.is_none_or(|at| clock::now() >= at);
        let written = if may_write { self.try_write(Some((lines, count, destination))) } else { 0 };
        self.counters.lost.fetch_add((count - written) as u64, Ordering::Release);
        if destination == Destination::Administration {
            self.unsynced = (self.unsynced.0 + count, self.unsynced.1 + written);
        } else {
            self.counters.settled.fetch_add(count as u64, Ordering::Release);
        }
    }

    /// Syncs the lines about changes of identities, all those of a batch at once. What cannot be synced counts as lost: the
    /// kernel may have dropped it.
    fn sync(&mut self) {
        let (count, mut written) = std::mem::take(&mut self.unsynced);
        if written > 0
            && let Err(error) = self.stores.sync_administration()
        {
            self.counters.lost.fetch_add(written as u64, Ordering::Release);
            written = 0;
            self.fail(&error);
        }
        self.counters.changes_lost.fetch_add((count - written) as u64, Ordering::Relaxed);
        if count > 0 {
            self.counters.settled.fetch_add(count as u64, Ordering::Release);
            self.counters.synced.send_modify(|synced| *synced += count as u64);
        }
    }

    /// Without new lines: reports lost lines, or checks whether the disk is writable again.
    fn retry_pending(&mut self) {
        if self.unreported() > 0 || self.retry.is_some() {
            self.try_write(None);
        }
    }

    /// Reports lost lines, then writes these. Returns the number of these that are written.
    fn try_write(&mut self, lines: Option<(&str, usize, Destination)>) -> usize {
        let reopened = if self.retry.is_some() { self.stores.reopen() } else { Ok(()) };
        let (lost, count) = (self.unreported(), lines.map_or(0, |(_, count, _)| count));
        let reported = reopened.and_then(|()| self.report_lost()).map_err(WriteFailed::from);
        match reported.and_then(|()| lines.map_or(Ok(()), |(lines, count, to)| self.append(lines, count, to))) {
            Ok(()) => {
                if self.retry.take().is_some() {
                    self.counters.failing.store(false, Ordering::Relaxed);
                    tracing::warn!(target: "hub", "the activity log is written again; lost {}", text::count(lost, "line"));
                }
                count
            }
            Err(WriteFailed { written, error }) => {
                self.fail(&error);
                written
            }
        }
    }

    /// Has the log count as failing until it is written again, and says so the first time.
    fn fail(&mut self, error: &io::Error) {
        if self.retry.replace(clock::now() + RETRY).is_none() {
            self.counters.failing.store(true, Ordering::Relaxed);
            let streams = if self.required { "new streams are refused" } else { "streams continue without it" };
            tracing::error!(target: "hub", %error, "the activity log cannot be written; {streams}");
        }
    }

    fn append(&mut self, lines: &str, count: usize, destination: Destination) -> Result<(), WriteFailed> {
        let appended = self.stores.append(lines, destination, clock::now_utc());
        let written = appended.as_ref().map_or_else(|failed| failed.written, |()| count);
        self.counters.written.fetch_add(written as u64, Ordering::Relaxed);
        appended
    }

    /// Writes one line that counts the lost ones before it.
    fn report_lost(&mut self) -> io::Result<()> {
        let lost = self.unreported();
        if lost > 0 {
            let event = Event { lost: Some(lost), ..Event::new(Operation::ActivityLost, "lost") };
            self.append(&line::json(event), 1, Destination::Log).map_err(|failed| failed.error)?;
            self.reported_lost += lost;
        }
        Ok(())
    }

    fn unreported(&self) -> u64 {
        self.counters.lost.load(Ordering::Acquire) - self.reported_lost
    }
}
