//! Fleets: an owner's key signs those of devices and services, and whoever trusts it refuses all others.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use devstream::proto::refusal::RefusalKind;
use serde_json::Value;

use super::{Joined, json, key, known, stream};
use crate::support::DEVICE;
use crate::support::bytes::drain;
use crate::support::machine::Machine;
use crate::support::process::{Finished, Process};
use crate::support::roles::{Agent, ServiceProxy, assert_is};
use crate::support::targets::{Target, is_alive};

/// A machine with a fleet, which joins nothing.
pub(super) struct Owner {
    pub(super) machine: Machine,
    pub(super) keys: String,
}

impl Owner {
    pub(super) fn new() -> Self {
        Self::on(Machine::new())
    }

    pub(super) fn on(machine: Machine) -> Self {
        let keys = machine.ask(&["fleet", "init"]).trim().to_owned();
        Self { machine, keys }
    }

    /// Signs the key of a machine, and returns the command to run there.
    fn sign(&self, machine: &Machine, role: &str, id: &str) -> Vec<String> {
        let printed = self.machine.ask(&["fleet", "sign", id, "--role", role, "--key", &key(machine, role)]);
        let mut words = printed.split_whitespace().map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("devstream"), "{printed}");
        words.collect()
    }

    /// Has a machine trust the fleet, with its own key signed.
    pub(super) fn admit(&self, machine: &Machine, role: &str, id: &str) {
        let trusted = run(machine, &self.sign(machine, role, id));
        assert!(trusted.code == Some(0) && trusted.stderr.contains("its own key is signed until 20"), "{trusted:?}");
    }

    /// Has a machine trust the fleet, which has not signed its key.
    pub(super) fn trusted_by(&self, machine: &Machine) {
        let trusted = machine.run(&["trust", "fleet", &self.keys]);
        assert!(trusted.code == Some(0) && trusted.stderr.contains("its own key is not signed"), "{trusted:?}");
    }
}

fn run(machine: &Machine, words: &[String]) -> Finished {
    machine.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

pub(super) fn identity_file(machine: &Machine, role: &str) -> PathBuf {
    machine.home().join(".local/share/devstream").join(role).join("identity.toml")
}

/// Asserts that this machine's fleet has not signed the peer.
pub(super) fn assert_not_in_fleet(refused: &Finished) {
    assert_is(refused, RefusalKind::NotInFleet);
    assert_refused(refused);
}

/// Asserts that the fleet of either end has not signed the other.
fn assert_refused(refused: &Finished) {
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(43), ""), "{refused:?}");
    assert!(refused.stderr.contains("devstream fleet sign"), "{refused:?}");
}

#[test]
fn a_device_that_the_fleet_has_not_signed_is_refused_until_it_has() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    {
        let _agent = joined.agent(target.port);
        assert_eq!(stream(&joined.laptop).stdout, "hello\n", "known by first use");
        owner.admit(&joined.laptop, "service", "alice");
        let pinned = joined.laptop.run(&["trust", "pin", "device", DEVICE, &key(&joined.device, "device")]);
        assert!(pinned.code == Some(0) && pinned.stderr.contains("its pins do not count"), "{pinned:?}");
        let refused = stream(&joined.laptop);
        assert_not_in_fleet(&refused);
        assert!(!refused.stderr.contains(&key(&joined.device, "device")), "a key to copy: {refused:?}");
    }
    owner.admit(&joined.device, "device", DEVICE);
    let _agent = joined.agent(target.port);
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    assert_eq!(known(&joined.device)[0]["origin"], "fleet");
    assert_eq!(known(&joined.laptop)[0]["origin"], "pinned", "what a person has pinned stays");
}

#[test]
fn a_service_that_the_fleet_has_not_signed_is_refused_by_the_device_until_it_has() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    owner.admit(&joined.device, "device", DEVICE);
    let agent = joined.agent(target.port);
    let refused = stream(&joined.laptop);
    assert_refused(&refused);
    assert!(
        refused.stderr.contains("pi-42 refused this machine: its fleet has not signed this machine's key"),
        "{refused:?}"
    );
    agent.process.wait_line("the other end's key is not signed by your fleet (alice)");
    owner.trusted_by(&joined.laptop);
    assert_refused(&stream(&joined.laptop));
    owner.admit(&joined.laptop, "service", "alice");
    assert_eq!(stream(&joined.laptop).stdout, "hello\n", "without a restart of the agent");
}

#[test]
fn a_hub_that_stands_in_at_the_first_contact_is_refused_even_with_the_genuine_certificates() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let (target, evil_target) = (Target::greeting_then_reading("hello\n"), Target::echo());
    owner.admit(&joined.laptop, "service", "alice");
    owner.admit(&joined.device, "device", DEVICE);
    let [evil_device, evil_laptop] = [Machine::new(), Machine::new()];
    evil_device.ask(&["join", &joined.hub.link(&["device", "rotate", DEVICE, "--overlap", "1d"])]);
    evil_laptop.ask(&["join", &joined.hub.link(&["service", "rotate", "alice", "--overlap", "1d"])]);
    for (genuine, evil, role) in [(&joined.device, &evil_device, "device"), (&joined.laptop, &evil_laptop, "service")] {
        let [from, to] = [genuine, evil].map(|machine| identity_file(machine, role));
        let whole = fs::read_to_string(from).unwrap();
        let stolen = whole.lines().find(|line| line.starts_with("certificate")).unwrap();
        fs::write(&to, format!("{stolen}\n{}", fs::read_to_string(&to).unwrap())).unwrap();
    }
    {
        let _agent = joined.agent(target.port);
        assert_refused(&stream(&evil_laptop));
        assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    }
    let _agent = Agent::start(&evil_device, &[&format!("target={}", evil_target.port)]);
    assert_not_in_fleet(&stream(&joined.laptop));
    assert_eq!(evil_target.seen().bytes, 0);
}

#[test]
fn a_service_of_the_system_trusts_the_fleet_that_its_identity_trusts() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    owner.admit(&joined.device, "device", DEVICE);
    let [credentials, state] = ["credentials", "state"].map(|name| joined.device.home().join(name));
    for directory in [&credentials, &state] {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for name in ["identity.toml", "key"] {
        let from = identity_file(&joined.device, "device").with_file_name(name);
        fs::copy(from, credentials.join(name)).unwrap();
    }
    let [credentials, state] = [credentials, state].map(|path| path.display().to_string());
    let service = joined.device.clone().with("CREDENTIALS_DIRECTORY", &credentials).with("STATE_DIRECTORY", &state);
    let agent = service.start(&["device-agent", "--forward", &format!("target={}", target.port)]);
    agent.wait_line("is online");
    assert_refused(&stream(&joined.laptop));
    owner.admit(&joined.laptop, "service", "alice");
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
}

#[test]
fn only_the_certificate_of_this_machine_in_this_fleet_counts() {
    let (joined, owner, other) = (Joined::new(), Owner::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    owner.admit(&joined.laptop, "service", "alice");
    let before = json(&joined.device, &["identity"]);
    for other in [
        owner.sign(&joined.laptop, "service", "alice"),
        owner.sign(&joined.device, "device", "pi-43"),
        [
            &["trust", "fleet", &owner.keys, "--certificate"].map(str::to_owned)[..],
            &other.sign(&joined.device, "device", DEVICE)[6..],
        ]
        .concat(),
    ] {
        let other: Vec<_> =
            other.into_iter().filter(|word| !["--role", "service", "device"].contains(&word.as_str())).collect();
        let refused = run(&joined.device, &other);
        assert!(refused.code == Some(1) && refused.stderr.contains("is not this machine's"), "{refused:?}");
    }
    let no_certificate = joined.device.run(&["trust", "fleet", &owner.keys, "--certificate", &"x".repeat(1025)]);
    assert_eq!(no_certificate.code, Some(2), "{no_certificate:?}");
    assert_eq!(json(&joined.device, &["identity"]), before, "nothing was changed");

    // Another fleet's members are no members of this one.
    other.admit(&joined.device, "device", DEVICE);
    let _agent = joined.agent(target.port);
    assert_not_in_fleet(&stream(&joined.laptop));
}

#[test]
fn a_certificate_that_is_removed_or_altered_is_missed_and_a_new_key_needs_a_new_one() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    owner.admit(&joined.laptop, "service", "alice");
    owner.admit(&joined.device, "device", DEVICE);
    let file = identity_file(&joined.device, "device");
    let whole = fs::read_to_string(&file).unwrap();
    let line = whole.lines().find(|line| line.starts_with("certificate")).unwrap();
    let altered =
        line.strip_suffix("A\"").map_or_else(|| format!("{}A\"", &line[..line.len() - 2]), |rest| format!("{rest}Q\""));
    for replaced in ["", altered.as_str()] {
        fs::write(&file, whole.replace(line, replaced)).unwrap();
        let _agent = joined.agent(target.port);
        assert_not_in_fleet(&stream(&joined.laptop));
    }
    fs::write(&file, &whole).unwrap();
    {
        let _agent = joined.agent(target.port);
        assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    }
    let rejoined = joined.device.run(&["join", &joined.hub.link(&["device", "rotate", DEVICE])]);
    let advised = format!("devstream fleet sign {DEVICE} --role device --key {}", key(&joined.device, "device"));
    assert!(rejoined.code == Some(0) && rejoined.stderr.contains(&advised), "{rejoined:?}");
    let own = &json(&joined.device, &["identity"])[0];
    assert_eq!((&own["fleet"], own.get("certificateUntil")), (&owner.keys.as_str().into(), None), "{own}");
    let _agent = joined.agent(target.port);
    assert_not_in_fleet(&stream(&joined.laptop));
}

#[test]
fn the_recovery_key_signs_what_every_machine_of_the_fleet_accepts() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    owner.admit(&joined.laptop, "service", "alice");
    let directory = owner.machine.home().join(".local/share/devstream/fleet");
    let recovery = directory.join("recovery");
    for name in ["key", "keys", "recovery"] {
        assert_eq!(fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let lost = Machine::new();
    let none = lost.run(&["fleet", "sign", DEVICE, "--key", &key(&joined.device, "device")]);
    assert!(none.code == Some(1) && none.stderr.contains("devstream fleet init"), "{none:?}");
    let spare = lost.home().join("recovery");
    fs::write(&spare, "x\n").unwrap();
    assert_eq!(lost.run(&["fleet", "recover", spare.to_str().unwrap()]).code, Some(1));
    fs::copy(&recovery, &spare).unwrap();
    assert_eq!(lost.ask(&["fleet", "recover", spare.to_str().unwrap()]).trim(), owner.keys);
    let again = Owner { machine: lost, keys: owner.keys };
    again.admit(&joined.device, "device", DEVICE);
    let _agent = joined.agent(target.port);
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    let made = again.machine.run(&["fleet", "init"]);
    assert!(made.code == Some(1) && made.stderr.contains("there is a fleet already"), "{made:?}");
}

#[test]
fn identity_check_and_the_list_show_what_the_fleet_has_signed() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    owner.trusted_by(&joined.laptop);
    let shown = joined.laptop.ask(&["identity"]);
    assert!(shown.lines().next().unwrap().ends_with("SIGNED") && shown.trim().ends_with(" no"), "{shown}");
    owner.admit(&joined.laptop, "service", "alice");
    owner.admit(&joined.device, "device", DEVICE);
    let other = joined.laptop.run(&["trust", "fleet", &Owner::new().keys]);
    assert!(other.code == Some(0) && other.stderr.contains("own certificate is of another fleet"), "{other:?}");
    let back = joined.laptop.run(&["trust", "fleet", &owner.keys]);
    assert!(back.code == Some(0) && back.stderr.contains("own certificate is as before"), "{back:?}");
    let own = &json(&joined.laptop, &["identity"])[0];
    let until = own["certificateUntil"].as_str().unwrap();
    let shown = joined.laptop.ask(&["identity"]);
    assert!(shown.trim().ends_with(&format!("until {}", &until[..10])), "{shown}");
    assert!(shown.lines().all(|line| line.len() <= 110), "{shown}");

    let listed = json(&owner.machine, &["fleet", "list"]);
    let rows: Vec<_> = listed.as_array().unwrap().iter().map(|row| (&row["role"], &row["id"], &row["until"])).collect();
    assert_eq!(
        (rows.len(), rows[0].1, rows[1]),
        (2, &DEVICE.into(), (&"service".into(), &"alice".into(), &own["certificateUntil"]))
    );
    assert!(owner.machine.ask(&["fleet", "list"]).contains(&key(&joined.device, "device")));

    let _agent = joined.agent(target.port);
    let report: Value = serde_json::from_str(&joined.laptop.run(&["check", DEVICE, "--json"]).stdout).unwrap();
    let hop = report["hops"].as_array().unwrap().iter().find(|hop| hop["hop"] == "endToEnd").unwrap();
    assert_eq!(hop["state"], "good", "{hop:#}");
    assert!(hop["facts"]["known"].as_str().unwrap().starts_with("by the fleet's signature, until 20"), "{hop:#}");
}

#[test]
fn check_warns_of_a_certificate_that_is_about_to_end_and_one_that_has_ended_is_refused() {
    let (joined, owner) = (Joined::new(), Owner::on(Machine::new().off_by("-341d")));
    let target = Target::greeting_then_reading("hello\n");
    owner.admit(&joined.laptop, "service", "alice");
    owner.admit(&joined.device, "device", DEVICE);
    {
        let _agent = joined.agent(target.port);
        let checked = joined.laptop.run(&["check", DEVICE, "--json"]);
        let report: Value = serde_json::from_str(&checked.stdout).unwrap();
        for (hop, cause) in
            [("identity", "its certificate ends on 20"), ("endToEnd", "the device's certificate ends on 20")]
        {
            let hop = report["hops"].as_array().unwrap().iter().find(|found| found["hop"] == hop).unwrap();
            assert!(hop["state"] == "warning" && hop["cause"].as_str().unwrap().starts_with(cause), "{hop:#}");
            assert!(hop["advice"].as_str().unwrap().contains("devstream fleet sign"), "{hop:#}");
        }
        assert_eq!(checked.code, Some(0), "{checked:?}");
    }
    let owner = Owner { machine: owner.machine.off_by("-401d"), ..owner };
    for (machine, role, id) in [(&joined.laptop, "service", "alice"), (&joined.device, "device", DEVICE)] {
        let signed = owner.sign(machine, role, id);
        let late = run(machine, &signed);
        assert!(late.code == Some(1) && late.stderr.contains("has expired; nothing was changed"), "{late:?}");
        if role == "device" {
            let file = identity_file(machine, role);
            let whole = fs::read_to_string(&file).unwrap();
            let line = whole.lines().find(|line| line.starts_with("certificate")).unwrap();
            fs::write(&file, whole.replace(line, &format!("certificate = \"{}\"", signed.last().unwrap()))).unwrap();
        }
    }
    let _agent = joined.agent(target.port);
    let refused = stream(&joined.laptop);
    assert_not_in_fleet(&refused);
    assert!(refused.stderr.contains("its certificate has expired"), "{refused:?}");
    assert!(joined.device.ask(&["identity"]).trim().ends_with("expired"));
}

#[test]
fn a_running_proxy_verifies_new_streams_by_the_fleet_that_its_machine_trusts_meanwhile() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::echo();
    let _agent = joined.agent(target.port);
    let proxy = ServiceProxy::start(&joined.laptop);
    let mut running = proxy.connect();
    is_alive(&mut running);
    for (command, own, ends) in [
        (vec!["trust", "fleet", &owner.keys], "its own key is not signed: peers in the fleet refuse it", true),
        (vec!["trust", "fleet", "--remove", "--yes"], "trusts no fleet any more", false),
    ] {
        let lines = proxy.process.lines();
        let said = joined.laptop.run(&command);
        let itself = "; its service-proxies, if any run, take this up within seconds";
        assert!(said.code == Some(0) && said.stderr.contains(own) && said.stderr.contains(itself), "{said:?}");
        proxy.process.wait_line_after(
            lines,
            "service alice: this machine trusts another fleet than before; new streams use that from now on",
        );
        let mut new = proxy.connect();
        if ends {
            assert_eq!(drain(&mut new).bytes, 0);
            proxy.process.wait_line_after(lines, RefusalKind::NotInFleet.row().sentence);
        } else {
            is_alive(&mut new);
        }
        is_alive(&mut running);
    }
}

#[test]
fn trust_in_a_fleet_ends_only_when_a_person_says_so() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    let _agent = joined.agent(target.port);
    owner.trusted_by(&joined.laptop);
    assert!(joined.laptop.ask(&["trust", "fleet"]).contains(&format!("trusts {} since 20", owner.keys)));
    assert_not_in_fleet(&stream(&joined.laptop));
    joined.laptop.ask(&["join", &joined.hub.link(&["service", "rotate", "alice"])]);
    assert_not_in_fleet(&stream(&joined.laptop));
    let unasked = joined.laptop.run(&["trust", "fleet", "--remove"]);
    assert!(unasked.code == Some(1) && unasked.stderr.contains("confirm with --yes"), "{unasked:?}");
    joined.laptop.ask(&["trust", "fleet", "--remove", "--yes"]);
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
}

#[test]
fn of_fleets_that_are_made_at_the_same_time_one_is_whole_and_a_lost_key_is_not_made_anew() {
    let machine = Machine::new();
    let directory = machine.home().join(".local/share/devstream/fleet");
    let file = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let made: Vec<_> = [(); 8].map(|()| machine.start(&["fleet", "init"])).into_iter().map(Process::finish).collect();
    let whole: Vec<_> = made.iter().filter(|made| made.code == Some(0)).collect();
    let [one] = whole.as_slice() else { panic!("{made:?}") };
    assert_eq!((one.stdout.clone(), file("recovery").lines().nth(1)), (file("keys"), Some(one.stdout.trim())));
    machine.ask(&["fleet", "list", "--json"]);

    let (recovery, spare) = (file("recovery"), machine.home().join("spare"));
    fs::write(&spare, &recovery).unwrap();
    let recover = ["fleet", "recover", spare.to_str().unwrap()];
    let beside = machine.run(&recover);
    assert!(beside.code == Some(1) && beside.stderr.contains("is there and signs"), "{beside:?}");
    fs::remove_file(directory.join("key")).unwrap();
    for command in ["init", "list"] {
        let lost = machine.run(&["fleet", command]);
        assert!(lost.code == Some(1) && lost.stderr.contains("devstream fleet recover FILE"), "{lost:?}");
    }
    assert_eq!(file("recovery"), recovery);
    assert_eq!(machine.ask(&recover), one.stdout);
}
