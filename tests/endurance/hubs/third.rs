//! A third hub beside two that have thousands of identities.

use std::time::Duration;

use devstream::net::os::clock;

use super::super::support::cluster::Cluster;
use super::super::support::fleet::{ONE_ADDRESS, identities};
use super::super::support::machine::Machine;
use super::super::support::nats::Nats;
use super::super::support::roles::{Hub, pipe};
use super::super::support::targets::Target;
use super::super::support::{DEVICE, poll, ports};
use super::Outcome;

/// Time from the invitation until the new hub has opened a stream.
const SERVES: Duration = Duration::from_secs(10);

/// With so many identities.
pub(super) fn third(count: usize) -> Outcome {
    let (mut cluster, target) = (Cluster::over(Nats::start(1), 2, &ONE_ADDRESS), Target::echo());
    let _agent = cluster.agent_at(0, target.port);
    let start = clock::now();
    identities(&cluster.hubs, "many", count);
    let joining = start.elapsed();
    let (machine, port, start) = (Machine::new(), ports::reserve(), clock::now());
    let link = cluster.hubs[0].ask(&["cluster", "invite"]);
    let invited = start.elapsed();
    let joined = machine.paste(&["hub", "cluster", "join", "--name", &format!("127.0.0.1:{port}")], link.trim());
    assert_eq!(joined.code, Some(0), "{joined:?}");
    let has_joined = start.elapsed();
    cluster.hubs.push(Hub::start_on(&machine, port, &[]));
    let listens = start.elapsed();
    // Nobody else to ask.
    let laptop = cluster.laptop.clone().with("DEVSTREAM_HUB", &cluster.hubs[2].address());
    poll("a stream through the new hub", || (pipe(&laptop, DEVICE).code == Some(0)).then_some(()));
    let serves = start.elapsed();
    let words = format!(
        "{count} identities (joined in {joining:.1?}): invited after {invited:.1?}, joined after {has_joined:.1?}, listens \
         after {listens:.1?}, has opened a stream after {serves:.1?}"
    );
    (words, serves <= SERVES)
}
