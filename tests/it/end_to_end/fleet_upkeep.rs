//! What the owner of a fleet comes to later: links that are made anew, machines that are gone, a fleet key that was lost.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use devstream::proto::refusal::RefusalKind;

use super::fleet::assert_not_in_fleet;
use super::invitations::{Invited, start};
use super::stream;
use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::targets::Target;

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
fn a_machine_that_is_gone_is_neither_renewed_nor_asked_about_once_it_is_forgotten() {
    let invited = Invited::new();
    let laptop = invited.owner.machine.clone();
    let _device = invited.device();
    // It is due, and has an invitation that is open.
    let signed = laptop.clone().off_by("-341d").ask(&["fleet", "sign", DEVICE]);
    assert!(signed.contains("signed until 20"), "{signed}");
    invited.invite(&invited.hub.link(&["device", "rotate", DEVICE]));
    invited.hub.ask(&["device", "disable", DEVICE]);
    let disabled = laptop.run(&["fleet", "sign"]);
    assert!(disabled.code == Some(0), "{disabled:?}");
    assert_eq!(disabled.stdout.matches("device pi-42: not signed, since it is disabled at the hub").count(), 2);
    let by_name = laptop.run(&["fleet", "sign", DEVICE]);
    assert_eq!(by_name.code, Some(i32::from(RefusalKind::Disabled.row().exit)), "{by_name:?}");
    invited.hub.ask(&["device", "remove", DEVICE]);
    let removed = laptop.run(&["fleet", "sign"]);
    assert_eq!(removed.code, Some(1), "{removed:?}");
    for how_known in ["invited", "signed"] {
        let why =
            format!("device pi-42: {how_known}, but this hub has no such device, or alice may not reach it; if it");
        assert!(removed.stderr.contains(&why), "{removed:?}");
    }
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
    let same = invited.owner.machine.clone();
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
    assert!(made.stderr.contains("Keep a copy of the file"), "{made:?}");
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
