//! Requests for a stream: on a standby with early data, or by HTTP (the two-step protocol of PROTOCOL.md).

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::time::timeout;

use super::config::ProxyConfig;
use crate::net::client::standby::Standby;
use crate::net::client::{Client, RequestError, RequestOptions, response_refusal};
use crate::net::websocket::channel::ChannelError;
use crate::proto::e2e::{END_TO_END, END_TO_END_HEADER};
use crate::proto::http::{
    ACCEPTED_HEADER, CONNECT_TIMEOUT_HEADER, OPENING_LIMIT_HEADER, RESPONSE_TIMEOUT_HEADER, Route, STREAM_ID_HEADER,
    STREAM_PROTOCOL_HEADER, STREAM_TOKEN_HEADER, STREAM_URL_HEADER,
};
use crate::proto::id::{StreamId, StreamName};
use crate::proto::message::StandbyOffer;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{self, StandbyFromHub, StandbyOpenRequest, StandbyOpened, StandbyToHub};
use crate::proto::stream::StreamProtocol;

/// Added to the hub's own timeouts for the round trip.
const ROUND_TRIP_MARGIN: Duration = Duration::from_secs(15);

/// Requests a stream on a standby, in one flight with its early data. The outer error is the standby's own: it was
/// dead.
pub(super) async fn request_on_standby(
    config: &ProxyConfig,
    standby: &mut Standby,
    id: StreamId,
    name: Option<&StreamName>,
    (early, repeatable): (&Bytes, bool),
) -> Result<Result<StandbyOpened, Refusal>, ChannelError> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let open = StandbyToHub::Open(StandbyOpenRequest {
        request_id: id,
        device: config.device.clone(),
        stream_name: name.cloned(),
        connect_timeout_ms: millis(config.connect_timeout),
        response_timeout_ms: millis(config.response_timeout),
        protocols: config.transport.protocols(),
        end_to_end: !config.plain,
        early: early.len().try_into().unwrap_or_default(),
        repeatable,
    });
    standby.channel.send_with(&open, early.clone()).await?;
    match timeout(response_timeout(config), standby.channel.receive_response())
        .await
        .unwrap_or(Err(ChannelError::Silent))?
    {
        StandbyFromHub::Opened(opened) => Ok(Ok(opened)),
        StandbyFromHub::Refused { reason } => Ok(Err(reason.of(standby.slot.client.principal()))),
        StandbyFromHub::StreamRequest(_) => Err(ChannelError::Unexpected("a stream request, sent to a service")),
    }
}

/// The hub's response to a request by HTTP.
pub(super) struct Grant {
    pub(super) url: String,
    pub(super) token: StreamToken,
    pub(super) protocol: Option<StreamProtocol>,
    /// The stream's connection may stand by after it.
    pub(super) reusable: bool,
    /// The device encrypts the stream end to end.
    pub(super) end_to_end: bool,
    pub(super) standby_offer: Option<StandbyOffer>,
    /// The limit of streams that this service may be opening at the same time.
    pub(super) opening_limit: Option<usize>,
}

/// Requests a stream by HTTP. The id is that of a request on a standby that was lost, if the device may have its early
/// data.
pub(super) async fn request_by_http(
    config: &ProxyConfig,
    client: &Client,
    name: Option<&StreamName>,
    id: Option<StreamId>,
) -> Result<Grant, RequestError> {
    let mut headers = vec![
        (CONNECT_TIMEOUT_HEADER, config.connect_timeout.as_secs_f64().to_string()),
        (RESPONSE_TIMEOUT_HEADER, config.response_timeout.as_secs_f64().to_string()),
        (STREAM_PROTOCOL_HEADER, config.transport.protocols().join(", ")),
    ];
    if !config.plain {
        headers.push((END_TO_END_HEADER, END_TO_END.into()));
    }
    headers.extend(id.map(|id| (STREAM_ID_HEADER, id.to_string())));
    if config.transport.standbys > 0 {
        headers.push((standby::REUSABLE_HEADER, standby::REUSABLE.into()));
    }
    let options = RequestOptions { headers, response_timeout: response_timeout(config), ..RequestOptions::default() };
    let response = client.request(&Route::Open(config.device.clone(), name.cloned()), options).await?;
    if header(&response, ACCEPTED_HEADER) != Some("True") {
        return Err(response_refusal(&response).of(client.principal()).into());
    }
    let incomplete = || Refusal::new(RefusalKind::BadRequest, "the hub's response lacks the stream's URL or token");
    let limit = header(&response, standby::STANDBY_LIMIT_HEADER).and_then(|limit| limit.parse().ok());
    let offer = header(&response, standby::STANDBY_URL_HEADER).zip(limit);
    Ok(Grant {
        url: header(&response, STREAM_URL_HEADER).ok_or_else(incomplete)?.into(),
        token: header(&response, STREAM_TOKEN_HEADER)
            .and_then(|text| StreamToken::parse(text).ok())
            .ok_or_else(incomplete)?,
        protocol: header(&response, STREAM_PROTOCOL_HEADER).and_then(StreamProtocol::from_name),
        reusable: header(&response, standby::REUSABLE_HEADER) == Some(standby::REUSABLE),
        end_to_end: header(&response, END_TO_END_HEADER) == Some(END_TO_END),
        standby_offer: offer.map(|(url, limit)| StandbyOffer { url: url.into(), limit }),
        opening_limit: header(&response, OPENING_LIMIT_HEADER).and_then(|limit| limit.parse().ok()),
    })
}

/// The time for the hub's response: it answers within the two timeouts.
fn response_timeout(config: &ProxyConfig) -> Duration {
    config.connect_timeout + config.response_timeout + ROUND_TRIP_MARGIN
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
