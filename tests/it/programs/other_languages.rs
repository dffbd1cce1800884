//! A client in another language, written from `PROTOCOL.md` alone.

use std::fs;
use std::path::Path;

use devstream::RefusalKind;
use devstream::proto::key::{PrivateKey, PublicKey};
use devstream::proto::secret::KeySeed;

use crate::support::DEVICE;
use crate::support::bytes::{MIB, Pattern, StreamEnd};
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, Hub};
use crate::support::targets::{Target, closed_port};

#[test]
fn a_python_client_joins_opens_a_stream_and_ends_it_cleanly() {
    let (echo, at_the_end) = (Target::echo(), Target::answering_at_the_end());
    let fixture = Fixture::new(&[&format!("echo={}", echo.port), &format!("end={}", at_the_end.port)]);
    let length = if cfg!(debug_assertions) { 2 * MIB } else { 16 * MIB };
    let whole: Vec<u8> = Pattern::new(5).prefix(length).into_iter().map(|byte| b'a' + byte % 26).collect();
    // More than a window both ways; and an answer that comes when this end's direction is over.
    for (stream, target) in [("echo", &echo), ("end", &at_the_end)] {
        let finished = fixture.call(DEVICE, stream, whole.clone());
        fixture.agent.process.wait_line(&format!("{stream}: opened for alice at 127.0.0.1"));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        assert!(finished.stdout.trim_end().as_bytes() == whole, "{stream}: {} bytes", finished.stdout.len());
        let seen = target.seen();
        assert_eq!((seen.bytes, seen.end), (length, StreamEnd::Eof), "{stream}");
    }
    assert!(!fixture.agent.process.log().contains("not encrypted"), "{}", fixture.agent.process);
    let closed = fixture.hub.wait_activity("streamClosed", None);
    assert_eq!(closed["resultType"], "closed", "{closed:#}");
}

#[test]
fn a_python_client_receives_refusals_and_tells_a_reset_from_an_end() {
    let resetting = Target::resetting();
    let fixture = Fixture::new(&[&format!("resets={}", resetting.port), &format!("closed={}", closed_port())]);
    for (device, stream, kind) in [
        ("nobody", "resets", RefusalKind::UnknownDevice),
        (DEVICE, "x", RefusalKind::StreamNotOffered),
        (DEVICE, "closed", RefusalKind::TargetRefused),
    ] {
        let word = serde_json::to_string(&kind).unwrap();
        assert_says(&fixture.call(device, stream, Vec::new()), word.trim_matches('"'));
    }
    assert_says(&fixture.call(DEVICE, "resets", b"hello there".into()), "closed before the end: 4000");
    // A link works once; another hub's pin does not match.
    assert_says(&fixture.python(&["join", &fixture.link, "other"], Vec::new()), "HTTP 410");
    let pin = fixture.link.split_once("pin=sha256:").unwrap().1.split('&').next().unwrap();
    let another = fixture.link.replace(pin, &pin.chars().rev().collect::<String>());
    assert_says(&fixture.python(&["join", &another, "other"], Vec::new()), "certificateNotTrusted");
}

#[test]
fn a_python_client_keeps_the_key_of_a_device_and_says_nothing_to_another_one() {
    let target = Target::echo();
    let fixture = Fixture::new(&[&format!("echo={}", target.port)]);
    // The device accepts nothing else than the session.
    assert_says(&fixture.python(&["call-plain", "alice.json", DEVICE, "echo"], b"hello".into()), "rejectedByDevice");
    assert_eq!(fixture.call(DEVICE, "echo", b"hello".into()).stdout.trim_end(), "hello");
    assert_eq!(target.seen().bytes, 5);
    let path = fixture.machine.home().join("alice.json");
    let mut identity: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let identities: serde_json::Value = serde_json::from_str(&fixture.own.ask(&["identity", "--json"])).unwrap();
    let device = identities.as_array().unwrap().iter().find(|identity| identity["role"] == "device").unwrap();
    let key: PublicKey = device["endToEndKey"].as_str().unwrap().parse().unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(identity["known"][DEVICE], hex(key.bytes()));
    identity["known"][DEVICE] = hex(PrivateKey::from_seed(&KeySeed::new([1; 32])).public().bytes()).into();
    fs::write(&path, identity.to_string()).unwrap();
    assert_says(&fixture.call(DEVICE, "echo", b"hello".into()), "anotherPeerKey");
    assert_eq!(target.seen().bytes, 0);
}

#[test]
fn a_python_device_accepts_a_stream_and_knows_its_service_from_then_on() {
    let fixture = Fixture::new(&[&format!("unused={}", closed_port())]);
    fixture.python(&["join", &fixture.hub.device_link("py-1"), "py-1.json"], Vec::new());
    let laptop = Machine::new();
    laptop.ask(&["join", &fixture.hub.service_link("bob")]);
    let down = Pattern::new(6).prefix(MIB).into_iter().map(|byte| b'a' + byte % 26).collect::<Vec<_>>();
    let serve = || fixture.start(&["serve", "py-1.json", "reports"], down.clone());
    // By its name, and as the only one.
    for named in [&["--stream", "reports"][..], &[]] {
        let device = serve();
        device.wait_line("client.py: online");
        let arguments = [&["service-proxy", "--device", "py-1", "--stdio"], named].concat();
        let said = Process::start_with_input(laptop.command(DEVSTREAM).args(arguments), b"a question".into()).finish();
        assert!(said.code == Some(0) && said.stdout.trim_end().as_bytes() == down, "{}", said.stderr);
        let served = device.finish();
        assert_eq!((served.code, served.stdout.trim_end()), (Some(0), "a question"), "{served:?}");
    }
    let other = Machine::new();
    other.ask(&["join", &fixture.hub.link(&["service", "rotate", "bob", "--overlap", "0s"])]);
    let device = serve();
    device.wait_line("client.py: online");
    let refused = other.run(&["service-proxy", "--device", "py-1", "--stdio"]);
    assert!(refused.code != Some(0) && refused.stdout.is_empty(), "{refused:?}");
    assert_says(&device.finish(), "anotherPeerKey");
}

/// A hub, an agent, and a machine that has joined by means of the client.
struct Fixture {
    hub: Hub,
    agent: Agent,
    own: Machine,
    machine: Machine,
    link: String,
}

impl Fixture {
    fn new(forwards: &[&str]) -> Self {
        let (machine, own) = (Machine::new(), Machine::new().strict());
        let hub = Hub::start(&own);
        let agent = Agent::start(&own, forwards);
        let link = hub.service_link("alice");
        let fixture = Self { hub, agent, own, machine, link };
        let joined = fixture.python(&["join", &fixture.link, "alice.json"], Vec::new());
        assert_eq!(joined.code, Some(0), "{joined:?}");
        fixture
    }

    fn call(&self, device: &str, stream: &str, said: Vec<u8>) -> Finished {
        self.python(&["call", "alice.json", device, stream], said)
    }

    fn python(&self, arguments: &[&str], said: Vec<u8>) -> Finished {
        self.start(arguments, said).finish()
    }

    fn start(&self, arguments: &[&str], said: Vec<u8>) -> Process {
        let python = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python-client/bin/python");
        assert!(python.exists(), "there is no {}; tests/run installs it", python.display());
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/client.py");
        // Without a cache beside the source.
        Process::start_with_input(self.machine.command(python).arg("-B").arg(client).args(arguments), said)
    }
}

fn assert_says(finished: &Finished, words: &str) {
    let last = finished.stderr.lines().next_back().unwrap_or_default();
    assert!(finished.code == Some(1) && last.contains(words), "{words}: {finished:?}");
}
