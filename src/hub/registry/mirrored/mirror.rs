//! The mirror of a bucket: what it has and what the bucket has are compared value by value, and come together.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::sleep;

use super::ATTEMPTS;
use super::state::{BucketLoss, MirrorStatus, State};
use crate::hub::cluster::bucket::{Bucket, Entry};
use crate::hub::cluster::key::ClusterKey;
use crate::hub::registry::portable::{Subject, Versioned};
use crate::hub::registry::sqlite::{Accepted, SqliteRegistry};
use crate::hub::registry::{Record, RegistryError};
use crate::net::os::clock;

/// The pause before a bucket that is being founded is looked at again.
const FOUNDING_PAUSE: Duration = Duration::from_millis(200);

/// The key of the value that says which bucket this is.
pub(super) const MARKER: &str = "registry";

/// The value that says which bucket this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Marker {
    pub(super) format: u32,
    pub(super) id: String,
}

/// What a mirror reports of other hubs and of the bucket.
#[derive(Debug)]
pub enum Report<'a> {
    /// Another hub has changed an identity; its records before and after. Reported in turn with this hub's changes of it.
    Changed(Option<&'a Record>, Option<&'a Record>),
    /// The bucket had lost a value that it had confirmed, which was put again.
    Healed(&'a Subject),
    /// Changes are refused from now on.
    Lost(BucketLoss),
}

type Observer = Box<dyn Fn(Report<'_>) + Send + Sync>;

/// A hub's mirror. Its methods block, but for [`Mirror::poll`], [`Mirror::status`] and [`Mirror::observe`].
pub struct Mirror {
    sqlite: SqliteRegistry,
    bucket: Arc<dyn Bucket>,
    key: ClusterKey,
    runtime: Handle,
    state: Mutex<State>,
    observer: OnceLock<Observer>,
    /// The highest revision that another hub is known to have.
    wanted: watch::Sender<u64>,
}

impl Mirror {
    /// Creates the mirror of a bucket in this file. `runtime` drives what a blocking thread waits for.
    pub fn new(sqlite: SqliteRegistry, bucket: Arc<dyn Bucket>, key: ClusterKey, runtime: Handle) -> Self {
        let (state, observer) = (Mutex::new(State::new()), OnceLock::new());
        Self { sqlite, bucket, key, runtime, state, observer, wanted: watch::Sender::new(0) }
    }

    /// Has this called with every report. Only the first one is.
    pub fn observe(&self, observer: impl Fn(Report<'_>) + Send + Sync + 'static) {
        drop(self.observer.set(Box::new(observer)));
    }

    /// Records that another hub has everything up to this revision. Where this one is still behind a moment later, it fetches
    /// what is missing.
    pub fn poll(&self, revision: u64) {
        self.wanted.send_if_modified(|wanted| {
            let is_more = revision > *wanted;
            *wanted = revision.max(*wanted);
            is_more
        });
    }

    /// Returns its state. Reads the file, shortly.
    pub fn status(&self) -> Result<MirrorStatus, RegistryError> {
        let (entries, _) = self.sqlite.mirror_size()?;
        let state = self.state();
        Ok(MirrorStatus {
            entries,
            revision: state.applied,
            lag: self.wanted.borrow().saturating_sub(state.applied),
            follows: state.follows,
            refuses: state.refuses(),
            last_error: state.last_error.clone(),
            since: state.since,
        })
    }

    /// The highest revision that this hub knows of, which it tells the others: they have to have everything up to it.
    pub fn revision(&self) -> u64 {
        self.state().highest
    }

    /// Records that this hub has put the value with this revision. Its own watch yields it.
    fn stored(&self, revision: u64) {
        let mut state = self.state();
        state.highest = state.highest.max(revision);
        drop(state);
        self.poll(revision);
    }

    /// The file.
    pub fn sqlite(&self) -> &SqliteRegistry {
        &self.sqlite
    }

    pub(super) fn bucket(&self) -> &dyn Bucket {
        self.bucket.as_ref()
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(super) fn wanted(&self) -> &watch::Sender<u64> {
        &self.wanted
    }

    pub(super) fn report(&self, report: Report<'_>) {
        if let Some(observer) = self.observer.get() {
            observer(report);
        }
    }

    /// Refuses changes from now on. Of a bucket that this hub has never had, nothing is lost.
    pub(super) fn lose(&self, loss: BucketLoss) -> RegistryError {
        let has_had_one = self.sqlite.bucket_id().is_ok_and(|id| id.is_some());
        let mut state = self.state();
        if !has_had_one || state.is_founding {
            return RegistryError::NotFounded;
        }
        let is_new = state.loss.replace(loss) != Some(loss);
        state.is_verified = false;
        state.set_follows(false);
        drop(state);
        if is_new {
            self.report(Report::Lost(loss));
        }
        RegistryError::BucketLost(loss)
    }

    /// Returns the deadline of a change that begins now, or why it is refused.
    pub(super) fn begin_change(&self) -> Result<Instant, RegistryError> {
        let (deadline, is_verified) = {
            let mut state = self.state();
            (state.begin_change(clock::now())?, state.is_verified)
        };
        if !is_verified {
            self.wait_verified(deadline)?;
        }
        Ok(deadline)
    }

    /// Checks that the bucket is the one that is mirrored; one that is being founded is waited for.
    fn wait_verified(&self, deadline: Instant) -> Result<(), RegistryError> {
        loop {
            match self.verify(deadline) {
                Err(RegistryError::NotFounded) if clock::now() + FOUNDING_PAUSE < deadline => {
                    self.runtime.block_on(async { sleep(FOUNDING_PAUSE).await });
                }
                verified => return verified,
            }
        }
    }

    /// Checks that the bucket is the one that is mirrored.
    pub(super) fn verify(&self, deadline: Instant) -> Result<(), RegistryError> {
        self.recognise(self.get(MARKER, deadline)?.as_ref())
    }

    /// Checks that a bucket with this marker is the one that is mirrored.
    pub(super) fn recognise(&self, marker: Option<&Entry>) -> Result<(), RegistryError> {
        let loss = match (marker.map(|entry| self.read_marker(entry).id), self.sqlite.bucket_id()?) {
            (Some(found), Some(ours)) if found == ours => {
                let mut state = self.state();
                state.is_verified = true;
                // An old copy has the same marker: only a comparison shows that it is none any more.
                state.loss = state.loss.filter(|loss| matches!(loss, BucketLoss::RolledBack(_)));
                return Ok(());
            }
            (None, _) => BucketLoss::Wiped,
            (Some(_), _) => BucketLoss::Replaced,
        };
        Err(self.lose(loss))
    }

    /// Returns the marker and its revision.
    pub(super) fn marker(&self, deadline: Instant) -> Result<Option<(Marker, u64)>, RegistryError> {
        let found = self.get(MARKER, deadline)?;
        Ok(found.map(|entry| (self.read_marker(&entry), entry.revision)))
    }

    fn read_marker(&self, entry: &Entry) -> Marker {
        let body = self.key.verify(MARKER, &entry.value);
        let marker = body.and_then(|body| serde_json::from_slice(&body).ok());
        // Somebody else's, who has another cluster's key: it names no bucket of ours.
        marker.unwrap_or(Marker { format: 0, id: String::new() })
    }

    pub(super) fn sign(&self, key: &str, body: &[u8]) -> Bytes {
        self.key.sign(key, body)
    }

    /// Reads a value; `None` if no hub signed it.
    pub(super) fn read(&self, entry: &Entry) -> Result<Option<Versioned>, RegistryError> {
        let Some(body) = self.key.verify(&entry.key, &entry.value) else { return Ok(None) };
        let value = Versioned::from_json(&body);
        value.map(Some).map_err(|error| RegistryError::Store(format!("the shared value {}: {error}", entry.key)))
    }

    /// Puts a value in place of the one with this revision. Returns `None` if that is not the present one.
    pub(super) fn put(
        &self,
        subject: &Subject,
        value: &Versioned,
        expected: u64,
        deadline: Instant,
    ) -> Result<Option<u64>, RegistryError> {
        let json = value.to_json().map_err(|error| RegistryError::Store(error.to_string()))?;
        let key = subject.key();
        let put = self.put_bytes(&key, &self.sign(&key, &json), expected, deadline)?;
        put.into_iter().for_each(|revision| self.stored(revision));
        Ok(put)
    }

    /// Takes a value from the bucket, in its identity's turn, unless the mirror's own holds: then that is put.
    pub(super) fn take(&self, subject: &Subject, entry: Option<&Entry>) -> Result<(), RegistryError> {
        if let Some(entry) = entry
            && let Some(theirs) = self.read(entry)?
            && self.accept(subject, &theirs, entry.revision)?.is_none()
        {
            return Ok(());
        }
        self.settle(subject, self.begin_change()?).map(drop)
    }

    /// Brings a value here and in the bucket together, whoever has the one that holds. Returns true if it changed here.
    pub(super) fn settle(&self, subject: &Subject, deadline: Instant) -> Result<bool, RegistryError> {
        for _ in 0..ATTEMPTS {
            let found = self.get(&subject.key(), deadline)?;
            let expected = found.as_ref().map_or(0, |entry| entry.revision);
            let theirs = found.as_ref().map(|entry| self.read(entry)).transpose()?.flatten();
            let before = self.sqlite.mirrored(subject)?.map(|(ours, _)| ours);
            let ours = match &theirs {
                Some(theirs) => self.accept(subject, theirs, expected)?,
                None => before.clone(),
            };
            let Some(ours) = ours else { return Ok(before != theirs) };
            // Nothing is put into a bucket that is not this cluster's.
            if !self.state().is_founding {
                self.verify(deadline)?;
            }
            if let Some(revision) = self.put(subject, &ours, expected, deadline)? {
                self.accept(subject, &ours, revision)?;
                if !self.state().is_founding {
                    tracing::warn!(target: "hub", "the shared registry had lost {subject}, which was put again");
                    self.report(Report::Healed(subject));
                }
                return Ok(before.as_ref() != Some(&ours));
            }
        }
        Err(RegistryError::Contended)
    }

    /// Looks a value up in the bucket where a change fails on what is here. Returns true if that is another now.
    pub fn refresh(&self, subject: &Subject) -> bool {
        let settled = self.begin_change().and_then(|deadline| self.settle(subject, deadline));
        settled.unwrap_or(false)
    }

    /// Takes a value unless the mirror's own holds, which is returned.
    fn accept(&self, subject: &Subject, theirs: &Versioned, revision: u64) -> Result<Option<Versioned>, RegistryError> {
        match self.sqlite.accept(subject, theirs, revision, false)? {
            Accepted::Taken(before, after) => {
                let (before, after) = (before.as_deref(), after.as_deref());
                if before.is_some() || after.is_some() {
                    self.report(Report::Changed(before, after));
                }
                Ok(None)
            }
            Accepted::Heal(ours) => Ok(Some(ours)),
            Accepted::Unchanged | Accepted::Deferred => Ok(None),
        }
    }
}
