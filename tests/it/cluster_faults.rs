//! Faults of hubs and of the networks between hubs, devices, services and NATS.

use devstream::proto::admin::{ClusterStatus, Identity};
use devstream::proto::refusal::RefusalKind;

use crate::support::chaos::{Direction, Fault};
use crate::support::cluster::Cluster;
use crate::support::machine::Machine;
use crate::support::nats::Nats;
use crate::support::roles::{Agent, assert_is, pipe};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, SOON, poll, within};

/// Many times those that a client resumes at the same time.
const STREAMS: usize = 100;

#[test]
fn a_hub_that_loses_power_is_routed_around_and_its_streams_go_on_elsewhere() {
    let (mut cluster, target) = (Cluster::with_networks(Nats::start(1), 3), Target::echo());
    for machine in [&mut cluster.device, &mut cluster.laptop] {
        *machine = machine.clone().with("DEVSTREAM_DEAD_AFTER", "4");
    }
    let agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(0);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let lines = [agent.process.lines(), proxy.process.lines()];
    // Nobody hears that it is gone: not by a reset, and not by a refused connection.
    let networks = cluster.links[0].iter().chain([&cluster.fronts[0]]);
    networks.for_each(|network| network.hit_everything(Fault::BlackHole(Direction::Both)));
    cluster.hubs[0].process.kill();
    cluster.wait_alive(2);
    agent.process.wait_line_after(lines[0], "is online at");
    proxy.process.wait_line_after(lines[1], "resumed after");
    is_alive(&mut local);
    is_alive(&mut cluster.proxy_at(1).connect());
    for hub in [1, 2] {
        let status: ClusterStatus = cluster.hubs[hub].json(&["cluster", "status"]);
        let state = |number: usize| {
            let found = status.hubs.iter().find(|hub| hub.address.to_string() == cluster.addresses[number]);
            found.map(|hub| hub.state.as_str())
        };
        assert_eq!(state(0), Some("dead"), "{status:?}");
    }
}

#[test]
fn while_the_registrys_leader_is_gone_access_ends_everywhere_and_the_change_waits_for_the_next_one() {
    let (mut cluster, target) = (Cluster::over(Nats::start(3), 3, &[]), Target::echo());
    let _agent = cluster.agent_at(1, target.port);
    let proxy = cluster.proxy_at(2);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let leader = cluster.nats.leader();
    cluster.nats.kill(leader);
    let told = cluster.hubs[0].machine().start(&["hub", "service", "disable", "alice"]);
    within(SOON, "the end of access", || proxy.process.wait_line(RefusalKind::Disabled.row().sentence));
    let told = told.finish();
    assert!(told.code == Some(0) && told.stderr.contains("service alice is disabled"), "{told:?}");
    for hub in &cluster.hubs {
        poll("the change", || hub.ask(&["service", "list"]).contains("disabled").then_some(()));
    }
    cluster.nats.restart(leader);
    cluster.hubs[2].ask(&["service", "enable", "alice"]);
    poll("access", || (pipe(&cluster.laptop_at(0), DEVICE).code == Some(0)).then_some(()));
}

#[test]
fn without_a_majority_of_nats_servers_streams_go_on_and_a_link_stays_good() {
    let (mut cluster, target) = (Cluster::over(Nats::start(3), 3, &[]), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(0);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let link = cluster.hubs[0].device_link("pi-43");
    [0, 1].into_iter().for_each(|server| cluster.nats.kill(server));
    poll("a stream across hubs", || (pipe(&cluster.laptop_at(1), DEVICE).code == Some(0)).then_some(()));
    is_alive(&mut proxy.connect());
    let newcomer = Machine::new();
    assert_is(&newcomer.run(&["join", &link]), RefusalKind::ChangesRefused);
    let lines = proxy.process.lines();
    cluster.hubs[0].process.kill();
    proxy.process.wait_line_after(lines, "resumed after");
    is_alive(&mut local);
    cluster.restart(0);
    cluster.nats.restart_all();
    poll("the join", || (newcomer.run(&["join", &link]).code == Some(0)).then_some(()));
}

#[test]
fn a_hub_that_is_cut_off_serves_its_own_and_the_newer_of_two_agents_stays_once_it_is_back() {
    let (cluster, target) = (Cluster::with_networks(Nats::start(1), 2), Target::echo());
    let other = Machine::new();
    other.ask(&["join", &cluster.hubs[0].device_link("pi-43")]);
    let forward = format!("target={}", target.port);
    let _other = Agent::start_as(&cluster.beginning_with(&other, 1), "pi-43", &[&forward]);
    let older = cluster.beginning_with(&cluster.device, 0).start(&["-v", "device-agent", "--forward", &forward]);
    older.wait_line("is online at");
    let near = cluster.proxy_at(0);
    let mut local = near.connect();
    is_alive(&mut local);
    poll("a stream across hubs", || (pipe(&cluster.laptop_at(0), "pi-43").code == Some(0)).then_some(()));

    cluster.links[0][0].hit_everything(Fault::Freeze(Direction::Both));
    poll("a hub that is cut off", || {
        let status: ClusterStatus = cluster.hubs[0].json(&["cluster", "status"]);
        status.isolated_seconds
    });
    is_alive(&mut local);
    is_alive(&mut near.connect());
    assert_is(&pipe(&cluster.laptop_at(0), "pi-43"), RefusalKind::HubIsolated);
    // The same device appears at the other side, which takes the hub that is cut off for dead.
    cluster.wait_dead(1, 0);
    let newer =
        cluster.beginning_with(&cluster.device.hidden(), 1).start(&["-v", "device-agent", "--forward", &forward]);
    newer.wait_line("is online at");
    is_alive(&mut cluster.proxy_at(1).connect());

    cluster.links[0][0].heal();
    older.wait_line(RefusalKind::Displaced.row().sentence);
    cluster.wait_alive(2);
    for hub in &cluster.hubs {
        poll("the newer one", || {
            let shown: Vec<Identity> = hub.json(&["device", "list"]);
            let device = shown.iter().find(|device| device.principal.id.to_string() == DEVICE)?;
            let at = device.online.as_ref()?.hub.as_ref()?.to_string();
            (at == cluster.addresses[1]).then_some(())
        });
    }
    assert!(!newer.log().contains(RefusalKind::Displaced.row().sentence), "it was left alone: {newer}");
}

#[test]
fn ends_that_can_reach_different_hubs_only_wait_for_each_other_no_longer() {
    let (cluster, target) = (Cluster::with_networks(Nats::start(1), 3), Target::echo());
    let agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(0);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let connections: Vec<_> = cluster.fronts.iter().map(|front| front.connections()).collect();

    // The service reaches hub 2 alone, and waits there for the device, which stands still.
    agent.process.signal("STOP");
    cluster.fronts[1].refuse();
    cluster.hubs[0].process.kill();
    poll("the service's end at hub 2", || (cluster.states_at(2) == ["interrupted"]).then_some(()));
    // The device reaches hub 1 alone.
    cluster.fronts[1].heal();
    cluster.fronts[2].refuse();
    agent.process.signal("CONT");
    poll("the device's end at hub 1", || (cluster.fronts[1].connections() > connections[1]).then_some(()));
    // By themselves they would go on to the next hub after ten seconds.
    within(SOON, "the ends meet", || is_alive(&mut local));
}

#[test]
fn a_hundred_streams_of_one_device_waited_for_each_other_when_their_hub_was_killed() {
    let (cluster, target) = (Cluster::start(3), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(0);
    let mut streams: Vec<_> = (0..STREAMS).map(|_| proxy.connect()).collect();
    streams.iter_mut().for_each(is_alive);
    cluster.hubs[0].process.kill();
    within(SOON, "all streams", || streams.iter_mut().for_each(is_alive));
}
