//! What becomes of the registry that hubs share when NATS loses it, and when two machines use one code at two hubs.

use std::sync::Barrier;
use std::thread;

use devstream::proto::refusal::RefusalKind;

use crate::support::chaos::{Direction, Fault};
use crate::support::cluster::Cluster;
use crate::support::machine::Machine;
use crate::support::nats::Nats;
use crate::support::poll;
use crate::support::raw::RawClient;
use crate::support::roles::assert_is;

/// Enough races for some to be as close as that.
const RACES: usize = 24;

#[test]
fn changes_that_nats_has_lost_are_put_again_and_a_revocation_does_not_come_undone() {
    let mut cluster = Cluster::over(Nats::start(1), 2, &[]);
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("copy");
    cluster.nats.keep_or_roll_back(&copy);
    poll("a change", || succeeds(&cluster, 0, &["device", "add", "pi-43"]).then_some(()));
    cluster.hubs[0].ask(&["service", "disable", "alice"]);
    poll("the change at the other hub", || is_disabled(&cluster, 1).then_some(()));
    cluster.nats.keep_or_roll_back(&copy);
    poll("a hub that puts it again", || {
        let healed =
            |hub: usize| cluster.hubs[hub].activity().iter().any(|line| line["operationName"] == "registryHealed");
        (healed(0) || healed(1)).then_some(())
    });
    poll("a change", || succeeds(&cluster, 1, &["device", "add", "pi-44"]).then_some(()));
    for hub in [0, 1] {
        poll("what both hubs have", || {
            let devices = cluster.hubs[hub].ask(&["devices"]);
            (is_disabled(&cluster, hub) && devices.contains("pi-43") && devices.contains("pi-44")).then_some(())
        });
    }
}

#[test]
fn a_bucket_that_was_deleted_takes_no_change_until_it_is_restored() {
    let cluster = Cluster::start(2);
    let deleted = cluster.nats.request("$JS.API.STREAM.DELETE.KV_devstream");
    assert_eq!(deleted["success"], true, "{deleted}");
    for hub in &cluster.hubs {
        hub.process.wait_line("the registry's bucket was deleted");
        let refused = hub.machine().run(&["hub", "service", "disable", "alice"]);
        let advised = refused.stderr.contains("devstream hub cluster restore");
        assert!(refused.code == Some(1) && advised, "{refused:?}");
        assert!(hub.ask(&["service", "list"]).contains("alice"), "reads go on");
    }
    cluster.hubs[1].ask(&["cluster", "restore"]);
    for (number, hub) in cluster.hubs.iter().enumerate() {
        poll("changes at both hubs", || succeeds(&cluster, number, &["device", "add", "pi-43"]).then_some(()));
        let lost = hub.process.log().matches("was deleted").count();
        assert_eq!(lost, 1, "said once: {}", hub.process);
        hub.process.wait_line("is followed again");
    }
}

#[test]
fn a_join_that_was_stored_after_it_was_refused_spent_its_link() {
    let cluster = Cluster::with_networks(Nats::start(1), 1);
    let (link, newcomer) = (cluster.hubs[0].device_link("pi-43"), Machine::new());
    // What the hub sends arrives, and it gets no reply.
    cluster.links[0][0].hit_everything(Fault::Freeze(Direction::Down));
    assert_is(&newcomer.run(&["join", &link]), RefusalKind::ChangesRefused);
    cluster.links[0][0].heal();
    poll("the join", || (newcomer.run(&["join", &link]).code == Some(0)).then_some(()));
    assert_is(&Machine::new().run(&["join", &link]), RefusalKind::LinkSpent);
}

/// Of replicated streams, Debian's server confirms both of two changes that reach it within a millisecond.
#[test]
fn of_machines_with_one_code_at_three_hubs_two_joined() {
    let cluster = Cluster::over(Nats::start(3), 3, &["--penalty-exempt", "127.0.0.0/8"]);
    for race in 0..RACES {
        let link = cluster.hubs[race % 3].device_link(&format!("d-{race}"));
        let start = Barrier::new(3);
        let statuses: Vec<_> = thread::scope(|scope| {
            let racer = |hub| {
                let (link, start) = (at_hub(&link, &cluster, hub), &start);
                scope.spawn(move || {
                    let machine = RawClient::before_joining(&link);
                    start.wait();
                    machine.redeem(&link).status
                })
            };
            let racers: Vec<_> = (0..3).map(racer).collect();
            racers.into_iter().map(|racer| racer.join().expect("it ends")).collect()
        });
        let count = |status| statuses.iter().filter(|found| **found == status).count();
        assert_eq!((count(204), count(410)), (1, 2), "{statuses:?}");
    }
}

/// The link with another hub's address: all hubs have one certificate authority.
fn at_hub(link: &str, cluster: &Cluster, hub: usize) -> String {
    let (scheme, rest) = link.split_once("://").expect("a link");
    let (_, path) = rest.split_once('/').expect("a link");
    format!("{scheme}://{}/{path}", cluster.addresses[hub])
}

fn succeeds(cluster: &Cluster, hub: usize, command: &[&str]) -> bool {
    cluster.hubs[hub].machine().run(&[&["hub"], command].concat()).code == Some(0)
}

fn is_disabled(cluster: &Cluster, hub: usize) -> bool {
    cluster.hubs[hub].ask(&["service", "list"]).contains("disabled")
}
