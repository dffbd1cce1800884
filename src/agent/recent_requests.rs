//! PURE. Which request of the hub is served: it repeats one whose connection broke before the response, or before the
//! stream's WebSockets were joined.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    request: StreamId,
    number: u64,
}

/// The latest attempt of a request.
#[derive(Debug)]
struct Latest {
    number: u64,
    /// Early data is about to be written to the target, or has been.
    passes_early: bool,
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
    /// repetition supersedes the earlier attempt, unless that passes early data on. A known request on a standby
    /// connection is the original, arriving late.
    pub fn begin(&mut self, request: StreamId, path: RequestPath) -> Option<Attempt> {
        let number = self.next_number;
        if let Some(latest) = self.latest.get(&request) {
            if path == RequestPath::Standby || latest.passes_early {
                return None;
            }
            self.latest.remove(&request);
        }
        self.next_number += 1;
        self.latest.insert(request, Latest { number, passes_early: false });
        Some(Attempt { request, number })
    }

    /// Reports whether no repetition has superseded the attempt.
    pub fn is_latest(&self, attempt: &Attempt) -> bool {
        self.latest.get(&attempt.request).is_none_or(|latest| latest.number == attempt.number)
    }

    /// Decides, before the acceptance is sent, that the attempt passes its early data on; fails if it was superseded.
    pub fn pass_early(&mut self, attempt: &Attempt) -> bool {
        self.set_passes_early(attempt, true)
    }

    /// Takes the decision back: the acceptance could not be sent, and no early data was passed on.
    pub fn withhold_early(&mut self, attempt: &Attempt) {
        self.set_passes_early(attempt, false);
    }

    fn set_passes_early(&mut self, attempt: &Attempt, passes_early: bool) -> bool {
        if !self.is_latest(attempt) {
            return false;
        }
        self.latest.insert(attempt.request, Latest { number: attempt.number, passes_early });
        if let Some(latest) = self.latest.get_mut(&attempt.request) {
            latest.passes_early = passes_early;
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
            assert!(!requests.is_latest(&earlier) && requests.is_latest(&later));
            assert!(!requests.pass_early(&earlier), "superseded: it would be delivered twice");
            assert_eq!(requests.begin(id(1), Standby), None, "it is the original, arriving late");
            assert!(requests.is_latest(&later));
        }
    }

    #[test]
    fn a_request_whose_early_data_is_passed_on_is_not_served_again() {
        let mut requests = RecentRequests::default();
        let attempt = requests.begin(id(1), Standby).unwrap();
        assert!(requests.pass_early(&attempt));
        assert_eq!(requests.begin(id(1), Control), None);
        assert!(requests.is_latest(&attempt));
        requests.withhold_early(&attempt);
        assert!(requests.begin(id(1), Control).is_some(), "it was not passed on after all");
    }

    #[test]
    fn the_oldest_request_is_forgotten_at_the_limit_and_goes_on() {
        let mut requests = RecentRequests::default();
        let first = requests.begin(id(0), Standby).unwrap();
        for number in 1..=u16::try_from(MAX_RECENT_REQUESTS).unwrap() {
            assert!(requests.begin(id(number), Standby).is_some());
        }
        assert!(requests.is_latest(&first) && requests.pass_early(&first));
        assert!(requests.begin(id(MAX_RECENT_REQUESTS.try_into().unwrap()), Standby).is_none());
        assert!(requests.begin(id(1), Standby).is_some());
    }
}
