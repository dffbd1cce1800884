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
    traffic: Arc<Traffic>,
    _runtime: Runtime,
}

/// What it does with the bytes.
#[derive(Default)]
struct Traffic {
    read: Mutex<Vec<Vec<u8>>>,
    /// Header fields that are removed from requests.
    removed: &'static [&'static str],
    /// Header fields that are added to the responses to upgrades.
    added: Mutex<String>,
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
        let traffic = Arc::new(Traffic { removed, ..Traffic::default() });
        let inspected = traffic.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                handle.spawn(inspect(inwards.clone(), client, outwards.clone(), hub, inspected.clone()));
            }
        });
        Self { authority: authority.file(machine), port, traffic, _runtime: runtime }
    }

    /// Address for clients, with the hub's own name.
    pub(crate) fn address(&self) -> String {
        format!("{NAME}:{}", self.port)
    }

    /// Returns the bytes read from each client so far.
    pub(crate) fn read(&self) -> Vec<Vec<u8>> {
        self.traffic.read.lock().clone()
    }

    /// Adds a header field to every response to an upgrade from now on.
    pub(crate) fn add_to_upgrades(&self, name: &str, value: &str) {
        self.traffic.added.lock().push_str(&format!("{name}: {value}\r\n"));
    }
}

/// Inspects one connection; both ends notice its errors.
async fn inspect(inwards: TlsAcceptor, client: TcpStream, outwards: TlsConnector, hub: u16, traffic: Arc<Traffic>) {
    let Ok(client) = inwards.accept(client).await else { return };
    let server = TcpStream::connect(("127.0.0.1", hub)).await.unwrap();
    let Ok(server) = outwards.connect(ServerName::try_from(NAME).unwrap(), server).await else { return };
    let index = {
        let mut reads = traffic.read.lock();
        reads.push(Vec::new());
        reads.len() - 1
    };
    let ((mut client_reads, mut client_writes), (mut server_reads, mut server_writes)) = (split(client), split(server));
    let upwards = async {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = client_reads.read(&mut buffer).await {
            traffic.read.lock()[index].extend_from_slice(&buffer[..count]);
            let passed = without(traffic.removed, &buffer[..count]);
            if server_writes.write_all(&passed).await.is_err() || server_writes.flush().await.is_err() {
                break;
            }
        }
        let _ = server_writes.shutdown().await;
    };
    let downwards = async {
        let mut head = vec![0; 16 * 1024];
        let count = server_reads.read(&mut head).await.unwrap_or(0);
        let head = with(&traffic.added.lock(), &head[..count]);
        if client_writes.write_all(&head).await.is_ok() && client_writes.flush().await.is_ok() {
            let _ = copy(&mut server_reads, &mut client_writes).await;
        }
        let _ = client_writes.shutdown().await;
    };
    tokio::join!(upwards, downwards);
}

/// Adds header fields to what may be the response to an upgrade.
fn with(added: &str, bytes: &[u8]) -> Vec<u8> {
    let end = bytes.windows(2).position(|end| end == b"\r\n").filter(|_| bytes.starts_with(b"HTTP/1.1 101 "));
    let Some(end) = end else { return bytes.to_owned() };
    let (status, rest) = bytes.split_at(end + 2);
    [status, added.as_bytes(), rest].concat()
}

/// Removes header fields, as they are written with their line ending, from what may be the head of a request.
fn without(removed: &[&str], bytes: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(head) => removed.iter().fold(head.to_owned(), |head, field| head.replace(field, "")).into_bytes(),
        Err(_) => bytes.to_owned(),
    }
}
