//! Tasks with an owner: every one is waited for, and cut off when the owner's patience is over.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tasks of this process that ended with a panic: each is a defect, and must be seen.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many tasks ended with a panic.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// The tasks of one role. Clones own the same tasks.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    abort: CancellationToken,
}

impl Tasks {
    /// Starts one more.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        // In its own place, or it would take its room twice: where it came from, and where it runs.
        let task = Box::pin(task);
        self.tracker.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                // What it panicked over was its own: the others go on.
                done = AssertUnwindSafe(task).catch_unwind() => if done.is_err() {
                    PANICS.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until the last one has ended by itself.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Ends them, without waiting until they have: for a `drop`, which cannot wait.
    pub fn abort(&self) {
        self.abort.cancel();
    }

    /// Gives them a moment to end by themselves, then ends them.
    pub async fn shutdown(self, grace: Duration) {
        if timeout(grace, self.wait()).await.is_err() {
            self.abort.cancel();
            self.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_own_task_and_is_counted() {
        let (tasks, before) = (Tasks::default(), panics());
        let (go, gone) = oneshot::channel();
        let (other, survived) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let saw = (other.clone(), survived.clone());
        tasks.spawn(async move {
            gone.await.unwrap();
            saw.0.store(true, Ordering::Relaxed);
        });
        tasks.spawn(async { panic!("this is a test") });
        while panics() == before {
            tokio::task::yield_now().await;
        }
        tasks.spawn(async move { survived.store(true, Ordering::Relaxed) });
        go.send(()).unwrap();
        tasks.wait().await;
        assert!(other.load(Ordering::Relaxed), "one that ran goes on");
        assert!(saw.1.load(Ordering::Relaxed), "and new ones start");
        assert_eq!((tasks.count(), panics()), (0, before + 1));
    }
}
