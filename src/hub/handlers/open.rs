//! Opening a stream for a service: by `POST /twins/{device}/streams/{name}`, or on a standby connection.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::time::sleep;

use crate::hub::auth::Action;
use crate::hub::broker::{Grant, OpenRequest};
use crate::hub::cluster::messages::OpenedElsewhere;
use crate::hub::cluster::node::Node;
use crate::hub::cluster::view::placement::Placement;
use crate::hub::connection::ConnectionContext;
use crate::hub::consequences::Clocks;
use crate::hub::event::{Event, Operation};
use crate::hub::handlers::elsewhere::{Whereabouts, find, open_elsewhere};
use crate::hub::registry::Record;
use crate::hub::relief;
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::transport::http_server::HttpRequest;
use crate::proto::admin::{NOT_JOINED_YET, disabled_at_the_hub};
use crate::proto::e2e::{END_TO_END, END_TO_END_HEADER};
use crate::proto::http::{
    CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, STREAM_ID_HEADER, STREAM_PROTOCOL_HEADER, parse_timeout,
};
use crate::proto::id::{DeviceId, Principal, Role, StreamId, StreamName};
use crate::proto::limits::RESPONSE_TIMEOUT;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::standby;
use crate::proto::stream::StreamProtocol;

/// Opens a stream and responds when the device has.
pub(in crate::hub) async fn respond(
    shared: &Shared,
    context: &ConnectionContext,
    http_request: &HttpRequest,
    device: DeviceId,
    name: Option<StreamName>,
) -> Response<Bytes> {
    let service = match context.authenticate(shared, http_request).await {
        Ok(authenticated) => authenticated.record,
        Err(refusal) => return responses::refusal(&refusal),
    };
    let params = match parse_params(shared, http_request, device, name) {
        Ok(params) => params,
        Err(refusal) => return responses::refusal(&refusal),
    };
    match open_stream(shared, context, service, params).await {
        Ok(Opened::Elsewhere(opened)) => responses::stream_granted_elsewhere(&opened),
        Ok(Opened::AskAnew) => responses::refusal(&RefusalKind::HubFailed.into()),
        Ok(Opened::Here(device, grant)) => {
            let urls = &shared.endpoints.urls;
            let authority = urls.authority_for(&http_request.authority);
            let url = urls.stream(&authority, &device, grant.stream, Role::Service);
            let standby = shared.standby_offer(&authority);
            responses::stream_granted(&grant, &url, standby.as_ref(), shared.opening_limit())
        }
        Err(refusal) => responses::refusal(&refusal),
    }
}

/// The parameters of a requested stream.
pub(in crate::hub) struct OpenParams {
    pub(in crate::hub) device: DeviceId,
    pub(in crate::hub) name: Option<StreamName>,
    pub(in crate::hub) connect_timeout: Duration,
    pub(in crate::hub) response_timeout: Duration,
    pub(in crate::hub) protocols: Vec<StreamProtocol>,
    pub(in crate::hub) end_to_end: bool,
    pub(in crate::hub) stream: Option<StreamId>,
    pub(in crate::hub) reusable: bool,
    pub(in crate::hub) standby: bool,
    pub(in crate::hub) early: Bytes,
    pub(in crate::hub) repeatable: bool,
}

/// An opened stream.
pub(in crate::hub) enum Opened {
    /// At this hub, with the device's own id: the one that was asked for may differ in case, as ssh makes host names.
    Here(DeviceId, Grant),
    /// At another hub of the cluster.
    Elsewhere(Box<OpenedElsewhere>),
    /// Not yet: another hub has the device, and a standby connection of this one is of no use there.
    AskAnew,
}

/// Opens a stream, for requests and standby connections alike. A service that is refused again and again is answered late, unless its
/// connection still has the place of an unauthenticated one.
pub(in crate::hub) async fn open_stream(
    shared: &Shared,
    context: &ConnectionContext,
    service: Record,
    params: OpenParams,
) -> Result<Opened, Refusal> {
    let principal = service.principal.clone();
    let opened = request_stream(shared, context, service, params).await;
    if opened.is_err()
        && context.is_authenticated()
        && let Some(delay) = shared.admission.refusals.charge(&principal, clock::now())
    {
        sleep(delay).await;
    }
    opened
}

/// Authorises the service, checks the capacity and asks the device.
async fn request_stream(
    shared: &Shared,
    context: &ConnectionContext,
    service: Record,
    params: OpenParams,
) -> Result<Opened, Refusal> {
    let asked = Principal { role: Role::Device, id: params.device.clone().into() };
    let known = shared.registry.find_ignoring_case(&asked).await;
    let known = known.map_err(|error| error.to_public_refusal())?;
    let device = known.as_ref().map_or(params.device, |record| record.principal.id.clone().into());
    let action = Action::Open { device: &device, exists: known.is_some(), name: params.name.as_ref() };
    context.authorize(shared, &service, action)?;
    let limit = shared.config.broker.handshake;
    let request = OpenRequest {
        device: device.clone(),
        name: params.name,
        until: Clocks::now().access_deadline(&service.scope),
        scope: service.scope,
        service: service.principal.id.into(),
        source: context.address,
        connect_timeout: params.connect_timeout.min(limit),
        response_timeout: params.response_timeout.min(limit),
        protocols: params.protocols,
        end_to_end: params.end_to_end,
        stream: params.stream,
        reusable: params.reusable && shared.config.standbys > 0,
        standby: params.standby,
        early: params.early,
        repeatable: params.repeatable,
    };
    let opened = match &shared.cluster {
        Some(node) if !shared.streams.broker.has_device(&device) => open_anywhere(shared, node, request).await,
        _ => open_here(shared, request).await.map(|grant| Opened::Here(device, grant)),
    };
    opened.map_err(|refusal| match refusal.kind == RefusalKind::DeviceOffline {
        true => Refusal::new(RefusalKind::DeviceOffline, known.map(offline_detail).unwrap_or_default()),
        false => refusal,
    })
}

/// Opens a stream to a device of this hub, if there is capacity.
pub(in crate::hub) async fn open_here(shared: &Shared, request: OpenRequest) -> Result<Grant, Refusal> {
    let audit = shared.activity.audit_checkpoint()?;
    if let Err(refusal) = relief::stream_capacity(shared, &request.service).await {
        return Err(record_overload(shared, &request, refusal));
    }
    let grant = shared.streams.broker.open_stream(shared.streams.allocate_connection_id(), request).await?;
    shared.activity.verify_audit(&audit).await.map(|()| grant)
}

/// Opens a stream at the hub that has the device, and waits for a device that is offline at whichever hub it connects to.
async fn open_anywhere(shared: &Shared, node: &Node, request: OpenRequest) -> Result<Opened, Refusal> {
    let mut changes = node.changes();
    let device = request.device.clone();
    loop {
        changes.borrow_and_update();
        if request.standby && matches!(find(node, &device).await?, Whereabouts::At(_)) {
            return Ok(Opened::AskAnew);
        }
        if let Some(opened) = open_elsewhere(node, &request).await? {
            return Ok(Opened::Elsewhere(opened));
        }
        let came_elsewhere = async {
            while !matches!(node.place(&device), Placement::AskHub(_)) {
                if changes.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::select! {
            grant = open_here(shared, request.clone()) => return grant.map(|grant| Opened::Here(device, grant)),
            () = came_elsewhere => {}
        }
    }
}

/// Parses the request's headers.
fn parse_params(
    shared: &Shared,
    http_request: &HttpRequest,
    device: DeviceId,
    name: Option<StreamName>,
) -> Result<OpenParams, Refusal> {
    let limit = shared.config.broker.handshake;
    let wrong = |header: &str, text: &str| Refusal::new(RefusalKind::BadRequest, format!("{header}: {text}"));
    let timeout = |header, default: Duration| match http_request.header(header) {
        Some(text) => parse_timeout(text, limit).ok_or_else(|| wrong(header, text)),
        None => Ok(default),
    };
    let stream = match http_request.header(STREAM_ID_HEADER) {
        Some(text) => Some(text.parse().map_err(|_| wrong(STREAM_ID_HEADER, text))?),
        None => None,
    };
    Ok(OpenParams {
        device,
        name,
        connect_timeout: timeout(CONNECT_TIMEOUT_HEADER, Duration::ZERO)?,
        response_timeout: timeout(RESPONSE_TIMEOUT_HEADER, RESPONSE_TIMEOUT)?,
        protocols: http_request
            .header(STREAM_PROTOCOL_HEADER)
            .map(|list| protocols(list.split(',')))
            .unwrap_or_default(),
        end_to_end: http_request.header(END_TO_END_HEADER) == Some(END_TO_END),
        stream,
        reusable: http_request.header(standby::REUSABLE_HEADER) == Some(standby::REUSABLE),
        standby: false,
        early: Bytes::new(),
        repeatable: false,
    })
}

/// Returns the stream protocols of a list that this hub implements.
pub(in crate::hub) fn protocols<'a>(offered: impl Iterator<Item = &'a str>) -> Vec<StreamProtocol> {
    offered.filter_map(|name| StreamProtocol::from_name(name.trim())).take(StreamProtocol::ALL.len()).collect()
}

/// Records a stream that was refused for lack of capacity, before the broker knew of it.
fn record_overload(shared: &Shared, request: &OpenRequest, refusal: Refusal) -> Refusal {
    shared.activity.record(Event {
        reason: refusal.detail.as_str().into(),
        device: Some(request.device.clone()),
        service: Some(request.service.clone()),
        name: request.name.clone(),
        source: Some(request.source),
        ..Event::new(Operation::Invoke, refusal.kind.row().label)
    });
    refusal
}

/// The detail of a `DeviceOffline` refusal.
fn offline_detail(device: Record) -> String {
    match device.last_seen {
        _ if device.disabled => disabled_at_the_hub(device.principal.id.as_str()),
        _ if device.keys.is_empty() => NOT_JOINED_YET.into(),
        Some(seen) => format!("last seen {}", seen.rfc3339()),
        None => "it has never been online".into(),
    }
}
