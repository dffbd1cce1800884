//! Certificates of a fleet at the hub: those of this client's own key, and those that it looks up and stores for others.
//!
//! What the hub sends is data: this end decides by its own fleet's keys what it presents.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, StatusCode};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::response::parse_refusal;
use super::{Client, RequestOptions, response_refusal};
use crate::net::e2e::leaf::{Leaf, Voucher};
use crate::net::e2e::verdict::CertificateVerdict;
use crate::net::os::clock;
use crate::proto::endorsement::{Endorsement, Endorsements, StoredCertificate};
use crate::proto::fleet::FleetKeys;
use crate::proto::http::Route;
use crate::proto::id::Principal;
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::timestamp::Timestamp;

/// The limit on asking for its own certificate, which a stream waits for.
const OWN_TIMEOUT: Duration = Duration::from_secs(5);

/// The shortest time between two looks for its own certificate: streams without one are refused, and a program may open hundreds
/// a second.
const OWN_INTERVAL: Duration = Duration::from_secs(30);

/// The answer of [`Certificates::sign`].
pub type SignFuture<'a> = Pin<Box<dyn Future<Output = Option<Voucher>> + Send + 'a>>;

/// What a machine does with certificates besides presenting and verifying them.
pub trait Certificates: fmt::Debug + Send + Sync {
    /// Keeps this end's own, which is good, for its next start.
    fn keep(&self, certificate: &Voucher);

    /// Returns the certificate of a peer that waits to be signed, where this machine has the fleet's key.
    fn sign<'a>(&'a self, client: &'a Client, peer: &'a Principal) -> SignFuture<'a>;
}

/// What a client presents to its peers, for all its clones.
#[derive(Debug)]
pub(super) struct OwnLeaf {
    /// How its predecessor vouches for its key.
    succession: Option<Voucher>,
    presented: Mutex<Presented>,
    /// A certificate that begins later than the clock says, which may be behind: a machine without a battery has the time some
    /// seconds after it has its certificate.
    postponed: Mutex<Option<Voucher>>,
    asked_at: Mutex<Option<Instant>>,
}

#[derive(Debug, Clone)]
struct Presented {
    leaf: Arc<Leaf>,
    /// How a fleet vouches for its key.
    certificate: Option<Voucher>,
}

impl OwnLeaf {
    /// Presents a key with what vouches for it.
    pub(super) fn new(leaf: Leaf, succession: Option<Voucher>, certificate: Option<Voucher>) -> Self {
        let leaf = Arc::new(leaf.vouched_for_by(succession.clone().into_iter().chain(certificate.clone())));
        let presented = Mutex::new(Presented { leaf, certificate });
        Self { succession, presented, postponed: Mutex::default(), asked_at: Mutex::default() }
    }

    pub(super) fn leaf(&self) -> Arc<Leaf> {
        self.presented.lock().leaf.clone()
    }

    fn certificate(&self) -> Option<Voucher> {
        self.presented.lock().certificate.clone()
    }

    fn present(&self, certificate: Voucher) {
        let mut presented = self.presented.lock();
        let vouchers = self.succession.clone().into_iter().chain([certificate.clone()]);
        let leaf = Arc::new(Leaf::clone(&presented.leaf).vouched_for_by(vouchers));
        *presented = Presented { leaf, certificate: Some(certificate) };
    }

    /// Reports whether the hub may be asked now, and notes that it is.
    fn may_ask(&self) -> bool {
        let (mut asked_at, now) = (self.asked_at.lock(), clock::now());
        let may_ask = asked_at.is_none_or(|asked_at| now.saturating_duration_since(asked_at) >= OWN_INTERVAL);
        if may_ask {
            *asked_at = Some(now);
        }
        may_ask
    }
}

impl Client {
    /// Sets how the predecessor of its key, and a fleet, vouch for it.
    #[must_use]
    pub fn vouched_for_by(self, succession: Option<Voucher>, certificate: Option<Voucher>) -> Self {
        let own = OwnLeaf::new(Leaf::clone(&self.own.leaf()), succession, certificate);
        Self { own: Arc::new(own), ..self }
    }

    /// Sets what is done with certificates; without it, they are kept in memory, and no peer is signed.
    #[must_use]
    pub fn with_certificates(self, certificates: Arc<dyn Certificates>) -> Self {
        Self { certificates: Some(certificates), ..self }
    }

    /// The keys of the fleet that must have signed those of peers.
    pub fn fleet_keys(&self) -> Option<FleetKeys> {
        self.fleet.map(|fleet| fleet.keys)
    }

    /// Reports whether a fleet must have signed the keys of peers.
    pub fn has_fleet(&self) -> bool {
        self.fleet.is_some()
    }

    /// Judges the certificate that it presents; `None` if it presents none.
    pub fn verdict(&self) -> Option<CertificateVerdict> {
        self.verdict_at(clock::now_utc())
    }

    fn verdict_at(&self, now: Timestamp) -> Option<CertificateVerdict> {
        self.own.certificate().map(|certificate| self.judge(&certificate.to_string(), now))
    }

    fn judge(&self, certificate: &str, now: Timestamp) -> CertificateVerdict {
        CertificateVerdict::of(certificate, &self.principal, &self.key.public(), self.fleet.as_ref(), now)
    }

    /// Presents a certificate from now on if it is good and ends later than the present one, and returns its end; nothing if it
    /// is the present one. One that begins later is looked at again at the next session.
    pub fn accept_certificate(&self, text: &str) -> Result<Option<Timestamp>, CertificateVerdict> {
        self.accept_certificate_at(text, clock::now_utc())
    }

    /// Presents the certificate that had not begun when it came, if it has by now.
    pub(super) fn accept_postponed(&self, now: Timestamp) {
        let Some(certificate) = self.own.postponed.lock().take() else { return };
        if let Ok(Some(until)) = self.accept_certificate_at(&certificate.to_string(), now) {
            let until = &until.rfc3339()[..10];
            tracing::info!(target: "end-to-end", "presents the fleet's certificate for this machine's key, until {until}");
        }
    }

    fn accept_certificate_at(&self, text: &str, now: Timestamp) -> Result<Option<Timestamp>, CertificateVerdict> {
        let certificate = self.own.certificate();
        if certificate.as_ref().is_some_and(|certificate| certificate.to_string() == text) {
            return Ok(None);
        }
        let present = self.verdict_at(now).and_then(CertificateVerdict::good);
        let validity = match (self.judge(text, now), present) {
            (CertificateVerdict::Good(validity), Some(present)) if validity.not_after <= present.not_after => {
                return Err(CertificateVerdict::NotLater(validity.not_after));
            }
            (CertificateVerdict::Good(validity), _) => validity,
            (unfit, _) => {
                if let CertificateVerdict::NotYetValid(_) = unfit {
                    *self.own.postponed.lock() = Voucher::parse(text);
                }
                return Err(unfit);
            }
        };
        let certificate = Voucher::parse(text).ok_or(CertificateVerdict::Unreadable)?;
        self.certificates.iter().for_each(|certificates| certificates.keep(&certificate));
        self.own.present(certificate);
        Ok(Some(validity.not_after))
    }

    /// Presents the certificate of a client of the stored identity from now on, if that is a better one for the same key.
    pub fn accept_certificate_of(&self, stored: &Self) {
        if let Some(certificate) = stored.own.certificate() {
            let _ = self.accept_certificate(&certificate.to_string());
        }
    }

    /// Asks the hub for its own certificate, if a fleet is trusted and it has none, or one that ends soon.
    pub async fn fetch_certificate(&self) {
        // Judging the present one costs as much as half a handshake.
        if !self.has_fleet() || !self.own.may_ask() {
            return;
        }
        let present = self.verdict().and_then(CertificateVerdict::good);
        if present.is_some_and(|validity| !validity.is_due(clock::now_utc())) {
            return;
        }
        if !self.take_certificate().await {
            // Where this machine has the fleet's key, it need not be told to sign itself.
            if let Some(signed) = self.sign(&self.principal).await {
                let _ = self.accept_certificate(&signed.to_string());
            }
        }
    }

    /// Takes its own certificate from the hub, and reports whether it did.
    async fn take_certificate(&self) -> bool {
        let asked = timeout(OWN_TIMEOUT, Box::pin(self.endorsements(&self.principal))).await;
        let Ok(Ok(Some(endorsements))) = asked else { return false };
        let own = endorsements.into_iter().find(|endorsement| endorsement.key == self.key.public());
        let Some(certificate) = own.and_then(|own| own.certificate) else { return false };
        match self.accept_certificate(&certificate) {
            Ok(Some(until)) => {
                let until = &until.rfc3339()[..10];
                tracing::info!(target: "end-to-end", "the fleet has signed this machine's key, until {until}");
            }
            Ok(None) => {}
            Err(unfit) => {
                tracing::warn!(target: "end-to-end", "ignored a certificate from the hub: {unfit}");
                return false;
            }
        }
        true
    }

    /// Signs a peer that waits for it, if this machine can.
    pub(super) async fn sign(&self, peer: &Principal) -> Option<Voucher> {
        match &self.certificates {
            Some(certificates) if self.has_fleet() => certificates.sign(self, peer).await,
            _ => None,
        }
    }

    /// Asks the hub for the proofs and certificates of an identity's keys. `None` if the hub is of a version that keeps none.
    pub async fn endorsements(&self, owner: &Principal) -> Result<Option<Vec<Endorsement>>, Refusal> {
        let response = self.request(&Route::Certificates(owner.clone()), RequestOptions::default()).await?;
        if is_of_earlier_version(&response) {
            return Ok(None);
        }
        if response.status() != StatusCode::OK {
            return Err(response_refusal(&response));
        }
        let invalid =
            |error| Refusal::new(RefusalKind::BadRequest, format!("the hub sent invalid certificates: {error}"));
        let Endorsements { keys } = serde_json::from_slice(response.body()).map_err(invalid)?;
        Ok(Some(keys))
    }

    /// Has the hub keep a certificate for a key of an identity.
    pub async fn store_certificate(
        &self,
        owner: &Principal,
        key: PublicKey,
        certificate: &Voucher,
    ) -> Result<(), Refusal> {
        let stored = StoredCertificate { key, certificate: certificate.to_string() };
        let body = serde_json::to_vec(&stored).map_err(|error| Refusal::local(error.to_string()))?.into();
        let options = RequestOptions { body, ..RequestOptions::default() };
        let response = self.request(&Route::StoreCertificate(owner.clone()), options).await?;
        match response.status() {
            StatusCode::NO_CONTENT => Ok(()),
            _ if is_of_earlier_version(&response) => {
                Err(Refusal::worded(RefusalKind::IncompatibleVersion, "the hub is of an earlier version"))
            }
            _ => Err(response_refusal(&response)),
        }
    }
}

/// Reports whether a hub does not know the path of a request.
fn is_of_earlier_version(response: &Response<Bytes>) -> bool {
    matches!(response.status(), StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        && parse_refusal(response).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::e2e::fleet::certify;
    use crate::net::tls::Trust;
    use crate::proto::fleet::{Fleet, Validity};
    use crate::proto::id::Role;
    use crate::proto::join::HubAddress;
    use crate::proto::key::PrivateKey;
    use crate::proto::secret::KeySeed;

    const SIGNED: Timestamp = Timestamp(1_800_000_000);

    fn key(seed: u8) -> Arc<PrivateKey> {
        Arc::new(PrivateKey::from_seed(&KeySeed::new([seed; 32])))
    }

    #[test]
    fn a_certificate_that_comes_while_the_clock_is_behind_is_presented_once_it_has_begun() {
        let owner = Principal { role: Role::Device, id: "pi-42".parse().unwrap() };
        let fleet = Fleet { keys: FleetKeys::new(key(1).public(), key(2).public()), since: Timestamp(0) };
        let client = Client::new("hub".parse::<HubAddress>().unwrap(), &Trust::Public, owner.clone(), key(3));
        let client = client.unwrap().with_fleet(Some(fleet));
        let certificate = certify(&owner, &key(3).public(), key(1), Validity::beginning(SIGNED)).unwrap().to_string();
        let behind = SIGNED.before(Duration::from_secs(40 * 24 * 60 * 60));
        let presented = || client.own.certificate().map(|certificate| certificate.to_string());
        let refused = client.accept_certificate_at(&certificate, behind);
        assert_eq!(refused, Err(CertificateVerdict::NotYetValid(SIGNED)));
        client.accept_postponed(behind);
        assert_eq!(presented(), None, "the clock is still behind");
        client.accept_postponed(SIGNED);
        assert_eq!(presented(), Some(certificate));
    }
}
