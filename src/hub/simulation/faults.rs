//! What becomes of each message, from a seed: whatever else is said meanwhile, so that a seed always does the same.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::mix;
use crate::hub::cluster::loopback::{Fate, Switch};
use crate::hub::cluster::messages::Subject;
use crate::net::os::clock;

/// The faults between the hubs.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    seed: u64,
    /// Messages of a hundred that are lost.
    loss: u64,
    /// The longest delay.
    delay: Duration,
    /// Nothing passes from one hub to the other.
    cut: HashMap<(usize, usize), Fate>,
    /// The messages so far on each way.
    counts: HashMap<(usize, usize, u64), u64>,
    /// The arrivals of beats.
    beats: HashMap<(usize, usize), Vec<Instant>>,
}

impl Faults {
    pub(super) fn new(seed: u64, switch: &Switch) -> Self {
        let faults = Self::default();
        faults.0.lock().seed = seed;
        let of_switch = faults.clone();
        switch.set_fates(move |from, to, subject| of_switch.0.lock().fate(from, to, subject));
        faults
    }

    pub(super) fn disturb(&self, loss: u64, delay: Duration) {
        let mut state = self.0.lock();
        (state.loss, state.delay) = (loss, delay);
    }

    /// Cuts one direction: what is said is lost, or the engine knows that nobody is there.
    pub(super) fn cut(&self, from: usize, to: usize, is_noticed: bool) {
        let fate = if is_noticed { Fate::NobodyThere } else { Fate::Lost };
        self.0.lock().cut.insert((from, to), fate);
    }

    pub(super) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    pub(super) fn cuts(&self) -> HashSet<(usize, usize)> {
        self.0.lock().cut.keys().copied().collect()
    }

    /// The time since a hub's last beat arrived at another.
    pub(super) fn silence(&self, from: usize, to: usize) -> Duration {
        let (now, state) = (clock::now(), self.0.lock());
        let arrived = state.beats.get(&(from, to)).into_iter().flatten().filter(|at| **at <= now);
        arrived.max().map_or(Duration::MAX, |last| now.saturating_duration_since(*last))
    }
}

impl State {
    fn fate(&mut self, from: usize, to: usize, subject: Option<Subject>) -> Fate {
        if from == to {
            return Fate::Arrives(Duration::ZERO);
        }
        let kind = match subject {
            None => 0,
            Some(Subject::Beats) => 1,
            Some(Subject::Presence) => 2,
            Some(Subject::Who) => 3,
            Some(Subject::Requests(_)) => 4,
            Some(Subject::Cancellations(_)) => 5,
            Some(Subject::Waiting) => 6,
        };
        let count = self.counts.entry((from, to, kind)).or_default();
        *count += 1;
        if let Some(cut) = self.cut.get(&(from, to)) {
            return *cut;
        }
        let place = u64::try_from(from * 8 + to).unwrap_or_default() << 8 | kind;
        let draw = mix(mix(self.seed ^ place << 32) ^ *count);
        if draw % 100 < self.loss {
            return Fate::Lost;
        }
        let delay =
            Duration::from_millis((draw >> 32) % (u64::try_from(self.delay.as_millis()).unwrap_or_default() + 1));
        if kind == 1 {
            self.beats.entry((from, to)).or_default().push(clock::now() + delay);
        }
        Fate::Arrives(delay)
    }
}
