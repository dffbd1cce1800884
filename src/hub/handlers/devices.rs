//! `GET /devices`: a service lists the devices in its scope.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::hub::admission::lists::ListTurn;
use crate::hub::auth::{Action, authorize};
use crate::hub::connection::ConnectionContext;
use crate::hub::handlers::gather;
use crate::hub::registry::{LastSeen, Record};
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::transport::http_server::HttpRequest;
use crate::proto::admin::{DeviceStatus, Presence};
use crate::proto::id::{DeviceId, Principal, PrincipalId, Role};
use crate::proto::refusal::Refusal;

/// Lists the devices in the service's scope, with the stream names that it may ask for.
pub(in crate::hub) async fn list(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> Response<Bytes> {
    match visible_devices(shared, context, request).await {
        Ok((devices, turn)) => json(&devices, turn),
        Err(refusal) => responses::refusal(&refusal),
    }
}

async fn visible_devices(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> Result<(Vec<DeviceStatus>, ListTurn), Refusal> {
    let service = context.authenticate_and_authorize(shared, request, Action::List).await?.record;
    let turn = shared.admission.lists.take_turn(&service.principal).await?;
    if service.scope.devices.is_empty() {
        return Ok((Vec::new(), turn));
    }
    // One list at a time, since each reads the ids of all devices: lists must not delay authentication.
    let _lock = shared.list_lock.lock().await;
    let (viewer, now) = (service.clone(), clock::now_utc());
    let can_see =
        move |id: &PrincipalId| authorize(viewer.authz_subject(), Action::ViewDevice(&id.clone().into()), now).is_ok();
    let seen = shared.registry.with(move |registry| registry.last_seen(Role::Device, &can_see)).await;
    let seen = seen.map_err(|error| error.to_public_refusal())?;
    let ending = shared.streams.broker.ending_devices();
    let mut elsewhere = gather::devices(shared).await.all;
    let status = |LastSeen { id, at, joined, disabled }: LastSeen| {
        let principal = Principal { role: Role::Device, id };
        let last_seen = shared.registry.latest_seen(&principal, at);
        let id: DeviceId = principal.id.into();
        let online = shared.streams.broker.presence(&id).or_else(|| elsewhere.remove(&id));
        let online = online.map(|presence| filter_forwards(presence, &service));
        DeviceStatus { joined, disabled, last_seen, ending: online.is_none() && ending.contains(&id), online, id }
    };
    Ok((seen.into_iter().map(status).collect(), turn))
}

/// Hides the stream names that are outside the service's scope.
fn filter_forwards(mut presence: Presence, service: &Record) -> Presence {
    presence.first_is_hidden = presence.forwards.first().is_some_and(|first| !service.scope.covers_stream(first));
    presence.forwards.retain(|name| service.scope.covers_stream(name));
    presence.dead_targets.retain(|dead| service.scope.covers_stream(&dead.name));
    presence
}

/// Returns the list. The service's next one waits until this is written to its socket: the hub holds it until then.
fn json(devices: &[DeviceStatus], turn: ListTurn) -> Response<Bytes> {
    let body = Body { text: serde_json::to_vec(devices).unwrap_or_default(), _turn: turn };
    let mut response = Response::new(Bytes::from_owner(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

struct Body {
    text: Vec<u8>,
    _turn: ListTurn,
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}
