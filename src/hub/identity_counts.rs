//! The number of connections of each identity: those that stand by, and those that neither do nor carry a stream.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::proto::counts::decrease;
use crate::proto::id::Principal;

/// Counts connections. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct IdentityCounts(Arc<Mutex<HashMap<Principal, usize>>>);

/// One counted connection, until it is dropped.
#[derive(Debug)]
pub(super) struct CountPermit(IdentityCounts, Principal);

impl IdentityCounts {
    /// Counts one more connection of an identity, unless it has `limit` of them.
    pub(super) fn acquire(&self, principal: &Principal, limit: usize) -> Option<CountPermit> {
        let mut counts = self.lock();
        let count = counts.get(principal).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(principal.clone(), count + 1);
        Some(CountPermit(self.clone(), principal.clone()))
    }

    /// Returns the count over all identities.
    pub(super) fn total(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.0.lock()
    }
}

impl Drop for CountPermit {
    fn drop(&mut self) {
        decrease(&mut self.0.lock(), &self.1);
    }
}
