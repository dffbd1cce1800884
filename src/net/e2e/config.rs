//! The TLS configuration of both ends: TLS 1.3 alone, both ends present a leaf, and the ALPN protocol binds the stream.
//!
//! What a verifier has accepted holds for one handshake; a session that is resumed skips it. [`Expected::authorise`] is
//! therefore asked after every handshake, and applies the same rule to the same certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use rustls::{
    ClientConfig, ClientConnection, CommonState, Connection, DigitallySignedStruct, DistinguishedName, Error,
    ServerConfig, ServerConnection, SignatureScheme,
};

use super::leaf::{self, Leaf};
use crate::net::tls::provider;
use crate::proto::e2e::StreamBinding;
use crate::proto::id::{Principal, Role};
use crate::proto::key::PublicKey;

/// A name that TLS wants and nobody looks at: leaves name their owners otherwise, and the stream is bound by ALPN. It does
/// not go out.
const SERVER_NAME: &str = "device.invalid";

/// The peer that a stream is for.
#[derive(Debug, Clone)]
pub struct Expected {
    binding: StreamBinding,
    peer: Principal,
    /// The keys that may vouch for the peer; `None` where it is met for the first time.
    anchors: Option<Vec<PublicKey>>,
}

impl Expected {
    /// The device of a stream, for its service.
    pub fn device(binding: StreamBinding, anchors: Option<Vec<PublicKey>>) -> Self {
        let peer = Principal { role: Role::Device, id: binding.device.clone().into() };
        Self { binding, peer, anchors }
    }

    /// The service of a stream, for its device.
    pub fn service(binding: StreamBinding, anchors: Option<Vec<PublicKey>>) -> Self {
        let peer = Principal { role: Role::Service, id: binding.service.clone().into() };
        Self { binding, peer, anchors }
    }

    /// Decides after a handshake whether the peer is this one and the stream the one meant; returns the peer's key.
    pub fn authorise(&self, session: &CommonState) -> Result<PublicKey, Error> {
        if session.alpn_protocol() != Some(&self.binding.alpn()) {
            return Err(Error::NoApplicationProtocol);
        }
        let [leaf] = session.peer_certificates().unwrap_or_default() else {
            return Err(Error::NoCertificatesPresented);
        };
        self.verify(leaf, UnixTime::now())
    }

    fn verify(&self, leaf: &CertificateDer<'_>, now: UnixTime) -> Result<PublicKey, Error> {
        match &self.anchors {
            Some(anchors) => leaf::verify(leaf, &self.peer, anchors, now),
            None => leaf::verify(leaf, &self.peer, &[leaf::presented_key(leaf, &self.peer)?], now),
        }
    }
}

/// Creates the service's end of a session.
pub fn service_end(own: &Leaf, expected: &Expected) -> Result<Connection, Error> {
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier::new(expected)));
    let mut config = builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified())));
    config.alpn_protocols = vec![expected.binding.alpn()];
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from(SERVER_NAME).map_err(|error| Error::General(error.to_string()))?;
    Ok(ClientConnection::new(Arc::new(config), name)?.into())
}

/// Creates the device's end of a session.
pub fn device_end(own: &Leaf, expected: &Expected) -> Result<Connection, Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = builder.with_client_cert_verifier(Arc::new(Verifier::new(expected)));
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(own.certified())));
    config.alpn_protocols = vec![expected.binding.alpn()];
    config.send_tls13_tickets = 0;
    Ok(ServerConnection::new(Arc::new(config))?.into())
}

/// Verifies the peer's leaf during the handshake.
#[derive(Debug)]
struct Verifier {
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(expected: &Expected) -> Self {
        Self { expected: expected.clone(), algorithms: provider().signature_verification_algorithms }
    }

    fn verify_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, leaf, signature, &self.algorithms)
    }
}

fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("TLS 1.2 is not offered".into()))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.expected.verify(leaf, now).map(|_| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.expected.verify(leaf, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, leaf, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
