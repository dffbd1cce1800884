//! Calls of the bucket from blocking threads, within deadlines. A call whose outcome is unknown is made again: at most one of
//! the same puts is stored, since both expect the same revision.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::mirror::Mirror;
use super::state::BucketLoss;
use crate::hub::cluster::bucket::{BucketError, Entry};
use crate::hub::registry::RegistryError;
use crate::net::os::clock;

/// The deadline of one call: hundreds of times what one takes, and short beside that of a change, so that it is made again at
/// another server.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause after a call that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

impl Mirror {
    /// Returns the present entry of a key.
    pub(super) fn get(&self, key: &str, deadline: Instant) -> Result<Option<Entry>, RegistryError> {
        loop {
            match self.call(deadline, self.bucket().get(key)) {
                Ok(found) => return Ok(found),
                Err(error) => self.retry(error, deadline)?,
            }
        }
    }

    /// Puts bytes in place of the entry with this revision. Returns `None` if that is not the present one.
    pub(super) fn put_bytes(
        &self,
        key: &str,
        bytes: &Bytes,
        expected: u64,
        deadline: Instant,
    ) -> Result<Option<u64>, RegistryError> {
        let mut may_be_stored = false;
        loop {
            match self.call(deadline, self.bucket().put(key, bytes.clone(), expected)) {
                Ok(revision) => return Ok(Some(revision)),
                Err(BucketError::Conflict) if may_be_stored => {
                    let found = self.get(key, deadline)?;
                    return Ok(found.filter(|entry| entry.value == *bytes).map(|entry| entry.revision));
                }
                Err(BucketError::Conflict) => return Ok(None),
                Err(error) => {
                    may_be_stored = true;
                    self.retry(error, deadline)?;
                }
            }
        }
    }

    /// Waits for a call on this thread.
    fn call<T>(&self, deadline: Instant, call: impl Future<Output = Result<T, BucketError>>) -> Result<T, BucketError> {
        let limit = deadline.saturating_duration_since(clock::now()).min(CALL_TIMEOUT);
        let done = self.runtime().block_on(async { timeout(limit, call).await });
        let done = done.unwrap_or_else(|_| Err(BucketError::Unreachable("no answer in time".into())));
        self.note(&done);
        done
    }

    /// Records whether the engine answered.
    pub(super) fn note<T>(&self, done: &Result<T, BucketError>) {
        let mut state = self.state();
        match done {
            Ok(_) | Err(BucketError::Conflict) => state.reached(),
            Err(BucketError::Missing) => {}
            Err(BucketError::Unreachable(reason)) => state.not_reached(reason, clock::now()),
        }
    }

    /// Pauses before the next attempt, unless there is no time for one.
    fn retry(&self, error: BucketError, deadline: Instant) -> Result<(), RegistryError> {
        let reason = match error {
            BucketError::Missing => return Err(self.lose(BucketLoss::Deleted)),
            BucketError::Unreachable(reason) => reason,
            // Only a put has it.
            error @ BucketError::Conflict => error.to_string(),
        };
        if clock::now() + RETRY_PAUSE >= deadline {
            return Err(RegistryError::Unreachable(reason));
        }
        self.runtime().block_on(async { sleep(RETRY_PAUSE).await });
        Ok(())
    }
}
