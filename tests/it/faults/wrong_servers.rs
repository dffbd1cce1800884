//! Other servers at the hub's address: a captive portal, a reverse proxy without its hub, a server that speaks first.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use devstream::proto::refusal::RefusalKind;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::DEVICE;
use crate::support::certificates::{Authority, NAME};
use crate::support::machine::Machine;
use crate::support::roles::{Hub, assert_is};

/// Starts a server with one response to every request.
fn answering(answer: &str, tls: Option<Arc<ServerConfig>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = answer.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The client may close first.
            let _ = match &tls {
                Some(tls) => {
                    let session = ServerConnection::new(tls.clone()).unwrap();
                    answer_one(StreamOwned::new(session, stream), &answer)
                }
                None => answer_one(stream, &answer),
            };
        }
    });
    port
}

fn answer_one(mut stream: impl Read + Write, answer: &str) -> std::io::Result<()> {
    let _ = stream.read(&mut [0; 4096])?;
    stream.write_all(answer.as_bytes())?;
    stream.flush()?;
    stream.read(&mut [0]).map(drop)
}

/// An enrolled laptop and device, redirected to another server with a trusted certificate.
struct Redirected {
    _hub: Hub,
    laptop: Machine,
    device: Machine,
    authority: String,
    tls: Arc<ServerConfig>,
}

impl Redirected {
    fn new() -> Self {
        let (hub, laptop, device) = (Hub::start(&Machine::new()), Machine::new(), Machine::new());
        laptop.ask(&["join", &hub.service_link("alice")]);
        device.ask(&["join", &hub.device_link(DEVICE)]);
        let authority = Authority::new();
        let pair = authority.certify(NAME);
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_no_client_auth().with_single_cert(vec![pair.der], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".into()];
        Self { _hub: hub, authority: authority.file(&laptop), laptop, device, tls: Arc::new(config) }
    }

    /// Asserts that both report the hub as unreachable with this cause, and that the agent retries.
    fn assert_reported(&self, port: u16, why: &str) {
        self.assert_reported_as(RefusalKind::HubUnreachable, port, why);
    }

    fn assert_reported_as(&self, kind: RefusalKind, port: u16, why: &str) {
        let hub = format!("{NAME}:{port}");
        let hub_flags = ["--hub", &hub, "--ca", &self.authority];
        let proxy = ["service-proxy", "--device", DEVICE, "--stdio", "--response-timeout", "1"];
        let finished = self.laptop.run(&[&proxy[..], &hub_flags[..]].concat());
        assert_is(&finished, kind);
        assert!(finished.stderr.contains(why), "{why}: {finished:?}");
        let agent = self.device.start(&[&["device-agent", "--forward", "22"], &hub_flags[..]].concat());
        let line = agent.wait_line(kind.row().sentence);
        assert!(line.contains(why) && line.contains("trying again"), "{why}: {line}");
    }
}

#[test]
fn a_response_from_another_server_is_reported_with_its_status() {
    let led = Redirected::new();
    for (status, body) in [
        ("200 OK", "<html>Welcome to our hotel</html>"),
        ("502 Bad Gateway", "<html>nginx</html>"),
        ("503 Service Unavailable", ""),
        ("407 Proxy Authentication Required", ""),
        ("511 Network Authentication Required", "<html>log in</html>"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        led.assert_reported(answering(&answer, Some(led.tls.clone())), status.split(' ').next().unwrap());
    }
}

#[test]
fn a_redirect_is_reported_and_never_followed() {
    let led = Redirected::new();
    let lure = TcpListener::bind("127.0.0.1:0").unwrap();
    lure.set_nonblocking(true).unwrap();
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = format!("https://{NAME}:{}/", lure.local_addr().unwrap().port());
        let answer = format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        led.assert_reported(answering(&answer, Some(led.tls.clone())), status.split(' ').next().unwrap());
    }
    assert!(lure.accept().is_err(), "the redirect was followed, with whatever credentials");
}

#[test]
fn an_upgrade_by_another_server_is_refused() {
    let led = Redirected::new();
    let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket";
    let answer = format!("{head}\r\nsec-websocket-accept: c29tZXRoaW5nIGVsc2UncyE=\r\n\r\n");
    let port = answering(&answer, Some(led.tls.clone()));
    let hub = format!("{NAME}:{port}");
    let agent = led.device.start(&["device-agent", "--forward", "22", "--hub", &hub, "--ca", &led.authority]);
    let line = agent.wait_line(RefusalKind::HubUnreachable.row().sentence);
    assert!(line.contains("the WebSocket upgrade was not answered by the hub"), "{line}");
}

#[test]
fn a_server_without_tls_is_reported() {
    let led = Redirected::new();
    for answer in ["HTTP/1.1 302 Found\r\nlocation: http://portal.test/\r\ncontent-length: 0\r\n\r\n", "220 ready\r\n"]
    {
        led.assert_reported(answering(answer, None), "TLS");
    }
}

#[test]
fn a_server_that_closes_or_is_absent_is_reported() {
    let led = Redirected::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(|stream: TcpStream| drop(stream)));
    led.assert_reported_as(RefusalKind::ConnectionRejected, port, &format!("{NAME}:{port}"));
    led.assert_reported(crate::support::targets::closed_port(), "refused");
}
