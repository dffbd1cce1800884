//! A refusal on a standby equals one by HTTP, and leaves the standby for the next stream.

use std::io::Write as _;

use devstream::proto::refusal::RefusalKind;

use super::fixture::{Fixture, LITTLE};
use crate::support::bytes::{StreamEnd, drain};
use crate::support::targets::Target;
use crate::support::{DEVICE, SOON, poll, within};

/// Asserts that the local connection is reset; returns the proxy's message, from the reason on.
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

/// A case: commands to the hub, the stream requested then, the refusal, and the commands that undo the first ones.
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
fn refusals_on_a_standby_equal_those_by_http_and_keep_the_standby() {
    let target = Target::echo();
    let slow = Fixture::with(&target, [&[], &[], &["--standbys", "0"]]);
    let fast = Fixture::forwarding(&target);
    fast.warm(3);
    for case in CASES {
        let (of_slow, _) = refused_and_again(&slow, &case);
        let (of_fast, made) = refused_and_again(&fast, &case);
        assert_eq!(of_fast, of_slow);
        // A standby may be replaced when the device has reconnected without one.
        let replaced = u64::from(case.2 == RefusalKind::DeviceOffline);
        // All standbys of a disabled identity are closed.
        assert!(made <= replaced || case.2 == RefusalKind::Disabled, "{case:?}: {made} connections of the proxy's");
        if case.2 == RefusalKind::Disabled {
            fast.warm(3);
        }
    }
}

/// Returns the proxy's message, and the number of connections it opens for this and for the next stream.
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
fn a_device_that_left_is_offline_for_a_request_on_a_standby_too() {
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
fn a_removed_or_rekeyed_service_opens_no_stream_on_an_old_standby() {
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
fn idle_standbys_of_a_revoked_identity_are_closed() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    fixture.warm(3);
    assert!(fixture.above.live() >= 3 && fixture.below.live() >= 4);
    fixture.hub.ask(&["service", "disable", "alice"]);
    within(SOON, "the end of the service's", || poll("it", || (fixture.above.live() == 0).then_some(())));
    fixture.hub.ask(&["device", "remove", DEVICE]);
    // An agent whose device was removed keeps retrying its control connection.
    within(SOON, "the end of the device's", || poll("it", || (fixture.below.live() <= 1).then_some(())));
}
