//! A map that evicts its oldest entries: protocol state that peers can add to stays bounded.
//!
//! Not the `lru` crate: its table has room for the full capacity from the start, and entries here age by insertion, not
//! by use.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// A map of at most `capacity` entries in insertion order. A removed entry counts until it would have been the oldest.
#[derive(Debug)]
pub struct BoundedMap<K, V> {
    capacity: usize,
    entries: HashMap<K, (u64, V)>,
    /// The keys with their insertion numbers, oldest first, removed ones included.
    order: VecDeque<(u64, K)>,
    next_number: u64,
}

impl<K: Clone + Eq + Hash, V> BoundedMap<K, V> {
    /// An empty map. Memory grows with use.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, entries: HashMap::new(), order: VecDeque::new(), next_number: 0 }
    }

    /// Inserts an entry and evicts the oldest one if the map is full. A present key keeps its value and age.
    pub fn insert(&mut self, key: K, value: V) {
        if self.entries.contains_key(&key) {
            return;
        }
        while self.order.len() >= self.capacity.max(1) {
            self.evict_oldest();
        }
        let number = self.next_number;
        self.next_number += 1;
        self.order.push_back((number, key.clone()));
        self.entries.insert(key, (number, value));
    }

    /// Evicts the oldest entries for as long as they are expired.
    pub fn evict_while(&mut self, is_expired: impl Fn(&V) -> bool) {
        while let Some((number, key)) = self.order.front() {
            let entry = self.entries.get(key).filter(|(current, _)| current == number);
            if entry.is_some_and(|(_, value)| !is_expired(value)) {
                break;
            }
            self.evict_oldest();
        }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|(_, value)| value)
    }

    /// Returns the value of a key, to be changed. The entry keeps its age.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|(_, value)| value)
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Reports whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reports whether a key is present.
    pub fn contains(&self, key: &K) -> bool {
        self.entries.contains_key(key)
    }

    /// Removes a key and returns its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|(_, value)| value)
    }

    fn evict_oldest(&mut self) {
        if let Some((number, key)) = self.order.pop_front()
            && self.entries.get(&key).is_some_and(|(current, _)| *current == number)
        {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_map_evicts_its_oldest_entries() {
        let mut map = BoundedMap::new(3);
        (0..5).for_each(|key| map.insert(key, ()));
        map.insert(4, ());
        assert_eq!([1, 2, 3, 4].map(|key| map.contains(&key)), [false, true, true, true]);
        assert_eq!((map.entries.len(), map.order.len()), (3, 3));
    }

    #[test]
    fn a_present_key_keeps_its_value() {
        let mut map = BoundedMap::new(2);
        map.insert("a", 1);
        map.insert("a", 2);
        assert_eq!(map.get(&"a"), Some(&1));
    }

    #[test]
    fn removed_entries_free_no_room_and_a_reinserted_key_is_new() {
        let mut map = BoundedMap::new(2);
        map.insert("a", 1);
        assert_eq!(map.remove(&"a"), Some(1));
        map.insert("a", 2);
        map.insert("b", 3);
        assert_eq!((map.get(&"a"), map.order.len()), (Some(&2), 2), "the entry that was removed was the oldest");
        map.insert("c", 4);
        assert_eq!((map.get(&"a"), map.get(&"b")), (None, Some(&3)));
    }

    #[test]
    fn expired_entries_are_evicted_and_later_ones_stay() {
        let mut map = BoundedMap::new(9);
        (0..5).for_each(|key| map.insert(key, key));
        map.remove(&0);
        map.evict_while(|value| *value < 3);
        assert_eq!((map.order.len(), map.contains(&2), map.contains(&3)), (2, false, true));
    }
}
