//! `devstream trust`, as a person runs it.

use std::fs;

use devstream::proto::refusal::RefusalKind;

use super::{Joined, key, known, short, stream};
use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::roles::{Hub, ServiceProxy, assert_is};
use crate::support::targets::Target;
use crate::support::terminal::Terminal;

#[test]
fn a_device_that_was_set_up_anew_is_refused_until_its_key_is_pinned() {
    let (mut joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let former = key(&joined.device, "device");
    {
        let _agent = joined.agent(target.port);
        assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    }
    let first = &known(&joined.laptop)[0];
    assert_eq!((&first["id"], &first["key"]), (&DEVICE.into(), &former.as_str().into()));
    assert_eq!((&first["role"], &first["origin"]), (&"device".into(), &"first-use".into()));
    assert_eq!(known(&joined.device)[0]["id"], "alice", "the device knows its service");

    joined.set_up_anew();
    let _agent = joined.agent(target.port);
    let now = key(&joined.device, "device");
    let refused = stream(&joined.laptop);
    assert_is(&refused, RefusalKind::AnotherPeerKey);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(42), ""), "{refused:?}");
    for words in [
        format!("known since {}: {}; now: {}", &first["since"].as_str().unwrap()[..10], short(&former), short(&now)),
        "devstream identity".into(),
        format!("devstream trust pin device {DEVICE} KEY"),
    ] {
        assert!(refused.stderr.contains(&words), "no '{words}' in {refused:?}");
    }
    let proxy = ServiceProxy::start(&joined.laptop);
    drop(proxy.connect());
    let line = proxy.process.wait_line("shows another end-to-end key");
    assert!(!proxy.process.log().contains(": opened"), "nothing is open before the two know each other: {line}");
    let ssh = joined.laptop.run(&["ssh", "--stream", "target", DEVICE, "-o", "BatchMode=yes", "true"]);
    assert!(ssh.code != Some(0) && ssh.stderr.contains("shows another end-to-end key"), "{ssh:?}");

    let part = joined.laptop.run(&["trust", "pin", "device", DEVICE, &short(&now)]);
    assert_eq!(part.code, Some(2), "{part:?}");
    assert!(part.stderr.contains("43 characters") && part.stderr.contains("`devstream identity`"), "{part:?}");
    // In whatever case it is typed: sessions look it up in lower case.
    let pinned = joined.laptop.run(&["trust", "pin", "device", "PI-42", &now]);
    let said = format!("device {DEVICE} is pinned: {} in place of {} (first-use since ", short(&now), short(&former));
    assert!(pinned.code == Some(0) && pinned.stderr.contains(&said), "{pinned:?}");
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    let [pinned] = known(&joined.laptop).try_into().unwrap();
    assert_eq!((&pinned["origin"], &pinned["key"]), (&"pinned".into(), &now.as_str().into()));
    let again = joined.laptop.run(&["trust", "pin", "device", DEVICE, &now]);
    assert!(again.stderr.contains("the same key as before (pinned since "), "{again:?}");
}

#[test]
fn a_key_that_was_pinned_is_replaced_only_where_that_is_said() {
    let (mut joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let former = key(&joined.device, "device");
    joined.laptop.ask(&["trust", "pin", "device", DEVICE, &former]);
    joined.set_up_anew();
    let _agent = joined.agent(target.port);
    let now = key(&joined.device, "device");
    let refused = stream(&joined.laptop);
    let advised = format!("devstream trust pin device {DEVICE} KEY --replace, with the whole key");
    assert!(refused.code == Some(42) && refused.stderr.contains(&advised), "{refused:?}");
    let unsaid = joined.laptop.run(&["trust", "pin", "device", DEVICE, &now]);
    assert_eq!(unsaid.code, Some(1), "{unsaid:?}");
    for words in [short(&former), short(&now), "nothing was changed".into(), "add --replace".into()] {
        assert!(unsaid.stderr.contains(&words), "no '{words}' in {unsaid:?}");
    }
    assert_eq!(known(&joined.laptop)[0]["key"], former.as_str());
    joined.laptop.ask(&["trust", "pin", "device", DEVICE, &former]);
    let said = joined.laptop.run(&["trust", "pin", "device", DEVICE, &now, "--replace"]);
    assert!(
        said.code == Some(0) && said.stderr.contains(&format!("in place of {} (pinned", short(&former))),
        "{said:?}"
    );
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
}

#[test]
fn a_service_that_was_set_up_anew_is_refused_by_the_device_until_its_key_is_pinned_there() {
    let (mut joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let agent = joined.agent(target.port);
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    joined.laptop = Machine::new();
    joined.laptop.ask(&["join", &joined.hub.link(&["service", "rotate", "alice", "--overlap", "0s"])]);
    let refused = stream(&joined.laptop);
    assert_is(&refused, RefusalKind::AnotherPeerKey);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("devstream trust pin service ID KEY"), "{refused:?}");
    agent.process.wait_line("devstream trust pin service alice KEY");
    joined.device.ask(&["trust", "pin", "service", "alice", &key(&joined.laptop, "service")]);
    assert_eq!(stream(&joined.laptop).stdout, "hello\n", "without a restart of the agent");
}

#[test]
fn the_advised_command_names_the_profile_that_refuses_unless_it_is_the_default() {
    let (mut joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let laptop = Machine::new();
    laptop.ask(&["join", "--profile", "work", &joined.hub.service_link("bob")]);
    {
        let _agent = joined.agent(target.port);
        let greeted = laptop.run(&["--profile", "work", "service-proxy", DEVICE, "--stdio"]);
        assert_eq!(greeted.stdout, "hello\n", "{greeted:?}");
    }
    joined.set_up_anew();
    let _agent = joined.agent(target.port);
    let refused = laptop.run(&["--profile", "work", "service-proxy", DEVICE, "--stdio"]);
    assert_is(&refused, RefusalKind::AnotherPeerKey);
    let advised = format!("trust pin device {DEVICE} KEY --profile work");
    assert!(refused.stderr.contains(&format!("devstream {advised}, with the whole key")), "{refused:?}");
    let command = advised.replace("KEY", &key(&joined.device, "device"));
    laptop.ask(&command.split(' ').collect::<Vec<_>>());
    laptop.ask(&["profiles", "use", "work"]);
    assert_eq!(stream(&laptop).stdout, "hello\n");
}

#[test]
fn a_peer_that_is_forgotten_is_met_anew() {
    let (mut joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    {
        let _agent = joined.agent(target.port);
        stream(&joined.laptop);
    }
    joined.set_up_anew();
    let _agent = joined.agent(target.port);
    let unasked = joined.laptop.run(&["trust", "forget", "device", DEVICE]);
    assert!(unasked.code == Some(1) && unasked.stderr.contains("confirm with --yes"), "{unasked:?}");
    let script = format!("{DEVSTREAM} trust forget device {DEVICE}; echo code $?");
    for (answer, code) in [("\n", "code 1"), ("y\n", "code 0")] {
        assert_eq!(known(&joined.laptop).len(), 1);
        let mut terminal = Terminal::start_shell(&joined.laptop, &script);
        terminal.wait_line(&[&format!("Forget the key of device {DEVICE}"), "The key that it shows next is kept."]);
        terminal.type_keys(answer);
        terminal.wait_line(&[code]);
    }
    let gone = joined.laptop.run(&["trust", "forget", "device", DEVICE, "--yes"]);
    assert!(gone.code == Some(1) && gone.stderr.contains("is not known"), "{gone:?}");
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    assert_eq!(known(&joined.laptop)[0]["key"], key(&joined.device, "device"));

    joined.laptop.ask(&["trust", "pin", "device", "other", &key(&joined.device, "device")]);
    let reset = joined.laptop.run(&["trust", "reset", "--yes"]);
    assert!(reset.code == Some(0) && reset.stderr.contains("forgot the keys of 2 devices"), "{reset:?}");
    assert!(known(&joined.laptop).is_empty());
    let nothing = joined.laptop.run(&["trust", "reset"]);
    assert!(nothing.code == Some(0) && nothing.stderr.contains("nothing was changed"), "{nothing:?}");
}

#[test]
fn a_machine_in_both_roles_is_asked_which_of_them_forgets() {
    let joined = Joined::new();
    let both = &joined.device;
    both.ask(&["join", &joined.hub.service_link("bob")]);
    let key = key(&joined.laptop, "service");
    both.ask(&["trust", "pin", "device", "pi-43", &key]);
    both.ask(&["trust", "pin", "service", "alice", &key]);
    let listed = both.ask(&["trust", "list"]);
    let rows: Vec<_> = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(rows[0], ["ROLE", "ID", "ORIGIN", "SINCE", "KEY"], "{listed}");
    assert_eq!(
        [&rows[1][..3], &rows[2][..3]],
        [["service", "alice", "pinned"], ["device", "pi-43", "pinned"]],
        "{listed}"
    );
    assert!(rows[1..].iter().all(|row| row[4] == key) && listed.lines().all(|line| line.len() <= 100), "{listed}");
    let of_service = both.ask(&["trust", "list", "--role", "service"]);
    assert!(of_service.contains("pi-43") && !of_service.contains("alice"), "{of_service}");
    let unclear = both.run(&["trust", "reset", "--yes"]);
    assert!(unclear.code == Some(2) && unclear.stderr.contains("--role device|service"), "{unclear:?}");
    both.ask(&["trust", "reset", "--role", "device", "--yes"]);
    assert_eq!(known(both).len(), 1);
    // A laptop that is no device has no services to know.
    let other_role = joined.laptop.run(&["trust", "pin", "service", "bob", &key]);
    assert!(
        other_role.stderr.contains("this machine joined only as service alice; run this on the device"),
        "{other_role:?}"
    );
}

#[test]
fn known_keys_leave_with_their_profile_and_their_hub() {
    let (joined, other) = (Joined::new(), Hub::start(&Machine::new()));
    let (laptop, data) = (&joined.laptop, joined.laptop.home().join(".local/share/devstream"));
    let key = key(&joined.device, "device");
    laptop.ask(&["trust", "pin", "device", DEVICE, &key]);
    assert!(data.join("service/known").exists() && data.join("service/known.lock").exists());

    laptop.ask(&["join", &joined.hub.link(&["service", "rotate", "alice"])]);
    assert_eq!(known(laptop).len(), 1, "a new key of the same identity");
    let replaced = laptop.run(&["join", "--replace", &other.service_link("alice")]);
    let said = format!("forgot the end-to-end keys of 1 device at {}, the hub before", joined.hub.address());
    assert!(replaced.code == Some(0) && replaced.stderr.contains(&said), "{replaced:?}");
    assert!(known(laptop).is_empty());

    laptop.ask(&["trust", "pin", "device", DEVICE, &key]);
    laptop.ask(&["profiles", "remove", "default", "--yes"]);
    assert!(fs::metadata(data.join("service")).is_err());
}
