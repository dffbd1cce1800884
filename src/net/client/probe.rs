//! Diagnosis of the path to a hub, one hop at a time: the connection, the certificate, the clock, the authentication.

use bytes::Bytes;
use http::{HeaderMap, Response, header};

use super::request::{RequestOptions, build_request, header_value};
use super::response::{not_a_hub, parse_refusal, response_refusal, round_trip};
use super::{Client, Connection};
use crate::net::tls::x509::expiry_of;
use crate::net::tls::{self, Trust};
use crate::net::transport::dial::{DialTrace, dial};
use crate::net::websocket::generate_key;
use crate::proto::admin::DeviceStatus;
use crate::proto::http::Route;
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::limits::{DEVICE_LIST_BYTES, DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// A connection to a hub on which TLS is done and no request was sent.
#[derive(Debug)]
pub struct Probe<'a> {
    client: &'a Client,
    hub: &'a HubAddress,
    stream: Connection,
}

impl Client {
    /// The certificates that are accepted as the hub's.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Reports whether the hub is dialled through a proxy.
    pub fn has_proxy(&self) -> bool {
        self.proxy_settings.proxy_for(&self.hub().host).is_some()
    }

    /// Connects to the hub, without a request.
    pub async fn probe(&self, trace: &mut DialTrace<'_>) -> Result<Probe<'_>, Refusal> {
        let (hub, stream) = self.connect(self.hub(), trace).await?;
        Ok(Probe { client: self, hub, stream })
    }

    /// Asks the hub for its time although its certificate is expired or not yet valid; `None` if anything else about
    /// the certificate is wrong. Nothing but an unauthenticated health check is sent.
    pub async fn hub_time(&self) -> Option<Timestamp> {
        let config = tls::config_ignoring_expiry(&self.trust).ok()?;
        let stream =
            dial(self.hub(), &self.proxy_settings, config, &self.runtime, &mut DialTrace::default()).await.ok()?;
        let mut request = build_request(Route::Health.method(), &Route::Health.to_string()).ok()?;
        request.headers_mut().insert(header::HOST, header_value(&self.hub().to_string()).ok()?);
        let (response, _) = round_trip(stream, request, DIAL_TIMEOUT, RESPONSE_BODY_BYTES).await.ok()?;
        date_header(response.headers())
    }
}

impl Probe<'_> {
    /// The hub's address: of several, the one that answered.
    pub fn hub(&self) -> &HubAddress {
        self.hub
    }

    /// The expiry of the certificate that the hub presented.
    pub fn certificate_expiry(&self) -> Option<Timestamp> {
        expiry_of(self.stream.get_ref().1.peer_certificates()?.first()?)
    }

    /// Authenticates to the hub. A service gets the list of its devices. A device sends an upgrade without a
    /// subprotocol, which a hub refuses only after authentication: a complete one would displace the agent that is
    /// online.
    pub async fn authenticate(self) -> Result<ProbeResult, ProbeError> {
        let Self { client, hub, stream } = self;
        let id = client.principal.id.clone();
        let (route, headers) = match client.principal.role {
            Role::Service => (Route::Devices, Vec::new()),
            Role::Device => (Route::Control(id.into()), upgrade_without_version()),
        };
        let options = RequestOptions { headers, max_response_bytes: DEVICE_LIST_BYTES, ..RequestOptions::default() };
        let (request, limits) = options.request(&route)?;
        let (response, _) =
            Box::pin(client.send_with_fallback((hub, stream), request, limits)).await.map_err(Refusal::from)?;
        let time = date_header(response.headers());
        match client.principal.role {
            Role::Service if response.status().is_success() => Ok(ProbeResult { time, devices: devices(&response)? }),
            Role::Service => Err(ProbeError::of(&response, &client.principal)),
            Role::Device => match parse_refusal(&response) {
                Some(Refusal { kind: RefusalKind::IncompatibleVersion, .. }) => {
                    Ok(ProbeResult { time, devices: Vec::new() })
                }
                _ => Err(ProbeError::of(&response, &client.principal)),
            },
        }
    }
}

/// The failure of a probe's request.
#[derive(Debug)]
pub enum ProbeError {
    /// The server that answered is not a hub.
    NotAHub(Refusal),
    /// The hub refused, or the connection failed.
    Refused(Refusal),
}

impl ProbeError {
    fn of(response: &Response<Bytes>, principal: &Principal) -> Self {
        match parse_refusal(response) {
            Some(refusal) => Self::Refused(refusal.of(principal)),
            None => Self::NotAHub(response_refusal(response)),
        }
    }
}

impl From<Refusal> for ProbeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The hub's response to an authenticated probe.
#[derive(Debug)]
pub struct ProbeResult {
    /// The time of the response by the hub's clock.
    pub time: Option<Timestamp>,
    /// The devices that a service may reach; empty for a device.
    pub devices: Vec<DeviceStatus>,
}

/// Parses the list of devices.
fn devices(response: &Response<Bytes>) -> Result<Vec<DeviceStatus>, ProbeError> {
    let not_a_list = |_| ProbeError::NotAHub(not_a_hub(": the response is not a list of devices"));
    serde_json::from_slice(response.body()).map_err(not_a_list)
}

fn upgrade_without_version() -> Vec<(&'static str, String)> {
    let fields = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let fields = fields.into_iter().map(|(name, value)| (name, value.to_owned()));
    fields.chain([("sec-websocket-key", generate_key())]).collect()
}

fn date_header(headers: &HeaderMap) -> Option<Timestamp> {
    Timestamp::parse_http_date(headers.get(header::DATE)?.to_str().ok()?)
}
