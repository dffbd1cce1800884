//! Resource usage of a process and its growth.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::fixture::Fixture;
use super::stop_signal::StopSignal;
use super::support::bytes::MIB;
use super::support::process::Process;

/// Interval between two samples of memory.
const SAMPLE_INTERVAL: Duration = Duration::from_secs(2);

/// Tolerated increase of open files and threads: a runtime's threads come and go, and a log may be open briefly.
const FILES_SLACK: usize = 2;
const THREADS_SLACK: usize = 2;

/// Tolerated growth of memory during the second half: the allocator's share. A leak of 2 KiB for each of the 6,000
/// connections of half an hour exceeds it.
const MEMORY_SLACK: u64 = 10 * MIB;

/// The resource usage of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) files: usize,
    pub(crate) threads: usize,
    pub(crate) memory: u64,
}

impl Usage {
    pub(crate) fn of(process: &Process) -> Self {
        let count = |what: &Path| fs::read_dir(what).expect("the process runs").count();
        let proc = process.proc();
        Self { files: count(&proc.join("fd")), threads: count(&proc.join("task")), memory: process.memory().now }
    }

    /// Reports whether files and threads are at their former level.
    pub(crate) fn is_back_to(&self, before: &Self) -> bool {
        self.files <= before.files + FILES_SLACK && self.threads <= before.threads + THREADS_SLACK
    }
}

/// The memory of each process over time.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<(String, Vec<u64>)>>);

impl Memory {
    /// Takes samples until the stop signal.
    pub(crate) fn watch(&self, fixture: &Fixture, stop: &StopSignal) {
        while !stop.wait_for(SAMPLE_INTERVAL) {
            let mut all = self.0.lock().unwrap();
            for (at, (name, usage)) in fixture.usage().into_iter().enumerate() {
                if all.len() <= at {
                    all.push((name, Vec::new()));
                }
                all[at].1.push(usage.memory);
            }
        }
    }

    /// Returns the growth of each process: the median of the last third of its samples less that of the first third.
    pub(crate) fn growth(&self) -> Vec<(String, i64)> {
        let middle = |samples: &[u64]| {
            let mut sorted = samples.to_vec();
            sorted.sort_unstable();
            i64::try_from(sorted.get(sorted.len() / 2).copied().unwrap_or(0)).unwrap()
        };
        let all = self.0.lock().unwrap();
        let grown = |samples: &[u64]| {
            let third = samples.len() / 3;
            middle(&samples[samples.len() - third..]) - middle(&samples[..third])
        };
        all.iter().map(|(name, samples)| (name.clone(), grown(samples))).collect()
    }
}

/// Reports whether the growth is more than the allocator's share.
pub(crate) fn leaks(growth: i64) -> bool {
    growth > MEMORY_SLACK as i64
}
