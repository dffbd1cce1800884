//! Which devices are online, and what is known of each.

use std::collections::HashSet;

use super::BrokerHandle;
use crate::net::os::clock;
use crate::net::websocket::Transport;
use crate::proto::admin::Presence;
use crate::proto::id::{ConnectionId, DeviceId, StreamId};
use crate::proto::message::DeadTarget;

impl<T: Transport> BrokerHandle<T> {
    /// Returns the presence of an online device. Each device is looked up by itself: a list of all would block every
    /// stream meanwhile.
    pub(in crate::hub) fn presence(&self, device: &DeviceId) -> Option<Presence> {
        self.with(|driver| driver.presence(device)).ok().flatten()
    }

    /// Returns the next online devices after this one, by their ids.
    pub(in crate::hub) fn devices_after(&self, after: Option<&DeviceId>, count: usize) -> Vec<(DeviceId, Presence)> {
        self.with(|driver| driver.devices_after(after, count)).unwrap_or_default()
    }

    /// Reports whether a device is online here.
    pub(in crate::hub) fn has_device(&self, device: &DeviceId) -> bool {
        self.with(|driver| driver.broker.online(device).is_some()).unwrap_or_default()
    }

    /// Returns the streams of dead hubs whose device's end waits here for the service's.
    pub(in crate::hub) fn devices_waiting(&self) -> Vec<StreamId> {
        self.with(|driver| driver.broker.devices_waiting(clock::now())).unwrap_or_default()
    }

    /// Reports whether the stream exists here.
    pub(in crate::hub) fn has_stream(&self, stream: StreamId) -> bool {
        self.with(|driver| driver.broker.has_stream(stream)).unwrap_or_default()
    }

    /// Returns the number of online devices.
    pub(in crate::hub) fn devices_online(&self) -> usize {
        self.with(|driver| driver.devices_online()).unwrap_or_default()
    }

    /// Notes that a device's agent was told to end, and has disconnected.
    pub(in crate::hub) fn note_ending(&self, device: DeviceId) {
        let _ = self.with(|driver| driver.note_ending(device));
    }

    /// Returns the devices whose agent was told to end and that have open streams.
    pub(in crate::hub) fn ending_devices(&self) -> HashSet<DeviceId> {
        self.with(|driver| driver.ending_devices()).unwrap_or_default()
    }

    /// Notes which targets a device's connection reports as dead.
    pub(in crate::hub) fn note_dead_targets(&self, connection: ConnectionId, dead: Vec<DeadTarget>) {
        let _ = self.with(|driver| driver.note_dead_targets(connection, dead));
    }
}
