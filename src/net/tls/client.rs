//! The TLS configuration of clients.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::danger::ServerCertVerifier;

use super::trust::Trust;
use super::verification::{self, IgnoreExpiryVerifier};
use super::{ALPN, PIN_ALPN, VERSIONS, provider};

/// Creates the configuration of a client that accepts only the certificates of these authorities.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, rustls::Error> {
    config_with(trust, verification::verifier(trust)?)
}

/// Creates the configuration of a client that only asks for the hub's time: the certificate must be trusted, but is
/// verified as of its last valid second. No secret may be sent on such a connection.
pub(crate) fn config_ignoring_expiry(trust: &Trust) -> Result<Arc<ClientConfig>, rustls::Error> {
    config_with(trust, Arc::new(IgnoreExpiryVerifier(verification::verifier(trust)?)))
}

fn config_with(trust: &Trust, verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![ALPN.into()];
    if let Trust::Pin(_) = trust {
        config.alpn_protocols.push(PIN_ALPN.into());
    }
    Ok(Arc::new(config))
}
