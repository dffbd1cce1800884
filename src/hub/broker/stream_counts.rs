//! Counts of streams and their limits: per device, per service, in all.

use std::collections::HashMap;
use std::hash::Hash;

use super::OpenRequest;
use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::limits;

/// Limits on concurrent streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamLimits {
    /// For one device.
    pub per_device: usize,
    /// For one service.
    pub per_service: usize,
    /// For the hub.
    pub total: usize,
}

impl StreamLimits {
    /// The default limits on handshakes.
    pub const PENDING: Self = Self {
        per_device: limits::PENDING_PER_DEVICE,
        per_service: limits::PENDING_PER_SERVICE,
        total: limits::PENDING_PER_HUB,
    };

    /// The default limits on streams, handshakes included.
    pub const STREAMS: Self = Self {
        per_device: limits::STREAMS_PER_DEVICE,
        per_service: limits::STREAMS_PER_SERVICE,
        total: limits::STREAMS_PER_HUB,
    };
}

/// The counts that are compared with one set of limits.
#[derive(Debug)]
pub(super) struct StreamCounts {
    limits: StreamLimits,
    devices: HashMap<DeviceId, usize>,
    services: HashMap<ServiceName, usize>,
    total: usize,
}

impl StreamCounts {
    /// Counts of zero.
    pub(super) fn new(limits: StreamLimits) -> Self {
        Self { limits, devices: HashMap::new(), services: HashMap::new(), total: 0 }
    }

    /// Returns the limit that one more stream would exceed, if any.
    pub(super) fn exceeded_limit(&self, request: &OpenRequest, service_limit: Option<u32>) -> Option<&'static str> {
        let count = |map: Option<&usize>| map.copied().unwrap_or(0);
        if self.total >= self.limits.total {
            Some("too many streams in the hub")
        } else if count(self.devices.get(&request.device)) >= self.limits.per_device {
            Some("too many streams to this device")
        } else if count(self.services.get(&request.service)) >= self.limits.per_service {
            Some("too many streams for this service")
        } else if service_limit
            .is_some_and(|service_limit| count(self.services.get(&request.service)) >= service_limit as usize)
        {
            Some("as many streams as this service may have")
        } else {
            None
        }
    }

    /// Counts one more stream.
    pub(super) fn add(&mut self, device: &DeviceId, service: &ServiceName) {
        *self.devices.entry(device.clone()).or_default() += 1;
        *self.services.entry(service.clone()).or_default() += 1;
        self.total += 1;
    }

    /// Counts one stream less.
    pub(super) fn remove(&mut self, device: &DeviceId, service: &ServiceName) {
        decrease(&mut self.devices, device);
        decrease(&mut self.services, service);
        self.total = self.total.saturating_sub(1);
    }

    /// Returns the total.
    pub(super) fn total(&self) -> usize {
        self.total
    }
}

fn decrease<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
