//! X.509 certificates: the fields that clients check or display.

use std::net::IpAddr;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

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

/// The limit on names in a message.
const NAMES: usize = 3;

/// Returns the host names and addresses of a certificate, without those of loopback; none if it does not parse.
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = parsed.subject_alternative_name().ok().flatten();
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of names do not matter to clients")]
    let named = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) if *name != "localhost" => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).filter(|ip| !ip.is_loopback()).map(|ip| ip.to_string()),
        _ => None,
    };
    names.iter().filter_map(named).take(NAMES).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Returns the issuer's common name, or `None` if the certificate does not parse or names none.
pub fn issuer_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    parsed.issuer().iter_common_name().next()?.as_str().ok().map(str::to_owned)
}
