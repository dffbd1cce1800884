//! How a role is asked to stop: first gently, then at once.

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
    pub fn ask(&self) {
        if self.drain.is_cancelled() {
            self.now.cancel();
        }
        self.drain.cancel();
    }
}
