//! The certificates in use, and the choice by SNI and ALPN for each new connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::net::os::clock;
use crate::net::tls::{PIN_ALPN, is_publicly_trusted};
use crate::proto::timestamp::Timestamp;

const DAY: u64 = 24 * 60 * 60;

/// Expiry is warned about this long ahead …
const WARNING_PERIOD: Duration = Duration::from_secs(14 * DAY);
/// … or in the last quarter of the lifetime, where that is shorter: certificates that live for days are renewed late.
const WARNING_SHARE: i64 = 4;

/// A certificate with its key and the fields that the hub needs.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    has_address: bool,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// Parses the certificate.
    pub(super) fn new(key: CertifiedKey) -> anyhow::Result<Self> {
        let leaf = key.end_entity_cert()?;
        ParsedCertificate::try_from(leaf)?;
        let (_, parsed) = X509Certificate::from_der(leaf).context("not an X.509 certificate")?;
        let alternatives = parsed.subject_alternative_name()?;
        let alternatives = alternatives.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
        let dns =
            |name: &GeneralName<'_>| if let GeneralName::DNSName(name) = name { Some((*name).into()) } else { None };
        let names = alternatives.iter().filter_map(dns).collect();
        let has_address = alternatives.iter().any(|name| matches!(name, GeneralName::IPAddress(_)));
        let [not_before, not_after] =
            [parsed.validity().not_before, parsed.validity().not_after].map(|at| Timestamp(at.timestamp()));
        Ok(Self { key: Arc::new(key), names, has_address, not_before, not_after })
    }

    /// Reports whether the certificate covers a server name; `None` for a client that dials an address.
    pub(super) fn covers(&self, name: Option<&str>) -> bool {
        let Some(name) = name else { return self.has_address };
        let (Ok(leaf), Ok(name)) = (self.key.end_entity_cert(), ServerName::try_from(name)) else { return false };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }

    /// Returns the time from which a public authority's certificate is renewed: a third of its lifetime is left.
    pub(super) fn renew_from(&self) -> Timestamp {
        Timestamp(self.not_after.0 - self.lifetime() / 3)
    }

    /// Returns the time from which expiry is warned about.
    pub(super) fn warn_from(&self) -> Timestamp {
        let ahead = Duration::from_secs(u64::try_from(self.lifetime() / WARNING_SHARE).unwrap_or(0));
        self.not_after.before(WARNING_PERIOD.min(ahead))
    }

    fn lifetime(&self) -> i64 {
        self.not_after.0.saturating_sub(self.not_before.0)
    }
}

/// The state of the certificate for the hub's public name, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    /// `own`, `pem` or `acme`.
    pub source: &'static str,
    /// The host names that it covers.
    pub names: Vec<String>,
    /// Its `notBefore`.
    pub not_before: Timestamp,
    /// Its `notAfter`.
    pub not_after: Timestamp,
    /// The time from which its expiry is warned about.
    pub warn_from: Timestamp,
    /// The time at which it was installed.
    pub since: Timestamp,
    /// The cause of the last failure to replace it, if any.
    pub last_error: Option<String>,
}

impl CertificateStatus {
    /// Returns the full days until it expires, negative afterwards.
    pub fn days_left(&self, now: Timestamp) -> i64 {
        self.not_after.0.saturating_sub(now.0).div_euclid(DAY as i64)
    }
}

/// The certificates in use.
#[derive(Debug)]
pub struct CertificateResolver {
    state: RwLock<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    own: Certificate,
    other: Option<Certificate>,
    source: &'static str,
    since: Timestamp,
    last_error: Option<String>,
    /// ACME challenge certificates (RFC 8737) by host name.
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl CertificateResolver {
    /// A resolver with the hub's own leaf only.
    pub(super) fn new(own: Certificate) -> Self {
        let state = State {
            own,
            other: None,
            source: "own",
            since: clock::now_utc(),
            last_error: None,
            challenges: HashMap::new(),
        };
        Self { state: RwLock::new(state), changed: Notify::new() }
    }

    /// Returns the state for the operator.
    pub fn status(&self) -> CertificateStatus {
        let state = self.read();
        let (certificate, source) = match &state.other {
            Some(other) => (other, state.source),
            None => (&state.own, "own"),
        };
        CertificateStatus {
            source,
            names: certificate.names.clone(),
            not_before: certificate.not_before,
            not_after: certificate.not_after,
            warn_from: certificate.warn_from(),
            since: state.since,
            last_error: state.last_error.clone(),
        }
    }

    /// Reports whether clients without a pin trust the certificate for this name. Reads the system's authorities.
    pub fn is_publicly_trusted(&self, name: &str) -> bool {
        let Ok(server_name) = ServerName::try_from(name) else { return false };
        let server_name_sent = matches!(server_name, ServerName::DnsName(_)).then_some(name);
        is_publicly_trusted(&self.select(server_name_sent, false).cert, &server_name)
    }

    /// Chooses a client's certificate: the hub's own leaf if the client offers the pin protocol, or if no other
    /// certificate covers the name.
    pub(super) fn select(&self, name: Option<&str>, pinned: bool) -> Arc<CertifiedKey> {
        let state = self.read();
        let other = state.other.as_ref().filter(|other| !pinned && other.covers(name));
        other.unwrap_or(&state.own).key.clone()
    }

    /// Installs a leaf of the hub's own authority.
    pub(super) fn install_own(&self, leaf: Certificate) {
        let mut state = self.write();
        if state.other.is_none() {
            state.since = clock::now_utc();
        }
        state.own = leaf;
    }

    /// Installs a certificate from PEM files or ACME.
    pub(super) fn install(&self, source: &'static str, certificate: Certificate) {
        let mut state = self.write();
        (state.source, state.since, state.last_error) = (source, clock::now_utc(), None);
        state.other = Some(certificate);
        drop(state);
        self.changed.notify_one();
    }

    /// Stores the cause of a failed replacement. Reports whether it is a new one.
    pub(super) fn record_error(&self, error: &str) -> bool {
        let mut state = self.write();
        let is_new = state.last_error.as_deref() != Some(error);
        state.last_error = Some(error.into());
        is_new
    }

    /// Clears the stored cause: the files hold the certificate in use again.
    pub(super) fn clear_error(&self) {
        self.write().last_error = None;
    }

    /// Waits for the next [`CertificateResolver::install`].
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Returns the certificate from PEM files or ACME, if there is one.
    pub(super) fn other(&self) -> Option<Certificate> {
        self.read().other.clone()
    }

    /// Adds the challenge certificate for a name.
    pub(super) fn add_challenge(&self, name: &str, certificate: CertifiedKey) {
        self.write().challenges.insert(name.to_ascii_lowercase(), Arc::new(certificate));
    }

    /// Removes all challenge certificates.
    pub(super) fn clear_challenges(&self) {
        self.write().challenges.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write()
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pinned = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == PIN_ALPN));
        Some(self.select(hello.server_name(), pinned))
    }
}

/// RFC 8737: resolves `acme-tls/1` handshakes to challenge certificates, and no others.
#[derive(Debug)]
pub(super) struct AcmeChallengeResolver(pub(super) Arc<CertificateResolver>);

impl ResolvesServerCert for AcmeChallengeResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().challenges.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}
