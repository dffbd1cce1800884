//! Times of many of the same.

use std::fmt;
use std::time::Duration;

/// The median, the 99th percentile and the longest of some times, at least one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) count: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) most: Duration,
}

impl Figures {
    /// The figures of these.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |percent: usize| times[((times.len() * percent).div_ceil(100)).saturating_sub(1)];
        Self { count: times.len(), p50: at(50), p99: at(99), most: at(100) }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50, p99, most } = self;
        write!(f, "{count}: {p50:.1?} p50, {p99:.1?} p99, {most:.1?} at most")
    }
}
