//! Something else where the hub should be: each fault of its certificate is a no with a reason, and an agent waits.

use std::process::Command;

use devstream::proto::refusal::Kind;

use crate::support::DEVICE;
use crate::support::certificates::{Authority, Files, NAME, Pair};
use crate::support::machine::Machine;
use crate::support::process::Process;
use crate::support::roles::{Agent, Hub};

/// A device and a laptop that joined a hub whose certificate an authority signed that both trust.
struct Scene {
    authority: Authority,
    files: Files,
    hub: Hub,
    machine: Machine,
    device: Machine,
    laptop: Machine,
}

impl Scene {
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
        Self { authority, files, hub, machine, device, laptop }
    }

    /// What `ssh` and an agent make of what is in the hub's place now.
    fn assert_refused(&self, what: &str, kind: Kind, words: &str) {
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

#[test]
fn each_fault_of_a_certificate_is_refused_with_its_reason() {
    let scene = Scene::new();
    let (own, other) = (&scene.authority, Authority::new());
    let faults: [(&str, Pair, Kind, &str); 4] = [
        ("expired", own.certify_for(NAME, -1), Kind::ClockOrInspection, "expired"),
        ("another name", own.certify("hub.example.com"), Kind::CertificateNotTrusted, "hub.example.com"),
        ("another authority", other.certify(NAME), Kind::CertificateNotTrusted, "UnknownIssuer"),
        ("self-signed", Authority::self_signed(NAME), Kind::CertificateNotTrusted, ""),
    ];
    let port = scene.hub.port;
    scene.hub.process.kill();
    for (what, pair, kind, words) in faults {
        scene.files.write(&pair);
        let hub = Hub::start_on(&scene.machine, port, &scene.files.arguments());
        scene.assert_refused(what, kind, words);
        drop(hub);
    }
}

/// A server of TLS 1.2 at its best, with the right certificate.
const OLD: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.maximum_version = ssl.TLSVersion.TLSv1_2
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(('127.0.0.1', int(sys.argv[3])))
print('listening', flush=True)
while True:
    client, _ = listener.accept()
    client.settimeout(10)
    try:
        context.wrap_socket(client, server_side=True).recv(1)
        print('agreed', flush=True)
    except OSError:
        client.close()
";

#[test]
fn old_tls_is_not_agreed_on_even_with_the_right_certificate() {
    let scene = Scene::new();
    scene.hub.process.kill();
    let mut python = Command::new("/usr/bin/python3");
    python.args(["-c", OLD]).args([&scene.files.certificate, &scene.files.key]).arg(scene.hub.port.to_string());
    let old = Process::start(&mut python);
    old.wait_line("listening");
    scene.assert_refused("TLS 1.2", Kind::HubUnreachable, "TLS");
    assert!(!old.log().contains("agreed"), "{old}");
}
