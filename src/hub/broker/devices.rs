//! Devices that come online and go offline.

use std::net::SocketAddr;
use std::time::Instant;

use super::stream::{EarlyState, Phase, Stream};
use super::{Broker, DeviceConnection, Output};
use crate::hub::event::{Event, Operation};
use crate::proto::id::{ConnectionId, DeviceId};
use crate::proto::refusal::RefusalKind;

impl Broker {
    pub(super) fn device_connected(&mut self, device: DeviceId, online: DeviceConnection, now: Instant) {
        let (connection, address, run) = (online.connection, online.address, online.hello.run);
        let old = self.devices.insert(device.clone(), online);
        let mut event = Event::new(Operation::DeviceConnected, "connected");
        if let Some(old) = &old {
            self.outputs.push_back(Output::Displace { connection: old.connection, by: address });
            event = Event::new(Operation::DeviceDisplaced, RefusalKind::Displaced.row().label);
            event.peer = Some(old.address);
        }
        self.record(Event { device: Some(device.clone()), source: Some(address), ..event });
        let old = old.map(|old| old.connection);
        let waits = |stream: &Stream| match stream.phase {
            Phase::AwaitingDevice => true,
            Phase::Requested { connection } => Some(connection) == old,
            // The agent may have been restarted, or have lost the request that it seemed to accept. One that has early
            // data returns with its ticket.
            Phase::Accepted => {
                let returns = stream.agent_run == run && stream.early == EarlyState::PassedOn;
                stream.device.leg().is_none() && !returns
            }
            Phase::Failed(_) | Phase::Joined | Phase::Ending(_) | Phase::Interrupted { .. } => false,
        };
        for id in self.streams_of_device(&device, waits) {
            self.request_again(id, RefusalKind::LostWhileOpening.into(), now);
        }
        self.agent_started(&device, run, now);
        debug_assert!(self.devices.get(&device).is_some_and(|online| online.connection == connection));
    }

    /// The end of a displaced connection says nothing about the device.
    pub(super) fn device_disconnected(
        &mut self,
        device: &DeviceId,
        connection: ConnectionId,
        reason: String,
        now: Instant,
    ) {
        if self.devices.get(device).is_none_or(|online| online.connection != connection) {
            return;
        }
        let source = self.devices.remove(device).map(|online| online.address);
        let event = Event::new(Operation::DeviceDisconnected, "disconnected");
        self.record(Event { device: Some(device.clone()), source, reason, ..event });
        let requested = |stream: &Stream| stream.phase == Phase::Requested { connection };
        for id in self.streams_of_device(device, requested) {
            self.await_device(id, now);
        }
    }

    /// The connection to this hub is let go: without a word if the agent itself has moved.
    pub(super) fn present_elsewhere(&mut self, device: &DeviceId, run: u64, address: SocketAddr, now: Instant) {
        let Some(online) = self.devices.get(device) else { return };
        let (connection, is_same_agent) = (online.connection, online.hello.run == run);
        let reason = format!("it has connected to another hub, from {address}");
        self.outputs.push_back(match is_same_agent {
            true => Output::Dismiss { connection, reason: RefusalKind::Interrupted },
            false => Output::Displace { connection, by: address },
        });
        self.device_disconnected(device, connection, reason, now);
    }
}
