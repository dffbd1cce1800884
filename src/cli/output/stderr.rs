//! A queue and a thread in front of standard error. A terminal stopped with Ctrl-S, or a pipe that nobody reads, would
//! otherwise block the task that logs, and with it every stream.
//!
//! tracing-appender does not fit: when its queue is full at exit it reports that on standard output, which may carry a
//! stream.

use std::io::{self, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// The queue's capacity in messages; further ones are dropped and counted. A burst of a busy hub fits.
const QUEUE: usize = 4096;

/// The wait for further messages after the first of a batch: waking the thread for each costs more than writing it.
const BATCH_DELAY: Duration = Duration::from_millis(5);

/// A batch of this size is written without further delay.
const BATCH: usize = QUEUE / 8;

/// Size limit of messages that are written together: that of a write which no other process's can interrupt in a pipe
/// (`PIPE_BUF`).
const WRITE_SIZE: usize = 4096;

/// The limit on writing the rest of the queue at exit.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The queue of a role that has started. Without one, messages are written directly.
static QUEUED: OnceLock<Arc<Queue>> = OnceLock::new();

/// Writes one message, which includes its newline.
pub(super) fn write(message: Vec<u8>) {
    match QUEUED.get() {
        Some(queue) => queue.push(message),
        // A failure to write to standard error cannot be reported anywhere.
        None => drop(write_now(&message)),
    }
}

/// Writes to standard error. On a terminal in raw mode, as beside `ssh`, a newline alone does not return to the first
/// column.
pub(super) fn write_now(message: &[u8]) -> io::Result<()> {
    let mut stderr = io::stderr();
    if !is_raw_terminal(&stderr) {
        return stderr.write_all(message);
    }
    let lines = message.split_inclusive(|byte| *byte == b'\n');
    let returned = lines.map(|line| line.strip_suffix(b"\n").map_or(line.to_vec(), |line| [line, b"\r\n"].concat()));
    stderr.write_all(&returned.collect::<Vec<_>>().concat())
}

/// Reports whether it is a terminal that does not process its output (termios(3), OPOST).
#[cfg(unix)]
fn is_raw_terminal(stderr: &io::Stderr) -> bool {
    use rustix::termios::{OutputModes, tcgetattr};
    tcgetattr(stderr).is_ok_and(|modes| !modes.output_modes.contains(OutputModes::OPOST | OutputModes::ONLCR))
}

#[cfg(not(unix))]
fn is_raw_terminal(_: &io::Stderr) -> bool {
    false
}

/// Reports whether writing would stop this process, and its streams: it is a job in the background of a terminal that lets none
/// of those write (stty(1), tostop).
#[cfg(unix)]
fn would_stop() -> bool {
    use rustix::termios::{LocalModes, tcgetattr, tcgetpgrp};
    let stderr = io::stderr();
    let is_background = tcgetpgrp(&stderr).is_ok_and(|foreground| foreground != rustix::process::getpgrp());
    is_background && tcgetattr(&stderr).is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP))
}

#[cfg(not(unix))]
fn would_stop() -> bool {
    false
}

/// How often it is looked whether the process is in the foreground again.
const BACKGROUND_INTERVAL: Duration = Duration::from_millis(250);

/// Starts the thread that passes queued messages to the sink; `dropped_notice` words the message about lost ones. Where
/// no thread can be started, messages are written directly.
pub(super) fn start(
    sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
    dropped_notice: fn(u64) -> String,
) -> Option<Guard> {
    let queue = Arc::new(Queue::default());
    let writer = queue.clone();
    let thread = std::thread::Builder::new().name("stderr".into());
    let started = thread.spawn(move || writer.write_out(sink, dropped_notice)).is_ok();
    (started && QUEUED.set(queue.clone()).is_ok()).then_some(Guard(queue))
}

/// Flushes the queue on drop, for at most [`FLUSH_TIMEOUT`].
pub(in crate::cli) struct Guard(Arc<Queue>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.flush(FLUSH_TIMEOUT);
    }
}

/// The messages on their way to the thread that writes them.
#[derive(Default)]
struct Queue {
    state: Mutex<QueueState>,
    /// Signals the thread that there are messages, or a flush.
    ready: Condvar,
    /// Signals that a batch is written.
    written: Condvar,
}

#[derive(Default)]
struct QueueState {
    messages: Vec<Vec<u8>>,
    /// Messages dropped since the last batch.
    dropped: u64,
    /// A batch is being written.
    is_writing: bool,
    /// A flush is waiting until all are written.
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
        self.written.wait_while_for(&mut state, unwritten, limit);
    }

    /// Writes batches until the process exits; a thread blocked in a write cannot be joined.
    fn write_out(&self, mut write: impl FnMut(&[u8]) -> io::Result<()>, dropped_notice: fn(u64) -> String) {
        loop {
            let batch = self.next_batch();
            while would_stop() {
                std::thread::park_timeout(BACKGROUND_INTERVAL);
            }
            // A failure to write to standard error cannot be reported anywhere.
            join(batch).iter().for_each(|messages| drop(write(messages)));
            // Read after the batch: messages are dropped while a write blocks.
            let dropped = std::mem::take(&mut self.lock().dropped);
            if dropped > 0 {
                let _ = write(dropped_notice(dropped).as_bytes());
            }
        }
    }

    /// Waits for messages, and for those that follow within [`BATCH_DELAY`].
    fn next_batch(&self) -> Vec<Vec<u8>> {
        let mut state = self.lock();
        state.is_writing = false;
        self.written.notify_all();
        let is_empty = |state: &mut QueueState| state.messages.is_empty();
        self.ready.wait_while(&mut state, is_empty);
        let is_incomplete = |state: &mut QueueState| state.messages.len() < BATCH && !state.is_flushing;
        self.ready.wait_while_for(&mut state, is_incomplete, BATCH_DELAY);
        state.is_writing = true;
        std::mem::take(&mut state.messages)
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock()
    }
}

/// Joins messages up to [`WRITE_SIZE`]: each write is a system call, and wakes the reader.
fn join(messages: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let mut joined: Vec<Vec<u8>> = Vec::new();
    for message in messages {
        match joined.last_mut() {
            Some(last) if last.len() + message.len() <= WRITE_SIZE => last.extend(message),
            _ => joined.push(message),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_blocked_reader_costs_messages_and_blocks_no_writer() {
        let queue = Arc::new(Queue::default());
        let (written, read) = sync_channel::<String>(0);
        let writer = queue.clone();
        std::thread::spawn(move || {
            writer.write_out(
                |message| written.send(String::from_utf8_lossy(message).into_owned()).map_err(io::Error::other),
                |dropped| format!("dropped {dropped}"),
            );
        });
        // One blocks in the sink, and the queue holds all others but three.
        queue.push(b"first".to_vec());
        while !queue.lock().is_writing {
            std::thread::yield_now();
        }
        (0..QUEUE + 3).for_each(|number| queue.push(number.to_string().into_bytes()));
        queue.flush(Duration::from_millis(1));
        assert_eq!(queue.lock().messages.len(), QUEUE, "a flush is limited");
        assert_eq!(read.recv().unwrap(), "first");
        assert_eq!(read.recv().unwrap(), "dropped 3");
        let all: String = (0..QUEUE).map(|number| number.to_string()).collect();
        let mut seen = String::new();
        while seen.len() < all.len() {
            let written = read.recv().unwrap();
            assert!(written.len() <= WRITE_SIZE);
            seen += &written;
        }
        assert_eq!(seen, all);
        queue.push(b"later".to_vec());
        assert_eq!(read.recv().unwrap(), "later", "reported once");
    }
}
