//! The memory that the streams of one client share: bytes received and not delivered, bytes sent and not acknowledged.
//!
//! Part of the budget, at most half, is reserved: [`STREAM_RESERVE`] for each direction of each stream that the client
//! may have. The rest is a pool. A direction that holds more than its reserve takes the excess from the pool, and no
//! more than it leaves free there: however many take all they can, there is some left. All directions together hold no
//! more than the budget, and one message each where the local side does not read: a message is received whole.
//!
//! A window that was granted cannot be taken back. Those of all streams together are half of the pool, so that readers
//! that stall do not use it up, as long as each can have [`INITIAL_WINDOW`].
//!
//! A few streams at a time may receive more than their share: those that are deadlocked without it, since the
//! acknowledgements that would let them send come after the bytes that they may not receive.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::proto::limits::{INITIAL_WINDOW, MAX_WINDOW, MEMORY_BUDGET, STREAM_RESERVE, STREAMS_PER_CLIENT};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::text;

/// The limits of one client's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// The number of streams.
    pub max_streams: usize,
    /// The bytes that all of them hold.
    pub memory_budget: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { max_streams: STREAMS_PER_CLIENT, memory_budget: MEMORY_BUDGET }
    }
}

impl ClientLimits {
    /// Returns the number of streams that both limits allow.
    pub fn streams(&self) -> usize {
        self.max_streams.min(self.reserves())
    }

    /// Describes the limit that [`Self::streams`] reach first, for a person who may change it.
    pub fn describe(&self) -> String {
        let streams = self.streams();
        if self.max_streams <= self.reserves() {
            format!("--max-streams is {streams}")
        } else {
            format!("--memory-budget has room for {}", text::count(streams, "stream"))
        }
    }

    /// Returns the refusal of a stream beyond the limits.
    pub fn refusal(&self) -> Refusal {
        Refusal::new(RefusalKind::DeviceBusy, self.describe())
    }

    /// Returns the number of streams whose reserves fit in half of the budget.
    fn reserves(&self) -> usize {
        usize::try_from(self.memory_budget / 2 / (2 * STREAM_RESERVE)).unwrap_or(usize::MAX).max(1)
    }

    /// Returns the size of the pool, in bytes.
    fn pool(&self) -> u64 {
        let reserved = u64::try_from(self.streams()).unwrap_or(u64::MAX).saturating_mul(2 * STREAM_RESERVE);
        self.memory_budget.saturating_sub(reserved)
    }
}

/// The part of the pool's size that streams may hold beyond it to leave a deadlock.
const EXCESS_PART_OF_POOL: u64 = 16;

/// The pool of one client.
#[derive(Debug)]
struct Pool {
    size: u64,
    used: AtomicU64,
    streams: AtomicU64,
    /// The number of streams that may receive more than their share now.
    excesses: AtomicU64,
}

impl Pool {
    /// Reports whether one stream more may receive more than its share, and counts it.
    fn add_excess(&self) -> bool {
        let limit = (self.size / EXCESS_PART_OF_POOL / INITIAL_WINDOW).max(1);
        let add = |excesses| (excesses < limit).then_some(excesses + 1);
        self.excesses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }
}

/// The memory of one client's streams. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::net) struct StreamMemory(Arc<Pool>);

impl StreamMemory {
    /// Creates the memory of a client without streams.
    pub(in crate::net) fn new(limits: &ClientLimits) -> Self {
        let [used, streams, excesses] = [0; 3].map(AtomicU64::new);
        Self(Arc::new(Pool { size: limits.pool(), used, streams, excesses }))
    }

    /// Creates the shares of one more stream, which holds nothing.
    pub(in crate::net) fn open_stream(&self) -> StreamShares {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
        StreamShares { sending: self.share(), receiving: self.share(), has_excess: AtomicBool::new(false) }
    }

    fn share(&self) -> MemoryShare {
        MemoryShare { pool: self.0.clone(), taken: AtomicU64::new(0) }
    }
}

/// The shares of one stream. Dropped, they return what they have taken from the pool.
#[derive(Debug)]
pub(in crate::net) struct StreamShares {
    /// Bytes sent and not acknowledged.
    pub(in crate::net) sending: MemoryShare,
    /// Bytes received and not delivered.
    pub(in crate::net) receiving: MemoryShare,
    /// The stream may receive more than its share.
    has_excess: AtomicBool,
}

impl StreamShares {
    /// Returns the number of bytes that may be received and not delivered.
    pub(in crate::net) fn receiving_limit(&self) -> u64 {
        let excess = if self.has_excess() { INITIAL_WINDOW } else { 0 };
        self.receiving.limit() + excess
    }

    /// Reports whether more than the share may be received.
    pub(in crate::net) fn has_excess(&self) -> bool {
        self.has_excess.load(Ordering::Relaxed)
    }

    /// Allows [`INITIAL_WINDOW`] more to be received, until [`Self::end_excess`]; reports whether that is allowed now.
    pub(in crate::net) fn allow_excess(&self) -> bool {
        let allowed = self.has_excess() || self.receiving.pool.add_excess();
        self.has_excess.store(allowed, Ordering::Relaxed);
        allowed
    }

    /// Leaves the excess to another stream.
    pub(in crate::net) fn end_excess(&self) {
        if self.has_excess.swap(false, Ordering::Relaxed) {
            self.receiving.pool.excesses.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Returns the largest window to grant.
    pub(in crate::net) fn window(&self) -> u64 {
        let Pool { size, streams, .. } = &*self.receiving.pool;
        let equal_share = size / 2 / streams.load(Ordering::Relaxed).max(1);
        equal_share.max(INITIAL_WINDOW).min(self.receiving.limit())
    }
}

impl Drop for StreamShares {
    fn drop(&mut self) {
        self.end_excess();
        self.receiving.pool.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The share of one direction of a stream.
#[derive(Debug)]
pub(in crate::net) struct MemoryShare {
    pool: Arc<Pool>,
    /// Taken from the pool. Changed by the stream's task only.
    taken: AtomicU64,
}

impl MemoryShare {
    /// Returns the number of bytes that the direction may hold.
    pub(in crate::net) fn limit(&self) -> u64 {
        let others = self.pool.used.load(Ordering::Relaxed).saturating_sub(self.taken.load(Ordering::Relaxed));
        (STREAM_RESERVE + self.pool.size.saturating_sub(others) / 2).min(MAX_WINDOW)
    }

    /// Records the number of bytes that the direction holds.
    pub(in crate::net) fn set_held(&self, bytes: u64) {
        let (before, after) = (self.taken.load(Ordering::Relaxed), bytes.saturating_sub(STREAM_RESERVE));
        if before == after {
            return;
        }
        self.taken.store(after, Ordering::Relaxed);
        if after > before {
            self.pool.used.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.pool.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.set_held(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::limits::{MIN_MEMORY_BUDGET, STREAMS_PER_DEVICE, STREAMS_PER_SERVICE};

    const MIB: u64 = 1024 * 1024;

    /// Has every direction hold all that it may, until none takes more; returns the sum of what they hold.
    fn hold_all(shares: &[MemoryShare], held: &mut [u64]) -> u64 {
        loop {
            let before = held.to_vec();
            for (share, held) in shares.iter().zip(held.iter_mut()) {
                *held = share.limit().max(*held);
                share.set_held(*held);
            }
            if *held == before {
                return held.iter().sum();
            }
        }
    }

    #[test]
    fn the_default_budget_is_enough_for_every_stream_and_for_one_that_is_alone() {
        let limits = ClientLimits::default();
        assert!(limits.streams() >= STREAMS_PER_DEVICE.max(STREAMS_PER_SERVICE));
        let alone = StreamMemory::new(&limits).open_stream();
        assert_eq!((alone.sending.limit(), alone.window()), (MAX_WINDOW, MAX_WINDOW));
    }

    #[test]
    fn all_streams_together_hold_no_more_than_the_budget_and_each_has_its_reserve() {
        for (max_streams, memory_budget) in [(1, MIN_MEMORY_BUDGET), (16, MIB), (100, 8 * MIB), (2048, 128 * MIB)] {
            let limits = ClientLimits { max_streams, memory_budget };
            let memory = StreamMemory::new(&limits);
            // Half of the streams take all they can before the others come.
            let half: Vec<_> = (0..limits.streams()).map(|_| memory.share()).collect();
            let mut held = vec![0; half.len()];
            hold_all(&half, &mut held);
            let others: Vec<_> = (0..limits.streams()).map(|_| memory.share()).collect();
            let mut held_by_others = vec![0; others.len()];
            let sum = hold_all(&others, &mut held_by_others) + held.iter().sum::<u64>();
            assert!(sum <= memory_budget, "{limits:?}: {sum}");
            assert!(held_by_others.iter().all(|held| *held >= STREAM_RESERVE));
            drop((half, others));
            assert_eq!(memory.0.used.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn a_stream_that_holds_all_it_may_leaves_as_much_to_another() {
        let memory = StreamMemory::new(&ClientLimits { max_streams: 1, memory_budget: 8 * MIB });
        let (first, second) = (memory.share(), memory.share());
        let alone = hold_all(std::slice::from_ref(&first), &mut [0]);
        assert!(alone > 3 * MIB);
        assert!(second.limit() > alone / 2);
    }

    #[test]
    fn readers_that_stall_at_once_hold_no_more_than_half_of_the_pool() {
        let memory = StreamMemory::new(&ClientLimits::default());
        let streams: Vec<_> = (0..100).map(|_| memory.open_stream()).collect();
        let windows: u64 = streams.iter().map(StreamShares::window).sum();
        assert!(windows <= memory.0.size / 2);
        let many: Vec<_> = (0..1000).map(|_| memory.open_stream()).collect();
        assert_eq!(many[0].window(), INITIAL_WINDOW);
        drop((streams, many));
        assert_eq!(memory.open_stream().window(), MAX_WINDOW, "closed streams leave their part to others");
    }

    #[test]
    fn the_limit_that_is_reached_first_is_the_one_that_is_named() {
        let few = ClientLimits { max_streams: 3, memory_budget: 128 * MIB };
        let small = ClientLimits { max_streams: 100, memory_budget: MIB };
        assert_eq!((few.streams(), few.describe()), (3, "--max-streams is 3".into()));
        assert_eq!((small.streams(), small.describe()), (16, "--memory-budget has room for 16 streams".into()));
    }

    #[test]
    fn clients_do_not_affect_each_other() {
        let limits = ClientLimits::default();
        let (busy, idle) = (StreamMemory::new(&limits), StreamMemory::new(&limits));
        let shares: Vec<_> = (0..100).map(|_| busy.share()).collect();
        hold_all(&shares, &mut vec![0; shares.len()]);
        assert!(busy.share().limit() < MAX_WINDOW);
        assert_eq!(idle.share().limit(), MAX_WINDOW);
        drop(shares);
        assert_eq!(busy.share().limit(), MAX_WINDOW, "what closed streams held is free");
    }
}
