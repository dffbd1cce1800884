//! Several hubs as one: streams cross them, and outlive any of them.

use std::thread;

use devstream::proto::admin::{ClusterStatus, Identity, StreamStatus};
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{MIB, echo_to_eof};
use crate::support::cluster::Cluster;
use crate::support::machine::Machine;
use crate::support::nats::Nats;
use crate::support::roles::{Agent, assert_is, pipe};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, SOON, poll, within};

#[test]
fn a_service_at_one_hub_reaches_a_device_at_another_and_lists_show_both() {
    let (cluster, target) = (Cluster::start(2), Target::echo());
    let _agent = cluster.agent_at(1, target.port);
    let proxy = cluster.proxy_at(0);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let [first, second] = [&cluster.hubs[0], &cluster.hubs[1]];
    let shown: Vec<Identity> = first.json(&["device", "list"]);
    let online = shown[0].online.as_ref().expect("it is online at the other hub");
    assert_eq!(online.hub.as_ref().map(ToString::to_string), Some(second.address()));
    let streams: Vec<StreamStatus> = first.json(&["streams", "list"]);
    assert_eq!(streams[0].hub.as_ref().map(ToString::to_string), Some(second.address()), "it is where the device is");
    let devices = cluster.laptop_at(0).ask(&["devices"]);
    assert!(devices.contains("online"), "{devices}");
    assert!(first.ask(&["devices"]).contains(&second.address()));
    first.ask(&["streams", "kill", &streams[0].id.to_string()]);
    proxy.process.wait_line(RefusalKind::StreamKilled.row().sentence);
    second.wait_activity("streamKilled", Some("killed"));
}

#[test]
fn a_stream_across_hubs_is_two_messages_and_the_next_one_none() {
    let (cluster, target) = (Cluster::start(2), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    poll("the news of the device", || (pipe(&cluster.laptop_at(1), DEVICE).code == Some(0)).then_some(()));
    let [near, far] = [cluster.proxy_at(0), cluster.proxy_at(1)];
    let mut messages =
        cluster.nats.count(&["ds1.ask.>", "ds1.cancel.>", "ds1.who", "ds1.presence", "_INBOX.>", "$KV.>"]);
    is_alive(&mut near.connect());
    let mut of_streams = || {
        // The proxies list devices when they start.
        let is_listing = |text: &String| text.contains(r#""do":"devices""#) || text.contains(r#""is":"devices""#);
        messages.take().into_iter().filter(|text| !is_listing(text)).collect::<Vec<_>>()
    };
    assert_eq!(of_streams(), [""; 0], "on one hub");
    is_alive(&mut far.connect());
    let across = of_streams();
    let words = [r#""do":"open""#, r#""is":"opened""#];
    assert!(across.len() == 2 && words.iter().zip(&across).all(|(word, text)| text.contains(word)), "{across:?}");
    is_alive(&mut far.connect());
    assert_eq!(of_streams(), [""; 0], "it goes to the device's hub at once");
}

#[test]
fn streams_outlive_the_hub_that_carries_them() {
    const EACH: u64 = 32 * MIB;
    let (mut cluster, target) = (Cluster::start(3), Target::echo());
    let agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(0);
    thread::scope(|scope| {
        let mut streams: Vec<_> = (0..4).map(|seed| (seed, proxy.connect())).collect();
        streams.iter_mut().for_each(|(_, stream)| is_alive(stream));
        let transfers: Vec<_> =
            streams.into_iter().map(|(seed, stream)| scope.spawn(move || echo_to_eof(&stream, seed, EACH))).collect();
        for hub in [0, 1, 2, 0] {
            let carrying: Vec<StreamStatus> = cluster.hubs[hub].json(&["streams", "list"]);
            let own = cluster.hubs[hub].address();
            let is_there = carrying.iter().any(|stream| stream.hub.as_ref().is_some_and(|at| at.to_string() == own));
            let lines = proxy.process.lines();
            cluster.hubs[hub].process.kill();
            if is_there {
                proxy.process.wait_line_after(lines, "resumed after");
            }
            cluster.restart(hub);
            cluster.wait_alive(3);
        }
        drop(transfers);
    });
    drop(agent);
}

#[test]
fn a_device_is_reached_again_after_its_hub_was_killed() {
    let (mut cluster, target) = (Cluster::start(2), Target::echo());
    let agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(1);
    is_alive(&mut proxy.connect());
    let lines = agent.process.lines();
    cluster.hubs[0].process.kill();
    agent.process.wait_line_after(lines, "is online at");
    is_alive(&mut proxy.connect());
    cluster.wait_alive(1);
    let checked = cluster.hubs[1].machine().run(&["hub", "check"]);
    let dead = format!("{} does not live", cluster.hubs[0].address());
    assert!(checked.stdout.contains(&dead) && checked.stdout.contains("1 of 2 live"), "{checked:?}");
    cluster.restart(0);
}

#[test]
fn a_hub_that_was_frozen_and_thaws_has_no_part_in_what_went_on_without_it() {
    let (mut cluster, target) = (Cluster::start(2), Target::echo());
    for machine in [&mut cluster.device, &mut cluster.laptop] {
        *machine = machine.clone().with("DEVSTREAM_DEAD_AFTER", "4");
    }
    let agent = cluster.agent_at(0, target.port);
    let proxy = cluster.proxy_at(0);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let lines = [agent.process.lines(), proxy.process.lines()];
    cluster.hubs[0].process.signal("STOP");
    proxy.process.wait_line_after(lines[1], "resumed after");
    agent.process.wait_line_after(lines[0], "is online at");
    is_alive(&mut local);
    cluster.hubs[0].process.signal("CONT");
    cluster.wait_alive(2);
    is_alive(&mut local);
    is_alive(&mut proxy.connect());
    for hub in &cluster.hubs {
        poll("one connection of the device", || {
            let shown: Vec<Identity> = hub.json(&["device", "list"]);
            let at = shown[0].online.as_ref()?.hub.as_ref()?.to_string();
            (at == cluster.hubs[1].address()).then_some(())
        });
    }
}

#[test]
fn hubs_without_nats_serve_what_they_have_and_call_no_device_offline() {
    let (mut cluster, target) = (Cluster::over(Nats::start(3), 2, &[]), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    let (near, far) = (cluster.proxy_at(0), cluster.laptop_at(1));
    let mut local = near.connect();
    is_alive(&mut local);
    cluster.nats.kill_all();
    for hub in &cluster.hubs {
        poll("a hub that knows that NATS is gone", || {
            let status: ClusterStatus = hub.json(&["cluster", "status"]);
            status.isolated_seconds
        });
    }
    is_alive(&mut local);
    is_alive(&mut near.connect());
    assert_is(&pipe(&far, DEVICE), RefusalKind::HubIsolated);
    let checked = cluster.hubs[1].machine().run(&["hub", "check"]);
    assert!(checked.code == Some(57) && checked.stdout.contains("no NATS server can be reached"), "{checked:?}");
    cluster.nats.restart_all();
    let proxy = poll("a stream across hubs", || {
        let proxy = cluster.proxy_at(1);
        let mut local = proxy.connect();
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| is_alive(&mut local))).ok().map(|()| proxy)
    });
    drop(proxy);
    is_alive(&mut local);
}

#[test]
fn of_two_agents_with_one_id_at_two_hubs_one_stays() {
    let (cluster, target) = (Cluster::start(2), Target::echo());
    let forward = format!("target={}", target.port);
    let first = cluster.beginning_with(&cluster.device, 0).start(&["-v", "device-agent", "--forward", &forward]);
    first.wait_line("is online at");
    let second = Agent::start(&cluster.beginning_with(&cluster.device.hidden(), 1), &[&forward]);
    // Told once, and refused each time that it looks whether the other one has ended.
    (0..3).fold(0, |lines, _| {
        first.wait_line_after(lines, RefusalKind::Displaced.row().sentence);
        first.lines()
    });
    let log = second.process.log();
    assert!(!log.contains(RefusalKind::Displaced.row().sentence), "it was left alone: {log}");
    is_alive(&mut cluster.proxy_at(0).connect());
}

#[test]
fn access_that_is_taken_at_one_hub_ends_at_the_others_at_once() {
    let (cluster, target) = (Cluster::start(3), Target::echo());
    let agent = cluster.agent_at(1, target.port);
    let proxy = cluster.proxy_at(2);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let told =
        within(SOON, "taking access away", || cluster.hubs[0].machine().run(&["hub", "service", "disable", "alice"]));
    for other in &cluster.hubs[1..] {
        assert!(told.stderr.contains(&other.address()), "{told:?}");
    }
    proxy.process.wait_line(RefusalKind::Disabled.row().sentence);
    assert_is(&pipe(&cluster.laptop_at(1), DEVICE), RefusalKind::Disabled);
    // Given again at another hub, whatever that had heard by then.
    cluster.hubs[1].ask(&["service", "enable", "alice"]);
    poll("access", || (pipe(&cluster.laptop_at(0), DEVICE).code == Some(0)).then_some(()));
    cluster.hubs[2].ask(&["device", "remove", DEVICE]);
    agent.process.wait_line(RefusalKind::Disabled.row().sentence);
}

#[test]
fn any_one_of_three_nats_servers_may_die() {
    let (mut cluster, target) = (Cluster::over(Nats::start(3), 2, &[]), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    let far = cluster.laptop_at(1);
    for server in 0..3 {
        cluster.nats.kill(server);
        // A new process each time: it knows of no hub, and asks.
        poll("a stream across hubs with two servers", || (pipe(&far, DEVICE).code == Some(0)).then_some(()));
        cluster.nats.restart(server);
    }
}

#[test]
fn an_invitation_makes_one_hub_where_none_has_run() {
    let cluster = Cluster::start(2);
    let link = cluster.hubs[1].ask(&["cluster", "invite"]);
    let join = ["hub", "cluster", "join", "--name", "127.0.0.1:1"];
    let used = cluster.hubs[0].machine().paste(&join, link.trim());
    assert!(used.stderr.contains("there is a hub in"), "{used:?}");
    let (first, second) = (Machine::new(), Machine::new());
    let joined = first.paste(&join, link.trim());
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let again = second.paste(&join, link.trim());
    assert!(again.code == Some(1) && again.stderr.contains("the link was used"), "{again:?}");
    let cut = second.paste(&join, &link.trim()[..link.len() - 5]);
    assert!(cut.code == Some(2) && cut.stderr.contains("copy the whole line"), "{cut:?}");
    cluster.hubs[1].wait_activity("hubInvited", Some("created"));
    cluster.hubs[1].wait_activity("hubJoined", Some("joined"));
}
