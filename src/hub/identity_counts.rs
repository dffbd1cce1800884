//! The number of standby connections of each identity.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use crate::proto::counts::decrease;
use crate::proto::id::Principal;

/// Counts standby connections. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct StandbyCounts(Arc<Mutex<HashMap<Principal, usize>>>);

/// One counted standby connection, until it is dropped.
#[derive(Debug)]
pub(super) struct StandbyPermit(StandbyCounts, Principal);

impl StandbyCounts {
    /// Counts one more connection of an identity, unless it has `limit` of them.
    pub(super) fn acquire(&self, principal: &Principal, limit: usize) -> Option<StandbyPermit> {
        let mut counts = self.lock();
        let count = counts.get(principal).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(principal.clone(), count + 1);
        Some(StandbyPermit(self.clone(), principal.clone()))
    }

    /// Returns the count over all identities.
    pub(super) fn total(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.0.lock()
    }
}

impl Drop for StandbyPermit {
    fn drop(&mut self) {
        decrease(&mut self.0.lock(), &self.1);
    }
}
