//! `GET /devices`: a service lists the devices in its scope.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::hub::auth::{Action, authorize};
use crate::hub::connection::ConnectionContext;
use crate::hub::registry::Record;
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::transport::http_server::HttpRequest;
use crate::proto::admin::{DeviceStatus, Presence};
use crate::proto::id::{DeviceId, Role};
use crate::proto::refusal::Refusal;

/// Lists the devices in the service's scope, with the stream names that it may ask for.
pub(in crate::hub) async fn list(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> Response<Bytes> {
    match visible_devices(shared, context, request).await {
        Ok(devices) => json(&devices),
        Err(refusal) => responses::refusal(&refusal),
    }
}

async fn visible_devices(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> Result<Vec<DeviceStatus>, Refusal> {
    let service = context.authenticate_and_authorize(shared, request, Action::List).await?.record;
    if service.scope.devices.is_empty() {
        return Ok(Vec::new());
    }
    // One list at a time, since each reads the whole registry: lists must not delay authentication.
    let _lock = shared.list_lock.lock().await;
    let devices = shared.registry.with(|registry| registry.list(Role::Device)).await;
    let devices = devices.map_err(|error| error.to_public_refusal())?;
    let now = clock::now_utc();
    let can_see = |id: &DeviceId| authorize(service.authz_subject(), Action::ViewDevice(id), now).is_ok();
    let status = |record: Record| {
        let Record { principal, last_seen, .. } = shared.registry.with_last_seen(record);
        let id: DeviceId = principal.id.into();
        can_see(&id).then(|| {
            let online = shared.streams.broker.presence(&id).map(|presence| filter_forwards(presence, &service));
            DeviceStatus { id, last_seen, online }
        })
    };
    Ok(devices.into_iter().filter_map(status).collect())
}

/// Hides the stream names that are outside the service's scope.
fn filter_forwards(mut presence: Presence, service: &Record) -> Presence {
    presence.forwards.retain(|name| service.scope.covers_stream(name));
    presence
}

fn json(devices: &[DeviceStatus]) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(serde_json::to_vec(devices).unwrap_or_default()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}
