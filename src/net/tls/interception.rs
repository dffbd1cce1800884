//! Detection of TLS interception: a 401 whose channel id differs from ours was given to the proxy that inspects the
//! connection.

use bytes::Bytes;
use http::{Response, StatusCode, header};

use crate::proto::challenge::Challenge;
use crate::proto::channel_binding::{CHANNEL_HEADER, Exporter, channel_id};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Returns the challenge to sign instead of the TLS channel, if the hub sees another channel and both ends allow
/// inspection; `None` if the channel is the same, and the response means what it says. A refusal if either end forbids
/// inspection.
pub(in crate::net) fn detect(
    response: &Response<Bytes>,
    exporter: &Exporter,
    allowed: bool,
) -> Result<Option<Challenge>, Refusal> {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let hub_channel = text(CHANNEL_HEADER).filter(|_| response.status() == StatusCode::UNAUTHORIZED);
    if hub_channel.is_none_or(|hub_channel| hub_channel == channel_id(exporter)) {
        return Ok(None);
    }
    let challenge = text(header::WWW_AUTHENTICATE.as_str()).and_then(Challenge::from_header);
    match (allowed, challenge) {
        (true, Some(challenge)) => Ok(Some(challenge)),
        (true, None) => Err(Refusal::new(RefusalKind::TlsInspected, "the hub does not allow it")),
        (false, _) => Err(RefusalKind::TlsInspected.into()),
    }
}
