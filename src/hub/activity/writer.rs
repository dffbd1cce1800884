//! The thread that writes. When it cannot, lines are dropped and counted; it keeps trying, and tells how many.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::store::Store;
use super::{Counters, QUEUE, line};
use crate::hub::broker::{Event, Operation};
use crate::net::os::clock;

/// A disk that failed is tried again this often, however many lines there are.
const RETRY: Duration = Duration::from_secs(1);

/// After the first of several lines, the next are waited for so long, unless a stream waits for its line: to be woken for
/// each costs a busy hub more than to write it.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// How often files are looked at for their age.
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(60);

/// The thread's state.
pub(super) struct LogWriter {
    store: Store,
    counters: Arc<Counters>,
    required: bool,
    /// Lost lines that the log has told of.
    reported_lost: u64,
    /// While writing fails: when to try again.
    retry: Option<Instant>,
    maintained_at: Instant,
}

impl LogWriter {
    /// A log that can be written, as far as is known.
    pub(super) fn new(store: Store, counters: Arc<Counters>, required: bool) -> Self {
        counters.bytes.store(store.bytes(), Ordering::Relaxed);
        Self { store, counters, required, reported_lost: 0, retry: None, maintained_at: clock::now() }
    }

    /// Writes until nobody is left who could record anything.
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
            tracing::error!(target: "hub", "{lost} lines of the activity log are lost: it could not be written");
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

    /// Lines may have been lost, or the disk may be writable again, without any new line.
    fn retry_pending(&mut self) {
        if self.unreported() > 0 || self.retry.is_some() {
            self.try_write(None);
        }
    }

    /// Tells what was lost before this line, and writes it. Takes note of how that went.
    fn try_write(&mut self, line: Option<&str>) -> bool {
        let reopened = if self.retry.is_some() { self.store.reopen() } else { Ok(()) };
        let lost = self.unreported();
        let reported = reopened.and_then(|()| self.report_lost());
        match reported.and_then(|()| line.map_or(Ok(()), |line| self.append(line))) {
            Ok(()) => {
                if self.retry.take().is_some() {
                    self.counters.failing.store(false, Ordering::Relaxed);
                    tracing::warn!(target: "hub", "the activity log is written again; {lost} lines of it are lost");
                }
                true
            }
            Err(error) => {
                if self.retry.replace(clock::now() + RETRY).is_none() {
                    self.counters.failing.store(true, Ordering::Relaxed);
                    let streams = if self.required { "no new stream is let through" } else { "streams go on" };
                    tracing::error!(target: "hub", %error, "the activity log cannot be written; {streams} meanwhile");
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

    /// One line about all those that are missing before it.
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
