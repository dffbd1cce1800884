//! The registry from async code: each call runs where blocking is allowed, and sightings are written many at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Record, Registry, RegistryError};
use crate::net::clock;
use crate::proto::id::Principal;
use crate::proto::timestamp::Timestamp;

/// Between two writings of who was here: a fleet that comes back at once costs one transaction, not one per device. A
/// hub that is killed forgets this much.
const SIGHTINGS_INTERVAL: Duration = Duration::from_secs(5);

/// The registry, for any task.
#[derive(Clone)]
pub struct RegistryCache {
    registry: Arc<dyn Registry>,
    changes: Arc<Mutex<()>>,
    /// What was read, until something changes: every stream asks who its service and its device are.
    known: Arc<Mutex<Known>>,
    told: watch::Sender<u64>,
    /// Of known identities only, hence bounded by their number.
    sightings: Arc<Mutex<HashMap<Principal, Timestamp>>>,
}

/// Records that are read from memory; more are read from the registry.
const MOST_KNOWN: usize = 16 * 1024;

/// Records as they are in the registry.
#[derive(Default)]
struct Known {
    records: HashMap<Principal, Record>,
    /// What was read before a change is not kept after it …
    changes: u64,
    /// … and nothing is known while one is under way: what follows from it may be told before it has returned.
    changing: bool,
}

impl Known {
    fn get(&self, principal: &Principal) -> Option<&Record> {
        self.records.get(principal).filter(|_| !self.changing)
    }

    /// Read when there had been so many changes.
    fn keep(&mut self, record: &Record, changes: u64) {
        if self.changing || self.changes != changes {
            return;
        }
        if self.records.len() >= MOST_KNOWN {
            self.records.clear();
        }
        self.records.insert(record.principal.clone(), record.clone());
    }

    /// These are no longer as they were.
    fn forget<'a>(&mut self, principals: impl Iterator<Item = &'a Principal>) {
        self.changes += 1;
        principals.for_each(|principal| drop(self.records.remove(principal)));
    }
}

/// A change is under way until this is dropped.
struct Changing<'a>(&'a Mutex<Known>);

impl<'a> Changing<'a> {
    fn begin(known: &'a Mutex<Known>) -> Self {
        let mut begun = known.lock().unwrap_or_else(PoisonError::into_inner);
        begun.changing = true;
        begun.records.clear();
        Self(known)
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.changing = false;
        known.changes += 1;
    }
}

impl RegistryCache {
    /// Around any registry.
    pub fn new(registry: impl Registry + 'static) -> Self {
        let registry = Arc::new(registry);
        let told = watch::Sender::new(0);
        Self { registry, changes: Arc::default(), known: Arc::default(), told, sightings: Arc::default() }
    }

    /// Does something with the registry.
    pub async fn with<R, F>(&self, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let registry = self.registry.clone();
        let done = tokio::task::spawn_blocking(move || work(registry.as_ref())).await;
        done.unwrap_or_else(|error| Err(RegistryError::Store(error.to_string())))
    }

    /// Changes something, with all that follows from it, one change after another: what is told of two changes comes in
    /// the order in which they were made. Once begun, it is done to its end, also when nobody waits for it any more.
    pub async fn change<R, F>(&self, work: F) -> Result<R, RegistryError>
    where
        R: Send + 'static,
        F: FnOnce(&dyn Registry) -> Result<R, RegistryError> + Send + 'static,
    {
        let (changes, known, told) = (self.changes.clone(), self.known.clone(), self.told.clone());
        self.with(move |registry| {
            let _turn = changes.lock().unwrap_or_else(PoisonError::into_inner);
            let changing = Changing::begin(&known);
            let done = work(registry);
            drop(changing);
            told.send_modify(|count| *count += 1);
            done
        })
        .await
    }

    /// Hears of every change from here on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }

    /// One identity.
    pub async fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        let changes = {
            let known = self.known();
            if let Some(record) = known.get(principal) {
                return Ok(Some(self.refreshed(record.clone())));
            }
            known.changes
        };
        let principal = principal.clone();
        let Some(record) = self.with(move |registry| registry.find(&principal)).await? else { return Ok(None) };
        self.known().keep(&record, changes);
        Ok(Some(self.refreshed(record)))
    }

    fn sightings(&self) -> MutexGuard<'_, HashMap<Principal, Timestamp>> {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An identity is connected now.
    pub fn note_seen(&self, principal: Principal) {
        self.sightings().insert(principal, clock::now_utc());
    }

    /// With a sighting that is not yet written.
    pub fn refreshed(&self, mut record: Record) -> Record {
        let sightings = self.sightings();
        record.last_seen = sightings.get(&record.principal).copied().or(record.last_seen);
        record
    }

    /// Writes sightings down, for ever.
    pub async fn keep_sightings(self) {
        loop {
            sleep(SIGHTINGS_INTERVAL).await;
            self.write_sightings().await;
        }
    }

    /// Writes down who was seen since the last time. What cannot be written is forgotten: the next sighting is better.
    pub async fn write_sightings(&self) {
        let noted = self.sightings().clone();
        if noted.is_empty() {
            return;
        }
        let sightings: Vec<_> = noted.iter().map(|(principal, at)| (principal.clone(), *at)).collect();
        if let Err(error) = self.with(move |registry| registry.seen(&sightings)).await {
            tracing::warn!(target: "hub", %error, "could not note who was here");
        }
        self.known().forget(noted.keys());
        self.sightings().retain(|principal, at| noted.get(principal) != Some(at));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sqlite::SqliteRegistry;
    use super::*;
    use crate::proto::id::Role;
    use crate::proto::key::PublicKey;

    #[tokio::test]
    async fn what_is_known_is_never_older_than_the_last_change() {
        let place = tempfile::tempdir().unwrap();
        let cache = RegistryCache::new(SqliteRegistry::open(&place.path().join("registry")).unwrap());
        let principal = Principal { role: Role::Device, id: "pi-42".to_owned().try_into().unwrap() };
        let (added, key) = (principal.clone(), PublicKey::from_bytes([1; 32]));
        cache.change(move |registry| registry.enrol(&added, &key, Timestamp(1))).await.unwrap();
        for disabled in [true, false, true] {
            assert!(cache.find(&principal).await.unwrap().is_some());
            let (changed, known) = (principal.clone(), cache.clone());
            let change = move |registry: &dyn Registry| {
                registry.set_disabled(&changed, disabled)?;
                // What follows is told here, and whoever hears of it may look at once.
                Ok(known.known().get(&changed).cloned())
            };
            assert_eq!(cache.change(change).await.unwrap(), None);
            assert_eq!(cache.find(&principal).await.unwrap().map(|record| record.disabled), Some(disabled));
        }
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept_after_it() {
        let (known, cache) = (Mutex::new(Known::default()), Known::default());
        let before = cache.changes;
        drop(Changing::begin(&known));
        assert_ne!(known.lock().unwrap().changes, before);
    }
}
