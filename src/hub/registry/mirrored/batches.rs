//! What the follower does with the mirror: batches of values, and what went wrong.

use tokio::time::timeout;

use super::engine::CALL_TIMEOUT;
use super::mirror::Mirror;
use super::state::BucketLoss;
use crate::hub::cluster::bucket::{BucketError, Entry};
use crate::hub::registry::RegistryError;
use crate::hub::registry::portable::Subject;
use crate::hub::registry::sqlite::Accepted;

impl Mirror {
    /// Waits for a call of the bucket.
    pub(super) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, BucketError>>,
    ) -> Result<T, RegistryError> {
        let done = timeout(CALL_TIMEOUT, call).await;
        let done = done.unwrap_or_else(|_| Err(BucketError::Unreachable("no answer in time".into())));
        self.note(&done);
        done.map_err(|error| self.failed(error))
    }

    /// Returns the registry's error for one of a watch.
    pub(super) fn failed(&self, error: BucketError) -> RegistryError {
        match error {
            BucketError::Missing => self.lose(BucketLoss::Deleted),
            error @ (BucketError::Conflict | BucketError::Unreachable(_)) => {
                RegistryError::Unreachable(error.to_string())
            }
        }
    }

    /// Records why the bucket is not followed.
    pub(super) fn interrupted(&self, error: &RegistryError) {
        let mut state = self.state();
        let text = error.to_string();
        let is_new = state.last_error.as_ref() != Some(&text) || state.follows;
        // A bucket that is lost was reported as such.
        if is_new && !matches!(error, RegistryError::BucketLost(_)) {
            tracing::warn!(target: "cluster", "the registry of the other hubs is not followed: {error}; trying again");
        }
        state.last_error = Some(text);
        state.set_follows(false);
    }

    /// Records that the bucket is followed.
    pub(super) fn followed(&self) {
        let mut state = self.state();
        if state.last_error.take().is_some() {
            tracing::info!(target: "cluster", "the registry of the other hubs is followed again");
        }
        state.set_follows(true);
    }

    /// Takes the values that change no identity of the mirror, and returns what remains to be done with each.
    pub(super) fn absorb(&self, entries: &[Entry]) -> Result<Vec<Remaining>, RegistryError> {
        let mut remaining = vec![Remaining::Nothing; entries.len()];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let Some(subject) = Subject::of_key(&entry.key) else { continue };
            match self.read(entry) {
                Ok(Some(value)) => {
                    indices.push(index);
                    values.push((subject, value, entry.revision));
                }
                // What no hub has signed is no value: the mirror's own is put in its place, if it has one.
                Ok(None) if self.sqlite().mirrored(&subject)?.is_some() => remaining[index] = Remaining::Healing,
                Ok(None) => {}
                // A later version's: it stays, and is unknown here.
                Err(error) => {
                    tracing::error!(target: "cluster", "{error}");
                    self.state().last_error = Some(error.to_string());
                }
            }
        }
        for (index, accepted) in indices.into_iter().zip(self.sqlite().accept_all(&values, true)?) {
            remaining[index] = match accepted {
                Accepted::Unchanged | Accepted::Taken(..) => Remaining::Nothing,
                Accepted::Deferred => Remaining::Turn,
                Accepted::Heal(_) => Remaining::Healing,
            };
        }
        Ok(remaining)
    }
}

/// What remains to be done with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remaining {
    Nothing,
    /// It is taken in the turn of its identity.
    Turn,
    /// The mirror's own holds.
    Healing,
}
