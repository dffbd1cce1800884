//! The activity logs of several hubs as one.

use std::fs;

use devstream::proto::timestamp::Timestamp;
use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::disk::STATE;
use crate::support::process::{Finished, Process};
use crate::support::roles::Hub;
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, poll};

/// What a hub itself has written.
fn written(hub: &Hub) -> Vec<Value> {
    let text = fs::read_to_string(hub.machine().home().join(STATE).join("activity.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of one hub among those of all, without its name.
fn lines_of(all: &[Value], hub: &Hub) -> Vec<Value> {
    let of_hub = all.iter().filter(|line| line["hub"] == hub.address());
    let without = |line: &Value| {
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove("hub");
        line
    };
    of_hub.map(without).collect()
}

/// The lines that it has printed so far.
fn printed(follow: &Process) -> Vec<Value> {
    let log = follow.log();
    log.lines().filter_map(|line| serde_json::from_str(line.trim().strip_prefix("Stdout: ")?).ok()).collect()
}

fn run_logs(hub: &Hub, arguments: &[&str]) -> Finished {
    let finished = hub.machine().run(&[&["hub", "logs"], arguments].concat());
    assert_eq!(finished.code, Some(0), "{finished:?}");
    finished
}

/// A cluster of two hubs whose logs have a stream each.
fn with_streams() -> Cluster {
    let (cluster, target) = (Cluster::start(2), Target::echo());
    for hub in [0, 1] {
        let agent = cluster.agent_at(hub, target.port);
        let proxy = cluster.proxy_at(hub);
        is_alive(&mut proxy.connect());
        let wait = |operation| {
            let is_there = || written(&cluster.hubs[hub]).iter().any(|line| line["operationName"] == operation);
            poll(&format!("{operation} in the log of the hub"), || is_there().then_some(()));
        };
        wait("streamClosed");
        drop((proxy, agent));
        wait("deviceDisconnected");
    }
    cluster
}

#[test]
fn the_logs_of_all_hubs_are_printed_in_order_with_the_hub_of_each_line() {
    let cluster = with_streams();
    for hub in &cluster.hubs {
        let all = hub.activity();
        let time = |line: &Value| line["time"].as_str().unwrap().to_owned();
        assert!(all.is_sorted_by_key(time), "{all:#?}");
        for of_hub in &cluster.hubs {
            assert_eq!(lines_of(&all, of_hub), written(of_hub), "all of {}, as they are stored", of_hub.address());
        }
        let text = hub.ask(&["logs"]);
        for (line, json) in text.lines().zip(&all) {
            let mut words = line.split_whitespace();
            assert_eq!(words.next(), json["hub"].as_str(), "{line}");
            assert_eq!(words.next(), json["time"].as_str(), "{line}");
        }
        assert_eq!(text.lines().count(), all.len());
        let first = hub.ask(&["logs", "--json"]).lines().next().unwrap_or_default().to_owned();
        assert!(first.starts_with(&format!(r#"{{"hub":"{}","category":"#, cluster.hubs[0].address())), "{first}");
    }
    filtered(&cluster);
}

/// Filters hold at the other hub as well.
fn filtered(cluster: &Cluster) {
    let [near, far] = [&cluster.hubs[0], &cluster.hubs[1]];
    let json = |arguments: &[&str]| {
        let text = near.ask(&[&["logs", "--json"], arguments].concat());
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect::<Vec<_>>()
    };
    let is_of = |name: &'static str, id: &'static str| move |line: &Value| line["properties"][name] == id;
    for (arguments, name, id) in
        [(["--device", DEVICE], "deviceId", DEVICE), (["--service", "alice"], "serviceId", "alice")]
    {
        let found = json(&arguments);
        for hub in [near, far] {
            let expected: Vec<_> = written(hub).into_iter().filter(is_of(name, id)).collect();
            assert!(!expected.is_empty());
            assert_eq!(lines_of(&found, hub), expected, "{arguments:?}");
        }
    }
    assert_eq!(json(&["--since", "1h"]), near.activity());
    let nothing = run_logs(near, &["--device", "nobody"]);
    assert!(nothing.stdout.is_empty() && nothing.stderr.contains("nothing is logged"), "{nothing:?}");
}

#[test]
fn following_shows_the_last_lines_of_all_hubs_and_every_new_one_once() {
    let cluster = with_streams();
    let [near, far] = [&cluster.hubs[0], &cluster.hubs[1]];
    let before = near.activity();
    let follow = near.machine().start(&["hub", "logs", "--follow", "--json"]);
    follow.wait_line(before.last().unwrap()["time"].as_str().unwrap());
    near.service_link("at-the-near-one");
    follow.wait_line("at-the-near-one");
    for number in 0..3 {
        far.service_link(&format!("at-the-far-one-{number}"));
        let line = follow.wait_line(&format!("at-the-far-one-{number}"));
        assert!(line.contains(&format!(r#"{{"hub":"{}","#, far.address())), "{line}");
    }
    let lines = printed(&follow);
    assert_eq!(lines[..10], before[before.len() - 10..], "{follow}");
    assert_eq!(lines.len(), 14, "{follow}");
    let since = near.machine().start(&["hub", "logs", "--follow", "--json", "--since", "1h"]);
    since.wait_line("at-the-far-one-2");
    assert_eq!(printed(&since), near.activity(), "all of that time");
}

#[test]
fn a_hub_whose_lines_are_missing_is_named_and_followed_again_once_it_answers() {
    let mut cluster = with_streams();
    let follow = cluster.hubs[0].machine().start(&["hub", "logs", "--follow"]);
    let address = cluster.hubs[1].address();
    follow.wait_line(&address);
    cluster.hubs[1].process.kill();
    let missing = format!("lines of {address} are missing: no hub listens there");
    follow.wait_line(&missing);
    cluster.wait_alive(1);
    let dead = run_logs(&cluster.hubs[0], &[]);
    let warning = format!("lines of {address} are missing: it does not live");
    assert!(dead.stderr.contains(&warning) && !dead.stdout.contains(&address), "{dead:?}");
    assert!(dead.stdout.lines().all(|line| line.starts_with(&cluster.hubs[0].address())), "{dead:?}");
    cluster.hubs[0].service_link("meanwhile");
    follow.wait_line("meanwhile");
    cluster.restart(1);
    let started = follow.wait_line_after(follow.lines(), "hubStarted");
    assert!(started.contains(&address), "{started}");
    assert_eq!(follow.errors().matches("are missing").count(), 1, "{}", follow.errors());
}

#[test]
fn where_the_hub_itself_does_not_run_only_its_own_log_is_shown_and_that_is_said() {
    let cluster = with_streams();
    let hub = &cluster.hubs[0];
    let follow = hub.machine().start(&["hub", "logs", "--follow"]);
    follow.wait_line(&cluster.hubs[1].address());
    hub.process.kill();
    let warning = "only the log of this hub is shown: no hub runs with the state directory";
    follow.wait_line(warning);
    let shown = run_logs(hub, &["--json"]);
    assert!(shown.stderr.contains(warning), "{shown:?}");
    let lines: Vec<Value> = shown.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines_of(&lines, hub), written(hub));
    assert_eq!(lines.len(), written(hub).len());
    let times = lines.iter().map(|line| line["time"].as_str().and_then(Timestamp::parse));
    assert!(times.flatten().count() == lines.len(), "{lines:#?}");
}
