//! Enrolment: with a single-use code, and with a secret that many devices share.

use std::collections::HashSet;

use devstream::proto::admin::{Enrolment, Identity};
use devstream::proto::id::DeviceId;
use devstream::proto::refusal::RefusalKind;
use rusqlite::{Connection, TransactionBehavior};

use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::process::{Finished, Process};
use crate::support::raw::RawClient;
use crate::support::roles::{Agent, Hub, assert_is};

#[test]
fn an_agent_that_was_started_before_the_join_takes_the_id_that_joined() {
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    let agent = device.start(&["device-agent", "--forward", "22"]);
    agent.wait_line("this machine has not joined a hub");
    device.ask(&["join", &hub.device_link(DEVICE)]);
    agent.wait_line("device-agent: pi-42 is online at ");
    assert!(device.ask(&["status"]).contains("device pi-42 at "));
    let other = device.start(&["device-agent", "--id", "other", "--forward", "22"]);
    let line = other.wait_line("this machine joined as pi-42");
    assert!(
        line.contains("other: this machine joined as pi-42; drop --id, or join as other with --profile NAME; "),
        "{line}"
    );
    agent.signal("INT");
    agent.wait_line("device-agent: stopped; pi-42 is offline");
}

#[test]
fn many_devices_join_with_one_secret_and_each_has_its_own_key() {
    let hub = Hub::start(&Machine::new());
    let link = hub.link(&["enroll", "add", "--device", "plant-a-*", "--uses", "3", "--for", "1h"]);
    let ids = ["plant-a-1", "plant-a-2", "plant-a-3"];
    let joined = ids.map(|id| {
        let machine = Machine::new();
        assert_eq!(join(&machine, &link, &["--id", id]).code, Some(0));
        (Agent::start_as(&machine, id, &["22"]), machine)
    });
    let devices: Vec<Identity> = hub.json(&["device", "list"]);
    let keys: HashSet<_> = devices.iter().map(|device| device.keys[0].fingerprint.clone()).collect();
    assert_eq!((devices.len(), keys.len()), (3, 3), "{devices:?}");
    assert!(devices.iter().all(|device| device.online.is_some() && device.enrolment == Some(1)), "{devices:?}");
    let shown: Vec<Identity> = hub.json(&["device", "show", ids[0]]);
    assert_eq!(shown[0].enrolment, Some(1));
    let listed = key(&hub, 1);
    assert_eq!((listed.uses, listed.used, listed.devices.to_string().as_str()), (3, 3, "plant-a-*"));
    assert!(hub.ask(&["enroll", "list"]).contains("used up"));
    assert!(hub.wait_activity("join", None).to_string().contains("enrolment key 1"));

    let late = join(&Machine::new(), &link, &["--id", "plant-a-4"]);
    assert_is(&late, RefusalKind::LinkSpent);
    assert!(late.stderr.contains("3 of 3 devices have joined") && late.stderr.contains("hub enroll add"), "{late:?}");
    hub.ask(&["enroll", "remove", "1"]);
    let (agent, machine) = &joined[0];
    agent.process.kill();
    let _those_who_joined_stay = Agent::start_as(machine, ids[0], &["22"]);
}

#[test]
fn an_interrupted_join_is_complete_and_logged_or_has_no_effect() {
    const MACHINES: usize = 20;
    // On a busy machine the hub may see some leave before they ask, which counts against their address.
    let hub = Hub::start_with(&Machine::new(), &["--penalty-exempt", "127.0.0.0/8"]);
    for number in 0..MACHINES {
        let link = hub.device_link(&format!("pi-{number}"));
        RawClient::before_joining(&link).redeem_and_leave(&link);
    }
    // The log is written in order: every earlier entry is there too.
    hub.ask(&["device", "remove", "pi-0"]);
    hub.wait_activity("identityRemoved", None);
    let devices: Vec<Identity> = hub.json(&["device", "list"]);
    let log = hub.activity();
    for device in devices.iter().filter(|device| device.joined) {
        let told = |entry: &&serde_json::Value| {
            entry["operationName"] == "join" && entry["properties"]["deviceId"] == device.principal.id.as_str()
        };
        assert_eq!(log.iter().filter(told).count(), 1, "{device:?}");
    }
}

#[test]
fn a_wrong_join_code_is_looked_up_and_changes_nothing() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let (link, others) = (hub.device_link("pi-1"), hub.device_link("pi-2"));
    let unjoined = RawClient::before_joining(&link);
    let path = machine.home().join(".local/share/devstream/hub/registry.sqlite");
    let mut registry = Connection::open(path).expect("the registry");
    // While another program holds the registry it can be read, and not be changed.
    let held = registry.transaction_with_behavior(TransactionBehavior::Immediate).expect("it can be held");
    let refused = unjoined.redeem(&others);
    assert_eq!(refused.status, 401, "{refused:?}");
    drop(held);
    assert_eq!(unjoined.redeem(&link).status, 204, "the right code");
    assert_eq!(unjoined.redeem(&others).status, 204, "a machine that has joined may ask again, with whatever code");
    hub.ask(&["device", "remove", "pi-2"]);
    hub.wait_activity("identityRemoved", None);
    let joins = hub
        .activity()
        .iter()
        .filter(|entry| entry["operationName"] == "join" && entry["resultType"] == "joined")
        .count();
    assert_eq!(joins, 1, "and nothing happened again");
}

#[test]
fn a_joined_machine_repeats_its_own_join_freely_and_others_at_the_cost_of_a_wrong_code() {
    let hub = Hub::start(&Machine::new());
    let (link, others) = (hub.device_link("pi-1"), hub.device_link("pi-2"));
    let joined = RawClient::before_joining(&link);
    for _ in 0..20 {
        assert_eq!(joined.redeem(&link).status, 204);
    }
    // Where it is connected, it is slowed down and not banned.
    let _connection = joined.control("pi-1").expect("it has joined");
    let is_penalised = || hub.activity().iter().any(|entry| entry["operationName"] == "sourcePenalised");
    assert!(!is_penalised());
    let wrong = (0..10).take_while(|_| !is_penalised()).map(|_| joined.redeem(&others).status).collect::<Vec<_>>();
    assert!((3..10).contains(&wrong.len()) && wrong.iter().all(|status| *status == 204), "{wrong:?}");
    assert!(hub.activity().iter().all(|entry| entry["operationName"] != "authenticate"));
}

#[test]
fn a_shared_secret_enrols_only_free_ids_that_match_it() {
    let hub = Hub::start(&Machine::new());
    hub.device_link("plant-a-kept");
    hub.ask(&["device", "disable", "plant-a-kept"]);
    let link = hub.link(&["enroll", "add", "--device", "plant-a-*", "--uses", "9"]);
    assert_eq!(join(&Machine::new(), &link, &["--id", "plant-a-1"]).code, Some(0));
    let finished = join(&Machine::new(), &link, &["--id", "plant-b-1"]);
    assert_is(&finished, RefusalKind::IdNotCovered);
    for (id, why) in [("plant-a-1", "it has joined, with another key"), ("plant-a-kept", "it was added by hand")] {
        let finished = join(&Machine::new(), &link, &["--id", id]);
        assert_is(&finished, RefusalKind::IdTaken);
        assert!(finished.stderr.contains("--id"), "{why}: {finished:?}");
        hub.wait_activity("join", Some(RefusalKind::IdTaken.row().label));
    }
    assert_eq!(key(&hub, 1).used, 1, "nobody else spent it");
    let devices: Vec<Identity> = hub.json(&["device", "list"]);
    assert_eq!(devices.len(), 2, "{devices:?}");
}

#[test]
fn a_shared_secret_gives_a_removed_id_to_nobody_until_it_is_added_again() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let link = hub.link(&["enroll", "add", "--device", "*", "--uses", "9"]);
    assert_eq!(join(&machine, &link, &["--id", "stolen"]).code, Some(0));
    hub.ask(&["device", "remove", "stolen"]);
    let replacing = ["--id", "stolen", "--replace"];
    assert_is(&join(&Machine::new(), &link, &replacing), RefusalKind::IdTaken);
    let before = join(&machine, &link, &replacing);
    assert!(before.code == Some(49) && before.stderr.contains("as device stolen before"), "{before:?}");
    assert!(hub.json::<Vec<Identity>>(&["device", "list"]).is_empty());
    let own = hub.device_link("stolen");
    assert_is(&join(&Machine::new(), &link, &["--id", "stolen"]), RefusalKind::IdTaken);
    assert_eq!(join(&Machine::new(), &own, &[]).code, Some(0));
}

#[test]
fn an_expired_or_removed_secret_enrols_nobody() {
    let machine = Machine::new();
    let hub = Hub::start(&machine);
    let add = ["enroll", "add", "--device", "*", "--uses", "9"];
    let expired = hub.link(&[&add[..], &["--for", "0s"]].concat());
    let removed = hub.link(&add);
    assert!(hub.ask(&["enroll", "list"]).contains("expired"));
    hub.ask(&["enroll", "remove", "2"]);
    let finished = join(&Machine::new(), &expired, &["--id", "x"]);
    assert_is(&finished, RefusalKind::LinkSpent);
    assert!(finished.stderr.contains("it expired at 20"), "{finished:?}");
    let unknown = join(&Machine::new(), &removed, &["--id", "x"]);
    assert!(unknown.code == Some(21) && unknown.stderr.contains("does not know this join link"), "{unknown:?}");
    assert_eq!(hub.json::<Vec<Enrolment>>(&["enroll", "list"]).len(), 1);
    let finished = machine.run(&["hub", "enroll", "remove", "2"]);
    assert!(finished.code == Some(1) && finished.stderr.contains("there is no enrolment key 2"), "{finished:?}");
}

#[test]
fn a_shared_secret_as_an_argument_is_refused_locally() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let link = hub.link(&["enroll", "add", "--device", "*", "--uses", "9"]);
    let finished = machine.run(&["join", &link, "--id", "x"]);
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(
        finished.stderr.contains("visible to every user") && finished.stderr.contains("join < FILE"),
        "{finished:?}"
    );
    assert_eq!(join(&machine, &link, &["--id", "y"]).code, Some(0));
    hub.wait_activity("join", Some("joined"));
    let log = hub.activity();
    let heard =
        |entry: &&serde_json::Value| entry["operationName"] == "join" || entry["operationName"] == "authenticate";
    assert_eq!(log.iter().filter(heard).count(), 1, "{log:#?}");
}

#[test]
fn a_join_without_an_id_uses_the_machines_name() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let link = hub.link(&["enroll", "add", "--device", "*", "--uses", "1"]);
    let finished = join(&machine, &link, &[]);
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let devices: Vec<Identity> = hub.json(&["device", "list"]);
    let name = Process::start(&mut machine.command("hostname")).finish().stdout;
    let own = name.trim().split('.').next().unwrap_or_default();
    assert!(devices[0].principal.id.as_str().starts_with(own), "{devices:?} on {name}");
}

#[test]
fn a_join_link_is_read_in_every_encoding_that_editors_write() {
    let hub = Hub::start(&Machine::new());
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    for (number, encode) in
        [&(|link: &str| [b"\xEF\xBB\xBF", link.as_bytes()].concat()) as &dyn Fn(&str) -> Vec<u8>, &|link: &str| {
            [&[0xFF, 0xFE], utf16(&format!("{link}\r\n")).as_slice()].concat()
        }]
        .into_iter()
        .enumerate()
    {
        let link = hub.device_link(&format!("pi-{number}"));
        let machine = Machine::new();
        let mut join = machine.command(DEVSTREAM);
        let joined = Process::start_with_input(join.arg("join"), encode(&link)).finish();
        assert_eq!(joined.code, Some(0), "{joined:?}");
    }
}

#[test]
fn a_join_code_expires() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let link = hub.link(&["device", "add", "pi-1", "--link-for", "0s"]);
    let expired = join(&machine, &link, &[]);
    assert_is(&expired, RefusalKind::LinkSpent);
    assert!(expired.stderr.contains("(it expired at 20"), "{expired:?}");
    assert!(expired.stderr.contains("on the hub, `devstream hub device rotate pi-1` prints a new one"), "{expired:?}");
    let link = hub.link(&["device", "add", "pi-1"]);
    let finished = join(&machine, &link, &["--id", "pi-2"]);
    assert!(finished.code == Some(2) && finished.stderr.contains("this link is for pi-1"), "{finished:?}");
    assert_eq!(join(&machine, &link, &["--id", "pi-1"]).code, Some(0));
}

#[test]
fn a_join_whose_response_was_lost_can_be_repeated_by_the_same_key_only() {
    let hub = Hub::start(&Machine::new());
    let link = hub.device_link("pi-1");
    let machine = RawClient::before_joining(&link);
    assert_eq!((machine.redeem(&link).status, machine.redeem(&link).status), (204, 204));
    assert_eq!(RawClient::before_joining(&link).redeem(&link).status, 410, "another key");

    let shared = hub.link(&["enroll", "add", "--device", "*", "--uses", "2"]);
    let machine = RawClient::before_joining(&named(&shared, "pi-2"));
    assert_eq!((machine.redeem(&shared).status, machine.redeem(&shared).status), (204, 204));
    assert_eq!(key(&hub, 1).used, 1, "one machine, one use");
}

#[test]
fn a_service_does_not_join_with_a_secret_for_devices() {
    let hub = Hub::start(&Machine::new());
    let shared = hub.link(&["enroll", "add", "--device", "*", "--uses", "2"]);
    let malformed = named(&shared, "alice").replace("role=device", "role=service");
    assert_eq!(RawClient::before_joining(&malformed).redeem(&shared).status, 401);
    assert!(hub.json::<Vec<Identity>>(&["service", "list"]).is_empty());
}

#[test]
fn a_link_that_was_used_says_so_and_the_machine_that_used_it_has_already_joined() {
    let (hub, machine, other) = (Hub::start(&Machine::new()), Machine::new(), Machine::new());
    let link = hub.device_link("pi-1");
    machine.ask(&["join", &link]);
    let again = machine.run(&["join", &link]);
    assert_eq!(again.code, Some(0), "{again:?}");
    let said = format!("already joined {} as device pi-1, with this link; nothing was changed", hub.address());
    assert!(again.stderr.contains(&format!("{said}\nnext: devstream device-agent")), "{again:?}");
    let agent = machine.start(&["device-agent", "--forward", "9"]);
    agent.wait_line("pi-1 is online");
    let again = machine.run(&["join", &link]);
    let runs = format!("{said}, and the device-agent runs (process {})\n", agent.id());
    assert_eq!((again.code, again.stderr), (Some(0), runs), "it takes nothing up");
    drop(agent);

    let used = other.run(&["join", &link]);
    assert_is(&used, RefusalKind::LinkSpent);
    assert!(used.stderr.contains("this join link is no longer valid (it was used at 20"), "{used:?}");
    assert!(used.stderr.contains("on the hub, `devstream hub device rotate pi-1` prints a new one"), "{used:?}");
    let left = other.home().join(".local/share/devstream/device");
    assert!(!left.exists(), "of a refused join nothing is left");

    // Whoever has the key no more has not joined.
    hub.ask(&["device", "remove", "pi-1"]);
    let removed = machine.run(&["join", &link]);
    assert!(removed.code == Some(21) && removed.stderr.contains("does not know this join link"), "{removed:?}");
    assert!(removed.stderr.contains("on the hub, `devstream hub device add pi-1` prints a new one"), "{removed:?}");
}

#[test]
fn a_guessed_code_learns_nothing_of_the_right_one() {
    let hub = Hub::start(&Machine::new());
    let (used, expired) = (hub.device_link("pi-1"), hub.link(&["device", "add", "pi-2", "--link-for", "0s"]));
    Machine::new().ask(&["join", &used]);
    let (valid, unknown) = (hub.device_link("pi-3"), hub.device_link("pi-4").replace("/pi-4?", "/pi-5?"));
    let answers = [used, expired, valid, unknown].map(|link| {
        let guessed = format!("{}code={}", link.split("code=").next().unwrap_or_default(), "A".repeat(22));
        let response = RawClient::before_joining(&guessed).redeem(&guessed);
        (response.status, response.body)
    });
    assert!(answers.iter().all(|answer| answer.0 == 401 && *answer == answers[0]), "{answers:?}");
}

#[test]
fn an_id_outside_of_an_enrolment_keys_pattern_is_told_the_pattern() {
    let hub = Hub::start(&Machine::new());
    let link = hub.link(&["enroll", "add", "--device", "plant-*", "--uses", "2"]);
    let finished = join(&Machine::new(), &link, &["--id", "pi-1"]);
    assert_is(&finished, RefusalKind::IdNotCovered);
    assert!(
        finished.stderr.contains("(pi-1; it is for plant-*); choose an id that it is for with --id"),
        "{finished:?}"
    );
    assert_eq!(key(&hub, 1).used, 0);
}

#[test]
fn a_link_without_its_quotes_says_that_the_shell_cut_it() {
    let (hub, machine) = (Hub::start(&Machine::new()), Machine::new());
    let line = format!("{DEVSTREAM} join {}; wait", hub.device_link("pi-1"));
    let finished = Process::start(machine.command("sh").args(["-c", &line])).finish();
    assert!(finished.stderr.contains("the shell cut it at the first &, so keep the quotes around it"), "{finished:?}");
}

/// Joins with a link on standard input, as from a file.
fn join(machine: &Machine, link: &str, arguments: &[&str]) -> Finished {
    let mut join = machine.command(DEVSTREAM);
    Process::start_with_input(join.arg("join").args(arguments), format!("{link}\n").into()).finish()
}

fn key(hub: &Hub, id: u64) -> Enrolment {
    let keys: Vec<Enrolment> = hub.json(&["enroll", "list"]);
    keys.into_iter().find(|key| key.id == id).expect("the key is listed")
}

/// Adds this device's id to a shared link.
fn named(link: &str, id: &str) -> String {
    let _: DeviceId = id.parse().expect("a device id");
    link.replacen("/?", &format!("/{id}?"), 1)
}
