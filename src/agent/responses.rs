//! The responses to requests from the control connection, on their way to it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::proto::message::StreamResponse;

/// A response that is still to be sent, unless its attempt is superseded: it would answer the repetition.
pub(super) struct QueuedResponse {
    pub(super) superseded: Arc<CancellationToken>,
    pub(super) response: StreamResponse,
}

/// Queues the responses of one attempt.
pub(super) struct ResponseSender {
    superseded: Arc<CancellationToken>,
    queue: mpsc::Sender<QueuedResponse>,
}

impl ResponseSender {
    /// Creates the sender of an attempt.
    pub(super) fn new(superseded: Arc<CancellationToken>, queue: mpsc::Sender<QueuedResponse>) -> Self {
        Self { superseded, queue }
    }

    /// Queues a response; `None` if the control connection has ended.
    pub(super) async fn send(&self, response: StreamResponse) -> Option<()> {
        self.queue.send(QueuedResponse { superseded: self.superseded.clone(), response }).await.ok()
    }
}
