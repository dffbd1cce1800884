//! Requests to a hub in the name of an identity, each on its own connection and signed for it.

mod look;
mod particulars;
mod upgrade;

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

pub use self::look::{Arrival, Proof};
use self::particulars::Limits;
pub use self::particulars::Particulars;
use self::upgrade::{check, masked, subprotocol};
use super::ahead::Ahead;
use super::dial::{Trail, dial};
use super::hubs::Hubs;
use super::inspection;
use super::pump::{Rejoin, Tunnel};
use super::tls::{self, Trust};
use super::websocket::{Endpoint, SocketKind, WebSocket, generate_key};
use crate::proto::auth::{self, Binding, Credential, Exporter, Session};
use crate::proto::challenge::Challenge;
use crate::proto::check::NO_HUB;
use crate::proto::http::Route;
use crate::proto::id::Principal;
use crate::proto::join::HubAddress;
use crate::proto::key::PrivateKey;
use crate::proto::limits::{DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::{Kind, Refusal, TABLE};
use crate::proto::resume::{self, Pass};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{self, STANDBY_PROTOCOL};
use crate::proto::stream::StreamProtocol;
use crate::proto::via::Way;
use crate::proto::websocket::{is_unmasked, unmasked};

/// A client's connection to the hub.
pub type Connection = TlsStream<Ahead<TcpStream>>;

/// Who asks, and whom.
#[derive(Debug, Clone)]
pub struct Client {
    hubs: Hubs,
    way: Way,
    trust: Arc<Trust>,
    tls: Arc<ClientConfig>,
    principal: Principal,
    key: Arc<PrivateKey>,
    allow_tls_inspection: bool,
}

/// How a role becomes a client, tried anew whenever it must connect: an address may have changed, and a hub of the
/// same user may have started since.
pub type Enrol = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<Client, Refusal>> + Send>> + Send + Sync>;

impl Client {
    /// For an identity at a hub, which is reached directly.
    pub fn new(
        hubs: impl Into<Hubs>,
        trust: &Trust,
        principal: Principal,
        key: Arc<PrivateKey>,
    ) -> Result<Self, rustls::Error> {
        let (hubs, way, tls) = (hubs.into(), Way::default(), tls::client_config(trust)?);
        Ok(Self { hubs, way, trust: Arc::new(trust.clone()), tls, principal, key, allow_tls_inspection: false })
    }

    /// Through the proxy that leads to the hub, if one does.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        Self { way, ..self }
    }

    /// Whether a proxy on the way may inspect TLS, if the hub allows it too.
    #[must_use]
    pub fn allowing_tls_inspection(mut self, allowed: bool) -> Self {
        self.allow_tls_inspection = allowed;
        self
    }

    /// Whether both came of the same enrolment.
    pub fn is(&self, other: &Self) -> bool {
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
    pub async fn ask(&self, route: &Route, particulars: Particulars) -> Result<Response<Bytes>, Refusal> {
        let (request, limits) = particulars.request(route)?;
        Ok(Box::pin(self.send(self.hub(), request, limits)).await?.0)
    }

    /// Brings the control connection.
    pub async fn control(&self, route: &Route, protocol: &str) -> Result<WebSocket<Connection>, Refusal> {
        let path = route.to_string();
        let upgrade = Upgrade { hub: self.hub(), path: &path, protocol: Some(protocol), token: None, further: None };
        Ok(self.upgrade(upgrade, SocketKind::Control).await?.0)
    }

    /// Brings a stream's WebSocket to where the handshake said.
    pub async fn stream(
        &self,
        url: &str,
        token: &StreamToken,
        protocol: Option<StreamProtocol>,
    ) -> Result<Tunnel<Connection>, Refusal> {
        let (hub, path) = endpoint(url)?;
        self.tunnel(&hub, path, format!("Bearer {}", token.reveal()), protocol).await
    }

    /// Brings a connection that stands by, for this run of an agent if it is a device's.
    pub async fn standby(&self, url: &str, run: Option<u64>) -> Result<WebSocket<Connection>, Refusal> {
        let (hub, path) = endpoint(url)?;
        let further = run.map(|run| (standby::RUN_HEADER, run.to_string()));
        let upgrade = Upgrade { hub: &hub, path, protocol: Some(STANDBY_PROTOCOL), token: None, further };
        Ok(self.upgrade(upgrade, SocketKind::Stream).await?.0)
    }

    async fn tunnel(
        &self,
        hub: &HubAddress,
        path: &str,
        token: String,
        protocol: Option<StreamProtocol>,
    ) -> Result<Tunnel<Connection>, Refusal> {
        let name = protocol.map(StreamProtocol::as_str);
        let upgrade = Upgrade { hub, path, protocol: name, token: Some(token), further: None };
        let (socket, answer) = self.upgrade(upgrade, SocketKind::Stream).await?;
        let header = |name: &str| answer.headers().get(name)?.to_str().ok();
        let pass = header(resume::TOKEN_HEADER).zip(header(resume::GRACE_HEADER));
        let pass = pass.and_then(|(token, grace)| Pass::parse(token, grace));
        Ok(Tunnel::new(socket, protocol, pass))
    }

    async fn upgrade(
        &self,
        upgrade: Upgrade<'_>,
        kind: SocketKind,
    ) -> Result<(WebSocket<Connection>, Response<Bytes>), Refusal> {
        let mut request = request("GET", upgrade.path)?;
        let key = generate_key();
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, text(&key)?);
        if let Some(protocol) = upgrade.protocol {
            let offered = match kind {
                SocketKind::Stream => format!("{}, {protocol}", unmasked(protocol)),
                SocketKind::Control | SocketKind::UnmaskedStream => protocol.to_owned(),
            };
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, text(&offered)?);
        }
        if let Some(token) = upgrade.token {
            headers.insert(header::AUTHORIZATION, secret(&token)?);
        }
        if let Some((name, value)) = upgrade.further {
            headers.insert(name, text(&value)?);
        }
        let (response, rest) = Box::pin(self.send(upgrade.hub, request, (DIAL_TIMEOUT, RESPONSE_BODY_BYTES))).await?;
        let Some((stream, early)) = rest else { return Err(refusal(&response)) };
        let kind = check(&response, &key, upgrade.protocol, kind)?;
        Ok((WebSocket::new(stream, &early, Endpoint::Client, kind), response))
    }

    /// Sends a request to the hub at `there`.
    async fn send(
        &self,
        there: &HubAddress,
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<(Response<Bytes>, Rest), Refusal> {
        let reached = self.reach(there, &mut Trail::default()).await?;
        self.send_on(reached, request, limits).await
    }

    /// Sends a request signed for its connection; once more, on another one, signed for a challenge, where that is called
    /// for.
    async fn send_on(
        &self,
        (hub, stream): (&HubAddress, Connection),
        request: Request<Full<Bytes>>,
        limits: Limits,
    ) -> Result<(Response<Bytes>, Rest), Refusal> {
        let (answer, exporter) = self.send_signed((hub, stream), request.clone(), None, limits).await?;
        match inspection::look(&answer.0, &exporter, self.allow_tls_inspection)? {
            None => Ok(answer),
            Some(challenge) => {
                let reached = self.reach(hub, &mut Trail::default()).await?;
                let answer = self.send_signed(reached, masked(request), Some(challenge), limits).await?.0;
                if subprotocol(&answer.0).is_some_and(is_unmasked) {
                    return Err(Refusal::new(Kind::IncompatibleVersion, "the hub chose frames that were not offered"));
                }
                Ok(answer)
            }
        }
    }

    async fn send_signed(
        &self,
        (hub, stream): (&HubAddress, Connection),
        mut request: Request<Full<Bytes>>,
        challenge: Option<Challenge>,
        (patience, answer_bytes): Limits,
    ) -> Result<((Response<Bytes>, Rest), Exporter), Refusal> {
        let exporter = tls::exporter(stream.get_ref().1).map_err(|error| tls::explain(&error))?;
        let session = challenge.as_ref().map_or(Session::Channel(&exporter), Session::Challenge);
        let (method, authority, path) = (request.method().as_str(), hub.to_string(), request.uri().to_string());
        let binding = Binding { method, authority: &authority, path: &path, session };
        let credential = Credential::sign(self.principal.clone(), &self.key, &binding);
        request.headers_mut().insert(header::HOST, text(&authority)?);
        request.headers_mut().insert(auth::HEADER, secret(&credential.to_string())?);
        Ok((exchange(stream, request, patience, answer_bytes).await?, exporter))
    }

    /// Connects to the hub at `there`, or at whichever of its other addresses answers; the trail has all that were tried.
    pub async fn reach<'a>(
        &'a self,
        there: &'a HubAddress,
        trail: &mut Trail<'_>,
    ) -> Result<(&'a HubAddress, Connection), Refusal> {
        let mut refusals = Vec::new();
        for hub in self.hubs.in_turn(there) {
            match dial(hub, &self.way, self.tls.clone(), trail).await {
                Ok(stream) => {
                    self.hubs.answered(hub);
                    return Ok((hub, stream));
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        Err(together(refusals))
    }
}

/// Of several addresses' refusals the one that says more than that there is no way, else all.
fn together(mut refusals: Vec<Refusal>) -> Refusal {
    let telling = refusals.iter().position(|refusal| refusal.kind != Kind::HubUnreachable);
    if let Some(index) = telling {
        return refusals.swap_remove(index);
    }
    let details: Vec<_> = refusals.iter().map(|refusal| refusal.detail.as_str()).collect();
    Refusal::new(Kind::HubUnreachable, details.join("; "))
}

fn request(method: &str, path: &str) -> Result<Request<Full<Bytes>>, Refusal> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::USER_AGENT, concat!("devstream/", env!("CARGO_PKG_VERSION")))
        .body(Full::default())
        .map_err(|error| Refusal::new(Kind::BadRequest, error.to_string()))
}

/// A WebSocket upgrade's particulars.
struct Upgrade<'a> {
    hub: &'a HubAddress,
    path: &'a str,
    protocol: Option<&'a str>,
    token: Option<String>,
    further: Option<(&'static str, String)>,
}

/// The way back to a stream's place at its hub, which may be elsewhere by now, or know this machine by another key.
pub struct WayBack {
    /// How to become a client.
    pub enrol: Enrol,
    /// Where the stream's WebSocket was brought.
    pub url: String,
    /// Where the hub was then.
    pub hub: HubAddress,
}

impl Rejoin<Connection> for WayBack {
    async fn rejoin(&self, pass: &Pass) -> Result<Tunnel<Connection>, Refusal> {
        let client = (self.enrol)().await?;
        let (there, path) = endpoint(&self.url)?;
        // A streaming endpoint of its own is where it was; the hub's own is where the hub is.
        let hub = if there == self.hub { client.hub() } else { &there };
        let token = format!("{} {}", resume::SCHEME, pass.token.reveal());
        client.tunnel(hub, path, token, Some(StreamProtocol::Resumable)).await
    }
}

pub(super) type Rest = Option<(Connection, Bytes)>;

/// Sends one request and reads its answer; after a 101, the connection comes back for other uses.
pub(super) async fn exchange(
    stream: Connection,
    request: Request<Full<Bytes>>,
    patience: Duration,
    answer_bytes: usize,
) -> Result<(Response<Bytes>, Rest), Refusal> {
    let failed = |error: hyper::Error| Refusal::new(Kind::HubUnreachable, format!("the connection broke: {error}"));
    let steps = async {
        let (mut sender, connection) = Builder::new().handshake(TokioIo::new(stream)).await.map_err(failed)?;
        let answer = async {
            let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok::<_, Refusal>(Response::from_parts(head, Bytes::new()));
            }
            let body = Limited::new(body, answer_bytes).collect().await;
            let body =
                body.map_err(|error| Refusal::new(Kind::HubUnreachable, format!("the answer broke: {error}")))?;
            drop(sender);
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let (response, parts) = tokio::join!(answer, connection.without_shutdown());
        let response = response?;
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let rest = if upgraded { parts.ok().map(|parts| (parts.io.into_inner(), parts.read_buf)) } else { None };
        Ok((response, rest))
    };
    let silent = || Refusal::new(Kind::HubUnreachable, format!("no answer in {} s", patience.as_secs()));
    timeout(patience, Box::pin(steps)).await.unwrap_or_else(|_| Err(silent()))
}

/// The part of an error's body that is meant for devstream.
#[derive(Deserialize)]
struct ErrorBody {
    refusal: Refusal,
}

/// What an answer other than the wanted one means.
pub fn refusal(response: &Response<Bytes>) -> Refusal {
    if let Ok(ErrorBody { refusal }) = serde_json::from_slice(response.body()) {
        return refusal;
    }
    let status = response.status();
    match TABLE.iter().find(|row| row.status == status.as_u16() && status.is_client_error()) {
        Some(row) if matches!(row.kind, Kind::AuthenticationFailed | Kind::IncompatibleVersion) => row.kind.into(),
        _ => Refusal::new(Kind::HubUnreachable, format!("{NO_HUB}, or a proxy in front of it says no: HTTP {status}")),
    }
}

/// The host and path of `wss://HOST[:PORT]/PATH`. TLS checks the host against the same trust as the hub's; the path is one
/// where a hub takes connections, and nothing that another server would act on.
fn endpoint(url: &str) -> Result<(HubAddress, &str), Refusal> {
    let parse = || {
        let rest = url.strip_prefix("wss://")?;
        let slash = rest.find('/')?;
        let (host, path) = rest.split_at(slash);
        let route = Route::parse("GET", path).filter(|route| matches!(route, Route::Bridge(_) | Route::Standby))?;
        // Written as we would write it: other servers may read another path in it.
        Some((host.parse().ok()?, path)).filter(|_| route.to_string() == path)
    };
    parse().ok_or_else(|| Refusal::new(Kind::BadRequest, "the hub gave a streaming URL that is none of a hub's"))
}

fn text(value: &str) -> Result<HeaderValue, Refusal> {
    HeaderValue::try_from(value).map_err(|error| Refusal::new(Kind::BadRequest, error.to_string()))
}

/// A header that no debug output shows.
fn secret(value: &str) -> Result<HeaderValue, Refusal> {
    let mut value = text(value)?;
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
            assert_eq!(endpoint(&url).ok(), Some(("streams.test:444".parse().unwrap(), path)), "{url}");
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
            assert!(endpoint(foreign).is_err(), "{foreign}");
        }
    }
}
