//! A certificate from a public authority by ACME (RFC 8555), validated on the hub's own port (RFC 8737).

mod order;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::CHECK_INTERVAL;
use super::pem::PemPair;
use super::resolver::CertificateResolver;
use crate::net::os::clock;
use crate::net::os::private_files::{create_private_directory, write_private};
use crate::net::os::random;
use crate::net::shutdown::Reload;
use crate::net::tls::Trust;
use crate::proto::backoff::{Backoff, Jitter};
use crate::proto::secret::sha256;
use crate::proto::via::ProxySettings;

/// The delay before the first retry: public authorities allow about five failures an hour for one name, and this leaves
/// room for retries by SIGHUP …
const RETRY_BASE: Duration = Duration::from_secs(60 * 60);
/// … and the longest delay: repeated failures need the operator, and renewal begins 30 days before a 90-day certificate
/// expires.
const RETRY_CAP: Duration = Duration::from_secs(24 * 60 * 60);
/// A quarter more at random spreads hubs that failed together.
const RETRY: Backoff = Backoff::new(RETRY_BASE, RETRY_CAP, Jitter::Quarter);

/// The limit on one order, whose steps have limits of their own.
const ORDER_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The settings of ACME.
#[derive(Debug, Clone)]
pub struct Acme {
    /// The directory's URL.
    pub directory: String,
    /// The trust in the directory's server.
    pub trust: Trust,
    /// The contact for the authority, `mailto:…`.
    pub contact: Option<String>,
    /// The host names, at least one.
    pub names: Vec<String>,
    /// The proxy to the directory.
    pub proxy: ProxyResolver,
}

/// Resolves the proxy for each order: its login file may have changed.
#[derive(Clone)]
pub struct ProxyResolver(Arc<dyn Fn() -> anyhow::Result<ProxySettings> + Send + Sync>);

impl ProxyResolver {
    /// Wraps a function.
    pub fn new(find: impl Fn() -> anyhow::Result<ProxySettings> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }
}

impl fmt::Debug for ProxyResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxyResolver")
    }
}

/// Orders, stores and renews the certificate.
pub(super) struct AcmeRenewer {
    acme: Acme,
    account: PathBuf,
    /// Key and chain in one file: always of the same order.
    certificate: PathBuf,
    resolver: Arc<CertificateResolver>,
}

impl AcmeRenewer {
    /// Installs the certificate of an earlier run, if there is one. Each directory URL has its own files, so that a
    /// staging authority can be tried.
    pub(super) fn open(acme: Acme, directory: &Path, resolver: Arc<CertificateResolver>) -> anyhow::Result<Self> {
        let hash: String = sha256(acme.directory.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        let directory = directory.join(hash);
        create_private_directory(&directory)?;
        let renewer = Self {
            acme,
            account: directory.join("account.json"),
            certificate: directory.join("certificate.pem"),
            resolver,
        };
        if renewer.certificate.exists()
            && let Err(error) = renewer.install()
        {
            tracing::error!(target: "hub", "cannot use the stored ACME certificate; ordering a new one: {error:#}");
        }
        Ok(renewer)
    }

    /// Renews the certificate whenever it is due, until dropped.
    pub(super) async fn run(self, reload: &Reload) {
        let mut backoff = RETRY;
        loop {
            let pause = if !self.needs_renewal() {
                CHECK_INTERVAL
            } else if self.renew().await && !self.needs_renewal() {
                backoff.reset();
                CHECK_INTERVAL
            } else {
                backoff.next_delay(random::u64())
            };
            // Checks again after the delay, a reload, or when the clock was set.
            tokio::select! {
                _ = timeout(pause, reload.requested()) => {}
                () = clock::stepped() => {}
            }
        }
    }

    /// Reports whether the certificate is missing, due for renewal, or lacks a name.
    fn needs_renewal(&self) -> bool {
        let names = &self.acme.names;
        !self.resolver.other().is_some_and(|current| {
            clock::now_utc() < current.renew_from() && names.iter().all(|name| current.covers(Some(name)))
        })
    }

    /// Orders and installs a certificate. Reports whether that succeeded.
    async fn renew(&self) -> bool {
        let (names, directory) = (self.acme.names.join(", "), &self.acme.directory);
        tracing::info!(target: "hub", "ordering a certificate for {names} from {directory}");
        let ordered = timeout(ORDER_TIMEOUT, order::order(&self.acme, &self.account, &self.resolver)).await;
        self.resolver.clear_challenges();
        let ordered = ordered.unwrap_or_else(|_| Err(anyhow::anyhow!("timed out after {} s", ORDER_TIMEOUT.as_secs())));
        let done = ordered.and_then(|pem| {
            write_private(&self.certificate, &pem)?;
            self.install()
        });
        match done {
            Ok(()) => {
                let end = self.resolver.status().not_after.rfc3339();
                tracing::info!(target: "hub", "installed a new certificate for {names}, valid until {end}");
                true
            }
            Err(error) => {
                let error = format!("{error:#}");
                self.resolver.record_error(&error);
                tracing::error!(
                    target: "hub",
                    "no certificate for {names} from {directory}: {error}; retrying within hours, or at once on SIGHUP"
                );
                false
            }
        }
    }

    fn install(&self) -> anyhow::Result<()> {
        let pair = PemPair { certificate: self.certificate.clone(), key: self.certificate.clone() };
        self.resolver.install("acme", pair.load()?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_stay_within_the_rate_limits_of_public_authorities() {
        let hours = |backoff: &mut Backoff, random| backoff.next_delay(random).as_secs_f64() / 3600.0;
        let mut backoff = RETRY;
        assert_eq!([(); 7].map(|()| hours(&mut backoff, 0)), [1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 24.0]);
        assert_eq!([(); 40].map(|()| hours(&mut backoff, 0)).last(), Some(&24.0));
        assert_eq!(hours(&mut RETRY.clone(), u64::MAX), 1.25);
    }
}
