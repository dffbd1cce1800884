//! What `hub cluster status` says of the engine, and `hub status` and `devstream status` of all hubs.

use devstream::proto::admin::{ClusterStatus, OtherHubStatuses};

use crate::support::cluster::Cluster;
use crate::support::nats::Nats;
use crate::support::poll;
use crate::support::targets::Target;

/// Accounts of which that of the hubs may ask for the servers' settings.
const ACCOUNTS: &str = r#"system_account: SYS
no_auth_user: hub
accounts {
  SYS { exports: [ { service: "$SYS.REQ.SERVER.PING.VARZ", response_type: Stream, accounts: [ HUBS ] } ] }
  HUBS {
    jetstream: enabled, users: [ { user: hub, password: hub } ]
    imports: [ { service: { account: SYS, subject: "$SYS.REQ.SERVER.PING.VARZ" } } ]
  }
}
"#;

#[test]
fn status_names_every_nats_server_with_its_version() {
    let mut cluster = Cluster::over(Nats::start(3), 1, &[]);
    let status = || cluster.hubs[0].json::<ClusterStatus>(&["cluster", "status"]);
    poll("all three servers", || {
        let servers = status().servers;
        let names: Vec<_> = servers.iter().map(|server| server.name.as_str()).collect();
        (names == ["n0", "n1", "n2"]).then_some(())
    });
    let servers = status().servers;
    assert_eq!(servers.iter().filter(|server| server.is_connected).count(), 1, "{servers:?}");
    assert!(servers.iter().all(|server| server.version.starts_with("2.") && server.synced.is_none()), "{servers:?}");
    cluster.nats.kill(2);
    poll("two servers", || {
        let servers = cluster.hubs[0].json::<ClusterStatus>(&["cluster", "status"]).servers;
        (servers.len() == 2).then_some(())
    });
}

#[test]
fn status_says_whether_nats_writes_to_disk_before_it_confirms() {
    let cluster = Cluster::over(Nats::start_with(1, ACCOUNTS), 1, &[]);
    let said = cluster.hubs[0].ask(&["cluster", "status"]);
    assert!(said.contains("n0 (in use)") && said.contains("minutes later"), "{said}");
    let checked = cluster.hubs[0].machine().run(&["hub", "check"]);
    assert!(checked.stdout.contains("n0 can lose confirmed changes"), "{checked:?}");
}

#[test]
fn hub_status_has_every_hub_and_names_one_that_does_not_answer() {
    let (cluster, target) = (Cluster::start(2), Target::echo());
    let [here, there] = [0, 1].map(|hub: usize| &cluster.hubs[hub]);
    let _agent = cluster.agent_at(1, target.port);
    let others: OtherHubStatuses = here.json(&["status"]);
    let [other] = &others.other_hubs[..] else { panic!("{others:?}") };
    assert_eq!((other.address.clone(), other.online), (there.address().parse().ok(), 1));
    let text = here.ask(&["status"]);
    let hubs: Vec<_> = text.lines().filter_map(|line| Some(line.strip_prefix("hub ")?.trim())).collect();
    assert_eq!(hubs, [here.address(), there.address()], "{text}");
    let online: Vec<_> = text.lines().filter(|line| line.starts_with("devices ")).collect();
    assert!(online[0].ends_with(" 0 online of 1") && online[1].ends_with(" 1 online of 1"), "{text}");
    assert_eq!(here.machine().ask(&["status"]).matches("\nhub ").count(), 1, "the other's is not there");

    there.process.signal("STOP");
    let silent = here.machine().run(&["hub", "status"]);
    there.process.signal("CONT");
    assert!(silent.stderr.contains(&there.address()) && silent.stderr.contains("did not answer"), "{silent:?}");

    there.process.kill();
    poll("the hub that is dead", || here.machine().ask(&["status"]).contains("did not answer").then_some(()));
    let dead: OtherHubStatuses = here.json(&["status"]);
    assert!(dead.other_hubs.is_empty() && dead.silent_hubs.len() == 1, "{dead:?}");
}
