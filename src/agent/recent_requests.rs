//! Which request of the hub is served: it repeats one whose connection broke before the response, or before the
//! stream's WebSockets were joined. No input or output, and no clock.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use tokio_util::sync::CancellationToken;

use crate::net::tunnel::pump::Counters;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::StreamId;

/// Requests remembered, the oldest forgotten first: far more than are under way at once.
const MAX_RECENT_REQUESTS: usize = 4096;

/// The connection on which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPath {
    /// The control connection.
    Control,
    /// A standby connection.
    Standby,
}

/// A request that is served, until a repetition supersedes it.
#[derive(Debug)]
pub struct Attempt {
    request: StreamId,
    number: u64,
    /// Ends the work on it: cancelled when a repetition supersedes it, or the hub cancels the request.
    pub superseded: Arc<CancellationToken>,
    /// The bytes that the stream has carried.
    pub counters: Arc<Counters>,
    /// An earlier attempt was still running, and gave its place to this one.
    pub replaces_running: bool,
}

/// The latest attempt of a request.
#[derive(Debug)]
struct Latest {
    number: u64,
    /// Early data is about to be written to the target, or has been.
    passes_early: bool,
    counters: Arc<Counters>,
    /// Gone once the attempt is.
    superseded: Weak<CancellationToken>,
}

impl Latest {
    /// Reports whether the target has bytes of the service, or is about to.
    fn has_passed_bytes(&self) -> bool {
        self.passes_early || self.counters.received.load(Ordering::Relaxed) > 0
    }
}

/// The latest requests.
#[derive(Debug)]
pub struct RecentRequests {
    latest: BoundedMap<StreamId, Latest>,
    next_number: u64,
}

impl Default for RecentRequests {
    fn default() -> Self {
        Self { latest: BoundedMap::new(MAX_RECENT_REQUESTS), next_number: 0 }
    }
}

impl RecentRequests {
    /// Begins to serve a request; `None` if it must be refused. The hub repeats requests on the control connection: a
    /// repetition supersedes the earlier attempt and ends its work, unless the target has bytes of that. A known request
    /// on a standby connection is the original, arriving late.
    pub fn begin(&mut self, request: StreamId, path: RequestPath) -> Option<Attempt> {
        let number = self.next_number;
        let mut replaces_running = false;
        if let Some(latest) = self.latest.get(&request) {
            if path == RequestPath::Standby || latest.has_passed_bytes() {
                return None;
            }
            let running = latest.superseded.upgrade();
            replaces_running = running.inspect(|superseded| superseded.cancel()).is_some();
            self.latest.remove(&request);
        }
        self.next_number += 1;
        let (superseded, counters) = (Arc::<CancellationToken>::default(), Arc::<Counters>::default());
        let latest =
            Latest { number, passes_early: false, counters: counters.clone(), superseded: Arc::downgrade(&superseded) };
        self.latest.insert(request, latest);
        Some(Attempt { request, number, superseded, counters, replaces_running })
    }

    /// Decides, before the acceptance is sent, that the attempt passes its early data on; fails if it was superseded, or
    /// is too old to tell.
    pub fn pass_early(&mut self, attempt: &Attempt) -> bool {
        self.set_passes_early(attempt, true)
    }

    /// Takes the decision back: the acceptance could not be sent, and no early data was passed on.
    pub fn withhold_early(&mut self, attempt: &Attempt) {
        self.set_passes_early(attempt, false);
    }

    fn set_passes_early(&mut self, attempt: &Attempt, passes_early: bool) -> bool {
        // One that was forgotten may have been superseded meanwhile; the hub repeats it.
        if self.latest.get(&attempt.request).is_none_or(|latest| latest.number != attempt.number) {
            return false;
        }
        // As the newest, since a repetition may still come.
        if let Some(latest) = self.latest.remove(&attempt.request) {
            self.latest.insert(attempt.request, Latest { passes_early, ..latest });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::RequestPath::{Control, Standby};
    use super::*;

    fn id(number: u16) -> StreamId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        StreamId::from_bytes(bytes)
    }

    #[test]
    fn a_repetition_on_the_control_connection_supersedes_the_earlier_attempt() {
        for first in [Control, Standby] {
            let mut requests = RecentRequests::default();
            let earlier = requests.begin(id(1), first).unwrap();
            let later = requests.begin(id(1), Control).unwrap();
            assert!(earlier.superseded.is_cancelled() && !later.superseded.is_cancelled());
            assert!(!requests.pass_early(&earlier), "superseded: it would be delivered twice");
            assert!(requests.begin(id(1), Standby).is_none(), "it is the original, arriving late");
            assert!(!later.superseded.is_cancelled());
        }
    }

    #[test]
    fn a_repetition_ends_the_work_of_the_earlier_attempt_and_takes_its_place() {
        let mut requests = RecentRequests::default();
        let earlier = requests.begin(id(1), Control).unwrap();
        let later = requests.begin(id(1), Control).unwrap();
        assert!(earlier.superseded.is_cancelled() && later.replaces_running && !earlier.replaces_running);
        drop((earlier, later));
        assert!(!requests.begin(id(1), Control).unwrap().replaces_running, "none was running");
    }

    #[test]
    fn a_request_whose_stream_has_delivered_bytes_is_not_served_again() {
        let mut requests = RecentRequests::default();
        let attempt = requests.begin(id(1), Control).unwrap();
        attempt.counters.received.store(1, Ordering::Relaxed);
        assert!(requests.begin(id(1), Control).is_none());
        assert!(!attempt.superseded.is_cancelled());
        drop(attempt);
        assert!(requests.begin(id(1), Control).is_none(), "its end changes nothing");
    }

    #[test]
    fn a_request_whose_early_data_is_passed_on_is_not_served_again() {
        let mut requests = RecentRequests::default();
        let attempt = requests.begin(id(1), Standby).unwrap();
        assert!(requests.pass_early(&attempt));
        assert!(requests.begin(id(1), Control).is_none());
        assert!(!attempt.superseded.is_cancelled());
        requests.withhold_early(&attempt);
        assert!(requests.begin(id(1), Control).is_some(), "it was not passed on after all");
    }

    #[test]
    fn the_oldest_request_is_forgotten_at_the_limit_and_passes_no_early_data() {
        let mut requests = RecentRequests::default();
        let (first, second) = (requests.begin(id(0), Standby).unwrap(), requests.begin(id(1), Standby).unwrap());
        for number in 2..=u16::try_from(MAX_RECENT_REQUESTS).unwrap() {
            if number == 1000 {
                assert!(requests.pass_early(&second));
            }
            assert!(requests.begin(id(number), Standby).is_some());
        }
        assert!(!first.superseded.is_cancelled(), "it goes on");
        assert!(!requests.pass_early(&first), "it may have been superseded, and that forgotten");
        assert!(requests.begin(id(u16::MAX), Standby).is_some());
        assert!(requests.begin(id(1), Control).is_none(), "remembered from when it passed its early data on");
    }
}
