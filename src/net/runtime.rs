//! The state that all connections of one client share: the limits and the memory of its streams, the limits of its
//! concurrent openings and rejoins, and the route to its hub. It belongs to a
//! [`ClientFactory`](crate::net::client::ClientFactory), so that clients of different hubs in one process do not affect
//! each other.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::net::e2e::config::Sessions;
use crate::net::os::network_monitor::{NetworkMonitor, RouteDestination};
use crate::net::stream_memory::{ClientLimits, StreamMemory};
use crate::proto::limits::{CONCURRENT_REJOINS, INITIAL_CONCURRENT_OPENINGS};

/// The state that a client's connections share. Clones are handles to the same state.
#[derive(Debug, Clone)]
pub struct ClientRuntime(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: ClientLimits,
    stream_memory: StreamMemory,
    opening_permits: Semaphore,
    /// The number of opening permits, free ones and held ones.
    opening_limit: Mutex<usize>,
    rejoin_permits: Semaphore,
    sessions: Sessions,
    route: RouteDestination,
}

impl Default for ClientRuntime {
    fn default() -> Self {
        Self::new(ClientLimits::default())
    }
}

impl ClientRuntime {
    /// Creates the state of a client without connections.
    pub fn new(limits: ClientLimits) -> Self {
        Self(Arc::new(Inner {
            limits,
            stream_memory: StreamMemory::new(&limits),
            opening_permits: Semaphore::new(INITIAL_CONCURRENT_OPENINGS),
            opening_limit: Mutex::new(INITIAL_CONCURRENT_OPENINGS),
            rejoin_permits: Semaphore::new(CONCURRENT_REJOINS),
            sessions: Sessions::default(),
            route: RouteDestination::default(),
        }))
    }

    /// The limits of the client's streams, which their owner applies.
    pub fn limits(&self) -> &ClientLimits {
        &self.0.limits
    }

    /// The memory that the client's streams share.
    pub(in crate::net) fn stream_memory(&self) -> &StreamMemory {
        &self.0.stream_memory
    }

    /// The configurations and tickets of its end-to-end sessions.
    pub(in crate::net) fn sessions(&self) -> &Sessions {
        &self.0.sessions
    }

    /// Creates a monitor of the network on the route to the hub, and the task that drives it.
    pub fn monitor_network(&self) -> (NetworkMonitor, impl Future<Output = ()> + Send + use<>) {
        NetworkMonitor::new(self.0.route.clone())
    }

    /// Records that a connection to the hub, or to the proxy before it, was made to this address.
    pub(in crate::net) fn record_hub_address(&self, address: SocketAddr) {
        self.0.route.set(address);
    }

    /// The address of the last connection to the hub or its proxy; `None` before the first one.
    #[cfg(test)]
    pub(in crate::net) fn hub_address(&self) -> Option<SocketAddr> {
        self.0.route.get()
    }

    /// Waits until the client is opening fewer streams than the hub allows at the same time. Callers are served in order.
    pub async fn opening_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.0.opening_permits.acquire().await.ok()
    }

    /// Applies the hub's limit of streams that the client may be opening at the same time. If more hold a permit, the
    /// rest of a decrease takes effect with a later call.
    pub fn set_opening_limit(&self, limit: usize) {
        let limit = limit.clamp(1, Semaphore::MAX_PERMITS);
        let mut current = self.0.opening_limit.lock();
        if limit > *current {
            self.0.opening_permits.add_permits(limit - *current);
            *current = limit;
        } else {
            *current -= self.0.opening_permits.forget_permits(*current - limit);
        }
    }

    /// Waits until fewer than [`CONCURRENT_REJOINS`] streams are rejoining.
    pub(in crate::net) async fn rejoin_permit(&self) -> Option<SemaphorePermit<'_>> {
        self.0.rejoin_permits.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn one_clients_rejoins_do_not_affect_another_client() {
        let (busy, idle) = (ClientRuntime::default(), ClientRuntime::default());
        let mut permits = Vec::new();
        while let Some(Some(permit)) = busy.rejoin_permit().now_or_never() {
            permits.push(permit);
        }
        assert_eq!(permits.len(), CONCURRENT_REJOINS);
        assert!(idle.rejoin_permit().now_or_never().is_some());
    }

    #[test]
    fn the_hubs_limit_of_openings_is_applied_also_when_it_decreases_while_all_are_in_use() {
        let runtime = ClientRuntime::default();
        let mut held = Vec::new();
        let mut take_all = || {
            while let Some(Some(permit)) = runtime.opening_permit().now_or_never() {
                held.push(permit);
            }
            held.len()
        };
        assert_eq!(take_all(), INITIAL_CONCURRENT_OPENINGS);
        runtime.set_opening_limit(40);
        assert_eq!(take_all(), 40);
        runtime.set_opening_limit(8);
        assert_eq!(*runtime.0.opening_limit.lock(), 40, "all are held");
        held.truncate(20);
        runtime.set_opening_limit(8);
        assert_eq!(*runtime.0.opening_limit.lock(), 20);
        held.clear();
        runtime.set_opening_limit(8);
        assert_eq!(runtime.0.opening_permits.available_permits(), 8);
        runtime.set_opening_limit(0);
        assert_eq!(runtime.0.opening_permits.available_permits(), 1, "a limit of 0 would wait for ever");
    }
}
