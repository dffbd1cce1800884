//! Tasks with an owner that waits for them, and aborts them after a deadline.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The tasks of this process that ended with a panic. Each one is a defect, which the metrics show.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// The number of tasks of this process that ended with a panic.
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
    /// Spawns a task. A panic ends only that task, and is counted.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let abort = self.abort.clone();
        // Boxed: otherwise the future's memory is taken twice, in this frame's future and in the task.
        let task = Box::pin(task);
        self.tracker.spawn(async move {
            tokio::select! {
                () = abort.cancelled() => {}
                // The task owns what it panicked over; other tasks are not affected.
                done = AssertUnwindSafe(task).catch_unwind() => if done.is_err() {
                    PANICS.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// The number of running tasks.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Waits until all tasks have ended by themselves.
    pub async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
        self.tracker.reopen();
    }

    /// Aborts all tasks without waiting for them, for a `drop`, which cannot wait.
    pub fn abort(&self) {
        self.abort.cancel();
    }

    /// Waits for up to `grace` until all tasks have ended, then aborts the rest.
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
        assert!(other.load(Ordering::Relaxed), "a running task continues");
        assert!(saw.1.load(Ordering::Relaxed), "new tasks start");
        assert_eq!((tasks.count(), panics()), (0, before + 1));
    }
}
