//! PURE. A hybrid clock: times of different hubs that are ordered as one was heard of by the other, whatever their clocks show.

use serde::{Deserialize, Serialize};

/// The bits that count within one millisecond.
const COUNTER_BITS: u32 = 16;

/// A time of a hybrid clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp(u64);

/// One hub's hybrid clock (Kulkarni and others, "Logical Physical Clocks", 2014).
#[derive(Debug, Default)]
pub struct HybridClock {
    last: Stamp,
}

impl HybridClock {
    /// Returns a time after all others of this clock, and after all that it has observed. `wall` is the wall clock in
    /// milliseconds since 1970.
    pub fn next(&mut self, wall: u64) -> Stamp {
        self.last = Stamp((wall << COUNTER_BITS).max(self.last.0.saturating_add(1)));
        self.last
    }

    /// Takes note of another hub's time.
    pub fn observe(&mut self, stamp: Stamp) {
        self.last = self.last.max(stamp);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_later_than_all_that_was_observed_whatever_the_wall_clock_shows() {
        let (mut ahead, mut behind) = (HybridClock::default(), HybridClock::default());
        let first = ahead.next(1_000_000);
        assert!(first > behind.next(1000));
        behind.observe(first);
        let second = behind.next(1000);
        assert!(second > first && behind.next(1000) > second);
        ahead.observe(second);
        assert!(ahead.next(0) > second, "the clock was set back");
        assert!(ahead.next(1_000_001) > second);
    }
}
