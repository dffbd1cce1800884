//! From here to a hub: name, TCP, TLS, under one deadline, with an error that says which step failed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ahead::Ahead;
use super::{socket, tls, vigil};
use crate::proto::join::HubAddress;
use crate::proto::limits::{DIAL_ADDRESS_TIMEOUT, DIAL_TIMEOUT};
use crate::proto::refusal::{Kind, Refusal};

/// Connects and completes TLS. The name is looked up anew each time: addresses change.
pub async fn dial(hub: &HubAddress, config: Arc<ClientConfig>) -> Result<TlsStream<Ahead<TcpStream>>, Refusal> {
    let steps = async {
        let tcp = connect(hub).await?;
        let name = ServerName::try_from(hub.host.clone())
            .map_err(|_| Refusal::new(Kind::HubUnreachable, format!("'{}' is not a host name", hub.host)))?;
        TlsConnector::from(config).connect(name, Ahead::new(tcp)).await.map_err(|error| explain(hub, &error))
    };
    // Boxed, and so given back: whoever dials may then wait for months.
    timeout(DIAL_TIMEOUT, Box::pin(steps)).await.unwrap_or_else(|_| Err(timed_out(hub, DIAL_TIMEOUT)))
}

/// Tries the name's addresses in the resolver's order; the error is the last one's.
async fn connect(hub: &HubAddress) -> Result<TcpStream, Refusal> {
    let unresolved = |why: String| Refusal::new(Kind::HubUnreachable, format!("cannot resolve {}: {why}", hub.host));
    let addresses = lookup_host((hub.host.as_str(), hub.port)).await.map_err(|error| unresolved(error.to_string()))?;
    let mut last = unresolved("it has no address".into());
    for address in addresses {
        match timeout(DIAL_ADDRESS_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                socket::tune(&stream);
                socket::suit_tunnel(&stream);
                tracing::debug!(%address, congestion_control = socket::congestion_control(&stream), "connected");
                vigil::reached(address);
                return Ok(stream);
            }
            Ok(Err(error)) => last = unreachable(hub, address, &error.to_string()),
            Err(_) => last = unreachable(hub, address, &format!("no answer in {} s", DIAL_ADDRESS_TIMEOUT.as_secs())),
        }
    }
    Err(last)
}

fn unreachable(hub: &HubAddress, address: SocketAddr, why: &str) -> Refusal {
    Refusal::new(Kind::HubUnreachable, format!("{hub} at {address}: {why}"))
}

fn timed_out(hub: &HubAddress, after: Duration) -> Refusal {
    Refusal::new(Kind::HubUnreachable, format!("{hub}: no answer in {} s", after.as_secs()))
}

/// rustls's errors travel inside IO errors.
fn explain(hub: &HubAddress, error: &std::io::Error) -> Refusal {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => tls::explain(inner),
        None => Refusal::new(Kind::HubUnreachable, format!("{hub}: TLS: {error}")),
    }
}
