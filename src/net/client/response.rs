//! HTTP exchanges on a connection to the hub, and the meaning of unexpected responses.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::time::{Duration, timeout};

use super::Connection;
use crate::proto::refusal::{Refusal, RefusalKind, TABLE};

/// The failure of a request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection was lost, or silent, before the response: the hub may have received the request.
    #[error(transparent)]
    Lost(Refusal),
    /// The hub refused, or could not be reached.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Lost(refusal) | RequestError::Refused(refusal) => refusal,
        }
    }
}

/// The connection after a 101, and the bytes that were read beyond the response; `None` after any other status.
pub type UpgradedParts = Option<(Connection, Bytes)>;

/// Sends one request and reads its response. After a 101 the connection is handed back; otherwise it is closed.
pub async fn round_trip(
    stream: Connection,
    request: Request<Full<Bytes>>,
    response_timeout: Duration,
    max_response_bytes: usize,
) -> Result<(Response<Bytes>, UpgradedParts), RequestError> {
    let lost = |why: String| RequestError::Lost(Refusal::new(RefusalKind::HubUnreachable, why));
    let failed = |error: hyper::Error| lost(format!("the connection was lost: {error}"));
    let steps = async {
        let (mut sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let response = async {
            let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok::<_, RequestError>(Response::from_parts(head, Bytes::new()));
            }
            let body = Limited::new(body, max_response_bytes).collect().await;
            let body = body.map_err(|error| lost(format!("the connection was lost during the response: {error}")))?;
            drop(sender);
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let (response, parts) = tokio::join!(response, connection.without_shutdown());
        let response = response?;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let upgraded_parts =
            if upgraded { parts.ok().map(|parts| (parts.io.into_inner(), parts.read_buf)) } else { None };
        Ok((response, upgraded_parts))
    };
    let silent = || lost(format!("no answer in {} s", response_timeout.as_secs()));
    timeout(response_timeout, Box::pin(steps)).await.unwrap_or_else(|_| Err(silent()))
}

/// The JSON body of an error response from a hub.
#[derive(Deserialize)]
struct ErrorBody {
    refusal: Refusal,
}

/// The refusal that a response other than the expected one stands for: the hub's own, or one that matches the status.
pub fn response_refusal(response: &Response<Bytes>) -> Refusal {
    parse_refusal(response).unwrap_or_else(|| {
        let status = response.status();
        not_a_hub(&format!(", or a proxy in front of it refuses the request: HTTP {status}"))
    })
}

/// The refusal in a hub's response; `None` if the response is not a hub's.
pub(super) fn parse_refusal(response: &Response<Bytes>) -> Option<Refusal> {
    if let Ok(ErrorBody { refusal }) = serde_json::from_slice(response.body()) {
        return Some(refusal.from_hub());
    }
    let status = response.status();
    let row = TABLE.iter().find(|row| row.status == status.as_u16() && status.is_client_error())?;
    let is_hubs = matches!(row.kind, RefusalKind::AuthenticationFailed | RefusalKind::IncompatibleVersion);
    is_hubs.then(|| row.kind.into())
}

/// Words the refusal of a server that is not a hub.
pub(super) fn not_a_hub(details: &str) -> Refusal {
    Refusal::new(RefusalKind::HubUnreachable, format!("the server there is not a devstream hub{details}"))
}
