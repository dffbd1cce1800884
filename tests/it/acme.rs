//! Certificates by ACME, from the program of a real authority.

use devstream::net::tls::Trust;
use devstream::proto::join::JoinLink;

use crate::networks::login_file;
use crate::support::DEVICE;
use crate::support::certificates::{NAME, shown, trust};
use crate::support::machine::Machine;
use crate::support::netns::NetNs;
use crate::support::pebble::Pebble;
use crate::support::proxies::{PASSWORD, Proxy, USER};
use crate::support::roles::{Hub, ServiceProxy};
use crate::support::targets::{Target, closed_port, is_alive};

const ISSUED: &str = "installed a new certificate for localhost";

/// Starts a hub that orders a certificate and answers challenges on this port.
fn start(machine: &Machine, port: u16, authority: &Pebble) -> Hub {
    start_with(machine, port, authority, &[])
}

/// Starts it with further arguments.
fn start_with(machine: &Machine, port: u16, authority: &Pebble, arguments: &[&str]) -> Hub {
    let (directory, ca) = (authority.directory(), &authority.server_authority);
    let own = ["--hostname", NAME, "--acme", "--acme-directory", &directory, "--acme-ca", ca];
    Hub::start_on(machine, port, &[&own, arguments].concat())
}

#[test]
fn acme_requests_go_through_a_configured_proxy() {
    let [netns, _other] = NetNs::two();
    let [machine, authority] = [(); 2].map(|()| netns.machine());
    let (proxy, port) = (Proxy::squid(&netns), closed_port());
    let pebble = Pebble::start(&authority, port);
    let via = format!("http://{}", proxy.address());
    let untrusting_hub = start_with(&machine, port, &pebble, &["--via", &via]);
    let error = untrusting_hub.process.wait_line("error: no certificate for localhost");
    assert!(error.contains(&proxy.address()) && error.contains("407 Proxy Authentication Required"), "{error}");
    drop(untrusting_hub);
    let login = login_file(&machine, &format!("{USER}:{PASSWORD}\n"));
    let hub = start_with(&machine, port, &pebble, &["--via", &via, "--via-login", &login]);
    hub.process.wait_line(ISSUED);
    assert!(!hub.process.log().contains(PASSWORD), "{}", hub.process);
}

#[test]
fn pebble_issues_a_certificate_that_an_agent_with_its_root_accepts() {
    let target = Target::echo();
    let [machine, authority, device, laptop] = [(); 4].map(|()| Machine::new());
    let port = closed_port();
    let pebble = Pebble::start(&authority, port);
    let hub = start(&machine, port, &pebble);
    hub.process.wait_line(ISSUED);
    let root = pebble.root();
    device.ask(&["join", &hub.device_link(DEVICE), "--ca", &root]);
    laptop.ask(&["join", &hub.service_link("alice"), "--ca", &root]);
    // The certificate is for this name, which clients connect to.
    let hub_name = format!("{NAME}:{port}");
    let forward = target.port.to_string();
    let agent = device.start(&["device-agent", "--ca", &root, "--hub", &hub_name, "--forward", &forward]);
    agent.wait_line("is online");
    let proxy = ServiceProxy::start_with(&laptop, DEVICE, "0", &["--ca", &root, "--hub", &hub_name]);
    is_alive(&mut proxy.connect());
}

#[test]
fn a_certificate_is_kept_over_a_restart() {
    let [machine, authority] = [(); 2].map(|()| Machine::new());
    let port = closed_port();
    let pebble = Pebble::start(&authority, port);
    let hub = start(&machine, port, &pebble);
    hub.process.wait_line(ISSUED);
    let root = trust(&pebble.root());
    let issued = shown(port, &root, NAME).unwrap();
    hub.process.kill();
    let hub = start(&machine, port, &pebble);
    assert_eq!(shown(port, &root, NAME).unwrap(), issued);
    assert!(!hub.process.log().contains("asking"), "{}", hub.process);
}

#[test]
fn until_acme_succeeds_the_hub_serves_its_self_signed_certificate_and_logs_why() {
    let [machine, authority] = [(); 2].map(|()| Machine::new());
    let port = closed_port();
    // The authority validates at a port where nothing listens.
    let mut pebble = Pebble::start(&authority, closed_port());
    let hub = start(&machine, port, &pebble);
    let error = hub.process.wait_line("error: no certificate for localhost");
    assert!(error.contains("validating the names") && error.contains("Failed to connect"), "{error}");
    let link: JoinLink = hub.device_link(DEVICE).parse().unwrap();
    let pin = Trust::Pin(link.pin.expect("a pin, as long as nobody else trusts the hub"));
    shown(port, &pin, NAME).unwrap();
    let lines = hub.process.lines();
    pebble.replace(port);
    hub.process.signal("HUP");
    hub.process.wait_line_after(lines, ISSUED);
    shown(port, &trust(&pebble.root()), NAME).unwrap();
    shown(port, &pin, NAME).unwrap();
}
