//! A TLS-inspecting proxy, as some companies run: it terminates each session and opens another.

use std::sync::Arc;

use devstream::net::tls::{Trust, client_config};
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::certificates::{Authority, NAME};
use super::machine::Machine;
use super::ports;

/// A running one; gone when dropped.
pub(crate) struct Middlebox {
    /// The authority that the company's machines trust.
    pub(crate) authority: String,
    port: u16,
    read: Arc<Mutex<Vec<Vec<u8>>>>,
    _runtime: Runtime,
}

impl Middlebox {
    /// In front of a hub, which it trusts. Removes these header fields from requests.
    pub(crate) fn start_removing(machine: &Machine, hub: u16, trust: &Trust, removed: &'static [&str]) -> Self {
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
        let port = ports::reserve();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", port))).unwrap();
        let handle = runtime.handle().clone();
        let read = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let reads = read.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                handle.spawn(inspect(inwards.clone(), client, outwards.clone(), (hub, removed), reads.clone()));
            }
        });
        Self { authority: authority.file(machine), port, read, _runtime: runtime }
    }

    /// Address for clients, with the hub's own name.
    pub(crate) fn address(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    /// Returns the bytes read from each client so far.
    pub(crate) fn read(&self) -> Vec<Vec<u8>> {
        self.read.lock().clone()
    }
}

/// Inspects one connection; both ends notice its errors.
async fn inspect(
    inwards: TlsAcceptor,
    client: TcpStream,
    outwards: TlsConnector,
    (hub, removed): (u16, &[&str]),
    reads: Arc<Mutex<Vec<Vec<u8>>>>,
) {
    let Ok(client) = inwards.accept(client).await else { return };
    let server = TcpStream::connect(("127.0.0.1", hub)).await.unwrap();
    let Ok(server) = outwards.connect(ServerName::try_from(NAME).unwrap(), server).await else { return };
    let index = {
        let mut reads = reads.lock();
        reads.push(Vec::new());
        reads.len() - 1
    };
    let ((mut client_reads, mut client_writes), (mut server_reads, mut server_writes)) = (split(client), split(server));
    let upwards = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = client_reads.read(&mut buffer).await {
            reads.lock()[index].extend_from_slice(&buffer[..count]);
            let passed = without(removed, &buffer[..count]);
            if server_writes.write_all(&passed).await.is_err() || server_writes.flush().await.is_err() {
                break;
            }
        }
        let _ = server_writes.shutdown().await;
    };
    let downwards = async {
        let _ = copy(&mut server_reads, &mut client_writes).await;
        let _ = client_writes.shutdown().await;
    };
    tokio::join!(upwards, downwards);
}

/// Removes header fields, as they are written with their line ending, from what may be the head of a request.
fn without(removed: &[&str], bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(head) => removed.iter().fold(head.to_owned(), |head, field| head.replace(field, "")).into_bytes(),
        Err(_) => bytes.to_owned(),
    }
}
