//! TLS 1.3 for both ends of a connection. Verification cannot be switched off.
//!
//! A client makes its configuration from a [`Trust`]: the pinned authority of a hub, the public ones, or those in a
//! file. A hub completes handshakes with an [`Acceptor`], which also answers ACME challenges. What comes out is an
//! encrypted stream and the [`exporter`] that binds credentials to it; a failed handshake becomes a refusal
//! ([`explain`]).

mod client;
pub(super) mod interception;
pub mod read_ahead;
mod server;
mod trust;
mod verification;
pub mod x509;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::TLS13;
use rustls::{CertificateError, CipherSuite, OtherError, SupportedProtocolVersion};

pub use self::client::client_config;
pub(crate) use self::client::config_ignoring_expiry;
pub use self::server::{Acceptor, Socket, offers_no_tls13};
pub use self::trust::Trust;
pub use self::verification::{TlsFailure, is_publicly_trusted};
use self::verification::{UnknownName, is_altered, is_old_version};
use crate::proto::channel_binding::{EXPORTER_LABEL, Exporter};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The only application protocol: HTTP/1.1, which has none of HTTP/2's floods.
pub(crate) const ALPN: &[u8] = b"http/1.1";
/// The protocol that a client with a pin offers beside HTTP/1.1, so that the hub presents the certificate of the pinned
/// authority even if it has another one for the name. Never chosen.
pub const PIN_ALPN: &[u8] = b"devstream-pin";
/// The protocol of ACME challenges (RFC 8737): the server checks the hub's challenge certificate and closes.
pub(crate) const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];

/// Exports the keying material that binds a credential to this session.
pub fn exporter<D>(connection: &rustls::ConnectionCommon<D>) -> Result<Exporter, rustls::Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None)
}

/// Names the negotiated version and key exchange, such as `TLSv1_3 X25519MLKEM768`.
pub(super) fn negotiated(connection: &rustls::ClientConnection) -> Option<String> {
    let exchange = connection.negotiated_key_exchange_group()?.name();
    Some(format!("{:?} {exchange:?}", connection.protocol_version()?))
}

/// Converts a failed handshake to the refusal that names its cause.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds errors, and most have the same meaning")]
pub fn explain(error: &rustls::Error) -> Refusal {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Refusal::new(RefusalKind::ClockOrInspection, error.to_string()),
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            match cause.downcast_ref::<UnknownName>() {
                Some(unknown) => Refusal::new(RefusalKind::WrongHubName, cause.to_string()).advised(unknown.advice()),
                None => Refusal::new(RefusalKind::CertificateNotTrusted, cause.to_string()),
            }
        }
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Refusal::new(RefusalKind::CertificateNotTrusted, error.to_string())
        }
        // What rustls says of the bytes helps nobody.
        rustls::Error::InvalidMessage(_) => {
            Refusal::new(RefusalKind::HubUnreachable, "the server does not speak TLS: is this the hub's port?")
        }
        error if is_old_version(error) => unreachable("the server does not speak TLS 1.3, as every hub does", error),
        error if is_altered(error) => unreachable(
            "the server cannot read what arrives there: a load balancer may put a PROXY protocol header in front of it",
            error,
        ),
        _ => unreachable("TLS", error),
    }
}

fn unreachable(cause: &str, error: &rustls::Error) -> Refusal {
    Refusal::new(RefusalKind::HubUnreachable, format!("{cause}: {error}"))
}

/// The cryptography of aws-lc-rs, with X25519MLKEM768 first (the crate's `prefer-post-quantum`) and AES-128-GCM before
/// AES-256-GCM, as browsers order them: it takes ten rounds instead of fourteen, and the hub decrypts and encrypts
/// every byte.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(provider)
    });
    PROVIDER.clone()
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn a_server_without_tls_or_with_an_old_version_is_reported_as_such() {
        for (error, expected) in [
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "TLS: is this the hub's port?"),
            (rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), "does not speak TLS 1.3"),
            (rustls::Error::AlertReceived(AlertDescription::HandshakeFailure), "does not speak TLS 1.3"),
            (rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), "does not speak TLS 1.3"),
            (rustls::Error::AlertReceived(AlertDescription::DecodeError), "PROXY protocol header"),
        ] {
            let refusal = explain(&error);
            assert!(
                refusal.kind == RefusalKind::HubUnreachable && refusal.detail.as_str().contains(expected),
                "{refusal}"
            );
        }
    }
}
