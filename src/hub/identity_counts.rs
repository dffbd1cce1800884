//! The number of connections of each identity: those that stand by, and those that neither do nor carry a stream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};

use crate::proto::counts::decrease;
use crate::proto::id::Principal;

/// Counts connections. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct IdentityCounts(Arc<Mutex<HashMap<Principal, usize>>>);

/// One counted connection, until it is dropped or released.
#[derive(Debug)]
pub(super) struct CountPermit {
    counts: IdentityCounts,
    principal: Principal,
    is_counted: AtomicBool,
}

impl IdentityCounts {
    /// Counts one more connection of an identity, unless it has `limit` of them.
    pub(super) fn acquire(&self, principal: &Principal, limit: usize) -> Option<CountPermit> {
        let mut counts = self.lock();
        let count = counts.get(principal).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(principal.clone(), count + 1);
        Some(CountPermit { counts: self.clone(), principal: principal.clone(), is_counted: AtomicBool::new(true) })
    }

    /// Returns the count over all identities.
    pub(super) fn total(&self) -> usize {
        self.lock().values().sum()
    }

    /// Returns the highest count of an identity.
    pub(super) fn most(&self) -> usize {
        self.lock().values().copied().max().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Principal, usize>> {
        self.0.lock()
    }
}

impl CountPermit {
    /// Counts the connection no longer if its identity has more than `limit` of them. Reports whether it had: of many that
    /// ask at once, only as many as exceed the limit.
    pub(super) fn release_above(&self, limit: usize) -> bool {
        let mut counts = self.counts.lock();
        let exceeds = counts.get(&self.principal).is_some_and(|count| *count > limit);
        let is_released = exceeds && self.is_counted.swap(false, Ordering::Relaxed);
        if is_released {
            decrease(&mut counts, &self.principal);
        }
        is_released
    }
}

impl Drop for CountPermit {
    fn drop(&mut self) {
        if *self.is_counted.get_mut() {
            decrease(&mut self.counts.lock(), &self.principal);
        }
    }
}
