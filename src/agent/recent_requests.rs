//! Duplicate detection: the hub repeats a request whose connection broke before the response.

use parking_lot::Mutex;

use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::StreamId;

/// Requests remembered, the oldest forgotten first: far more than are under way at once.
const MAX_RECENT_REQUESTS: usize = 4096;

/// The connection on which a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestPath {
    Control,
    Standby,
}

/// The latest requests and their paths.
#[derive(Debug)]
pub(super) struct RecentRequests(Mutex<BoundedMap<StreamId, RequestPath>>);

impl Default for RecentRequests {
    fn default() -> Self {
        Self(Mutex::new(BoundedMap::new(MAX_RECENT_REQUESTS)))
    }
}

impl RecentRequests {
    /// Remembers the request, and reports whether it may be served. A repetition may only if both came on the control
    /// connection: a standby's early data may have reached the target already, or arrive after the repetition was
    /// served.
    pub(super) fn may_be_served(&self, request: StreamId, path: RequestPath) -> bool {
        let mut requests = self.0.lock();
        if let Some(earlier) = requests.get(&request) {
            return (*earlier, path) == (RequestPath::Control, RequestPath::Control);
        }
        requests.insert(request, path);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u16) -> StreamId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        StreamId::from_bytes(bytes)
    }

    #[test]
    fn a_repeated_request_is_served_on_the_control_connection_only() {
        use RequestPath::{Control, Standby};
        for (number, first, second, is_served) in
            [(1, Control, Control, true), (2, Control, Standby, false), (3, Standby, Control, false)]
        {
            let requests = RecentRequests::default();
            assert!(requests.may_be_served(id(number), first));
            assert_eq!(requests.may_be_served(id(number), second), is_served, "{first:?} then {second:?}");
        }
    }

    #[test]
    fn the_oldest_request_is_forgotten_at_the_limit() {
        let requests = RecentRequests::default();
        for number in 0..=MAX_RECENT_REQUESTS {
            assert!(requests.may_be_served(id(number.try_into().unwrap()), RequestPath::Standby));
        }
        assert!(!requests.may_be_served(id(1), RequestPath::Standby));
        assert!(requests.may_be_served(id(0), RequestPath::Standby));
    }
}
