//! What becomes of the registry that hubs share when NATS loses it, and when two machines use one code at two hubs.

use std::thread;

use devstream::proto::refusal::RefusalKind;

use crate::support::cluster::Cluster;
use crate::support::machine::Machine;
use crate::support::nats::Nats;
use crate::support::poll;
use crate::support::roles::assert_is;

/// Enough races for both orders to happen.
const RACES: usize = 8;

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
fn of_two_machines_with_one_code_at_two_hubs_one_joins() {
    let cluster = Cluster::over(Nats::start(1), 2, &["--penalty-exempt", "127.0.0.0/8"]);
    for race in 0..RACES {
        let link = cluster.hubs[race % 2].device_link(&format!("d-{race}"));
        let links: Vec<_> = (0..2).map(|hub| at_hub(&link, &cluster, hub)).collect();
        let joined: Vec<_> = thread::scope(|scope| {
            let joining = |link: &String| {
                let link = link.clone();
                scope.spawn(move || Machine::new().run(&["join", &link]))
            };
            let joining: Vec<_> = links.iter().map(joining).collect();
            joining.into_iter().map(|machine| machine.join().expect("it ends")).collect()
        });
        let winners = joined.iter().filter(|machine| machine.code == Some(0)).count();
        assert_eq!(winners, 1, "{joined:?}");
        let loser = joined.iter().find(|machine| machine.code != Some(0)).expect("one of two");
        assert_is(loser, RefusalKind::LinkSpent);
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
