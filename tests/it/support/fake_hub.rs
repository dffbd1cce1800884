//! A fake hub with a real hub's certificate and address, controlled by the test.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use devstream::net::os::random;
use devstream::net::websocket::derive_accept_key;
use devstream::proto::http::{
    ACCEPTED_HEADER, CONTROL_PROTOCOL, STREAM_PROTOCOL_HEADER, STREAM_TOKEN_HEADER, STREAM_URL_HEADER,
};
use devstream::proto::id::StreamId;
use devstream::proto::message::{StreamRequest, ToDevice, encode};
use devstream::proto::secret::StreamToken;
use devstream::proto::standby::{STANDBY_LIMIT_HEADER, STANDBY_URL_HEADER};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::certificates::{NAME, Pair};
use super::websocket::{Frame, WebSocket};
use super::{DEVICE, STREAM_PROTOCOL, TIMEOUT, poll};

/// A client's connection, as the fake hub has it.
pub(crate) type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A listener at a former hub's address.
pub(crate) struct FakeHub {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

/// A request's head, and the connection it came on.
pub(crate) struct ReceivedRequest {
    pub(crate) stream: Tls,
    pub(crate) head: String,
}

impl FakeHub {
    /// Listens on a former hub's port, with its certificate.
    pub(crate) fn on(port: u16, pair: &Pair) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the hub's port is free");
        listener.set_nonblocking(true).expect("a socket can be polled");
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).expect("a key");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("TLS 1.3").with_no_client_auth();
        let mut tls = config.with_single_cert(vec![pair.der.clone()], key).expect("a pair");
        tls.alpn_protocols = vec![b"http/1.1".into()];
        Self { listener, tls: Arc::new(tls) }
    }

    /// A connection, without TLS, if there is one.
    pub(crate) fn try_accept(&self) -> Option<TcpStream> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).expect("a socket can wait");
        stream.set_read_timeout(Some(TIMEOUT)).expect("a socket takes a timeout");
        stream.set_write_timeout(Some(TIMEOUT)).expect("a socket takes a timeout");
        Some(stream)
    }

    /// The request on a connection, unless the client leaves before.
    pub(crate) fn receive(&self, client: TcpStream) -> Option<ReceivedRequest> {
        let connection = ServerConnection::new(self.tls.clone()).expect("a TLS server");
        let mut stream = StreamOwned::new(connection, client);
        let head = read_head(&mut stream).ok()?;
        Some(ReceivedRequest { stream, head })
    }

    /// The next request.
    pub(crate) fn accept(&self) -> ReceivedRequest {
        poll("a client", || {
            // A client may try an address and go on with another one.
            let mut request = self.try_accept().and_then(|client| self.receive(client))?;
            if request.head.starts_with("GET /standby ") {
                // An address offered by the former hub.
                request.respond(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
                return None;
            }
            Some(request)
        })
    }

    /// Accepts the next agent, and waits until it is online.
    pub(crate) fn agent(&self) -> WebSocket<Tls> {
        // Endpoints of streams at the former hub try to resume as well.
        let request = poll("an agent", || Some(self.accept()).filter(|request| request.head.contains("/devices/")));
        let mut control = request.upgrade();
        let Ok(Frame::Text(hello)) = control.next() else { panic!("no hello") };
        assert!(hello.contains("\"hello\""), "{hello}");
        control.text(&encode(&welcome())).expect("the agent reads");
        control
    }

    /// Requests a stream of this name from an agent, and accepts its WebSocket.
    pub(crate) fn stream_of(&self, agent: &mut WebSocket<Tls>, name: &str) -> WebSocket<Tls> {
        self.leg_of(agent, name).upgrade()
    }

    /// Requests a stream of this name from an agent, and returns the request for its leg.
    pub(crate) fn leg_of(&self, agent: &mut WebSocket<Tls>, name: &str) -> ReceivedRequest {
        let request = StreamRequest {
            request_id: StreamId::from_bytes(random::bytes()),
            stream_name: name.parse().expect("a name"),
            url: self.url(),
            authorization_token: Some(random::secret()),
            protocol: Some(STREAM_PROTOCOL.into()),
            service: "alice".parse().expect("a name"),
            source: ([127, 0, 0, 1], 1).into(),
            reusable: false,
            end_to_end: false,
            resume_grant: None,
        };
        agent.text(&encode(&ToDevice::StreamRequest(request))).expect("the agent reads");
        let answer = agent.next().expect("an answer");
        assert!(matches!(&answer, Frame::Text(text) if text.contains("\"accepted\":true")), "{answer:?}");
        self.accept()
    }

    /// Accepts a proxy's stream request.
    pub(crate) fn grant(&self, request: ReceivedRequest) {
        self.grant_with(request, "");
    }

    /// Accepts with further headers, each with its line ending.
    fn grant_with(&self, mut request: ReceivedRequest, further: &str) {
        let token: StreamToken = random::secret();
        let answer = format!(
            "HTTP/1.1 200 OK\r\n{ACCEPTED_HEADER}: True\r\n{STREAM_URL_HEADER}: {}\r\n{STREAM_TOKEN_HEADER}: {}\r\n\
             {STREAM_PROTOCOL_HEADER}: {STREAM_PROTOCOL}\r\n{further}content-length: 0\r\nconnection: close\r\n\r\n",
            self.url(),
            token.reveal()
        );
        request.respond(answer.as_bytes());
    }

    /// A proxy's next stream.
    pub(crate) fn stream_of_proxy(&self) -> WebSocket<Tls> {
        self.grant(self.accept());
        self.accept().upgrade()
    }

    /// Accepts the proxy's next stream and offers standbys at this port.
    pub(crate) fn stream_of_proxy_offering(&self, port: u16) -> WebSocket<Tls> {
        let offer = format!("{STANDBY_URL_HEADER}: wss://{NAME}:{port}/standby\r\n{STANDBY_LIMIT_HEADER}: 64\r\n");
        self.grant_with(self.accept(), &offer);
        self.accept().upgrade()
    }

    fn url(&self) -> String {
        let port = self.listener.local_addr().expect("an address").port();
        format!("wss://{NAME}:{port}/bridges/ih/x/d/{DEVICE}/sid/{:032x}/r/device", 1)
    }
}

impl ReceivedRequest {
    /// Sends arbitrary bytes; the client may have left.
    pub(crate) fn respond(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
        let _ = self.stream.flush();
    }

    /// Accepts an upgrade with the subprotocol that it requests.
    pub(crate) fn upgrade(mut self) -> WebSocket<Tls> {
        let accept = derive_accept_key(self.header("sec-websocket-key").expect("a key").as_bytes());
        let wanted = self.header("sec-websocket-protocol").unwrap_or_default();
        let chosen = [CONTROL_PROTOCOL, STREAM_PROTOCOL].into_iter().find(|known| wanted.contains(known));
        let protocol = chosen.map(|chosen| format!("sec-websocket-protocol: {chosen}\r\n")).unwrap_or_default();
        self.respond(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {accept}\r\n{protocol}\r\n"
            )
            .as_bytes(),
        );
        WebSocket::server(self.stream)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

fn read_head(stream: &mut Tls) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    // A body, if there is one, is empty.
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// The welcome of a hub of an earlier version.
pub(crate) fn welcome() -> ToDevice {
    ToDevice::Welcome { version: "0.0.0".into(), standby: None, opening_limit: None, certificate: None, targets: false }
}
