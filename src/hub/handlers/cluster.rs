//! This hub as the others of its cluster know it: what it says of itself, and the streams that it opens for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::open::{self, open_here};
use crate::hub::auth::{Action, authorize};
use crate::hub::broker::{Grant, Input, OpenRequest};
use crate::hub::cluster::messages::{HubReply, HubRequest, OpenElsewhere, OpenedElsewhere};
use crate::hub::cluster::node::Node;
use crate::hub::cluster::run::HubPart;
use crate::hub::cluster::view::members::Heartbeat;
use crate::hub::cluster::view::other_hubs::OtherHubs;
use crate::hub::cluster::view::presence::MovedAway;
use crate::hub::consequences::Clocks;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::refusal::{Refusal, RefusalKind};

/// This hub, as its cluster knows it.
pub(in crate::hub) struct ClusterPart {
    pub(in crate::hub) shared: Arc<Shared>,
    pub(in crate::hub) node: Arc<Node>,
}

impl HubPart for ClusterPart {
    fn heartbeat(&self) -> Heartbeat {
        let Self { shared, node } = self;
        Heartbeat {
            hub: node.id(),
            run: node.own.run,
            address: node.address.clone(),
            version: shared.endpoints.info.version.clone(),
            region: node.members().region,
            since: shared.started_at,
            devices: shared.streams.broker.devices_online(),
            streams: shared.streams.broker.streams(),
            draining: shared.streams.is_draining(),
            leaving: false,
            revision: 0,
        }
    }

    fn has_device(&self, device: &DeviceId) -> bool {
        self.shared.streams.broker.has_device(device)
    }

    fn moved_away(&self, MovedAway { device, to }: MovedAway) {
        self.shared.streams.broker.handle(Input::PresentElsewhere { device, run: to.run, address: to.address });
    }

    fn members_changed(&self, others: OtherHubs) {
        self.shared.streams.broker.handle(Input::HubsChanged(others));
    }

    fn is_behind(&self, _: u64) {}

    fn serve(self: Arc<Self>, request: HubRequest) -> BoxFuture<'static, HubReply> {
        async move {
            match request {
                HubRequest::Live => HubReply::Live,
                HubRequest::Open(_) if self.shared.streams.is_draining() => {
                    HubReply::Refused { reason: RefusalKind::Draining.into() }
                }
                HubRequest::Open(open) if !self.has_device(&open.device) => HubReply::NotHere,
                HubRequest::Open(open) => match open_for(&self.shared, *open).await {
                    Ok(opened) => HubReply::Opened(Box::new(opened)),
                    Err(reason) => HubReply::Refused { reason },
                },
            }
        }
        .boxed()
    }
}

/// Opens a stream for a service that another hub has authenticated. What it may do is looked up here as well: this hub may know
/// of a change before the other.
async fn open_for(shared: &Shared, open: OpenElsewhere) -> Result<OpenedElsewhere, Refusal> {
    let find = async |role, id| {
        let found = shared.registry.find(&Principal { role, id }).await;
        found.map_err(|error| error.to_public_refusal())
    };
    let service = find(Role::Service, open.service.clone().into()).await?;
    let service =
        service.ok_or_else(|| Refusal::new(RefusalKind::HubBusy, "the device's hub does not know this service yet"))?;
    let exists = find(Role::Device, open.device.clone().into()).await?.is_some();
    let action = Action::Open { device: &open.device, exists, name: open.name.as_ref() };
    authorize(service.authz_subject(), action, clock::now_utc())?;
    let device = open.device.clone();
    let request = OpenRequest {
        device: open.device,
        name: open.name,
        until: Clocks::now().access_deadline(&service.scope),
        scope: service.scope,
        service: open.service,
        source: open.source,
        connect_timeout: Duration::ZERO,
        response_timeout: Duration::from_millis(open.response_timeout_ms).min(shared.config.broker.handshake),
        protocols: open::protocols(open.protocols.iter().map(String::as_str)),
        end_to_end: open.end_to_end,
        stream: open.stream,
        reusable: open.reusable && shared.config.standbys > 0,
        standby: false,
        early: Bytes::new(),
        repeatable: false,
    };
    let grant = open_here(shared, request).await?;
    Ok(opened(shared, &device, &grant))
}

fn opened(shared: &Shared, device: &DeviceId, grant: &Grant) -> OpenedElsewhere {
    let urls = &shared.endpoints.urls;
    let authority = urls.authority_for(&shared.endpoints.public.to_string());
    OpenedElsewhere {
        stream: grant.stream,
        url: urls.stream(&authority, device, grant.stream, Role::Service),
        token: grant.token.clone(),
        protocol: grant.protocol.map(|protocol| protocol.as_str().to_owned()),
        reusable: grant.reusable,
        end_to_end: grant.end_to_end,
        standby: shared.standby_offer(&authority),
        opening_limit: shared.opening_limit(),
    }
}
