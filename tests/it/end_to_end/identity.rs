//! `devstream identity` and the KEY of `devstream devices`.

use devstream::proto::refusal::RefusalKind;

use super::{Joined, json, key, known, short, stream};
use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, assert_is};
use crate::support::targets::Target;

#[test]
fn a_machine_says_who_it_is_with_its_whole_key_on_one_line_each() {
    let joined = Joined::new();
    let (device, address) = (&joined.device, joined.hub.address());
    let key = key(device, "device");
    let listed = device.ask(&["identity"]);
    let row = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(row(listed.lines().nth(1).unwrap()), ["device", DEVICE, &address, &key], "{listed}");
    assert!(listed.lines().count() == 2 && listed.lines().all(|line| line.len() <= 100), "{listed}");

    // The other role of the same profile, and another profile.
    device.ask(&["join", &joined.hub.service_link("bob")]);
    let both = json(device, &["identity"]);
    assert_eq!((&both[0]["id"], &both[1]["id"]), (&DEVICE.into(), &"bob".into()), "{both}");
    assert_eq!((&both[0]["hub"], &both[0]["endToEndKey"]), (&address.into(), &key.into()), "{both}");
    let other = device.run(&["identity", "--profile", "lab"]);
    assert_eq!(other.code, Some(30), "{other:?}");
    let said = "there is no profile lab; this user has: default; ";
    assert!(other.stderr.contains(said) && other.stderr.contains("with --profile lab"), "{other:?}");
    let devices = device.run(&["devices", "--profile", "lab"]);
    assert!(devices.stderr.contains(said) && devices.stderr.contains("with --profile lab"), "{devices:?}");

    // A hub's own user has a key once one is used.
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let unused = machine.run(&["identity"]);
    assert_eq!(unused.code, Some(30), "{unused:?}");
    assert!(
        unused.stderr.contains("a key for using it is made at the first use; for example `devstream"),
        "{unused:?}"
    );
}

#[test]
fn a_machine_without_an_identity_is_told_how_to_get_one() {
    let nobody = Machine::new();
    for command in [
        &["identity"][..],
        &["trust", "list"],
        &["trust", "fleet"],
        &["trust", "reset"],
        &["trust", "forget", "device", "x"],
    ] {
        assert_is(&nobody.run(command), RefusalKind::NotJoined);
    }
}

#[test]
fn identities_of_the_users_own_hub_are_listed_and_keep_no_keys() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let target = Target::greeting_then_reading("hello\n");
    let _agent = Agent::start(&machine, &[&target.port.to_string()]);
    assert_eq!(stream(&machine).stdout, "hello\n");
    let own = json(&machine, &["identity"]);
    let roles: Vec<_> = own.as_array().unwrap().iter().map(|own| (&own["role"], &own["hub"])).collect();
    assert_eq!(roles, [(&"device".into(), &().into()), (&"service".into(), &().into())], "{own}");
    assert!(machine.ask(&["identity"]).contains("this user's"));
    assert!(known(&machine).is_empty());
    for command in
        [&["trust", "reset", "--yes"][..], &["trust", "fleet"], &["trust", "forget", "device", DEVICE, "--yes"]]
    {
        let refused = machine.run(command);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(
            refused.stderr.contains("uses the hub of this user, and takes the keys of its peers from"),
            "{refused:?}"
        );
    }
}

#[test]
fn devices_have_their_keys_once_they_are_known_here() {
    let joined = Joined::new();
    let target = Target::greeting_then_reading("hello\n");
    let _agent = joined.agent(target.port);
    let last = |text: String| text.lines().nth(1).and_then(|line| line.split_whitespace().last()).unwrap().to_owned();
    assert_eq!(last(joined.laptop.ask(&["devices"])), "-");
    assert!(json(&joined.laptop, &["devices"])[0].get("endToEndKey").is_none());
    stream(&joined.laptop);
    let key = key(&joined.device, "device");
    let listed = joined.laptop.ask(&["devices"]);
    assert!(listed.lines().next().unwrap().ends_with("OFFERS  KEY"), "{listed}");
    assert_eq!(last(listed), short(&key));
    let device = &json(&joined.laptop, &["devices"])[0];
    assert_eq!((&device["endToEndKey"], &device["id"]), (&key.into(), &DEVICE.into()));
    assert_eq!(device["knownSince"], known(&joined.laptop)[0]["since"]);
}
