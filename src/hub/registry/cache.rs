//! The registry for async code: calls run on blocking threads, records are cached, last-seen times are written in
//! batches.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::sleep;

use super::{Record, Registry, RegistryError};
use crate::net::os::clock;
use crate::proto::id::Principal;
use crate::proto::timestamp::Timestamp;

/// The interval at which last-seen times are written: a fleet that reconnects costs one transaction, not one per
/// device. A hub that is killed loses this much.
const LAST_SEEN_FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// The registry, for any task.
#[derive(Clone)]
pub struct RegistryCache {
    registry: Arc<dyn Registry>,
    changes: Arc<Mutex<()>>,
    /// Cached records: every stream looks up its service and its device.
    cached: Arc<Mutex<CachedRecords>>,
    change_count: watch::Sender<u64>,
    /// Times not written yet. Known identities only, hence bounded by their number.
    last_seen_updates: Arc<Mutex<HashMap<Principal, Timestamp>>>,
}

/// The limit on cached records.
const MAX_CACHED: usize = 16 * 1024;

/// Records as committed.
#[derive(Default)]
struct CachedRecords {
    records: HashMap<Principal, Record>,
    /// The number of changes: a record read before a change is not cached after it …
    changes: u64,
    /// … and nothing is served from the cache during one: its effects may be announced before it returns.
    changing: bool,
}

impl CachedRecords {
    fn get(&self, principal: &Principal) -> Option<&Record> {
        self.records.get(principal).filter(|_| !self.changing)
    }

    /// Caches a record that was read after this number of changes.
    fn insert(&mut self, record: &Record, changes: u64) {
        if self.changing || self.changes != changes {
            return;
        }
        if self.records.len() >= MAX_CACHED {
            self.records.clear();
        }
        self.records.insert(record.principal.clone(), record.clone());
    }

    /// Drops the records of these identities.
    fn invalidate<'a>(&mut self, principals: impl Iterator<Item = &'a Principal>) {
        self.changes += 1;
        principals.for_each(|principal| drop(self.records.remove(principal)));
    }
}

/// Marks a change as under way until dropped.
struct ChangeGuard<'a>(&'a Mutex<CachedRecords>);

impl<'a> ChangeGuard<'a> {
    fn begin(cached: &'a Mutex<CachedRecords>) -> Self {
        let mut begun = cached.lock();
        begun.changing = true;
        begun.records.clear();
        Self(cached)
    }
}

impl Drop for ChangeGuard<'_> {
    fn drop(&mut self) {
        let mut cached = self.0.lock();
        cached.changing = false;
        cached.changes += 1;
    }
}

impl RegistryCache {
    /// Wraps a registry.
    pub fn new(registry: impl Registry + 'static) -> Self {
        let registry = Arc::new(registry);
        let change_count = watch::Sender::new(0);
        Self {
            registry,
            changes: Arc::default(),
            cached: Arc::default(),
            change_count,
            last_seen_updates: Arc::default(),
        }
    }

    /// Runs `work` on a blocking thread.
    pub async fn with<R, F>(&self, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let registry = self.registry.clone();
        let done = tokio::task::spawn_blocking(move || work(registry.as_ref())).await;
        done.unwrap_or_else(|error| Err(RegistryError::Store(error.to_string())))
    }

    /// Runs a change and its effects on a blocking thread, one change at a time: effects are announced in the order of
    /// the changes. Once begun it completes, even if the caller is dropped.
    pub async fn change<R, F>(&self, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let (changes, cached, change_count) = (self.changes.clone(), self.cached.clone(), self.change_count.clone());
        self.with(move |registry| {
            let _turn = changes.lock();
            let changing = ChangeGuard::begin(&cached);
            let done = work(registry);
            drop(changing);
            change_count.send_modify(|count| *count += 1);
            done
        })
        .await
    }

    /// Subscribes to later changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.change_count.subscribe()
    }

    /// Returns an identity's record.
    pub async fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        let changes = {
            let cached = self.cached();
            if let Some(record) = cached.get(principal) {
                return Ok(Some(self.with_last_seen(record.clone())));
            }
            cached.changes
        };
        let principal = principal.clone();
        let Some(record) = self.with(move |registry| registry.find(&principal)).await? else { return Ok(None) };
        self.cached().insert(&record, changes);
        Ok(Some(self.with_last_seen(record)))
    }

    fn last_seen_updates(&self) -> MutexGuard<'_, HashMap<Principal, Timestamp>> {
        self.last_seen_updates.lock()
    }

    fn cached(&self) -> MutexGuard<'_, CachedRecords> {
        self.cached.lock()
    }

    /// Notes that an identity is connected now.
    pub fn note_seen(&self, principal: Principal) {
        self.last_seen_updates().insert(principal, clock::now_utc());
    }

    /// Adds a last-seen time that is not written yet to a record.
    pub fn with_last_seen(&self, mut record: Record) -> Record {
        let last_seen_updates = self.last_seen_updates();
        record.last_seen = last_seen_updates.get(&record.principal).copied().or(record.last_seen);
        record
    }

    /// Writes last-seen times until dropped.
    pub async fn run_last_seen_writer(self) {
        loop {
            sleep(LAST_SEEN_FLUSH_INTERVAL).await;
            self.flush_last_seen().await;
        }
    }

    /// Writes the last-seen times noted since the last time. What cannot be written is dropped: the next time
    /// supersedes it.
    pub async fn flush_last_seen(&self) {
        let noted = self.last_seen_updates().clone();
        if noted.is_empty() {
            return;
        }
        let last_seen_updates: Vec<_> = noted.iter().map(|(principal, at)| (principal.clone(), *at)).collect();
        if let Err(error) = self.with(move |registry| registry.set_last_seen(&last_seen_updates)).await {
            tracing::warn!(target: "hub", %error, "could not store last-seen times");
        }
        self.cached().invalidate(noted.keys());
        self.last_seen_updates().retain(|principal, at| noted.get(principal) != Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::SqliteRegistry;
    use super::*;
    use crate::proto::id::Role;
    use crate::proto::key::PublicKey;

    #[tokio::test]
    async fn the_cache_is_never_older_than_the_last_change() {
        let directory = tempfile::tempdir().unwrap();
        let cache = RegistryCache::new(SqliteRegistry::open(&directory.path().join("registry")).unwrap());
        let principal = Principal { role: Role::Device, id: "pi-42".to_owned().try_into().unwrap() };
        let (added, key) = (principal.clone(), PublicKey::from_bytes([1; 32]));
        cache.change(move |registry| registry.enrol(&added, &key, Timestamp(1))).await.unwrap();
        for disabled in [true, false, true] {
            assert!(cache.find(&principal).await.unwrap().is_some());
            let (changed, cached) = (principal.clone(), cache.clone());
            let change = move |registry: &dyn Registry| {
                registry.set_disabled(&changed, disabled)?;
                // Effects are announced here, and may be followed by a lookup at once.
                Ok(cached.cached().get(&changed).cloned())
            };
            assert_eq!(cache.change(change).await.unwrap(), None);
            assert_eq!(cache.find(&principal).await.unwrap().map(|record| record.disabled), Some(disabled));
        }
    }

    #[test]
    fn a_record_read_before_a_change_is_not_cached_after_it() {
        let (cached, cache) = (Mutex::new(CachedRecords::default()), CachedRecords::default());
        let before = cache.changes;
        drop(ChangeGuard::begin(&cached));
        assert_ne!(cached.lock().changes, before);
    }
}
