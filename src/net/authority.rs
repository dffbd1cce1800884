//! The hub's private certificate authority: made once, pinned by every join link; leaves are made from it as needed.

use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, date_time_ymd};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::proto::join::Pin;
use crate::proto::secret::sha256;
use crate::proto::timestamp::Timestamp;

/// What each hub's authority is called in its certificate.
pub(super) const AUTHORITY_NAME: &str = "devstream hub";

/// A leaf is good for this long …
pub const LEAF_LIFETIME: Duration = Duration::from_secs(90 * DAY);
/// … and replaced when this much of it is over, so that an outage of weeks does no harm.
pub const LEAF_RENEWAL: Duration = Duration::from_secs(60 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// The authority, with its key.
pub struct Authority {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes a new one.
    pub fn create() -> Result<Self, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(1970, 1, 1);
        // RFC 5280 section 4.1.2.5: "no well-defined expiration date". Ending it is what a new join link is for.
        params.not_after = date_time_ymd(9999, 12, 31);
        let certificate = params.self_signed(&key)?;
        Self::load(&certificate.pem(), &key.serialize_pem())
    }

    /// From its two PEM files.
    pub fn load(certificate_pem: &str, key_pem: &str) -> Result<Self, rcgen::Error> {
        use rustls::pki_types::pem::PemObject as _;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, KeyPair::from_pem(key_pem)?)?;
        Ok(Self { certificate_pem: certificate_pem.into(), certificate, issuer })
    }

    /// Its certificate, for those who want a CA file.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Its key, to be written where only the hub's user reads.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// What join links carry.
    pub fn pin(&self) -> Option<Pin> {
        pin_of(&self.certificate)
    }

    /// A new certificate for these host names and addresses, with the authority behind it in the chain.
    pub fn leaf(&self, names: &[String]) -> anyhow::Result<CertifiedKey> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // RFC 5280 section 4.2.1.1 demands it, and strict verifiers such as Python's do.
        params.use_authority_key_identifier_extension = true;
        // A device without a battery-backed clock starts in 1970 and must still get in: the key is new all the same.
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = OffsetDateTime::now_utc() + LEAF_LIFETIME;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        Ok(CertifiedKey::new(vec![certificate.der().clone(), self.certificate.clone()], key))
    }
}

/// The pin of a certificate's key, if it parses.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Pin::from_bytes(sha256(parsed.public_key().raw)))
}

/// When a certificate ends, if it parses.
pub(super) fn expiry_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Timestamp(parsed.validity().not_after.timestamp()))
}

/// What the signer of a certificate is called, if it parses and says so.
pub(super) fn issuer_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    parsed.issuer().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}
