//! Capacity for connections and streams: file descriptors and memory. Under pressure the hub refuses first new streams,
//! then connections; what runs is left alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::net::os::clock;
use crate::net::os::usage;
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

/// The age up to which a memory reading is reused: memory fills at some hundred MiB a second at most, and a reading
/// opens a few files.
const MEMORY_SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// The use of descriptors and memory, and their limits.
#[derive(Debug)]
pub(in crate::hub) struct Pressure {
    connections: AtomicUsize,
    max_connections: usize,
    budget: Option<u64>,
    /// The last memory reading, in thousandths of the budget, and its time.
    memory: Mutex<(Instant, u64)>,
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
        let memory = Mutex::new((clock::now(), share(budget)));
        Self { connections: AtomicUsize::new(0), max_connections, budget, memory }
    }

    /// Returns the memory budget in bytes, or the system's limit.
    pub(in crate::hub) fn budget(&self) -> Option<u64> {
        self.budget.or_else(usage::memory_limit)
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
        if self.memory() >= CONNECTION_REFUSAL_SHARE {
            return Err(Exhausted::Memory);
        }
        let slot = ConnectionSlot(self.clone());
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if before < self.max_connections { Ok(slot) } else { Err(Exhausted::Descriptors) }
    }

    /// Checks that there is capacity for one more stream.
    pub(in crate::hub) fn check_stream_capacity(&self) -> Result<(), Refusal> {
        let memory = self.memory();
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

    /// Returns a warning if new streams are refused.
    pub(in crate::hub) fn warning(&self) -> Option<String> {
        self.check_stream_capacity().err().map(|refusal| format!("no new streams: {}", refusal.detail.as_str()))
    }

    /// Returns the used share of the memory budget, in thousandths.
    fn memory(&self) -> u64 {
        let mut memory = self.memory.lock();
        let now = clock::now();
        if now.saturating_duration_since(memory.0) >= MEMORY_SAMPLE_INTERVAL {
            *memory = (now, share(self.budget));
        }
        memory.1
    }
}

/// Reads the used share; 0 without a limit.
fn share(budget: Option<u64>) -> u64 {
    let of_budget = budget.map(|budget| usage::resident_memory().saturating_mul(1000) / budget.max(1));
    of_budget.into_iter().chain(usage::memory_permille()).max().unwrap_or(0)
}
