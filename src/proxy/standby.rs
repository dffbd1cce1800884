//! Connections that stand by at the hub, each for one stream after another.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::net::client::Client;
use crate::net::client::standby::{PoolSlot, Standby, StandbyPool};
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::message::StandbyOffer;

/// All of this proxy's.
#[derive(Clone)]
pub(super) struct Standbys(Arc<Inner>);

struct Inner {
    pool: StandbyPool,
    network: NetworkMonitor,
    tasks: Tasks,
    /// Asks the tasks that keep idle ones for them; the one that was used last at the end.
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

    /// The one that was used last: it is the likeliest to be alive.
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

    /// One for a stream that found none, where that is known to work.
    pub(super) async fn connect(&self) -> Option<Standby> {
        let standby = self.0.pool.connect().await?;
        self.refill();
        Some(standby)
    }

    /// A stream found none; the hub takes them, or not. Next time one will stand by.
    pub(super) fn update_offer(&self, client: &Client, offer: Option<StandbyOffer>) {
        self.0.pool.set_offer(client, offer);
        self.refill();
    }

    /// One is missing, or does not come back.
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

    /// A connection that was brought for one stream may stand by after it.
    pub(super) fn adopt(&self, client: &Client) -> PoolSlot {
        self.0.pool.reserve(client)
    }

    /// Keeps one until it is wanted.
    pub(super) fn put(&self, mut standby: Standby) {
        if self.0.pool.should_evict(&mut standby) {
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
                        // Who wants it waits for it; if not, it is closed with the rest of a stopping proxy.
                        let _ = wanted.send(standby);
                        return;
                    }
                    None
                }
                // The hub has nothing to say here but that it is there.
                message = standby.next_command(&network) => message.err(),
            };
            wanted.close();
            standby.close(ended).await;
        });
    }

    /// One was dead: the others, which went the same way, are not tried.
    pub(super) fn discard(&self) {
        self.idle().clear();
    }

    /// No more of them. Streams go on.
    pub(super) async fn end(&self) {
        self.0.tasks.clone().shutdown(Duration::ZERO).await;
    }

    /// The same, without waiting for their end.
    pub(super) fn abort(&self) {
        self.0.tasks.abort();
    }

    fn idle(&self) -> MutexGuard<'_, Vec<oneshot::Sender<oneshot::Sender<Standby>>>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
