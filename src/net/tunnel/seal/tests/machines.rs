//! Machines that meet again: known keys and tickets.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::Connection;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::{DOWN, End, Hub, UP, binding, ends, key, leaf, pattern, run};
use crate::net::e2e::config::{Expected, Sessions};
use crate::net::e2e::leaf::Leaf;
use crate::net::e2e::peers::{FirstUse, PeerKeys as _};
use crate::net::tunnel::pump::Outcome;
use crate::proto::id::Role;
use crate::proto::limits::{EARLY_DATA_BYTES, SESSION_TIMEOUT};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;

/// A machine that runs: what it keeps between streams.
struct Machine {
    leaf: Leaf,
    sessions: Sessions,
    peers: Arc<FirstUse>,
}

impl Machine {
    fn new(leaf: Leaf) -> Self {
        Self { leaf, sessions: Sessions::default(), peers: Arc::default() }
    }

    fn with_clock(self, clock: &Arc<WallClock>) -> Self {
        Self { sessions: Sessions::with_clock(clock.clone()), ..self }
    }

    fn alice() -> Self {
        Self::new(leaf(Role::Service, "alice", 1))
    }

    fn pi_42() -> Self {
        Self::new(leaf(Role::Device, "pi-42", 2))
    }

    async fn opens(&self, stream: Option<&str>) -> End {
        let binding = binding("pi-42", "alice", stream);
        let anchors = self.peers.anchors(&binding.device_principal()).await.unwrap();
        End::new(self.sessions.service_end(&self.leaf, Expected::device(binding, anchors), self.peers.clone()).unwrap())
    }

    async fn accepts(&self, stream: Option<&str>) -> End {
        let binding = binding("pi-42", "alice", stream);
        let anchors = self.peers.anchors(&binding.service_principal()).await.unwrap();
        End::new(
            self.sessions
                .device_end(&self.leaf, Expected::service(binding, stream.is_none(), anchors), self.peers.clone())
                .unwrap(),
        )
    }
}

/// A wall clock that the test sets, in seconds.
#[derive(Debug)]
struct WallClock(AtomicU64);

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
    }
}

/// Runs one stream of both machines and requires that it carries everything.
async fn carry_one(service: &Machine, device: &Machine) {
    let ends = (service.opens(None).await, device.accepts(None).await);
    let (carried, at_service, at_device) = run(ends, (UP, DOWN), [Hub::Honest(4096); 2]).await;
    carried.unwrap();
    assert!(at_service == DOWN && at_device == UP);
}

/// Two machines that know each other and hold tickets: those of a first contact are not kept beyond it.
async fn acquainted() -> (Machine, Machine) {
    acquaint(Machine::alice(), Machine::pi_42()).await
}

async fn acquaint(alice: Machine, pi_42: Machine) -> (Machine, Machine) {
    carry_one(&alice, &pi_42).await;
    carry_one(&alice, &pi_42).await;
    (alice, pi_42)
}

/// Reads what is there at once.
async fn read_now(reader: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut bytes = vec![0; 16 * 1024];
    let read = timeout(SHORT, reader.read(&mut bytes)).await.unwrap_or(Ok(0)).unwrap();
    bytes.truncate(read);
    bytes
}

/// The time that virtual clocks are given for something that takes none.
const SHORT: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn with_a_ticket_the_first_bytes_and_their_answer_take_one_round_trip() {
    let (alice, pi_42) = acquainted().await;
    for _ in 0..5 {
        let (mut service, _, mut device) = withheld(&alice, &pi_42).await;
        device.application.write_all(DOWN).await.unwrap();
        // The device's part of the handshake comes by itself.
        let answer = [read_now(&mut device.reader).await, read_now(&mut device.reader).await].concat();
        service.writer.write_all(&answer).await.unwrap();
        service.writer.flush().await.unwrap();
        assert_eq!(read_now(&mut service.application).await, DOWN);
    }
}

#[tokio::test(start_paused = true)]
async fn many_streams_at_once_have_a_ticket_each_and_get_another() {
    let (alice, pi_42) = acquainted().await;
    // The tickets become more until there are enough.
    for at_once in [8, 8, 8, 32, 32] {
        let mut ends = Vec::new();
        for _ in 0..at_once {
            ends.push((alice.opens(None).await, pi_42.accepts(None).await));
        }
        for (service, device) in ends {
            let view = service.view.clone();
            let (carried, ..) = run((service, device), (UP, DOWN), [Hub::Honest(4096); 2]).await;
            carried.unwrap();
            assert!(view.is_resumed());
        }
    }
}

/// A session whose first bytes the device has passed on while the hub withholds the answer: the service's end, its message and
/// the device's end.
async fn withheld(alice: &Machine, pi_42: &Machine) -> (End, Vec<u8>, End) {
    let (mut service, mut device) = (alice.opens(None).await, pi_42.accepts(None).await);
    service.application.write_all(UP).await.unwrap();
    let hello = read_now(&mut service.reader).await;
    device.writer.write_all(&hello).await.unwrap();
    device.writer.flush().await.unwrap();
    assert_eq!(read_now(&mut device.application).await, UP);
    (service, hello, device)
}

#[tokio::test(start_paused = true)]
async fn the_start_of_a_session_that_is_repeated_delivers_nothing_again() {
    let (alice, pi_42) = acquainted().await;
    let (_service, hello, _first) = withheld(&alice, &pi_42).await;
    // The hub presents the same message as another stream.
    let second = pi_42.accepts(None).await;
    let End { application, mut reader, mut writer, view } = second;
    let refused = writer.write_all(&hello).await;
    assert!(refused.is_err() && view.failure().is_some(), "{refused:?}");
    assert!(read_now(&mut reader).await.is_empty() || reader.read(&mut [0; 64]).await.is_err());
    drop((reader, writer));
    let mut application = application;
    let mut delivered = Vec::new();
    application.read_to_end(&mut delivered).await.unwrap();
    assert!(delivered.is_empty(), "delivered twice");
}

#[tokio::test(start_paused = true)]
async fn early_bytes_that_are_delayed_by_more_than_a_minute_wait_for_the_handshake_and_arrive_once() {
    for (delay, is_early) in [(0, true), (59, true), (61, false), (65, false)] {
        let clock = Arc::new(WallClock(AtomicU64::new(1_800_000_000)));
        let machines = [Machine::alice(), Machine::pi_42()].map(|machine| machine.with_clock(&clock));
        let [alice, pi_42] = machines;
        let (alice, pi_42) = acquaint(alice, pi_42).await;
        let (mut service, mut device) = (alice.opens(None).await, pi_42.accepts(None).await);
        service.application.write_all(UP).await.unwrap();
        let hello = read_now(&mut service.reader).await;
        clock.0.fetch_add(delay, Ordering::Relaxed);
        device.writer.write_all(&hello).await.unwrap();
        device.writer.flush().await.unwrap();
        let early = read_now(&mut device.application).await;
        assert_eq!(early, if is_early { UP } else { b"" }, "after {delay} s");
        let (carried, at_service, later) = run((service, device), (b"", DOWN), [Hub::Honest(4096); 2]).await;
        carried.unwrap();
        assert_eq!(([early, later].concat(), at_service), (UP.into(), DOWN.into()), "after {delay} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_that_was_restarted_declines_early_bytes_and_gets_them_once() {
    let long = pattern(20_000, 1);
    for (up, chunk) in [(UP, 4096), (b"", 4096), (UP, 1), (&long, 65_528), (&long, 100)] {
        let (alice, pi_42) = acquainted().await;
        drop(pi_42);
        let restarted = Machine::pi_42();
        // It is online again; the wall clock of the service's end goes on meanwhile.
        sleep(SESSION_TIMEOUT).await;
        let ends = (alice.opens(None).await, restarted.accepts(None).await);
        let before = Instant::now();
        let (carried, at_service, at_device) = run(ends, (up, DOWN), [Hub::Honest(chunk); 2]).await;
        carried.unwrap();
        assert!(at_service == DOWN && at_device == up);
        assert!(before.elapsed() < SESSION_TIMEOUT / 100, "it waited");
    }
}

#[tokio::test(start_paused = true)]
async fn more_early_bytes_than_a_service_may_send_fail_the_session() {
    let (alice, pi_42) = acquainted().await;
    let binding = binding("pi-42", "alice", None);
    let anchors = alice.peers.anchors(&binding.device_principal()).await.unwrap();
    let expected = Expected::device(binding, anchors);
    let mut service = alice.sessions.service_end(&alice.leaf, expected, alice.peers.clone()).unwrap();
    let Connection::Client(client) = &mut *service.tls else { panic!("a service is the client") };
    client.early_data().unwrap().write_all(&pattern(EARLY_DATA_BYTES + 1, 1)).unwrap();
    let mut start = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut start).unwrap();
    }
    let mut device = pi_42.accepts(None).await;
    assert!(device.writer.write_all(&start).await.is_err());
    assert_eq!(device.view.failure().map(|refusal| refusal.kind), Some(RefusalKind::StreamAltered));
}

#[tokio::test(start_paused = true)]
async fn early_bytes_that_a_former_run_of_the_device_has_taken_are_not_sent_to_the_next() {
    // The hub waits before it presents the same message to the next run.
    for wait in [Duration::ZERO, SHORT, SESSION_TIMEOUT / 2] {
        let (alice, pi_42) = acquainted().await;
        let (service, hello, first) = withheld(&alice, &pi_42).await;
        drop((first, pi_42));
        let restarted = Machine::pi_42();
        sleep(wait).await;
        let mut second = restarted.accepts(None).await;
        second.writer.write_all(&hello).await.unwrap();
        second.writer.flush().await.unwrap();
        let view = service.view.clone();
        let (carried, _, at_device) = run((service, second), (b"", DOWN), [Hub::Honest(4096); 2]).await;
        assert!(carried.is_err() && at_device.is_empty(), "delivered twice, after {wait:?}");
        assert_eq!(view.failure().map(|refusal| refusal.kind), Some(RefusalKind::LostWhileOpening));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ticket_of_one_stream_serves_no_other() {
    let (alice, pi_42) = acquainted().await;
    let mut service = alice.opens(Some("ssh")).await;
    service.application.write_all(UP).await.unwrap();
    let hello = read_now(&mut service.reader).await;
    assert!(!hello.is_empty() && !service.view.is_resumed());
    let mut device = pi_42.accepts(Some("ssh")).await;
    device.writer.write_all(&hello).await.unwrap();
    assert!(read_now(&mut device.application).await.is_empty());
    // Nor is the start of one stream taken for another one.
    let mut service = alice.opens(None).await;
    service.application.write_all(UP).await.unwrap();
    let hello = read_now(&mut service.reader).await;
    let mut device = pi_42.accepts(Some("ssh")).await;
    assert!(device.writer.write_all(&hello).await.is_err());
    assert!(device.view.failure().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_service_whose_key_is_no_longer_accepted_hears_so_although_it_has_a_ticket() {
    let (alice, pi_42) = acquainted().await;
    let principal = binding("pi-42", "alice", None).service_principal();
    pi_42.peers.keep(&principal, &key(9).public(), &Some(vec![key(1).public()])).unwrap();
    let (service, device) = (alice.opens(None).await, pi_42.accepts(None).await);
    let view = service.view.clone();
    let (carried, at_service, at_device) = run((service, device), (UP, DOWN), [Hub::Honest(4096); 2]).await;
    assert!(carried.is_err() && at_service.is_empty() && at_device.is_empty());
    let refusal = view.failure().unwrap();
    assert!(refusal.with_hint().contains("knows another key of this machine"), "{}", refusal.with_hint());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_shows_another_key_than_at_first_use_is_refused_by_name() {
    let (alice, pi_42) = (Machine::alice(), Machine::pi_42());
    carry_one(&alice, &pi_42).await;
    let impostor = Machine::new(leaf(Role::Device, "pi-42", 9));
    let (service, device) = (alice.opens(None).await, impostor.accepts(None).await);
    let views = [service.view.clone(), device.view.clone()];
    let (carried, at_service, at_device) = run((service, device), (UP, DOWN), [Hub::Honest(4096); 2]).await;
    assert!(carried.is_err() && at_service.is_empty() && at_device.is_empty());
    let refusals = views.map(|view| view.failure().map(|refusal| (refusal.kind, refusal.with_hint())));
    let (kind, words) = refusals[0].clone().unwrap();
    assert_eq!(kind, RefusalKind::AnotherPeerKey);
    for part in [key(2).public().short(), key(9).public().short(), "devstream trust pin device pi-42 KEY".into()] {
        assert!(words.contains(&part), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_that_begins_no_session_is_given_up_after_half_a_minute() {
    for hub in [true, false] {
        let (service, device) = ends(true);
        let End { reader, writer, view, application: _application } = if hub { service } else { device };
        let (mut reader, _writer) = (reader, writer);
        let mut bytes = vec![0; 4096];
        let silent = async { while reader.read(&mut bytes).await.is_ok_and(|read| read > 0) {} };
        timeout(SESSION_TIMEOUT + SHORT, silent).await.expect("it waits on");
        assert_eq!(view.failure().map(|refusal| refusal.kind), Some(RefusalKind::EndToEndNotBegun));
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_end_to_end_encryption_is_named_as_such() {
    let (_, device) = ends(true);
    let End { mut writer, view, .. } = device;
    assert!(writer.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.is_err());
    let refusal = view.failure().unwrap();
    assert_eq!(refusal.kind, RefusalKind::EndToEndNotBegun);
    assert!(refusal.with_hint().contains("--allow-plain"), "{}", refusal.with_hint());
}

#[tokio::test(start_paused = true)]
async fn an_alert_in_the_clear_says_nothing_of_keys() {
    // bad_certificate, certificate_expired, unknown_ca, access_denied, certificate_required: RFC 8446 section 6.2.
    for alert in [42, 45, 48, 49, 116] {
        let (service, _device) = ends(true);
        let End { mut reader, mut writer, view, application: _application } = service;
        assert!(reader.read(&mut [0; 4096]).await.unwrap() > 0);
        assert!(writer.write_all(&[0x15, 3, 3, 0, 2, 2, alert]).await.is_err());
        let refusal = view.failure().unwrap();
        assert_eq!(refusal.kind, RefusalKind::StreamAltered, "{}", refusal.with_hint());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_session_hears_of_a_stream_that_ends_first() {
    let killed = Refusal::from(RefusalKind::StreamKilled);
    for (refusal, kind) in [(None, RefusalKind::EndToEndNotBegun), (Some(killed), RefusalKind::StreamKilled)] {
        let (service, _device) = ends(false);
        let end = async { service.view.outcome(Outcome { ending: Ending::Broken, refusal }) };
        let (opened, _) = tokio::join!(timeout(Duration::from_secs(1), service.view.opened()), end);
        assert_eq!(opened.unwrap().unwrap_err().kind, kind);
    }
}
