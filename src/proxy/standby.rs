//! Standby connections: kept open at the hub, each carries one stream after another.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use crate::net::client::Client;
use crate::net::client::standby::{PoolSlot, Standby, StandbyPool};
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::message::StandbyOffer;

/// The time for idle standbys to send their close, and before it the last messages of streams that have just ended.
const CLOSE_TIME: Duration = Duration::from_millis(100);

/// The proxy's standbys; clones share them.
#[derive(Clone)]
pub(super) struct Standbys(Arc<Inner>);

struct Inner {
    pool: StandbyPool,
    network: NetworkMonitor,
    tasks: Tasks,
    /// Requests to the tasks that own idle standbys, the last used at the end.
    idle: Mutex<Vec<oneshot::Sender<oneshot::Sender<Standby>>>>,
}

impl Standbys {
    pub(super) fn new(transport: TransportOptions, network: NetworkMonitor) -> Self {
        Self(Arc::new(Inner {
            pool: StandbyPool::new(transport, None),
            network,
            tasks: Tasks::default(),
            idle: Mutex::default(),
        }))
    }

    /// Takes the last used standby: it is the likeliest to be alive.
    pub(super) async fn take(&self) -> Option<Standby> {
        loop {
            let idle = self.idle().pop()?;
            let (sender, given) = oneshot::channel();
            if idle.send(sender).is_ok()
                && let Ok(standby) = given.await
            {
                return Some(standby);
            }
        }
    }

    /// Connects a standby for a stream that found none, if the hub has accepted standbys before.
    pub(super) async fn connect(&self) -> Option<Standby> {
        let standby = self.0.pool.connect().await?;
        self.refill();
        Some(standby)
    }

    /// Applies the hub's offer after a stream that found no standby, and refills.
    pub(super) fn update_offer(&self, client: &Client, offer: Option<StandbyOffer>) {
        self.0.pool.set_offer(client, offer);
        self.refill();
    }

    /// Has only connections of this client carry further streams.
    pub(super) fn change_client(&self, client: &Client) {
        self.0.pool.change_client(client);
        self.clear_idle();
    }

    /// Opens standbys in the background, if the pool is short of them.
    pub(super) fn refill(&self) {
        if !self.0.pool.needs_refill() {
            return;
        }
        let standbys = self.clone();
        self.0.tasks.spawn(async move {
            while let Some(standby) = standbys.0.pool.refill_next().await {
                standbys.put(standby);
            }
        });
    }

    /// Reserves a slot for a stream's own connection, which may stand by after it.
    pub(super) fn reserve(&self, client: &Client) -> PoolSlot {
        self.0.pool.reserve(client)
    }

    /// Keeps an idle standby until it is taken, or closed.
    pub(super) fn put(&self, mut standby: Standby) {
        if self.0.pool.should_evict(&mut standby.slot) {
            return self.0.tasks.spawn(standby.close(None));
        }
        let (sender, mut wanted) = oneshot::channel();
        {
            let mut idle = self.idle();
            if idle.len() == idle.capacity() {
                idle.retain(|idle| !idle.is_closed());
            }
            idle.push(sender);
        }
        let network = self.0.network.clone();
        self.0.tasks.spawn(async move {
            let ended = tokio::select! {
                wanted = &mut wanted => {
                    if let Ok(wanted) = wanted {
                        // Fails only when the proxy is shutting down, which closes the standby.
                        let _ = wanted.send(standby);
                        return;
                    }
                    None
                }
                // The hub sends only pings to an idle standby of a service; any message ends it.
                message = standby.next_command(&network) => message.err(),
            };
            wanted.close();
            standby.close(ended).await;
        });
    }

    /// Returns the number of connections that carry streams, and will stand by after them.
    pub(super) fn carrying(&self) -> usize {
        self.0.pool.connections().saturating_sub(self.idle().len())
    }

    /// Drops all idle standbys after a dead one: they share its network path.
    pub(super) fn clear_idle(&self) {
        self.idle().clear();
    }

    /// Closes idle standbys. Streams continue.
    pub(super) async fn end(&self) {
        self.clear_idle();
        self.0.tasks.clone().shutdown(CLOSE_TIME).await;
    }

    /// Aborts idle standbys without waiting for their close.
    pub(super) fn abort(&self) {
        self.0.tasks.abort();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<oneshot::Sender<oneshot::Sender<Standby>>>> {
        self.0.idle.lock()
    }
}
