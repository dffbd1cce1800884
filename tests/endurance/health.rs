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
}

/// The usage of the hub and of its clients, in this order, and the number of standby connections between them.
pub(crate) struct Snapshot {
    pub(crate) usage: Vec<(String, Usage)>,
    pub(crate) standbys: usize,
}

impl Snapshot {
    /// The files of the hub, and of its clients together, that are not standby connections: those are kept for minutes,
    /// as many as the busiest moment took.
    fn files(&self) -> [usize; 2] {
        let files = |usage: &[(String, Usage)]| usage.iter().map(|(_, usage)| usage.files).sum::<usize>();
        [&self.usage[..1], &self.usage[1..]].map(|usage| files(usage).saturating_sub(self.standbys))
    }

    /// Returns the files and threads that there are beyond a former snapshot, in all.
    pub(crate) fn left_over(&self, before: &Self) -> (usize, usize) {
        let files = self.files().iter().zip(before.files()).map(|(now, old)| now.saturating_sub(old)).sum();
        let threads = self.usage.iter().zip(&before.usage);
        (files, threads.map(|(now, old)| now.1.threads.saturating_sub(old.1.threads)).sum())
    }

    /// Returns a sentence for the hub, and for the clients, that did not return to the former level.
    pub(crate) fn leaks(&self, before: &Self) -> Vec<String> {
        let slack = [FILES_SLACK, FILES_SLACK * (self.usage.len() - 1)];
        let grown = self.files().into_iter().zip(before.files()).zip(slack).zip(["the hub", "the clients"]);
        let grown = grown.filter(|(((now, old), slack), _)| *now > old + slack);
        let files = grown.map(|(((now, old), _), whose)| {
            format!("{whose} has {now} files beside {} standby connections, and had {old}", self.standbys)
        });
        let threads = self.usage.iter().zip(&before.usage);
        let threads = threads.filter(|(now, old)| now.1.threads > old.1.threads + THREADS_SLACK);
        let threads = threads.map(|(now, old)| format!("{} has {:?}, and had {:?}", now.0, now.1, old.1));
        files.chain(threads).collect()
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
