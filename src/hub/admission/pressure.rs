//! Capacity for connections and streams: file descriptors and memory. Under pressure the hub refuses first new streams,
//! then connections; what runs is left alone, but for streams that are not read (`relief`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::relief::{Room, Shortage};
use crate::net::os::usage::{self, MemoryUse};
use crate::net::os::{allocator, clock};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Descriptors reserved for the registry, the logs and the admin socket; at most a quarter of the limit.
const RESERVED_DESCRIPTORS: usize = 64;

/// The default limit of Linux on a process's files (`fs.nr_open`), for systems that name none.
const MAX_CONNECTIONS: usize = 1 << 20;

/// A stream has two connections, and a third during its handshake.
const DESCRIPTORS_PER_STREAM: usize = 3;

/// The shares of the memory budget, in thousandths, at which new streams, and then connections, are refused. Running
/// streams may still need what is between them.
const STREAM_REFUSAL_SHARE: u64 = 850;
const CONNECTION_REFUSAL_SHARE: u64 = 920;

/// The share at which new streams are refused to a service that holds more than its part, and down to which memory is
/// freed for the others: what is between is theirs.
const SCARCE_SHARE: u64 = 800;

/// The age up to which a memory reading is reused: memory fills at some hundred MiB a second at most, and a reading
/// opens a few files.
const MEMORY_SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// How often freed memory is given back while streams are refused, at least to some, so that a hub takes streams again a
/// moment after others have ended; and how many times longer than the CPU time it took, because other threads wait for
/// memory meanwhile. By the clock it takes far longer where others use the CPU, and memory would then be short for seconds
/// more.
const RELEASE_INTERVAL: Duration = Duration::from_secs(1);
const RELEASE_COST: u32 = 50;

/// The use of descriptors and memory, and their limits.
#[derive(Debug)]
pub(in crate::hub) struct Pressure {
    connections: AtomicUsize,
    max_connections: usize,
    budget: Option<u64>,
    /// The memory that the hub took before it had a connection.
    initial_memory: u64,
    memory: Mutex<MemorySample>,
}

/// The last memory reading.
#[derive(Debug)]
struct MemorySample {
    at: Instant,
    /// The use of the tightest limit, if there is one.
    tightest: Option<MemoryUse>,
    /// When freed memory may be given back again.
    next_release: Instant,
    /// Freed memory is given back at once, until there is enough.
    is_released: bool,
    /// The most connections since it was given back, or was not scarce: the memory of closed ones may still be used.
    connections: usize,
}

/// The slot of a connection, released on drop.
#[derive(Debug)]
pub(in crate::hub) struct ConnectionSlot(Arc<Pressure>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The resource that is exhausted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hub) enum Exhausted {
    /// File descriptors.
    Descriptors,
    /// Memory.
    Memory,
}

impl Pressure {
    /// Derives the limits from the process's descriptor limit and the descriptors open by now.
    pub(in crate::hub) fn new(budget: Option<u64>) -> Self {
        let (open, limit) = usage::descriptors();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let reserved = RESERVED_DESCRIPTORS.min(limit / 4);
        let left = limit.saturating_sub(reserved).saturating_sub(usize::try_from(open).unwrap_or(0));
        let max_connections = left.min(MAX_CONNECTIONS);
        let now = clock::now();
        let tightest = tightest(budget);
        let initial_memory = tightest.map_or(0, |memory| memory.used);
        let memory = Mutex::new(MemorySample::new(now, tightest));
        Self { connections: AtomicUsize::new(0), max_connections, budget, initial_memory, memory }
    }

    /// Returns what is used of the memory budget or of the system's limit, whichever is tighter; `None` without a limit.
    pub(in crate::hub) fn memory(&self) -> Option<MemoryUse> {
        let mut memory = self.memory.lock();
        let now = clock::now();
        if now.saturating_duration_since(memory.at) >= MEMORY_SAMPLE_INTERVAL {
            memory.read(now, self.budget, self.connections());
        }
        memory.tightest
    }

    /// Returns the number of connections.
    pub(in crate::hub) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns the limit on connections.
    pub(in crate::hub) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Reserves a slot for a connection.
    pub(in crate::hub) fn acquire(self: &Arc<Self>) -> Result<ConnectionSlot, Exhausted> {
        if self.refuses_connections() {
            return Err(Exhausted::Memory);
        }
        let slot = ConnectionSlot(self.clone());
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if before < self.max_connections { Ok(slot) } else { Err(Exhausted::Descriptors) }
    }

    /// Checks that there is capacity for one more stream.
    pub(in crate::hub) fn check_stream_capacity(&self) -> Result<(), Refusal> {
        let memory = self.memory_permille();
        if memory >= STREAM_REFUSAL_SHARE {
            let detail = format!("{} % of the memory budget used", memory / 10);
            return Err(Refusal::new(RefusalKind::HubBusy, detail));
        }
        let connections = self.connections.load(Ordering::Relaxed);
        if connections + DESCRIPTORS_PER_STREAM > self.max_connections {
            let detail = format!("{connections} of {} connections used, the limit of open files", self.max_connections);
            return Err(Refusal::new(RefusalKind::HubBusy, detail));
        }
        Ok(())
    }

    /// Returns what is missed if streams are refused for lack of memory.
    pub(in crate::hub) fn shortage(&self) -> Option<Shortage> {
        let memory = self.memory().filter(|memory| memory.permille() >= STREAM_REFUSAL_SHARE)?;
        let excess = memory.used.saturating_sub(memory.limit / 1000 * SCARCE_SHARE);
        let is_critical = memory.permille() >= CONNECTION_REFUSAL_SHARE;
        Some(Shortage { room: self.room(memory, self.memory.lock().connections), excess, is_critical })
    }

    /// Returns the room for streams, and the part of the memory that is used, in percent, where
    /// little is left.
    pub(in crate::hub) fn scarce_room(&self) -> Option<(Room, u64)> {
        let memory = self.memory().filter(|memory| memory.permille() >= SCARCE_SHARE)?;
        Some((self.room(memory, self.memory.lock().connections), memory.permille() / 10))
    }

    /// Returns the room for streams after a new reading; `None` without a limit.
    pub(in crate::hub) fn read_room(&self) -> Option<Room> {
        let mut memory = self.memory.lock();
        memory.read(clock::now(), self.budget, self.connections());
        memory.tightest.map(|tightest| self.room(tightest, memory.connections))
    }

    /// Reports whether connections are refused for lack of memory.
    fn refuses_connections(&self) -> bool {
        self.memory_permille() >= CONNECTION_REFUSAL_SHARE
    }

    fn room(&self, memory: MemoryUse, connections: usize) -> Room {
        let [bytes, used] = [memory.limit, memory.used].map(|bytes| bytes.saturating_sub(self.initial_memory));
        Room { bytes, used, connections: u64::try_from(connections).unwrap_or(u64::MAX) }
    }

    /// Returns a warning if new streams are refused, at least to some.
    pub(in crate::hub) fn warning(&self) -> Option<String> {
        let none = self.check_stream_capacity().err();
        let none = none.map(|refusal| format!("no new streams: {}", refusal.detail.as_str()));
        let few = |(_, percent)| {
            format!("no new streams for whoever has more than its share: {percent} % of the memory budget used")
        };
        none.or_else(|| self.scarce_room().map(few))
    }

    fn memory_permille(&self) -> u64 {
        self.memory().map_or(0, MemoryUse::permille)
    }
}

impl MemorySample {
    fn new(now: Instant, tightest: Option<MemoryUse>) -> Self {
        Self { at: now, tightest, next_release: now, is_released: false, connections: 0 }
    }

    /// Reads anew, after giving back what is free if streams would be refused, at least to some.
    fn read(&mut self, now: Instant, budget: Option<u64>, connections: usize) {
        self.at = now;
        self.tightest = tightest(budget);
        let used = self.tightest.map_or(0, MemoryUse::permille);
        if used >= SCARCE_SHARE && now >= self.next_release {
            let took = allocator::release_freed_memory();
            self.is_released = true;
            self.next_release = now + RELEASE_INTERVAL.max(took * RELEASE_COST);
            self.tightest = tightest(budget);
            self.connections = 0;
        } else if used < SCARCE_SHARE && std::mem::take(&mut self.is_released) {
            allocator::retain_freed_memory();
        }
        let is_scarce = self.tightest.is_some_and(|memory| memory.permille() >= SCARCE_SHARE);
        self.connections = if is_scarce { self.connections.max(connections) } else { connections };
    }
}

fn tightest(budget: Option<u64>) -> Option<MemoryUse> {
    let of_budget = budget.map(|limit| MemoryUse { used: usage::anonymous_memory(), limit });
    of_budget.into_iter().chain(usage::memory_limits()).max_by_key(|memory| memory.permille())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many leave at once, as at the end of an attack: the memory that they held is not that of streams.
    #[test]
    fn connections_that_were_closed_count_until_their_memory_was_given_back() {
        let (start, hour) = (clock::now(), Duration::from_secs(3600));
        let mut memory = MemorySample::new(start, None);
        let mut after = |hours: u32, budget, connections| {
            memory.read(start + hours * hour, Some(budget), connections);
            memory.connections
        };
        let (ample, short) = (1 << 50, 1);
        assert_eq!([after(0, ample, 9), after(0, ample, 2)], [9, 2], "no memory is short");
        assert_eq!([after(0, short, 20), after(0, short, 3), after(0, short, 4)], [20, 20, 20]);
        assert_eq!([after(1, short, 3), after(1, short, 5), after(1, short, 4)], [3, 5, 5], "it was given back");
        assert_eq!(after(1, ample, 4), 4);
    }

    #[test]
    fn freed_memory_is_given_back_where_streams_are_refused_to_some() {
        let now = clock::now();
        let released_at = |permille| {
            let mut memory = MemorySample::new(now, None);
            // What other tests use at the same time is far less than 1 %.
            memory.read(now, Some(usage::anonymous_memory() * 1000 / permille), 0);
            memory.next_release > now
        };
        assert_eq!([700, 840, 900].map(released_at), [false, true, true]);
    }
}
