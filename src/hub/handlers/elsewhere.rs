//! A stream to a device that is connected to another hub of the cluster: which one has it, and asking that.

use std::time::Duration;

use tokio::time::sleep;

use crate::hub::broker::{Input, OpenRequest};
use crate::hub::cluster::link::LinkError;
use crate::hub::cluster::messages::{HubReply, HubRequest, OpenElsewhere, OpenedElsewhere};
use crate::hub::cluster::node::Node;
use crate::hub::cluster::view::members::DEAD_AFTER;
use crate::hub::cluster::view::placement::Placement;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::proto::id::{DeviceId, HubId};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeTicket;

/// The hubs that are asked for one stream: a device that moves is found at the second.
const MAX_HUBS_ASKED: usize = 3;

/// Added to a stream's timeout for the way between hubs.
const ROUND_TRIP_MARGIN: Duration = Duration::from_secs(2);

/// The interval at which a device is looked for while it is not known which hubs live.
const DOUBT_INTERVAL: Duration = Duration::from_millis(500);

/// Where a device is that is not connected to this hub.
pub(in crate::hub) enum Whereabouts {
    /// At that hub, as far as is known.
    At(HubId),
    /// At none.
    Offline,
}

/// Finds a device that is not connected to this hub. While a hub may live that does not answer, or be dead and not known to be, it is
/// looked for again: it may be there, or be about to connect to another one.
pub(in crate::hub) async fn find(node: &Node, device: &DeviceId) -> Result<Whereabouts, Refusal> {
    node.settled().await;
    let until = clock::now() + DEAD_AFTER;
    loop {
        let found = look_for(node, device).await;
        if found.is_ok() || !*node.link().is_connected().borrow() || until <= clock::now() {
            return found;
        }
        sleep(DOUBT_INTERVAL).await;
    }
}

async fn look_for(node: &Node, device: &DeviceId) -> Result<Whereabouts, Refusal> {
    match node.place(device) {
        Placement::AskHub(hub) => Ok(Whereabouts::At(hub)),
        Placement::AskAll => {
            let found = node.search(device).await.map_err(|error| isolated(&error))?;
            Ok(found.map_or(Whereabouts::Offline, Whereabouts::At))
        }
        Placement::Here | Placement::Offline => Ok(Whereabouts::Offline),
        Placement::Isolated => Err(RefusalKind::HubIsolated.into()),
    }
}

/// Opens a stream at the hub that has the device; `None` if none has.
pub(in crate::hub) async fn open_elsewhere(
    node: &Node,
    request: &OpenRequest,
) -> Result<Option<Box<OpenedElsewhere>>, Refusal> {
    let within = request.response_timeout + ROUND_TRIP_MARGIN;
    for _ in 0..MAX_HUBS_ASKED {
        let Whereabouts::At(hub) = find(node, &request.device).await? else { return Ok(None) };
        match node.request(hub, HubRequest::Open(Box::new(asked(request))), within).await {
            Ok(HubReply::Opened(opened)) => return Ok(Some(opened)),
            Ok(HubReply::Refused { reason }) => return Err(reason),
            Ok(_) => node.contradict(&request.device, hub),
            // It has died, as the node knows now.
            Err(LinkError::NobodyListens) => {}
            Err(LinkError::TimedOut(_)) => {
                let why = "the hub that has the device did not reply";
                return Err(Refusal::new(RefusalKind::HandshakeTimedOut, why));
            }
            Err(error @ LinkError::Unreachable(_)) => return Err(isolated(&error)),
        }
    }
    Err(Refusal::new(RefusalKind::HubBusy, "the device moves from hub to hub"))
}

/// A leg returns to this hub with the ticket of another one: whether that lives decides where the stream goes on. One that was
/// killed a moment ago is not known to be dead yet.
pub(in crate::hub) async fn confirm_life(shared: &Shared, ticket: &ResumeTicket) {
    let Some(node) = &shared.cluster else { return };
    if shared.streams.broker.has_stream(ticket.stream) {
        return;
    }
    node.settled().await;
    if let Some(hub) = ticket.hub.id
        && hub != node.id()
        && node.other_hubs().carries_on(hub)
        && !node.is_alive(hub).await
    {
        shared.streams.broker.handle(Input::HubsChanged(node.other_hubs()));
    }
}

fn isolated(error: &LinkError) -> Refusal {
    Refusal::new(RefusalKind::HubIsolated, error.to_string())
}

fn asked(request: &OpenRequest) -> OpenElsewhere {
    OpenElsewhere {
        service: request.service.clone(),
        source: request.source,
        device: request.device.clone(),
        name: request.name.clone(),
        response_timeout_ms: u64::try_from(request.response_timeout.as_millis()).unwrap_or(u64::MAX),
        protocols: request.protocols.iter().map(|protocol| protocol.as_str().to_owned()).collect(),
        end_to_end: request.end_to_end,
        stream: request.stream,
        reusable: request.reusable,
    }
}
