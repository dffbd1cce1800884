//! The library's device and connector in this process, with a real hub between them.

use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::admin::StreamStatus;
use devstream::proto::join::JoinLink;
use devstream::{
    Connector, Device, Identity, Incoming, KeySeed, Principal, PrivateKey, PublicKey, Refusal, RefusalKind, Shutdown,
    Stream, StreamName, Trust, refusal_of,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::bytes::{MIB, Pattern};
use crate::support::chaos::{Chaos, Fault};
use crate::support::machine::Machine;
use crate::support::roles::Hub;
use crate::support::{DEVICE, TIMEOUT};

#[test]
fn a_handler_receives_the_request_and_its_answer_reaches_the_service() {
    let fixture = Fixture::new(|device| {
        let told = |incoming: Incoming| async move {
            let words = format!("{} {} {}", incoming.service(), incoming.stream_name(), incoming.source());
            let mut stream = incoming.accept();
            let _ = stream.write_all(words.as_bytes()).await;
            let _ = stream.shutdown().await;
        };
        let device = device.handle(name("first"), told);
        let device = device.handle(name("no"), |incoming| async {
            incoming.reject(Refusal::new(RefusalKind::TargetRefused, "not today"));
        });
        // Kinds about the hub are reserved for the hub.
        let device = device.handle(name("odd"), |incoming| async { incoming.reject(RefusalKind::HubBusy) });
        let device = device.handle(name("mute"), |incoming| async { drop(incoming) });
        device.handle(name("broken"), |_| async { panic!("this is a test") })
    });
    fixture.run(async {
        for (asked, got) in [(Some("first"), "alice first 127.0.0.1:"), (None, "alice first 127.0.0.1:")] {
            let words = all(fixture.open(asked).await.unwrap()).await;
            assert!(words.starts_with(got), "{words}");
        }
        for (asked, kind, detail) in [
            ("no", RefusalKind::TargetRefused, "not today"),
            ("odd", RefusalKind::RejectedByDevice, ""),
            ("mute", RefusalKind::RejectedByDevice, "its handler dropped the request"),
            ("broken", RefusalKind::RejectedByDevice, "its handler dropped the request"),
        ] {
            assert_eq!(fixture.open(Some(asked)).await.unwrap_err(), Refusal::new(kind, detail), "{asked}");
        }
        assert_eq!(fixture.open(Some("other")).await.unwrap_err().kind, RefusalKind::StreamNotOffered);
    });
}

#[test]
fn each_end_learns_the_key_that_the_other_has_proven() {
    let (sender, mut seen) = mpsc::channel(1);
    let fixture = Fixture::new(move |device| {
        device.handle(name("who"), move |incoming| {
            let sender = sender.clone();
            async move { sender.send(incoming.accept().verified().await).await.unwrap() }
        })
    });
    let [device, alice] = fixture.keys;
    fixture.run(async {
        // The second time with a ticket.
        for _ in 0..2 {
            let stream = fixture.open(Some("who")).await.unwrap();
            assert_eq!(stream.verified().await, Ok(Some(device)));
            assert_eq!(seen.recv().await.unwrap(), Ok(Some(alice)));
        }
    });
}

#[test]
fn a_program_lists_the_devices_that_it_may_reach_and_what_each_offers() {
    let fixture = Fixture::new(|device| device.handle(name("echo"), echo));
    fixture.hub.ask(&["device", "add", "other"]);
    fixture.run(async {
        let listed = fixture.connector.devices().await.unwrap();
        let offers = |at: usize| listed[at].online.as_ref().map(|presence| presence.forwards.clone());
        assert_eq!(listed.iter().map(|device| device.id.as_str()).collect::<Vec<_>>(), ["other", DEVICE]);
        assert_eq!([offers(0), offers(1)], [None, Some(vec![name("echo")])]);
    });
    fixture.hub.ask(&["service", "set", "alice", "--device", "other"]);
    fixture.run(async { assert_eq!(fixture.connector.devices().await.unwrap().len(), 1) });
    fixture.hub.ask(&["service", "disable", "alice"]);
    fixture.run(async {
        let refusal = fixture.connector.devices().await.unwrap_err();
        assert_eq!((refusal.kind, refusal.exit_code()), (RefusalKind::Disabled, 31));
    });
}

#[test]
fn a_fallback_handler_gets_every_name_without_a_handler() {
    let fixture = Fixture::new(|device| {
        let device = device.handle(name("own"), |incoming| says(incoming, "own"));
        device.handle_fallback(|incoming| {
            let name = incoming.stream_name().to_string();
            says(incoming, &format!("other {name}"))
        })
    });
    fixture.run(async {
        for (asked, said) in [(Some("own"), "own"), (None, "own"), (Some("a.b"), "other a.b"), (Some("-e"), "other -e")]
        {
            assert_eq!(all(fixture.open(asked).await.unwrap()).await, said);
        }
    });
    // The device gets no request outside the service's scope.
    fixture.hub.ask(&["service", "set", "alice", "--device", "*", "--stream", "own"]);
    fixture.run(async {
        assert_eq!(all(fixture.open(Some("own")).await.unwrap()).await, "own");
        assert_eq!(fixture.open(Some("a.b")).await.unwrap_err().kind, RefusalKind::NotPermitted);
    });
}

#[test]
fn every_byte_arrives_and_each_direction_ends_by_itself_while_connections_break() {
    const LENGTH: u64 = 24 * MIB;
    let fixture = Fixture::new(|device| device.handle(name("echo"), echo));
    let whole = Pattern::new(3).prefix(LENGTH);
    fixture.run(async {
        let (mut reader, mut writer) = split(fixture.open(Some("echo")).await.unwrap());
        let mut back = Vec::new();
        let sent = async {
            for (number, part) in whole.chunks(whole.len() / 4).enumerate() {
                writer.write_all(part).await.unwrap();
                if number == 1 {
                    assert!(fixture.chaos.hit_all(Fault::Cut) > 0);
                }
            }
            writer.shutdown().await.unwrap();
        };
        let (read, ()) = tokio::join!(reader.read_to_end(&mut back), sent);
        read.unwrap();
        assert!(back == whole, "{} of {} bytes", back.len(), whole.len());
    });
    fixture.hub.wait_activity("streamResumed", None);
}

#[test]
fn first_data_travels_with_the_request_and_all_of_it_arrives() {
    let fixture = Fixture::new(|device| device.handle(name("echo"), echo));
    let asks = async |first: &[u8]| {
        let (device, echo) = (DEVICE.parse().unwrap(), name("echo"));
        let mut stream = fixture.connector.open_with_data(&device, Some(&echo), first).await.unwrap();
        let mut back = vec![0; first.len()];
        stream.read_exact(&mut back).await.unwrap();
        assert!(back == first, "{} bytes", first.len());
        stream.shutdown().await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
    };
    const DELAY: Duration = Duration::from_millis(400);
    fixture.run(async {
        let (device, more) = (DEVICE.parse().unwrap(), vec![0; 64 * 1024 + 1]);
        let refusal = fixture.connector.open_with_data(&device, Some(&name("echo")), &more).await.unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::BadRequest, "nobody would read what comes back meanwhile");
        // By HTTP first, then on a standby.
        for length in [5, 64 * 1024, 64 * 1024, 5, 0] {
            asks(&Pattern::new(length).prefix(length)).await;
        }
        assert!(fixture.chaos.hit_all(Fault::Delay { delay: DELAY, jitter: Duration::ZERO }) > 0);
        let start = clock::now();
        asks(b"hello").await;
        let took = clock::now() - start;
        // One round trip for the response, and one for the close; each takes one more without a standby.
        assert!(took >= DELAY * 2, "nothing was delayed: {took:?}");
        assert!(took < DELAY * 6, "it took more than two round trips: {took:?}");
    });
}

#[test]
fn a_dropped_stream_is_an_error_at_the_peer_and_never_a_clean_end() {
    let (sender, mut seen) = mpsc::channel(8);
    let fixture = Fixture::new(move |device| {
        let device = device.handle(name("drops"), |incoming| async { drop(half(incoming).await) });
        let device = device.handle(name("panics"), |incoming| async {
            let _stream = half(incoming).await;
            panic!("this is a test");
        });
        device.handle(name("hears"), move |incoming| {
            let sender = sender.clone();
            async move {
                let mut heard = Vec::new();
                let read = incoming.accept().read_to_end(&mut heard).await;
                sender.send((heard, read)).await.unwrap();
            }
        })
    });
    fixture.run(async {
        for handler in ["drops", "panics"] {
            let (mut stream, mut heard) = (fixture.open(Some(handler)).await.unwrap(), Vec::new());
            stream.write_all(b"x").await.unwrap();
            let error = stream.read_to_end(&mut heard).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
            // A reset may overtake bytes in transit, as with TCP.
            assert!(HALF.starts_with(&heard));
            assert_eq!(refusal_of(&error).unwrap().kind, RefusalKind::PeerGone);
        }
        let mut stream = fixture.open(Some("hears")).await.unwrap();
        stream.write_all(HALF).await.unwrap();
        drop(stream);
        let (heard, read) = seen.recv().await.unwrap();
        assert_eq!(read.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert!(HALF.starts_with(&heard));
        // Reads everything, and drops the stream at once.
        let mut stream = fixture.open(Some("hears")).await.unwrap();
        stream.write_all(&vec![7; 3 << 20]).await.unwrap();
        stream.shutdown().await.unwrap();
        drop(stream);
        let (heard, read) = seen.recv().await.unwrap();
        assert_eq!((heard.len(), read.unwrap()), (3 << 20, 3 << 20));
    });
}

const HALF: &[u8] = b"half of it";

/// Begins an answer once it was asked.
async fn half(incoming: Incoming) -> Stream {
    let mut stream = incoming.accept();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    stream.write_all(HALF).await.unwrap();
    stream
}

#[test]
fn both_ends_read_the_reason_that_a_stream_was_ended() {
    let (sender, mut seen) = mpsc::channel(1);
    let fixture = Fixture::new(move |device| {
        device.handle(name("waits"), move |incoming| {
            let sender = sender.clone();
            async move {
                let mut stream = incoming.accept();
                let read = stream.read(&mut [0; 1]).await;
                sender.send((read, stream.write(b"x").await)).await.unwrap();
            }
        })
    });
    fixture.run(async {
        let mut stream = fixture.open(Some("waits")).await.unwrap();
        let running: Vec<StreamStatus> = fixture.hub.json(&["streams"]);
        fixture.hub.ask(&["streams", "kill", &running[0].id.to_string()]);
        let here = (stream.read(&mut [0; 1]).await, stream.write(b"x").await);
        let there = seen.recv().await.unwrap();
        for error in [here.0, here.1, there.0, there.1].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::ConnectionAborted, "{error}");
            assert_eq!(refusal_of(&error).unwrap().kind, RefusalKind::StreamKilled, "{error}");
        }
    });
}

#[test]
fn a_slow_reader_blocks_its_writer() {
    let fixture = Fixture::new(|device| {
        device.handle(name("idle"), |incoming| async {
            let _stream = incoming.accept();
            std::future::pending().await
        })
    });
    fixture.run(async {
        let mut stream = fixture.open(Some("idle")).await.unwrap();
        let mut taken = 0;
        while let Ok(written) = timeout(Duration::from_secs(1), stream.write(&[0; 64 * 1024])).await {
            taken += written.unwrap();
            assert!(taken < 32 << 20, "it takes all there is");
        }
    });
}

#[test]
fn a_closed_connector_refuses_streams_and_a_dropped_one_leaves_them_open() {
    let (sender, mut seen) = mpsc::channel(1);
    let fixture = Fixture::new(move |device| {
        let device = device.handle(name("echo"), echo);
        device.handle(name("waits"), move |incoming| {
            let sender = sender.clone();
            async move { sender.send(incoming.accept().read(&mut [0; 1]).await).await.unwrap() }
        })
    });
    fixture.run(async {
        let dropped = fixture.connector.clone();
        let mut stream = fixture.open(Some("echo")).await.unwrap();
        let _held = fixture.open(Some("waits")).await.unwrap();
        drop(dropped);
        stream.write_all(b"still there").await.unwrap();
        stream.read_exact(&mut [0; 11]).await.unwrap();
        fixture.connector.clone().close(Duration::ZERO).await;
        let error = seen.recv().await.unwrap().unwrap_err();
        let refusal = refusal_of(&error).unwrap();
        assert_eq!(refusal.kind, RefusalKind::PeerGone, "{error}");
        assert!(refusal.detail.as_str().contains("the other end was told to end"), "{error}");
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_err().kind(), ErrorKind::ConnectionAborted);
        assert_eq!(fixture.open(Some("echo")).await.unwrap_err().kind, RefusalKind::LocalShutdown);
    });
}

#[test]
fn an_identity_has_one_role() {
    let fixture = Fixture::new(|device| device);
    let _guard = fixture.runtime.enter();
    assert_eq!(Connector::new(&fixture.device).err().map(|no| no.kind), Some(RefusalKind::NotPermitted));
    assert_eq!(Device::new(&fixture.service).err().map(|no| no.kind), Some(RefusalKind::NotPermitted));
}

/// A hub, a device in this process, and `alice`, who may reach it.
struct Fixture {
    connector: Connector,
    device: Identity,
    service: Identity,
    /// Their keys, the device's first.
    keys: [PublicKey; 2],
    runtime: Runtime,
    /// The network between service and hub.
    chaos: Chaos,
    hub: Hub,
}

impl Fixture {
    fn new(offering: impl FnOnce(Device) -> Device) -> Self {
        let runtime = Runtime::new().unwrap();
        let hub = Hub::start(&Machine::new());
        let chaos = Chaos::in_front_of(&hub.address());
        let (device, device_key) = identity(&hub.device_link(DEVICE), &hub.address());
        let (service, service_key) = identity(&hub.service_link("alice"), &chaos.address());
        runtime.spawn(offering(Device::new(&device).unwrap()).run(Shutdown::default()));
        let connector = {
            let _guard = runtime.enter();
            Connector::new(&service).unwrap().with_connect_timeout(Duration::from_secs(30))
        };
        Self { connector, device, service, keys: [device_key, service_key], runtime, chaos, hub }
    }

    async fn open(&self, stream: Option<&str>) -> Result<Stream, Refusal> {
        let stream = stream.map(name);
        self.connector.open(&DEVICE.parse().unwrap(), stream.as_ref()).await
    }

    fn run(&self, work: impl Future<Output = ()>) {
        self.runtime.block_on(async { timeout(TIMEOUT, work).await.expect("it takes no minute") });
    }
}

/// Joins with the command, and reads the stored key.
fn identity(link: &str, hub: &str) -> (Identity, PublicKey) {
    let machine = Machine::new();
    machine.ask(&["join", link]);
    let link: JoinLink = link.parse().unwrap();
    let principal = Principal { role: link.role, id: link.id.unwrap() };
    let key = machine.home().join(".local/share/devstream").join(principal.role.as_str()).join("key");
    let seed = KeySeed::parse(fs::read_to_string(key).unwrap().trim()).unwrap();
    let (trust, key) = (Trust::Pin(link.pin.unwrap()), PrivateKey::from_seed(&seed));
    let public = key.public();
    (Identity::new(hub.parse().unwrap(), &trust, principal, key).unwrap(), public)
}

fn name(name: &str) -> StreamName {
    name.parse().unwrap()
}

async fn echo(incoming: Incoming) {
    let (mut reader, mut writer) = split(incoming.accept());
    if copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

fn says(incoming: Incoming, words: &str) -> impl Future<Output = ()> + use<> {
    let words = words.to_owned();
    async move {
        let mut stream = incoming.accept();
        let _ = stream.write_all(words.as_bytes()).await;
        let _ = stream.shutdown().await;
    }
}

async fn all(mut stream: Stream) -> String {
    let mut words = String::new();
    stream.read_to_string(&mut words).await.unwrap();
    stream.shutdown().await.unwrap();
    words
}
