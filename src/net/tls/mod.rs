//! TLS 1.3 for both ends: what a client trusts, what a hub presents. Verification cannot be switched off.

pub(super) mod interception;
pub mod read_ahead;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::version::TLS13;
use rustls::{
    AlertDescription, CertificateError, CipherSuite, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    ServerConfig,
};
use rustls::{SignatureScheme, SupportedProtocolVersion};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::net::authority::{AUTHORITY_NAME, expiry_of, issuer_name, pin_of};
use crate::net::tls::read_ahead::ReadAhead;
use crate::proto::auth::{EXPORTER_LABEL, Exporter};
use crate::proto::join::Pin;
use crate::proto::refusal::{Refusal, RefusalKind};

/// HTTP/1.1 and nothing else: none of HTTP/2's floods.
const ALPN: &[u8] = b"http/1.1";
/// Offered beside it by a client that has a pin, so that the hub shows it the certificate that the pin is for, whatever
/// other certificate the hub has for the name. Never chosen.
pub(super) const PIN_ALPN: &[u8] = b"devstream-pin";
/// RFC 8737: an ACME server wants to see the proof that this hub answers for a name, and nothing else.
const ACME_TLS_ALPN: &[u8] = b"acme-tls/1";
const VERSIONS: &[&SupportedProtocolVersion] = &[&TLS13];

/// Whose certificate a client takes for the hub's.
#[derive(Debug, Clone)]
pub enum Trust {
    /// One signed by the private authority with this key.
    Pin(Pin),
    /// One signed by a public authority: the system's list, and Mozilla's for machines that have none.
    Public,
    /// One signed by an authority in a PEM file.
    File(Vec<CertificateDer<'static>>),
}

impl Trust {
    /// Reads a PEM file of authorities.
    pub fn from_file(path: &Path) -> anyhow::Result<Self> {
        let certificates: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
        anyhow::ensure!(!certificates.is_empty(), "there is no certificate in it");
        Ok(Self::File(certificates))
    }
}

/// What a client needs for TLS with a hub.
pub fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, rustls::Error> {
    config_with(trust, verifier(trust)?)
}

/// The same for whoever only wants to know what time it is there: the hub must be the one that is trusted, but its
/// certificate is judged as of its last moment. Nothing that is secret may be said on such a connection.
pub(super) fn config_ignoring_expiry(trust: &Trust) -> Result<Arc<ClientConfig>, rustls::Error> {
    config_with(trust, Arc::new(IgnoreExpiryVerifier(verifier(trust)?)))
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

fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, rustls::Error> {
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

/// What is signed by one of these authorities.
fn chain_verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    verifier.map_err(|error| rustls::Error::General(error.to_string()))
}

fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(VERSIONS)?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(certificates);
    config.alpn_protocols = vec![protocol.into()];
    Ok(Arc::new(config))
}

/// A client's connection, as a hub holds it.
pub type Socket = TlsStream<ReadAhead<TcpStream>>;

/// Completes TLS on accepted connections.
#[derive(Clone)]
pub struct Acceptor {
    https: Arc<ServerConfig>,
    acme: Arc<ServerConfig>,
}

impl Acceptor {
    /// With what chooses a certificate for a client, and with what answers an ACME server.
    pub fn new(
        certificates: Arc<dyn ResolvesServerCert>,
        challenges: Arc<dyn ResolvesServerCert>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self { https: server_config(certificates, ALPN)?, acme: server_config(challenges, ACME_TLS_ALPN)? })
    }

    /// The encrypted connection and what binds credentials to it; none if the peer is an ACME server, which has then
    /// seen all it gets. Whoever waits has a deadline.
    pub async fn accept(&self, tcp: TcpStream) -> io::Result<Option<(Socket, Exporter)>> {
        let Some(stream) = self.handshake(ReadAhead::new(tcp)).await? else { return Ok(None) };
        let exporter = exporter(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(Some((stream, exporter)))
    }

    async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(&self, transport: T) -> io::Result<Option<TlsStream<T>>> {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), transport).await?;
        if is_acme_challenge(&hello.client_hello()) {
            hello.into_stream(self.acme.clone()).await?.shutdown().await?;
            return Ok(None);
        }
        hello.into_stream(self.https.clone()).await.map(Some)
    }
}

/// RFC 8737 section 3: it offers that protocol and no other.
fn is_acme_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|offered| offered.eq([ACME_TLS_ALPN]))
}

/// Whether clients without a pin trust this chain for this name at this time, as far as this machine can tell.
pub(super) fn is_publicly_trusted(chain: &[CertificateDer<'_>], name: &ServerName<'_>) -> bool {
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    chain_verifier(public_roots())
        .is_ok_and(|chain| chain.verify_server_cert(leaf, intermediates, name, &[], UnixTime::now()).is_ok())
}

/// The keying material that binds a credential to this session.
pub fn exporter<D>(connection: &rustls::ConnectionCommon<D>) -> Result<Exporter, rustls::Error> {
    connection.export_keying_material([0; 32], EXPORTER_LABEL, None)
}

/// What both ends agreed on, in a person's words.
pub(super) fn negotiated(connection: &rustls::ClientConnection) -> Option<String> {
    let exchange = connection.negotiated_key_exchange_group()?.name();
    Some(format!("{:?} {exchange:?}", connection.protocol_version()?))
}

/// The cause of a failed handshake, as far as it calls for advice of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFailure {
    /// Another hub's authority signed the certificate.
    AnotherHub,
    /// The certificate is not valid for the hub's name.
    WrongName,
    /// Anything else.
    Other,
}

impl TlsFailure {
    /// Classifies the handshake's error.
    pub(super) fn of(error: &rustls::Error) -> Self {
        let rustls::Error::InvalidCertificate(error) = error else { return Self::Other };
        if matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
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

/// What a failed handshake means to the person.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls adds errors, and most need the same words")]
pub fn explain(error: &rustls::Error) -> Refusal {
    match error {
        rustls::Error::InvalidCertificate(
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. },
        ) => Refusal::new(RefusalKind::ClockOrInspection, error.to_string()),
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            Refusal::new(RefusalKind::CertificateNotTrusted, cause.to_string())
        }
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Refusal::new(RefusalKind::CertificateNotTrusted, error.to_string())
        }
        rustls::Error::InvalidMessage(_) => unreachable("what answers there does not speak TLS", error),
        rustls::Error::PeerIncompatible(_) | rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
            unreachable("what answers there does not speak TLS 1.3, as every hub does", error)
        }
        _ => unreachable("TLS", error),
    }
}

fn unreachable(what: &str, error: &rustls::Error) -> Refusal {
    Refusal::new(RefusalKind::HubUnreachable, format!("{what}: {error}"))
}

/// aws-lc-rs with X25519MLKEM768 first (the crate's `prefer-post-quantum`), and AES-128-GCM before AES-256-GCM, as browsers
/// have it: it takes ten rounds where the other takes fourteen, and a hub does four for each byte.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    Arc::new(provider)
}

fn public_roots() -> RootCertStore {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        tracing::debug!(%error, "could not read the system's certificate authorities");
    }
    roots.add_parsable_certificates(native.certs);
    roots
}

/// Trusts whatever the pinned authority signed for the hub's name, at this time: a chain check with one root.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    algorithms: WebPkiSupportedAlgorithms,
}

/// The authority that signed the certificate is another one: another hub's, a public one, or that of a proxy that
/// inspects TLS.
#[derive(Debug, thiserror::Error)]
#[error("signed by another authority than the one in the join link, {pin}: by {by}")]
struct IssuerMismatch {
    by: String,
    /// The issuer is another hub's authority.
    is_hub: bool,
    pin: Pin,
}

impl IssuerMismatch {
    fn of(certificate: &CertificateDer<'_>, pin: Pin) -> Self {
        let issuer = issuer_name(certificate);
        let is_hub = issuer.as_deref() == Some(AUTHORITY_NAME);
        let by = match issuer {
            Some(_) if is_hub => "another devstream hub's authority".into(),
            Some(name) => format!("'{name}'"),
            None => "one without a name".into(),
        };
        Self { by, is_hub, pin }
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
        chain_verifier(roots)?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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

/// Judges a certificate as another verifier does, but at its last moment.
#[derive(Debug)]
struct IgnoreExpiryVerifier(Arc<dyn ServerCertVerifier>);

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

#[cfg(test)]
mod tests {
    use rustls::{InvalidMessage, NamedGroup, PeerIncompatible, ProtocolVersion};
    use tokio::io::duplex;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::net::authority::Authority;
    use crate::net::certificate::{HubCertificate, Source};

    fn acceptor(authority: &Authority) -> Acceptor {
        let own = Authority::load(authority.certificate_pem(), &authority.key_pem()).unwrap();
        let names = vec!["hub.example.com".into()];
        HubCertificate::open(own, names, Source::Own, Path::new("")).unwrap().acceptor().unwrap()
    }

    /// Both ends of a handshake between a hub of this authority and a client with this trust; the client's verdict.
    async fn handshake(authority: &Authority, trust: &Trust, name: &'static str) -> Result<(), Refusal> {
        handshake_with(authority, client_config(trust).unwrap(), name).await.map_err(|error| explain(&error))
    }

    async fn handshake_with(
        authority: &Authority,
        config: Arc<ClientConfig>,
        name: &'static str,
    ) -> Result<(), rustls::Error> {
        let acceptor = acceptor(authority);
        let (near, far) = duplex(64 * 1024);
        let connector = TlsConnector::from(config);
        let accept = acceptor.handshake(far);
        let (client, server) = tokio::join!(connector.connect(ServerName::try_from(name).unwrap(), near), accept);
        let client =
            client.map_err(|error| error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap().clone())?;
        let (client, server) = (client.get_ref().1, server.unwrap().unwrap());
        assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
        assert_eq!(client.alpn_protocol(), Some(ALPN));
        assert_eq!(exporter(client).unwrap(), exporter(server.get_ref().1).unwrap());
        Ok(())
    }

    #[tokio::test]
    async fn own_ends_agree_on_tls_13_with_a_post_quantum_exchange() {
        let authority = Authority::create().unwrap();
        let trust = Trust::Pin(authority.pin().unwrap());
        handshake(&authority, &trust, "hub.example.com").await.unwrap();
    }

    #[test]
    fn who_speaks_no_tls_or_an_old_one_is_not_taken_for_a_hub_that_is_down() {
        for (error, expected) in [
            (rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType), "does not speak TLS: "),
            (rustls::Error::AlertReceived(AlertDescription::ProtocolVersion), "does not speak TLS 1.3"),
            (rustls::Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered), "does not speak TLS 1.3"),
        ] {
            let refusal = explain(&error);
            assert!(
                refusal.kind == RefusalKind::HubUnreachable && refusal.detail.as_str().contains(expected),
                "{refusal}"
            );
        }
    }

    #[tokio::test]
    async fn acmes_protocol_is_never_agreed_on_when_no_proof_is_due() {
        let authority = Authority::create().unwrap();
        let acceptor = acceptor(&authority);
        for (offered, agreed) in [(&[ACME_TLS_ALPN, ALPN][..], Some(ALPN)), (&[ACME_TLS_ALPN], None)] {
            let mut config = (*client_config(&Trust::Pin(authority.pin().unwrap())).unwrap()).clone();
            config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
            let connector = TlsConnector::from(Arc::new(config));
            let name = ServerName::try_from("hub.example.com").unwrap();
            let (near, far) = duplex(64 * 1024);
            let (client, server) = tokio::join!(connector.connect(name, near), acceptor.handshake(far));
            let client = client.ok();
            assert_eq!(client.as_ref().and_then(|client| client.get_ref().1.alpn_protocol()), agreed);
            assert_eq!(server.is_ok_and(|stream| stream.is_some()), agreed.is_some());
        }
    }

    #[tokio::test]
    async fn only_the_pinned_authority_and_the_right_name_are_trusted() {
        let (own, other) = (Authority::create().unwrap(), Authority::create().unwrap());
        for (trust, name, failure) in [
            (Trust::Pin(other.pin().unwrap()), "hub.example.com", TlsFailure::AnotherHub),
            (Trust::Pin(own.pin().unwrap()), "other.example.com", TlsFailure::WrongName),
            (Trust::Public, "hub.example.com", TlsFailure::Other),
        ] {
            let error = handshake_with(&own, client_config(&trust).unwrap(), name).await.unwrap_err();
            let refusal = explain(&error);
            assert_eq!(refusal.kind, RefusalKind::CertificateNotTrusted, "{trust:?} {name}: {refusal}");
            assert_eq!(TlsFailure::of(&error), failure, "{trust:?} {name}: {refusal}");
            let is_named = refusal.detail.as_str().contains("another devstream hub's authority");
            assert_eq!(is_named, failure == TlsFailure::AnotherHub, "{trust:?} {name}: {refusal}");
        }
    }

    #[tokio::test]
    async fn who_only_asks_for_the_time_trusts_nobody_else() {
        let (own, other) = (Authority::create().unwrap(), Authority::create().unwrap());
        let [right, wrong] = [&own, &other].map(|authority| Trust::Pin(authority.pin().unwrap()));
        for (trust, name, trusted) in [
            (&right, "hub.example.com", true),
            (&right, "other.example.com", false),
            (&wrong, "hub.example.com", false),
            (&Trust::Public, "hub.example.com", false),
        ] {
            let met = handshake_with(&own, config_ignoring_expiry(trust).unwrap(), name).await;
            assert_eq!(met.is_ok(), trusted, "{trust:?} {name}");
        }
    }

    #[tokio::test]
    async fn an_authority_in_a_file_is_trusted() {
        let authority = Authority::create().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), authority.certificate_pem()).unwrap();
        let trust = Trust::from_file(file.path()).unwrap();
        handshake(&authority, &trust, "hub.example.com").await.unwrap();
        std::fs::write(file.path(), "nothing").unwrap();
        assert!(Trust::from_file(file.path()).is_err());
    }
}
