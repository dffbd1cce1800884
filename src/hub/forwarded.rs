//! Connections that a load balancer passes on: they begin with the client's address, which is admitted in its place.

mod header;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::time::timeout;

use self::header::HeaderError;
use super::admission::{ConnectionPermit, ConnectionSlot};
use super::in_front::Hindrance;
use super::listen::ListenerKind;
use super::router;
use super::shared::Shared;
use crate::net::tls::Acceptor;
use crate::net::transport::socket::canonical;

/// Serves a connection that a load balancer has made, from its header to its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    mut tcp: TcpStream,
    balancer: SocketAddr,
    listener_kind: ListenerKind,
    slot: ConnectionSlot,
) {
    let Ok(place) = shared.admission.awaited_headers.try_acquire() else {
        return shared.admission.reject("proxy-header", balancer);
    };
    let header = Box::pin(timeout(shared.config.limits.tls_timeout, header::read(&mut tcp))).await;
    drop(place);
    let client = match header {
        Ok(Ok(client)) => client.map_or(balancer, canonical),
        Ok(Err(HeaderError::Closed | HeaderError::Io(_))) => return,
        Ok(Err(HeaderError::Missing)) | Err(_) => return shared.in_front.warn(Hindrance::NoProxyHeader, balancer),
    };
    let Some(unauthenticated) = shared.admission.admit(client) else { return };
    let permit = ConnectionPermit { unauthenticated, slot };
    router::run(shared, acceptor, tcp, client, listener_kind, permit).await;
}
