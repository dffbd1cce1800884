//! The control connections that have not sent a hello. A device has one control connection, and a second while it connects
//! again; one more takes the place of the oldest, as a hello does with that of an online device.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::proto::id::{ConnectionId, DeviceId};

/// The limit for one device.
const MAX_AWAITED: usize = 2;

/// The connections whose hello is awaited, by device, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct AwaitedHellos(Arc<Mutex<HashMap<DeviceId, VecDeque<Awaited>>>>);

#[derive(Debug)]
struct Awaited {
    id: ConnectionId,
    displaced: CancellationToken,
}

/// A connection whose hello is awaited, until this is dropped.
#[derive(Debug)]
pub(super) struct AwaitedHello {
    hellos: AwaitedHellos,
    device: DeviceId,
    id: ConnectionId,
    displaced: CancellationToken,
}

impl AwaitedHellos {
    /// Adds a connection, in the place of the device's oldest if need be.
    pub(super) fn begin(&self, device: &DeviceId, id: ConnectionId) -> AwaitedHello {
        let displaced = CancellationToken::new();
        let mut hellos = self.0.lock();
        let of_device = hellos.entry(device.clone()).or_default();
        if of_device.len() >= MAX_AWAITED
            && let Some(oldest) = of_device.pop_front()
        {
            oldest.displaced.cancel();
        }
        of_device.push_back(Awaited { id, displaced: displaced.clone() });
        AwaitedHello { hellos: self.clone(), device: device.clone(), id, displaced }
    }
}

impl AwaitedHello {
    /// Completes when a newer connection has taken this one's place.
    pub(super) async fn displaced(&self) {
        self.displaced.cancelled().await;
    }
}

impl Drop for AwaitedHello {
    fn drop(&mut self) {
        let mut hellos = self.hellos.0.lock();
        if let Some(of_device) = hellos.get_mut(&self.device) {
            of_device.retain(|awaited| awaited.id != self.id);
            if of_device.is_empty() {
                hellos.remove(&self.device);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_connections_of_a_device_wait_for_its_hello_and_those_of_others_are_left_alone() {
        let hellos = AwaitedHellos::default();
        let begin = |device: &str, id| hellos.begin(&device.parse().unwrap(), ConnectionId(id));
        let other = begin("other", 0);
        let awaited: Vec<_> = (1..=10).map(|id| begin("attacker", id)).collect();
        let displaced = awaited.iter().filter(|awaited| awaited.displaced.is_cancelled()).count();
        assert_eq!((displaced, awaited[9].displaced.is_cancelled()), (8, false));
        assert!(!other.displaced.is_cancelled());
        drop((awaited, other));
        assert!(hellos.0.lock().is_empty());
    }
}
