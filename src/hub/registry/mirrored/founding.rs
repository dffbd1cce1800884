//! The beginning of a bucket and its restoration: one hub puts everything that it has. The marker is put last, so that nobody
//! joins a bucket that is not complete.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use super::engine::CALL_TIMEOUT;
use super::mirror::{MARKER, Marker, Mirror};
use super::state::{BucketLoss, CHANGE_DEADLINE};
use crate::hub::registry::RegistryError;
use crate::hub::registry::sqlite::Changed;
use crate::net::os::{clock, random};

/// The puts that are under way at once: with a millisecond each, ten thousand take a second.
const CONCURRENT_PUTS: usize = 64;

/// The format of the marker.
const FORMAT: u32 = 1;

/// The deadline for everything that a hub puts.
const FOUNDING_DEADLINE: Duration = Duration::from_secs(3600);

impl Mirror {
    /// Creates the bucket and puts everything that this hub has. It may be repeated after a failure.
    pub fn found(&self) -> Result<(), RegistryError> {
        let deadline = clock::now() + CHANGE_DEADLINE;
        self.create(deadline)?;
        let ours = self.sqlite().bucket_id()?;
        match self.marker(deadline)? {
            Some((marker, _)) if ours.as_ref() == Some(&marker.id) => return self.verify(deadline),
            Some(_) => return Err(RegistryError::Founded),
            None => {}
        }
        let id = match ours {
            Some(id) => id,
            None => {
                let id = format!("{:032x}", u128::from_be_bytes(random::bytes()));
                self.sqlite().set_bucket_id(&id)?;
                id
            }
        };
        self.put_everything()?;
        self.put_marker(id, 0)
    }

    /// Has this hub mirror the bucket that others have founded. What it knows itself is no part of that: a value in the bucket
    /// takes the place of its own.
    pub fn join(&self) -> Result<(), RegistryError> {
        let deadline = clock::now() + CHANGE_DEADLINE;
        let (marker, _) = self.marker(deadline)?.ok_or(RegistryError::NotFounded)?;
        if self.sqlite().bucket_id()?.as_ref() != Some(&marker.id) {
            self.sqlite().set_bucket_id(&marker.id)?;
        }
        self.verify(deadline)
    }

    /// Puts this hub's values back into a bucket that was lost. Of values that are there the ones that hold stay. A bucket that
    /// others have founded since is taken with `force` alone.
    pub fn restore(&self, force: bool) -> Result<(), RegistryError> {
        let deadline = clock::now() + CHANGE_DEADLINE;
        self.create(deadline)?;
        let ours = self.sqlite().bucket_id()?.ok_or(RegistryError::NotFounded)?;
        let found = self.marker(deadline)?;
        let (is_ours, revision) = match found {
            Some((marker, revision)) if marker.id == ours => (true, revision),
            // One that no hub of this cluster has signed may be another cluster's.
            Some(_) if !force => return Err(self.lose(BucketLoss::Replaced)),
            Some((_, revision)) => (false, revision),
            None => (false, 0),
        };
        self.put_everything()?;
        if is_ours { self.resume() } else { self.put_marker(ours, revision) }
    }

    fn create(&self, deadline: Instant) -> Result<(), RegistryError> {
        let limit = deadline.saturating_duration_since(clock::now());
        let done = self.runtime().block_on(async { timeout(limit, self.bucket().create()).await });
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(RegistryError::Unreachable(error.to_string())),
            Err(_) => Err(RegistryError::Unreachable("no answer in time".into())),
        }
    }

    /// Puts every value that is not there; those that are there are compared one by one.
    fn put_everything(&self) -> Result<(), RegistryError> {
        let deadline = clock::now() + FOUNDING_DEADLINE;
        self.state().is_founding = true;
        let put = self.sqlite().values()?.chunks(CONCURRENT_PUTS).try_for_each(|values| self.put_new(values, deadline));
        self.state().is_founding = false;
        put
    }

    /// Puts values of which none is expected to be there.
    fn put_new(&self, values: &[Changed], deadline: Instant) -> Result<(), RegistryError> {
        let mut bodies = Vec::with_capacity(values.len());
        for Changed { subject, value, .. } in values {
            let json = value.to_json().map_err(|error| RegistryError::Store(error.to_string()))?;
            bodies.push((subject.key(), self.sign(&subject.key(), &json)));
        }
        let puts = bodies.iter().map(|(key, bytes)| timeout(CALL_TIMEOUT, self.bucket().put(key, bytes.clone(), 0)));
        let done = self.runtime().block_on(async { join_all(puts).await });
        let mut stored = Vec::new();
        for (Changed { subject, value, .. }, done) in values.iter().zip(done) {
            match done {
                Ok(Ok(revision)) => stored.push((subject.clone(), value.clone(), revision)),
                // There is one, or nobody knows.
                Ok(Err(_)) | Err(_) => {
                    self.sqlite().adopt(subject, value)?;
                    self.settle(subject, deadline.min(clock::now() + CHANGE_DEADLINE))?;
                }
            }
        }
        self.sqlite().accept_all(&stored, false).map(drop)
    }

    fn put_marker(&self, id: String, expected: u64) -> Result<(), RegistryError> {
        let marker = serde_json::to_vec(&Marker { format: FORMAT, id });
        let marker = marker.map_err(|error| RegistryError::Store(error.to_string()))?;
        let deadline = clock::now() + CHANGE_DEADLINE;
        let put = self.put_bytes(MARKER, &self.sign(MARKER, &marker), expected, deadline)?;
        put.ok_or(RegistryError::Contended)?;
        self.resume()
    }

    /// Allows changes again.
    fn resume(&self) -> Result<(), RegistryError> {
        self.state().loss = None;
        self.verify(clock::now() + CHANGE_DEADLINE)
    }
}
