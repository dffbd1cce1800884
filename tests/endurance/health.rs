//! What a process has of the machine, and whether that grows.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use super::bell::Bell;
use super::fixture::Fixture;
use super::support::bytes::MIB;
use super::support::process::Process;

/// How often memory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// A runtime's helpers come and go, and a log may be open for a moment.
const FILES_SLACK: usize = 2;
const THREADS_SLACK: usize = 2;

/// What an allocator may keep more at the end of the second half than at its beginning: of the 6,000 connections that are
/// between in half an hour, a leak of 2 KiB each is more.
const MEMORY_SLACK: u64 = 10 * MIB;

/// Of one process.
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

    /// Whether it has no more files and threads than before.
    pub(crate) fn is_back_to(&self, before: &Self) -> bool {
        self.files <= before.files + FILES_SLACK && self.threads <= before.threads + THREADS_SLACK
    }
}

/// The memory of each process over time.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Vec<(String, Vec<u64>)>>);

impl Memory {
    /// Looks again and again until the bell rings.
    pub(crate) fn watch(&self, fixture: &Fixture, bell: &Bell) {
        while !bell.rings_within(LOOK_EVERY) {
            let mut all = self.0.lock().unwrap();
            for (at, (name, usage)) in fixture.usage().into_iter().enumerate() {
                if all.len() <= at {
                    all.push((name, Vec::new()));
                }
                all[at].1.push(usage.memory);
            }
        }
    }

    /// By how much each process grew: from the first third of what was seen to the last, in the middle of each.
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

/// Whether that is more than what an allocator keeps.
pub(crate) fn leaks(growth: i64) -> bool {
    growth > MEMORY_SLACK as i64
}
