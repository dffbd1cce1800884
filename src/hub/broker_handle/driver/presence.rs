//! Which devices are online, and what is known of each.

use std::collections::HashSet;

use super::BrokerDriver;
use crate::net::os::clock;
use crate::net::websocket::Transport;
use crate::proto::admin::Presence;
use crate::proto::id::{ConnectionId, DeviceId};
use crate::proto::message::DeadTarget;

impl<T: Transport> BrokerDriver<T> {
    pub(in crate::hub) fn presence(&self, device: &DeviceId) -> Option<Presence> {
        let (connection, hello, address) = self.broker.online(device)?;
        let reached = self.devices.get(&connection);
        Some(Presence {
            since: reached.map_or_else(clock::now_utc, |device| device.since),
            address,
            version: hello.version.clone(),
            forwards: hello.forwards.clone(),
            first_is_hidden: false,
            accepts_any_name: hello.accepts_any_name,
            dead_targets: reached.map_or_else(Vec::new, |device| device.dead_targets.clone()),
            round_trip_us: reached.and_then(|device| device.round_trip.micros()),
            hub: None,
        })
    }

    /// Returns the next devices after this one, by their ids.
    pub(in crate::hub) fn devices_after(&self, after: Option<&DeviceId>, count: usize) -> Vec<(DeviceId, Presence)> {
        let mut ids: Vec<_> = self.broker.devices().filter(|id| after.is_none_or(|after| *id > after)).collect();
        ids.sort();
        let present = ids.into_iter().take(count).filter_map(|id| Some((id.clone(), self.presence(id)?)));
        present.collect()
    }

    pub(in crate::hub) fn devices_online(&self) -> usize {
        self.broker.devices_online()
    }

    /// Those that are back, or have no open streams, are forgotten.
    pub(in crate::hub) fn note_ending(&mut self, device: DeviceId) {
        self.ending.insert(device);
        self.ending = self.ending_devices();
    }

    pub(in crate::hub) fn ending_devices(&self) -> HashSet<DeviceId> {
        let open = self.broker.all_streams().filter(|(_, _, state, _)| *state == "open");
        let of = open.map(|(_, request, ..)| &request.device);
        of.filter(|&device| self.ending.contains(device) && self.broker.online(device).is_none()).cloned().collect()
    }

    /// Takes a device's report of its targets; of another connection than its present one, none.
    pub(in crate::hub) fn note_dead_targets(&mut self, connection: ConnectionId, dead: Vec<DeadTarget>) {
        if let Some(device) = self.devices.get_mut(&connection) {
            device.dead_targets = dead;
        }
    }
}
