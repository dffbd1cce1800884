//! The operator's own certificate in two PEM files, which are polled for changes.
//!
//! Polling, unlike kernel notifications, works on every file system, and whether an editor, a rename or a symbolic link
//! changes the files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use rustls::InconsistentKeys;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::resolver::{Certificate, CertificateResolver};
use crate::net::os::private_files::{read_secret, read_up_to};
use crate::net::shutdown::Reload;
use crate::net::tls::provider;
use crate::proto::secret::sha256;

/// The polling interval: the files are small, and a new certificate is not urgent.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The limit on a file: a chain of a few certificates is under 20 KiB.
const FILE_BYTES: u64 = 256 * 1024;

/// The paths of the two files.
#[derive(Debug, Clone)]
pub struct PemPair {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The leaf's private key.
    pub key: PathBuf,
}

/// The content of the files.
struct Content {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl PemPair {
    /// Reads and parses the files.
    pub(super) fn load(&self) -> anyhow::Result<Certificate> {
        self.parse(&self.read()?)
    }

    fn read(&self) -> anyhow::Result<Content> {
        let certificate = read_up_to(&self.certificate, FILE_BYTES)?;
        Ok(Content { certificate, key: Zeroizing::new(read_secret(&self.key, FILE_BYTES)?) })
    }

    fn parse(&self, content: &Content) -> anyhow::Result<Certificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.certificate).collect();
        let damaged = || format!("{} is damaged", self.certificate.display());
        let chain = chain.with_context(damaged)?;
        if chain.is_empty() {
            bail!("no certificate in {}", self.certificate.display());
        }
        let key = PrivateKeyDer::from_pem_slice(&content.key);
        let key = key.with_context(|| format!("no readable private key in {}", self.key.display()))?;
        let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| self.explain(&error))?;
        Certificate::new(pair).with_context(damaged)
    }

    fn explain(&self, error: &rustls::Error) -> anyhow::Error {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        if *error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            return anyhow!("the key in {key} does not match the certificate in {certificate}");
        }
        anyhow!("cannot use {certificate} with {key}: {error}")
    }
}

/// Installs the files' content whenever it changes.
pub(super) struct PemWatcher {
    pair: PemPair,
    resolver: Arc<CertificateResolver>,
    watch: FileWatch,
}

impl PemWatcher {
    /// Installs the present content, which must be valid.
    pub(super) fn open(pair: PemPair, resolver: Arc<CertificateResolver>) -> anyhow::Result<Self> {
        let content = pair.read()?;
        resolver.install("pem", pair.parse(&content)?);
        let watch = FileWatch::new(fingerprint(&Ok(content)));
        Ok(Self { pair, resolver, watch })
    }

    /// Polls the files; never returns.
    pub(super) async fn run(mut self, reload: &Reload) {
        loop {
            let on_request = timeout(POLL_INTERVAL, reload.requested()).await.is_ok();
            let pair = self.pair.clone();
            let read = tokio::task::spawn_blocking(move || pair.read()).await;
            let content = read.unwrap_or_else(|error| Err(error.into()));
            match self.watch.observe(fingerprint(&content), on_request) {
                FileState::Changed => self.install(content),
                FileState::Reverted => {
                    self.resolver.clear_error();
                    tracing::info!(target: "hub", "the certificate files hold the certificate in use again");
                }
                FileState::Unchanged if on_request => {
                    tracing::info!(target: "hub", "the certificate files have not changed");
                }
                FileState::Unchanged | FileState::Unstable => {}
            }
        }
    }

    fn install(&mut self, content: anyhow::Result<Content>) {
        match content.and_then(|content| self.pair.parse(&content)) {
            Ok(certificate) => {
                self.resolver.install("pem", certificate);
                self.watch.accept();
                let (path, end) = (self.pair.certificate.display(), self.resolver.status().not_after.rfc3339());
                tracing::info!(target: "hub", "installed the new certificate in {path}, valid until {end}");
            }
            Err(error) => {
                let (error, end) = (format!("{error:#}"), self.resolver.status().not_after.rfc3339());
                if self.resolver.record_error(&error) {
                    tracing::error!(
                        target: "hub",
                        "cannot use the new certificate, keeping the old one, valid until {end}: {error}"
                    );
                }
            }
        }
    }
}

type Fingerprint = [u8; 32];

/// Hashes the content, or the error if it cannot be read.
fn fingerprint(content: &anyhow::Result<Content>) -> Fingerprint {
    match content {
        Ok(content) => sha256(&[sha256(&content.certificate), sha256(&content.key)].concat()),
        Err(error) => sha256(format!("{error:#}").as_bytes()),
    }
}

/// PURE. Decides when changed files are tried. Two files cannot change atomically: content that was not read twice in a
/// row may be half of a change, unless a reload says that it is complete.
#[derive(Debug)]
struct FileWatch {
    in_use: Fingerprint,
    last_tried: Fingerprint,
    last_seen: Fingerprint,
}

#[derive(Debug, PartialEq, Eq)]
enum FileState {
    /// New content to install.
    Changed,
    /// The content in use again, after other content failed.
    Reverted,
    /// Content that was tried before, with success or not.
    Unchanged,
    /// Content that changed since the last poll.
    Unstable,
}

impl FileWatch {
    fn new(in_use: Fingerprint) -> Self {
        Self { in_use, last_tried: in_use, last_seen: in_use }
    }

    fn observe(&mut self, now: Fingerprint, on_request: bool) -> FileState {
        let is_stable = std::mem::replace(&mut self.last_seen, now) == now;
        if now == self.last_tried {
            return FileState::Unchanged;
        }
        if !is_stable && !on_request {
            return FileState::Unstable;
        }
        self.last_tried = now;
        if now == self.in_use { FileState::Reverted } else { FileState::Changed }
    }

    /// Notes that the content tried last is in use.
    fn accept(&mut self) {
        self.in_use = self.last_tried;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_that_is_read_twice_or_on_reload_is_tried_once() {
        let [old, half, new] = [[0; 32], [1; 32], [2; 32]];
        let mut watch = FileWatch::new(old);
        let seen: Vec<_> = [old, half, new, new, new].map(|now| watch.observe(now, false)).into();
        assert_eq!(
            seen,
            [FileState::Unchanged, FileState::Unstable, FileState::Unstable, FileState::Changed, FileState::Unchanged]
        );
        assert_eq!(watch.observe(half, true), FileState::Changed, "a reload says that it is complete");
        assert_eq!(watch.observe(half, true), FileState::Unchanged, "tried before");
    }

    #[test]
    fn returning_to_the_content_in_use_is_no_change() {
        let [old, bad, new] = [[0; 32], [1; 32], [2; 32]];
        let mut watch = FileWatch::new(old);
        assert_eq!(watch.observe(new, true), FileState::Changed);
        watch.accept();
        assert_eq!(watch.observe(bad, true), FileState::Changed);
        assert_eq!(watch.observe(new, true), FileState::Reverted);
        assert_eq!(watch.observe(old, true), FileState::Changed);
    }
}
