//! What the owner of a fleet comes to later: links that are made anew, machines that are gone, a fleet key that was lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use devstream::proto::refusal::RefusalKind;
use rusqlite::Connection;

use super::fleet::{assert_not_in_fleet, identity_file};
use super::invitations::{Invited, assert_says_hello, start};
use super::stream;
use crate::support::chaos::{Chaos, Direction, Fault};
use crate::support::machine::Machine;
use crate::support::targets::Target;
use crate::support::{DEVICE, poll};

#[test]
fn a_second_invitation_for_the_same_key_takes_the_place_of_the_first() {
    let invited = Invited::new();
    let (device, laptop, link) = (Machine::new(), &invited.owner.machine, invited.hub.device_link(DEVICE));
    invited.join(&device, &link);
    let line = invited.invite(&link);
    let first = laptop.run(&["fleet", "sign", DEVICE]);
    assert!(first.code == Some(43) && first.stderr.contains("its proof is of no invitation"), "{first:?}");
    let again = device.paste(&["join"], &line);
    assert!(again.code == Some(0) && again.stderr.contains("gave the hub the proof of this invitation"), "{again:?}");
    let signed = laptop.ask(&["fleet", "sign"]);
    assert!(signed.starts_with("device pi-42: proof of the invitation checked; signed until 20"), "{signed}");
    // Without an invitation there is nothing to give.
    let plain = device.paste(&["join"], &link);
    assert!(plain.code == Some(0) && plain.stderr.contains("nothing was changed"), "{plain:?}");
}

#[test]
fn a_lost_machines_key_is_not_signed_again_while_its_successor_is_invited() {
    let invited = Invited::new();
    let (laptop, _lost) = (&invited.owner.machine, invited.device());
    let signed = laptop.ask(&["fleet", "sign", DEVICE]);
    assert!(signed.contains("signed until 20"), "{signed}");
    let link = invited.hub.link(&["device", "rotate", DEVICE]);
    let warned = laptop.paste(&["fleet", "invite"], &link);
    assert!(
        warned.code == Some(0) && warned.stderr.contains("device pi-42 is signed already, with the key "),
        "{warned:?}"
    );
    let before = laptop.ask(&["fleet", "list", "--json"]);
    let refused = laptop.run(&["fleet", "sign", DEVICE]);
    assert!(refused.code == Some(43) && refused.stderr.contains("an invitation for it is open"), "{refused:?}");
    assert!(refused.stderr.contains("to sign its former key all the same: devstream fleet sign pi-42"), "{refused:?}");
    assert_eq!(laptop.ask(&["fleet", "list", "--json"]), before);
    let other = laptop.paste(&["fleet", "invite", "cam-7"], &invited.hub.link(&["device", "rotate", DEVICE]));
    assert!(other.code == Some(2) && other.stderr.contains("this link is for pi-42, and not for cam-7"), "{other:?}");
}

#[test]
fn a_machine_that_is_gone_is_neither_renewed_nor_asked_about_once_it_is_forgotten() {
    let invited = Invited::new();
    let laptop = invited.owner.machine.clone();
    let _device = invited.device();
    // It is due.
    let signed = laptop.clone().off_by("-341d").ask(&["fleet", "sign", DEVICE]);
    assert!(signed.contains("signed until 20"), "{signed}");
    let link = invited.hub.link(&["device", "rotate", DEVICE]);
    invited.hub.ask(&["device", "disable", DEVICE]);
    for is_invited in [false, true] {
        let disabled = laptop.run(&["fleet", "sign"]);
        assert!(disabled.code == Some(0), "{disabled:?}");
        assert_eq!(disabled.stdout.matches("device pi-42: not signed, since it is disabled at the hub").count(), 1);
        // What the hub shows may be the lost machine's key.
        let not_renewed = "device pi-42: not renewed, since an invitation for it is open";
        assert_eq!(disabled.stdout.contains(not_renewed), is_invited, "{disabled:?}");
        if !is_invited {
            invited.invite(&link);
        }
    }
    let by_name = laptop.run(&["fleet", "sign", DEVICE]);
    assert_eq!(by_name.code, Some(i32::from(RefusalKind::Disabled.row().exit)), "{by_name:?}");
    invited.hub.ask(&["device", "remove", DEVICE]);
    let removed = laptop.run(&["fleet", "sign"]);
    assert_eq!(removed.code, Some(1), "{removed:?}");
    let why = "device pi-42: invited, but this hub has no such device, or alice may not reach it; if it";
    assert!(removed.stderr.contains(why), "{removed:?}");
    assert!(removed.stderr.contains("devstream fleet forget pi-42 --role device"), "{removed:?}");
    let forgotten = laptop.run(&["fleet", "forget", "PI-42"]);
    assert!(forgotten.code == Some(0) && forgotten.stderr.contains("cannot be taken back"), "{forgotten:?}");
    assert!(forgotten.stderr.contains("devstream hub device remove pi-42"), "{forgotten:?}");
    let nothing = laptop.run(&["fleet", "sign"]);
    assert!(nothing.code == Some(0) && nothing.stderr.contains("no machine waits to be signed"), "{nothing:?}");
    assert!(!laptop.ask(&["fleet", "list"]).contains(DEVICE));
    let again = laptop.run(&["fleet", "forget", DEVICE]);
    assert!(again.code == Some(1) && again.stderr.contains("neither signed nor invited here"), "{again:?}");
}

#[test]
fn a_recovered_fleet_says_what_it_renews() {
    let invited = Invited::new();
    let own = invited.owner.machine.home().join(".local/share/devstream/fleet");
    let recovery = own.join("recovery");
    let same = &invited.owner.machine;
    fs::remove_file(own.join("key")).unwrap();
    let recovered = same.run(&["fleet", "recover", recovery.to_str().unwrap()]);
    assert!(
        recovered.code == Some(0) && recovered.stderr.contains("`devstream fleet sign` renews it"),
        "{recovered:?}"
    );
    let other = Machine::new();
    let copied = other.home().join("recovery");
    fs::copy(&recovery, &copied).unwrap();
    let recovered = other.run(&["fleet", "recover", copied.to_str().unwrap()]);
    assert!(
        recovered.code == Some(0) && recovered.stderr.contains("nothing renews it before its end"),
        "{recovered:?}"
    );
    assert!(recovered.stderr.contains("copy the file `signed`"), "{recovered:?}");
}

#[test]
fn invitations_that_are_open_are_counted_and_a_link_in_an_argument_is_not_repeated() {
    let (owner, link) = (Machine::new(), "devstream://hub.example/pi-7?role=device&code=c2VjcmV0");
    let made = owner.run(&["fleet", "init"]);
    let has = |words: &str| made.stderr.lines().any(|line| line.contains(words) && line.len() < 250);
    for step in
        ["its private key is in ", "move ", "keep a copy of ", "next, for each machine that is to join", "or, for each"]
    {
        assert!(has(step), "a line for each step: {made:?}");
    }
    for given in [link.to_owned(), format!("devstream join '{link}'")] {
        let refused = owner.run(&["fleet", "invite", &given]);
        assert!(refused.code == Some(2) && refused.stderr.contains("paste it when asked"), "{refused:?}");
        assert!(!refused.stderr.contains("c2VjcmV0"), "{refused:?}");
    }
    let neither = owner.paste(&["fleet", "invite", "pi 7"], link);
    assert!(neither.code == Some(2) && neither.stderr.contains("expected an id, or a pattern"), "{neither:?}");
    assert!(owner.run(&["fleet", "list"]).stderr.ends_with("nothing is signed yet\n"));
    let hub = crate::support::roles::Hub::start(&Machine::new());
    for (id, open) in [("pi-7", "1 invitation is open"), ("pi-8", "2 invitations are open")] {
        let invited = owner.paste(&["fleet", "invite"], &hub.device_link(id));
        let until = "Use it before the hub's link ends (15 minutes unless --link-for); the invitation itself ends 20";
        assert!(invited.stderr.contains(&format!("a secret link for device {id}. {until}")), "{invited:?}");
        let listed = owner.run(&["fleet", "list"]);
        assert!(listed.stderr.contains(&format!("nothing is signed yet; {open}")), "{listed:?}");
    }
}

#[test]
fn a_signature_by_hand_is_not_listed_where_its_invitations_cannot_be_ended() {
    let owner = Machine::new();
    owner.ask(&["fleet", "init"]);
    let file = owner.home().join(".local/share/devstream/fleet/invitations");
    fs::write(&file, "damaged\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let refused = owner.run(&["fleet", "sign", DEVICE, "--key", key]);
    assert!(refused.code == Some(1) && refused.stderr.contains("line 1 is no invitation"), "{refused:?}");
    assert!(
        refused.stdout.is_empty() && !owner.run(&["fleet", "list", "--json"]).stdout.contains(DEVICE),
        "{refused:?}"
    );
}

#[test]
fn a_key_that_was_signed_is_replaced_by_hand_only_where_that_is_said() {
    let owner = Machine::new();
    owner.ask(&["fleet", "init"]);
    let [former, now] = ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw"];
    owner.ask(&["fleet", "sign", DEVICE, "--key", former]);
    let unsaid = owner.run(&["fleet", "sign", DEVICE, "--key", now]);
    assert!(unsaid.code == Some(1) && unsaid.stdout.is_empty(), "no certificate: {unsaid:?}");
    for words in [&former[..8], &now[..8], "(signed until 20", "nothing was changed", "add --replace"] {
        assert!(unsaid.stderr.contains(words), "no '{words}' in {unsaid:?}");
    }
    assert!(owner.ask(&["fleet", "list"]).contains(former));
    owner.ask(&["fleet", "sign", DEVICE, "--key", former]);
    let said = owner.run(&["fleet", "sign", DEVICE, "--key", now, "--replace"]);
    assert!(said.code == Some(0) && said.stderr.contains("; instead of "), "{said:?}");
    assert!(owner.ask(&["fleet", "list"]).contains(now));
}

#[test]
fn a_machine_that_is_forgotten_while_the_hub_holds_its_certificate_back_stays_forgotten() {
    let invited = Invited::new();
    let laptop = invited.owner.machine.clone();
    let _device = invited.device();
    // It is due.
    laptop.clone().off_by("-341d").ask(&["fleet", "sign", DEVICE]);
    let (hub, listed) =
        (Chaos::in_front_of(&invited.hub.address()), || laptop.ask(&["fleet", "list"]).contains(DEVICE));
    hub.hit_everything(Fault::Freeze(Direction::Both));
    let signing = laptop.start(&["fleet", "sign", "--hub", &hub.address()]);
    poll("the certificate", || (hub.connections() > 0).then_some(()));
    assert!(listed());
    laptop.ask(&["fleet", "forget", DEVICE]);
    hub.heal();
    let signed = signing.finish();
    assert!(signed.code == Some(1) && signed.stdout.is_empty(), "{signed:?}");
    assert!(signed.stderr.contains("device pi-42: it was forgotten here, or another key"), "{signed:?}");
    assert!(!listed());
}

#[test]
fn a_stream_hands_over_no_certificate_of_a_machine_that_was_forgotten_meanwhile() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let (laptop, device) = (&invited.owner.machine, invited.device());
    let _agent = start(&device, &target);
    let registry = invited.hub.machine().home().join(".local/share/devstream/hub/registry.sqlite");
    let registry = Connection::open(registry).unwrap();
    registry.execute_batch("BEGIN IMMEDIATE").unwrap();
    let opening = laptop.start(&["service-proxy", DEVICE, "--stdio"]);
    let is_listed = || laptop.ask(&["fleet", "list"]).contains(DEVICE);
    poll("the signature", || is_listed().then_some(()));
    laptop.ask(&["fleet", "forget", DEVICE]);
    registry.execute_batch("ROLLBACK").unwrap();
    // The device may have the certificate from the hub by now, which accepted it.
    let said = opening.finish();
    assert!(said.stderr.contains("pi-42: it was forgotten here"), "{said:?}");
    assert!(!is_listed());
}

#[test]
fn a_key_whose_certificate_the_hub_has_is_signed_again_neither_by_a_timer_nor_by_a_stream() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let (laptop, device) = (&invited.owner.machine, invited.device());
    let _agent = start(&device, &target);
    assert_says_hello(&stream(laptop), true);
    // The list of what was signed is lost, and an invitation is open that would be for the device too.
    fs::remove_file(laptop.home().join(".local/share/devstream/fleet/signed")).unwrap();
    invited.invite_any(&invited.hub.link(&["enroll", "add", "--device", "pi-*", "--uses", "9"]), &["pi-*"]);
    let timer = laptop.run(&["fleet", "sign"]);
    assert!(timer.code == Some(0) && timer.stdout.is_empty(), "{timer:?}");
    assert_says_hello(&stream(laptop), false);
    assert!(!laptop.ask(&["fleet", "list"]).contains(DEVICE));
    let named = laptop.ask(&["fleet", "sign", DEVICE]);
    assert!(named.contains("as before, signed again until 20"), "{named}");
}

#[test]
fn what_a_hub_says_of_a_machine_to_sign_is_quoted_as_its_word() {
    let invited = Invited::new();
    let laptop = &invited.owner.machine;
    let _device = invited.device();
    invited.hub.ask(&["device", "disable", DEVICE]);
    let named = laptop.run(&["fleet", "sign", DEVICE]);
    assert!(named.stderr.contains(r#"(the hub says: "device pi-42")"#), "{named:?}");
    assert!(named.stderr.contains("devstream hub device enable pi-42"), "{named:?}");
    // One that the hub lists, for an invitation without an id.
    invited.hub.ask(&["device", "enable", DEVICE]);
    let link = invited.hub.link(&["enroll", "add", "--device", "cam-*", "--uses", "9"]);
    let [line, other] = ["cam-*", "pi-7*"].map(|ids| invited.invite_any(&link, &[ids]));
    let [_first, second] = [("cam-1", &line), ("cam-2", &other)].map(|(id, line)| {
        let machine = Machine::new();
        assert_eq!(machine.paste(&["join", "--id", id], line).code, Some(0));
        machine
    });
    let all = laptop.run(&["fleet", "sign"]);
    drop(second);
    assert!(
        all.stderr.contains("device cam-2, which the hub lists: its proof is of the invitation for pi-7*"),
        "{all:?}"
    );
}

#[test]
fn a_stream_says_when_it_cannot_look_for_a_new_proof() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let device = invited.device();
    let _agent = start(&device, &target);
    let file = invited.owner.machine.home().join(".local/share/devstream/fleet/invitations");
    fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = stream(&invited.owner.machine);
    assert_not_in_fleet(&refused);
    assert!(refused.stderr.contains("pi-42: cannot look for a new proof: "), "{refused:?}");
}

#[test]
fn a_machine_that_has_joined_takes_an_invitation_with_the_same_link_and_none_of_another_fleet() {
    let (invited, other) = (Invited::new(), Invited::new());
    let (device, target) = (Machine::new(), Target::greeting_then_reading("hello\n"));
    let link = invited.hub.device_link(DEVICE);
    device.ask(&["join", &link]);
    invited.join(&device, &link);
    let _agent = start(&device, &target);
    assert_says_hello(&stream(&invited.owner.machine), true);
    let before = fs::read_to_string(identity_file(&device, "device")).unwrap();
    let foreign = other.invite(&invited.hub.link(&["device", "rotate", DEVICE]));
    let refused = device.paste(&["join"], &foreign);
    assert!(refused.code == Some(2) && refused.stderr.contains("devstream trust fleet --remove"), "{refused:?}");
    assert_eq!(fs::read_to_string(identity_file(&device, "device")).unwrap(), before);
    // The refused link is still valid, and a new key needs an invitation of its own.
    let rotated = invited.invite(foreign.split_once('#').unwrap().0);
    let joined = device.paste(&["join"], &rotated);
    assert_eq!(joined.code, Some(0), "{joined:?}");
    drop(_agent);
    let _agent = start(&device, &target);
    // A stream does not replace a key that was signed, and says what does.
    let refused = stream(&invited.owner.machine);
    assert_not_in_fleet(&refused);
    let advice = "was signed for it; if it has joined anew: devstream fleet sign pi-42 --role device";
    assert!(refused.stderr.contains(advice), "{refused:?}");
    let signed = invited.owner.machine.ask(&["fleet", "sign"]);
    assert!(signed.contains("; instead of ") && signed.contains("was signed before for the same id"), "{signed}");
    assert_says_hello(&stream(&invited.owner.machine), false);
}

#[test]
fn an_enrolment_key_with_invitations_admits_one_machine_for_each() {
    let (invited, target) = (Invited::new(), Target::greeting_then_reading("hello\n"));
    let laptop = &invited.owner.machine;
    let link = invited.hub.link(&["enroll", "add", "--device", "pi-*", "--uses", "9"]);
    let unnamed = laptop.paste(&["fleet", "invite"], &link);
    assert!(unnamed.code == Some(2) && unnamed.stderr.contains("say which one may use the invitation"), "{unnamed:?}");
    let line = invited.invite_any(&link, &["PI-*"]);
    let [first, second] = [(); 2].map(|()| Machine::new());
    for (machine, id) in [(&first, "pi-1"), (&second, DEVICE)] {
        let joined = machine.paste(&["join", "--id", id], &line);
        assert_eq!(joined.code, Some(0), "{joined:?}");
        let signed = laptop.run(&["fleet", "sign"]);
        if id == "pi-1" {
            assert!(
                signed.stdout.contains("device pi-1: proof of the invitation checked; signed until 20"),
                "{signed:?}"
            );
        } else {
            assert!(signed.code == Some(0) && signed.stdout.is_empty(), "nothing is open: {signed:?}");
        }
    }
    let _agent = start(&second, &target);
    let one = laptop.run(&["fleet", "sign", DEVICE]);
    assert!(one.code == Some(43) && one.stderr.contains("its invitation was used before, by pi-1"), "{one:?}");
    assert!(one.stderr.contains("--key KEY"), "{one:?}");
    assert_not_in_fleet(&stream(laptop));
    let named = laptop.paste(&["fleet", "invite", "pi-9"], &link);
    let third = Machine::new();
    assert_eq!(third.paste(&["join", "--id", "pi-8"], &named.stdout).code, Some(0));
    let one = laptop.run(&["fleet", "sign", "pi-8"]);
    assert!(one.code == Some(43) && one.stderr.contains("its proof is of the invitation for pi-9"), "{one:?}");
    let all = laptop.run(&["fleet", "sign"]);
    assert!(all.code == Some(1) && all.stderr.contains("device pi-9"), "the hub knows none: {all:?}");
    let other = laptop.paste(&["fleet", "invite", "pi-7"], &link);
    assert_eq!(Machine::new().paste(&["join", "--id", "pi-9"], &other.stdout).code, Some(0));
    let wrong = laptop.run(&["fleet", "sign"]).stderr;
    let why = "device pi-9: its proof is of the invitation for pi-7; by hand: devstream fleet sign pi-9 --role device";
    assert!(wrong.contains(why), "{wrong}");
}

#[test]
fn a_certificate_that_came_before_the_devices_clock_was_set_is_taken_up_once_it_is() {
    let invited = Invited::on(Machine::new().off_by("+40d"));
    let (device, clock) = Machine::with_settable_clock("+0d");
    let target = Target::greeting_then_reading("hello\n");
    invited.join(&device, &invited.hub.device_link(DEVICE));
    let agent = start(&device, &target);
    let signed = invited.owner.machine.ask(&["fleet", "sign"]);
    assert!(signed.starts_with("device pi-42: proof of the invitation checked; signed until 20"), "{signed}");
    agent.process.wait_line("pi-42: ignored a certificate from the hub: it begins on ");
    fs::write(clock, "+40d").unwrap();
    assert_says_hello(&stream(&invited.owner.machine), false);
    agent.process.wait_line("presents the fleet's certificate for this machine's key, until 20");
}
