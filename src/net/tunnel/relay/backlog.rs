//! What a relay holds for an end that does not take it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::net::liveness::Liveness;
use crate::proto::limits::MAX_SENT_MESSAGE_BYTES;

/// The bytes that wait for readers, of all streams.
#[derive(Debug, Default)]
pub struct WaitingBytes {
    sum: AtomicU64,
    /// The sum that is waited for.
    alarm: AtomicU64,
    reached: Notify,
}

impl WaitingBytes {
    /// Returns the number of bytes that wait now.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// Waits until there are this many more than now. Returns earlier at times; for one task.
    pub async fn rise_by(&self, bytes: u64) {
        self.alarm.store(self.sum().saturating_add(bytes), Ordering::Relaxed);
        self.reached.notified().await;
    }

    fn add(&self, bytes: u64) {
        let before = self.sum.fetch_add(bytes, Ordering::Relaxed);
        let alarm = self.alarm.load(Ordering::Relaxed);
        if before < alarm && alarm <= before + bytes {
            self.reached.notify_one();
        }
    }
}

/// The message that each direction of a stream could not pass on at once.
#[derive(Debug, Default)]
pub struct Backlogs {
    /// From the service.
    pub to_device: Backlog,
    /// From the device.
    pub to_service: Backlog,
}

impl Backlogs {
    /// Creates those of a stream whose bytes count there.
    pub fn new(sum: &Arc<WaitingBytes>) -> Self {
        let [to_device, to_service] = [sum.clone(), sum.clone()].map(|sum| Backlog { sum, ..Backlog::default() });
        Self { to_device, to_service }
    }
}

/// A message that waits for its reader, if there is one.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: Mutex<Option<Waiting>>,
    sum: Arc<WaitingBytes>,
}

/// A message that waits for its reader.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// The memory that it takes here, in bytes.
    pub bytes: u64,
    sink: Arc<Liveness>,
}

impl Waiting {
    /// Returns the number of bytes that were written to the reader's connection so far.
    pub fn written(&self) -> u64 {
        self.sink.written()
    }
}

impl Backlog {
    /// Returns the message that waits now.
    pub fn waiting(&self) -> Option<Waiting> {
        self.waiting.lock().clone()
    }

    /// Runs the sending of a message of this size; while it waits for its reader, it is the one that waits.
    pub async fn during<O>(&self, size: usize, sink: &Arc<Liveness>, sending: impl Future<Output = O>) -> O {
        let mut sending = pin!(sending);
        // Most messages never wait, and cost nothing here.
        if let Some(sent) = sending.as_mut().now_or_never() {
            return sent;
        }
        let bytes = memory(size);
        *self.waiting.lock() = Some(Waiting { bytes, sink: sink.clone() });
        let _ends = EndOnDrop(self, bytes);
        self.sum.add(bytes);
        sending.await
    }
}

/// The memory that a message of this size takes: itself, and the part that is on its way in the buffers of WebSocket and
/// TLS.
fn memory(size: usize) -> u64 {
    (size + 2 * size.min(MAX_SENT_MESSAGE_BYTES)) as u64
}

/// Ends the wait of a message of this size.
struct EndOnDrop<'a>(&'a Backlog, u64);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        *self.0.waiting.lock() = None;
        self.0.sum.sum.fetch_sub(self.1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::Pin;

    use tokio::time::{Duration, timeout};

    use super::*;
    use crate::net::liveness::LivenessIo;

    #[tokio::test(start_paused = true)]
    async fn bytes_count_while_they_wait_and_their_rise_is_noticed() {
        const SECOND: Duration = Duration::from_secs(1);
        let (_, sink) = LivenessIo::new(tokio::io::sink());
        let sum = Arc::new(WaitingBytes::default());
        let [one, other] = [Backlogs::new(&sum), Backlogs::new(&sum)];
        let begin = |backlog| Box::pin(Backlog::during(backlog, 100, &sink, pending::<()>()));
        let mut first: Pin<Box<_>> = begin(&one.to_device);
        let mut second: Pin<Box<_>> = begin(&other.to_service);
        let mut rise = pin!(timeout(SECOND, sum.rise_by(600)));
        assert!(futures_util::poll!(rise.as_mut()).is_pending());
        assert!(futures_util::poll!(first.as_mut()).is_pending());
        assert!(futures_util::poll!(rise.as_mut()).is_pending(), "half of it");
        assert!(futures_util::poll!(second.as_mut()).is_pending());
        assert!(rise.await.is_ok() && sum.sum() == 600);
        drop((first, second));
        assert_eq!(sum.sum(), 0);
        other.to_service.during(100, &sink, async {}).await;
        assert!(timeout(SECOND, sum.rise_by(1)).await.is_err(), "what does not wait does not count");
    }
}
