//! What a request is beside its route.

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::time::Duration;

use super::{request, text};
use crate::proto::http::Route;
use crate::proto::limits::{DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::Refusal;

/// A request's particulars.
#[derive(Debug)]
pub struct Particulars {
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body of a `POST`.
    pub body: Bytes,
    /// How long the answer may take once the request is sent.
    pub patience: Duration,
    /// How long the answer may be.
    pub answer_bytes: usize,
}

impl Default for Particulars {
    fn default() -> Self {
        Self { headers: Vec::new(), body: Bytes::new(), patience: DIAL_TIMEOUT, answer_bytes: RESPONSE_BODY_BYTES }
    }
}

/// How long an answer may take, and how long it may be.
pub(super) type Limits = (Duration, usize);

impl Particulars {
    pub(super) fn request(self, route: &Route) -> Result<(Request<Full<Bytes>>, Limits), Refusal> {
        let mut request = request(route.method(), &route.to_string())?;
        for (name, value) in self.headers {
            request.headers_mut().insert(name, text(&value)?);
        }
        *request.body_mut() = Full::new(self.body);
        Ok((request, (self.patience, self.answer_bytes)))
    }
}
