//! The subprotocols of an upgrade, and the check of its answer.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;

use crate::net::websocket::{SocketKind, derive_accept_key};
use crate::proto::http::lists;
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::websocket::{is_unmasked, unmasked};

/// The request for a connection whose TLS is inspected: whoever reads its frames is to find them masked.
pub(super) fn masked(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    if let Some(offered) = request.headers_mut().get_mut(header::SEC_WEBSOCKET_PROTOCOL) {
        let protocols = offered.to_str().unwrap_or_default().split(", ").filter(|protocol| !is_unmasked(protocol));
        if let Ok(protocols) = HeaderValue::try_from(protocols.collect::<Vec<_>>().join(", ")) {
            *offered = protocols;
        }
    }
    request
}

/// The subprotocol that the hub chose.
pub(super) fn subprotocol(response: &Response<Bytes>) -> Option<&str> {
    response.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()
}

/// RFC 6455 section 4.1: the answer must be to this request. It decides what the WebSocket is.
pub(super) fn check(
    response: &Response<Bytes>,
    key: &str,
    protocol: Option<&str>,
    kind: SocketKind,
) -> Result<SocketKind, Refusal> {
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).and_then(|value| value.to_str().ok());
    if accept != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(Refusal::new(Kind::HubUnreachable, "the WebSocket upgrade was answered by something else"));
    }
    match (protocol, subprotocol(response)) {
        (Some(wanted), Some(chosen)) if lists(chosen, wanted) => Ok(kind),
        (Some(wanted), Some(chosen)) if kind == SocketKind::Stream && chosen == unmasked(wanted) => {
            tracing::trace!("frames of this WebSocket are not masked");
            Ok(SocketKind::UnmaskedStream)
        }
        (None, None) => Ok(kind),
        (wanted, chosen) => {
            let versions = format!("here {}, there {}", wanted.unwrap_or("none"), chosen.unwrap_or("none"));
            Err(Refusal::new(Kind::IncompatibleVersion, versions))
        }
    }
}
