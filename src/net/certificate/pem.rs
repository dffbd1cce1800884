//! A certificate of the operator's own, in two PEM files that are looked at again and again.
//!
//! Looking, instead of being told by the kernel, works on every file system and whatever an editor, a renaming or a
//! symbolic link does to the files.

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

use super::shown::{Certificate, Shown};
use crate::net::private::{read_secret, read_up_to};
use crate::net::shutdown::Reload;
use crate::net::tls::provider;
use crate::proto::secret::sha256;

/// How often the files are looked at: they are small, and a new certificate is in no hurry.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A chain of a few certificates is under 20 KiB.
const FILE_BYTES: u64 = 256 * 1024;

/// Where they are.
#[derive(Debug, Clone)]
pub struct PemPair {
    /// The certificate, and those that lead from it to an authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What the files held.
struct Content {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl PemPair {
    /// What the files hold now.
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
            bail!("there is no certificate in {}", self.certificate.display());
        }
        let key = PrivateKeyDer::from_pem_slice(&content.key);
        let key = key.with_context(|| format!("there is no readable private key in {}", self.key.display()))?;
        let pair = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| self.explain(&error))?;
        Certificate::new(pair).with_context(damaged)
    }

    fn explain(&self, error: &rustls::Error) -> anyhow::Error {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        if *error == rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) {
            return anyhow!("the key in {key} is not the one of the certificate in {certificate}");
        }
        anyhow!("{certificate} and {key} are of no use: {error}")
    }
}

/// Takes up what the files hold whenever it is new.
pub(super) struct PemKeeper {
    pair: PemPair,
    shown: Arc<Shown>,
    looks: Looks,
}

impl PemKeeper {
    /// With what the files hold now, which must be good.
    pub(super) fn open(pair: PemPair, shown: Arc<Shown>) -> anyhow::Result<Self> {
        let content = pair.read()?;
        shown.show("pem", pair.parse(&content)?);
        let looks = Looks::new(fingerprint(&Ok(content)));
        Ok(Self { pair, shown, looks })
    }

    /// Looks for ever.
    pub(super) async fn keep(mut self, reload: &Reload) {
        loop {
            let at_once = timeout(LOOK_EVERY, reload.requested()).await.is_ok();
            let pair = self.pair.clone();
            let read = tokio::task::spawn_blocking(move || pair.read()).await;
            let content = read.unwrap_or_else(|error| Err(error.into()));
            match self.looks.see(fingerprint(&content), at_once) {
                Sight::New => self.take_up(content),
                Sight::Restored => {
                    self.shown.clear_error();
                    tracing::info!(target: "hub", "the certificate files hold again what is in use");
                }
                Sight::Known if at_once => {
                    tracing::info!(target: "hub", "the certificate files have not changed");
                }
                Sight::Known | Sight::Unsettled => {}
            }
        }
    }

    fn take_up(&mut self, content: anyhow::Result<Content>) {
        match content.and_then(|content| self.pair.parse(&content)) {
            Ok(certificate) => {
                self.shown.show("pem", certificate);
                self.looks.settle();
                let (path, end) = (self.pair.certificate.display(), self.shown.status().not_after.rfc3339());
                tracing::info!(target: "hub", "took up the new certificate in {path}, good until {end}");
            }
            Err(error) => {
                let (error, end) = (format!("{error:#}"), self.shown.status().not_after.rfc3339());
                if self.shown.keep_error(&error) {
                    tracing::error!(target: "hub", "the new certificate is of no use, and the old one stays, good until {end}: {error}");
                }
            }
        }
    }
}

type Fingerprint = [u8; 32];

/// Of the content, or of why there is none.
fn fingerprint(content: &anyhow::Result<Content>) -> Fingerprint {
    match content {
        Ok(content) => sha256(&[sha256(&content.certificate), sha256(&content.key)].concat()),
        Err(error) => sha256(format!("{error:#}").as_bytes()),
    }
}

/// PURE. Decides which sight of the files is worth a try. Two files cannot change at one moment: what was not seen
/// twice in a row may be half of something, unless somebody says that it is done.
#[derive(Debug)]
struct Looks {
    good: Fingerprint,
    tried: Fingerprint,
    last: Fingerprint,
}

#[derive(Debug, PartialEq, Eq)]
enum Sight {
    /// To be tried.
    New,
    /// The one in use, after something that was tried in vain.
    Restored,
    /// Tried before, whatever came of it.
    Known,
    /// To be looked at once more.
    Unsettled,
}

impl Looks {
    fn new(good: Fingerprint) -> Self {
        Self { good, tried: good, last: good }
    }

    fn see(&mut self, now: Fingerprint, at_once: bool) -> Sight {
        let settled = std::mem::replace(&mut self.last, now) == now;
        if now == self.tried {
            return Sight::Known;
        }
        if !settled && !at_once {
            return Sight::Unsettled;
        }
        self.tried = now;
        if now == self.good { Sight::Restored } else { Sight::New }
    }

    /// The one tried last is in use.
    fn settle(&mut self) {
        self.good = self.tried;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_twice_or_on_request_is_tried_once() {
        let [old, half, new] = [[0; 32], [1; 32], [2; 32]];
        let mut looks = Looks::new(old);
        let seen: Vec<_> = [old, half, new, new, new].map(|now| looks.see(now, false)).into();
        assert_eq!(seen, [Sight::Known, Sight::Unsettled, Sight::Unsettled, Sight::New, Sight::Known]);
        assert_eq!(looks.see(half, true), Sight::New, "somebody said that it is done");
        assert_eq!(looks.see(half, true), Sight::Known, "tried before");
    }

    #[test]
    fn going_back_to_the_one_in_use_is_no_news() {
        let [old, bad, new] = [[0; 32], [1; 32], [2; 32]];
        let mut looks = Looks::new(old);
        assert_eq!(looks.see(new, true), Sight::New);
        looks.settle();
        assert_eq!(looks.see(bad, true), Sight::New);
        assert_eq!(looks.see(new, true), Sight::Restored);
        assert_eq!(looks.see(old, true), Sight::New);
    }
}
