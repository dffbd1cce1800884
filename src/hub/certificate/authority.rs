//! The hub's private certificate authority: created once, pinned by every join link; issues leaves.

use std::time::Duration;

use anyhow::ensure;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rcgen::{KeyUsagePurpose, PublicKeyData as _, date_time_ymd};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::OffsetDateTime;

use crate::net::tls::x509::{AUTHORITY_NAME, pin_of};
use crate::proto::join::Pin;
use crate::proto::secret::sha256;

/// The lifetime of a leaf certificate.
pub const LEAF_LIFETIME: Duration = Duration::from_secs(90 * DAY);
/// The age at which a leaf certificate is replaced: early enough for an outage of weeks.
pub const LEAF_RENEWAL: Duration = Duration::from_secs(60 * DAY);
const DAY: u64 = 24 * 60 * 60;

/// The authority with its key.
pub struct Authority {
    certificate_pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Creates a new authority.
    pub fn create() -> anyhow::Result<Self> {
        Self::self_signed(&KeyPair::generate()?)
    }

    /// Makes the certificate of an authority again from its key. Pins stay valid, and so does a copy of the former
    /// certificate: name and key are the same.
    pub fn of_key(key_pem: &str) -> anyhow::Result<Self> {
        Self::self_signed(&KeyPair::from_pem(key_pem)?)
    }

    fn self_signed(key: &KeyPair) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, AUTHORITY_NAME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        // For a machine that trusts the certificate for everything: a leaked key signs no programs, mail or clients.
        // No name constraints (RFC 5280 section 4.2.1.10): a pin accepts any certificate of the key, with others or none,
        // and those of a former --hostname would lock out whoever has that certificate as a file.
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(1970, 1, 1);
        // RFC 5280 section 4.1.2.5: "no well-defined expiration date". New join links replace it.
        params.not_after = date_time_ymd(9999, 12, 31);
        let certificate = params.self_signed(key)?;
        Self::load(&certificate.pem(), &key.serialize_pem())
    }

    /// Loads the authority from its two PEM files.
    pub fn load(certificate_pem: &str, key_pem: &str) -> anyhow::Result<Self> {
        use rustls::pki_types::pem::PemObject as _;
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| rcgen::Error::CouldNotParseCertificate)?;
        let key = KeyPair::from_pem(key_pem)?;
        let pin = Pin::from_bytes(sha256(&key.subject_public_key_info()));
        ensure!(
            pin_of(&certificate) == Some(pin),
            "the certificate is not that of the key: restore both from one backup, or remove the certificate if the key \
             is the hub's; it is made again from the key"
        );
        let issuer = Issuer::from_ca_cert_der(&certificate, key)?;
        Ok(Self { certificate_pem: certificate_pem.into(), certificate, issuer })
    }

    /// Returns the certificate in PEM, as a CA file.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Returns the private key in PEM. It must be written to a private file.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Returns the pin for join links.
    pub fn pin(&self) -> Option<Pin> {
        pin_of(&self.certificate)
    }

    /// Issues a certificate for these host names and addresses. The chain includes the authority.
    pub fn leaf(&self, names: &[String]) -> anyhow::Result<CertifiedKey> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // RFC 5280 section 4.2.1.1 requires it, and strict verifiers such as Python's check it.
        params.use_authority_key_identifier_extension = true;
        // A device without a battery-backed clock starts in 1970 and must still connect; the key is new all the same.
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = OffsetDateTime::now_utc() + LEAF_LIFETIME;
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = any_supported_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        Ok(CertifiedKey::new(vec![certificate.der().clone(), self.certificate.clone()], key))
    }
}

#[cfg(test)]
mod tests {
    use x509_parser::prelude::{FromDer as _, X509Certificate};

    use super::*;

    #[test]
    fn an_authority_signs_leaves_of_tls_servers_and_nothing_else() {
        let authority = Authority::create().unwrap();
        let again = Authority::of_key(&authority.key_pem()).unwrap();
        assert_eq!(again.pin(), authority.pin());
        for authority in [authority, again] {
            let (_, certificate) = X509Certificate::from_der(&authority.certificate).unwrap();
            let constraints = certificate.basic_constraints().unwrap().unwrap().value;
            assert!(constraints.ca && constraints.path_len_constraint == Some(0));
            let usage = certificate.key_usage().unwrap().unwrap().value;
            assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
            let purposes = certificate.extended_key_usage().unwrap().expect("purposes").value;
            assert!(purposes.server_auth && !purposes.any && !purposes.client_auth && !purposes.code_signing);
        }
    }
}
