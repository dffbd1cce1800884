//! An ACME certificate authority: Debian's pebble, which validates every challenge and keeps no state.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use devstream::net::tls::client_config;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use super::certificates::{Authority, Files, NAME, trust};
use super::machine::Machine;
use super::process::Process;
use super::roles::connect;
use super::targets::closed_port;

/// A running pebble.
pub(crate) struct Pebble {
    /// The authority that signed the certificate of its own server, for `--acme-ca`.
    pub(crate) server_authority: String,
    machine: Machine,
    files: Files,
    port: u16,
    management: u16,
    process: Process,
}

impl Pebble {
    /// Starts a pebble that validates challenges on this port.
    pub(crate) fn start(machine: &Machine, proof_port: u16) -> Self {
        let installed = Path::new(PEBBLE).exists();
        assert!(installed, "these tests need Debian's package pebble; tests/run installs it");
        let authority = Authority::new();
        let files = Files::in_directory(machine.home());
        files.write(&authority.certify(NAME));
        let [port, management] = [(); 2].map(|()| closed_port());
        let process = launch(machine, &files, [port, management, proof_port]);
        Self { server_authority: authority.file(machine), machine: machine.clone(), files, port, management, process }
    }

    /// Replaces it by a new one without state, which validates challenges on this port.
    pub(crate) fn replace(&mut self, proof_port: u16) {
        self.process.kill();
        self.process = launch(&self.machine, &self.files, [self.port, self.management, proof_port]);
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> String {
        format!("https://{NAME}:{}/dir", self.port)
    }

    /// Path of the root that signs hubs' certificates; it changes with each start.
    pub(crate) fn root(&self) -> String {
        let trust = trust(&self.server_authority);
        let connection =
            ClientConnection::new(client_config(&trust).unwrap(), ServerName::try_from(NAME).unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, connect(self.management));
        stream.write_all(format!("GET /roots/0 HTTP/1.0\r\nhost: {NAME}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let pem =
            &answer[answer.find("-----BEGIN").unwrap_or_else(|| panic!("no root in {answer}: {}", self.process))..];
        let path = self.machine.home().join("pebble-root.pem");
        fs::write(&path, pem).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Path of the package's program.
const PEBBLE: &str = "/usr/bin/pebble";

fn launch(machine: &Machine, files: &Files, [port, management, proof_port]: [u16; 3]) -> Process {
    let config = machine.home().join("pebble.json");
    let content = json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{port}"),
        "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": files.certificate,
        "privateKey": files.key,
        "httpPort": closed_port(),
        "tlsPort": proof_port,
    }});
    fs::write(&config, content.to_string()).unwrap();
    let mut command = machine.command(PEBBLE);
    // Without its pauses; it still refuses some nonces, as authorities do.
    let process = Process::start(command.env("PEBBLE_VA_NOSLEEP", "1").arg("-config").arg(config));
    process.wait_line("ACME directory available");
    process
}
