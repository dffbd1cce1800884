//! `POST /cluster/join`: another hub redeems an invitation.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::hub::connection::ConnectionContext;
use crate::hub::event::{Event, Operation};
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::net::os::clock;
use crate::net::transport::http_server::{HttpRequest, empty_response};
use crate::proto::cluster_link::{ClusterJoinRequest, ClusterJoinResponse};
use crate::proto::secret::SecretHash;

/// Hands out what the invitation seals, once. Whoever asks needs its code to read that.
pub(in crate::hub) fn join(shared: &Shared, context: &ConnectionContext, request: &HttpRequest) -> Response<Bytes> {
    let asked = serde_json::from_slice::<ClusterJoinRequest>(&request.body).ok();
    let sealed =
        shared.cluster.as_ref().zip(asked).and_then(|(node, asked)| {
            node.invitations.redeem(&SecretHash::from(*asked.invitation.bytes()), clock::now())
        });
    let Some(sealed) = sealed else {
        return responses::refusal(&context.auth_failed(shared, None, "unknown invitation to the cluster"));
    };
    context.exempt_from_penalty();
    shared.activity.record(Event { source: Some(context.address), ..Event::new(Operation::HubJoined, "joined") });
    let response = ClusterJoinResponse { sealed: URL_SAFE_NO_PAD.encode(sealed) };
    let mut reply = empty_response(StatusCode::OK);
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *reply.body_mut() = serde_json::to_vec(&response).unwrap_or_default().into();
    reply
}
