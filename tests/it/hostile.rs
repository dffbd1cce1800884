//! Unauthenticated and malformed input: each is refused or closed, and an open stream is not disturbed.

mod clients;
mod floods;
mod frames;
mod garbage;
mod heads;
mod limits;
mod slow;
mod tls;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::limits::{
    AUTH_TIMEOUT, REQUEST_HEAD_TIMEOUT, TLS_HANDSHAKE_TIMEOUT, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};
use socket2::{Domain, Socket, Type};

use crate::support::bytes::{MIB, Pattern};
use crate::support::process::{Finished, Process};
use crate::support::raw::RawClient;
use crate::support::response::read_response;
use crate::support::roles::{OneMachine, connect, connect_from};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::WebSocket;
use crate::support::{DEVICE, STREAM_PROTOCOL, TIMEOUT, poll};

/// A busy test machine takes longer than the hub's own deadline.
const SLACK: Duration = Duration::from_secs(10);

/// A device with an echo target, a stream that must survive the test, and an unauthenticated client.
struct HostileFixture {
    fixture: OneMachine,
    stream: TcpStream,
    alice: RawClient,
    /// Descriptors that the hub had open at the beginning.
    open_files: usize,
    _target: Target,
}

impl HostileFixture {
    fn begin() -> Self {
        Self::begin_with(&[])
    }

    /// Starts with further arguments for the hub.
    fn begin_with(arguments: &[&str]) -> Self {
        let target = Target::echo();
        // The number of standbys depends on earlier load, and a stream whose proxy was killed is kept
        // for the grace time; any other descriptor belongs to the unauthenticated client.
        let own = ["--standbys", "0", "--resume-grace", "10s"];
        let fixture = OneMachine::with_hub(target.port, &[arguments, &own].concat());
        let mut stream = fixture.proxy.connect();
        is_alive(&mut stream);
        let alice = RawClient::join(&fixture.hub.service_link("alice"));
        let open_files = fixture.hub.process.open_files();
        Self { fixture, stream, alice, open_files, _target: target }
    }

    /// Asserts that the old stream and a new one work.
    fn assert_undisturbed(&mut self) {
        is_alive(&mut self.stream);
        is_alive(&mut self.fixture.proxy.connect());
        assert!(self.fixture.hub.process.is_running());
    }

    /// Asserts that everything works and that the hub has released every closed connection; its exit shows panics.
    fn end(mut self) {
        self.assert_undisturbed();
        poll("as few open files as before", || {
            (self.fixture.hub.process.open_files() <= self.open_files).then_some(())
        });
    }

    fn peer(&self) -> TcpStream {
        connect(self.fixture.hub.port)
    }

    /// Opens a stream of alice's, with or without a stream protocol.
    fn websocket(&self, headers: &[(&str, &str)]) -> WebSocket {
        let grant = self.alice.open("target", headers).answer().grant();
        self.alice.attach(&grant).expect("the hub lets alice in")
    }
}

#[test]
fn bytes_that_are_no_tls_get_no_http_response() {
    let mut hostile = HostileFixture::begin();
    let noise = Pattern::new(13).prefix(MIB);
    for sent in
        [b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n".as_slice(), b"SSH-2.0-OpenSSH_9.9\r\n", b"\0", &[0xff; 512], &noise]
    {
        let mut peer = hostile.peer();
        // The hub may close before it has read everything.
        let _ = peer.write_all(sent);
        let _ = peer.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = peer.read_to_end(&mut answer);
        assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&answer));
        hostile.assert_undisturbed();
    }
}

#[test]
fn old_tls_is_refused_and_new_tls_shows_nothing_to_unauthenticated_clients() {
    let mut hostile = HostileFixture::begin();
    let curl = |arguments: &[&str], path: &str| {
        let url = format!("https://{}{path}", hostile.fixture.hub.address());
        Process::start(Command::new("curl").args(["-sSk", "-o", "-", "-w", "%{http_code}"]).args(arguments).arg(url))
            .finish()
    };
    let Finished { code, stderr, .. } = curl(&["--tls-max", "1.2"], "/healthz");
    assert_eq!(code, Some(35), "{stderr}");
    let page = |path: &str| curl(&[], path).stdout.trim().to_owned();
    assert_eq!(page("/healthz"), "ok\n200");
    let nothing = page("/");
    assert_eq!(nothing, "404");
    for path in
        ["/device", "/devices/pi-42", "/devices/pi-42/control", "/twins/pi-42", "/admin", "/%00", "/../etc", "/?a=b"]
    {
        assert_eq!(page(path), nothing, "{path}");
    }
    hostile.assert_undisturbed();
}

#[test]
fn a_refused_or_anonymous_request_is_answered_and_its_connection_closed() {
    let hostile = HostileFixture::begin();
    let hub = &hostile.fixture.hub;
    let bob = RawClient::join(&hub.service_link("bob"));
    hub.ask(&["service", "disable", "bob"]);
    for (who, path) in
        [(&hostile.alice, "/devices"), (&hostile.alice, "/healthz"), (&bob, "/devices"), (&bob, "/nothing")]
    {
        assert!(who.closes_after("GET", path), "{path}");
    }
}

#[test]
fn a_silent_connection_is_cut_in_time() {
    let mut hostile = HostileFixture::begin();
    let mut silent = hostile.peer();
    let mut slow = hostile.alice.dial();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: ").unwrap();
    slow.flush().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| ends_within(&mut silent, TLS_HANDSHAKE_TIMEOUT));
        scope.spawn(|| ends_within(&mut slow.sock, REQUEST_HEAD_TIMEOUT));
        hostile.assert_undisturbed();
    });
}

#[test]
fn a_client_that_keeps_sending_requests_is_cut_in_time_too() {
    let mut hostile = HostileFixture::begin();
    let mut peer = hostile.alice.dial();
    let start = clock::now();
    let probe = b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n";
    while peer.write_all(probe).is_ok() && read_response(&mut peer).is_ok() {
        assert!(clock::now() - start < AUTH_TIMEOUT + SLACK, "still answered");
    }
    hostile.assert_undisturbed();
}

#[test]
fn an_oversized_or_malformed_request_head_is_refused() {
    let mut hostile = HostileFixture::begin();
    let many: String = (0..100).map(|number| format!("x-{number}: y\r\n")).collect();
    let websocket = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n";
    for head in [
        format!("GET /healthz HTTP/1.1\r\nhost: hub\r\nx: {}\r\n\r\n", "y".repeat(64 * 1024)),
        format!("GET /healthz HTTP/1.1\r\nhost: hub\r\n{many}\r\n"),
        format!("GET /{} HTTP/1.1\r\nhost: hub\r\n\r\n", "x".repeat(64 * 1024)),
        "GET /healthz HTTP/1.1\r\n\r\n".into(),
        "GET /healthz HTTP/1.0\r\nhost: hub\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nhost: hub\r\nhost: hub\r\n\r\n".into(),
        "GET /healthz HTTP/1.1\r\nhost: hub\r\norigin: https://example.com\r\n\r\n".into(),
        "POST /join HTTP/1.1\r\nhost: hub\r\ncontent-length: 99999999\r\n\r\n".into(),
        format!("GET /devices/{DEVICE}/control HTTP/1.1\r\nhost: hub\r\n{websocket}\r\n"),
        format!("GET /devices/{DEVICE}/control HTTP/1.1\r\nhost: hub\r\n{websocket}sec-websocket-key: x\r\n\r\n"),
        "\x16\x03\x01 nonsense\r\n\r\n".into(),
    ] {
        let mut peer = hostile.alice.dial();
        // The hub may close before it has read everything.
        let _ = peer.write_all(head.as_bytes());
        let status = read_response(&mut peer).map(|answer| answer.status);
        assert!(status.as_ref().map_or(true, |status| (400..500).contains(status)), "{status:?} to {head:.100}");
        hostile.assert_undisturbed();
    }
}

#[test]
fn idle_connections_from_one_source_leave_room_for_others() {
    let mut hostile = HostileFixture::begin();
    let elsewhere: SocketAddr = "127.0.0.2:0".parse().unwrap();
    let hub: SocketAddr = hostile.fixture.hub.address().parse().unwrap();
    let idle: Vec<TcpStream> = (0..3 * UNAUTHENTICATED_CONNECTIONS_PER_SOURCE)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&elsewhere.into()).unwrap();
            socket.connect(&hub.into()).unwrap();
            socket.into()
        })
        .collect();
    hostile.assert_undisturbed();
    let refused = idle.iter().rev().take(UNAUTHENTICATED_CONNECTIONS_PER_SOURCE);
    for mut peer in refused {
        peer.set_read_timeout(Some(TIMEOUT)).unwrap();
        let read = peer.read(&mut [0]);
        assert!(
            read.as_ref().map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |n| *n == 0),
            "{read:?}"
        );
    }
}

#[test]
fn silent_connections_from_many_sources_keep_no_newcomer_out() {
    let mut hostile = HostileFixture::begin();
    let port = hostile.fixture.hub.address().parse::<SocketAddr>().unwrap().port();
    let open = |source| connect_from(Ipv4Addr::new(127, 0, 1, source), port).unwrap();
    let silent: Vec<TcpStream> = (1..=24).flat_map(|source| (0..64).map(move |_| source)).map(open).collect();
    let newcomer = hostile.alice.from(Ipv4Addr::new(127, 0, 2, 1));
    for _ in 0..40 {
        assert_eq!(newcomer.try_ask("GET", "/devices").map(|answer| answer.status).ok(), Some(200));
    }
    hostile.assert_undisturbed();
    drop(silent);
}

#[test]
fn a_flood_of_pings_ends_the_connection_that_sends_it() {
    let mut hostile = HostileFixture::begin();
    let mut flooding = hostile.websocket(&[]);
    // The close frame is lost if the hub closes the socket with pings unread.
    while flooding.ping().is_ok() {}
    hostile.assert_undisturbed();
}

#[test]
fn a_message_beyond_the_limit_ends_the_stream_before_it_is_sent() {
    let mut hostile = HostileFixture::begin();
    for length in [300 * 1024, 1 << 40, u64::MAX >> 1] {
        let before = hostile.fixture.hub.process.memory().now;
        let mut boasting = hostile.websocket(&[]);
        boasting.announce(length).unwrap();
        let code = boasting.expect_close();
        assert!(matches!(code, 1002 | 1009), "{code}");
        let growth = hostile.fixture.hub.process.memory().now.saturating_sub(before);
        assert!(growth < 2 * MIB, "{growth} bytes for nothing");
        hostile.assert_undisturbed();
    }
}

#[test]
fn malformed_frames_end_their_own_stream_only() {
    let mut hostile = HostileFixture::begin();
    let v1 = [(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)];
    let mut unmasked = hostile.websocket(&[]);
    unmasked.garbage(b"\x82\x05hello").unwrap();
    assert_eq!(unmasked.expect_close(), 1002);
    let mut reserved = hostile.websocket(&[]);
    reserved.garbage(b"\xf2\x80\0\0\0\0").unwrap();
    assert_eq!(reserved.expect_close(), 1002);
    let mut lying = hostile.websocket(&v1);
    lying.bytes(b"12345").unwrap();
    lying.text(r#"{"type":"end","bytes":4}"#).unwrap();
    assert_ne!(lying.expect_close(), 1000, "a byte is missing");
    let mut babbling = hostile.websocket(&v1);
    babbling.text(r#"{"type":"what?"}"#).unwrap();
    assert_ne!(babbling.expect_close(), 1000, "not a message");
    hostile.assert_undisturbed();
}

fn ends_within(stream: &mut TcpStream, limit: Duration) {
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let start = clock::now();
    let _ = stream.read_to_end(&mut Vec::new());
    let elapsed = clock::now() - start;
    assert!(elapsed < limit + SLACK, "cut after {elapsed:?}, not {limit:?}");
}
