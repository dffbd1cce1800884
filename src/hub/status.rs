//! `devstream status` of a hub, and its warnings.

use super::registry::RegistryError;
use super::shared::Shared;
use crate::net::os::clock;
use crate::net::os::usage;
use crate::proto::admin::{CertificateReport, HubStatus};
use crate::proto::text;

/// Reports the hub's status.
pub(super) async fn status(shared: &Shared) -> Result<HubStatus, RegistryError> {
    let (devices, services) = shared.registry.with(|registry| registry.count()).await?;
    let (descriptors, descriptor_limit) = usage::descriptors();
    let memory = shared.admission.pressure.memory();
    let (certificate, now) = (shared.endpoints.certificate.status(), clock::now_utc());
    Ok(HubStatus {
        address: shared.own_address().cloned(),
        version: shared.endpoints.info.version.clone(),
        hostname: shared.endpoints.info.hostname.clone(),
        process: std::process::id(),
        since: shared.started_at,
        draining: shared.streams.is_draining(),
        devices,
        online: shared.streams.broker.devices_online() as u64,
        services,
        streams: shared.streams.broker.streams() as u64,
        unauthenticated_connections: shared.admission.limiter.count() as u64,
        memory_bytes: memory.map_or_else(usage::resident_memory, |memory| memory.used),
        memory_limit_bytes: memory.map(|memory| memory.limit),
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
        warnings: warnings(shared),
    })
}

/// Returns what needs the operator's attention, one sentence each.
fn warnings(shared: &Shared) -> Vec<String> {
    let mut warnings = Vec::new();
    let lost = shared.activity.lost();
    if lost > 0 {
        warnings.push(format!("the activity log has lost {}; check the disk", text::count(lost, "line")));
    }
    warnings.extend(shared.admission.pressure.warning());
    let (certificate, now) = (shared.endpoints.certificate.status(), clock::now_utc());
    if now >= certificate.warn_from {
        warnings.push(format!("the certificate expires on {}", certificate.not_after));
    }
    if let Some(error) = certificate.last_error {
        warnings.push(format!("the certificate was not replaced: {error}"));
    }
    warnings
}
