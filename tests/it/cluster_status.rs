//! What `hub cluster status` says of the engine.

use devstream::proto::admin::ClusterStatus;

use crate::support::cluster::Cluster;
use crate::support::nats::Nats;
use crate::support::poll;

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
}
