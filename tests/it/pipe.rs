//! Streams behave like TCP: each direction ends by itself, and a break is never a clean end.

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::thread;

use crate::support::bytes::{MIB, Observed, Pattern, StreamEnd, drain, reset};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::OneMachine;
use crate::support::targets::{Target, is_alive};

const SIZE: u64 = 8 * MIB;

#[test]
fn a_response_arrives_complete_after_the_request_half_closed() {
    let target = Target::answering_at_the_end();
    let fixture = OneMachine::forwarding(target.port);
    let mut local = fixture.proxy.connect();
    let pattern = Pattern::new(1);
    pattern.send(&mut local, SIZE).unwrap();
    local.shutdown(Shutdown::Write).unwrap();
    pattern.expect(&mut local, SIZE);
    assert_eq!(drain(&mut local), Observed { bytes: 0, end: StreamEnd::Eof });
    assert_eq!(target.seen(), Observed { bytes: SIZE, end: StreamEnd::Eof });
}

#[test]
fn a_request_continues_after_the_response_half_closed() {
    let target = Target::greeting_then_reading("220 ready\r\n");
    let fixture = OneMachine::forwarding(target.port);
    let mut local = fixture.proxy.connect();
    let mut greeting = String::new();
    local.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "220 ready\r\n");
    Pattern::new(1).send(&mut local, SIZE).unwrap();
    local.shutdown(Shutdown::Write).unwrap();
    assert_eq!(target.seen(), Observed { bytes: SIZE, end: StreamEnd::Eof });
}

#[test]
fn the_log_counts_both_directions_and_says_who_ended_the_stream() {
    let target = Target::answering_at_the_end();
    let fixture = OneMachine::on(Machine::new().plain(), target.port, &[]);
    let mut local = fixture.proxy.connect();
    local.write_all(b"hello").unwrap();
    local.shutdown(Shutdown::Write).unwrap();
    assert_eq!(drain(&mut local), Observed { bytes: 5, end: StreamEnd::Eof });
    let closed = fixture.hub.wait_activity("streamClosed", None);
    let properties = &closed["properties"];
    assert_eq!((&properties["bytesToDevice"], &properties["bytesToService"]), (&5.into(), &5.into()), "{closed}");
    assert!(properties["endedBy"].is_string(), "{closed}");
    assert_eq!((&closed["category"], &properties["deviceId"]), (&"DeviceStreams".into(), &"pi-42".into()), "{closed}");
}

#[test]
fn a_target_that_resets_resets_the_local_connection() {
    let target = Target::resetting();
    let fixture = OneMachine::forwarding(target.port);
    let mut local = fixture.proxy.connect();
    local.write_all(b"hello").unwrap();
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
}

#[test]
fn a_local_reset_resets_the_targets_connection() {
    let target = Target::echo();
    let fixture = OneMachine::forwarding(target.port);
    let mut local = fixture.proxy.connect();
    is_alive(&mut local);
    reset(local);
    assert_eq!(target.seen().end, StreamEnd::Reset);
}

#[test]
fn a_killed_hub_resets_a_download_and_never_ends_it_cleanly() {
    breaks_a_download(|fixture| &fixture.hub.process);
}

#[test]
fn a_killed_agent_resets_a_download_and_never_ends_it_cleanly() {
    breaks_a_download(|fixture| &fixture.agent.process);
}

#[test]
fn a_killed_hub_resets_an_upload_and_never_ends_it_cleanly() {
    breaks_an_upload(|fixture| &fixture.hub.process);
}

#[test]
fn a_killed_proxy_resets_an_upload_and_never_ends_it_cleanly() {
    breaks_an_upload(|fixture| &fixture.proxy.process);
}

#[test]
fn a_killed_proxy_resets_its_own_local_connection() {
    let target = Target::echo();
    for signals in [&["KILL"][..], &["TERM", "TERM"]] {
        let fixture = OneMachine::without_resume(target.port);
        let mut local = fixture.proxy.connect();
        is_alive(&mut local);
        signals.iter().for_each(|signal| fixture.proxy.process.signal(signal));
        assert_eq!(drain(&mut local).end, StreamEnd::Reset, "{signals:?}");
        assert_eq!(target.seen().end, StreamEnd::Reset, "{signals:?}");
    }
}

#[test]
fn a_killed_agent_resets_its_own_targets_connection() {
    for signals in [&["KILL"][..], &["TERM", "TERM"]] {
        let target = Target::echo();
        let fixture = OneMachine::without_resume(target.port);
        let mut local = fixture.proxy.connect();
        is_alive(&mut local);
        signals.iter().for_each(|signal| fixture.agent.process.signal(signal));
        assert_eq!(target.seen().end, StreamEnd::Reset, "{signals:?}");
        assert_eq!(drain(&mut local).end, StreamEnd::Reset, "{signals:?}");
    }
}

fn breaks_a_download(victim: impl Fn(&OneMachine) -> &Process) {
    let target = Target::source(1, u64::MAX);
    let fixture = OneMachine::without_resume(target.port);
    let mut local = fixture.proxy.connect();
    Pattern::new(1).expect(&mut local, SIZE);
    victim(&fixture).kill();
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
}

fn breaks_an_upload(victim: impl Fn(&OneMachine) -> &Process) {
    let target = Target::sink();
    let fixture = OneMachine::without_resume(target.port);
    let mut local = fixture.proxy.connect();
    Pattern::new(1).send(&mut local, SIZE).unwrap();
    let sender = thread::spawn(move || Pattern::new(1).send(&mut local, u64::MAX));
    victim(&fixture).kill();
    assert_eq!(target.seen().end, StreamEnd::Reset);
    assert!(sender.join().unwrap().is_err(), "the sender learns it too");
}
