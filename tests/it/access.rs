//! Scope changes under active streams: streams outside the new scope end with the reason, others continue.

use std::time::Duration;

use devstream::net::os::clock;
use devstream::proto::admin::Identity;
use devstream::proto::refusal::RefusalKind;
use devstream::proto::timestamp::Timestamp;

use crate::support::bytes::{StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::roles::{Agent, Hub, OneMachine, ServiceProxy, ThreeMachines, assert_is, connect, pipe};
use crate::support::targets::{Target, is_alive};
use crate::support::{AT_ONCE, DEVICE, SOON, within};

#[test]
fn a_stream_name_that_is_not_granted_is_answered_with_those_that_are() {
    let target = Target::echo();
    let ThreeMachines { laptop, proxy: _proxy, agent: _agent, hub, .. } =
        ThreeMachines::forwarding(target.port, &["--device", "*", "--stream", "target", "--stream", "db-*"]);
    let refused = laptop.run(&["service-proxy", DEVICE, "--stdio", "--stream", "web"]);
    assert_is(&refused, RefusalKind::NotPermitted);
    assert!(refused.stderr.contains("(asked for web; service alice may open target, db-*)"), "{refused:?}");
    hub.wait_activity("invoke", Some(RefusalKind::NotPermitted.row().label));
}

#[test]
fn a_service_whose_access_has_expired_loses_its_stream_and_gets_no_other() {
    let target = Target::echo();
    let scope = ["--device", "*", "--for", "3s"];
    let ThreeMachines { proxy, agent, laptop, device: _device, hub } = ThreeMachines::forwarding(target.port, &scope);
    let mut local = proxy.connect();
    is_alive(&mut local);
    let until = until(&hub, "alice").expect("an end");
    assert_eq!(drain(&mut local).end, StreamEnd::Reset);
    let now = clock::now_utc();
    assert!(now >= until && now.since(until) <= AT_ONCE, "ended at {now}, for {until}");
    for process in [&proxy.process, &agent.process] {
        process.wait_line(RefusalKind::AccessEnded.row().sentence);
    }
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::AccessEnded);
    assert_is(&laptop.run(&["devices"]), RefusalKind::AccessEnded);
    assert!(hub.ask(&["service", "list"]).contains("expired"));

    hub.ask(&["service", "set", "alice", "--for", "8h"]);
    is_alive(&mut proxy.connect());
}

#[test]
fn the_expiry_of_an_active_stream_can_be_changed() {
    let target = Target::echo();
    let scope = ["--device", "*", "--for", "8h"];
    let ThreeMachines { proxy, agent: _agent, laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, &scope);
    let witness = Machine::new();
    witness.ask(&["join", &hub.service_link("bob")]);
    let bobs = ServiceProxy::start(&witness);
    let (mut kept, mut ended) = (proxy.connect(), bobs.connect());
    is_alive(&mut kept);
    is_alive(&mut ended);
    for (service, span) in [("alice", "2s"), ("alice", "ever"), ("bob", "2s")] {
        hub.ask(&["service", "set", service, "--for", span]);
    }
    assert_eq!(within(Duration::from_secs(4), "bob's end", || drain(&mut ended)).end, StreamEnd::Reset);
    is_alive(&mut kept);
    assert_eq!(until(&hub, "alice"), None);
    hub.ask(&["service", "set", "alice", "--for", "0s"]);
    assert_eq!(within(SOON, "alice's end", || drain(&mut kept)).end, StreamEnd::Reset);
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::AccessEnded);
}

#[test]
fn a_narrower_list_of_stream_names_ends_only_the_streams_outside_it() {
    let target = Target::echo();
    let (hub, device, laptop) = (Hub::start(&Machine::new()), Machine::new(), Machine::new());
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let port = target.port;
    let agent = Agent::start(&device, &[&format!("web={port}"), &format!("ssh={port}")]);
    let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0=ssh", &["--local", "0=web"]);
    let web = proxy.port_for(DEVICE, "0=web");
    let (mut inside, mut outside) = (proxy.connect(), connect(web));
    is_alive(&mut inside);
    is_alive(&mut outside);

    let narrow = || hub.ask(&["service", "set", "alice", "--stream", "ss?"]);
    assert_eq!(within(SOON, "the stream's end", || (narrow(), drain(&mut outside))).1.end, StreamEnd::Reset);
    for process in [&proxy.process, &agent.process] {
        process.wait_line(RefusalKind::NotPermitted.row().sentence);
    }
    assert_eq!(drain(&mut connect(web)).end, StreamEnd::Reset);
    is_alive(&mut inside);
    // The first forward is no longer permitted, and another one does not take its place.
    let finished = laptop.run(&["service-proxy", "--device", DEVICE, "--stdio"]);
    assert_is(&finished, RefusalKind::StreamNotOffered);
    assert!(finished.stderr.contains("asked for the device's first; offered: ssh"), "{finished:?}");
    let finished = laptop.run(&["service-proxy", "--device", DEVICE, "--stdio", "--stream", "web"]);
    assert_is(&finished, RefusalKind::NotPermitted);
    hub.wait_activity("invoke", Some(RefusalKind::NotPermitted.row().label));
}

#[test]
fn a_narrower_list_of_devices_ends_only_the_streams_outside_it() {
    let target = Target::echo();
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    laptop.ask(&["join", &hub.service_link_with("alice", &["--device", "pi-*"])]);
    let online = ["pi-1", "pi-2"].map(|id| {
        let device = Machine::new();
        device.ask(&["join", &hub.device_link(id)]);
        (Agent::start_as(&device, id, &[&target.port.to_string()]), device)
    });
    let proxies = ["pi-1", "pi-2"].map(|id| ServiceProxy::start_with(&laptop, id, "0", &[]));
    let [mut inside, mut outside] = [proxies[0].connect(), proxies[1].connect()];
    is_alive(&mut inside);
    is_alive(&mut outside);

    let narrow = || hub.ask(&["service", "set", "alice", "--device", "pi-1", "--device", "pi-3"]);
    assert_eq!(within(SOON, "the stream's end", || (narrow(), drain(&mut outside))).1.end, StreamEnd::Reset);
    proxies[1].process.wait_line(RefusalKind::NotPermitted.row().sentence);
    assert_is(&pipe(&laptop, "pi-2"), RefusalKind::UnknownDevice);
    is_alive(&mut inside);
    is_alive(&mut proxies[0].connect());
    drop(online);
}

#[test]
fn a_service_is_held_to_its_stream_limit() {
    let target = Target::echo();
    let scope = ["--device", "*", "--max-streams", "2"];
    let ThreeMachines { proxy, agent: _agent, laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, &scope);
    let [mut first, mut second] = [(); 2].map(|()| proxy.connect());
    is_alive(&mut first);
    is_alive(&mut second);
    let third = pipe(&laptop, DEVICE);
    assert_is(&third, RefusalKind::StreamLimitReached);

    drop(first);
    hub.wait_activity("streamClosed", None);
    is_alive(&mut proxy.connect());
    hub.ask(&["service", "set", "alice", "--max-streams", "any"]);
    let mut others = [(); 3].map(|()| proxy.connect());
    others.iter_mut().for_each(is_alive);
    is_alive(&mut second);
}

#[test]
fn a_new_service_may_reach_nothing_and_the_admin_everything() {
    let target = Target::echo();
    let laptop = Machine::new();
    let fixture = OneMachine::forwarding(target.port);
    is_alive(&mut fixture.proxy.connect());
    laptop.ask(&["join", &fixture.hub.service_link_with("alice", &[])]);
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::UnknownDevice);
    assert_eq!(laptop.ask(&["devices", "--json"]).trim(), "[]");
}

/// The expiry of a service's access.
fn until(hub: &Hub, service: &str) -> Option<Timestamp> {
    let shown: Vec<Identity> = hub.json(&["service", "show", service]);
    shown[0].scope.as_ref().expect("a service has a scope").until
}
