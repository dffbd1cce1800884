//! The hub's TLS certificates: sources, renewal, and the choice of one for each client.
//!
//! In: the configured names and source, ACME orders, changed PEM files. Out: an acceptor for the listeners, and a
//! status. There is always a leaf of the hub's own `authority` (`own`), for clients with a pin and for names that no
//! other certificate covers. Beside it there may be a publicly trusted certificate: from two PEM files (`pem`) or a
//! public authority (`acme`). `resolver` holds both and chooses; `expiry` warns. Running connections keep their
//! certificate.

pub mod acme;
pub mod authority;
mod expiry;
mod own;
pub mod pem;
mod resolver;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use self::acme::{Acme, AcmeRenewer};
use self::authority::Authority;
use self::own::OwnLeaf;
use self::pem::{PemPair, PemWatcher};
use self::resolver::AcmeChallengeResolver;
pub use self::resolver::{CertificateResolver, CertificateStatus};
use crate::net::os::clock::Reading;
use crate::net::os::hostname::machine_name;
use crate::net::shutdown::Reload;
use crate::net::tls::Acceptor;

/// The interval at which expiry is checked against the wall clock, which may jump, or advance while the machine sleeps.
const CHECK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The source of a certificate beside the hub's own.
#[derive(Debug, Clone, Default)]
pub enum Source {
    /// None: every client gets the hub's own.
    #[default]
    Own,
    /// Two PEM files, which are watched.
    Pem(PemPair),
    /// A public authority with ACME.
    Acme(Acme),
}

/// The hub's certificates and their renewal.
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
    /// Issues the hub's own leaf for these names, and opens the source. `directory` holds ACME accounts and
    /// certificates.
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

    /// Returns a TLS acceptor for the listeners.
    pub fn acceptor(&self) -> Result<Acceptor, rustls::Error> {
        Acceptor::new(self.resolver.clone(), Arc::new(AcmeChallengeResolver(self.resolver.clone())))
    }

    /// Returns the resolver, which always has the present certificates.
    pub fn resolver(&self) -> Arc<CertificateResolver> {
        self.resolver.clone()
    }

    /// Renews the certificates until dropped. A reload makes it check at once.
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
        tokio::join!(self.own.renew(&self.resolver, Reading::stepped), expiry::warn_when_due(&self.resolver), other);
    }
}

/// Returns the names and addresses of the hub's own leaf: those configured, the machine's own, and the listeners'.
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
