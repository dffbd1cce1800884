//! The leaf certificate by which an end of a stream presents its identity key, and the one rule by which the other end
//! verifies it.
//!
//! A leaf names the role (extended key usage) and the id (a URI, RFC 5280 section 4.2.1.6) of its owner. It is valid if one
//! of the keys that may vouch for that owner has signed it: the owner's own, as it is known from earlier, or a fleet's.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, Issuer, PublicKeyData, SanType, date_time_ymd,
};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::{CertificateDer, Der, TrustAnchor, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{CertificateError, RootCertStore, SignatureAlgorithm, SignatureScheme};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use crate::net::tls::provider;
use crate::proto::e2e::identity_uri;
use crate::proto::id::{Principal, Role};
use crate::proto::key::{PrivateKey, PublicKey};

/// Length limit of a leaf, in bytes: ten times that of ours with the shortest id.
const MAX_LEAF_BYTES: usize = 4096;

/// Limit of certificates that vouch for a key besides itself: that of its predecessor, and that of a fleet.
const MAX_VOUCHERS: usize = 2;

/// The length of an Ed25519 SubjectPublicKeyInfo before the key itself, RFC 8410 section 4.
const ED25519_SPKI_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A leaf with the key that it presents, and what others say of that key.
#[derive(Clone)]
pub struct Leaf {
    /// The certificate that the key signed itself, then those that its predecessor and a fleet signed, if there are any.
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKey>,
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leaf({:?})", self.key.public())
    }
}

impl Leaf {
    /// Creates the leaf of an identity, signed by its own key. It never expires: whether it is trusted depends on the key.
    pub fn self_signed(owner: &Principal, key: Arc<PrivateKey>) -> Result<Self, rcgen::Error> {
        let certificate = params_of(owner)?.self_signed(&Ed25519(key.clone()))?;
        Ok(Self { chain: vec![certificate.der().clone()], key })
    }

    /// Sets the certificates by which others vouch for the key: its predecessor, and a fleet.
    #[must_use]
    pub fn vouched_for_by(mut self, vouchers: impl IntoIterator<Item = Voucher>) -> Self {
        self.chain.truncate(1);
        self.chain.extend(vouchers.into_iter().map(|voucher| voucher.0));
        self
    }

    /// Returns the certificates and the key for TLS.
    pub(super) fn certified(&self) -> Arc<CertifiedKey> {
        Arc::new(CertifiedKey::new(self.chain.clone(), Arc::new(Ed25519(self.key.clone()))))
    }

    /// The key that it presents.
    pub fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// The certificates in DER, the leaf first.
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }
}

/// A certificate by which another key, of the same identity or of a fleet, vouches for an identity's; as text, unpadded
/// base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voucher(CertificateDer<'static>);

impl Voucher {
    pub(super) fn new(certificate: CertificateDer<'static>) -> Self {
        Self(certificate)
    }

    /// The certificate in DER.
    pub fn der(&self) -> &CertificateDer<'static> {
        &self.0
    }

    /// Parses the text; `None` if it is not base64url. What it says is verified by whoever meets the identity.
    pub fn parse(text: &str) -> Option<Self> {
        Some(Self(URL_SAFE_NO_PAD.decode(text).ok()?.into()))
    }
}

impl fmt::Display for Voucher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

/// Has a key vouch for the one that succeeds it: peers that know the former accept the new one.
pub fn succession(owner: &Principal, key: Arc<PrivateKey>, former: Arc<PrivateKey>) -> Result<Voucher, rcgen::Error> {
    let issuer = Issuer::new(unnamed(), Ed25519(former));
    Ok(Voucher(params_of(owner)?.signed_by(&Ed25519(key), &issuer)?.der().clone()))
}

/// Verifies a chain: it is `owner`'s, in that role, and one of these keys has signed the key that it presents. Returns that
/// key.
pub fn verify(
    chain: &[CertificateDer<'_>],
    owner: &Principal,
    anchors: &[PublicKey],
    now: UnixTime,
) -> Result<PublicKey, rustls::Error> {
    let [leaf, vouchers @ ..] = chain else { return Err(rustls::Error::NoCertificatesPresented) };
    let key = presented_key(leaf, owner)?;
    ensure_few(vouchers)?;
    let refused = match verify_one(leaf, owner.role, anchors, now) {
        Ok(()) => return Ok(key),
        Err(refused) => refused,
    };
    let vouches = |voucher: &&CertificateDer<'_>| {
        presented_key(voucher, owner) == Ok(key) && verify_one(voucher, owner.role, anchors, now).is_ok()
    };
    vouchers.iter().find(vouches).map(|_| key).ok_or(refused)
}

/// Fails if a chain has more certificates besides the leaf than any of ours.
pub(super) fn ensure_few(vouchers: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
    if vouchers.len() > MAX_VOUCHERS { Err(CertificateError::BadEncoding.into()) } else { Ok(()) }
}

/// Verifies that one of these keys has signed a certificate, which is for this role.
pub(super) fn verify_one(
    certificate: &CertificateDer<'_>,
    role: Role,
    anchors: &[PublicKey],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    let roots = Arc::new(RootCertStore { roots: anchors.iter().map(anchor).collect() });
    match role {
        Role::Device => {
            let algorithms = provider().signature_verification_algorithms.all;
            let certificate = ParsedCertificate::try_from(certificate)?;
            verify_server_cert_signed_by_trust_anchor(&certificate, &roots, &[], now, algorithms)
        }
        Role::Service => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
            verifier.verify_client_cert(certificate, &[], now).map(drop)
        }
    }
}

/// Returns the key that a leaf presents, if it names this owner; nothing has vouched for it yet.
pub fn presented_key(leaf: &CertificateDer<'_>, owner: &Principal) -> Result<PublicKey, rustls::Error> {
    let encoding = || rustls::Error::from(CertificateError::BadEncoding);
    if leaf.len() > MAX_LEAF_BYTES {
        return Err(encoding());
    }
    let (rest, parsed) = X509Certificate::from_der(leaf).map_err(|_| encoding())?;
    let names = parsed.subject_alternative_name().map_err(|_| encoding())?.ok_or_else(encoding)?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else { return Err(encoding()) };
    if *uri != identity_uri(owner) {
        return Err(CertificateError::NotValidForName.into());
    }
    let key = parsed.public_key().subject_public_key.data.as_ref().try_into().map_err(|_| encoding())?;
    let is_ed25519 = parsed.public_key().algorithm.algorithm == x509_parser::oid_registry::OID_SIG_ED25519;
    if rest.is_empty() && is_ed25519 { Ok(PublicKey::from_bytes(key)) } else { Err(encoding()) }
}

/// A key as an authority without a name, which the issuer of every leaf is.
fn anchor(key: &PublicKey) -> TrustAnchor<'static> {
    TrustAnchor {
        subject: Der::from_slice(&[]),
        subject_public_key_info: [&ED25519_SPKI_PREFIX[..], key.bytes()].concat().into(),
        name_constraints: None,
    }
}

pub(super) fn params_of(owner: &Principal) -> Result<CertificateParams, rcgen::Error> {
    let mut params = unnamed();
    params.subject_alt_names = vec![SanType::URI(identity_uri(owner).try_into()?)];
    params.extended_key_usages = vec![match owner.role {
        Role::Device => ExtendedKeyUsagePurpose::ServerAuth,
        Role::Service => ExtendedKeyUsagePurpose::ClientAuth,
    }];
    Ok(params)
}

/// A certificate without names, at any time: a machine without a clock has one too.
pub(super) fn unnamed() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = date_time_ymd(1970, 1, 1);
    // RFC 5280 section 4.1.2.5: "no well-defined expiration date".
    params.not_after = date_time_ymd(9999, 12, 31);
    params
}

/// An identity's key, for certificates and for TLS.
#[derive(Debug, Clone)]
pub(super) struct Ed25519(pub(super) Arc<PrivateKey>);

impl PublicKeyData for Ed25519 {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Ed25519 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign(message).bytes().to_vec())
    }
}

impl SigningKey for Ed25519 {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl Signer for Ed25519 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign(message).bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::secret::KeySeed;

    fn key(seed: u8) -> Arc<PrivateKey> {
        Arc::new(PrivateKey::from_seed(&KeySeed::new([seed; 32])))
    }

    fn principal(role: Role, id: &str) -> Principal {
        Principal { role, id: id.to_owned().try_into().unwrap() }
    }

    #[test]
    fn a_leaf_holds_for_its_owner_in_its_role_under_the_key_that_signed_it() {
        let now = UnixTime::now();
        for role in [Role::Device, Role::Service] {
            let owner = principal(role, "pi-42");
            let leaf = Leaf::self_signed(&owner, key(1)).unwrap();
            let verified = |owner: &Principal, anchors: &[PublicKey]| verify(leaf.chain(), owner, anchors, now);
            assert_eq!(verified(&owner, &[key(2).public(), key(1).public()]), Ok(key(1).public()));
            assert!(verified(&owner, &[key(2).public()]).is_err(), "another key");
            assert!(verified(&owner, &[]).is_err(), "no key");
            assert!(verified(&principal(role, "pi-43"), &[key(1).public()]).is_err(), "another id");
            let other = if role == Role::Device { Role::Service } else { Role::Device };
            assert!(verified(&principal(other, "pi-42"), &[key(1).public()]).is_err(), "another role");
            assert!(leaf.chain[0].len() < 300, "{} bytes", leaf.chain[0].len());
        }
    }

    #[test]
    fn a_new_key_that_the_former_one_signed_holds_where_the_former_one_is_known() {
        let owner = principal(Role::Device, "pi-42");
        let vouched = |key, voucher| Leaf::self_signed(&owner, key).unwrap().vouched_for_by(Some(voucher));
        let leaf = vouched(key(2), succession(&owner, key(2), key(1)).unwrap());
        let verified = |leaf: &Leaf, anchor: u8| verify(leaf.chain(), &owner, &[key(anchor).public()], UnixTime::now());
        assert_eq!(verified(&leaf, 1), Ok(key(2).public()), "where the former is known");
        assert_eq!(verified(&leaf, 2), Ok(key(2).public()), "where it is known itself");
        assert!(verified(&leaf, 3).is_err(), "where another is known");
        let others = principal(Role::Device, "pi-43");
        for (what, voucher) in [
            ("of another key", succession(&owner, key(4), key(1)).unwrap()),
            ("by another key", succession(&owner, key(2), key(3)).unwrap()),
            ("of another device", succession(&others, key(2), key(1)).unwrap()),
            ("of a service", succession(&principal(Role::Service, "pi-42"), key(2), key(1)).unwrap()),
        ] {
            assert!(verified(&vouched(key(2), voucher), 1).is_err(), "a voucher {what}");
        }
    }

    #[test]
    fn a_leaf_with_any_bit_changed_or_cut_off_does_not_hold() {
        let owner = principal(Role::Service, "alice");
        let leaf = Leaf::self_signed(&owner, key(1)).unwrap();
        let holds = |leaf: &[u8]| verify(&[leaf.into()], &owner, &[key(1).public()], UnixTime::now()).is_ok();
        let leaf = &leaf.chain[0];
        assert!(holds(leaf));
        for position in 0..leaf.len() {
            for bit in 0..8 {
                let mut changed = leaf.to_vec();
                changed[position] ^= 1 << bit;
                assert!(!holds(&changed), "{position}");
            }
            assert!(!holds(&leaf[..position]), "{position}");
        }
    }
}
