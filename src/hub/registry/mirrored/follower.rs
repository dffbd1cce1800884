//! Follows the bucket: lists it at the start and after every interruption, compares it with the mirror, then takes each value
//! as it comes. An identity is changed in turn with this hub's own changes of it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, ReadyChunks, StreamExt as _};
use tokio::time::{sleep, sleep_until, timeout};

use super::engine::CALL_TIMEOUT;
use super::mirror::{MARKER, Mirror};
use super::state::BucketLoss;
use crate::hub::cluster::bucket::{BucketError, BucketState, Entry, Update, WatchResult};
use crate::hub::registry::portable::Subject;
use crate::hub::registry::sqlite::Accepted;
use crate::hub::registry::{RegistryCache, RegistryError};
use crate::net::os::{clock, random};
use crate::proto::backoff::{Backoff, Jitter};

/// How long the mirror may be behind another hub before it does not rely on its watch any more.
const MAX_LAG: Duration = Duration::from_millis(500);

/// The delays before the bucket is followed anew. With the longest one a hub is back within 5 s of the engine's return.
const RETRY_BASE: Duration = Duration::from_millis(50);
const RETRY_CAP: Duration = Duration::from_secs(2);

/// The deadline for the next values of a list.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// The interval at which the bucket's state is looked at: one small request a hub.
const STATE_INTERVAL: Duration = Duration::from_secs(5);

/// The interval at which the whole bucket is compared with the mirror, whatever happens: a loss that nothing else shows.
const LIST_INTERVAL: Duration = Duration::from_secs(600);

/// The limit on values that the bucket has lost and gets back without being asked. A server that loses its last writes lacks a
/// few; one that lacks more is an old copy, and a person says which holds.
pub(super) const MAX_HEALED: usize = 64;

/// The limit on values that are taken in one transaction.
const BATCH: usize = 512;

/// The limit on values that wait for the turn of their identity.
const MAX_WAITING: usize = 64;

/// Where the next watch begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// With everything, which is compared.
    List,
    /// After this revision.
    After(u64),
}

/// Follows the bucket until dropped.
pub async fn follow(mirror: Arc<Mirror>, cache: RegistryCache) {
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_CAP, Jitter::Quarter);
    let mut start = Start::List;
    loop {
        let mut session = Session::new(mirror.clone(), cache.clone(), start);
        let end = Box::pin(session.run()).await;
        let seen = session.seen;
        let has_advanced = session.has_listed && Start::After(seen) != start;
        if has_advanced {
            backoff.reset();
        }
        start = match end {
            Ok(()) if has_advanced => Start::After(seen),
            Ok(()) => {
                // Nothing more came from a new watch: somebody has what the bucket has lost.
                mirror.wanted().send_replace(seen);
                mirror.state().highest = seen;
                Start::List
            }
            Err(error) => {
                mirror.interrupted(&error);
                Start::List
            }
        };
        sleep(backoff.next_delay(random::u64())).await;
    }
}

/// Compares the mirror with the bucket once.
#[cfg(test)]
pub(super) async fn catch_up(mirror: Arc<Mirror>, cache: RegistryCache) -> Result<(), RegistryError> {
    let mut session = Session::new(mirror, cache, Start::List);
    session.verify().await?;
    drop(session.list().await?);
    while let Some(taken) = session.taking.next().await {
        session.taken(taken?);
    }
    Ok(())
}

impl Mirror {
    /// Waits for a call of the bucket.
    async fn answer<T>(&self, call: impl Future<Output = Result<T, BucketError>>) -> Result<T, RegistryError> {
        let done = timeout(CALL_TIMEOUT, call).await;
        let done = done.unwrap_or_else(|_| Err(BucketError::Unreachable("no answer in time".into())));
        self.note(&done);
        done.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: BucketError) -> RegistryError {
        match error {
            BucketError::Missing => self.lose(BucketLoss::Deleted),
            error @ (BucketError::Conflict | BucketError::Unreachable(_)) => {
                RegistryError::Unreachable(error.to_string())
            }
        }
    }

    fn interrupted(&self, error: &RegistryError) {
        let mut state = self.state();
        let error = error.to_string();
        if state.last_error.as_ref() != Some(&error) || state.follows {
            tracing::warn!(target: "hub", "the registry of the other hubs is not followed: {error}; trying again");
        }
        state.last_error = Some(error);
        state.set_follows(false);
    }

    /// Takes the values that change no identity of the mirror, and returns what remains to be done with each.
    fn absorb(&self, entries: &[Entry]) -> Result<Vec<Remaining>, RegistryError> {
        let mut remaining = vec![Remaining::Nothing; entries.len()];
        let (mut indices, mut values) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let Some(subject) = Subject::of_key(&entry.key) else { continue };
            match self.read(entry) {
                Ok(Some(value)) => {
                    indices.push(index);
                    values.push((subject, value, entry.revision));
                }
                // What no hub has signed is no value: the mirror's own is put in its place.
                Ok(None) => remaining[index] = Remaining::Healing,
                // A later version's: it stays, and is unknown here.
                Err(error) => {
                    tracing::error!(target: "hub", "{error}");
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
enum Remaining {
    Nothing,
    /// It is taken in the turn of its identity.
    Turn,
    /// The mirror's own holds.
    Healing,
}

/// One watch, from its start to its end.
struct Session {
    mirror: Arc<Mirror>,
    cache: RegistryCache,
    start: Start,
    /// The highest revision that was yielded.
    seen: u64,
    has_listed: bool,
    listed: Listed,
    /// What the bucket lacks, found while it is listed.
    lost: Vec<Subject>,
    taking: FuturesUnordered<BoxFuture<'static, Result<u64, RegistryError>>>,
    /// The revisions that are being taken, with their numbers.
    outstanding: BTreeMap<u64, usize>,
    last_state: Option<BucketState>,
}

/// Hashes of the keys that were listed: a million take 16 MB.
#[derive(Default)]
struct Listed(RandomState, HashSet<u64>);

impl Listed {
    fn add(&mut self, key: &str) {
        self.1.insert(self.0.hash_one(key));
    }

    fn has(&self, key: &str) -> bool {
        self.1.contains(&self.0.hash_one(key))
    }
}

type Updates = ReadyChunks<BoxStream<'static, WatchResult>>;

impl Session {
    fn new(mirror: Arc<Mirror>, cache: RegistryCache, start: Start) -> Self {
        let seen = if let Start::After(seen) = start { seen } else { 0 };
        Self {
            mirror,
            cache,
            start,
            seen,
            has_listed: false,
            listed: Listed::default(),
            lost: Vec::new(),
            taking: FuturesUnordered::new(),
            outstanding: BTreeMap::new(),
            last_state: None,
        }
    }

    /// Follows. Returns once another hub is ahead of what the watch yields, or with the error that ended it.
    async fn run(&mut self) -> Result<(), RegistryError> {
        self.verify().await?;
        let mut updates = self.list().await?;
        let listed_at = clock::now();
        let mut wanted = self.mirror.wanted().subscribe();
        let mut behind_since = None;
        let mut next_state = listed_at + STATE_INTERVAL;
        loop {
            let is_behind = *wanted.borrow_and_update() > self.seen;
            behind_since = is_behind.then(|| behind_since.unwrap_or_else(clock::now));
            let behind_until = behind_since.map_or(listed_at + LIST_INTERVAL, |since: Instant| since + MAX_LAG);
            tokio::select! {
                Some(taken) = self.taking.next() => self.taken(taken?),
                next = updates.next() => self.next(next).await?,
                changed = wanted.changed() => if changed.is_err() { return Ok(()) },
                () = sleep_until(behind_until.into()), if is_behind => return Ok(()),
                () = sleep_until(next_state.into()) => {
                    next_state = clock::now() + STATE_INTERVAL;
                    self.look_at_state().await?;
                }
            }
            if clock::now() > listed_at + LIST_INTERVAL {
                return Err(RegistryError::Unreachable("it is compared once more".into()));
            }
        }
    }

    /// Checks that the bucket is the one that is mirrored.
    async fn verify(&mut self) -> Result<(), RegistryError> {
        let marker = self.mirror.answer(self.mirror.bucket().get(MARKER)).await?;
        self.blocking(move |mirror| mirror.recognise(marker.as_ref())).await
    }

    /// Takes what is in the bucket, and returns the watch for what comes.
    async fn list(&mut self) -> Result<Updates, RegistryError> {
        let after = if let Start::After(revision) = self.start { revision } else { 0 };
        let mut updates = self.mirror.answer(self.mirror.bucket().watch(after)).await?.ready_chunks(BATCH);
        while !self.has_listed {
            let silent = || RegistryError::Unreachable("the list of values came to a halt".into());
            let next = timeout(LIST_TIMEOUT, updates.next()).await.map_err(|_| silent())?;
            self.next(next).await?;
        }
        if self.start == Start::List {
            self.compare().await?;
        }
        self.look_at_state().await?;
        let mut state = self.mirror.state();
        state.last_error = None;
        state.set_follows(true);
        drop(state);
        Ok(updates)
    }

    /// Takes the next values of the watch.
    async fn next(&mut self, next: Option<Vec<WatchResult>>) -> Result<(), RegistryError> {
        let next = next.ok_or_else(|| RegistryError::Unreachable("the watch ended".into()))?;
        let is_compared = self.start == Start::List && !self.has_listed;
        let mut entries = Vec::with_capacity(next.len());
        for update in next {
            match update.map_err(|error| self.mirror.failed(error))? {
                Update::Entry(entry) => entries.push(entry),
                Update::Listed => self.has_listed = true,
            }
        }
        if is_compared {
            entries.iter().for_each(|entry| self.listed.add(&entry.key));
        }
        if entries.iter().any(|entry| entry.key == MARKER) {
            self.verify().await?;
        }
        let absorbing = self.blocking(move |mirror| mirror.absorb(&entries).map(|remaining| (entries, remaining)));
        let (entries, remaining) = absorbing.await?;
        for (entry, remaining) in entries.into_iter().zip(remaining) {
            self.seen = self.seen.max(entry.revision);
            let (Some(subject), revision) = (Subject::of_key(&entry.key), entry.revision) else { continue };
            match remaining {
                Remaining::Nothing => {}
                Remaining::Turn => self.take(subject, Some(entry), revision).await?,
                Remaining::Healing if is_compared => self.lost.push(subject),
                Remaining::Healing => self.take(subject, None, revision).await?,
            }
        }
        // Enough to know.
        self.lost.truncate(MAX_HEALED + 1);
        self.advance();
        Ok(())
    }

    /// Takes a value in its identity's turn.
    async fn take(&mut self, subject: Subject, entry: Option<Entry>, revision: u64) -> Result<(), RegistryError> {
        while self.taking.len() >= MAX_WAITING {
            if let Some(taken) = self.taking.next().await {
                self.taken(taken?);
            }
        }
        *self.outstanding.entry(revision).or_default() += 1;
        let (mirror, cache) = (self.mirror.clone(), self.cache.clone());
        self.taking.push(Box::pin(async move {
            let taken = subject.clone();
            let work = move |_: &dyn crate::hub::registry::Registry| mirror.take(&taken, entry.as_ref());
            match &subject {
                Subject::Identity(principal) => cache.change(principal, work).await?,
                Subject::Enrolment(_) => cache.with(work).await?,
            }
            Ok(revision)
        }));
        Ok(())
    }

    fn taken(&mut self, revision: u64) {
        if let Some(count) = self.outstanding.get_mut(&revision) {
            *count -= 1;
            if *count == 0 {
                self.outstanding.remove(&revision);
            }
        }
        self.advance();
    }

    /// Records up to which revision everything was taken.
    fn advance(&self) {
        let is_compared = self.has_listed || self.start != Start::List;
        let applied = self.outstanding.keys().next().map_or(self.seen, |revision| revision.saturating_sub(1));
        if is_compared {
            let mut state = self.mirror.state();
            state.applied = applied;
            state.highest = state.highest.max(self.seen);
        }
    }

    /// Compares the list with the mirror, and puts what the bucket lacks.
    async fn compare(&mut self) -> Result<(), RegistryError> {
        let listed = std::mem::take(&mut self.listed);
        let missing = self.blocking(move |mirror| mirror.sqlite().missing(MAX_HEALED + 1, &|key| listed.has(key)));
        let missing = missing.await?;
        self.lost.extend(missing);
        if self.lost.len() > MAX_HEALED {
            return Err(self.mirror.lose(BucketLoss::RolledBack(self.lost.len())));
        }
        self.mirror.state().loss = None;
        for subject in std::mem::take(&mut self.lost) {
            self.take(subject, None, self.seen).await?;
        }
        Ok(())
    }

    /// Looks for signs that the bucket has lost values.
    async fn look_at_state(&mut self) -> Result<(), RegistryError> {
        let state = self.mirror.answer(self.mirror.bucket().state()).await?;
        let has_lost = self.last_state.as_ref().is_some_and(|last| {
            let has_other_leader = last.leader.is_some() && state.leader.is_some() && last.leader != state.leader;
            has_other_leader || state.keys < last.keys || state.connections != last.connections
        });
        if has_lost || state.revision < self.seen {
            return Err(RegistryError::Unreachable("it may have lost values, and is compared".into()));
        }
        self.last_state = Some(state);
        Ok(())
    }

    /// Runs work of the mirror on a blocking thread.
    fn blocking<R: Send + 'static, F: FnOnce(&Mirror) -> Result<R, RegistryError> + Send + 'static>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<R, RegistryError>> + Send + use<R, F> {
        let (mirror, cache) = (self.mirror.clone(), self.cache.clone());
        async move { cache.with(move |_| work(&mirror)).await }
    }
}
