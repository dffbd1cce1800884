//! This hub as the others of its cluster know it: what it says of itself, and the streams that it opens for them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::open::{self, open_here};
use crate::hub::activity;
use crate::hub::auth::{Action, authorize};
use crate::hub::broker::{Grant, Input, OpenRequest};
use crate::hub::cluster::messages::{HubReply, HubRequest, OnlineDevice, OpenElsewhere, OpenedElsewhere};
use crate::hub::cluster::node::Node;
use crate::hub::cluster::run::HubPart;
use crate::hub::cluster::view::members::Heartbeat;
use crate::hub::cluster::view::other_hubs::OtherHubs;
use crate::hub::cluster::view::presence::MovedAway;
use crate::hub::consequences::Clocks;
use crate::hub::event::{Event, Operation};
use crate::hub::registry::portable::Subject;
use crate::hub::shared::Shared;
use crate::hub::state::activity_log;
use crate::hub::status::status;
use crate::net::os::clock;
use crate::proto::admin::LogRequest;
use crate::proto::id::{DeviceId, Principal, Role, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The devices or streams in one reply: a few hundred bytes each, below the engine's limit of 1 MiB.
const LISTED_AT_ONCE: usize = 500;

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
            sent: node.stamp(),
            address: node.address.clone(),
            version: shared.endpoints.info.version.clone(),
            region: node.members().region,
            since: shared.started_at,
            devices: shared.streams.broker.devices_online(),
            streams: shared.streams.broker.streams(),
            draining: shared.streams.is_draining(),
            leaving: false,
            revision: shared.mirror.as_ref().map_or(0, |mirror| mirror.revision()),
            news: node.news_sent(),
            behind: node.behind(),
        }
    }

    fn has_device(&self, device: &DeviceId) -> bool {
        self.shared.streams.broker.has_device(device)
    }

    fn moved_away(&self, MovedAway { device, to }: MovedAway) {
        self.shared.streams.broker.handle(Input::PresentElsewhere { device, run: to.run, address: to.address });
    }

    fn devices_waiting(&self) -> Vec<StreamId> {
        self.shared.streams.broker.devices_waiting()
    }

    fn devices_wait_elsewhere(&self, streams: Vec<StreamId>) {
        self.shared.streams.broker.handle(Input::DevicesWaitElsewhere { streams });
    }

    fn members_changed(&self, others: OtherHubs) {
        self.shared.streams.broker.handle(Input::HubsChanged(others));
    }

    fn is_behind(&self, revision: u64) {
        if let Some(mirror) = &self.shared.mirror {
            mirror.poll(revision);
        }
    }

    fn serve(self: Arc<Self>, request: HubRequest) -> BoxFuture<'static, HubReply> {
        async move {
            match request {
                HubRequest::Live => HubReply::Live,
                HubRequest::Devices { after } => self.devices(after.as_ref()),
                HubRequest::Device { device } => {
                    let presence = self.shared.streams.broker.presence(&device);
                    let device = presence.map(|presence| OnlineDevice { id: device, presence });
                    HubReply::Devices { devices: device.into_iter().collect(), more: false }
                }
                HubRequest::Streams { after } => self.streams(after),
                HubRequest::Status => match status(&self.shared).await {
                    Ok(status) => HubReply::Status { status: Box::new(status) },
                    Err(error) => HubReply::Refused { reason: error.to_public_refusal() },
                },
                HubRequest::Deny { principal, revision } => {
                    if !has_changed_since(&self.shared, &principal, revision).await {
                        deny_here(&self.shared, &principal);
                    }
                    HubReply::Done
                }
                HubRequest::EndStream { stream, by } => match end_stream_here(&self.shared, stream, by) {
                    true => HubReply::Done,
                    false => HubReply::NotHere,
                },
                HubRequest::Log(request) => self.log(*request).await,
                HubRequest::Unknown => HubReply::Unknown,
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

impl ClusterPart {
    fn devices(&self, after: Option<&DeviceId>) -> HubReply {
        let devices = self.shared.streams.broker.devices_after(after, LISTED_AT_ONCE);
        let more = devices.len() == LISTED_AT_ONCE;
        let devices = devices.into_iter().map(|(id, presence)| OnlineDevice { id, presence }).collect();
        HubReply::Devices { devices, more }
    }

    fn streams(&self, after: Option<StreamId>) -> HubReply {
        let mut streams = self.shared.streams.broker.all_streams();
        streams.retain(|stream| after.is_none_or(|after| stream.id > after));
        streams.sort_by_key(|stream| stream.id);
        let more = streams.len() > LISTED_AT_ONCE;
        streams.truncate(LISTED_AT_ONCE);
        HubReply::Streams { streams, more }
    }

    async fn log(&self, request: LogRequest) -> HubReply {
        let path = activity_log(&self.shared.config.state);
        let read = tokio::task::spawn_blocking(move || activity::page(&path, request)).await;
        match read.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(page) => HubReply::Log(Box::new(page)),
            Err(error) => {
                let reason = format!("cannot read the activity log: {error}");
                tracing::warn!(target: "hub", "{reason}");
                HubReply::Refused { reason: Refusal::new(RefusalKind::HubBusy, reason) }
            }
        }
    }
}

/// Reports whether this hub has a value of the identity that is later than this revision: the request was late.
async fn has_changed_since(shared: &Shared, principal: &Principal, revision: u64) -> bool {
    let Some(mirror) = shared.mirror.clone() else { return false };
    let subject = Subject::Identity(principal.clone());
    let own = shared.registry.with(move |_| mirror.sqlite().mirrored(&subject)).await;
    own.ok().flatten().is_some_and(|(_, own)| own > revision)
}

/// Denies an identity for a moment, and ends its connections and streams.
pub(in crate::hub) fn deny_here(shared: &Shared, principal: &Principal) {
    shared.registry.deny(principal);
    let reason = Refusal::new(RefusalKind::Disabled, principal.to_string());
    shared.streams.broker.handle(Input::IdentityRevoked { principal: principal.clone(), reason });
}

/// Ends a stream of this hub for the operator; `false` if there is none.
pub(in crate::hub) fn end_stream_here(shared: &Shared, stream: StreamId, by: Option<String>) -> bool {
    let Some(found) = shared.streams.broker.all_streams().into_iter().find(|found| found.id == stream) else {
        return false;
    };
    let (device, service, name) = (Some(found.device), Some(found.service), found.name);
    let event =
        Event { stream: Some(stream), device, service, name, by, ..Event::new(Operation::StreamKilled, "killed") };
    shared.activity.record(event);
    shared.streams.broker.kill_stream(stream);
    true
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
