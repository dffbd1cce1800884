//! The certificates that a hub shows, from where they come to who gets which.
//!
//! There is always a leaf of the hub's own authority (`own`), for those who have a pin and for every name that nothing
//! else covers. Beside it there may be one that other programs trust too: from two PEM files (`pem`) or from a public
//! authority (`acme`). `resolver` holds both and chooses; `expiry` warns. Running connections keep what they were shown.

pub mod acme;
mod expiry;
mod own;
pub mod pem;
mod resolver;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::acme::{Acme, AcmeRenewer};
use self::own::OwnLeaf;
use self::pem::{PemPair, PemWatcher};
use self::resolver::AcmeChallengeResolver;
pub use self::resolver::{CertificateResolver, CertificateStatus};
use crate::net::authority::Authority;
use crate::net::shutdown::Reload;
use crate::net::tls::Acceptor;

/// How often the wall clock is looked at; it may have jumped, and the machine may have slept.
const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// Where a certificate comes from that is not of the hub's own authority.
#[derive(Debug, Clone, Default)]
pub enum Source {
    /// There is none: everybody is shown the hub's own.
    #[default]
    Own,
    /// Two PEM files, watched.
    Pem(PemPair),
    /// An authority that speaks ACME.
    Acme(Acme),
}

/// What a hub shows, and what keeps it fresh.
pub struct HubCertificate {
    resolver: Arc<CertificateResolver>,
    own: OwnLeaf,
    other: Renewal,
}

enum Renewal {
    None,
    Pem(PemWatcher),
    Acme(AcmeRenewer),
}

impl HubCertificate {
    /// Issues the hub's own leaf for these names, and opens the source. `directory` is where ACME keeps things.
    pub fn open(authority: Authority, names: Vec<String>, source: Source, directory: &Path) -> anyhow::Result<Self> {
        let own = OwnLeaf::new(authority, names);
        let resolver = Arc::new(CertificateResolver::new(own.issue()?));
        let other = match source {
            Source::Own => Renewal::None,
            Source::Pem(pair) => Renewal::Pem(PemWatcher::open(pair, resolver.clone())?),
            Source::Acme(acme) => Renewal::Acme(AcmeRenewer::open(acme, directory, resolver.clone())?),
        };
        Ok(Self { resolver, own, other })
    }

    /// For listeners.
    pub fn acceptor(&self) -> Result<Acceptor, rustls::Error> {
        Acceptor::new(self.resolver.clone(), Arc::new(AcmeChallengeResolver(self.resolver.clone())))
    }

    /// What is shown, now and later.
    pub fn resolver(&self) -> Arc<CertificateResolver> {
        self.resolver.clone()
    }

    /// Keeps everything fresh, for ever; looks at once when a reload is asked for.
    pub async fn run(self, reload: Reload) {
        let other = async {
            match self.other {
                Renewal::None => loop {
                    reload.requested().await;
                    tracing::info!(target: "hub", "nothing to reload: the certificate is the hub's own");
                },
                Renewal::Pem(pem) => pem.run(&reload).await,
                Renewal::Acme(acme) => acme.run(&reload).await,
            }
        };
        tokio::join!(self.own.renew(&self.resolver), expiry::warn_when_due(&self.resolver), other);
    }
}

/// The names and addresses a leaf is good for: those given, this machine's own, and those that are listened on.
pub fn names(configured: impl IntoIterator<Item = String>, listening: &[SocketAddr]) -> Vec<String> {
    let own = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let bound = listening.iter().map(|address| address.ip()).filter(|ip| !ip.is_unspecified());
    let all = configured.into_iter().chain(machine_name()).chain(own).chain(bound.map(|ip| ip.to_string()));
    let mut names: Vec<String> = Vec::new();
    for name in all {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What this machine calls itself, if that can stand in a certificate.
pub fn machine_name() -> Option<String> {
    let name = hostname::get().ok()?.into_string().ok()?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
    (!name.is_empty() && name.chars().all(fits)).then_some(name)
}
