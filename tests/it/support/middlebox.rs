//! A TLS-inspecting proxy, as some companies run: it terminates each session and opens another.

use std::sync::Arc;

use devstream::net::tls::{Trust, client_config};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificates::{Authority, NAME};
use super::machine::Machine;

/// A running one; gone when dropped.
pub(crate) struct Middlebox {
    /// The authority that the company's machines trust.
    pub(crate) authority: String,
    port: u16,
    _runtime: Runtime,
}

impl Middlebox {
    /// In front of a hub, which it trusts.
    pub(crate) fn start(machine: &Machine, hub: u16, trust: &Trust) -> Self {
        let authority = Authority::new();
        let pair = authority.certify(NAME);
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_no_client_auth().with_single_cert(vec![pair.der], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".into()];
        let inwards = TlsAcceptor::from(Arc::new(config));
        let outwards = TlsConnector::from(client_config(trust).unwrap());
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let handle = runtime.handle().clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                handle.spawn(inspect(inwards.clone(), client, outwards.clone(), hub));
            }
        });
        Self { authority: authority.file(machine), port, _runtime: runtime }
    }

    /// Address for clients, with the hub's own name.
    pub(crate) fn address(&self) -> String {
        format!("{NAME}:{}", self.port)
    }
}

/// Inspects one connection; both ends notice its errors.
async fn inspect(inwards: TlsAcceptor, client: TcpStream, outwards: TlsConnector, hub: u16) {
    let Ok(mut client) = inwards.accept(client).await else { return };
    let server = TcpStream::connect(("127.0.0.1", hub)).await.unwrap();
    let Ok(mut server) = outwards.connect(ServerName::try_from(NAME).unwrap(), server).await else { return };
    let _ = copy_bidirectional(&mut client, &mut server).await;
}
