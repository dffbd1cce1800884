//! A new key of the same identity, which the former one vouches for.

use std::io::read_to_string;

use super::fleet::{Owner, assert_not_in_fleet};
use super::{Joined, key, known, stream};
use crate::support::machine::Machine;
use crate::support::roles::ServiceProxy;
use crate::support::targets::Target;
use crate::support::{DEVICE, SOON, poll, within};

#[test]
fn a_new_key_from_another_join_is_accepted_without_a_person_and_listed_as_that() {
    let (joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let former = key(&joined.device, "device");
    {
        let _agent = joined.agent(target.port);
        assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    }
    joined.device.ask(&["join", &joined.hub.link(&["device", "rotate", DEVICE])]);
    joined.laptop.ask(&["join", &joined.hub.link(&["service", "rotate", "alice"])]);
    let agent = joined.agent(target.port);
    let opened = stream(&joined.laptop);
    assert_eq!(opened.stdout, "hello\n");
    let said = "its former key vouches for it";
    assert!(opened.stderr.contains(said) && !opened.stderr.contains("first use"), "{opened:?}");
    agent.process.wait_line(said);
    for (machine, peer, role) in
        [(&joined.laptop, &joined.device, "device"), (&joined.device, &joined.laptop, "service")]
    {
        let [peer_known] = known(machine).try_into().unwrap();
        assert_eq!((&peer_known["role"], &peer_known["origin"]), (&role.into(), &"succeeded".into()), "{peer_known}");
        assert_eq!(peer_known["key"], key(peer, role));
    }
    assert_ne!(former, key(&joined.device, "device"));
}

#[test]
fn a_running_agent_presents_its_new_key_to_who_meets_it_for_the_first_time() {
    let (joined, target) = (Joined::new(), Target::greeting_then_reading("hello\n"));
    let agent = joined.agent(target.port).process;
    assert_eq!(stream(&joined.laptop).stdout, "hello\n");
    let lines = agent.lines();
    joined.device.ask(&["join", &joined.hub.link(&["device", "rotate", DEVICE])]);
    agent.wait_line_after(lines, "is online");
    let newcomer = Machine::new();
    newcomer.ask(&["join", &joined.hub.service_link("bob")]);
    assert_eq!(stream(&newcomer).stdout, "hello\n");
    let [met] = known(&newcomer).try_into().unwrap();
    assert_eq!(met["key"], key(&joined.device, "device"), "what `devstream identity` shows there");
}

#[test]
fn running_roles_present_the_certificate_that_a_person_stores_meanwhile() {
    let (joined, owner) = (Joined::new(), Owner::new());
    let target = Target::greeting_then_reading("hello\n");
    let agent = joined.agent(target.port).process;
    let proxy = ServiceProxy::start(&joined.laptop);
    let says = || read_to_string(proxy.connect()).unwrap_or_default();
    assert_eq!(says(), "hello\n");
    let lines = agent.lines();
    owner.trusted_by(&joined.device);
    agent.wait_line_after(lines, "is online");
    owner.trusted_by(&joined.laptop);
    assert_not_in_fleet(&stream(&joined.laptop));
    owner.admit(&joined.device, "device", DEVICE);
    owner.admit(&joined.laptop, "service", "alice");
    within(SOON, "the certificates", || poll("a stream", || (says() == "hello\n").then_some(())));
}
