//! As an operator: to the hub, and through it to a device and its target.

mod quiet;

use std::time::Duration;

use anyhow::Context as _;
use tokio::io::duplex;
use tokio::sync::oneshot;
use tokio::time::timeout;

use self::quiet::Quiet;
use super::greeting::{GREETING_BYTES, listen};
use super::way::{since, to_hub};
use crate::cli::args::Check;
use crate::cli::configured::service_proxy;
use crate::cli::identity::service;
use crate::cli::{Failure, roles};
use crate::net::clock;
use crate::net::shutdown::Shutdown;
use crate::proto::admin::{DeviceStatus, Presence};
use crate::proto::check::{Finding, Hop, Report, belongs_to, greeting};
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::refusal::Kind;
use crate::proxy::config::ProxyConfig;
use crate::proxy::pipe;

/// Without a device the service-proxy's settings are read for the way alone.
const NO_DEVICE: &str = "none";

/// A device that is offline is not waited for: it is known by then that it is.
const CONNECT_TIMEOUT: Duration = Duration::ZERO;

/// The device is told that the stream is over.
const GOODBYE: Duration = Duration::from_secs(1);

pub(super) async fn check(check: Check) -> Result<Report, Failure> {
    let device = check.device.as_ref().map_or(NO_DEVICE, DeviceId::as_str);
    let mut proxy = service_proxy(check.hub.profile.as_ref(), &["--stdio", "--device", device])?;
    proxy.hub = check.hub.or(proxy.hub);
    proxy.connect_timeout = CONNECT_TIMEOUT;
    let principal = Principal { role: Role::Service, id: service(&proxy.hub)? };
    let config = roles::proxy_config(proxy, principal.clone(), |_| {})?;
    let mut report = Report::default();
    if let Some(proof) = to_hub(&mut report, &principal, &config.enrol).await
        && let Some(device) = &check.device
    {
        let devices: Vec<DeviceStatus> =
            serde_json::from_slice(proof.body()).context("the hub's answer makes no sense")?;
        let presence = devices.into_iter().find(|status| status.id == *device).and_then(|status| status.online);
        let first = presence.as_ref().and_then(|presence| presence.forwards.first().cloned());
        report.extend(presence.map(|presence| online(device, presence)));
        let named = check.stream.clone().or(first);
        to_target(&mut report, config, check.stream, named.as_ref()).await;
    }
    Ok(report)
}

fn online(device: &DeviceId, presence: Presence) -> Finding {
    let offers = presence.forwards.iter().map(StreamName::as_str).collect::<Vec<_>>().join(" ");
    let finding = Finding::good(Hop::Device, device).fact("online since", presence.since).fact("offers", offers);
    // The version is what the device says of itself.
    let finding = finding.fact("from", presence.address).fact("version", presence.version);
    match presence.round_trip_us {
        Some(micros) => finding.fact("round trip", format!("{:.1} ms", micros as f64 / 1000.0)),
        None => finding,
    }
}

/// One stream, and what its target says first, which is known by this name. Of a device that is not online, the request
/// hears why.
async fn to_target(report: &mut Report, config: ProxyConfig, name: Option<StreamName>, known_as: Option<&StreamName>) {
    let at = name.as_ref().map_or_else(|| config.device.to_string(), |name| format!("{}/{name}", config.device));
    let ((opened, opening), (goes_on, enough)) = (oneshot::channel(), oneshot::channel());
    let (near, mut far) = duplex(GREETING_BYTES);
    let shutdown = Shutdown::default();
    let began = clock::now();
    let mut work = Box::pin(pipe(config, name, (Quiet::new(opened, enough), near), &shutdown));
    tokio::select! {
        biased;
        Ok(()) = opening => report.push(Finding::good(Hop::Stream, &at).took(since(began))),
        done = &mut work => {
            let refusal = done.err().map_or_else(|| Kind::PeerGone.into(), |(_, why)| why);
            return report.push(Finding::failed(belongs_to(refusal.kind), &at, &refusal).took(since(began)));
        }
    }
    let began = clock::now();
    let (heard, is_over) = tokio::select! {
        biased;
        heard = listen(&mut far, known_as) => (heard, false),
        // What it said before that is still there, and then the end.
        _ = &mut work => (listen(&mut far, known_as).await, true),
    };
    report.push(greeting(&at, known_as, &heard).took(since(began)));
    if is_over {
        return;
    }
    drop(goes_on);
    // What the target still says on its way out is read, or it would not come to its end.
    let mut nowhere = tokio::io::sink();
    let rest = async { tokio::join!(&mut work, tokio::io::copy(&mut far, &mut nowhere)) };
    if timeout(GOODBYE, rest).await.is_err() {
        shutdown.drain.cancel();
        shutdown.now.cancel();
        let _ = timeout(GOODBYE, work).await;
    }
}
