//! TLS at the hub: the handshake on accepted connections.

use std::io;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::{PeerIncompatible, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use super::read_ahead::ReadAhead;
use super::{ACME_TLS_ALPN, ALPN, VERSIONS, exporter, provider};
use crate::proto::channel_binding::Exporter;

/// Limit of what a peer sends until its ClientHello is complete, in bytes. Ours is 1.6 KiB, browsers' are 2; rustls would hold 64
/// for each connection, before anything is known of the peer.
const CLIENT_HELLO_BYTES: usize = 8 * 1024;

/// The size of a read of it: an honest one comes whole.
const HELLO_READ_BYTES: usize = 2 * 1024;

/// A client's connection at the hub.
pub type Socket = TlsStream<ReadAhead<TcpStream>>;

/// Completes TLS on accepted connections.
#[derive(Clone)]
pub struct Acceptor {
    https: Arc<ServerConfig>,
    acme: Arc<ServerConfig>,
}

impl Acceptor {
    /// Creates an acceptor from the resolver of the hub's certificates and that of ACME challenge certificates.
    pub fn new(
        certificates: Arc<dyn ResolvesServerCert>,
        challenges: Arc<dyn ResolvesServerCert>,
    ) -> Result<Self, rustls::Error> {
        Ok(Self { https: server_config(certificates, ALPN)?, acme: server_config(challenges, ACME_TLS_ALPN)? })
    }

    /// Completes the handshake, and returns the encrypted connection and the exporter that binds credentials to it;
    /// `None` if the peer was an ACME server, or if it was not admitted: its connection is then closed. `admit_hello` is
    /// called when the ClientHello is complete, before what costs much. The caller sets a deadline.
    pub async fn accept(
        &self,
        tcp: TcpStream,
        admit_hello: impl FnOnce() -> bool,
    ) -> io::Result<Option<(Socket, Exporter)>> {
        let Some(stream) = self.handshake(ReadAhead::new(tcp), admit_hello).await? else { return Ok(None) };
        let exporter = exporter(stream.get_ref().1).map_err(io::Error::other)?;
        Ok(Some((stream, exporter)))
    }

    pub(crate) async fn handshake<T: AsyncRead + AsyncWrite + Unpin>(
        &self,
        transport: T,
        admit_hello: impl FnOnce() -> bool,
    ) -> io::Result<Option<TlsStream<T>>> {
        let hello = read_hello(transport).await?;
        if !admit_hello() {
            return Ok(None);
        }
        if is_acme_challenge(&hello.client_hello()) {
            hello.into_stream(self.acme.clone()).await?.shutdown().await?;
            return Ok(None);
        }
        hello.into_stream(self.https.clone()).await.map(Some)
    }
}

/// Reads the ClientHello, and reports to the peer what is wrong with it.
async fn read_hello<T: AsyncRead + AsyncWrite + Unpin>(mut transport: T) -> io::Result<StartHandshake<T>> {
    let mut acceptor = rustls::server::Acceptor::default();
    let (mut arrived, mut taken) = ([0; HELLO_READ_BYTES], 0);
    loop {
        let room = HELLO_READ_BYTES.min(CLIENT_HELLO_BYTES - taken);
        let length = transport.read(&mut arrived[..room]).await?;
        if length == 0 {
            let too_long = taken == CLIENT_HELLO_BYTES;
            let kind = if too_long { io::ErrorKind::InvalidData } else { io::ErrorKind::UnexpectedEof };
            return Err(io::Error::new(kind, "the connection has no ClientHello within the limit"));
        }
        taken += length;
        let mut bytes = &arrived[..length];
        while !bytes.is_empty() {
            acceptor.read_tls(&mut bytes)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => return Ok(StartHandshake::from_parts(accepted, transport)),
            Ok(None) => {}
            Err((error, mut alert)) => {
                let mut said = Vec::new();
                alert.write(&mut said)?;
                let _ = transport.write_all(&said).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// Reports whether a handshake failed because the client offers no TLS 1.3.
pub fn offers_no_tls13(error: &io::Error) -> bool {
    use PeerIncompatible::{
        ServerTlsVersionIsDisabledByOurConfig, SupportedVersionsExtensionRequired, Tls12NotOffered,
        Tls12NotOfferedOrEnabled,
    };
    let error = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(
        error,
        Some(rustls::Error::PeerIncompatible(
            Tls12NotOffered
                | Tls12NotOfferedOrEnabled
                | ServerTlsVersionIsDisabledByOurConfig
                | SupportedVersionsExtensionRequired
        ))
    )
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

/// Reports whether the peer is an ACME server: it offers that protocol and no other (RFC 8737 section 3).
fn is_acme_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|offered| offered.eq([ACME_TLS_ALPN]))
}
