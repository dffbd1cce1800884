//! WebSockets to the hub: the upgrade request, the check of its response, and the streaming URLs that the hub hands
//! out.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;

use super::request::{build_request, header_value, sensitive_header};
use super::response::{RequestError, response_refusal};
use super::{Client, Connection};
use crate::net::tunnel::pump::Tunnel;
use crate::net::websocket::{SocketKind, WebSocket, WebSocketRole, derive_accept_key, generate_key};
use crate::proto::http::{IF_OFFLINE_HEADER, Route, list_contains};
use crate::proto::join::HubAddress;
use crate::proto::limits::{DIAL_TIMEOUT, RESPONSE_BODY_BYTES};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{self, ResumeCredential, ResumePlaces};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{self, STANDBY_PROTOCOL};
use crate::proto::stream::StreamProtocol;
use crate::proto::websocket::{is_unmasked, unmasked};

/// The parts of an upgrade request that depend on the kind of WebSocket.
struct Upgrade<'a> {
    hub: &'a HubAddress,
    path: &'a str,
    protocol: Option<&'a str>,
    token: Option<String>,
    extra_header: Option<(&'static str, String)>,
}

impl Client {
    /// Opens the control connection; `if_offline` is refused while another one of the same id is there.
    pub async fn open_control(
        &self,
        route: &Route,
        protocol: &str,
        if_offline: bool,
    ) -> Result<WebSocket<Connection>, Refusal> {
        let path = route.to_string();
        let extra_header = if_offline.then(|| (IF_OFFLINE_HEADER, "1".to_owned()));
        let upgrade = Upgrade { hub: self.hub(), path: &path, protocol: Some(protocol), token: None, extra_header };
        Ok(self.upgrade(upgrade, SocketKind::Control).await?.0)
    }

    /// Opens a stream's WebSocket at the URL that the hub gave for it.
    pub async fn open_stream(
        &self,
        url: &str,
        token: &StreamToken,
        protocol: Option<StreamProtocol>,
    ) -> Result<Tunnel<Connection>, RequestError> {
        let (hub, path) = self.stream_endpoint(url)?;
        self.open_tunnel(&hub, path, format!("Bearer {}", token.reveal()), protocol).await
    }

    /// Opens a standby connection at the URL that the hub gave; a device names the run of its agent.
    pub async fn open_standby(&self, url: &str, run: Option<u64>) -> Result<WebSocket<Connection>, Refusal> {
        let (hub, path) = self.stream_endpoint(url)?;
        let extra_header = run.map(|run| (standby::RUN_HEADER, run.to_string()));
        let upgrade = Upgrade { hub: &hub, path, protocol: Some(STANDBY_PROTOCOL), token: None, extra_header };
        Ok(self.upgrade(upgrade, SocketKind::Stream).await?.0)
    }

    /// Opens a stream's WebSocket with this value of the `Authorization` header, and reads the grant to resume it.
    pub(super) async fn open_tunnel(
        &self,
        hub: &HubAddress,
        path: &str,
        token: String,
        protocol: Option<StreamProtocol>,
    ) -> Result<Tunnel<Connection>, RequestError> {
        let name = protocol.map(StreamProtocol::as_str);
        let upgrade = Upgrade { hub, path, protocol: name, token: Some(token), extra_header: None };
        let (socket, response) = self.upgrade(upgrade, SocketKind::Stream).await?;
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let places = header(resume::RESUME_PLACES_HEADER).map(str::parse::<ResumePlaces>).transpose();
        let places = places.map_err(Refusal::from)?.unwrap_or_default();
        let resume_credential = header(resume::RESUME_TOKEN_HEADER).zip(header(resume::RESUME_GRACE_HEADER));
        let resume_credential =
            resume_credential.and_then(|(token, grace)| ResumeCredential::parse(token, grace, places));
        Ok(Tunnel::new(socket, protocol, resume_credential))
    }

    /// Splits a streaming URL that the hub gave.
    pub(super) fn stream_endpoint<'a>(&self, url: &'a str) -> Result<(HubAddress, &'a str), Refusal> {
        let (endpoint, path) = parse_stream_url(url)?;
        if self.may_dial(&endpoint) {
            return Ok((endpoint, path));
        }
        Err(Refusal::new(RefusalKind::StreamingEndpointChanged, endpoint.to_string()))
    }

    /// Reports whether streams may connect to an address that the hub gave. A hub that was taken over must not have this
    /// machine connect to hosts near it, and learn from the time that it takes which ports are open: neither by another host,
    /// nor by another port of its own name, whose address it can change.
    pub(super) fn may_dial(&self, endpoint: &HubAddress) -> bool {
        // What an earlier version joined has none stored: it may be at another port of the hub's host.
        let is_stored = match &self.streaming_endpoint {
            Some(stored) => stored == endpoint,
            None => self.hubs.has_host(&endpoint.host),
        };
        is_stored || self.hubs.contains(endpoint) || self.hubs.has_member(endpoint)
    }

    async fn upgrade(
        &self,
        upgrade: Upgrade<'_>,
        kind: SocketKind,
    ) -> Result<(WebSocket<Connection>, Response<Bytes>), RequestError> {
        let mut request = build_request("GET", upgrade.path)?;
        let key = generate_key();
        let headers = request.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(header::SEC_WEBSOCKET_KEY, header_value(&key)?);
        if let Some(protocol) = upgrade.protocol {
            let offered = match kind {
                SocketKind::Stream => format!("{}, {protocol}", unmasked(protocol)),
                SocketKind::Control | SocketKind::UnmaskedStream => protocol.to_owned(),
            };
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header_value(&offered)?);
        }
        let is_by_token = upgrade.token.is_some();
        if let Some(token) = upgrade.token {
            headers.insert(header::AUTHORIZATION, sensitive_header(&token)?);
        }
        if let Some((name, value)) = upgrade.extra_header {
            headers.insert(name, header_value(&value)?);
        }
        let (response, rest) = Box::pin(self.send(upgrade.hub, request, (DIAL_TIMEOUT, RESPONSE_BODY_BYTES))).await?;
        let Some((stream, early)) = rest else {
            let refusal = response_refusal(&response);
            // A token that is refused says nothing about the identity.
            let is_identitys = !is_by_token || refusal.kind != RefusalKind::AuthenticationFailed;
            return Err(if is_identitys { refusal.of(self.principal()) } else { refusal }.into());
        };
        let kind = verify_upgrade(&response, &key, upgrade.protocol, kind)?;
        Ok((WebSocket::new(stream, &early, WebSocketRole::Client, kind), response))
    }
}

/// Removes the offer of unmasked frames from a request for a connection whose TLS is inspected: the proxy that reads
/// its frames must find them masked.
pub(super) fn without_unmasked(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    if let Some(offered) = request.headers_mut().get_mut(header::SEC_WEBSOCKET_PROTOCOL) {
        let protocols = offered.to_str().unwrap_or_default().split(", ").filter(|protocol| !is_unmasked(protocol));
        if let Ok(protocols) = HeaderValue::try_from(protocols.collect::<Vec<_>>().join(", ")) {
            *offered = protocols;
        }
    }
    request
}

/// Reports whether the hub chose unmasked frames.
pub(super) fn chose_unmasked(response: &Response<Bytes>) -> bool {
    chosen_subprotocol(response).is_some_and(is_unmasked)
}

fn chosen_subprotocol(response: &Response<Bytes>) -> Option<&str> {
    response.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()
}

/// Checks that the response answers this request (RFC 6455 section 4.1) and chose an offered subprotocol. Returns the
/// kind of WebSocket that it chose.
fn verify_upgrade(
    response: &Response<Bytes>,
    key: &str,
    protocol: Option<&str>,
    kind: SocketKind,
) -> Result<SocketKind, Refusal> {
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT).and_then(|value| value.to_str().ok());
    if accept != Some(derive_accept_key(key.as_bytes()).as_str()) {
        return Err(Refusal::new(RefusalKind::HubUnreachable, "the WebSocket upgrade was not answered by the hub"));
    }
    match (protocol, chosen_subprotocol(response)) {
        (Some(offered), Some(chosen)) if list_contains(chosen, offered) => Ok(kind),
        (Some(offered), Some(chosen)) if kind == SocketKind::Stream && chosen == unmasked(offered) => {
            tracing::trace!("the frames of this WebSocket are not masked");
            Ok(SocketKind::UnmaskedStream)
        }
        (None, None) => Ok(kind),
        (offered, chosen) => {
            let versions = format!("offered {}, got {}", offered.unwrap_or("none"), chosen.unwrap_or("none"));
            Err(Refusal::new(RefusalKind::IncompatibleVersion, versions))
        }
    }
}

/// Splits `wss://HOST[:PORT]/PATH` into host and path. TLS checks the host against the same trust as the hub's. The
/// path must be one of a hub's, so that a malicious hub cannot have this client act on another server.
fn parse_stream_url(url: &str) -> Result<(HubAddress, &str), Refusal> {
    let parse = || {
        let rest = url.strip_prefix("wss://")?;
        let slash = rest.find('/')?;
        let (host, path) = rest.split_at(slash);
        let route = Route::parse("GET", path).filter(|route| matches!(route, Route::Bridge(_) | Route::Standby))?;
        // The canonical spelling only: another server may read a different path in any other.
        Some((host.parse().ok()?, path)).filter(|_| route.to_string() == path)
    };
    parse()
        .ok_or_else(|| Refusal::new(RefusalKind::BadRequest, "the hub sent a streaming URL that is not one of a hub's"))
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Arc;

    use super::*;
    use crate::net::client::ClientFactory;
    use crate::net::tls::Trust;
    use crate::proto::id::{Principal, Role};
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    #[test]
    fn streams_connect_to_the_hub_and_to_the_endpoint_fixed_at_join_alone() {
        let principal = Principal { role: Role::Device, id: "pi".to_owned().try_into().unwrap() };
        let key = Arc::new(PrivateKey::from_seed(&KeySeed::new([1; 32])));
        let hub: HubAddress = "hub.test:443".parse().unwrap();
        let client = Client::new(hub, &Trust::Public, principal, key).unwrap();
        let path = Route::Standby;
        let may_reach = |client: &Client, host: &str| client.stream_endpoint(&format!("wss://{host}{path}")).is_ok();
        assert!(may_reach(&client, "hub.test:444"), "joined with an earlier version");
        assert!(!may_reach(&client, "10.0.0.7:22"), "joined with an earlier version");
        let client = client.with_streaming_endpoint(Some("streams.test:444".parse().unwrap()));
        for allowed in ["hub.test:443", "HUB.test", "streams.test:444"] {
            assert!(may_reach(&client, allowed), "{allowed}");
        }
        let factory = ClientFactory::new(|| ready(Err(RefusalKind::HubUnreachable.into())));
        for refused in ["10.0.0.7:22", "hub.test:22", "streams.test:22", "test:443", "hub.test.evil.test:443"] {
            assert!(!may_reach(&client, refused), "{refused}");
            let rejoins = client.resume_target(factory.clone(), &format!("wss://{refused}{path}"));
            assert!(rejoins.is_err(), "a stream that began on a standby connection is rejoined at {refused}");
        }
    }

    #[test]
    fn a_streaming_url_has_the_path_of_a_hubs_endpoint() {
        let id = "0123456789abcdef".repeat(2);
        let bridge = format!("/bridges/ih/hub/d/pi-42/sid/{id}/r/device");
        for path in [&bridge, "/standby"] {
            let url = format!("wss://streams.test:444{path}");
            assert_eq!(parse_stream_url(&url).ok(), Some(("streams.test:444".parse().unwrap(), path)), "{url}");
        }
        for invalid in [
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
            assert!(parse_stream_url(invalid).is_err(), "{invalid}");
        }
    }
}
