//! The registry from async code: each call runs where blocking is allowed, and sightings are written many at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::{Record, Registry, RegistryError};
use crate::net::clock;
use crate::proto::id::Principal;
use crate::proto::moment::Moment;

/// Between two writings of who was here: a fleet that comes back at once costs one transaction, not one per device. A
/// hub that is killed forgets this much.
const SIGHTINGS_INTERVAL: Duration = Duration::from_secs(5);

/// The registry, for any task.
#[derive(Clone)]
pub struct Directory {
    registry: Arc<dyn Registry>,
    changes: Arc<Mutex<()>>,
    /// Of known identities only, hence bounded by their number.
    sightings: Arc<Mutex<HashMap<Principal, Moment>>>,
}

impl Directory {
    /// Around any registry.
    pub fn new(registry: impl Registry + 'static) -> Self {
        Self { registry: Arc::new(registry), changes: Arc::default(), sightings: Arc::default() }
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
        let changes = self.changes.clone();
        self.with(move |registry| {
            let _turn = changes.lock().unwrap_or_else(PoisonError::into_inner);
            work(registry)
        })
        .await
    }

    /// One identity.
    pub async fn find(&self, principal: &Principal) -> Result<Option<Record>, RegistryError> {
        let principal = principal.clone();
        let record = self.with(move |registry| registry.find(&principal)).await?;
        Ok(record.map(|record| self.refreshed(record)))
    }

    /// An identity is connected now.
    pub fn note_seen(&self, principal: Principal) {
        self.sightings.lock().unwrap_or_else(PoisonError::into_inner).insert(principal, clock::moment());
    }

    /// With a sighting that is not yet written.
    pub fn refreshed(&self, mut record: Record) -> Record {
        let sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
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
        let noted = std::mem::take(&mut *self.sightings.lock().unwrap_or_else(PoisonError::into_inner));
        if noted.is_empty() {
            return;
        }
        let noted: Vec<_> = noted.into_iter().collect();
        if let Err(error) = self.with(move |registry| registry.seen(&noted)).await {
            tracing::warn!(target: "hub", %error, "could not note who was here");
        }
    }
}
