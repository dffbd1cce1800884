//! Requests of other hubs that this one serves: each once, however often it is made.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::link::ReplyPath;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::HubRequestId;

/// The limit on requests that are served at the same time: all of a hub's handshakes may be other hubs' openings.
const MAX_RUNNING: usize = 4096;

/// The replies that are remembered, for a request that is made again because the first reply was lost: those of some seconds.
const REMEMBERED_REPLIES: usize = 4096;

/// The largest reply that is remembered, in bytes. Larger ones are parts of lists and logs, which are read again.
const MAX_REMEMBERED_BYTES: usize = 16 * 1024;

/// The ways back that one request may have: it is made twice.
const MAX_REPLY_PATHS: usize = 2;

/// The requests that are served, and the last replies.
#[derive(Debug, Clone, Default)]
pub struct ServedRequests(Arc<Mutex<Served>>);

#[derive(Debug)]
struct Served {
    running: HashMap<HubRequestId, Running>,
    /// The last replies; none to a request that was cancelled.
    replies: BoundedMap<HubRequestId, Option<Bytes>>,
}

#[derive(Debug)]
struct Running {
    cancelled: CancellationToken,
    replies: Vec<ReplyPath>,
}

impl Default for Served {
    fn default() -> Self {
        Self { running: HashMap::new(), replies: BoundedMap::new(REMEMBERED_REPLIES) }
    }
}

/// What to do with a request.
#[derive(Debug)]
pub enum Admission {
    /// Serve it until it is cancelled.
    Serve(CancellationToken),
    /// It has this reply already.
    Repeat(ReplyPath, Bytes),
    /// Nothing: it is being served, was cancelled, or there are too many.
    Ignore,
}

impl ServedRequests {
    /// Admits a request.
    pub fn admit(&self, id: HubRequestId, reply: ReplyPath) -> Admission {
        let mut served = self.0.lock();
        if let Some(earlier) = served.replies.get(&id) {
            return earlier.clone().map_or(Admission::Ignore, |earlier| Admission::Repeat(reply, earlier));
        }
        if let Some(running) = served.running.get_mut(&id) {
            if running.replies.len() < MAX_REPLY_PATHS {
                running.replies.push(reply);
            }
            return Admission::Ignore;
        }
        if served.running.len() >= MAX_RUNNING {
            return Admission::Ignore;
        }
        let cancelled = CancellationToken::new();
        served.running.insert(id, Running { cancelled: cancelled.clone(), replies: vec![reply] });
        Admission::Serve(cancelled)
    }

    /// Nobody waits for a request any more.
    pub fn cancel(&self, id: HubRequestId) {
        if let Some(running) = self.0.lock().running.get(&id) {
            running.cancelled.cancel();
        }
    }

    /// A request has its reply; `None` if it was cancelled. Returns the ways back.
    pub fn finish(&self, id: HubRequestId, reply: Option<&Bytes>) -> Vec<ReplyPath> {
        let mut served = self.0.lock();
        if reply.is_none_or(|reply| reply.len() <= MAX_REMEMBERED_BYTES) {
            served.replies.insert(id, reply.cloned());
        }
        served.running.remove(&id).map(|running| running.replies).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn path() -> ReplyPath {
        ReplyPath::new(|_| std::future::ready(()).boxed())
    }

    #[test]
    fn a_request_that_is_made_again_is_served_once_and_gets_the_same_reply() {
        let (served, id) = (ServedRequests::default(), HubRequestId::from_bytes([1; 16]));
        let Admission::Serve(cancelled) = served.admit(id, path()) else { panic!("new") };
        assert!(matches!(served.admit(id, path()), Admission::Ignore));
        assert!(matches!(served.admit(id, path()), Admission::Ignore));
        let reply = Bytes::from_static(b"opened");
        assert_eq!(served.finish(id, Some(&reply)).len(), MAX_REPLY_PATHS);
        assert!(matches!(served.admit(id, path()), Admission::Repeat(_, again) if again == reply));
        served.cancel(id);
        assert!(!cancelled.is_cancelled(), "it is over");
    }

    #[test]
    fn a_reply_that_takes_much_memory_is_not_kept() {
        let (served, id) = (ServedRequests::default(), HubRequestId::from_bytes([1; 16]));
        assert!(matches!(served.admit(id, path()), Admission::Serve(_)));
        let page = Bytes::from(vec![b' '; MAX_REMEMBERED_BYTES + 1]);
        assert_eq!(served.finish(id, Some(&page)).len(), 1);
        assert!(matches!(served.admit(id, path()), Admission::Serve(_)), "it is made again");
    }

    #[test]
    fn a_cancelled_request_that_arrives_again_is_not_served() {
        let (served, id) = (ServedRequests::default(), HubRequestId::from_bytes([1; 16]));
        let Admission::Serve(_) = served.admit(id, path()) else { panic!("new") };
        served.cancel(id);
        served.finish(id, None);
        assert!(matches!(served.admit(id, path()), Admission::Ignore));
    }

    #[test]
    fn a_cancelled_request_has_no_reply_and_there_are_not_too_many() {
        let served = ServedRequests::default();
        let id = |number: u32| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            HubRequestId::from_bytes(bytes)
        };
        for number in 0..u32::try_from(MAX_RUNNING).unwrap() {
            assert!(matches!(served.admit(id(number), path()), Admission::Serve(_)));
        }
        assert!(matches!(served.admit(id(u32::MAX), path()), Admission::Ignore));
        served.cancel(id(0));
        assert_eq!(served.finish(id(0), None).len(), 1);
        let Admission::Serve(cancelled) = served.admit(id(u32::MAX), path()) else { panic!("there is room") };
        served.cancel(id(u32::MAX));
        assert!(cancelled.is_cancelled());
    }
}
