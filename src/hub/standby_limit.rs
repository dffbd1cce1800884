//! The number of standby connections that an identity may keep while memory is short: whoever has most gives up idle
//! ones first. They only save handshakes, and their owners open others when there is memory again.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::identity_counts::CountPermit;

/// The time for a connection to close, after which the limit is lowered further: the memory is free by then.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(1);

/// The limit, lowered step by step.
#[derive(Debug)]
pub(super) struct StandbyLimit {
    limit: watch::Sender<usize>,
    lowered_at: Mutex<Option<Instant>>,
}

impl Default for StandbyLimit {
    /// No limit.
    fn default() -> Self {
        Self { limit: watch::Sender::new(usize::MAX), lowered_at: Mutex::new(None) }
    }
}

impl StandbyLimit {
    /// Has idle connections close of the identities that have most; `most` is what one of them has. Reports whether
    /// memory is being freed by that.
    pub(super) fn lower(&self, most: usize, now: Instant) -> bool {
        let mut lowered_at = self.lowered_at.lock();
        if lowered_at.is_some_and(|at| now < at + CLOSE_TIME) {
            return true;
        }
        // Those of one identity may all carry streams.
        let is_lowered = self.limit.send_if_modified(|limit| {
            let before = (*limit).min(most);
            *limit = before / 2;
            before > 0
        });
        *lowered_at = Some(now).filter(|_| is_lowered);
        is_lowered
    }

    /// Ends the limit: there is memory.
    pub(super) fn lift(&self) {
        // Nobody needs to know.
        self.limit.send_if_modified(|limit| {
            *limit = usize::MAX;
            false
        });
    }

    /// Subscribes an idle connection to the limit.
    pub(super) fn subscribe(&self) -> watch::Receiver<usize> {
        self.limit.subscribe()
    }
}

/// Completes when this connection is to close, which counts no longer then.
pub(super) async fn gives_way(limit: &mut watch::Receiver<usize>, permit: &CountPermit) {
    // The sender lives as long as the hub.
    let _ = limit.wait_for(|limit| permit.release_above(*limit)).await;
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::hub::identity_counts::IdentityCounts;
    use crate::net::os::clock;
    use crate::proto::id::{Principal, Role};

    #[test]
    fn idle_standby_connections_close_in_the_order_of_who_has_most_until_there_is_memory() {
        let (counts, limit, start) = (IdentityCounts::default(), StandbyLimit::default(), clock::now());
        let principal = |id: &str| Principal { role: Role::Service, id: id.to_owned().try_into().unwrap() };
        let mut idle: Vec<_> = [("alice", 16), ("bob", 5)]
            .into_iter()
            .flat_map(|(id, count)| (0..count).map(move |_| id))
            .map(|id| (id, counts.acquire(&principal(id), 100).unwrap(), limit.subscribe()))
            .collect();
        // Hers, which all carry streams.
        let _carrying: Vec<_> = (0..20).map(|_| counts.acquire(&principal("carol"), 100).unwrap()).collect();
        let mut step = |at: u64| {
            let is_freed = limit.lower(counts.most(), start + Duration::from_millis(at));
            idle.retain_mut(|(_, permit, limit)| gives_way(limit, permit).now_or_never().is_none());
            let left = |id| idle.iter().filter(|(other, ..)| *other == id).count();
            (is_freed, left("alice"), left("bob"))
        };
        assert_eq!(step(0), (true, 10, 5));
        assert_eq!(step(999), (true, 10, 5), "their memory is being freed");
        assert_eq!(step(1000), (true, 5, 5));
        limit.lift();
        assert_eq!(step(2000), (true, 5, 5), "anew");
        assert_eq!([3000, 4000, 5000, 6000].map(&mut step), [(true, 5, 5), (true, 2, 2), (true, 1, 1), (true, 0, 0)]);
        assert_eq!(step(7000), (false, 0, 0), "none is left");
    }
}
