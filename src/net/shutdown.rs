//! How a role is asked to stop: first gently, then at once; and how it is asked to read its files again.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Held by whoever runs a role, and by whoever stops it.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Take nothing new; what runs may end by itself, within the role's deadline.
    pub drain: CancellationToken,
    /// End now.
    pub now: CancellationToken,
}

impl Shutdown {
    /// Asks once more: the first time for a drain, then for an end.
    pub fn request(&self) {
        if self.drain.is_cancelled() {
            self.now.cancel();
        }
        self.drain.cancel();
    }
}

/// Held by whoever has files that may have changed, and by whoever says that they have.
#[derive(Debug, Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Asks for the files to be read again; asking twice before it is done is asking once.
    pub fn request(&self) {
        self.0.notify_one();
    }

    /// Returns when that is asked for, or has been since the last time.
    pub async fn requested(&self) {
        self.0.notified().await;
    }
}
