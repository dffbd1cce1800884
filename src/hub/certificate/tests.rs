//! Handshakes between the hub's certificates and clients, over pipes.

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, NamedGroup, ProtocolVersion};
use tokio::io::{AsyncWriteExt as _, duplex};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::*;
use crate::net::tls::{
    ACME_TLS_ALPN, ALPN, TlsFailure, Trust, client_config, config_ignoring_expiry, explain, exporter,
};
use crate::proto::refusal::{Refusal, RefusalKind};

fn acceptor(authority: &Authority) -> Acceptor {
    let own = Authority::load(authority.certificate_pem(), &authority.key_pem()).unwrap();
    let names = vec!["hub.example.com".into()];
    HubCertificate::open(own, names, Source::Own, Path::new("")).unwrap().acceptor().unwrap()
}

/// Runs a handshake between a hub of this authority and a client with this trust; returns the client's result.
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
    let accept = acceptor.handshake(far, || true);
    let (client, server) = tokio::join!(connector.connect(ServerName::try_from(name).unwrap(), near), accept);
    let client = client.map_err(|error| error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap().clone())?;
    let (client, server) = (client.get_ref().1, server.unwrap().unwrap());
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(client.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(client.alpn_protocol(), Some(ALPN));
    assert_eq!(exporter(client).unwrap(), exporter(server.get_ref().1).unwrap());
    Ok(())
}

#[tokio::test]
async fn hub_and_client_negotiate_tls_13_with_a_post_quantum_key_exchange() {
    let authority = Authority::create().unwrap();
    let trust = Trust::Pin(authority.pin().unwrap());
    handshake(&authority, &trust, "hub.example.com").await.unwrap();
}

#[tokio::test]
async fn the_acme_protocol_is_never_negotiated_without_a_pending_challenge() {
    let authority = Authority::create().unwrap();
    let acceptor = acceptor(&authority);
    for (offered, agreed) in [(&[ACME_TLS_ALPN, ALPN][..], Some(ALPN)), (&[ACME_TLS_ALPN], None)] {
        let mut config = (*client_config(&Trust::Pin(authority.pin().unwrap())).unwrap()).clone();
        config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
        let connector = TlsConnector::from(Arc::new(config));
        let name = ServerName::try_from("hub.example.com").unwrap();
        let (near, far) = duplex(64 * 1024);
        let (client, server) = tokio::join!(connector.connect(name, near), acceptor.handshake(far, || true));
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
        let is_ours = failure == TlsFailure::WrongName;
        let kind = if is_ours { RefusalKind::WrongHubName } else { RefusalKind::CertificateNotTrusted };
        assert_eq!(refusal.kind, kind, "{trust:?} {name}: {refusal}");
        let own_name = "it calls itself hub.example.com, not other.example.com";
        assert_eq!(refusal.detail.as_str() == own_name, is_ours, "{refusal}");
        assert_eq!(TlsFailure::of(&error), failure, "{trust:?} {name}: {refusal}");
        let is_named = refusal.detail.as_str().contains("another devstream hub's authority");
        assert_eq!(is_named, failure == TlsFailure::AnotherHub, "{trust:?} {name}: {refusal}");
    }
}

#[tokio::test]
async fn a_client_that_ignores_expiry_trusts_no_other_certificate() {
    let (own, other) = (Authority::create().unwrap(), Authority::create().unwrap());
    let [right, wrong] = [&own, &other].map(|authority| Trust::Pin(authority.pin().unwrap()));
    for (trust, name, trusted) in [
        (&right, "hub.example.com", true),
        (&right, "other.example.com", false),
        (&wrong, "hub.example.com", false),
        (&Trust::Public, "hub.example.com", false),
    ] {
        let result = handshake_with(&own, config_ignoring_expiry(trust).unwrap(), name).await;
        assert_eq!(result.is_ok(), trusted, "{trust:?} {name}");
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

#[tokio::test(start_paused = true)]
async fn a_client_hello_that_does_not_end_takes_no_more_than_a_few_kilobytes() {
    let acceptor = acceptor(&Authority::create().unwrap());
    let (mut near, far) = duplex(64 * 1024);
    // A record, and in it the start of a ClientHello of 60,000 bytes.
    near.write_all(&[22, 3, 1, 0x40, 0, 1, 0, 0xea, 0x60, 3, 3]).await.unwrap();
    near.write_all(&[0; 9000]).await.unwrap();
    let refused = timeout(Duration::from_secs(1), acceptor.handshake(far, || true)).await;
    assert_eq!(refused.expect("it waits for more").unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}
