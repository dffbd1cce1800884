//! Follows the bucket: lists it at the start and after every interruption, compares it with the mirror, then takes each value
//! as it comes. An identity is changed in turn with this hub's own changes of it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, ReadyChunks, StreamExt as _};
use tokio::time::{sleep, sleep_until, timeout};

use super::batches::Remaining;
use super::mirror::{MARKER, Mirror};
use super::state::BucketLoss;
use crate::hub::cluster::bucket::{BucketState, Entry, Update, WatchResult};
use crate::hub::registry::portable::Subject;
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

/// The pause before a bucket that was lost is looked at again: a person restores it.
const LOST_PAUSE: Duration = Duration::from_secs(5);

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

/// Why a watch was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Another hub is ahead of what it yields.
    Behind,
    /// The bucket may have lost something, or has not been compared for long.
    Compare,
}

/// Follows the bucket until dropped.
pub async fn follow(mirror: Arc<Mirror>, cache: RegistryCache) {
    let mut backoff = Backoff::new(RETRY_BASE, RETRY_CAP, Jitter::Quarter);
    let mut start = Start::List;
    loop {
        let mut session = Session::new(mirror.clone(), cache.clone(), start);
        let end = Box::pin(session.run()).await;
        // What waits for its turn is dropped with the session, and comes again.
        let next = Start::After(session.applied());
        let has_advanced = session.has_listed && next != start;
        if has_advanced {
            backoff.reset();
        }
        start = match end {
            Ok(End::Behind) if has_advanced => next,
            Ok(End::Behind) => {
                // Nothing more came from a new watch: somebody has what the bucket has lost.
                mirror.wanted().send_replace(session.seen);
                mirror.state().highest = session.seen;
                Start::List
            }
            Ok(End::Compare) => Start::List,
            Err(error) => {
                mirror.interrupted(&error);
                Start::List
            }
        };
        drop(session);
        let is_lost = mirror.state().loss.is_some();
        sleep(if is_lost { LOST_PAUSE } else { backoff.next_delay(random::u64()) }).await;
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

    /// Follows until there is reason for another watch.
    async fn run(&mut self) -> Result<End, RegistryError> {
        self.verify().await?;
        let mut updates = self.list().await?;
        let listed_at = clock::now();
        let mut wanted = self.mirror.wanted().subscribe();
        let mut behind_since = None;
        let mut next_state = listed_at + STATE_INTERVAL;
        loop {
            let is_behind = *wanted.borrow_and_update() > self.seen;
            behind_since = is_behind.then(|| behind_since.unwrap_or_else(clock::now));
            let behind_until = behind_since.map_or(next_state, |since: Instant| since + MAX_LAG);
            tokio::select! {
                Some(taken) = self.taking.next() => self.taken(taken?),
                next = updates.next() => self.next(next).await?,
                changed = wanted.changed() => if changed.is_err() { return Ok(End::Behind) },
                () = sleep_until(behind_until.into()), if is_behind => return Ok(End::Behind),
                () = sleep_until(next_state.into()) => {
                    next_state = clock::now() + STATE_INTERVAL;
                    if self.may_have_lost().await? || clock::now() > listed_at + LIST_INTERVAL {
                        return Ok(End::Compare);
                    }
                }
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
        self.last_state = Some(self.mirror.answer(self.mirror.bucket().state()).await?);
        self.mirror.followed();
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

    /// The revision up to which everything was taken.
    fn applied(&self) -> u64 {
        self.outstanding.keys().next().map_or(self.seen, |revision| revision.saturating_sub(1))
    }

    /// Records up to which revision everything was taken.
    fn advance(&self) {
        if self.has_listed || self.start != Start::List {
            let mut state = self.mirror.state();
            state.applied = self.applied();
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

    /// Looks for signs that the bucket has lost values, or that some passed this hub by.
    async fn may_have_lost(&mut self) -> Result<bool, RegistryError> {
        let state = self.mirror.answer(self.mirror.bucket().state()).await?;
        let has_lost = self.last_state.as_ref().is_some_and(|last| {
            let has_other_leader = last.leader.is_some() && state.leader.is_some() && last.leader != state.leader;
            has_other_leader || state.keys < last.keys || state.connections != last.connections
        });
        let has_lost = has_lost || state.revision < self.seen;
        self.last_state = Some(state);
        Ok(has_lost)
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
