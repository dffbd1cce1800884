//! The hub's plain HTTP responses: refusals in Azure's format with devstream's inside.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::broker::Grant;
use super::cluster::messages::OpenedElsewhere;
use crate::net::os::clock::now_rfc3339;
use crate::net::transport::http_server::empty_response;
use crate::proto::e2e::{END_TO_END, END_TO_END_HEADER};
use crate::proto::http::{
    ACCEPTED_HEADER, ERROR_HEADER, OPENING_LIMIT_HEADER, STREAM_PROTOCOL_HEADER, STREAM_TOKEN_HEADER, STREAM_URL_HEADER,
};
use crate::proto::message::StandbyOffer;
use crate::proto::refusal::Refusal;
use crate::proto::standby;
use crate::proto::stream::StreamProtocol;

/// Returns 404 for everything that does not exist or is not served here.
pub(super) fn not_found() -> Response<Bytes> {
    empty_response(StatusCode::NOT_FOUND)
}

/// Returns a plain-text response.
pub(super) fn text(status: StatusCode, body: &'static str) -> Response<Bytes> {
    let mut response = empty_response(status);
    *response.body_mut() = Bytes::from_static(body.as_bytes());
    response
}

/// Returns a refusal. Azure's clients read the message, a JSON text inside the JSON; devstream's read `refusal`.
pub(super) fn refusal(refusal: &Refusal) -> Response<Bytes> {
    let row = refusal.kind.row();
    let mut response = empty_response(StatusCode::from_u16(row.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR));
    let is_success = response.status().is_success();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    if is_success {
        // The device's own refusal: a success in Azure's protocol.
        headers.insert(ACCEPTED_HEADER, HeaderValue::from_static("False"));
        *response.body_mut() = json!({ "refusal": refusal }).to_string().into();
        return response;
    }
    let (code, name) = row.azure;
    headers.insert(ERROR_HEADER, HeaderValue::from_static(name));
    if row.status == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("DevStream"));
    }
    let message = json!({ "errorCode": code, "message": refusal.message(), "timestampUtc": now_rfc3339() });
    let body = json!({ "Message": message.to_string(), "ExceptionMessage": "", "refusal": refusal });
    *response.body_mut() = body.to_string().into();
    response
}

/// Returns a stream that another hub of the cluster has opened: the service goes there.
pub(super) fn stream_granted_elsewhere(opened: &OpenedElsewhere) -> Response<Bytes> {
    let grant = Grant {
        stream: opened.stream,
        token: opened.token.clone(),
        protocol: opened.protocol.as_deref().and_then(StreamProtocol::from_name),
        reusable: opened.reusable,
        end_to_end: opened.end_to_end,
        early_data_delivered: false,
    };
    stream_granted(&grant, &opened.url, opened.standby.as_ref(), opened.opening_limit)
}

/// Returns an accepted stream: the URL of its WebSocket, the token for it, and the standby offer.
pub(super) fn stream_granted(
    grant: &Grant,
    url: &str,
    standby: Option<&StandbyOffer>,
    opening_limit: usize,
) -> Response<Bytes> {
    let mut response = empty_response(StatusCode::OK);
    let fields = [
        (ACCEPTED_HEADER, Some("True".to_owned())),
        (STREAM_URL_HEADER, Some(url.to_owned())),
        (STREAM_TOKEN_HEADER, Some(grant.token.reveal())),
        (STREAM_PROTOCOL_HEADER, grant.protocol.map(|protocol| protocol.as_str().to_owned())),
        (END_TO_END_HEADER, grant.end_to_end.then(|| END_TO_END.to_owned())),
        (standby::REUSABLE_HEADER, grant.reusable.then(|| standby::REUSABLE.to_owned())),
        (standby::STANDBY_URL_HEADER, standby.map(|offer| offer.url.clone())),
        (standby::STANDBY_LIMIT_HEADER, standby.map(|offer| offer.limit.to_string())),
        (OPENING_LIMIT_HEADER, Some(opening_limit.to_string())),
    ];
    for (name, value) in fields {
        if let Some(Ok(mut value)) = value.map(HeaderValue::try_from) {
            value.set_sensitive(name == STREAM_TOKEN_HEADER);
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
