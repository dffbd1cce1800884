//! A foreign certificate authority, certificate files, and the certificate that a hub presents.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use devstream::net::tls::{Trust, client_config};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use time::{Duration, OffsetDateTime};

use super::machine::Machine;
use super::roles::connect;

/// Name of the tests' hubs, which every machine resolves.
pub(crate) const NAME: &str = "localhost";

/// A certificate authority that belongs to no hub.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// For a year.
    pub(crate) fn certify(&self, name: &str) -> Pair {
        self.certify_for(name, 365)
    }

    /// For some days.
    pub(crate) fn certify_for(&self, name: &str, days: i64) -> Pair {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        // By a clock that is a year behind, it is not good yet.
        params.not_before = OffsetDateTime::now_utc() - Duration::days(100);
        // The hour by which the day is longer is the test's own time.
        params.not_after = OffsetDateTime::now_utc() + Duration::days(days) + Duration::hours(1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Creates a self-signed certificate.
    pub(crate) fn self_signed(name: &str) -> Pair {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
        Pair { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Its certificate as a file on this machine, for `--ca`.
    pub(crate) fn file(&self, machine: &Machine) -> String {
        let path = machine.home().join("authority.pem");
        fs::write(&path, &self.pem).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Paths of a hub's certificate and key.
pub(crate) struct Files {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Files {
    /// In this directory.
    pub(crate) fn in_directory(directory: &Path) -> Self {
        Self { certificate: directory.join("hub.pem"), key: directory.join("hub.key") }
    }

    /// Puts a pair there, as a tool does that writes into the files.
    pub(crate) fn write(&self, pair: &Pair) {
        fs::write(&self.certificate, &pair.certificate).unwrap();
        fs::write(&self.key, &pair.key).unwrap();
        fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// The hub's arguments.
    pub(crate) fn arguments(&self) -> [&str; 4] {
        ["--tls-cert", self.certificate.to_str().unwrap(), "--tls-key", self.key.to_str().unwrap()]
    }
}

/// The certificate that a hub shows a client with this trust, which must be content with it.
pub(crate) fn shown(port: u16, trust: &Trust, name: &str) -> io::Result<CertificateDer<'static>> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(client_config(trust).unwrap(), name).unwrap();
    let mut stream = StreamOwned::new(connection, connect(port));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    let chain = stream.conn.peer_certificates();
    chain.and_then(<[_]>::first).cloned().ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Trust in the authority whose certificate is in this file.
pub(crate) fn trust(file: &str) -> Arc<Trust> {
    Arc::new(Trust::from_file(Path::new(file)).unwrap())
}
