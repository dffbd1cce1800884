//! What new connections are shown: one certificate or another, by what the client asks for.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use anyhow::Context as _;
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

/// A certificate is warned about this long before its end …
const WARNING_PERIOD: Duration = Duration::from_secs(14 * DAY);
/// … or in the last quarter of its life, where that is shorter: one that is made to live for days is not late yet.
const WARNING_SHARE: i64 = 4;

/// A certificate with its key, and what has to be known of it.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    has_address: bool,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// Reads what the certificate says of itself.
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

    /// Whether it is good for what a client asks for; one that dials an address asks for no name.
    pub(super) fn covers(&self, name: Option<&str>) -> bool {
        let Some(name) = name else { return self.has_address };
        let (Ok(leaf), Ok(name)) = (self.key.end_entity_cert(), ServerName::try_from(name)) else { return false };
        ParsedCertificate::try_from(leaf).is_ok_and(|leaf| verify_server_name(&leaf, &name).is_ok())
    }

    /// When a third of its life is left, which is when a public authority wants it renewed.
    pub(super) fn renew_from(&self) -> Timestamp {
        Timestamp(self.not_after.0 - self.lifetime() / 3)
    }

    /// When a person must be told that its end is near.
    pub(super) fn warn_from(&self) -> Timestamp {
        let ahead = Duration::from_secs(u64::try_from(self.lifetime() / WARNING_SHARE).unwrap_or(0));
        self.not_after.before(WARNING_PERIOD.min(ahead))
    }

    fn lifetime(&self) -> i64 {
        self.not_after.0.saturating_sub(self.not_before.0)
    }
}

/// What is shown to those who ask for the hub's name, as its operator wants to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateStatus {
    /// `own`, `pem` or `acme`.
    pub source: &'static str,
    /// The host names it is good for.
    pub names: Vec<String>,
    /// Its beginning.
    pub not_before: Timestamp,
    /// Its end.
    pub not_after: Timestamp,
    /// From when on its end is near.
    pub warn_from: Timestamp,
    /// When it was taken up.
    pub since: Timestamp,
    /// Why the newest attempt to replace it failed, if it did.
    pub last_error: Option<String>,
}

impl CertificateStatus {
    /// Whole days until its end, negative afterwards.
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
    /// By host name: what proves to an ACME server that this hub answers for the name.
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl CertificateResolver {
    /// With the hub's own leaf.
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

    /// What the operator sees.
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

    /// Whether a client without a pin trusts what it is shown under this name. Reads the system's authorities.
    pub fn is_publicly_trusted(&self, name: &str) -> bool {
        let Ok(server_name) = ServerName::try_from(name) else { return false };
        let server_name_sent = matches!(server_name, ServerName::DnsName(_)).then_some(name);
        is_publicly_trusted(&self.select(server_name_sent, false).cert, &server_name)
    }

    /// Which certificate a client gets. One that has a pin says so, and gets the leaf that the pin is for, whatever
    /// else the hub has.
    pub(super) fn select(&self, name: Option<&str>, pinned: bool) -> Arc<CertifiedKey> {
        let state = self.read();
        let other = state.other.as_ref().filter(|other| !pinned && other.covers(name));
        other.unwrap_or(&state.own).key.clone()
    }

    /// The next leaf of the hub's own.
    pub(super) fn install_own(&self, leaf: Certificate) {
        let mut state = self.write();
        if state.other.is_none() {
            state.since = clock::now_utc();
        }
        state.own = leaf;
    }

    /// The next certificate from elsewhere.
    pub(super) fn install(&self, source: &'static str, certificate: Certificate) {
        let mut state = self.write();
        (state.source, state.since, state.last_error) = (source, clock::now_utc(), None);
        state.other = Some(certificate);
        drop(state);
        self.changed.notify_one();
    }

    /// Keeps why there is no next one, and tells whether that is news.
    pub(super) fn record_error(&self, error: &str) -> bool {
        let mut state = self.write();
        let is_new = state.last_error.as_deref() != Some(error);
        state.last_error = Some(error.into());
        is_new
    }

    /// The files are again what they were when they were good.
    pub(super) fn clear_error(&self) {
        self.write().last_error = None;
    }

    /// Returns after the next [`CertificateResolver::install`].
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The certificate from elsewhere, if there is one.
    pub(super) fn other(&self) -> Option<Certificate> {
        self.read().other.clone()
    }

    /// The answer to an ACME server that asks for this name.
    pub(super) fn add_challenge(&self, name: &str, certificate: CertifiedKey) {
        self.write().challenges.insert(name.to_ascii_lowercase(), Arc::new(certificate));
    }

    /// Nobody is to ask any more.
    pub(super) fn clear_challenges(&self) {
        self.write().challenges.clear();
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for CertificateResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let pinned = hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == PIN_ALPN));
        Some(self.select(hello.server_name(), pinned))
    }
}

/// RFC 8737: the certificates that answer `acme-tls/1`, and no others.
#[derive(Debug)]
pub(super) struct AcmeChallengeResolver(pub(super) Arc<CertificateResolver>);

impl ResolvesServerCert for AcmeChallengeResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().challenges.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}
