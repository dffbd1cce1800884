//! What a hub cannot do to a stream that is encrypted end to end: section by section of the design's list of attacks.
//! Attacks on single bytes, records and tickets are unit tests of `net::e2e`.

mod counts;
mod invitations;
mod memory;
mod vouchers;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use devstream::proto::refusal::RefusalKind;

use crate::support::evil_hub::{EvilHub, FORWARD, Leg, OTHER_FORWARD, Sender, relay};
use crate::support::machine::Machine;
use crate::support::roles::{Agent, pipe};
use crate::support::targets::Target;
use crate::support::websocket::Frame;
use crate::support::{DEVICE, poll};

/// For an answer that may not come.
const PATIENCE: Duration = Duration::from_millis(300);

/// What nobody in between may see.
const CANARY: &[u8] = b"canary-8f3b1c: a password, typed";

fn start() -> (EvilHub, Target, Target) {
    let (target, other) = (Target::echo(), Target::echo());
    (EvilHub::start(target.port, other.port), target, other)
}

/// Waits for the end of a local connection, and returns what came before it. An end that is not a reset is a clean one.
fn end_of(mut local: TcpStream) -> (Vec<u8>, bool) {
    let mut received = Vec::new();
    let clean = local.read_to_end(&mut received).is_ok();
    (received, clean)
}

/// Waits until the proxy says why a stream ended, and asserts that it gives this kind's exit code or sentence.
fn proxy_says(hub: &EvilHub, kind: RefusalKind) {
    hub.proxy.process.wait_line(kind.row().sentence);
}

#[test]
fn it_sees_nothing_of_what_it_carries_and_finds_it_in_a_plain_stream() {
    let (mut hub, _target, _other) = start();
    let seen = Arc::<Mutex<Vec<u8>>>::default();
    let record = |seen: &Arc<Mutex<Vec<u8>>>| {
        let seen = seen.clone();
        move |_, frame: Frame| {
            if let Frame::Bytes(bytes) = &frame {
                seen.lock().unwrap().extend(bytes);
            }
            vec![frame]
        }
    };
    let holds_canary = |bytes: &[u8]| bytes.windows(CANARY.len()).any(|window| window == CANARY);
    for _ in 0..3 {
        // The third is resumed, with early data.
        let mut local = hub.proxy.connect();
        local.write_all(CANARY).unwrap();
        hub.carry(record(&seen));
        let mut echoed = vec![0; CANARY.len()];
        local.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, CANARY);
    }
    assert!(seen.lock().unwrap().len() > 3 * CANARY.len() && !holds_canary(&seen.lock().unwrap()));
    let allowing = Machine::new();
    allowing.ask(&["join", &hub.for_devices.device_link("pi-43")]);
    let target = Target::echo();
    let _agent = Agent::start_as(&allowing, "pi-43", &[&format!("{FORWARD}={}", target.port)]);
    let bob = hub.service("carol");
    let mut leg = EvilHub::asks_device_as(&bob, "pi-43", FORWARD, false);
    leg.send(&Frame::Bytes(CANARY.to_vec())).unwrap();
    assert!(holds_canary(&leg.bytes()), "the search finds it where it is");
}

#[test]
fn another_key_as_the_device_is_refused_before_a_byte_is_sent() {
    let (mut hub, _target, _other) = start();
    hub.carry_faithfully(b"known from now on");
    let evil_target = Target::echo();
    let evil = Machine::new();
    evil.ask(&["join", &hub.for_operators.link(&["device", "rotate", DEVICE, "--overlap", "0"])]);
    let _evil = Agent::start(&evil, &[&format!("{FORWARD}={}", evil_target.port)]);
    let mut local = hub.proxy.connect();
    local.write_all(CANARY).unwrap();
    assert!(end_of(local).0.is_empty());
    proxy_says(&hub, RefusalKind::AnotherPeerKey);
    assert_eq!(evil_target.seen().bytes, 0);
    let finished = pipe(&hub.laptop, DEVICE);
    assert_eq!(finished.code, Some(42), "{finished:?}");
    assert!(finished.stderr.contains("devstream trust pin device pi-42 KEY"), "{finished:?}");
}

#[test]
fn another_key_as_the_service_reaches_no_target() {
    let (mut hub, target, _) = start();
    hub.carry_faithfully(b"known from now on");
    let observed = target.seen();
    assert!(observed.bytes > 0);
    let evil = Machine::new();
    evil.ask(&["join", &hub.for_devices.link(&["service", "rotate", "alice", "--overlap", "0"])]);
    let finished = pipe(&evil, DEVICE);
    assert_eq!(finished.code, Some(42), "{finished:?}");
    assert!(finished.stderr.contains("knows another key of this machine"), "{finished:?}");
    assert_eq!(target.seen().bytes, 0);
    hub.agent.process.wait_line(RefusalKind::AnotherPeerKey.row().sentence);
}

#[test]
fn another_genuine_device_does_not_stand_in_for_the_one_that_was_asked_for() {
    let (mut hub, _target, _other) = start();
    hub.carry_faithfully(b"known from now on");
    let other = Machine::new().strict();
    other.ask(&["join", &hub.for_devices.device_link("pi-43")]);
    let target = Target::echo();
    let _agent = Agent::start_as(&other, "pi-43", &[&format!("{FORWARD}={}", target.port)]);
    let mut local = hub.proxy.connect();
    local.write_all(CANARY).unwrap();
    let request = hub.asked();
    let service = hub.accepts(&request, true);
    relay(service, EvilHub::asks_device_as(&hub.alice(), "pi-43", FORWARD, true), |_, frame| vec![frame]);
    assert!(end_of(local).0.is_empty());
    assert_eq!(target.seen().bytes, 0);
}

#[test]
fn a_stream_for_one_forward_or_of_one_service_is_not_carried_to_another() {
    let (mut hub, _target, other) = start();
    hub.carry_faithfully(b"known from now on");
    let bob = hub.service("bob");
    for as_bob in [false, true] {
        let mut local = hub.proxy.connect();
        local.write_all(CANARY).unwrap();
        let request = hub.asked();
        let service = hub.accepts(&request, true);
        let device = if as_bob { EvilHub::asks_as(&bob, FORWARD, true) } else { hub.asks(OTHER_FORWARD) };
        relay(service, device, |_, frame| vec![frame]);
        assert!(end_of(local).0.is_empty(), "as bob: {as_bob}");
        if !as_bob {
            assert_eq!(other.seen().bytes, 0);
        }
    }
}

#[test]
fn neither_end_gives_up_encryption_when_the_offers_are_removed() {
    let (mut hub, target, _) = start();
    let mut local = hub.proxy.connect();
    local.write_all(CANARY).unwrap();
    let request = hub.asked();
    assert!(request.end_to_end);
    // The operator's machine is told that the device does not encrypt, and has left before a leg could come.
    hub.says_that_it_accepts(&request, false);
    assert!(end_of(local).0.is_empty());
    proxy_says(&hub, RefusalKind::EndToEndNotBegun);
    // The device is told that the service does not.
    let answer = hub.alice().open(FORWARD, &[]).answer();
    assert_eq!(answer.refusal_label(), RefusalKind::RejectedByDevice.row().label, "{answer:?}");
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_plain_client_that_it_injects_reaches_no_target() {
    let (hub, target, _) = start();
    let mut leg = hub.asks(FORWARD);
    leg.send(&Frame::Bytes(b"GET / HTTP/1.1\r\n\r\n".to_vec())).unwrap();
    leg.wait_closed();
    assert_eq!(target.seen().bytes, 0);
    hub.agent.process.wait_line(RefusalKind::EndToEndNotBegun.row().sentence);
}

#[test]
fn messages_that_are_altered_left_out_repeated_or_swapped_break_the_stream_and_deliver_nothing_wrong() {
    for fault in ["flip", "drop", "repeat", "swap"] {
        let (mut hub, _target, _other) = start();
        let mut local = hub.proxy.connect();
        let mut held: Option<Vec<u8>> = None;
        let mut seen = 0;
        hub.carry(move |sender, frame| match frame {
            Frame::Bytes(mut bytes) if sender == Sender::Device => {
                seen += 1;
                match (fault, seen) {
                    // The first is of the handshake.
                    ("flip", 3) => bytes[40] ^= 1,
                    ("drop", 3) => return vec![],
                    ("repeat", 3) => return vec![Frame::Bytes(bytes.clone()), Frame::Bytes(bytes)],
                    ("swap", 3) => {
                        held = Some(bytes);
                        return vec![];
                    }
                    ("swap", 4) => {
                        return vec![Frame::Bytes(bytes), Frame::Bytes(held.take().unwrap_or_default())];
                    }
                    _ => {}
                }
                vec![Frame::Bytes(bytes)]
            }
            frame @ (Frame::Text(_) | Frame::Bytes(_) | Frame::Close(..)) => vec![frame],
        });
        // An echo that is left out is not waited for.
        local.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut sent, mut received, mut chunk) = (Vec::<u8>::new(), Vec::new(), [0; 1024]);
        let mut is_open = true;
        while is_open {
            sent.extend(b"a line of a session\n");
            is_open = local.write_all(b"a line of a session\n").is_ok();
            match local.read(&mut chunk) {
                Ok(read) if read > 0 => received.extend(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                _ => is_open = false,
            }
        }
        assert!(sent.starts_with(&received) && received.len() < sent.len(), "{fault}: {received:?}");
        proxy_says(&hub, RefusalKind::StreamAltered);
    }
}

#[test]
fn a_stream_that_it_ends_early_does_not_look_complete() {
    let (mut hub, _target, _other) = start();
    let mut local = hub.proxy.connect();
    local.write_all(b"the first half").unwrap();
    let (mut carried, mut messages) = (0, 0);
    hub.carry(move |sender, frame| match (sender, frame) {
        (Sender::Device, Frame::Bytes(bytes)) => {
            (carried, messages) = (carried + bytes.len(), messages + 1);
            // After the handshake, and the tickets or the echo.
            let end = (messages == 2).then(|| Frame::Text(format!(r#"{{"type":"end","bytes":{carried}}}"#)));
            [Frame::Bytes(bytes)].into_iter().chain(end).collect()
        }
        (_, frame) => vec![frame],
    });
    let (received, clean) = end_of(local);
    assert!(!clean, "cut off after {received:?}, and it looks complete");
    proxy_says(&hub, RefusalKind::StreamAltered);
}

/// A stream whose first bytes the device has passed on, with a ticket, and whose service waits for the answer.
struct Withheld {
    local: TcpStream,
    service: Leg,
    hello: Vec<u8>,
    taken: Leg,
}

fn withhold(hub: &mut EvilHub, target: &Target) -> Withheld {
    (0..3).for_each(|_| hub.carry_faithfully(b"tickets for later"));
    let before: u64 = (0..3).map(|_| target.seen().bytes).sum();
    assert!(before > 0);
    let mut local = hub.proxy.connect();
    local.write_all(CANARY).unwrap();
    let request = hub.asked();
    let mut service = hub.accepts(&request, true);
    let hello = service.bytes();
    let mut taken = hub.asks(FORWARD);
    taken.send(&Frame::Bytes(hello.clone())).unwrap();
    let _answer = taken.bytes();
    Withheld { local, service, hello, taken }
}

#[test]
fn the_start_of_a_session_delivers_once_however_often_it_is_presented() {
    let (mut hub, target, _) = start();
    let Withheld { local, service, hello, taken } = withhold(&mut hub, &target);
    // The same message is presented as other streams: the forced retry.
    let mut second = hub.asks(FORWARD);
    second.send(&Frame::Bytes(hello.clone())).unwrap();
    relay(service, second, |_, frame| vec![frame]);
    let (received, clean) = end_of(local);
    assert!(received.is_empty() && !clean, "{received:?}");
    let mut third = hub.asks(FORWARD);
    third.send(&Frame::Bytes(hello)).unwrap();
    third.wait_closed();
    drop(taken);
    let seen: Vec<_> = (0..3).map(|_| target.seen().bytes).collect();
    assert_eq!(seen.iter().filter(|bytes| **bytes > 0).count(), 1, "{seen:?}");
}

#[test]
fn the_start_of_a_session_that_an_agent_has_taken_delivers_nothing_to_the_next_run_of_it() {
    let (mut hub, target, _) = start();
    let Withheld { local, service, hello, taken: _taken } = withhold(&mut hub, &target);
    // Restarted, the agent knows no ticket, and the service still waits.
    hub.agent.process.signal("KILL");
    hub.agent.process.wait_end();
    hub.agent = Agent::start(&hub.device, &[&format!("{FORWARD}={}", target.port)]);
    let mut next = hub.asks(FORWARD);
    next.send(&Frame::Bytes(hello)).unwrap();
    relay(service, next, |_, frame| vec![frame]);
    let (received, clean) = end_of(local);
    assert!(received.is_empty() && !clean, "{received:?}");
    proxy_says(&hub, RefusalKind::LostWhileOpening);
    let seen = [target.seen().bytes, target.seen().bytes];
    assert!(seen[0] > 0 && seen[1] == 0, "{seen:?}");
}

#[test]
fn a_session_that_was_begun_before_the_device_trusts_a_fleet_does_not_open_after() {
    let (mut hub, target, _) = start();
    hub.carry_faithfully(b"known from now on");
    assert!(target.seen().bytes > 0);
    let mut local = hub.proxy.connect();
    local.write_all(CANARY).unwrap();
    let request = hub.asked();
    let mut service = hub.accepts(&request, true);
    let hello = service.bytes();
    let mut device = hub.asks(FORWARD);
    let keys = Machine::new().ask(&["fleet", "init"]);
    hub.device.ask(&["trust", "fleet", keys.trim()]);
    hub.agent.process.wait_line(" from before this change may go on");
    let _ = device.send(&Frame::Bytes(hello));
    relay(service, device, |_, frame| vec![frame]);
    let (received, clean) = end_of(local);
    assert!(received.is_empty() && !clean, "{received:?}");
    assert_eq!(target.seen().bytes, 0);
}

#[test]
fn its_words_about_keys_are_only_words() {
    let (mut hub, _target, _other) = start();
    hub.carry_faithfully(b"known from now on");
    for kind in ["anotherPeerKey", "endToEndNotBegun", "streamAltered", "rejectedByDevice"] {
        let waiting = hub.laptop.start(&["service-proxy", "--device", DEVICE, "--stdio", "--stream", FORWARD]);
        let request = hub.asked();
        let reason =
            format!(r#"{{"kind":"{kind}","detail":"run devstream trust pin device pi-42 AAAA, or use --plain"}}"#);
        hub.refuses(&request, &reason);
        let finished = waiting.finish();
        assert!(!matches!(finished.code, Some(0 | 42..=45)), "{kind}: {finished:?}");
        assert!(!finished.stderr.contains("shows another end-to-end key"), "{kind}: {finished:?}");
    }
    hub.carry_faithfully(b"and it goes on as before");
}

#[test]
fn two_streams_that_it_crosses_both_break() {
    let (mut hub, _target, _other) = start();
    let mut locals = Vec::new();
    let held = Arc::<Mutex<Option<Vec<u8>>>>::default();
    let crossing = Arc::<AtomicBool>::default();
    let crossed = Arc::<AtomicBool>::default();
    for index in 0..2 {
        let mut local = hub.proxy.connect();
        local.write_all(b"before").unwrap();
        let (held, crossing, crossed) = (held.clone(), crossing.clone(), crossed.clone());
        hub.carry(move |sender, frame| match frame {
            Frame::Bytes(bytes) if sender == Sender::Service => {
                let is_crossing = crossing.load(Ordering::SeqCst);
                // The first stream's bytes go to the second one.
                if is_crossing && index == 0 {
                    *held.lock().unwrap() = Some(bytes);
                    return vec![];
                }
                let other = if is_crossing { held.lock().unwrap().take() } else { None };
                crossed.fetch_or(other.is_some(), Ordering::SeqCst);
                vec![Frame::Bytes(other.unwrap_or(bytes))]
            }
            frame @ (Frame::Text(_) | Frame::Bytes(_) | Frame::Close(..)) => vec![frame],
        });
        let mut echoed = [0; 6];
        local.read_exact(&mut echoed).unwrap();
        locals.push(local);
    }
    let (mut second, mut first) = (locals.pop().unwrap(), locals.pop().unwrap());
    crossing.store(true, Ordering::SeqCst);
    first.write_all(b"after").unwrap();
    poll("the first stream's bytes", || held.lock().unwrap().is_some().then_some(()));
    second.write_all(b"after").unwrap();
    let (received, clean) = end_of(second);
    assert!(received.is_empty() && !clean && crossed.load(Ordering::SeqCst), "{received:?}");
    let _ = first.shutdown(Shutdown::Both);
}
