//! Standard error that never holds up whoever writes to it: a terminal that was stopped with Ctrl-S, or a pipe that
//! nobody reads, would else stop the task that logs, and with it every stream.
//!
//! Not tracing-appender: when its queue is full at the end it says so on standard output, which may be a stream.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing::Level;

use super::logging;
use super::stream_monitor::Table;

/// Messages that wait to be written; the next ones are dropped, and counted. A burst of a busy hub fits.
const QUEUE: usize = 4096;

/// After the first of several messages, the next are waited for so long, and written with it: to be woken for each costs
/// more than to write it.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// So many are not waited for longer.
const BATCH: usize = QUEUE / 8;

/// At the end, what still waits is given this long.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Where messages go once a role has started; until then, and for commands that end by themselves, straight out.
static QUEUED: OnceLock<Arc<Queue>> = OnceLock::new();

/// Writes one message, its newline included.
pub(super) fn write(message: Vec<u8>) {
    match QUEUED.get() {
        Some(queue) => queue.push(message),
        // Nobody is left who could be told that it failed.
        None => drop(io::stderr().write_all(&message)),
    }
}

/// From here on a role's messages are queued, and written above its table.
pub(super) fn start(is_role: bool, table: Option<Table>) -> Option<Guard> {
    let queue = Arc::new(Queue::default());
    let writer = queue.clone();
    let write = move |message: &[u8]| match &table {
        Some(table) => table.above(|| io::stderr().write_all(message)),
        None => io::stderr().write_all(message),
    };
    let thread = std::thread::Builder::new().name("stderr".into());
    // Without a thread it is as for other commands.
    let started = is_role && thread.spawn(move || writer.write_out(write)).is_ok();
    (started && QUEUED.set(queue.clone()).is_ok()).then_some(Guard(queue))
}

/// Waits, when dropped, until everything is written, but not for ever.
pub(super) struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush(FLUSH_TIMEOUT);
    }
}

/// Messages between those who have them and the thread that writes them.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    /// There is something to do for the thread.
    ready: Condvar,
    /// It has done it.
    written: Condvar,
}

#[derive(Default)]
struct QueueState {
    messages: Vec<Vec<u8>>,
    /// Dropped since the last ones that were written.
    dropped: u64,
    /// Some are being written.
    is_writing: bool,
    /// Somebody waits until all are.
    is_flushing: bool,
}

impl Queue {
    fn push(&self, message: Vec<u8>) {
        let mut state = self.lock();
        if state.messages.len() == QUEUE {
            state.dropped += 1;
            return;
        }
        state.messages.push(message);
        if matches!(state.messages.len(), 1 | BATCH) {
            self.ready.notify_one();
        }
    }

    fn flush(&self, limit: Duration) {
        let unwritten = |state: &mut QueueState| state.is_writing || !state.messages.is_empty();
        let mut state = self.lock();
        state.is_flushing = true;
        self.ready.notify_one();
        drop(self.written.wait_timeout_while(state, limit, unwritten));
    }

    /// For ever: a thread that may be stuck is left to the end of the process.
    fn write_out(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>) {
        loop {
            // Nobody is left who could be told that it failed.
            self.next_batch().iter().for_each(|message| drop(write(message)));
            // Asked for only now: as long as that one was stuck, others were dropped.
            let dropped = std::mem::take(&mut self.lock().dropped);
            if dropped > 0 {
                let _ = write(dropped_notice(dropped).as_bytes());
            }
        }
    }

    /// Those that come at about the same time.
    fn next_batch(&self) -> Vec<Vec<u8>> {
        let mut state = self.lock();
        state.is_writing = false;
        self.written.notify_all();
        let is_empty = |state: &mut QueueState| state.messages.is_empty();
        state = self.ready.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner);
        let is_incomplete = |state: &mut QueueState| state.messages.len() < BATCH && !state.is_flushing;
        let gathered =
            self.ready.wait_timeout_while(state, BATCH_DELAY, is_incomplete).unwrap_or_else(PoisonError::into_inner);
        state = gathered.0;
        state.is_writing = true;
        std::mem::take(&mut state.messages)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn dropped_notice(dropped: u64) -> String {
    let message = format!("{dropped} messages were dropped: nobody read them");
    if logging::is_json() {
        return logging::json(Level::WARN, "devstream", &message, serde_json::Map::new()) + "\n";
    }
    format!("devstream: warning: {message}\n")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_reader_that_stops_costs_messages_and_nothing_else() {
        let queue = Arc::new(Queue::default());
        let (written, read) = sync_channel::<String>(0);
        let writer = queue.clone();
        std::thread::spawn(move || {
            writer.write_out(|message| {
                written.send(String::from_utf8_lossy(message).into_owned()).map_err(io::Error::other)
            });
        });
        // One is stuck on its way to the reader, and all the others but three wait.
        queue.push(b"first".to_vec());
        while !queue.lock().is_writing {
            std::thread::yield_now();
        }
        (0..QUEUE + 3).for_each(|number| queue.push(number.to_string().into_bytes()));
        queue.flush(Duration::from_millis(1));
        assert_eq!(queue.lock().messages.len(), QUEUE, "a flush has an end");
        assert_eq!(read.recv().unwrap(), "first");
        assert_eq!(read.recv().unwrap(), "devstream: warning: 3 messages were dropped: nobody read them\n");
        (0..QUEUE).for_each(|number| assert_eq!(read.recv().unwrap(), number.to_string()));
        queue.push(b"later".to_vec());
        assert_eq!(read.recv().unwrap(), "later", "told once");
    }
}
