//! The check of an operator: the path to the hub, and through it to a device and its target.

use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::time::timeout;

use super::advice::hop_of;
use super::banner::{judge_banner, read_banner};
use super::finding::{Finding, Verdict};
use super::hop::Hop;
use super::hub_path::{elapsed_since, to_hub};
use super::reporter::Reporter;
use super::session::end_to_end;
use crate::cli::Failure;
use crate::cli::args::Check;
use crate::cli::config::role_settings::service_proxy;
use crate::cli::identity::{client_factory, default_service_id};
use crate::cli::preflight::NOTHING_OFFERED;
use crate::net::identity::Identity;
use crate::net::os::clock;
use crate::net::tunnel::seal::SessionView;
use crate::net::tunnel::stream::Stream;
use crate::proto::admin::{DeviceStatus, Presence};
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proxy::Connector;

/// The placeholder for --device, which is required: only the settings of the path are read.
const NO_DEVICE: &str = "none";

/// The limit on draining the target and closing the stream.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

pub(super) async fn check(reporter: &Reporter, check: Check) -> Result<(), Failure> {
    let proxy = service_proxy(check.hub.profile.as_ref(), &["--stdio", "--device", NO_DEVICE])?;
    let device = check.device().cloned();
    let plain = check.plain || proxy.plain;
    let hub = check.hub.or(proxy.hub);
    let principal = Principal { role: Role::Service, id: default_service_id(&hub)? };
    let via = hub.via.clone();
    let client_factory = client_factory(principal.clone(), hub);
    if let Some(devices) = to_hub(reporter, &principal, &client_factory, &via).await
        && let Some(device) = &device
    {
        let connector = Connector::new(&Identity::with_client_factory(principal, client_factory))?.with_plain(plain);
        to_device(reporter, &devices, connector, (device, check.stream)).await;
    }
    Ok(())
}

async fn to_device(
    reporter: &Reporter,
    devices: &[DeviceStatus],
    connector: Connector,
    (device, name): (&DeviceId, Option<StreamName>),
) {
    let presence = devices.iter().find(|status| status.id == *device).and_then(|status| status.online.as_ref());
    // For an offline device, the refusal of the stream says more than its absence here.
    if let Some(presence) = presence {
        reporter.push(online(device, presence));
    }
    // The device's first forward may be one that is not for this service: it is shown those that are.
    let first = presence.and_then(|presence| presence.forwards.first());
    let name = name.or_else(|| first.cloned());
    let at = name.as_ref().map_or_else(|| device.to_string(), |name| format!("{device}/{name}"));
    reporter.begin(Hop::Stream, &at);
    let (started, met) = (clock::now(), clock::now_utc());
    match connector.open_with_session(device, name.as_ref(), &[]).await {
        Ok((stream, session)) => {
            reporter.push(Finding::good(Hop::Stream, &at).took(elapsed_since(started)));
            let sealed = end_to_end(reporter, &at, session.as_ref(), met).await;
            if matches!(sealed.verdict, Verdict::Failed { .. }) {
                reporter.push(sealed);
            } else {
                to_target(reporter, (&at, sealed), name.as_ref(), (stream, session)).await;
            }
        }
        Err(refusal) => {
            let offers_nothing = presence.is_some_and(|presence| presence.forwards.is_empty());
            let for_others = refusal.kind == RefusalKind::StreamNotOffered && offers_nothing;
            let finding = if for_others { nothing_offered(&at, &refusal) } else { no_stream(&at, &refusal) };
            reporter.push(finding.took(elapsed_since(started)));
        }
    }
    connector.close(CLOSE_GRACE).await;
}

fn online(device: &DeviceId, presence: &Presence) -> Finding {
    let offers = match &presence.forwards[..] {
        [] => "nothing to this service".into(),
        names => names.iter().map(StreamName::as_str).collect::<Vec<_>>().join(" "),
    };
    let finding = Finding::good(Hop::Device, device).fact("online since", presence.since).fact("offers", offers);
    // The device reports its version itself.
    let finding = finding.fact("from", presence.address).fact("version", &presence.version);
    match presence.round_trip_us {
        Some(micros) => finding.fact("round trip", format!("{:.1} ms", micros as f64 / 1000.0)),
        None => finding,
    }
}

/// A refusal of a device all of whose streams are for others.
fn nothing_offered(at: &str, refusal: &Refusal) -> Finding {
    Finding::good(Hop::Stream, at).with_verdict(Verdict::because(refusal, NOTHING_OFFERED.into()))
}

fn no_stream(at: &str, refusal: &Refusal) -> Finding {
    Finding::failed(hop_of(refusal.kind), at, refusal)
}

/// Reads the target's banner, then closes the stream properly, so that no log reports a lost stream.
async fn to_target(
    reporter: &Reporter,
    (at, sealed): (&str, Finding),
    stream_name: Option<&StreamName>,
    (mut stream, session): (Stream, Option<SessionView>),
) {
    reporter.begin(Hop::Target, at);
    let started = clock::now();
    let banner_read = read_banner(&mut stream, stream_name).await;
    // The device refuses this machine's key only after its own was accepted here.
    match session.as_ref().and_then(SessionView::failure) {
        Some(refusal) => return reporter.push(no_stream(at, &refusal)),
        None => reporter.push(sealed),
    }
    reporter.push(judge_banner(at, stream_name, &banner_read).took(elapsed_since(started)));
    let drain = async {
        stream.shutdown().await?;
        // The stream ends only once its data is read.
        copy(&mut stream, &mut sink()).await
    };
    // The finding is complete; a failed close changes nothing.
    let _ = timeout(CLOSE_GRACE, drain).await;
}
