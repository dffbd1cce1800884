//! Counts of streams and their limits: per device, per service, per service at a device, in all.

use std::collections::HashMap;
use std::fmt;

use super::OpenRequest;
use crate::proto::counts::decrease;
use crate::proto::id::{DeviceId, ServiceName};
use crate::proto::limits;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::text;

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

    /// Returns the limit for one service at one device: half, so that another service always finds a place.
    pub const fn per_service_and_device(&self) -> usize {
        self.per_device.div_ceil(2)
    }
}

/// The part of a device's places that one service may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceShare {
    /// Half of them. For handshakes: they end soon, and a service is told this number.
    Half,
    /// As many as are free: however many services take all they can, there are some left. For streams, which last.
    AsManyAsFree,
}

/// The counts that are compared with one set of limits.
#[derive(Debug)]
pub(super) struct StreamCounts {
    limits: StreamLimits,
    share: ServiceShare,
    devices: HashMap<DeviceId, DeviceCounts>,
    services: HashMap<ServiceName, usize>,
    total: usize,
}

/// The counts of one device.
#[derive(Debug, Default)]
struct DeviceCounts {
    services: HashMap<ServiceName, usize>,
    total: usize,
}

impl StreamCounts {
    /// Counts of zero.
    pub(super) fn new(limits: StreamLimits, share: ServiceShare) -> Self {
        Self { limits, share, devices: HashMap::new(), services: HashMap::new(), total: 0 }
    }

    /// Returns the limit that one more stream would exceed, if any; the device's only if no other. The service may be
    /// permitted fewer streams than others.
    pub(super) fn reached_limit(&self, request: &OpenRequest, permitted: Option<u32>) -> Option<ReachedLimit> {
        let OpenRequest { device, service, .. } = request;
        let share = match self.share {
            ServiceShare::Half => self.limits.per_service_and_device(),
            ServiceShare::AsManyAsFree => self.limits.per_device.saturating_sub(self.of_device(device)).max(1),
        };
        let of_share = (LimitScope::ServiceAndDevice, self.of_service_at(device, service), share);
        self.first_reached([of_share].into_iter(), request, permitted)
    }

    /// Returns the limit that the return of a stream of an earlier run would exceed, if any. Its service's share was
    /// applied when it was opened; what is free on return depends on the order.
    pub(super) fn reached_limit_on_return(
        &self,
        request: &OpenRequest,
        permitted: Option<u32>,
    ) -> Option<ReachedLimit> {
        self.first_reached([].into_iter(), request, permitted)
    }

    fn first_reached(
        &self,
        of_share: impl Iterator<Item = (LimitScope, usize, usize)>,
        request: &OpenRequest,
        permitted: Option<u32>,
    ) -> Option<ReachedLimit> {
        let of_service = self.services.get(&request.service).copied().unwrap_or(0);
        let permitted = permitted.map_or(usize::MAX, |permitted| usize::try_from(permitted).unwrap_or(usize::MAX));
        let of_hub_and_service = [
            (LimitScope::Hub, self.total, self.limits.total),
            (LimitScope::Service, of_service, self.limits.per_service),
            (LimitScope::Permission, of_service, permitted),
        ];
        let of_device = [(LimitScope::Device, self.of_device(&request.device), self.limits.per_device)];
        let mut limits = of_hub_and_service.into_iter().chain(of_share).chain(of_device);
        let (scope, count, _) = limits.find(|(_, count, limit)| count >= limit)?;
        Some(ReachedLimit { scope, count, pending: self.share == ServiceShare::Half })
    }

    /// Counts one more stream.
    pub(super) fn add(&mut self, device: &DeviceId, service: &ServiceName) {
        let of_device = self.devices.entry(device.clone()).or_default();
        of_device.total += 1;
        *of_device.services.entry(service.clone()).or_default() += 1;
        *self.services.entry(service.clone()).or_default() += 1;
        self.total += 1;
    }

    /// Counts one stream less.
    pub(super) fn remove(&mut self, device: &DeviceId, service: &ServiceName) {
        if let Some(of_device) = self.devices.get_mut(device) {
            of_device.total -= 1;
            decrease(&mut of_device.services, service);
            if of_device.total == 0 {
                self.devices.remove(device);
            }
        }
        decrease(&mut self.services, service);
        self.total = self.total.saturating_sub(1);
    }

    /// Returns the total.
    pub(super) fn total(&self) -> usize {
        self.total
    }

    /// Returns the number of services that have streams.
    pub(super) fn services(&self) -> usize {
        self.services.len()
    }

    /// Reports whether a service has streams.
    pub(super) fn has_service(&self, service: &ServiceName) -> bool {
        self.services.contains_key(service)
    }

    /// Returns the number of streams to a device.
    fn of_device(&self, device: &DeviceId) -> usize {
        self.devices.get(device).map_or(0, |of_device| of_device.total)
    }

    /// Returns the number of streams of a service to a device.
    pub(super) fn of_service_at(&self, device: &DeviceId, service: &ServiceName) -> usize {
        let count = self.devices.get(device).and_then(|of_device| of_device.services.get(service));
        count.copied().unwrap_or(0)
    }
}

/// What a limit counts the streams of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LimitScope {
    Hub,
    Service,
    /// A service, by its own permission.
    Permission,
    ServiceAndDevice,
    Device,
}

/// A limit that has been reached, and the count.
#[derive(Debug)]
pub(super) struct ReachedLimit {
    scope: LimitScope,
    count: usize,
    /// Handshakes are counted.
    pending: bool,
}

impl ReachedLimit {
    /// Reports whether one handshake with the device less would make room.
    pub(super) fn is_of_pending_at_device(&self) -> bool {
        self.pending && self.scope == LimitScope::Device
    }

    /// Returns the refusal of a stream beyond the limit. The service's own limit is no passing shortage of the hub.
    pub(super) fn refusal(&self) -> Refusal {
        let is_own = self.scope == LimitScope::Permission;
        let kind = if is_own { RefusalKind::StreamLimitReached } else { RefusalKind::HubBusy };
        Refusal::new(kind, self.to_string())
    }
}

impl fmt::Display for ReachedLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scope, count, pending } = self;
        let streams = text::count(count, "stream");
        let being_opened = if *pending { " being opened" } else { "" };
        match scope {
            LimitScope::Hub => write!(f, "the hub has {streams}{being_opened}"),
            LimitScope::Service => write!(f, "this service has {streams}{being_opened}"),
            LimitScope::Permission => count.fmt(f),
            LimitScope::ServiceAndDevice => write!(f, "this service has {streams}{being_opened} to this device"),
            LimitScope::Device => write!(f, "this device has {streams}{being_opened}"),
        }
    }
}
