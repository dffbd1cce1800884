//! How much more the hub can take: file descriptors and memory. New streams are the first to be refused, then
//! strangers; what runs is left alone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::{clock, usage};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Descriptors that no connection gets: for the registry, the logs, the admin socket. A quarter where there are few.
const RESERVED_DESCRIPTORS: usize = 64;

/// As many files as Linux lets one process have where nothing else is set (`fs.nr_open`): a limit for systems that name none.
const MOST_CONNECTIONS: usize = 1 << 20;

/// Each stream has two connections, and while it is being made a third.
const DESCRIPTORS_PER_STREAM: usize = 3;

/// Shares of the memory budget, in thousandths, at which new streams, and then strangers, are refused. Between them is
/// what running streams may still come to need.
const NO_STREAMS: u64 = 850;
const NO_STRANGERS: u64 = 920;

/// How old a look at memory may be: it fills at some hundred MiB a second at most, and a look costs a few files.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What is left.
#[derive(Debug)]
pub(super) struct Pressure {
    connections: AtomicUsize,
    most_connections: usize,
    budget: Option<u64>,
    /// When memory was looked at, and how much of the budget is in use, in thousandths.
    memory: Mutex<(Instant, u64)>,
}

/// A connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Pressure>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Short {
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
        let most_connections = left.min(MOST_CONNECTIONS);
        let memory = Mutex::new((clock::now(), share(budget)));
        Self { connections: AtomicUsize::new(0), most_connections, budget, memory }
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
    pub(super) fn most_connections(&self) -> usize {
        self.most_connections
    }

    /// A place for one more connection.
    pub(super) fn connect(self: &Arc<Self>) -> Result<Place, Short> {
        if self.memory() >= NO_STRANGERS {
            return Err(Short::Memory);
        }
        let place = Place(self.clone());
        let before = self.connections.fetch_add(1, Ordering::Relaxed);
        if before < self.most_connections { Ok(place) } else { Err(Short::Descriptors) }
    }

    /// Whether there is room for one more stream.
    pub(super) fn has_room_for_stream(&self) -> Result<(), Refusal> {
        let memory = self.memory();
        if memory >= NO_STREAMS {
            let detail = format!("{} % of its memory are in use", memory / 10);
            return Err(Refusal::new(RefusalKind::HubBusy, detail));
        }
        let connections = self.connections.load(Ordering::Relaxed);
        if connections + DESCRIPTORS_PER_STREAM > self.most_connections {
            let detail =
                format!("{connections} connections of the {} that its file descriptors allow", self.most_connections);
            return Err(Refusal::new(RefusalKind::HubBusy, detail));
        }
        Ok(())
    }

    /// What is wrong, if anything is.
    pub(super) fn complaint(&self) -> Option<String> {
        self.has_room_for_stream().err().map(|refusal| format!("no new streams: {}", refusal.detail.as_str()))
    }

    /// How much of the budget is in use, in thousandths.
    fn memory(&self) -> u64 {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if now.saturating_duration_since(memory.0) >= LOOK_AGAIN {
            *memory = (now, share(self.budget));
        }
        memory.1
    }
}

/// Nothing where nothing limits it.
fn share(budget: Option<u64>) -> u64 {
    let of_budget = budget.map(|budget| usage::memory().saturating_mul(1000) / budget.max(1));
    of_budget.into_iter().chain(usage::memory_share()).max().unwrap_or(0)
}
