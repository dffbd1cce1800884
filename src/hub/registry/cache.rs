//! The registry for async code: calls run on blocking threads, records are cached, last-seen times are written in
//! batches.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::watch;
use tokio::time::sleep;

use super::denials::Denials;
use super::{Record, Registry, RegistryError};
use crate::net::os::clock;
use crate::proto::id::Principal;
use crate::proto::timestamp::Timestamp;

/// The interval at which last-seen times are written: a fleet that reconnects costs one transaction, not one per
/// device. A hub that is killed loses this much.
const LAST_SEEN_FLUSH_INTERVAL: Duration = Duration::from_secs(5);

/// The groups that identities are spread over. A change wakes the connections of one, which look their identity up
/// again: with 4,000 devices some sixty, and not all. A group takes some hundred bytes.
const GROUPS: usize = 64;

/// The registry, for any task.
#[derive(Clone)]
pub struct RegistryCache {
    registry: Arc<dyn Registry>,
    /// The turn of those who change enrolment keys.
    enrolment_turn: Arc<tokio::sync::Mutex<()>>,
    /// Cached records: every stream looks up its service and its device.
    cached: Arc<Mutex<CachedRecords>>,
    groups: Arc<[Group; GROUPS]>,
    hasher: RandomState,
    /// Identities that are denied for a moment.
    denials: Arc<Denials>,
    /// Times not written yet. Known identities only, hence bounded by their number.
    last_seen_updates: Arc<Mutex<HashMap<Principal, Timestamp>>>,
}

/// Identities whose hashes are equal, modulo [`GROUPS`].
struct Group {
    change_count: watch::Sender<u64>,
    /// Held while one of them is changed. A change may wait for other hubs: identities of other groups do not wait for it.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// Held while a record is read: those that wait for the same one find it cached.
    reading: tokio::sync::Mutex<()>,
}

/// The limit on cached records.
const MAX_CACHED: usize = 16 * 1024;

/// Records as committed.
#[derive(Default)]
struct CachedRecords {
    records: HashMap<Principal, Record>,
    /// The number of changes: a record read before a change is not cached after it …
    changes: u64,
    /// … and a record that is being changed is not cached: the effects may be announced before the change returns. One of each
    /// group at most.
    changing: HashSet<Principal>,
}

impl CachedRecords {
    /// Caches a record that was read after this number of changes.
    fn insert(&mut self, record: &Record, changes: u64) {
        if self.changing.contains(&record.principal) || self.changes != changes {
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

/// Marks a record as being changed until dropped.
struct ChangeGuard<'a> {
    cached: &'a Mutex<CachedRecords>,
    principal: &'a Principal,
}

impl<'a> ChangeGuard<'a> {
    fn begin(cached: &'a Mutex<CachedRecords>, principal: &'a Principal) -> Self {
        let mut begun = cached.lock();
        begun.changing.insert(principal.clone());
        begun.records.remove(principal);
        Self { cached, principal }
    }
}

impl Drop for ChangeGuard<'_> {
    fn drop(&mut self) {
        let mut cached = self.cached.lock();
        cached.changing.remove(self.principal);
        cached.changes += 1;
    }
}

impl RegistryCache {
    /// Wraps a registry.
    pub fn new(registry: impl Registry + 'static) -> Self {
        let group = |_| Group {
            change_count: watch::Sender::new(0),
            turn: Arc::default(),
            reading: tokio::sync::Mutex::default(),
        };
        Self {
            registry: Arc::new(registry),
            enrolment_turn: Arc::default(),
            cached: Arc::default(),
            groups: Arc::new(std::array::from_fn(group)),
            hasher: RandomState::new(),
            denials: Arc::default(),
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

    /// Runs a change of one identity and its effects on a blocking thread, in turn with all others of it, this hub's and other
    /// hubs': effects are announced in the order of the changes. Once begun it completes, even if the caller is dropped.
    pub async fn change<R, F>(&self, principal: &Principal, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let (cache, principal) = (self.clone(), principal.clone());
        // Before a thread is taken: reads need them, and do not wait for changes.
        let turn = self.group(&principal).turn.clone().lock_owned().await;
        self.with(move |registry| {
            let _turn = turn;
            let changing = ChangeGuard::begin(&cache.cached, &principal);
            let done = work(registry);
            drop(changing);
            // Also where it failed: a store may have stored it nevertheless, or have learned of another hub's change.
            cache.announce(&principal);
            done
        })
        .await
    }

    /// Runs a change of the enrolment keys, in turn with others; it concerns no identity's record.
    pub async fn change_enrolments<R, F>(&self, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let turn = self.enrolment_turn.clone().lock_owned().await;
        self.with(move |registry| {
            let _turn = turn;
            work(registry)
        })
        .await
    }

    /// Subscribes to later changes of an identity. Those of some others are reported too.
    pub fn changes(&self, principal: &Principal) -> watch::Receiver<u64> {
        self.group(principal).change_count.subscribe()
    }

    /// Takes an identity for disabled for a moment, until its change arrives.
    pub fn deny(&self, principal: &Principal) {
        self.denials.add(principal);
        self.announce(principal);
    }

    /// The change of an identity has arrived, or is not to come.
    pub fn lift_denial(&self, principal: &Principal) {
        self.denials.lift(principal);
    }

    /// Has the connections of an identity look it up again.
    pub fn announce(&self, principal: &Principal) {
        self.group(principal).change_count.send_modify(|count| *count += 1);
    }

    /// Returns an identity's record.
    pub async fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        if let Some(record) = self.find_cached(principal) {
            return Ok(Some(record));
        }
        let _turn = self.group(principal).reading.lock().await;
        if let Some(record) = self.find_cached(principal) {
            return Ok(Some(record));
        }
        let changes = self.cached().changes;
        let principal = principal.clone();
        let Some(record) = self.with(move |registry| registry.find(&principal)).await? else { return Ok(None) };
        self.cached().insert(&record, changes);
        Ok(Some(self.with_last_seen(record)))
    }

    /// Returns the record of the identity with this id, or of the only one that has it but for case.
    pub async fn find_ignoring_case(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        if let Some(record) = self.find(principal).await? {
            return Ok(Some(record));
        }
        let principal = principal.clone();
        let found = self.with(move |registry| registry.find_ignoring_case(&principal)).await?;
        Ok(found.map(|record| self.with_last_seen(record)))
    }

    fn find_cached(&self, principal: &Principal) -> Option<Record> {
        let record = self.cached().records.get(principal).cloned();
        record.map(|record| self.with_last_seen(record))
    }

    fn group(&self, principal: &Principal) -> &Group {
        &self.groups[usize::try_from(self.hasher.hash_one(principal) % GROUPS as u64).unwrap_or_default()]
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

    /// Adds to a record what is not written yet: its last-seen time, and that it is denied.
    pub fn with_last_seen(&self, mut record: Record) -> Record {
        record.last_seen = self.latest_seen(&record.principal, record.last_seen);
        record.disabled |= self.denials.contains(&record.principal);
        record
    }

    /// Returns the last-seen time of an identity for which this one is stored.
    pub fn latest_seen(&self, principal: &Principal, stored: Option<Timestamp>) -> Option<Timestamp> {
        self.last_seen_updates().get(principal).copied().or(stored)
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
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::super::denials::DENIED_FOR;
    use super::super::sqlite::SqliteRegistry;
    use super::*;
    use crate::proto::id::Role;
    use crate::proto::key::PublicKey;
    use crate::proto::scope::Scope;

    fn device(id: &str) -> Principal {
        Principal { role: Role::Device, id: id.to_owned().try_into().unwrap() }
    }

    #[tokio::test]
    async fn the_cache_is_never_older_than_the_last_change() {
        let directory = tempfile::tempdir().unwrap();
        let cache = RegistryCache::new(SqliteRegistry::open(&directory.path().join("registry")).unwrap());
        let principal = device("pi-42");
        let (added, key) = (principal.clone(), PublicKey::from_bytes([1; 32]));
        cache.change(&principal, move |registry| registry.enrol(&added, &key, Timestamp(1))).await.unwrap();
        for disabled in [true, false, true] {
            assert!(cache.find(&principal).await.unwrap().is_some());
            let (changed, cached) = (principal.clone(), cache.clone());
            let change = move |registry: &dyn Registry| {
                registry.set_disabled(&changed, disabled)?;
                // Effects are announced here, and may be followed by a lookup at once.
                Ok(cached.cached().records.get(&changed).cloned())
            };
            assert_eq!(cache.change(&principal, change).await.unwrap(), None);
            assert_eq!(cache.find(&principal).await.unwrap().map(|record| record.disabled), Some(disabled));
        }
    }

    #[test]
    fn a_record_read_before_a_change_is_not_cached_after_it() {
        let (cached, cache) = (Mutex::new(CachedRecords::default()), CachedRecords::default());
        let before = cache.changes;
        let device = device("pi-42");
        drop(ChangeGuard::begin(&cached, &device));
        assert_ne!(cached.lock().changes, before);
    }

    #[tokio::test]
    async fn a_change_drops_the_record_and_wakes_the_connections_of_its_identity_alone() {
        let directory = tempfile::tempdir().unwrap();
        let cache = RegistryCache::new(SqliteRegistry::open(&directory.path().join("registry")).unwrap());
        let devices: Vec<_> = (0..100).map(|number| device(&format!("pi-{number}"))).collect();
        for (number, device) in devices.iter().enumerate() {
            let (added, key) = (device.clone(), PublicKey::from_bytes([u8::try_from(number).unwrap(); 32]));
            cache.change(device, move |registry| registry.enrol(&added, &key, Timestamp(1))).await.unwrap();
            cache.find(device).await.unwrap();
        }
        let subscribed: Vec<_> = devices.iter().map(|device| cache.changes(device)).collect();
        let woken = || subscribed.iter().filter(|changes| changes.has_changed().unwrap()).count();
        let changed = devices[42].clone();
        assert_eq!(woken(), 0);
        let disabled = changed.clone();
        cache.change(&changed, move |registry| registry.set_disabled(&disabled, true)).await.unwrap();
        assert!(subscribed[42].has_changed().unwrap() && woken() < 20, "{}", woken());
        assert_eq!(cache.cached().records.len(), 99);
    }

    #[tokio::test(start_paused = true)]
    async fn an_identity_is_denied_for_a_moment_or_until_its_change_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let cache = RegistryCache::new(SqliteRegistry::open(&directory.path().join("registry")).unwrap());
        let principal = device("pi-42");
        let (added, key) = (principal.clone(), PublicKey::from_bytes([1; 32]));
        cache.change(&principal, move |registry| registry.enrol(&added, &key, Timestamp(1))).await.unwrap();
        let is_disabled = async || cache.find(&principal).await.unwrap().unwrap().disabled;
        let mut changes = cache.changes(&principal);
        cache.deny(&principal);
        assert!(changes.has_changed().unwrap() && is_disabled().await, "its connections look it up");
        cache.lift_denial(&principal);
        assert!(!is_disabled().await);
        cache.deny(&principal);
        tokio::time::advance(DENIED_FOR).await;
        assert!(!is_disabled().await);
        changes.mark_unchanged();
    }

    #[tokio::test]
    async fn lookups_of_the_same_record_share_one_read() {
        let directory = tempfile::tempdir().unwrap();
        let cache = RegistryCache::new(SqliteRegistry::open(&directory.path().join("registry")).unwrap());
        let principal = device("pi-42");
        let first_read = cache.group(&principal).reading.lock().await;
        let mut second = pin!(cache.find(&principal));
        assert!(second.as_mut().now_or_never().is_none(), "it waits for the first");
        let record = Record {
            principal: principal.clone(),
            created: Timestamp(1),
            last_seen: None,
            disabled: false,
            scope: Scope::default(),
            enrolment: None,
            keys: Vec::new(),
        };
        cache.cached().insert(&record, 0);
        drop(first_read);
        assert_eq!(second.await.unwrap(), Some(record), "and reads nothing itself");
    }
}
