//! A service asks for a stream: `POST /twins/{device}/streams/{name}`.

use bytes::Bytes;
use http::Response;
use std::time::Duration;

use super::auth::Action;
use super::broker::Ask;
use super::door::Visitor;
use super::{Shared, answers};
use crate::net::serve::Asked;
use crate::proto::http::{
    CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, STREAM_PROTOCOL, STREAM_PROTOCOL_HEADER, lists, seconds,
};
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::limits::RESPONSE_TIMEOUT;
use crate::proto::refusal::{Kind, Refusal};

/// Authorises, asks the broker, and answers when the device has.
pub(super) async fn ask(
    shared: &Shared,
    visitor: &Visitor,
    asked: &Asked,
    device: DeviceId,
    name: Option<StreamName>,
) -> Response<Bytes> {
    let service = match visitor.identify(shared, asked).await {
        Ok(service) => service,
        Err(refusal) => return answers::refuse(&refusal),
    };
    let principal = Principal { role: Role::Device, id: device.clone().into() };
    let known = match shared.directory.find(&principal).await {
        Ok(known) => known,
        Err(error) => return answers::refuse(&Refusal::new(Kind::HubFailed, error.to_string())),
    };
    let action = Action::Open { device: &device, known: known.is_some(), name: name.as_ref() };
    if let Err(refusal) = visitor.allow(shared, &service, action) {
        return answers::refuse(&refusal);
    }
    let audit = match shared.activity.audit() {
        Ok(audit) => audit,
        Err(refusal) => return answers::refuse(&refusal),
    };
    let limit = shared.config.broker.handshake;
    let timeout = |header, default: Duration| match asked.header(header) {
        Some(text) => seconds(text, limit).ok_or_else(|| Refusal::new(Kind::BadRequest, format!("{header}: {text}"))),
        None => Ok(default.min(limit)),
    };
    let timeouts = timeout(CONNECT_TIMEOUT_HEADER, Duration::ZERO)
        .and_then(|connect| Ok((connect, timeout(RESPONSE_TIMEOUT_HEADER, RESPONSE_TIMEOUT)?)));
    let (connect_timeout, response_timeout) = match timeouts {
        Ok(timeouts) => timeouts,
        Err(refusal) => return answers::refuse(&refusal),
    };
    let ask = Ask {
        device: device.clone(),
        name,
        permitted: service.scope.streams,
        service: service.principal.id.into(),
        source: visitor.address,
        connect_timeout,
        response_timeout,
        speaks_v1: asked.header(STREAM_PROTOCOL_HEADER).is_some_and(|offered| lists(offered, STREAM_PROTOCOL)),
    };
    let answer = shared.exchange.ask(visitor.connection, ask).await;
    match answer.and_then(|grant| shared.activity.audited(&audit).map(|()| grant)) {
        Ok(grant) => {
            answers::accept(&grant, &shared.streaming_url(&asked.authority, &device, grant.stream, Role::Service))
        }
        Err(refusal) if refusal.kind == Kind::DeviceOffline => {
            let seen = known.and_then(|record| record.last_seen);
            let since = seen.map_or_else(|| "never seen".into(), |seen| format!("last seen {}", seen.rfc3339()));
            answers::refuse(&Refusal::new(Kind::DeviceOffline, since))
        }
        Err(refusal) => answers::refuse(&refusal),
    }
}
