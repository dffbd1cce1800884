//! A client of the hub's protocol without devstream's own: it signs requests, and can also violate the protocol.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use devstream::net::os::random;
use devstream::net::tls::{self, Trust};
use devstream::proto::auth::{self, Binding, Credential, Session};
use devstream::proto::http::CONTROL_PROTOCOL;
use devstream::proto::id::Principal;
use devstream::proto::join::{HubAddress, JoinLink, JoinRequest};
use devstream::proto::key::{PrivateKey, PublicKey};
use devstream::proto::message::{Hello, StreamRequest, StreamResponse, ToDevice, ToHub, decode, encode};
use devstream::proto::refusal::Refusal;
use devstream::proto::resume;
use devstream::proto::standby::{RUN_HEADER, STANDBY_PROTOCOL};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::response::{HttpResponse, read_response};
use super::roles::{connect, connect_from};
use super::websocket::{Frame, WebSocket};
use super::{DEVICE, STREAM_PROTOCOL};

/// A connection to a hub.
pub(crate) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// An identity and its hub.
#[derive(Clone)]
pub(crate) struct RawClient {
    /// Source address, if not the default.
    from: Option<Ipv4Addr>,
    hub: HubAddress,
    tls: Arc<ClientConfig>,
    principal: Principal,
    /// Signs requests; none leaves them unsigned.
    key: Option<Arc<PrivateKey>>,
}

impl RawClient {
    /// Redeems a join link.
    pub(crate) fn join(link: &str) -> Self {
        let raw = Self::before_joining(link);
        let answer = raw.redeem(link);
        assert!((200..300).contains(&answer.status), "{answer:?}");
        raw
    }

    /// Returns a client with this identity but another key, at another address.
    pub(crate) fn impostor(&self, from: Ipv4Addr) -> Self {
        let key = Some(Arc::new(PrivateKey::from_seed(&random::secret())));
        Self { from: Some(from), key, ..self.clone() }
    }

    /// Returns this client at another address.
    pub(crate) fn from(&self, from: Ipv4Addr) -> Self {
        Self { from: Some(from), ..self.clone() }
    }

    /// Its TLS configuration.
    pub(crate) fn tls_config(&self) -> ClientConfig {
        (*self.tls).clone()
    }

    /// Returns the identity of a link, with a key that is not enrolled yet.
    pub(crate) fn before_joining(link: &str) -> Self {
        let link: JoinLink = link.parse().expect("a join link");
        let tls = tls::client_config(&Trust::Pin(link.pin.expect("a pin"))).expect("a TLS configuration");
        let id = link.id.expect("the link of one identity");
        let key = Some(Arc::new(PrivateKey::from_seed(&random::secret())));
        Self { from: None, hub: link.hub, tls, principal: Principal { role: link.role, id }, key }
    }

    /// Returns this client without a key.
    pub(crate) fn without_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// Its public key, as text.
    pub(crate) fn public(&self) -> String {
        self.key.as_ref().expect("a client with a key").public().into()
    }

    /// Redeems the code of a link, whatever its identity.
    pub(crate) fn redeem(&self, link: &str) -> HttpResponse {
        let link: JoinLink = link.parse().expect("a join link");
        let key = self.key.as_ref().map_or_else(|| PublicKey::from_bytes([1; 32]), |key| key.public());
        self.ask("POST", "/join", &[], &encode(&JoinRequest { code: link.code, key, proof: None }))
    }

    /// Redeems the code, closing the connection before the response.
    pub(crate) fn redeem_and_leave(&self, link: &str) {
        let link: JoinLink = link.parse().expect("a join link");
        let key = self.key.as_ref().expect("a key to join with").public();
        drop(self.send("POST", "/join", &[], &encode(&JoinRequest { code: link.code, key, proof: None })));
    }

    /// Reports whether the hub closes the connection after its response.
    pub(crate) fn closes_after(&self, method: &str, path: &str) -> bool {
        let PendingResponse(mut stream) = self.send(method, path, &[], "");
        read_response(&mut stream).expect("an answer");
        // With or without close_notify.
        matches!(stream.read(&mut [0]), Ok(0) | Err(_))
    }

    /// Opens a device's control connection.
    pub(crate) fn control(&self, device: &str) -> Result<WebSocket, HttpResponse> {
        self.upgrade(&self.hub, &format!("/devices/{device}/control"), Some(CONTROL_PROTOCOL), None)
            .map(|(socket, _)| socket)
    }

    /// Opens a standby.
    pub(crate) fn standby(&self) -> Result<WebSocket, HttpResponse> {
        self.upgrade(&self.hub, "/standby", Some(STANDBY_PROTOCOL), None).map(|(socket, _)| socket)
    }

    /// Completes TLS, without a request.
    pub(crate) fn dial(&self) -> Tls {
        self.try_dial().expect("the hub completes TLS")
    }

    /// Completes TLS, unless the hub closes the connection.
    pub(crate) fn try_dial(&self) -> io::Result<Tls> {
        dial(&self.hub, self.tls.clone(), self.from)
    }

    /// Sends a signed request, and returns its response unless the hub closes the connection.
    pub(crate) fn try_ask(&self, method: &str, path: &str) -> io::Result<HttpResponse> {
        let mut stream = self.try_dial()?;
        self.sign_and_send(&mut stream, &self.hub, method, path, &[("content-length", "0")], "")?;
        read_response(&mut stream)
    }

    /// Sends a signed request, and returns its response.
    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        self.send(method, path, headers, body).answer()
    }

    /// Sends an unsigned request, and returns its response.
    pub(crate) fn ask_unsigned(&self, method: &str, path: &str) -> HttpResponse {
        let mut stream = self.dial();
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n", self.hub);
        stream.write_all(request.as_bytes()).expect("the hub takes a request");
        read_response(&mut stream).expect("an answer")
    }

    /// Sends a signed request; the response may come later.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> PendingResponse {
        let length = body.len().to_string();
        let headers = [&[("content-length", length.as_str())], headers].concat();
        PendingResponse(self.send_to(&self.hub, method, path, &headers, body))
    }

    /// Requests a stream from [`DEVICE`].
    pub(crate) fn open(&self, stream: &str, headers: &[(&str, &str)]) -> PendingResponse {
        self.send("POST", &format!("/twins/{DEVICE}/streams/{stream}"), headers, "")
    }

    /// Opens the granted stream's WebSocket.
    pub(crate) fn attach(&self, grant: &StreamGrant) -> Result<WebSocket, HttpResponse> {
        self.attach_with_response(grant).map(|(socket, _)| socket)
    }

    /// Opens the granted stream's WebSocket; returns the upgrade response too.
    pub(crate) fn attach_with_response(&self, grant: &StreamGrant) -> Result<(WebSocket, HttpResponse), HttpResponse> {
        self.attach_with(grant, &format!("Bearer {}", grant.token))
    }

    /// Resumes the stream with the token of the last upgrade response.
    pub(crate) fn resume(
        &self,
        grant: &StreamGrant,
        resume_token: &str,
    ) -> Result<(WebSocket, HttpResponse), HttpResponse> {
        self.attach_with(grant, &format!("{} {resume_token}", resume::SCHEME))
    }

    fn attach_with(&self, grant: &StreamGrant, authorization: &str) -> Result<(WebSocket, HttpResponse), HttpResponse> {
        let authority = grant.url.strip_prefix("wss://").expect("a WebSocket's URL");
        let (authority, path) = authority.split_at(authority.find('/').expect("a path"));
        let hub = authority.parse().expect("an address");
        self.upgrade(&hub, path, grant.protocol.as_deref(), Some(authorization))
    }

    fn upgrade(
        &self,
        hub: &HubAddress,
        path: &str,
        protocol: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<(WebSocket, HttpResponse), HttpResponse> {
        let mut headers = vec![
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            (RUN_HEADER, "1"),
        ];
        headers.extend(protocol.map(|protocol| ("sec-websocket-protocol", protocol)));
        headers.extend(authorization.map(|authorization| ("authorization", authorization)));
        let mut stream = self.send_to(hub, "GET", path, &headers, "");
        let answer = read_response(&mut stream).expect("an answer");
        if answer.status == 101 { Ok((WebSocket::new(stream), answer)) } else { Err(answer) }
    }

    fn send_to(&self, hub: &HubAddress, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Tls {
        let mut stream = dial(hub, self.tls.clone(), self.from).expect("the hub completes TLS");
        self.sign_and_send(&mut stream, hub, method, path, headers, body).expect("the hub takes a request");
        stream
    }

    fn sign_and_send(
        &self,
        stream: &mut Tls,
        hub: &HubAddress,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> io::Result<()> {
        let exporter = tls::exporter(&stream.conn).expect("TLS is done");
        let authority = hub.to_string();
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n");
        if let Some(key) = &self.key {
            let binding = Binding { method, authority: &authority, path, session: Session::Channel(&exporter) };
            let credential = Credential::sign(self.principal.clone(), key, &binding);
            write!(request, "{}: {credential}\r\n", auth::AUTH_HEADER).expect("a string takes text");
        }
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").expect("a string takes text");
        }
        write!(request, "\r\n{body}").expect("a string takes text");
        stream.write_all(request.as_bytes())?;
        stream.flush()
    }
}

/// A request without a response yet.
pub(crate) struct PendingResponse(Tls);

impl PendingResponse {
    /// Waits for the response.
    pub(crate) fn answer(mut self) -> HttpResponse {
        read_response(&mut self.0).expect("an answer")
    }
}

/// URL, token and protocol of a granted stream.
#[derive(Debug, Clone)]
pub(crate) struct StreamGrant {
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) protocol: Option<String>,
}

impl From<&StreamRequest> for StreamGrant {
    fn from(request: &StreamRequest) -> Self {
        let token = request.authorization_token.as_ref().expect("a token").reveal();
        Self { url: request.url.clone(), token, protocol: request.protocol.clone() }
    }
}

/// An online device, controlled by the test in place of an agent.
pub(crate) struct RawDevice {
    pub(crate) identity: RawClient,
    pub(crate) control: WebSocket,
}

fn hello(forwards: &[&str], protocols: &[&str]) -> Hello {
    let forwards = forwards.iter().map(|name| name.parse().expect("a stream name")).collect();
    let protocols = protocols.iter().map(|&protocol| protocol.to_owned()).collect();
    Hello {
        version: "0.0.0".into(),
        run: 1,
        protocols,
        forwards,
        accepts_any_name: false,
        reusable: false,
        certificates: false,
    }
}

impl RawDevice {
    /// Sends a hello and waits for the welcome.
    pub(crate) fn online(identity: RawClient, forwards: &[&str]) -> Self {
        Self::speaking(identity, forwards, &[STREAM_PROTOCOL])
    }

    /// Sends a hello with these stream protocols.
    pub(crate) fn speaking(identity: RawClient, forwards: &[&str], protocols: &[&str]) -> Self {
        Self::with_hello(identity, hello(forwards, protocols))
    }

    /// Sends a hello that accepts other names too.
    pub(crate) fn accepting_any_name(identity: RawClient, forwards: &[&str]) -> Self {
        Self::with_hello(identity, Hello { accepts_any_name: true, ..hello(forwards, &[STREAM_PROTOCOL]) })
    }

    fn with_hello(identity: RawClient, hello: Hello) -> Self {
        let control = identity.control(identity.principal.id.as_str()).expect("the hub lets it in");
        let mut device = Self { identity, control };
        device.send_message(&ToHub::Hello(hello));
        let welcome = device.receive();
        assert!(matches!(welcome, ToDevice::Welcome { .. }), "{welcome:?}");
        device
    }

    /// Waits for the next stream request.
    pub(crate) fn request(&mut self) -> StreamRequest {
        match self.receive() {
            ToDevice::StreamRequest(request) => request,
            other @ (ToDevice::Welcome { .. }
            | ToDevice::Certificate { .. }
            | ToDevice::StreamCancel { .. }
            | ToDevice::Drain { .. }
            | ToDevice::Displaced { .. }) => {
                panic!("{other:?}")
            }
        }
    }

    /// Expects the cancellation of this request as the next message.
    pub(crate) fn expect_cancel(&mut self, request: &StreamRequest) {
        match self.receive() {
            ToDevice::StreamCancel { request_id } => assert_eq!(request_id, request.request_id),
            other @ (ToDevice::Welcome { .. }
            | ToDevice::Certificate { .. }
            | ToDevice::StreamRequest(_)
            | ToDevice::Drain { .. }
            | ToDevice::Displaced { .. }) => panic!("{other:?}"),
        }
    }

    /// Accepts a request.
    pub(crate) fn accept(&mut self, request: &StreamRequest) {
        self.send_message(&response(request, None));
    }

    /// Rejects a request.
    pub(crate) fn reject(&mut self, request: &StreamRequest, reason: Refusal) {
        self.send_message(&response(request, Some(reason)));
    }

    /// Accepts every request in the background; returns the requests.
    pub(crate) fn accepting(mut self) -> Receiver<StreamRequest> {
        let (sender, requests) = sync_channel(1024);
        thread::spawn(move || {
            while let Ok(Frame::Text(text)) = self.control.next() {
                if let Ok(ToDevice::StreamRequest(request)) = decode(&text) {
                    self.accept(&request);
                    let _ = sender.try_send(request);
                }
            }
        });
        requests
    }

    /// Accepts every request in the background, and echoes each stream.
    pub(crate) fn echoing(self) {
        let identity = self.identity.clone();
        let requests = self.accepting();
        thread::spawn(move || {
            for request in requests {
                let identity = identity.clone();
                thread::spawn(move || identity.attach(&StreamGrant::from(&request)).map(WebSocket::echo));
            }
        });
    }

    fn send_message(&mut self, message: &ToHub) {
        self.control.text(&encode(message)).expect("the hub takes a message");
    }

    fn receive(&mut self) -> ToDevice {
        match self.control.next() {
            Ok(Frame::Text(text)) => decode(&text).expect("a message"),
            other => panic!("on the control connection: {other:?}"),
        }
    }
}

fn response(request: &StreamRequest, reason: Option<Refusal>) -> ToHub {
    ToHub::StreamResponse(StreamResponse {
        request_id: request.request_id,
        accepted: reason.is_none(),
        end_to_end: false,
        reason,
    })
}

fn dial(hub: &HubAddress, tls: Arc<ClientConfig>, from: Option<Ipv4Addr>) -> io::Result<Tls> {
    let name = ServerName::try_from(hub.host.clone()).expect("a host name");
    let tcp = match from {
        Some(from) => connect_from(from, hub.port)?,
        None => connect(hub.port),
    };
    let mut stream = StreamOwned::new(ClientConnection::new(tls, name).expect("a TLS client"), tcp);
    while stream.conn.is_handshaking() {
        if stream.conn.complete_io(&mut stream.sock)? == (0, 0) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(stream)
}
