//! Tasks with an owner: every one is waited for, and cut off when the owner's patience is over.

use std::future::Future;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of one role. Clones own the same tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    cut: CancellationToken,
}

impl Tasks {
    /// Starts one more.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tracker.spawn(async move {
            tokio::select! {
                () = cut.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until the last one has ended by itself.
    pub async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Gives them a moment to end by themselves, then ends them.
    pub async fn end(self, grace: Duration) {
        if timeout(grace, self.ended()).await.is_err() {
            self.cut.cancel();
            self.ended().await;
        }
    }
}
