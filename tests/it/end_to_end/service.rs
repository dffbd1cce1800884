//! `devstream trust` of root, whose identity an installed service runs with.

use std::fs;

use devstream::proto::refusal::RefusalKind;

use super::{key, known, stream};
use crate::support::DEVICE;
use crate::support::machine::{DEVSTREAM, Machine};
use crate::support::netns::NetNs;
use crate::support::process::Process;
use crate::support::roles::{Hub, assert_is};
use crate::support::targets::Target;

const STATE: &str = "/var/lib/devstream/device-agent";

/// A user that systemd would make for the service.
const OWNER: &str = "65533";

#[test]
fn root_finds_and_changes_what_its_installed_service_knows() {
    let netns = NetNs::new();
    // A machine without systemd has none of these.
    netns.run("mkdir -p /etc/systemd /var/lib/devstream");
    netns.run("mount -t tmpfs units /etc/systemd && mount -t tmpfs state /var/lib/devstream");
    netns.run(&format!("mkdir -p {STATE} && chmod 700 {STATE} && chown {OWNER} {STATE}"));
    let [hub_machine, device, laptop] = [(); 3].map(|()| netns.machine());
    let hub = Hub::start_at(&hub_machine, "127.0.0.1:0", &[]);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    device.ask(&["service", "install", "device-agent", "--root", "/", "--program", DEVSTREAM, "--", "--forward", "22"]);

    let target = netns.enter(|| Target::greeting_then_reading("hello\n"));
    let agent = start_as_service(&device, &format!("target={}", target.port));
    agent.wait_line("is online");
    assert_eq!(stream(&laptop).stdout, "hello\n");
    let [met] = known(&device).try_into().unwrap();
    assert_eq!((&met["id"], &met["service"]), (&"alice".into(), &"devstream-device-agent".into()), "{met}");

    let other = key(&device, "device");
    let pinned = device.run(&["trust", "pin", "service", "alice", &other]);
    assert!(pinned.stderr.contains(" in place of "), "{pinned:?}");
    let listed = device.ask(&["trust", "list"]);
    assert!(listed.contains("KNOWN BY") && listed.contains("  devstream-device-agent  "), "{listed}");
    assert_eq!(listed.matches(&other).count(), 2, "root's own commands know it as well: {listed}");
    assert_is(&stream(&laptop), RefusalKind::AnotherPeerKey);
    let owners = netns.run(&format!("stat -c '%n %u %a' {STATE}/known {STATE}/known.lock"));
    assert_eq!(owners, format!("{STATE}/known {OWNER} 600\n{STATE}/known.lock {OWNER} 600\n"));

    device.ask(&["trust", "forget", "service", "alice", "--yes"]);
    let again = stream(&laptop);
    assert_eq!(again.stdout, "hello\n", "without a restart of the service: {again:?}");

    let trusted = device.run(&["trust", "fleet", &other]);
    assert!(
        trusted.code == Some(0) && trusted.stderr.contains("next: systemctl restart devstream-device-agent"),
        "{trusted:?}"
    );

    // What the service knew leaves with the identity.
    drop(agent);
    device.ask(&["service", "uninstall", "device-agent", "--root", "/"]);
    device.ask(&["profiles", "remove", "default", "--yes"]);
    assert_eq!(netns.run(&format!("ls {STATE}")), "");
}

/// Starts the agent with what its unit gives it.
fn start_as_service(machine: &Machine, forward: &str) -> Process {
    let identity = machine.home().join(".local/share/devstream/device");
    let credentials = machine.home().join("credentials");
    fs::create_dir(&credentials).unwrap();
    for name in ["identity.toml", "key"] {
        fs::copy(identity.join(name), credentials.join(name)).unwrap();
    }
    let credentials = credentials.display().to_string();
    let service = machine.clone().with("CREDENTIALS_DIRECTORY", &credentials).with("STATE_DIRECTORY", STATE);
    service.start(&["device-agent", "--forward", forward])
}
