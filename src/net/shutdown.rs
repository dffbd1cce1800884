//! Requests to a running role: to shut down, first gracefully and then at once, and to reload its files.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::text;

/// The shutdown signal of one role. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Accept nothing new; running streams may end by themselves, within the role's deadline.
    pub drain: CancellationToken,
    /// End all streams now.
    pub now: CancellationToken,
    /// The first signal, by its name.
    first: Arc<OnceLock<&'static str>>,
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
        let _ = self.first.set(signal);
        self.request();
    }

    /// The signal that requested the shutdown.
    pub fn signal(&self) -> Option<&'static str> {
        self.first.get().copied()
    }

    /// Describes what the first signal does to running streams, and how to end them at once.
    pub fn describe_drain(&self, streams: usize, limit: Duration) -> String {
        let (it, running) = (if streams == 1 { "it" } else { "them" }, text::count(streams, "stream"));
        let going_on = format!("{running} may go on for {} s", limit.as_secs_f64().ceil());
        match self.signal() {
            None => going_on,
            // A key that is at hand.
            Some("Ctrl-C") => format!("{going_on}; Ctrl-C again ends {it}"),
            Some(signal) => format!("{going_on}; a second {signal} ends {it}"),
        }
    }

    /// The signal that ended all streams.
    pub fn cause(&self) -> Option<&'static str> {
        self.cause.get().copied()
    }
}

/// The request to end every stream of a role. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct StreamStop {
    requested: CancellationToken,
    /// The time that streams had to end by themselves, if it is over.
    overdue: Arc<OnceLock<Duration>>,
}

impl StreamStop {
    /// Ends all streams, because a person wants that or none is left.
    pub fn request(&self) {
        self.requested.cancel();
    }

    /// Ends all streams, which had this time to end by themselves.
    pub fn request_after(&self, limit: Duration) {
        let _ = self.overdue.set(limit);
        self.request();
    }

    /// Returns once that was requested.
    pub async fn requested(&self) {
        self.requested.cancelled().await;
    }

    /// Reports whether that was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Returns one that ends a single stream, and that this one requests as well.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { requested: self.requested.child_token(), overdue: self.overdue.clone() }
    }

    /// Words why the stream ends: for this end, and for its peer, to which it is the other end that leaves.
    pub fn refusals(&self) -> (Refusal, Refusal) {
        let peers = "the program at the other end was told to end";
        match self.overdue.get() {
            None => (RefusalKind::LocalShutdown.into(), Refusal::new(RefusalKind::PeerGone, peers)),
            Some(limit) => {
                let over = format!("its {} s for that are over", limit.as_secs_f64().ceil());
                let peers = Refusal::new(RefusalKind::PeerGone, format!("{peers}, and {over}"));
                (Refusal::new(RefusalKind::LocalShutdown, over), peers)
            }
        }
    }
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
