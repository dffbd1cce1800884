//! What a relay holds for an end that does not take it.

use std::pin::pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use crate::net::liveness::Liveness;
use crate::proto::limits::MAX_SENT_MESSAGE_BYTES;

/// The message that each direction of a stream could not pass on at once.
#[derive(Debug, Default)]
pub struct Backlogs {
    /// From the service.
    pub to_device: Backlog,
    /// From the device.
    pub to_service: Backlog,
}

/// A message that waits for its reader, if there is one.
#[derive(Debug, Default)]
pub struct Backlog(Mutex<Option<Waiting>>);

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
        self.0.lock().clone()
    }

    /// Runs the sending of a message of this size; while it waits for its reader, it is the one that waits.
    pub async fn during<O>(&self, size: usize, sink: &Arc<Liveness>, sending: impl Future<Output = O>) -> O {
        let mut sending = pin!(sending);
        // Most messages never wait, and cost nothing here.
        if let Some(sent) = sending.as_mut().now_or_never() {
            return sent;
        }
        *self.0.lock() = Some(Waiting { bytes: memory(size), sink: sink.clone() });
        let _ends = EndOnDrop(self);
        sending.await
    }
}

/// The memory that a message of this size takes: itself, and the part that is on its way in the buffers of WebSocket and
/// TLS.
fn memory(size: usize) -> u64 {
    (size + 2 * size.min(MAX_SENT_MESSAGE_BYTES)) as u64
}

struct EndOnDrop<'a>(&'a Backlog);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}
