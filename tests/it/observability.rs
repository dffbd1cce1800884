//! Lists of devices, services and streams, and the hub's status, as text and as JSON.

use std::io::Write as _;
use std::net::TcpListener;

use devstream::net::os::clock;
use devstream::proto::admin::{DeviceStatus, HubStatus, Identity, Presence, StreamStatus};
use devstream::proto::refusal::RefusalKind;

use crate::support::bytes::{KIB, Pattern, StreamEnd, drain};
use crate::support::machine::Machine;
use crate::support::raw::{RawClient, RawDevice};
use crate::support::roles::{Agent, Hub, ThreeMachines, assert_is};
use crate::support::targets::{Target, is_alive};
use crate::support::{DEVICE, SOON, poll, within};

const EVERYTHING: &[&str] = &["--device", "*"];

#[test]
fn the_admin_sees_every_device_and_its_round_trip_time() {
    let start = clock::now_utc();
    let (hub, device) = (Hub::start(&Machine::new()), Machine::new());
    hub.device_link("never-there");
    device.ask(&["join", &hub.device_link(DEVICE)]);
    let agent = Agent::start(&device, &["22", "web=8080"]);

    let soon = || {
        poll("the round trip", || {
            let listed: Vec<Identity> = hub.json(&["devices"]);
            let [absent, present] = listed.try_into().expect("two devices");
            assert!(
                absent.online.is_none() && !absent.joined && absent.enabled && absent.last_seen.is_none(),
                "{absent:?}"
            );
            assert!(
                present.joined && present.enabled && present.last_seen.is_some() && present.scope.is_none(),
                "{present:?}"
            );
            present.online.filter(|online| online.round_trip_us.is_some())
        })
    };
    let online = within(SOON, "the round trip", soon);
    let Presence {
        since,
        address,
        version,
        forwards,
        round_trip_us,
        accepts_any_name,
        dead_targets: _,
        first_is_hidden: _,
        hub: at,
    } = online;
    let forwards: Vec<_> = forwards.iter().map(|name| name.as_str()).collect();
    assert!(since >= start && since <= clock::now_utc(), "{since}");
    assert!(address.ip().is_loopback() && !accepts_any_name && at.is_none(), "{address} {at:?}");
    assert_eq!((version.as_str(), forwards.as_slice()), (env!("CARGO_PKG_VERSION"), &["ssh", "web"][..]));
    assert!(round_trip_us.is_some_and(|micros| micros < 1_000_000), "{round_trip_us:?}");
    let text = hub.ask(&["devices"]);
    for part in ["never-there", "not joined", DEVICE, "online", &address.to_string(), " ms", "ssh web"] {
        assert!(text.contains(part), "no {part} in {text}");
    }

    let shown: Vec<Identity> = hub.json(&["device", "show", DEVICE]);
    assert_eq!(shown[0].keys.len(), 1);
    assert!(hub.ask(&["device", "show", DEVICE]).contains(&shown[0].keys[0].fingerprint));
    drop(agent);
    hub.wait_activity("deviceDisconnected", None);
    let gone: Vec<Identity> = hub.json(&["device", "show", DEVICE]);
    assert!(gone[0].online.is_none() && gone[0].last_seen >= Some(since), "{gone:?}");
}

#[test]
fn a_service_sees_the_devices_and_stream_names_within_its_scope() {
    let (hub, laptop) = (Hub::start(&Machine::new()), Machine::new());
    let online = |id: &str| RawDevice::online(RawClient::join(&hub.device_link(id)), &["ssh", "web"]);
    let (_one, two, _other) = (online("pi-1"), online("pi-2"), online("other"));
    hub.device_link("pi-3");
    laptop.ask(&["join", &hub.service_link_with("alice", &["--device", "pi-*", "--stream", "web"])]);
    drop(two);
    hub.wait_activity("deviceDisconnected", None);

    let listed: Vec<DeviceStatus> = serde_json::from_str(&laptop.ask(&["devices", "--json"])).expect("devices");
    let ids: Vec<_> = listed.iter().map(|device| device.id.as_str()).collect();
    assert_eq!(ids, ["pi-1", "pi-2", "pi-3"]);
    let forwards = &listed[0].online.as_ref().expect("it is online").forwards;
    assert_eq!(forwards.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["web"]);
    assert!(listed[1].online.is_none() && listed[1].last_seen.is_some(), "{listed:?}");
    assert!(listed[2].online.is_none() && listed[2].last_seen.is_none(), "{listed:?}");

    let text = laptop.ask(&["devices"]);
    let seen = listed[1].last_seen.expect("it was seen").to_string();
    for part in ["pi-1", "online", "web", "pi-2", "offline", &seen] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("other") && !text.contains("ssh"), "{text}");
    hub.ask(&["service", "set", "alice", "--device", "none"]);
    let finished = laptop.run(&["devices"]);
    assert!(finished.code == Some(0) && finished.stderr.contains("devstream hub service set"), "{finished:?}");
}

#[test]
fn an_unjoined_machine_is_reported() {
    assert_is(&Machine::new().run(&["devices"]), RefusalKind::NotJoined);
}

#[test]
fn an_active_stream_is_listed_with_its_byte_counts() {
    let target = Target::sink();
    let ThreeMachines { proxy, agent: _agent, laptop: _laptop, device: _device, hub } =
        ThreeMachines::with_laptop(Machine::new().plain(), target.port, EVERYTHING, &[]);
    assert!(streams(&hub).is_empty());
    let mut local = proxy.connect();
    for wanted in [KIB, 3 * KIB] {
        let sent = poll("the stream", || Some(streams(&hub).first()?.bytes_to_device)).min(KIB);
        Pattern::new(1).send(&mut local, wanted - sent).expect("the stream takes bytes");
        local.flush().expect("the stream takes bytes");
        poll("the bytes", || (streams(&hub).first()?.bytes_to_device == wanted).then_some(()));
    }
    let [stream] = streams(&hub).try_into().expect("one stream");
    assert_eq!((stream.device.as_str(), stream.service.as_str(), stream.state.as_str()), (DEVICE, "alice", "open"));
    assert_eq!(stream.name.as_ref().map(|name| name.as_str()), Some("target"));
    assert!(stream.source.ip().is_loopback(), "{stream:?}");
    assert_eq!(hub.wait_activity("streamOpened", None)["properties"]["streamId"], stream.id.to_string());
    let text = hub.ask(&["streams", "list"]);
    for part in [&stream.id.to_string(), "open", "alice", "pi-42/target", "3.00 KiB"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    drop(local);
    poll("its end", || streams(&hub).is_empty().then_some(()));
}

#[test]
fn a_killed_stream_reports_the_reason_at_both_ends() {
    let target = Target::echo();
    let ThreeMachines { proxy, agent, laptop: _laptop, device: _device, hub } =
        ThreeMachines::forwarding(target.port, EVERYTHING);
    let mut kept = proxy.connect();
    is_alive(&mut kept);
    let [stream] = streams(&hub).try_into().expect("one stream");
    let kill = || hub.ask(&["streams", "kill", &stream.id.to_string()]);
    assert_eq!(within(SOON, "its end", || (kill(), drain(&mut kept))).1.end, StreamEnd::Reset);
    for process in [&proxy.process, &agent.process] {
        process.wait_line(RefusalKind::StreamKilled.row().sentence);
    }
    poll("its line in the log", || {
        let log = hub.activity();
        let fits = |entry: &&serde_json::Value| entry["properties"]["streamId"] == stream.id.to_string();
        let entry = log.iter().filter(fits).find(|entry| entry["operationName"] == "streamClosed")?;
        assert!(entry.to_string().contains(RefusalKind::StreamKilled.row().sentence), "{entry}");
        Some(())
    });
    is_alive(&mut proxy.connect());
}

#[test]
fn a_command_whose_stream_was_killed_exits_with_that_code() {
    // It accepts connections without responding.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let fixture = ThreeMachines::forwarding(port, EVERYTHING);
    let piped = fixture.laptop.start(&["service-proxy", "--device", DEVICE, "--stdio"]);
    let open = || streams(&fixture.hub).into_iter().find(|stream| stream.state == "open");
    let id = poll("the stream", open).id.to_string();
    let kill = || fixture.hub.ask(&["streams", "kill", &id]);
    assert_is(&within(SOON, "its end", || (kill(), piped.finish())).1, RefusalKind::StreamKilled);
    assert_eq!(RefusalKind::StreamKilled.row().exit, 34, "as the manual says");
}

#[test]
fn an_unknown_stream_is_named() {
    let machine = Machine::new();
    let _hub = Hub::start(&machine);
    let id = "00000000000000000000000000000001";
    let finished = machine.run(&["hub", "streams", "kill", id]);
    assert!(finished.code == Some(1) && finished.stderr.contains(&format!("no stream {id}")), "{finished:?}");
    assert_eq!(machine.run(&["hub", "streams", "kill", "nonsense"]).code, Some(2));
}

#[test]
fn the_hubs_status_counts_devices_and_streams() {
    let (start, target) = (clock::now_utc(), Target::echo());
    let ThreeMachines { proxy, agent: _agent, laptop: _laptop, device: _device, hub } =
        ThreeMachines::with_hub(target.port, EVERYTHING, &["--no-resume"]);
    hub.device_link("offline");
    hub.service_link("bob");
    let idle: HubStatus = hub.json(&["status"]);
    let mut local = [(); 2].map(|()| proxy.connect());
    local.iter_mut().for_each(is_alive);
    let peer = crate::support::roles::connect(hub.port);
    let busy = poll("the peer", || {
        let status: HubStatus = hub.json(&["status"]);
        (status.unauthenticated_connections == 1).then_some(status)
    });
    let counts = |status: &HubStatus| (status.devices, status.online, status.services, status.streams);
    assert_eq!((counts(&idle), counts(&busy)), ((2, 1, 2, 0), (2, 1, 2, 2)));
    assert!(busy.descriptors > idle.descriptors && busy.descriptors < busy.descriptor_limit, "{idle:?} {busy:?}");
    let measured = hub.process.memory().now;
    assert!(busy.memory_bytes > measured / 2 && busy.memory_bytes < measured * 2, "{busy:?}, not {measured}");
    assert!(busy.since >= start && busy.since <= clock::now_utc(), "{busy:?}");
    assert_eq!(busy.version, env!("CARGO_PKG_VERSION"));
    assert!(!busy.draining && busy.warnings.is_empty() && busy.activity_lost == 0, "{busy:?}");
    let text = hub.ask(&["status"]);
    for part in ["running", "1 online of 2", &busy.since.to_string(), &busy.process.to_string()] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    drop(peer);
    hub.process.signal("TERM");
    hub.process.wait_line("draining");
    assert!(hub.json::<HubStatus>(&["status"]).draining);
    assert!(hub.ask(&["status"]).contains("no new streams"));
    is_alive(&mut local[0]);
}

fn streams(hub: &Hub) -> Vec<StreamStatus> {
    hub.json(&["streams"])
}
