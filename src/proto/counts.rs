//! PURE. Counts by key: a key that nothing counts for is not kept.

use std::collections::HashMap;
use std::hash::Hash;

/// Takes one off the count of a key, if it has one.
pub fn decrease<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}
