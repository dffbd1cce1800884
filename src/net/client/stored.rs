//! The identity that the machine has stored: while a role runs, it may become another one than its client's.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

use super::Client;

/// The interval of looking for another identity: a person who has just joined waits for it.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// When the machine's identity was stored, if there is one. A program's own identity never changes.
#[derive(Clone, Default)]
pub struct StoredAt(Option<Arc<dyn Fn() -> Option<SystemTime> + Send + Sync>>);

impl StoredAt {
    /// Reads it with this function.
    pub fn new(read: impl Fn() -> Option<SystemTime> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(read)))
    }

    /// Returns when the identity was stored.
    pub fn read(&self) -> Option<SystemTime> {
        self.0.as_ref().and_then(|read| read())
    }

    /// Returns once the identity was stored again since then, with when that was.
    pub async fn changed(&self, before: Option<SystemTime>) -> Option<SystemTime> {
        let Some(read) = &self.0 else { return pending().await };
        loop {
            let stored_at = read();
            if stored_at != before {
                return stored_at;
            }
            sleep(CHECK_INTERVAL).await;
        }
    }
}

impl fmt::Debug for StoredAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredAt").field(&self.read()).finish()
    }
}

/// What a role must take up of an identity that was stored again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityChange {
    /// Another key, or another id.
    Key,
    /// Another fleet, or none any more.
    Fleet,
}

impl Client {
    /// Says what a client of the stored identity has that this one has not; nothing if it need not take its place.
    pub fn change_to(&self, stored: &Self) -> Option<IdentityChange> {
        if !stored.has_same_key(self) {
            return Some(IdentityChange::Key);
        }
        (stored.fleet_keys() != self.fleet_keys()).then_some(IdentityChange::Fleet)
    }
}
