//! Requests to a hub in the name of an identity, each on its own connection and signed for it.

mod options;
mod probe;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::Builder;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};
use tokio_rustls::client::TlsStream;

pub use self::options::RequestOptions;
use self::options::ResponseLimits;
pub use self::probe::{Probe, ProbeError, ProbeResult};
use crate::net::tls::interception;
use crate::net::tls::read_ahead::ReadAhead;
use crate::net::tls::{self, Trust};
use crate::net::transport::dial::{DialTrace, dial};
use crate::net::transport::hub_addresses::HubAddresses;
use crate::net::tunnel::pump::{Rejoin, Tunnel};
use crate::net::websocket::{Endpoint, Purpose, WebSocket, derive_accept_key, generate_key};
use crate::proto::auth::{self, Binding, Credential, Exporter, Session};
use crate::proto::challenge::Challenge;
use crate::proto::http::{Route, list_contains};
use crate::proto::id::Principal;
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::limits::{DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind, TABLE};
use crate::proto::resume::{self, ResumeCredential};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{self, STANDBY_PROTOCOL};
use crate::proto::stream::StreamProtocol;
use crate::proto::via::ProxySettings;

/// A client's connection to the hub.
pub type Connection = TlsStream<ReadAhead<TcpStream>>;

/// Who asks, and whom.
#[derive(Debug, Clone)]
pub struct Client {
    hubs: HubAddresses,
    proxy_settings: ProxySettings,
    trust: Arc<Trust>,
    tls: Arc<ClientConfig>,
    principal: Principal,
    key: Arc<PrivateKey>,
    allow_tls_inspection: bool,
}

/// How a role becomes a client, tried anew whenever it must connect: an address may have changed, and a hub of the
/// same user may have started since.
pub type ClientFactory = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, Refusal>> + Send>> + Send + Sync>;

impl Client {
    /// For an identity at a hub, which is reached directly.
    pub fn new(
        hubs: impl Into<HubAddresses>,
        trust: &Trust,
        principal: Principal,
        key: Arc<PrivateKey>,
    ) -> Result<Self, rustls::Error> {
        let (hubs, proxy_settings, tls) = (hubs.into(), ProxySettings::default(), tls::client_config(trust)?);
        Ok(Self {
            hubs,
            proxy_settings,
            trust: Arc::new(trust.clone()),
            tls,
            principal,
            key,
            allow_tls_inspection: false,
        })
    }

    /// Through the proxy that leads to the hub, if one does.
    #[must_use]
    pub fn with_proxy(self, proxy_settings: ProxySettings) -> Self {
        Self { proxy_settings, ..self }
    }

    /// Whether a proxy on the way may inspect TLS, if the hub allows it too.
    #[must_use]
    pub fn allowing_tls_inspection(mut self, allowed: bool) -> Self {
        self.allow_tls_inspection = allowed;
        self
    }

    /// Whether both came of the same enrolment.
    pub fn is_same_enrolment(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.key, &other.key)
    }

    /// Where the hub is: of several addresses the one that answered last.
    pub fn hub(&self) -> &HubAddress {
        self.hubs.preferred()
    }

    /// Who asks.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Asks, and gives the answer whatever its status.
    pub async fn request(&self, route: &Route, options: RequestOptions) -> Result<Response<Bytes>, Refusal> {
        let (request, limits) = options.request(route)?;
        Ok(Box::pin(self.send(self.hub(), request, limits)).await?.0)
    }

    /// Brings the control connection.
    pub async fn open_control(&self, route: &Route, protocol: &str) -> Result<WebSocket<Connection>, Refusal> {
        let path = route.to_string();
        let upgrade =
            Upgrade { hub: self.hub(), path: &path, protocol: Some(protocol), token: None, extra_header: None };
        Ok(self.upgrade(upgrade, Purpose::Control).await?.0)
    }

    /// Brings a stream's WebSocket to where the handshake said.
    pub async fn open_stream(
        &self,
        url: &str,
        token: &StreamToken,
        protocol: Option<StreamProtocol>,
    ) -> Result<Tunnel<Connection>, Refusal> {
        let (hub, path) = parse_stream_url(url)?;
        self.open_tunnel(&hub, path, format!("Bearer {}", token.reveal()), protocol).await
    }

    /// Brings a connection that stands by, for this run of an agent if it is a device's.
    pub async fn open_standby(&self, url: &str, run: Option<u64>) -> Result<WebSocket<Connection>, Refusal> {
        let (hub, path) = parse_stream_url(url)?;
        let extra_header = run.map(|run| (standby::RUN_HEADER, run.to_string()));
        let upgrade = Upgrade { hub: &hub, path, protocol: Some(STANDBY_PROTOCOL), token: None, extra_header };
        Ok(self.upgrade(upgrade, Purpose::Stream).await?.0)
    }

    async fn open_tunnel(
        &self,
        hub: &HubAddress,
        path: &str,
        token: String,
        protocol: Option<StreamProtocol>,
    ) -> Result<Tunnel<Connection>, Refusal> {
        let name = protocol.map(StreamProtocol::as_str);
        let upgrade = Upgrade { hub, path, protocol: name, token: Some(token), extra_header: None };
        let (socket, response) = self.upgrade(upgrade, Purpose::Stream).await?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let resume_credential = header(resume::TOKEN_HEADER).zip(header(resume::GRACE_HEADER));
        let resume_credential = resume_credential.and_then(|(token, grace)| ResumeCredential::parse(token, grace));
        Ok(Tunnel::new(socket, protocol, resume_credential))
    }

    async fn upgrade(
        &self,
        upgrade: Upgrade<'_>,
        purpose: Purpose,
    ) -> Result<(WebSocket<Connection>, Response<Bytes>), Refusal> {
        let mut request = build_request("GET", upgrade.path)?;
        let key = generate_key();
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, header_value(&key)?);
        if let Some(protocol) = upgrade.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header_value(protocol)?);
        }
        if let Some(token) = upgrade.token {
            headers.insert(header::AUTHORIZATION, sensitive_header(&token)?);
        }
        if let Some((name, value)) = upgrade.extra_header {
            headers.insert(name, header_value(&value)?);
        }
        let (response, rest) = Box::pin(self.send(upgrade.hub, request, (DIAL_TIMEOUT, RESPONSE_BODY_BYTES))).await?;
        let Some((stream, early)) = rest else { return Err(response_refusal(&response)) };
        verify_upgrade(&response, &key, upgrade.protocol)?;
        Ok((WebSocket::new(stream, &early, Endpoint::Client, purpose), response))
    }

    /// Sends a request to the hub at `there`.
    async fn send(
        &self,
        there: &HubAddress,
        request: Request<Full<Bytes>>,
        limits: ResponseLimits,
    ) -> Result<(Response<Bytes>, UpgradedParts), Refusal> {
        let reached = self.connect(there, &mut DialTrace::default()).await?;
        self.send_with_fallback(reached, request, limits).await
    }

    /// Sends a request signed for its connection; once more, on another one, signed for a challenge, where that is called
    /// for.
    async fn send_with_fallback(
        &self,
        (hub, stream): (&HubAddress, Connection),
        request: Request<Full<Bytes>>,
        limits: ResponseLimits,
    ) -> Result<(Response<Bytes>, UpgradedParts), Refusal> {
        let (response, exporter) = self.send_signed((hub, stream), request.clone(), None, limits).await?;
        match interception::detect(&response.0, &exporter, self.allow_tls_inspection)? {
            None => Ok(response),
            Some(challenge) => {
                let reached = self.connect(hub, &mut DialTrace::default()).await?;
                Ok(self.send_signed(reached, request, Some(challenge), limits).await?.0)
            }
        }
    }

    async fn send_signed(
        &self,
        (hub, stream): (&HubAddress, Connection),
        mut request: Request<Full<Bytes>>,
        challenge: Option<Challenge>,
        (response_timeout, max_response_bytes): ResponseLimits,
    ) -> Result<((Response<Bytes>, UpgradedParts), Exporter), Refusal> {
        let exporter = tls::exporter(stream.get_ref().1).map_err(|error| tls::explain(&error))?;
        let session = challenge.as_ref().map_or(Session::Channel(&exporter), Session::Challenge);
        let (method, authority, path) = (request.method().as_str(), hub.to_string(), request.uri().to_string());
        let binding = Binding { method, authority: &authority, path: &path, session };
        let credential = Credential::sign(self.principal.clone(), &self.key, &binding);
        request.headers_mut().insert(header::HOST, header_value(&authority)?);
        request.headers_mut().insert(auth::HEADER, sensitive_header(&credential.to_string())?);
        Ok((round_trip(stream, request, response_timeout, max_response_bytes).await?, exporter))
    }

    /// Connects to the hub at `there`, or at whichever of its other addresses answers; the trail has all that were tried.
    pub async fn connect<'a>(
        &'a self,
        there: &'a HubAddress,
        trace: &mut DialTrace<'_>,
    ) -> Result<(&'a HubAddress, Connection), Refusal> {
        let mut refusals = Vec::new();
        for hub in self.hubs.candidates(there) {
            match dial(hub, &self.proxy_settings, self.tls.clone(), trace).await {
                Ok(stream) => {
                    self.hubs.prefer(hub);
                    return Ok((hub, stream));
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(merge_refusals(refusals))
    }
}

/// Of several addresses' refusals the one that says more than that there is no way, else all.
fn merge_refusals(mut refusals: Vec<Refusal>) -> Refusal {
    let telling = refusals.iter().position(|refusal| refusal.kind != RefusalKind::HubUnreachable);
    if let Some(index) = telling {
        return refusals.swap_remove(index);
    }
    let details: Vec<_> = refusals.iter().map(|refusal| refusal.detail.as_str()).collect();
    Refusal::new(RefusalKind::HubUnreachable, details.join("; "))
}

fn build_request(method: &str, path: &str) -> Result<Request<Full<Bytes>>, Refusal> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::USER_AGENT, concat!("devstream/", env!("CARGO_PKG_VERSION")))
        .body(Full::default())
        .map_err(|error| Refusal::new(RefusalKind::BadRequest, error.to_string()))
}

/// A WebSocket upgrade's particulars.
struct Upgrade<'a> {
    hub: &'a HubAddress,
    path: &'a str,
    protocol: Option<&'a str>,
    token: Option<String>,
    extra_header: Option<(&'static str, String)>,
}

/// The way back to a stream's place at its hub, which may be elsewhere by now, or know this machine by another key.
pub struct ResumeTarget {
    /// How to become a client.
    pub client_factory: ClientFactory,
    /// Where the stream's WebSocket was brought.
    pub url: String,
    /// Where the hub was then.
    pub hub: HubAddress,
}

impl Rejoin<Connection> for ResumeTarget {
    async fn rejoin(&self, resume_credential: &ResumeCredential) -> Result<Tunnel<Connection>, Refusal> {
        let client = (self.client_factory)().await?;
        let (there, path) = parse_stream_url(&self.url)?;
        // A streaming endpoint of its own is where it was; the hub's own is where the hub is.
        let hub = if there == self.hub { client.hub() } else { &there };
        let token = format!("{} {}", resume::SCHEME, resume_credential.token.reveal());
        client.open_tunnel(hub, path, token, Some(StreamProtocol::Resumable)).await
    }
}

pub(super) type UpgradedParts = Option<(Connection, Bytes)>;

/// Sends one request and reads its answer; after a 101, the connection comes back for other uses.
pub(super) async fn round_trip(
    stream: Connection,
    request: Request<Full<Bytes>>,
    response_timeout: Duration,
    max_response_bytes: usize,
) -> Result<(Response<Bytes>, UpgradedParts), Refusal> {
    let failed =
        |error: hyper::Error| Refusal::new(RefusalKind::HubUnreachable, format!("the connection broke: {error}"));
    let steps = async {
        let (mut sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let response = async {
            let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok::<_, Refusal>(Response::from_parts(head, Bytes::new()));
            }
            let body = Limited::new(body, max_response_bytes).collect().await;
            let body =
                body.map_err(|error| Refusal::new(RefusalKind::HubUnreachable, format!("the answer broke: {error}")))?;
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
    let silent = || Refusal::new(RefusalKind::HubUnreachable, format!("no answer in {} s", response_timeout.as_secs()));
    timeout(response_timeout, Box::pin(steps)).await.unwrap_or_else(|_| Err(silent()))
}

/// RFC 6455 section 4.1: the answer must be to this request.
fn verify_upgrade(response: &Response<Bytes>, key: &str, protocol: Option<&str>) -> Result<(), Refusal> {
    let header = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
    if header(header::SEC_WEBSOCKET_ACCEPT) != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(Refusal::new(RefusalKind::HubUnreachable, "the WebSocket upgrade was answered by something else"));
    }
    match (protocol, header(header::SEC_WEBSOCKET_PROTOCOL)) {
        (Some(offered), Some(chosen)) if list_contains(chosen, offered) => Ok(()),
        (None, None) => Ok(()),
        (offered, chosen) => {
            let versions = format!("here {}, there {}", offered.unwrap_or("none"), chosen.unwrap_or("none"));
            Err(Refusal::new(RefusalKind::IncompatibleVersion, versions))
        }
    }
}

/// The part of an error's body that is meant for devstream.
#[derive(Deserialize)]
struct ErrorBody {
    refusal: Refusal,
}

/// What an answer other than the wanted one means.
pub fn response_refusal(response: &Response<Bytes>) -> Refusal {
    parse_refusal(response).unwrap_or_else(|| {
        let status = response.status();
        not_a_hub(&format!(", or a proxy in front of it says no: HTTP {status}"))
    })
}

/// The refusal of a hub's response; none if the response is not a hub's.
fn parse_refusal(response: &Response<Bytes>) -> Option<Refusal> {
    if let Ok(ErrorBody { refusal }) = serde_json::from_slice(response.body()) {
        return Some(refusal);
    }
    let status = response.status();
    let row = TABLE.iter().find(|row| row.status == status.as_u16() && status.is_client_error())?;
    let is_hubs = matches!(row.kind, RefusalKind::AuthenticationFailed | RefusalKind::IncompatibleVersion);
    is_hubs.then(|| row.kind.into())
}

fn not_a_hub(why: &str) -> Refusal {
    Refusal::new(RefusalKind::HubUnreachable, format!("what answers there is no hub{why}"))
}

/// The host and path of `wss://HOST[:PORT]/PATH`. TLS checks the host against the same trust as the hub's; the path is one
/// where a hub takes connections, and nothing that another server would act on.
fn parse_stream_url(url: &str) -> Result<(HubAddress, &str), Refusal> {
    let parse = || {
        let rest = url.strip_prefix("wss://")?;
        let slash = rest.find('/')?;
        let (host, path) = rest.split_at(slash);
        let route = Route::parse("GET", path).filter(|route| matches!(route, Route::Bridge(_) | Route::Standby))?;
        // Written as we would write it: other servers may read another path in it.
        Some((host.parse().ok()?, path)).filter(|_| route.to_string() == path)
    };
    parse().ok_or_else(|| Refusal::new(RefusalKind::BadRequest, "the hub gave a streaming URL that is none of a hub's"))
}

fn header_value(value: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(value).map_err(|error| Refusal::new(RefusalKind::BadRequest, error.to_string()))
}

/// A header that no debug output shows.
fn sensitive_header(value: &str) -> Result<HeaderValue, Refusal> {
    let mut value = header_value(value)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_streaming_url_leads_to_a_hubs_paths_and_nowhere_else() {
        let id = "0123456789abcdef".repeat(2);
        let bridge = format!("/bridges/ih/hub/d/pi-42/sid/{id}/r/device");
        for path in [&bridge, "/standby"] {
            let url = format!("wss://streams.test:444{path}");
            assert_eq!(parse_stream_url(&url).ok(), Some(("streams.test:444".parse().unwrap(), path)), "{url}");
        }
        for foreign in [
            "https://hub/standby",
            "wss://hub",
            "wss:///standby",
            "wss://hub/",
            "wss://hub/standby?now=1",
            "wss://hub/admin/reboot",
            "wss://hub/devices/pi-42/control",
            "wss://hub/bridges/../admin",
            "wss://user@hub/standby",
            "wss://hub/standby#x",
            "wss://hub/stand%62y",
            &format!("wss://hub/bridges/ih/..%2f..%2fx/d/pi-42/sid/{id}/r/device"),
            &format!("wss://hub/bridges/ih/x#/d/pi-42/sid/{id}/r/device"),
            &format!("wss://hub/bridges/ih/../d/pi-42/sid/{id}/r/device"),
        ] {
            assert!(parse_stream_url(foreign).is_err(), "{foreign}");
        }
    }
}
