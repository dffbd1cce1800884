//! What strangers and broken peers send. Each gets a clear no or nothing, and a stream beside them goes on.

mod clients;
mod crowding;
mod floods;
mod frames;
mod garbage;
mod heads;
mod slow;
mod tls;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use devstream::net::clock;
use devstream::proto::http::STREAM_PROTOCOL_HEADER;
use devstream::proto::limits::{
    AUTH_TIMEOUT, REQUEST_HEAD_TIMEOUT, TLS_HANDSHAKE_TIMEOUT, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};
use socket2::{Domain, Socket, Type};

use crate::support::answer::read_answer;
use crate::support::bytes::{MIB, Pattern};
use crate::support::process::{Finished, Process};
use crate::support::raw::Raw;
use crate::support::roles::{OneMachine, connect};
use crate::support::targets::{Target, is_alive};
use crate::support::websocket::WebSocket;
use crate::support::{DEVICE, PATIENCE, STREAM_PROTOCOL, poll};

/// A busy test machine takes longer than the hub's own deadline.
const SLACK: Duration = Duration::from_secs(10);

/// One device with an echo behind it, one stream that must survive whatever the test does, and a stranger.
struct Siege {
    scene: OneMachine,
    stream: TcpStream,
    alice: Raw,
    /// What the hub had open at the beginning.
    open_files: usize,
    _target: Target,
}

impl Siege {
    fn begin() -> Self {
        Self::begin_with(&[])
    }

    /// With further arguments for the hub.
    fn begin_with(arguments: &[&str]) -> Self {
        let target = Target::echo();
        // How many connections stand by depends on how often none did, and a stream whose proxy was killed is awaited for the
        // grace; whatever else is open is the stranger's doing.
        let own = ["--standbys", "0", "--resume-grace", "10s"];
        let scene = OneMachine::with_hub(target.port, &[arguments, &own].concat());
        let mut stream = scene.proxy.connect();
        is_alive(&mut stream);
        let alice = Raw::join(&scene.hub.service_link("alice"));
        let open_files = scene.hub.process.open_files();
        Self { scene, stream, alice, open_files, _target: target }
    }

    /// The old stream works, and so does a new one.
    fn held(&mut self) {
        is_alive(&mut self.stream);
        is_alive(&mut self.scene.proxy.connect());
        assert!(self.scene.hub.process.is_running());
    }

    /// Everything works, and the hub holds nothing of what came and went. That it did not panic is seen when it ends.
    fn end(mut self) {
        self.held();
        poll("as few open files as before", || (self.scene.hub.process.open_files() <= self.open_files).then_some(()));
    }

    fn stranger(&self) -> TcpStream {
        connect(self.scene.hub.port)
    }

    /// A stream of alice's own, with or without what both ends agree on.
    fn websocket(&self, headers: &[(&str, &str)]) -> WebSocket {
        let ticket = self.alice.open("target", headers).answer().ticket();
        self.alice.bring(&ticket).expect("the hub lets alice in")
    }
}

#[test]
fn what_is_not_tls_gets_nothing_useful() {
    let mut siege = Siege::begin();
    let noise = Pattern::new(13).prefix(MIB);
    for sent in
        [b"GET / HTTP/1.1\r\nhost: hub\r\n\r\n".as_slice(), b"SSH-2.0-OpenSSH_9.9\r\n", b"\0", &[0xff; 512], &noise]
    {
        let mut stranger = siege.stranger();
        // It may hang up before it has read everything.
        let _ = stranger.write_all(sent);
        let _ = stranger.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stranger.read_to_end(&mut answer);
        assert!(answer.len() < 16 && !answer.starts_with(b"HTTP"), "{:?}", String::from_utf8_lossy(&answer));
        siege.held();
    }
}

#[test]
fn old_tls_is_refused_and_new_tls_shows_nothing_to_strangers() {
    let mut siege = Siege::begin();
    let curl = |arguments: &[&str], path: &str| {
        let url = format!("https://{}{path}", siege.scene.hub.address());
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
    siege.held();
}

#[test]
fn nobody_who_was_answered_keeps_a_place() {
    let siege = Siege::begin();
    let hub = &siege.scene.hub;
    let bob = Raw::join(&hub.service_link("bob"));
    hub.ask(&["service", "disable", "bob"]);
    for (who, path) in [(&siege.alice, "/devices"), (&siege.alice, "/healthz"), (&bob, "/devices"), (&bob, "/nothing")]
    {
        assert!(who.is_hung_up_after("GET", path), "{path}");
    }
}

#[test]
fn a_silent_connection_is_cut_in_time() {
    let mut siege = Siege::begin();
    let mut silent = siege.stranger();
    let mut slow = siege.alice.dial();
    slow.write_all(b"GET / HTTP/1.1\r\nhost: ").unwrap();
    slow.flush().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| ends_within(&mut silent, TLS_HANDSHAKE_TIMEOUT));
        scope.spawn(|| ends_within(&mut slow.sock, REQUEST_HEAD_TIMEOUT));
        siege.held();
    });
}

#[test]
fn a_stranger_who_keeps_asking_is_cut_in_time_all_the_same() {
    let mut siege = Siege::begin();
    let mut stranger = siege.alice.dial();
    let start = clock::now();
    let probe = b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n";
    while stranger.write_all(probe).is_ok() && read_answer(&mut stranger).is_ok() {
        assert!(clock::now() - start < AUTH_TIMEOUT + SLACK, "still answered");
    }
    siege.held();
}

#[test]
fn a_head_that_is_too_large_or_makes_no_sense_is_refused() {
    let mut siege = Siege::begin();
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
        let mut stranger = siege.alice.dial();
        // It may hang up before it has read everything.
        let _ = stranger.write_all(head.as_bytes());
        let status = read_answer(&mut stranger).map(|answer| answer.status);
        assert!(status.as_ref().map_or(true, |status| (400..500).contains(status)), "{status:?} to {head:.100}");
        siege.held();
    }
}

#[test]
fn many_idle_connections_from_one_place_leave_room_for_others() {
    let mut siege = Siege::begin();
    let elsewhere: SocketAddr = "127.0.0.2:0".parse().unwrap();
    let hub: SocketAddr = siege.scene.hub.address().parse().unwrap();
    let idle: Vec<TcpStream> = (0..3 * UNAUTHENTICATED_CONNECTIONS_PER_SOURCE)
        .map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&elsewhere.into()).unwrap();
            socket.connect(&hub.into()).unwrap();
            socket.into()
        })
        .collect();
    siege.held();
    let refused = idle.iter().rev().take(UNAUTHENTICATED_CONNECTIONS_PER_SOURCE);
    for mut stranger in refused {
        stranger.set_read_timeout(Some(PATIENCE)).unwrap();
        let read = stranger.read(&mut [0]);
        assert!(
            read.as_ref().map_or_else(|error| error.kind() == std::io::ErrorKind::ConnectionReset, |n| *n == 0),
            "{read:?}"
        );
    }
}

#[test]
fn a_flood_of_pings_ends_the_connection_that_sends_it() {
    let mut siege = Siege::begin();
    let mut flooding = siege.websocket(&[]);
    // The reason can get lost on the way, when the hub hangs up with pings still unread.
    while flooding.ping().is_ok() {}
    siege.held();
}

#[test]
fn a_message_beyond_the_limit_ends_the_stream_before_it_is_sent() {
    let mut siege = Siege::begin();
    for length in [300 * 1024, 1 << 40, u64::MAX >> 1] {
        let before = siege.scene.hub.process.memory().now;
        let mut boasting = siege.websocket(&[]);
        boasting.announce(length).unwrap();
        let code = boasting.expect_close();
        assert!(matches!(code, 1002 | 1009), "{code}");
        let growth = siege.scene.hub.process.memory().now.saturating_sub(before);
        assert!(growth < 2 * MIB, "{growth} bytes for nothing");
        siege.held();
    }
}

#[test]
fn nonsense_on_a_websocket_ends_that_stream_only() {
    let mut siege = Siege::begin();
    let v1 = [(STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL)];
    let mut unmasked = siege.websocket(&[]);
    unmasked.garbage(b"\x82\x05hello").unwrap();
    assert_eq!(unmasked.expect_close(), 1002);
    let mut reserved = siege.websocket(&[]);
    reserved.garbage(b"\xf2\x80\0\0\0\0").unwrap();
    assert_eq!(reserved.expect_close(), 1002);
    let mut lying = siege.websocket(&v1);
    lying.bytes(b"12345").unwrap();
    lying.text(r#"{"type":"end","bytes":4}"#).unwrap();
    assert_ne!(lying.expect_close(), 1000, "a byte is missing");
    let mut babbling = siege.websocket(&v1);
    babbling.text(r#"{"type":"what?"}"#).unwrap();
    assert_ne!(babbling.expect_close(), 1000, "not a message");
    siege.held();
}

fn ends_within(stream: &mut TcpStream, limit: Duration) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let start = clock::now();
    let _ = stream.read_to_end(&mut Vec::new());
    let elapsed = clock::now() - start;
    assert!(elapsed < limit + SLACK, "cut after {elapsed:?}, not {limit:?}");
}
