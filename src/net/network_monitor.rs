//! Watches whether this machine has slept or moved, so that every connection is looked at once it has: a laptop that
//! wakes up does not wait for timers that began before it slept.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::clock;
use crate::proto::limits::NETWORK_CHECK_INTERVAL;
use crate::proto::network_monitor::{Change, Snapshot, detect_change};

/// Where this process last reached its hub: what matters is the way there.
static HUB_ADDRESS: Mutex<Option<SocketAddr>> = Mutex::new(None);

/// Hears of changes.
#[derive(Debug)]
pub struct NetworkMonitor(watch::Receiver<u64>);

/// What has changed before is nothing that a new one must hear of.
impl Clone for NetworkMonitor {
    fn clone(&self) -> Self {
        let mut receiver = self.0.clone();
        receiver.mark_unchanged();
        Self(receiver)
    }
}

impl NetworkMonitor {
    /// What hears, and the task that watches.
    pub fn new() -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = watch::channel(0);
        (Self(receiver), run(sender))
    }

    /// One that never hears of anything.
    pub fn disabled() -> Self {
        Self(watch::channel(0).1)
    }

    /// Returns when something has changed since this was made, or last asked. Safe to cancel.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

/// A connection to the hub was made to this address.
pub(super) fn record_hub_address(hub: SocketAddr) {
    *HUB_ADDRESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(hub);
}

async fn run(changes: watch::Sender<u64>) {
    let mut ticks = interval(NETWORK_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut hub_was_known) = (snapshot(), false);
    loop {
        ticks.tick().await;
        let (after, hub_is_known) = (snapshot(), hub_address().is_some());
        let first = hub_is_known && !std::mem::replace(&mut hub_was_known, hub_is_known);
        // That there is a way to the hub, once the hub is known, is no move.
        let change = detect_change(&before, &after, NETWORK_CHECK_INTERVAL)
            .filter(|change| !(first && *change == Change::AddressChanged));
        if let Some(change) = change {
            match change {
                Change::WokeUp => {
                    tracing::info!("this machine was asleep, or its clock was set: looking at every connection")
                }
                Change::AddressChanged => {
                    tracing::info!("this machine has another address: looking at every connection")
                }
            }
            changes.send_modify(|count| *count += 1);
        }
        before = after;
    }
}

fn hub_address() -> Option<SocketAddr> {
    *HUB_ADDRESS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn snapshot() -> Snapshot {
    Snapshot { now: clock::now(), wall: clock::now_utc(), address: own_address() }
}

/// The address from which the hub would be reached. Connecting a UDP socket sends nothing.
fn own_address() -> Option<IpAddr> {
    let hub = hub_address()?;
    let any: IpAddr = if hub.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(hub).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_change_of_the_past_is_no_news_to_whoever_begins_to_watch() {
        let (sender, receiver) = watch::channel(0);
        let network = NetworkMonitor(receiver);
        let mut before = network.clone();
        sender.send_modify(|count| *count += 1);
        before.changed().await;
        assert!(timeout(Duration::from_secs(1), network.clone().changed()).await.is_err());
    }
}
