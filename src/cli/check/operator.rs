//! As an operator: to the hub, and through it to a device and its target.

use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, copy, sink};
use tokio::time::timeout;

use super::banner::listen;
use super::hub_path::{since, to_hub};
use super::reporter::Telling;
use crate::cli::Failure;
use crate::cli::args::Check;
use crate::cli::identity::{client_factory, service};
use crate::cli::role_settings::service_proxy;
use crate::net::clock;
use crate::net::identity::Identity;
use crate::net::stream::Stream;
use crate::proto::admin::{DeviceStatus, Presence};
use crate::proto::check::{Finding, Hop, belongs_to, greeting};
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::refusal::Refusal;
use crate::proxy::Connector;

/// The service-proxy's settings are read for the way alone.
const NO_DEVICE: &str = "none";

/// What the target still says, and the way of the end to the device, take no longer.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

pub(super) async fn check(telling: &Telling, check: Check) -> Result<(), Failure> {
    let proxy = service_proxy(check.hub.profile.as_ref(), &["--stdio", "--device", NO_DEVICE])?;
    let hub = check.hub.or(proxy.hub);
    let principal = Principal { role: Role::Service, id: service(&hub)? };
    let client_factory = client_factory(principal.clone(), hub);
    if let Some(devices) = to_hub(telling, &principal, &client_factory).await
        && let Some(device) = &check.device
    {
        let connector = Connector::new(&Identity::with_client_factory(principal, client_factory))?;
        to_device(telling, &devices, connector, (device, check.stream)).await;
    }
    Ok(())
}

async fn to_device(
    telling: &Telling,
    devices: &[DeviceStatus],
    connector: Connector,
    (device, name): (&DeviceId, Option<StreamName>),
) {
    let presence = devices.iter().find(|status| status.id == *device).and_then(|status| status.online.as_ref());
    // Of a device that is not online, the request for a stream hears why.
    if let Some(presence) = presence {
        telling.push(online(device, presence));
    }
    let at = name.as_ref().map_or_else(|| device.to_string(), |name| format!("{device}/{name}"));
    telling.begin(Hop::Stream, &at);
    let began = clock::now();
    match connector.open(device, name.as_ref()).await {
        Ok(stream) => {
            telling.push(Finding::good(Hop::Stream, &at).took(since(began)));
            let first = presence.and_then(|presence| presence.forwards.first());
            to_target(telling, &at, name.as_ref().or(first), stream).await;
        }
        Err(refusal) => telling.push(no_stream(&at, &refusal).took(since(began))),
    }
    connector.close(CLOSE_GRACE).await;
}

fn online(device: &DeviceId, presence: &Presence) -> Finding {
    let offers = presence.forwards.iter().map(StreamName::as_str).collect::<Vec<_>>().join(" ");
    let finding = Finding::good(Hop::Device, device).fact("online since", presence.since).fact("offers", offers);
    // The version is what the device says of itself.
    let finding = finding.fact("from", presence.address).fact("version", &presence.version);
    match presence.round_trip_us {
        Some(micros) => finding.fact("round trip", format!("{:.1} ms", micros as f64 / 1000.0)),
        None => finding,
    }
}

fn no_stream(at: &str, refusal: &Refusal) -> Finding {
    Finding::failed(belongs_to(refusal.kind), at, refusal)
}

/// What the target says first, which is known by this name; and then its end, so that nobody takes it for a stream that
/// was lost.
async fn to_target(telling: &Telling, at: &str, known_as: Option<&StreamName>, mut stream: Stream) {
    telling.begin(Hop::Target, at);
    let began = clock::now();
    let heard = listen(&mut stream, known_as).await;
    telling.push(greeting(at, known_as, &heard).took(since(began)));
    let goodbye = async {
        stream.shutdown().await?;
        // Unread, it would not come to its end.
        copy(&mut stream, &mut sink()).await
    };
    // Whatever comes of it, the target was heard.
    let _ = timeout(CLOSE_GRACE, goodbye).await;
}
