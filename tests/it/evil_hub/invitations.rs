//! What it cannot do to a fleet with the proofs and certificates that it keeps: its registry says what it likes, and the machines
//! believe the fleet's keys alone.

use std::fs;

use devstream::proto::refusal::RefusalKind;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::machine::Machine;
use crate::support::process::Finished;
use crate::support::roles::{Agent, Hub, assert_is, pipe};
use crate::support::targets::Target;
use crate::support::{DEVICE, poll};

const OTHER: &str = "pi-43";

/// A hub, and the owner's machine with a fleet: the service `alice`, which is signed.
struct Owned {
    hub: Hub,
    owner: Machine,
}

impl Owned {
    fn new() -> Self {
        let owned = Self { hub: Hub::start(&Machine::new()), owner: Machine::new() };
        owned.owner.ask(&["fleet", "init"]);
        owned.join(&owned.owner, &owned.hub.service_link("alice"));
        assert!(owned.owner.ask(&["fleet", "sign"]).starts_with("service alice: "));
        owned
    }

    /// Has a machine join with an invitation.
    fn join(&self, machine: &Machine, link: &str) {
        let line = self.owner.paste(&["fleet", "invite"], link).stdout;
        let joined = machine.paste(&["join"], &line);
        assert_eq!(joined.code, Some(0), "{joined:?}");
    }

    fn device(&self, id: &str) -> Machine {
        let device = Machine::new();
        self.join(&device, &self.hub.device_link(id));
        device
    }

    /// Changes the hub's registry, and reads it anew each time.
    fn registry(&self, sql: &str) {
        let changed = self.database().execute(sql, []).unwrap();
        assert!(changed > 0, "{sql}");
    }

    fn kept(&self, column: &str, id: &str) -> String {
        let sql = format!("SELECT {column} FROM key WHERE id = '{id}' ORDER BY added DESC, rowid DESC");
        self.database().query_row(&sql, [], |row| row.get(0)).unwrap()
    }

    fn database(&self) -> Connection {
        Connection::open(self.hub.machine().home().join(".local/share/devstream/hub/registry.sqlite")).unwrap()
    }

    /// Asserts that the owner's machine signs nothing for a device, says why, and carries no stream to it.
    fn assert_refused(&self, device: &str, target: &Target, why: &str) {
        let refused = pipe(&self.owner, device);
        assert_eq!(target.seen().bytes, 0);
        assert_is(&refused, RefusalKind::NotInFleet);
        assert!(refused.stdout.is_empty() && refused.stderr.contains(why), "{refused:?}");
        let listed = self.owner.ask(&["fleet", "list"]);
        assert!(!listed.contains(&format!(" {device} ")), "{listed}");
        let by_name = self.owner.run(&["fleet", "sign", device]);
        assert!(by_name.code == Some(43) && by_name.stderr.contains(why), "{by_name:?}");
        let all = self.owner.run(&["fleet", "sign"]);
        assert!(all.code == Some(43) && all.stderr.contains(why), "{all:?}");
    }
}

/// Has a machine of the hub's join with a link that the hub makes, and what came after the `#` of another one.
fn join_with_secret_of(evil: &Machine, link: &str, invited: &str) {
    let secret = invited.split_once('#').unwrap().1;
    let joined = evil.paste(&["join"], &format!("{link}#{}", secret.trim()));
    assert_eq!(joined.code, Some(0), "{joined:?}");
}

const UNKNOWN: &str = "its proof is of no invitation that was made here";

fn start(device: &Machine, id: &str, target: &Target) -> Agent {
    Agent::start_as(device, id, &[&format!("target={}", target.port)])
}

fn says_hello(said: &Finished) {
    assert_eq!((said.code, said.stdout.as_str()), (Some(0), "hello\n"), "{said:?}");
}

/// The certificate that a machine presents, by its end and by what it is worth.
fn certificate(machine: &Machine) -> [Value; 2] {
    let identities: Value = serde_json::from_str(&machine.ask(&["identity", "--json"])).unwrap();
    ["certificateUntil", "certificate"].map(|field| identities[0][field].clone())
}

#[test]
fn a_proof_that_it_alters_or_gives_to_another_device_has_none_of_them_signed() {
    let (owned, target, other) = (Owned::new(), Target::echo(), Target::echo());
    let [device, another] = [DEVICE, OTHER].map(|id| owned.device(id));
    let _agents = [start(&device, DEVICE, &target), start(&another, OTHER, &other)];
    let genuine = [DEVICE, OTHER].map(|id| owned.kept("proof", id));
    for [first, second] in [
        [genuine[1].clone(), genuine[0].clone()],
        genuine.clone().map(|proof| format!("{}{}", if proof.starts_with('A') { "B" } else { "A" }, &proof[1..])),
        genuine.clone().map(|proof| proof[..42].to_owned()),
        genuine.clone().map(|_| "A".repeat(1024)),
    ] {
        for (id, proof) in [(DEVICE, first), (OTHER, second)] {
            owned.registry(&format!("UPDATE key SET proof = '{proof}' WHERE id = '{id}'"));
        }
        for (id, target) in [(DEVICE, &target), (OTHER, &other)] {
            owned.assert_refused(id, target, UNKNOWN);
        }
    }
    for (id, proof) in [DEVICE, OTHER].into_iter().zip(genuine) {
        owned.registry(&format!("UPDATE key SET proof = '{proof}' WHERE id = '{id}'"));
        assert_eq!(pipe(&owned.owner, id).code, Some(0), "with its own proof");
    }
}

#[test]
fn a_key_that_it_puts_in_place_of_the_devices_is_not_signed_with_the_devices_proof() {
    let (owned, target) = (Owned::new(), Target::greeting_then_reading("evil\n"));
    let device = owned.device(DEVICE);
    let proof = owned.kept("proof", DEVICE);
    let evil = Machine::new();
    evil.ask(&["join", &owned.hub.link(&["device", "rotate", DEVICE, "--overlap", "0s"])]);
    owned.registry(&format!("UPDATE key SET proof = '{proof}' WHERE id = '{DEVICE}'"));
    let _evil = start(&evil, DEVICE, &target);
    owned.assert_refused(DEVICE, &target, UNKNOWN);
    drop((device, _evil));

    // The device's own key beside the evil one: the owner signs that, and the evil one is refused all the same.
    let owned = Owned::new();
    let device = owned.device(DEVICE);
    evil.ask(&["join", "--replace", &owned.hub.link(&["device", "rotate", DEVICE, "--overlap", "1d"])]);
    let evil_agent = start(&evil, DEVICE, &target);
    let refused = pipe(&owned.owner, DEVICE);
    assert!(refused.stderr.contains("proof of the invitation checked"), "the genuine key has one: {refused:?}");
    assert_is(&refused, RefusalKind::NotInFleet);
    assert_eq!(target.seen().bytes, 0);
    drop(evil_agent);
    let genuine = Target::greeting_then_reading("hello\n");
    let _agent = start(&device, DEVICE, &genuine);
    says_hello(&pipe(&owned.owner, DEVICE));
}

#[test]
fn a_lost_link_is_worth_nothing_to_it_once_the_machine_was_invited_anew_or_signed() {
    let (owned, target) = (Owned::new(), Target::greeting_then_reading("evil\n"));
    let hub_link = owned.hub.device_link(DEVICE);
    let lost = owned.owner.paste(&["fleet", "invite"], &hub_link).stdout;
    let device = Machine::new();
    owned.join(&device, &hub_link);
    let other_link = owned.hub.device_link(OTHER);
    let other_lost = owned.owner.paste(&["fleet", "invite"], &other_link).stdout;
    let other = Machine::new();
    other.ask(&["join", &other_link]);
    let identity: Value = serde_json::from_str(&other.ask(&["identity", "--json"])).unwrap();
    let key = identity[0]["endToEndKey"].as_str().unwrap();
    owned.owner.ask(&["fleet", "sign", OTHER, "--key", key]);
    let signed = owned.owner.ask(&["fleet", "sign"]);
    assert!(signed.starts_with("device pi-42: proof of the invitation checked; signed until 20"), "{signed}");
    let before = owned.owner.ask(&["fleet", "list"]);
    for (id, lost) in [(DEVICE, lost), (OTHER, other_lost)] {
        let evil = Machine::new();
        join_with_secret_of(&evil, &owned.hub.link(&["device", "rotate", id, "--overlap", "0s"]), &lost);
        let _evil = start(&evil, id, &target);
        assert_is(&pipe(&owned.owner, id), RefusalKind::NotInFleet);
        let by_name = owned.owner.run(&["fleet", "sign", id]);
        assert!(by_name.code == Some(43) && by_name.stderr.contains(UNKNOWN), "{by_name:?}");
        let all = owned.owner.run(&["fleet", "sign"]);
        assert!(all.code == Some(0) && all.stdout.is_empty(), "{all:?}");
        assert_is(&pipe(&owned.owner, id), RefusalKind::NotInFleet);
    }
    assert_eq!((owned.owner.ask(&["fleet", "list"]), target.seen().bytes), (before, 0));
}

#[test]
fn the_link_of_an_enrolment_key_signs_no_machine_that_has_another_id_or_a_signed_key() {
    let (owned, target) = (Owned::new(), Target::greeting_then_reading("evil\n"));
    let [_device, _db] = [DEVICE, "db"].map(|id| owned.device(id));
    owned.owner.ask(&["fleet", "sign"]);
    let before = owned.owner.ask(&["fleet", "list"]);
    let enrol = owned.hub.link(&["enroll", "add", "--device", "*", "--uses", "9"]);
    let invited = owned.owner.paste(&["fleet", "invite", "pi-*"], &enrol).stdout;
    for (id, why) in
        [("db", "its proof is of the invitation for pi-*"), (DEVICE, "an invitation for pi-* replaces none")]
    {
        let evil = Machine::new();
        join_with_secret_of(&evil, &owned.hub.link(&["device", "rotate", id, "--overlap", "0s"]), &invited);
        let _evil = start(&evil, id, &target);
        assert_is(&pipe(&owned.owner, id), RefusalKind::NotInFleet);
        let by_name = owned.owner.run(&["fleet", "sign", id]);
        assert!(by_name.code == Some(43) && by_name.stderr.contains(why), "{by_name:?}");
        assert_eq!(owned.owner.run(&["fleet", "sign"]).code, Some(0));
        assert_is(&pipe(&owned.owner, id), RefusalKind::NotInFleet);
    }
    assert_eq!((owned.owner.ask(&["fleet", "list"]), target.seen().bytes), (before, 0));
    // Nor does a stream decide which machine is the invited one.
    let machine = Machine::new();
    let joined = machine.paste(&["join", "--id", OTHER], &invited);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let genuine = Target::greeting_then_reading("hello\n");
    let _agent = start(&machine, OTHER, &genuine);
    let refused = pipe(&owned.owner, OTHER);
    assert_is(&refused, RefusalKind::NotInFleet);
    let advice = "names no id; if this is the machine: devstream fleet sign pi-43 --role device";
    assert!(refused.stderr.contains(advice), "{refused:?}");
    let signed = owned.owner.ask(&["fleet", "sign", OTHER]);
    assert!(signed.starts_with("device pi-43: proof of the invitation checked; signed until 20"), "{signed}");
    says_hello(&pipe(&owned.owner, OTHER));
}

#[test]
fn the_old_key_of_a_device_whose_successor_is_awaited_is_not_signed_again() {
    let owned = Owned::new();
    let _stolen = owned.device(DEVICE);
    owned.owner.ask(&["fleet", "sign"]);
    let before = owned.kept("certificate", DEVICE);
    let rotated = owned.hub.link(&["device", "rotate", DEVICE]);
    let link = owned.owner.paste(&["fleet", "invite"], &rotated).stdout;
    let all = owned.owner.run(&["fleet", "sign"]);
    assert!(all.code == Some(0) && all.stdout == "device pi-42: has not joined with its invitation yet\n", "{all:?}");
    assert_eq!(owned.kept("certificate", DEVICE), before);
    let named = owned.owner.run(&["fleet", "sign", DEVICE]);
    assert!(named.code == Some(43) && named.stderr.contains("an invitation for it is open"), "{named:?}");
    assert_eq!(owned.kept("certificate", DEVICE), before);
    let successor = Machine::new();
    let joined = successor.paste(&["join"], &link);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let signed = owned.owner.ask(&["fleet", "sign"]);
    assert!(signed.contains("checked; signed until 20") && signed.contains("; instead of "), "{signed}");
}

#[test]
fn a_certificate_that_is_older_of_another_machine_or_garbage_is_ignored_by_the_device() {
    let (owned, target) = (Owned::new(), Target::greeting_then_reading("hello\n"));
    let [device, another] = [DEVICE, OTHER].map(|id| owned.device(id));
    let sign_all = |owner: &Machine| assert_eq!(owner.run(&["fleet", "sign"]).code, Some(0));
    sign_all(&owned.owner.clone().off_by("-350d"));
    let older = owned.kept("certificate", DEVICE);
    sign_all(&owned.owner);
    drop(start(&device, DEVICE, &target));
    let present = certificate(&device);
    assert_eq!(present[1], "good");
    let foreign = Owned::new();
    foreign.hub.ask(&["device", "add", "unused"]);
    let key: Value = serde_json::from_str(&device.ask(&["identity", "--json"])).unwrap();
    let key = key[0]["endToEndKey"].as_str().unwrap().to_owned();
    let by_another_fleet = foreign.owner.ask(&["fleet", "sign", DEVICE, "--key", &key]);
    let by_another_fleet = by_another_fleet.trim().rsplit(' ').next().unwrap().to_owned();
    let of_another = owned.kept("certificate", OTHER);
    for (sent, why) in [
        (older.as_str(), "not later than the present one"),
        (of_another.as_str(), "it is for another id or role"),
        (by_another_fleet.as_str(), "the fleet that this machine trusts has not signed it"),
        ("AAAA", "it cannot be read"),
    ] {
        owned.registry(&format!("UPDATE key SET certificate = '{sent}' WHERE id = '{DEVICE}'"));
        let agent = start(&device, DEVICE, &target);
        let said = agent.process.wait_line("pi-42: ignored a certificate from the hub: ");
        assert!(said.contains(why), "{said}");
        assert_eq!(certificate(&device), present, "{sent}");
        says_hello(&pipe(&owned.owner, DEVICE));
    }
    drop(another);
}

#[test]
fn a_service_takes_none_but_its_own_certificate() {
    let (owned, target) = (Owned::new(), Target::greeting_then_reading("hello\n"));
    let device = owned.device(DEVICE);
    let bob = Machine::new();
    owned.join(&bob, &owned.hub.service_link("bob"));
    assert_eq!(owned.owner.run(&["fleet", "sign"]).code, Some(0));
    let genuine = owned.kept("certificate", "bob");
    let _agent = start(&device, DEVICE, &target);
    for (sent, why) in [
        (owned.kept("certificate", "alice"), "it is for another id or role"),
        (owned.kept("certificate", DEVICE), "it is for another id or role"),
        ("AAAA".to_owned(), "it cannot be read"),
    ] {
        owned.registry(&format!("UPDATE key SET certificate = '{sent}' WHERE id = 'bob'"));
        let refused = pipe(&bob, DEVICE);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(43), ""), "{refused:?}");
        assert!(refused.stderr.contains(why), "{refused:?}");
        assert!(!fs::exists(bob.home().join(".local/share/devstream/service/certificate")).unwrap());
    }
    owned.registry(&format!("UPDATE key SET certificate = '{genuine}' WHERE id = 'bob'"));
    says_hello(&poll("a stream with the genuine one", || Some(pipe(&bob, DEVICE))));
    assert_eq!(certificate(&bob)[1], "good");
}

#[test]
fn a_certificate_that_it_withholds_does_not_keep_the_owners_machine_from_going_on() {
    let (owned, target) = (Owned::new(), Target::greeting_then_reading("hello\n"));
    let device = owned.device(DEVICE);
    let keeps_none = "CREATE TRIGGER none BEFORE UPDATE OF certificate ON key BEGIN SELECT RAISE(IGNORE); END";
    owned.database().execute_batch(keeps_none).unwrap();
    let _agent = start(&device, DEVICE, &target);
    let said = pipe(&owned.owner, DEVICE);
    says_hello(&said);
    assert!(said.stderr.contains("proof of the invitation checked"), "{said:?}");
    assert_eq!(certificate(&device)[1], Value::Null);
}
