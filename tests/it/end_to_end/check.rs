//! The hop `end-to-end` of `devstream check`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use super::{Joined, key, short, stream};
use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub};
use crate::support::targets::Target;

fn hop(machine: &Machine, flags: &[&str]) -> (Option<i32>, Value) {
    let finished = machine.run(&[&["check", DEVICE, "--json"], flags].concat());
    let report: Value = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("{finished:?}"));
    let hops = report["hops"].as_array().unwrap();
    let hop = hops.iter().find(|hop| hop["hop"] == "endToEnd").unwrap_or_else(|| panic!("{report:#}"));
    (finished.code, hop.clone())
}

#[test]
fn check_reports_the_peers_key_how_it_is_known_and_the_cryptography() {
    let (joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let _agent = joined.agent(target.port);
    let key = key(&joined.device, "device");
    for (prefix, pin) in [("by first use, just now; compare it with", false), ("by a pin since 20", true)] {
        if pin {
            joined.laptop.ask(&["trust", "pin", "device", DEVICE, &key]);
        }
        let (code, found) = hop(&joined.laptop, &[]);
        assert_eq!((code, &found["state"]), (Some(0), &"good".into()), "{found:#}");
        let facts = &found["facts"];
        assert_eq!((&facts["key"], found["milliseconds"].is_f64()), (&short(&key).into(), true), "{found:#}");
        assert!(facts["known"].as_str().unwrap().starts_with(prefix), "{found:#}");
        assert!(facts["cipher"].as_str().unwrap().starts_with("TLS13_"), "{found:#}");
        assert_eq!(facts["key exchange"], "X25519MLKEM768 (post-quantum)");
    }
    let text = joined.laptop.ask(&["check", DEVICE]);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    for words in ["end-to-end      ok", &format!("key {}", short(&key)), "known by a pin since", "(post-quantum)"] {
        assert!(text.contains(words), "no '{words}' in {text}");
    }
    let order = ["stream  ", "end-to-end", "target  "].map(|hop| text.find(hop).unwrap());
    assert!(order.is_sorted(), "{text}");
}

#[test]
fn check_names_the_refusal_of_another_key_at_either_end() {
    let (mut joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    {
        let _agent = joined.agent(target.port);
        stream(&joined.laptop);
    }
    let old = joined.device.clone();
    joined.set_up_anew();
    let _agent = joined.agent(target.port);
    let (code, found) = hop(&joined.laptop, &[]);
    let row = RefusalKind::AnotherPeerKey.row();
    assert_eq!((code, &found["word"], &found["state"]), (Some(42), &row.label.into(), &"failed".into()), "{found:#}");
    assert!(found["cause"].as_str().unwrap().contains(&short(&key(&old, "device"))), "{found:#}");
    assert!(found["advice"].as_str().unwrap().contains("devstream trust pin device pi-42 KEY"), "{found:#}");

    // The new device knows nobody yet: it is told of another alice.
    joined.device.ask(&["trust", "pin", "service", "alice", &key(&joined.device, "device")]);
    joined.laptop.ask(&["trust", "pin", "device", DEVICE, &key(&joined.device, "device")]);
    let (code, found) = hop(&joined.laptop, &[]);
    assert_eq!((code, &found["state"]), (Some(42), &"failed".into()), "{found:#}");
    assert!(found["cause"].as_str().unwrap().contains("knows another key of this machine"), "{found:#}");
}

#[test]
fn check_says_in_words_what_is_not_encrypted_end_to_end() {
    let (joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let port = format!("target={}", target.port);
    let agent = joined.device.start(&["device-agent", "--forward", &port, "--allow-plain", "alice"]);
    agent.wait_line("is online");
    let (code, found) = hop(&joined.laptop, &["--plain"]);
    assert_eq!((code, &found["state"]), (Some(0), &"warning".into()), "{found:#}");
    assert!(found["cause"].as_str().unwrap().starts_with("not encrypted end to end: --plain"), "{found:#}");
    let by_variable = joined.laptop.clone().with("DEVSTREAM_PLAIN", "true");
    assert_eq!(hop(&by_variable, &[]).1, hop(&joined.laptop, &["--plain"]).1);
    hop(&joined.laptop, &[]);
    let (code, found) = hop(&joined.laptop, &["--plain"]);
    assert_eq!((code, &found["state"]), (Some(44), &"failed".into()), "its key is known by now: {found:#}");
    let proxy = joined.laptop.start(&["service-proxy", DEVICE, "--local", "0", "--plain"]);
    let warning = proxy.wait_line("service-proxy: warning: pi-42 encrypts its streams end to end: drop --plain");
    assert!(warning.ends_with("devstream trust forget device pi-42"), "{warning}");
    // The device knows the service's key.
    joined.laptop.ask(&["trust", "forget", "device", DEVICE, "--yes"]);
    let refused = joined.laptop.run(&["check", DEVICE, "--plain"]);
    assert_eq!(refused.code, Some(13), "{refused:?}");
    for words in
        ["as this service's were before: drop --plain", "next: the device's operator decides that, with --allow-"]
    {
        assert!(refused.stdout.contains(words), "{words}: {refused:?}");
    }
}

#[test]
fn check_with_the_users_own_hub_has_the_key_from_its_registry() {
    let (machine, target) = (Machine::new(), Target::greeting_then_reading("hello\n"));
    let _hub = Hub::start(&machine);
    let _agent = Agent::start(&machine, &[&format!("target={}", target.port)]);
    let (code, found) = hop(&machine, &[]);
    assert_eq!((code, &found["facts"]["known"]), (Some(0), &"from the hub's own registry".into()), "{found:#}");
    assert_eq!(found["facts"]["key"], short(&key(&machine, "device")));
}

#[test]
fn a_proxy_says_at_its_start_whether_its_streams_are_encrypted_end_to_end() {
    let joined = Joined::new();
    let proxy = |flags: &[&str]| joined.laptop.start(&[&["service-proxy", DEVICE, "--local", "0"], flags].concat());
    proxy(&[]).wait_line("service-proxy: streams will be encrypted end-to-end");
    proxy(&["--plain"]).wait_line("service-proxy: streams will not be encrypted end-to-end: --plain");
    let command = joined.laptop.ask(&["ssh", "--plain", DEVICE, "-G"]);
    assert!(command.contains("service-proxy --plain --device="), "{command}");
    let rdp = joined.laptop.start(&["rdp", "--plain", "--no-client", DEVICE]);
    rdp.wait_line("rdp: streams will not be encrypted end-to-end: --plain");
}

#[test]
fn where_what_is_known_cannot_be_read_no_stream_is_plain() {
    let (joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let port = format!("target={}", target.port);
    let agent = joined.device.start(&["device-agent", "--forward", &port, "--allow-plain", "alice"]);
    agent.wait_line("is online");
    for (machine, role, exit) in [(&joined.device, "device", 13), (&joined.laptop, "service", 1)] {
        let known = machine.home().join(".local/share/devstream").join(role).join("known");
        fs::write(&known, "damaged").unwrap();
        fs::set_permissions(&known, Permissions::from_mode(0o600)).unwrap();
        let refused = joined.laptop.run(&["service-proxy", DEVICE, "--stdio", "--plain"]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(exit), ""), "{role}: {refused:?}");
        if role == "service" {
            assert!(refused.stderr.contains(known.to_str().unwrap()), "{refused:?}");
        }
    }
}
