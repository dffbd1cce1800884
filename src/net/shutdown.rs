//! Requests to a running role: to shut down, first gracefully and then at once, and to reload its files.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::proto::text;

/// The shutdown signal of one role. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Accept nothing new; running streams may end by themselves, within the role's deadline.
    pub drain: CancellationToken,
    /// End all streams now.
    pub now: CancellationToken,
    /// The signal that ended all streams, by its name.
    cause: Arc<OnceLock<&'static str>>,
}

impl Shutdown {
    /// Requests the next step: the first call drains, the second ends at once.
    pub fn request(&self) {
        if self.drain.is_cancelled() {
            self.now.cancel();
        }
        self.drain.cancel();
    }

    /// Requests the next step because of a signal.
    pub fn request_by(&self, signal: &'static str) {
        if self.drain.is_cancelled() {
            let _ = self.cause.set(signal);
        }
        self.request();
    }

    /// The signal that ended all streams.
    pub fn cause(&self) -> Option<&'static str> {
        self.cause.get().copied()
    }
}

/// Describes what a first signal does to running streams, and how to end them at once.
pub fn describe_drain(streams: usize, limit: Duration) -> String {
    let (it, running) = (if streams == 1 { "it" } else { "them" }, text::count(streams, "stream"));
    let seconds = limit.as_secs_f64().ceil();
    format!("{running} may go on for {seconds} s; Ctrl-C again ends {it}")
}

/// The reload signal of one role. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Requests a reload of the files. Requests before the next [`Self::requested`] count as one.
    pub fn request(&self) {
        self.0.notify_one();
    }

    /// Returns once a reload was requested since the last call.
    pub async fn requested(&self) {
        self.0.notified().await;
    }
}
