//! A bucket in memory with the faults of a real one, for tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _, iter, unfold};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Bucket, BucketError, BucketState, Entry, Update, WatchResult};

/// The bucket. Clones are the same one.
#[derive(Clone)]
pub(in crate::hub) struct MemoryBucket(Arc<Inner>);

struct Inner {
    store: Mutex<Store>,
    /// The number of values stored so far.
    stored: watch::Sender<usize>,
}

#[derive(Default)]
struct Store {
    exists: bool,
    entries: BTreeMap<String, Entry>,
    revision: u64,
    /// Every value stored, in order, with the one that it replaced.
    log: Vec<(Entry, Option<Entry>)>,
    /// Watches that began before this one yield nothing more.
    watches: usize,
    hung: usize,
    faults: Faults,
    leader: u32,
}

/// Faults of the bucket.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::hub) struct Faults {
    /// Every call fails.
    pub(in crate::hub) away: bool,
    /// Puts never return.
    pub(in crate::hub) hangs: bool,
    /// As many puts are stored and not confirmed.
    pub(in crate::hub) unconfirmed: u32,
    /// As many puts are not stored and not confirmed.
    pub(in crate::hub) refused: u32,
}

impl MemoryBucket {
    pub(in crate::hub) fn new() -> Self {
        let store = Mutex::new(Store { exists: true, ..Store::default() });
        Self(Arc::new(Inner { store, stored: watch::Sender::new(0) }))
    }

    pub(in crate::hub) fn set_faults(&self, faults: Faults) {
        self.0.store.lock().faults = faults;
    }

    /// Forgets the last values, which were confirmed, as a cluster does whose disks are behind.
    pub(in crate::hub) fn lose(&self, count: usize) {
        let mut store = self.0.store.lock();
        for _ in 0..count {
            let Some((entry, before)) = store.log.pop() else { break };
            store.revision = entry.revision - 1;
            match before {
                Some(before) => store.entries.insert(entry.key, before),
                None => store.entries.remove(&entry.key),
            };
        }
        store.leader += 1;
        let stored = store.log.len();
        // Watches have yielded what is lost, and go on with what comes.
        self.0.stored.send_replace(stored);
    }

    /// Removes every value.
    pub(in crate::hub) fn wipe(&self) {
        let mut store = self.0.store.lock();
        store.entries.clear();
        store.log.clear();
        self.0.stored.send_replace(0);
    }

    /// Removes the bucket.
    pub(in crate::hub) fn delete(&self) {
        self.wipe();
        let mut store = self.0.store.lock();
        store.exists = false;
        store.revision = 0;
    }

    /// Has the present watches yield nothing more.
    pub(in crate::hub) fn hang_watches(&self) {
        let mut store = self.0.store.lock();
        store.hung = store.watches;
        self.0.stored.send_modify(|_| ());
    }

    /// The number of watches that were begun.
    pub(in crate::hub) fn watches(&self) -> usize {
        self.0.store.lock().watches
    }

    /// Every value, in the order of the revisions.
    pub(in crate::hub) fn entries(&self) -> Vec<Entry> {
        self.0.store.lock().after(0)
    }

    /// Stores a value whatever there is.
    pub(in crate::hub) fn set(&self, key: &str, value: Bytes) -> u64 {
        self.0.store(key, value)
    }
}

impl Inner {
    fn store(&self, key: &str, value: Bytes) -> u64 {
        let mut store = self.store.lock();
        let revision = store.insert(key, value);
        self.stored.send_replace(store.log.len());
        revision
    }

    fn put(&self, key: &str, value: Bytes, expected: u64) -> Option<Result<u64, BucketError>> {
        let mut store = self.store.lock();
        let faults = &mut store.faults;
        if faults.hangs {
            return None;
        }
        if faults.refused > 0 {
            faults.refused -= 1;
            return Some(Err(BucketError::Unreachable("no quorum".into())));
        }
        if let Err(error) = store.reach() {
            return Some(Err(error));
        }
        if store.entries.get(key).map_or(0, |entry| entry.revision) != expected {
            return Some(Err(BucketError::Conflict));
        }
        let revision = store.insert(key, value);
        self.stored.send_replace(store.log.len());
        if store.faults.unconfirmed > 0 {
            store.faults.unconfirmed -= 1;
            return Some(Err(BucketError::Unreachable("no confirmation".into())));
        }
        Some(Ok(revision))
    }

    /// Returns the next value for a watch that has had `seen` of them; `None` if it hangs.
    fn next(&self, watch: usize, seen: usize) -> Option<Result<Option<Entry>, BucketError>> {
        let store = self.store.lock();
        if watch <= store.hung {
            return None;
        }
        Some(store.reach().map(|()| store.log.get(seen).map(|(entry, _)| entry.clone())))
    }
}

impl Store {
    fn reach(&self) -> Result<(), BucketError> {
        match (self.faults.away, self.exists) {
            (true, _) => Err(BucketError::Unreachable("away".into())),
            (false, false) => Err(BucketError::Missing),
            (false, true) => Ok(()),
        }
    }

    fn insert(&mut self, key: &str, value: Bytes) -> u64 {
        self.revision += 1;
        let entry = Entry { key: key.into(), value, revision: self.revision };
        let before = self.entries.insert(key.into(), entry.clone());
        self.log.push((entry, before));
        self.revision
    }

    fn after(&self, revision: u64) -> Vec<Entry> {
        let mut entries: Vec<_> = self.entries.values().filter(|entry| entry.revision > revision).cloned().collect();
        entries.sort_by_key(|entry| entry.revision);
        entries
    }
}

impl Bucket for MemoryBucket {
    fn create(&self) -> BoxFuture<'_, Result<(), BucketError>> {
        self.0.store.lock().exists = true;
        Box::pin(async { Ok(()) })
    }

    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Entry>, BucketError>> {
        let store = self.0.store.lock();
        let found = store.reach().map(|()| store.entries.get(key).cloned());
        Box::pin(async { found })
    }

    fn put<'a>(&'a self, key: &'a str, value: Bytes, expected: u64) -> BoxFuture<'a, Result<u64, BucketError>> {
        match self.0.put(key, value, expected) {
            Some(done) => Box::pin(async { done }),
            None => Box::pin(std::future::pending()),
        }
    }

    fn watch(&self, after: u64) -> BoxFuture<'_, Result<BoxStream<'static, WatchResult>, BucketError>> {
        let inner = self.0.clone();
        Box::pin(async move {
            let mut store = inner.store.lock();
            store.reach()?;
            store.watches += 1;
            let (watch, seen) = (store.watches, store.log.len());
            let present: Vec<_> = store.after(after).into_iter().map(|entry| Ok(Update::Entry(entry))).collect();
            let stored = inner.stored.subscribe();
            drop(store);
            let listed = iter(present).chain(iter([Ok(Update::Listed)]));
            let live = unfold((inner, stored, seen), move |state| next(watch, state));
            Ok(listed.chain(live).boxed())
        })
    }

    fn state(&self) -> BoxFuture<'_, Result<BucketState, BucketError>> {
        let store = self.0.store.lock();
        let state = store.reach().map(|()| BucketState {
            revision: store.revision,
            keys: store.entries.len().try_into().unwrap_or_default(),
            leader: Some(format!("n{}", store.leader)),
            connections: 1,
        });
        Box::pin(async { state })
    }
}

type WatchState = (Arc<Inner>, watch::Receiver<usize>, usize);

async fn next(watch: usize, (inner, mut stored, mut seen): WatchState) -> Option<(WatchResult, WatchState)> {
    loop {
        seen = seen.min(*stored.borrow_and_update());
        match inner.next(watch, seen) {
            Some(Ok(Some(entry))) => return Some((Ok(Update::Entry(entry)), (inner, stored, seen + 1))),
            Some(Ok(None)) => stored.changed().await.ok()?,
            Some(Err(error)) => return Some((Err(error), (inner, stored, seen))),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::contract;
    use super::*;

    async fn updates(bucket: &MemoryBucket, count: usize) -> Vec<Option<(String, u64)>> {
        let updates = bucket.watch(0).await.unwrap().take(count).map(|update| match update.unwrap() {
            Update::Entry(entry) => Some((entry.key, entry.revision)),
            Update::Listed => None,
        });
        updates.collect().await
    }

    #[tokio::test]
    async fn a_bucket_in_memory_keeps_the_contract() {
        let bucket = MemoryBucket::new();
        contract::keeps_the_contract(&bucket).await;
        bucket.delete();
        contract::says_that_it_is_gone(&bucket).await;
    }

    #[tokio::test]
    async fn what_is_lost_is_as_it_was_and_its_revision_is_given_again() {
        let bucket = MemoryBucket::new();
        bucket.put("a", "1".into(), 0).await.unwrap();
        bucket.put("a", "2".into(), 1).await.unwrap();
        bucket.put("b", "1".into(), 0).await.unwrap();
        bucket.lose(2);
        assert_eq!(updates(&bucket, 2).await, [Some(("a".into(), 1)), None]);
        assert_eq!(bucket.put("b", "9".into(), 0).await, Ok(2));
        bucket.set_faults(Faults { unconfirmed: 1, ..Faults::default() });
        assert!(matches!(bucket.put("b", "10".into(), 2).await, Err(BucketError::Unreachable(_))));
        assert_eq!(bucket.get("b").await.unwrap().map(|entry| entry.value), Some("10".into()));
    }
}
