//! A new key of the same identity, which the former one vouches for.

use super::{Joined, key, known, stream};
use crate::support::DEVICE;
use crate::support::machine::Machine;
use crate::support::targets::Target;

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
