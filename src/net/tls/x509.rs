//! X.509 certificates: the fields that clients check or display.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::proto::join::Pin;
use crate::proto::secret::sha256;
use crate::proto::timestamp::Timestamp;

/// The common name of every hub's private certificate authority.
pub const AUTHORITY_NAME: &str = "devstream hub";

/// Returns the SHA-256 of the certificate's public key (SubjectPublicKeyInfo), or `None` if the certificate does not parse.
pub fn pin_of(certificate: &CertificateDer<'_>) -> Option<Pin> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Pin::from_bytes(sha256(parsed.public_key().raw)))
}

/// Returns the certificate's `notAfter`, or `None` if the certificate does not parse.
pub fn expiry_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Timestamp(parsed.validity().not_after.timestamp()))
}

/// Returns the issuer's common name, or `None` if the certificate does not parse or names none.
pub fn issuer_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    parsed.issuer().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}
