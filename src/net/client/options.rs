//! What a request is beside its route.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::time::Duration;

use super::{build_request, header_value};
use crate::proto::http::Route;
use crate::proto::limits::{DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::Refusal;

/// A request's particulars.
#[derive(Debug)]
pub struct RequestOptions {
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body of a `POST`.
    pub body: Bytes,
    /// How long the answer may take once the request is sent.
    pub response_timeout: Duration,
    /// How long the answer may be.
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

/// How long an answer may take, and how long it may be.
pub(super) type ResponseLimits = (Duration, usize);

impl RequestOptions {
    pub(super) fn request(self, route: &Route) -> Result<(Request<Full<Bytes>>, ResponseLimits), Refusal> {
        let mut request = build_request(route.method(), &route.to_string())?;
        for (name, value) in self.headers {
            request.headers_mut().insert(name, header_value(&value)?);
        }
        *request.body_mut() = Full::new(self.body);
        Ok((request, (self.response_timeout, self.max_response_bytes)))
    }
}
