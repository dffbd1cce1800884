//! A no on a connection that stands by is the no of any other way, and leaves the connection for the next stream.

use std::io::Write as _;

use devstream::proto::refusal::RefusalKind;

use super::fixture::{Fixture, LITTLE};
use crate::support::bytes::{StreamEnd, drain};
use crate::support::targets::Target;
use crate::support::{DEVICE, SOON, poll, within};

/// The local connection is reset, and the proxy says why. Gives what it says, from the reason on.
fn refusal(fixture: &Fixture, name: &str, kind: RefusalKind) -> String {
    let lines = fixture.proxy.process.lines();
    let mut local = fixture.connect_to(name);
    // It may be gone before it has taken anything.
    let _ = local.write_all(b"early");
    assert_eq!(drain(&mut local).end, StreamEnd::Reset, "{kind:?}");
    let line = fixture.proxy.process.wait_line_after(lines, kind.row().sentence);
    let said = &line[line.find(kind.row().sentence).unwrap()..];
    // Each scene has its own port that is closed.
    said.chars().filter(|character| !character.is_ascii_digit()).collect()
}

/// What is done to the hub, what is asked for then, what the answer is, and what undoes it.
type Case = (&'static [&'static str], &'static str, RefusalKind, &'static [&'static str]);

const CASES: [Case; 6] = [
    (&[], "closed", RefusalKind::TargetRefused, &[]),
    (&[], "nothing", RefusalKind::StreamNotOffered, &[]),
    (
        &["service", "set", "alice", "--device", "other"],
        "target",
        RefusalKind::UnknownDevice,
        &["service", "set", "alice", "--device", "*"],
    ),
    (
        &["service", "set", "alice", "--stream", "closed"],
        "target",
        RefusalKind::NotPermitted,
        &["service", "set", "alice", "--stream", "*"],
    ),
    (&["service", "disable", "alice"], "target", RefusalKind::Disabled, &["service", "enable", "alice"]),
    (&["device", "disable", DEVICE], "target", RefusalKind::DeviceOffline, &["device", "enable", DEVICE]),
];

#[test]
fn every_refusal_is_that_of_the_slow_way_and_the_connection_stands_by_all_the_same() {
    let target = Target::echo();
    let slow = Fixture::with(&target, [&[], &[], &["--standbys", "0"]]);
    let fast = Fixture::forwarding(&target);
    fast.warm(3);
    for case in CASES {
        let (of_slow, _) = refused_and_again(&slow, &case);
        let (of_fast, made) = refused_and_again(&fast, &case);
        assert_eq!(of_fast, of_slow);
        // One that meets a device which has come back with none may be replaced.
        let replaced = u64::from(case.2 == RefusalKind::DeviceOffline);
        // Of who is disabled, all are closed.
        assert!(made <= replaced || case.2 == RefusalKind::Disabled, "{case:?}: {made} connections of the proxy's");
        if case.2 == RefusalKind::Disabled {
            fast.warm(3);
        }
    }
}

/// Gives what the proxy says, and how many connections it makes for that and for the next stream.
fn refused_and_again(fixture: &Fixture, (change, name, kind, undo): &Case) -> (String, u64) {
    let before = fixture.above.connections();
    if !change.is_empty() {
        fixture.hub.ask(change);
    }
    let said = refusal(fixture, name, *kind);
    let lines = fixture.agent.lines();
    if !undo.is_empty() {
        fixture.hub.ask(undo);
    }
    if *kind == RefusalKind::DeviceOffline {
        fixture.agent.wait_line_after(lines, "is online");
    }
    fixture.echo(1, LITTLE);
    (said, fixture.above.connections() - before)
}

#[test]
fn a_device_that_has_gone_is_offline_on_a_connection_that_stands_by_as_well() {
    let target = Target::echo();
    let mut fixture = Fixture::forwarding(&target);
    fixture.warm(2);
    fixture.agent.kill();
    fixture.hub.wait_activity("deviceDisconnected", None);
    let before = fixture.above.connections();
    refusal(&fixture, "target", RefusalKind::DeviceOffline);
    assert_eq!(fixture.above.connections(), before);
    fixture.agent = fixture.another_agent();
    fixture.echo(1, LITTLE);
    // The new agent has none yet, so the proxy's is used up, and replaced.
    assert!(fixture.above.connections() <= before + 1, "the connection stands by still");
}

#[test]
fn who_was_removed_or_has_another_key_has_no_stream_on_a_connection_of_before() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    fixture.warm(2);
    fixture.hub.ask(&["device", "remove", DEVICE]);
    refusal(&fixture, "target", RefusalKind::UnknownDevice);

    let fixture = Fixture::forwarding(&target);
    fixture.warm(2);
    fixture.hub.ask(&["service", "remove", "alice"]);
    refusal(&fixture, "target", RefusalKind::AuthenticationFailed);
}

#[test]
fn connections_of_who_may_no_longer_stand_by_are_closed_though_nobody_uses_them() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    fixture.warm(3);
    assert!(fixture.above.live() >= 3 && fixture.below.live() >= 4);
    fixture.hub.ask(&["service", "disable", "alice"]);
    within(SOON, "the end of the service's", || poll("it", || (fixture.above.live() == 0).then_some(())));
    fixture.hub.ask(&["device", "remove", DEVICE]);
    // An agent whose device is not known any more asks for its control again and again.
    within(SOON, "the end of the device's", || poll("it", || (fixture.below.live() <= 1).then_some(())));
}
