//! Impostors of the hub: each TLS fault is a refusal with its reason, and an agent retries.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::process::Command;

use devstream::proto::refusal::RefusalKind;

use crate::support::DEVICE;
use crate::support::certificates::{Authority, Files, NAME, Pair};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub, assert_is, pipe};
use crate::support::targets::Target;

/// A device and a laptop, enrolled at a hub with a certificate from an authority that both trust.
struct Fixture {
    authority: Authority,
    files: Files,
    hub: Hub,
    device: Machine,
    laptop: Machine,
    _machine: Machine,
}

impl Fixture {
    fn new() -> Self {
        let authority = Authority::new();
        let machine = Machine::new();
        let ca = authority.file(&machine);
        let machine = machine.with("SSL_CERT_FILE", &ca);
        let [device, laptop] = [(); 2].map(|()| Machine::new().with("SSL_CERT_FILE", &ca));
        let files = Files::in_directory(machine.home());
        files.write(&authority.certify(NAME));
        let hub = Hub::start_with(&machine, &[&["--hostname", NAME], files.arguments().as_slice()].concat());
        device.ask(&["join", &hub.device_link(DEVICE)]);
        laptop.ask(&["join", &hub.service_link("alice")]);
        Self { authority, files, hub, device, laptop, _machine: machine }
    }

    /// The errors of `ssh` and of an agent with the current server in the hub's place.
    fn assert_refused(&self, what: &str, kind: RefusalKind, words: &str) {
        let row = kind.row();
        let finished = self.laptop.run(&["service-proxy", "--device", DEVICE, "--stdio"]);
        assert_eq!(finished.code, Some(row.exit.into()), "{what}: {finished:?}");
        let said = finished.stderr.lines().next_back().unwrap_or_default();
        assert!(said.contains(row.sentence) && said.contains(words), "{what}: {said}");
        let agent = Agent::launch(&self.device, DEVICE, &["22"]);
        let said = agent.wait_line(row.sentence);
        assert!(said.contains(words) && said.contains("trying again in"), "{what}: {said}");
        assert!(agent.is_running(), "{what}");
    }
}

/// A server of TLS up to this version.
const IMPOSTOR: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.maximum_version = ssl.TLSVersion[sys.argv[4]]
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(('127.0.0.1', int(sys.argv[3])))
print('listening', flush=True)
while True:
    client, _ = listener.accept()
    client.settimeout(10)
    try:
        if context.wrap_socket(client, server_side=True).recv(1):
            print('trusted', flush=True)
    except OSError:
        client.close()
";

#[test]
fn each_fault_of_a_hubs_tls_is_refused_with_its_reason() {
    let fixture = Fixture::new();
    let (own, other) = (&fixture.authority, Authority::new());
    fixture.hub.process.kill();
    let (new, old) = ("TLSv1_3", "TLSv1_2");
    let faults: [(&str, Pair, &str, RefusalKind, &str); 5] = [
        ("expired", own.certify_for(NAME, -1), new, RefusalKind::ClockOrInspection, "expired"),
        ("another name", own.certify("hub.example.com"), new, RefusalKind::CertificateNotTrusted, "not valid for name"),
        ("another authority", other.certify(NAME), new, RefusalKind::CertificateNotTrusted, "invalid peer certificate"),
        (
            "self-signed",
            Authority::self_signed(NAME),
            new,
            RefusalKind::CertificateNotTrusted,
            "invalid peer certificate",
        ),
        ("old TLS, and all else right", own.certify(NAME), old, RefusalKind::HubUnreachable, "TLS"),
    ];
    for (what, pair, version, kind, words) in faults {
        fixture.files.write(&pair);
        let mut python = Command::new("/usr/bin/python3");
        python.args(["-c", IMPOSTOR]).args([&fixture.files.certificate, &fixture.files.key]);
        let impostor = Process::start(python.arg(fixture.hub.port.to_string()).arg(version));
        impostor.wait_line("listening");
        fixture.assert_refused(what, kind, words);
        assert!(!impostor.log().contains("trusted"), "{what}: {impostor}");
    }
}

#[test]
fn a_hub_that_was_taken_over_has_no_device_or_service_connect_to_another_host() {
    connect_near("127.0.0.2:0");
}

/// Its name may lead to any host by then.
#[test]
fn a_hub_that_was_taken_over_has_no_device_or_service_connect_to_another_port_of_its_own() {
    connect_near("127.0.0.1:0");
}

/// Has a hub name this address as its streaming endpoint, after a device and a service have joined.
fn connect_near(address: &str) {
    let target = Target::echo();
    let (machine, device, laptop) = (Machine::new(), Machine::new(), Machine::new());
    let hub = Hub::start(&machine);
    device.ask(&["join", &hub.device_link(DEVICE)]);
    laptop.ask(&["join", &hub.service_link("alice")]);
    let port = hub.port;
    drop(hub);
    // The keys are the hub's still.
    let near = TcpListener::bind(address).unwrap();
    let url = format!("wss://{}", near.local_addr().unwrap());
    let taken_over = ["--streaming-endpoint", &url, "--streaming-listen", "127.0.0.1:0"];
    let hub = Hub::start_on(&machine, port, &taken_over);
    let agent = Agent::start(&device, &[&target.port.to_string()]);
    // The hub learns nothing of the cause.
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::RejectedByDevice);
    agent.process.wait_line(RefusalKind::StreamingEndpointChanged.row().sentence);
    near.set_nonblocking(true).unwrap();
    assert_eq!(near.accept().map_err(|error| error.kind()).err(), Some(ErrorKind::WouldBlock));
    drop(agent);

    device.ask(&["join", &hub.link(&["device", "rotate", DEVICE])]);
    let _agent = Agent::start(&device, &[&target.port.to_string()]);
    near.set_nonblocking(false).unwrap();
    assert_is(&pipe(&laptop, DEVICE), RefusalKind::StreamingEndpointChanged);
    near.accept().expect("joined again, it connects where the hub says");
}
