//! How much more the hub can take: file descriptors and memory. New streams are the first to be refused, then
//! strangers; what runs is left alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::os::clock;
use crate::net::os::usage;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Descriptors that no connection gets: for the registry, the logs, the admin socket. A quarter where there are few.
const RESERVED_DESCRIPTORS: usize = 64;

/// As many files as Linux lets one process have where nothing else is set (`fs.nr_open`): a limit for systems that name none.
const MAX_CONNECTIONS: usize = 1 << 20;

/// Each stream has two connections, and while it is being made a third.
const DESCRIPTORS_PER_STREAM: usize = 3;

/// Shares of the memory budget, in thousandths, at which new streams, and then strangers, are refused. Between them is
/// what running streams may still come to need.
const STREAM_REFUSAL_SHARE: u64 = 850;
const CONNECTION_REFUSAL_SHARE: u64 = 920;

/// How old a look at memory may be: it fills at some hundred MiB a second at most, and a look costs a few files.
const MEMORY_SAMPLE_INTERVAL: Duration = Duration::from_millis(50);

/// What is left.
#[derive(Debug)]
pub(super) struct Pressure {
    connections: AtomicUsize,
    max_connections: usize,
    budget: Option<u64>,
    /// When memory was looked at, and how much of the budget is in use, in thousandths.
    memory: Mutex<(Instant, u64)>,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot(Arc<Pressure>);

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exhausted {
    /// Of file descriptors.
    Descriptors,
    /// Of memory.
    Memory,
}

impl Pressure {
    /// As the process was started, with what it has open by now.
    pub(super) fn new(budget: Option<u64>) -> Self {
        let (open, limit) = usage::descriptors();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let reserved = RESERVED_DESCRIPTORS.min(limit / 4);
        let left = limit.saturating_sub(reserved).saturating_sub(usize::try_from(open).unwrap_or(0));
        let max_connections = left.min(MAX_CONNECTIONS);
        let memory = Mutex::new((clock::now(), share(budget)));
        Self { connections: AtomicUsize::new(0), max_connections, budget, memory }
    }

    /// What memory is held to.
    pub(super) fn budget(&self) -> Option<u64> {
        self.budget.or_else(usage::memory_limit)
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// How many connections there can be.
    pub(super) fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// A place for one more connection.
    pub(super) fn acquire(self: &Arc<Self>) -> Result<ConnectionSlot, Exhausted> {
        if self.memory() >= CONNECTION_REFUSAL_SHARE {
            return Err(Exhausted::Memory);
        }
        let slot = ConnectionSlot(self.clone());
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if before < self.max_connections { Ok(slot) } else { Err(Exhausted::Descriptors) }
    }

    /// Whether there is room for one more stream.
    pub(super) fn check_stream_capacity(&self) -> Result<(), Refusal> {
        let memory = self.memory();
        if memory >= STREAM_REFUSAL_SHARE {
            let detail = format!("{} % of its memory are in use", memory / 10);
            return Err(Refusal::new(RefusalKind::HubBusy, detail));
        }
        let connections = self.connections.load(Ordering::Relaxed);
        if connections + DESCRIPTORS_PER_STREAM > self.max_connections {
            let detail =
                format!("{connections} connections of the {} that its file descriptors allow", self.max_connections);
            return Err(Refusal::new(RefusalKind::HubBusy, detail));
        }
        Ok(())
    }

    /// What is wrong, if anything is.
    pub(super) fn warning(&self) -> Option<String> {
        self.check_stream_capacity().err().map(|refusal| format!("no new streams: {}", refusal.detail.as_str()))
    }

    /// How much of the budget is in use, in thousandths.
    fn memory(&self) -> u64 {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if now.saturating_duration_since(memory.0) >= MEMORY_SAMPLE_INTERVAL {
            *memory = (now, share(self.budget));
        }
        memory.1
    }
}

/// Nothing where nothing limits it.
fn share(budget: Option<u64>) -> u64 {
    let of_budget = budget.map(|budget| usage::resident_memory().saturating_mul(1000) / budget.max(1));
    of_budget.into_iter().chain(usage::memory_permille()).max().unwrap_or(0)
}
