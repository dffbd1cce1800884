//! Streams whose peers are not verified yet. Each is verified as the fleet demands that the agent trusted when it was requested,
//! and ends when that is another one.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::net::shutdown::StreamStop;

/// The number of times that the agent has taken another fleet up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Era(u64);

/// The streams whose sessions have not begun. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct UnverifiedStreams(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    era: Era,
    next: u64,
    streams: HashMap<u64, StreamStop>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct UnverifiedStream {
    all: UnverifiedStreams,
    number: u64,
    /// Ends it.
    pub(super) stop: StreamStop,
}

impl UnverifiedStreams {
    /// Returns the present era, for a session that is created now.
    pub(super) fn era(&self) -> Era {
        self.0.lock().era
    }

    /// Adds a stream with a session of this era. It ends with all streams, too.
    pub(super) fn add(&self, era: Era, all: &StreamStop) -> UnverifiedStream {
        let (stop, mut state) = (all.child(), self.0.lock());
        state.next += 1;
        let number = state.next;
        if state.era == era {
            state.streams.insert(number, stop.clone());
        } else {
            stop.request();
        }
        UnverifiedStream { all: self.clone(), number, stop }
    }

    /// Begins another era, which ends them.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.era.0 += 1;
        state.streams.drain().for_each(|(_, stop)| stop.request());
    }
}

impl UnverifiedStream {
    /// Notes that its peer is verified, or need not be: it goes on in another era.
    pub(super) fn verified(&self) {
        self.all.0.lock().streams.remove(&self.number);
    }
}

impl Drop for UnverifiedStream {
    fn drop(&mut self) {
        self.verified();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_end_whose_sessions_are_of_a_former_era_and_have_not_begun() {
        let (unverified, all) = (UnverifiedStreams::default(), StreamStop::default());
        let era = unverified.era();
        let [waiting, verified] = [(); 2].map(|()| unverified.add(era, &all));
        verified.verified();
        unverified.end();
        let [late, present] = [era, unverified.era()].map(|era| unverified.add(era, &all));
        let ended = [&waiting, &verified, &late, &present].map(|stream| stream.stop.is_requested());
        assert_eq!(ended, [true, false, true, false]);
        drop([waiting, verified, late, present]);
        assert!(unverified.0.lock().streams.is_empty() && !all.is_requested());
    }
}
