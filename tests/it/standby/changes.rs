//! Changes while standbys are open: a replaced key and a different limit.

use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use super::fixture::{Fixture, LITTLE};
use crate::support::raw::{RawClient, RawDevice};
use crate::support::targets::Target;
use crate::support::{DEVICE, SOON, poll, within};

/// Overlap: time for which a replaced key remains valid.
const OVERLAP: [&str; 2] = ["--overlap", "3s"];

#[test]
fn standbys_of_a_replaced_key_end_with_it_and_it_opens_no_others() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    let bob = RawClient::join(&fixture.hub.service_link("bob"));
    let device = RawDevice::online(RawClient::join(&fixture.hub.device_link("other")), &["target"]);
    for (role, id, old) in [("service", "bob", &bob), ("device", "other", &device.identity)] {
        let mut before = old.standby().expect("its key is good");
        let new = RawClient::join(&fixture.hub.link(&[[role, "rotate", id].as_slice(), &OVERLAP].concat()));
        let mut meanwhile = old.standby().expect("it is still good");
        // A device is offline when its control connection has ended for the same reason.
        let ends = [RefusalKind::KeyReplaced, RefusalKind::PeerGone].map(|kind| kind.row().close);
        within(SOON, "the end of the overlap", || {
            for standby in [&mut before, &mut meanwhile] {
                let code = standby.expect_close();
                assert!(code == ends[0] || role == "device" && code == ends[1], "{role}: {code}");
            }
        });
        assert_eq!(old.standby().err().map(|answer| answer.status), Some(401), "{role}");
        drop(new.standby().expect("the new key is good"));
    }
}

#[test]
fn the_next_standby_uses_the_new_key() {
    let target = Target::echo();
    let fixture = Fixture::forwarding(&target);
    for (role, id, machine) in [("service", "alice", &fixture.laptop), ("device", DEVICE, &fixture.device)] {
        fixture.warm(3);
        let before = fixture.connections();
        let lines = fixture.agent.lines();
        // A device takes the new key up while both are good, a service at the end of the overlap.
        let overlap = if role == "device" { ["--overlap", "1h"] } else { OVERLAP };
        machine.ask(&["join", &fixture.hub.link(&[[role, "rotate", id].as_slice(), &overlap].concat())]);
        let of_the_old_key = if role == "service" {
            fixture.echo(1, LITTLE);
            assert_eq!(fixture.connections(), before, "both keys are good: {role}");
            &fixture.above
        } else {
            fixture.agent.wait_line_after(lines, "is online");
            &fixture.below
        };
        let control = usize::from(role == "device");
        within(SOON, "the end of the former key", || {
            poll("the end of those that stand by", || (of_the_old_key.live() <= control).then_some(()));
        });
        fixture.echo(2, LITTLE);
    }
    fixture.warm(3);
}

#[test]
fn a_hub_that_lowers_its_standby_limit_still_carries_streams() {
    let target = Target::echo();
    let mut fixture = Fixture::with(&target, [&["--standbys", "8"], &[], &[]]);
    for hold in [8, 2, 0] {
        let lines = fixture.agent.lines();
        fixture.hub.process.kill();
        fixture.start_hub_with(&["--standbys", &hold.to_string()]);
        fixture.agent.wait_line_after(lines, "is online");
        for round in 0..3 {
            let streams: Vec<_> = (0..4).map(|_| fixture.alive()).collect();
            drop(streams);
            fixture.echo(round, LITTLE);
        }
        poll("no more of the proxy's than are held", || (fixture.above.live() <= hold).then_some(()));
        poll("no more of the agent's", || (fixture.below.live() <= hold + 1).then_some(()));
        assert_eq!(fixture.above.live() > 0, hold > 0, "{hold}");
        // Interrupted streams resume at the next hub.
        poll("the end of every stream", || fixture.hub.json::<Vec<Value>>(&["streams"]).is_empty().then_some(()));
    }
}
