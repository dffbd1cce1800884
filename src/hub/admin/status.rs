//! How the hub is.

use crate::hub::Shared;
use crate::hub::registry::RegistryError;
use crate::net::os::clock;
use crate::net::os::usage;
use crate::proto::admin::{AdminResponse, CertificateReport, HubStatus};

pub(super) async fn status(shared: &Shared) -> Result<AdminResponse, RegistryError> {
    let (devices, services) = shared.registry.with(|registry| registry.count()).await?;
    let (descriptors, descriptor_limit) = usage::descriptors();
    let (certificate, now) = (shared.certificate.status(), clock::now_utc());
    let status = HubStatus {
        version: shared.info.version.clone(),
        hostname: shared.info.hostname.clone(),
        process: std::process::id(),
        since: shared.started_at,
        draining: shared.is_draining(),
        devices,
        online: shared.broker.devices_online() as u64,
        services,
        streams: shared.broker.streams() as u64,
        unauthenticated_connections: shared.limiter.count() as u64,
        memory_bytes: usage::resident_memory(),
        memory_limit_bytes: shared.pressure.budget(),
        descriptors,
        descriptor_limit,
        congestion_control: shared.metrics.congestion_control.clone(),
        certificate: CertificateReport {
            source: certificate.source.into(),
            not_before: Some(certificate.not_before),
            not_after: certificate.not_after,
            days_left: certificate.days_left(now),
            names: certificate.names,
            last_error: certificate.last_error,
        },
        activity_lost: shared.activity.lost(),
        warnings: shared.warnings(),
    };
    Ok(AdminResponse::Status(Box::new(status)))
}
