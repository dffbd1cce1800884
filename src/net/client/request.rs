//! Building requests to the hub.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use tokio::time::Duration;

use crate::proto::http::Route;
use crate::proto::limits::{DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The parts of a request beside its route, and the limits of its response.
#[derive(Debug)]
pub struct RequestOptions {
    /// Headers beside those that every request has.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty unless the route is a `POST`.
    pub body: Bytes,
    /// The deadline for the response, from when the connection is up.
    pub response_timeout: Duration,
    /// The largest response body, in bytes.
    pub max_response_bytes: usize,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            body: Bytes::new(),
            response_timeout: DIAL_TIMEOUT,
            max_response_bytes: RESPONSE_BODY_BYTES,
        }
    }
}

/// The deadline of a response, and its largest body in bytes.
pub(super) type ResponseLimits = (Duration, usize);

impl RequestOptions {
    /// Builds the request, and returns it with the limits of its response.
    pub(super) fn request(self, route: &Route) -> Result<(Request<Full<Bytes>>, ResponseLimits), Refusal> {
        let mut request = build_request(route.method(), &route.to_string())?;
        for (name, value) in self.headers {
            request.headers_mut().insert(name, header_value(&value)?);
        }
        *request.body_mut() = Full::new(self.body);
        Ok((request, (self.response_timeout, self.max_response_bytes)))
    }
}

/// Builds a request without a body.
pub(super) fn build_request(method: &str, path: &str) -> Result<Request<Full<Bytes>>, Refusal> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::USER_AGENT, concat!("devstream/", env!("CARGO_PKG_VERSION")))
        .body(Full::default())
        .map_err(|error| Refusal::new(RefusalKind::BadRequest, error.to_string()))
}

/// Converts text to a header value.
pub(super) fn header_value(value: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(value).map_err(|error| Refusal::new(RefusalKind::BadRequest, error.to_string()))
}

/// Converts a secret to a header value that debug output does not show.
pub(super) fn sensitive_header(value: &str) -> Result<HeaderValue, Refusal> {
    let mut value = header_value(value)?;
    value.set_sensitive(true);
    Ok(value)
}
