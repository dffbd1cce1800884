//! A service asks for a stream: `POST /twins/{device}/streams/{name}`.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;

use super::auth::Action;
use super::broker::{Ask, Event, Operation};
use super::door::Visitor;
use super::registry::Record;
use super::{Shared, answers};
use crate::net::clock;
use crate::net::serve::Asked;
use crate::proto::http::{CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, STREAM_PROTOCOL_HEADER, seconds};
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::limits::RESPONSE_TIMEOUT;
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::scope::Scope;
use crate::proto::stream::StreamProtocol;

/// Authorises, asks the broker, and answers when the device has.
pub(super) async fn ask(
    shared: &Shared,
    visitor: &Visitor,
    asked: &Asked,
    device: DeviceId,
    name: Option<StreamName>,
) -> Response<Bytes> {
    let service = match visitor.identify(shared, asked).await {
        Ok(proven) => proven.record,
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
        until: ends(&service.scope),
        scope: service.scope,
        service: service.principal.id.into(),
        source: visitor.address,
        connect_timeout,
        response_timeout,
        protocols: asked.header(STREAM_PROTOCOL_HEADER).map(protocols).unwrap_or_default(),
    };
    if let Err(refusal) = shared.pressure.has_room_for_stream() {
        return shed(shared, &ask, &refusal);
    }
    let answer = shared.exchange.ask(visitor.connection, ask).await;
    let audited = match answer {
        Ok(grant) => shared.activity.audited(&audit).await.map(|()| grant),
        Err(refusal) => Err(refusal),
    };
    match audited {
        Ok(grant) => {
            answers::accept(&grant, &shared.streaming_url(&asked.authority, &device, grant.stream, Role::Service))
        }
        Err(refusal) if refusal.kind == Kind::DeviceOffline => {
            answers::refuse(&Refusal::new(Kind::DeviceOffline, known.map(since).unwrap_or_default()))
        }
        Err(refusal) => answers::refuse(&refusal),
    }
}

/// Those of a list that this hub knows.
fn protocols(offered: &str) -> Vec<StreamProtocol> {
    offered.split(',').filter_map(|name| StreamProtocol::named(name.trim())).take(StreamProtocol::ALL.len()).collect()
}

/// The hub has no room: said before anything is made for the stream.
fn shed(shared: &Shared, ask: &Ask, refusal: &Refusal) -> Response<Bytes> {
    shared.activity.record(Event {
        reason: refusal.detail.as_str().into(),
        device: Some(ask.device.clone()),
        service: Some(ask.service.clone()),
        name: ask.name.clone(),
        source: Some(ask.source),
        ..Event::new(Operation::Invoke, refusal.kind.row().word)
    });
    answers::refuse(refusal)
}

/// When a service's access ends, by the clock that does not step.
pub(super) fn ends(scope: &Scope) -> Option<Instant> {
    scope.until.map(|until| clock::now() + until.since(clock::moment()))
}

/// Why a device is not there.
fn since(device: Record) -> String {
    match device.last_seen {
        _ if device.disabled => "it is disabled at the hub".into(),
        Some(seen) => format!("last seen {}", seen.rfc3339()),
        None => "never seen".into(),
    }
}
