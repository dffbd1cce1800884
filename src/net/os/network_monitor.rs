//! The network monitor: notices that this machine slept or changed its address, so that connections are probed at once:
//! a laptop that wakes up does not wait for timers that began before it slept.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::net::os::clock;
use crate::proto::limits::NETWORK_CHECK_INTERVAL;
use crate::proto::network_monitor::{Change, Snapshot, detect_change};

/// The destination whose route is monitored: the address at which a client last connected to its hub, or to the proxy
/// before it. Clones share the address.
#[derive(Debug, Clone, Default)]
pub(in crate::net) struct RouteDestination(Arc<Mutex<Option<Route>>>);

#[derive(Debug, Clone, Copy)]
struct Route {
    destination: SocketAddr,
    /// The local address from which it was reached first.
    first_source: Option<IpAddr>,
}

impl RouteDestination {
    /// Records that a connection was made to this address.
    pub(in crate::net) fn set(&self, destination: SocketAddr) {
        let mut route = self.0.lock();
        let first_source = route.map_or_else(|| source_address(destination), |route| route.first_source);
        *route = Some(Route { destination, first_source });
    }

    /// The address, or `None` before the first connection.
    pub(in crate::net) fn get(&self) -> Option<SocketAddr> {
        self.0.lock().map(|route| route.destination)
    }

    fn first_source(&self) -> Option<IpAddr> {
        self.0.lock().and_then(|route| route.first_source)
    }
}

/// Returns the local address from which a destination would be reached. Connecting a UDP socket sends nothing.
fn source_address(destination: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if destination.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(destination).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// A subscription to changes of this machine's network.
#[derive(Debug)]
pub struct NetworkMonitor(watch::Receiver<u64>);

/// A clone reports only changes after it was made.
impl Clone for NetworkMonitor {
    fn clone(&self) -> Self {
        let mut receiver = self.0.clone();
        receiver.mark_unchanged();
        Self(receiver)
    }
}

impl NetworkMonitor {
    /// Creates a monitor of the route to `destination`, and the task that checks it every [`NETWORK_CHECK_INTERVAL`].
    pub(in crate::net) fn new(destination: RouteDestination) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = watch::channel(0);
        (Self(receiver), run(destination, sender))
    }

    /// A monitor that never reports a change.
    pub fn disabled() -> Self {
        Self(watch::channel(0).1)
    }

    /// Returns once something has changed since this subscription was made or last returned. Safe to cancel.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending().await
        }
    }
}

async fn run(destination: RouteDestination, changes: watch::Sender<u64>) {
    let mut ticks = interval(NETWORK_CHECK_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut was_known) = (snapshot(&destination), false);
    loop {
        ticks.tick().await;
        let (after, is_known) = (snapshot(&destination), destination.get().is_some());
        if is_known && !std::mem::replace(&mut was_known, is_known) {
            // The address may have changed since the first connection was made.
            before.address = destination.first_source();
        }
        if let Some(change) = detect_change(&before, &after, NETWORK_CHECK_INTERVAL) {
            match change {
                Change::WokeUp => tracing::info!("this machine slept or its clock was set; probing all connections"),
                Change::AddressChanged => tracing::info!("this machine's address changed; probing all connections"),
            }
            changes.send_modify(|count| *count += 1);
        }
        before = after;
    }
}

fn snapshot(destination: &RouteDestination) -> Snapshot {
    Snapshot { now: clock::now(), wall: clock::now_utc(), address: destination.get().and_then(source_address) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_address_that_changes_before_the_first_look_is_a_change_and_the_first_one_is_none() {
        for (first, is_change) in [("192.0.2.1", true), ("127.0.0.1", false)] {
            let route = Route { destination: "127.0.0.1:9".parse().unwrap(), first_source: first.parse().ok() };
            let (mut network, task) = NetworkMonitor::new(RouteDestination(Arc::new(Mutex::new(Some(route)))));
            let changed = timeout(5 * NETWORK_CHECK_INTERVAL, network.changed());
            let found = tokio::select! {
                () = task => unreachable!("it looks for ever"),
                changed = changed => changed.is_ok(),
            };
            assert_eq!(found, is_change, "first {first}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_subscription_does_not_report_earlier_changes() {
        let (sender, receiver) = watch::channel(0);
        let network = NetworkMonitor(receiver);
        let mut before = network.clone();
        sender.send_modify(|count| *count += 1);
        before.changed().await;
        assert!(timeout(Duration::from_secs(1), network.clone().changed()).await.is_err());
    }
}
