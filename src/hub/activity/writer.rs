//! The log's writer thread. While the log cannot be written, lines are dropped and counted; the writer retries and then
//! logs how many were lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::store::Store;
use super::{Counters, QUEUE, line};
use crate::hub::event::{Event, Operation};
use crate::net::os::clock;

/// The time between attempts after a write error.
const RETRY: Duration = Duration::from_secs(1);

/// The time to collect further lines after the first, unless streams wait for their lines: waking up for each would
/// cost a busy hub more than writing it.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// The interval of rotation and retention by age.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// The thread's state.
pub(super) struct LogWriter {
    store: Store,
    counters: Arc<Counters>,
    required: bool,
    /// Lost lines that were reported in the log.
    reported_lost: u64,
    /// The next attempt while writing fails.
    retry: Option<Instant>,
    maintained_at: Instant,
}

impl LogWriter {
    /// A writer to an open store.
    pub(super) fn new(store: Store, counters: Arc<Counters>, required: bool) -> Self {
        counters.bytes.store(store.bytes(), Ordering::Relaxed);
        Self { store, counters, required, reported_lost: 0, retry: None, maintained_at: clock::now() }
    }

    /// Writes until every sender is dropped.
    pub(super) fn run(mut self, queue: &Receiver<String>) {
        loop {
            match queue.recv_timeout(RETRY) {
                Ok(first) => {
                    if !self.required {
                        std::thread::park_timeout(BATCH_DELAY);
                    }
                    std::iter::once(first).chain(queue.try_iter().take(QUEUE)).for_each(|line| self.process(&line));
                }
                Err(RecvTimeoutError::Timeout) => self.retry_pending(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.maintained_at.elapsed() >= MAINTENANCE_INTERVAL {
                self.maintained_at = clock::now();
                self.store.maintain(clock::now_utc());
            }
            self.counters.bytes.store(self.store.bytes(), Ordering::Relaxed);
        }
        if self.report_lost().is_err() {
            let lost = self.unreported();
            tracing::error!(target: "hub", "{lost} lines of the activity log were lost: it could not be written");
        }
    }

    fn process(&mut self, line: &str) {
        self.counters.queued.fetch_sub(1, Ordering::Relaxed);
        self.write_or_drop(line);
        self.counters.settled.fetch_add(1, Ordering::Release);
    }

    fn write_or_drop(&mut self, line: &str) {
        if self.retry.is_none_or(|at| clock::now() >= at) && self.try_write(Some(line)) {
            return;
        }
        self.counters.lost.fetch_add(1, Ordering::Release);
    }

    /// Without new lines: reports lost lines, or checks whether the disk is writable again.
    fn retry_pending(&mut self) {
        if self.unreported() > 0 || self.retry.is_some() {
            self.try_write(None);
        }
    }

    /// Reports lost lines, then writes this one. Reports whether that succeeded.
    fn try_write(&mut self, line: Option<&str>) -> bool {
        let reopened = if self.retry.is_some() { self.store.reopen() } else { Ok(()) };
        let lost = self.unreported();
        let reported = reopened.and_then(|()| self.report_lost());
        match reported.and_then(|()| line.map_or(Ok(()), |line| self.append(line))) {
            Ok(()) => {
                if self.retry.take().is_some() {
                    self.counters.failing.store(false, Ordering::Relaxed);
                    tracing::warn!(target: "hub", "the activity log is written again; {lost} lines were lost");
                }
                true
            }
            Err(error) => {
                if self.retry.replace(clock::now() + RETRY).is_none() {
                    self.counters.failing.store(true, Ordering::Relaxed);
                    let streams = if self.required { "new streams are refused" } else { "streams continue without it" };
                    tracing::error!(target: "hub", %error, "the activity log cannot be written; {streams}");
                }
                false
            }
        }
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.store.append(line, clock::now_utc())?;
        self.counters.written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Writes one line that counts the lost ones before it.
    fn report_lost(&mut self) -> io::Result<()> {
        let lost = self.unreported();
        if lost > 0 {
            self.append(&line::json(Event { lost: Some(lost), ..Event::new(Operation::ActivityLost, "lost") }))?;
            self.reported_lost += lost;
        }
        Ok(())
    }

    fn unreported(&self) -> u64 {
        self.counters.lost.load(Ordering::Acquire) - self.reported_lost
    }
}
