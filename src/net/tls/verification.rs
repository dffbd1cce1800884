//! The verification of a hub's certificate.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};

use super::provider;
use super::trust::Trust;
use super::x509::{AUTHORITY_NAME, expiry_of, issuer_name, names_of, pin_of};
use crate::proto::forward::parse_host;
use crate::proto::join::Pin;

/// The cause of a failed handshake, as far as it calls for advice of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFailure {
    /// Another hub's authority signed the certificate.
    AnotherHub,
    /// The certificate is not valid for the hub's name.
    WrongName,
    /// The server speaks no TLS 1.3.
    OldVersion,
    /// The server received something else than the client sent.
    Altered,
    /// The server accepted the connection, and did not answer in TLS.
    Silent,
    /// Anything else.
    Other,
}

impl TlsFailure {
    /// Classifies the error of a handshake.
    pub fn of(error: &rustls::Error) -> Self {
        if is_old_version(error) {
            return Self::OldVersion;
        }
        if is_altered(error) {
            return Self::Altered;
        }
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Other };
        if matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
            return Self::WrongName;
        }
        if let CertificateError::Other(OtherError(cause)) = error
            && cause.is::<UnknownName>()
        {
            return Self::WrongName;
        }
        if let CertificateError::Other(OtherError(cause)) = error
            && cause.downcast_ref::<IssuerMismatch>().is_some_and(|mismatch| mismatch.is_hub)
        {
            return Self::AnotherHub;
        }
        Self::Other
    }
}

/// Reports whether the server speaks no TLS 1.3. Older ones look for a cipher suite of TLS 1.2, and find none.
pub(super) fn is_old_version(error: &rustls::Error) -> bool {
    use AlertDescription::{HandshakeFailure, InsufficientSecurity, ProtocolVersion};
    matches!(
        error,
        rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(ProtocolVersion | HandshakeFailure | InsufficientSecurity)
    )
}

/// Reports whether the server could not read what arrived there.
pub(super) fn is_altered(error: &rustls::Error) -> bool {
    use AlertDescription::{DecodeError, UnexpectedMessage};
    matches!(error, rustls::Error::AlertReceived(DecodeError | UnexpectedMessage))
}

/// Creates the verifier that accepts certificates of these authorities.
pub(super) fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
    match trust {
        Trust::Pin(pin) => {
            let algorithms = provider().signature_verification_algorithms;
            Ok(Arc::new(PinVerifier { pin: *pin, algorithms }))
        }
        Trust::Public => Ok(chain_verifier(public_roots())?),
        Trust::File(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate.clone())?;
            }
            Ok(chain_verifier(roots)?)
        }
    }
}

/// Creates the verifier of chains that end in one of these roots.
fn chain_verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    verifier.map_err(|error| rustls::Error::General(error.to_string()))
}

/// Reports whether clients without a pin trust this chain for this name now, by the roots of this machine.
pub fn is_publicly_trusted(chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    chain_verifier(public_roots())
        .is_ok_and(|chain| chain.verify_server_cert(leaf, intermediates, name, &[], UnixTime::now()).is_ok())
}

/// Collects the public roots: Mozilla's and the system's.
fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::debug!(%error, "could not read the system's certificate authorities");
    }
    roots.add_parsable_certificates(native.certs);
    roots
}

/// Verifies a chain as usual, with the pinned authority as its only root. The authority's certificate comes with the
/// chain and is recognised by its key.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The certificate's issuer is not the pinned authority but another hub's, a public one, or that of a proxy that
/// inspects TLS.
#[derive(Debug, thiserror::Error)]
#[error("signed by another authority than the one in the join link, {pin}: {issuer}")]
struct IssuerMismatch {
    issuer: String,
    /// The issuer is another hub's authority.
    is_hub: bool,
    pin: Pin,
}

/// The pinned hub itself answers, and its certificate lacks the name by which it was reached.
#[derive(Debug, thiserror::Error)]
#[error("it calls itself {}, not {asked}", if own.is_empty() { "something else".into() } else { own.join(" or ") })]
pub(super) struct UnknownName {
    own: Vec<String>,
    asked: String,
}

impl UnknownName {
    fn of(error: &rustls::Error, certificate: &CertificateDer<'_>, asked: &ServerName<'_>) -> Option<rustls::Error> {
        use CertificateError::{NotValidForName, NotValidForNameContext};
        let rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) = error else {
            return None;
        };
        let unknown = Self { own: names_of(certificate), asked: asked.to_str().into_owned() };
        Some(CertificateError::Other(OtherError(Arc::new(unknown))).into())
    }

    /// Words how the hub gets this name. It keeps only those that it is started with, so that all of them are named; its other
    /// flags are known there alone.
    pub(super) fn advice(&self) -> String {
        let names = self.own.iter().chain([&self.asked]).filter(|name| parse_host(name).is_ok() || name.contains(':'));
        let flags: String = names.map(|name| format!(" --hostname {name}")).collect();
        format!("use a name that it has, or have the hub's command name them all, beside its other flags:{flags}")
    }
}

impl IssuerMismatch {
    fn of(certificate: &CertificateDer<'_>, pin: Pin) -> Self {
        let name = issuer_name(certificate);
        let is_hub = name.as_deref() == Some(AUTHORITY_NAME);
        let issuer = match name {
            Some(_) if is_hub => "another devstream hub's authority".into(),
            Some(name) => format!("'{name}'"),
            None => "an authority without a name".into(),
        };
        Self { issuer, is_hub, pin }
    }
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates.iter().find(|certificate| pin_of(certificate) == Some(self.pin));
        let Some(authority) = pinned else {
            let other = IssuerMismatch::of(end_entity, self.pin);
            return Err(CertificateError::Other(OtherError(Arc::new(other))).into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier = chain_verifier(roots)?;
        let verified = verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| UnknownName::of(&error, end_entity, server_name).unwrap_or(error))
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Verifies a certificate with another verifier, as of the certificate's last valid second.
#[derive(Debug)]
pub(super) struct IgnoreExpiryVerifier(pub(super) Arc<dyn ServerCertVerifier>);

impl ServerCertVerifier for IgnoreExpiryVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let last = expiry_of(end_entity).and_then(|end| u64::try_from(end.0).ok());
        let at = last.map_or(now, |last| UnixTime::since_unix_epoch(Duration::from_secs(last)));
        self.0.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
