//! Random and mutated input in every state of every port: nothing panics, nothing waits
//! for ever, nothing is kept. The seed of a failure is printed with it.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use devstream::net::transport::http_server::{HttpOutcome, HttpRequest, Limits, empty_response, serve};
use devstream::net::websocket::channel::ControlChannel;
use devstream::net::websocket::{Incoming, SocketKind, WebSocket, WebSocketRole};
use devstream::proto::admin::AdminRequest;
use devstream::proto::keepalive::IdleTimeout;
use devstream::proto::message::{ToDevice, ToHub};
use http::StatusCode;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::timeout;

use super::HostileFixture;
use crate::support::TIMEOUT;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::rng::Rng;
use crate::support::websocket::{BINARY, CLOSE, FINAL, PING, TEXT, frame};

const SEEDS: u64 = 10_000;

/// Cases that need a handshake with a real hub.
const FEWER: u64 = 300;

/// More than any deadline in the tested code; the clock is paused.
const FOREVER: Duration = Duration::from_secs(600);

#[test]
fn a_hubs_port_survives_ten_thousand_random_openings() {
    let hostile = HostileFixture::begin();
    let mut hello = Vec::new();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    ClientConnection::new(Arc::new(hostile.alice.tls_config()), name).unwrap().write_tls(&mut hello).unwrap();
    let valid = [hello, b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n".to_vec()];
    for seed in 0..SEEDS {
        let nonsense = Rng::new(seed).garbage(&valid);
        let mut peer = hostile.peer();
        // The hub may close before it has read everything.
        let _ = peer.write_all(&nonsense);
        let _ = peer.shutdown(Shutdown::Write);
        let _ = peer.read_to_end(&mut Vec::new());
    }
    hostile.end();
}

#[test]
fn the_admin_socket_survives_ten_thousand_random_requests() {
    let hostile = HostileFixture::begin();
    let path = hostile.fixture.machine.home().join(".local/share/devstream/hub/admin.sock");
    let line = |request: AdminRequest| [serde_json::to_vec(&request).unwrap(), b"\n".to_vec()].concat();
    let valid = [line(AdminRequest::Status), line(AdminRequest::Streams), line(AdminRequest::ListEnrolments)];
    for seed in 0..SEEDS {
        let mut socket = UnixStream::connect(&path).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let _ = socket.write_all(&Rng::new(seed).garbage(&valid));
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    hostile.end();
}

#[test]
fn a_hub_survives_random_bytes_in_place_of_a_request() {
    let hostile = HostileFixture::begin_with(&["--head-timeout", "1"]);
    for seed in 0..FEWER {
        let mut peer = hostile.alice.dial();
        let _ = peer.write_all(&Rng::new(seed).garbage(&requests()));
        peer.conn.send_close_notify();
        let _ = peer.flush();
        let _ = peer.read_to_end(&mut Vec::new());
    }
    hostile.end();
}

#[test]
fn a_hub_survives_random_messages_on_a_control_connection() {
    let hostile = HostileFixture::begin();
    let device = RawClient::join(&hostile.fixture.hub.device_link("babbling"));
    for seed in 0..FEWER {
        let mut rng = Rng::new(seed);
        let nonsense = rng.garbage(&frames(true));
        let mut control = match rng.random_below(2) {
            0 => device.control("babbling").expect("let in"),
            _ => RawDevice::online(device.clone(), &["ssh"]).control,
        };
        let _ = control.garbage(&nonsense);
    }
    hostile.end();
}

#[test]
fn a_hub_survives_random_messages_before_and_on_a_stream() {
    // A side that closed early is kept until the other side connects.
    let hostile = HostileFixture::begin_with(&["--handshake-timeout", "3"]);
    let mut device = RawDevice::online(RawClient::join(&hostile.fixture.hub.device_link("babbling")), &["ssh"]);
    for seed in 0..FEWER {
        let mut rng = Rng::new(seed);
        let pending = hostile.alice.send("POST", "/twins/babbling/streams/ssh", &[], "");
        let request = device.request();
        device.accept(&request);
        let grant = pending.answer().grant();
        let other = (rng.random_below(2) == 0).then(|| device.identity.attach(&(&request).into()).expect("let in"));
        let mut side = hostile.alice.attach(&grant).expect("let in");
        let _ = side.garbage(&rng.garbage(&frames(true)));
        drop(side);
        // The other side is closed, or never connected.
        if let Some(mut other) = other {
            other.end();
        }
    }
    drop(device);
    hostile.end();
}

#[tokio::test(start_paused = true)]
async fn a_server_of_requests_ends_with_every_nonsense() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let (near, far) = duplex(64 * 1024);
        let nonsense = rng.garbage(&requests());
        let served = serve(near, Limits::default(), async |request: HttpRequest| match request.is_upgrade {
            true => HttpOutcome::Upgrade { protocol: None, headers: Vec::new(), kind: SocketKind::Stream, state: () },
            false => HttpOutcome::Reply(empty_response(StatusCode::NOT_FOUND)),
        });
        let served = async { drop(served.await) };
        assert!(ends(served, far, &nonsense, rng.random_below(2) == 0).await, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_ends_with_every_nonsense_whoever_sends_it() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let endpoint = [WebSocketRole::Server, WebSocketRole::Client][rng.random_below(2)];
        let nonsense = rng.garbage(&frames(endpoint == WebSocketRole::Server));
        let (near, far) = duplex(64 * 1024);
        // Bytes in the same read as the upgrade, and later bytes.
        let (early, late) = nonsense.split_at(rng.random_below(nonsense.len() + 1));
        let socket = WebSocket::new(near, early, endpoint, SocketKind::Stream);
        assert!(ends(read_to_end(socket), far, late, true).await, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_control_channel_ends_with_every_nonsense_whoever_sends_it() {
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let endpoint = [WebSocketRole::Server, WebSocketRole::Client][rng.random_below(2)];
        let nonsense = rng.garbage(&frames(endpoint == WebSocketRole::Server));
        let (near, far) = duplex(64 * 1024);
        let socket = WebSocket::new(near, &[], endpoint, SocketKind::Control);
        let talk = async {
            let mut channel = ControlChannel::new(socket, IdleTimeout::default());
            let why = loop {
                let heard = match endpoint {
                    WebSocketRole::Server => channel.next::<ToHub>().await.map(drop),
                    WebSocketRole::Client => channel.next::<ToDevice>().await.map(drop),
                };
                if let Err(why) = heard {
                    break why;
                }
            };
            channel.close_with_error(&why).await;
        };
        assert!(ends(talk, far, &nonsense, rng.random_below(2) == 0).await, "seed {seed}");
    }
}

/// Reports whether the peer closes after these bytes, and then the end of the connection or silence.
async fn ends(reader: impl Future<Output = ()>, mut far: DuplexStream, nonsense: &[u8], hangs_up: bool) -> bool {
    let speaker = async {
        // The hub may close before it has read everything.
        let _ = far.write_all(nonsense).await;
        if hangs_up {
            let _ = far.shutdown().await;
        }
        let _ = far.read_to_end(&mut Vec::new()).await;
    };
    let both = async { tokio::join!(reader, speaker) };
    timeout(FOREVER, both).await.is_ok()
}

async fn read_to_end(mut socket: WebSocket<DuplexStream>) {
    loop {
        match socket.reader.next().await {
            Ok(Incoming::Closed(_)) => return socket.await_close().await,
            Ok(_) => {}
            Err(broken) => return socket.close_with_error(&broken).await,
        }
    }
}

fn requests() -> Vec<Vec<u8>> {
    [
        "GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n",
        "POST /join HTTP/1.1\r\nhost: hub\r\ncontent-length: 40\r\n\r\n{\"code\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"key\":1}",
        "POST /join HTTP/1.1\r\nhost: hub\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n0\r\n\r\n",
        "GET /devices/pi-42/control HTTP/1.1\r\nhost: hub\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         devstream-authorization: devstream-v1 device=pi-42,signature=AAAA\r\n\r\n\x01\x02",
    ]
    .map(|request| request.as_bytes().to_vec())
    .to_vec()
}

fn frames(masked: bool) -> Vec<Vec<u8>> {
    let text = |text: &str| frame(masked, FINAL | TEXT, text.as_bytes());
    let id = "01".repeat(16);
    vec![
        text(r#"{"type":"hello","version":"1.2.3","protocols":["devstream.v1"],"forwards":["ssh"]}"#),
        text(&format!(r#"{{"type":"streamResponse","requestId":"{id}","accepted":true}}"#)),
        text(&format!(r#"{{"type":"streamCancel","requestId":"{id}"}}"#)),
        text(r#"{"type":"end","bytes":0}"#),
        frame(masked, FINAL | BINARY, b"some bytes"),
        [frame(masked, BINARY, b"in "), frame(masked, FINAL, b"pieces")].concat(),
        frame(masked, FINAL | PING, b"ping"),
        frame(masked, FINAL | CLOSE, b"\x03\xe8bye"),
    ]
}
