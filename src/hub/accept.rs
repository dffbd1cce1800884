//! Accepting connections, also when there is nothing left to accept them with.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::{Shared, admin};
use crate::net::os::local_socket::LocalListener;
use crate::net::tasks::Tasks;
use crate::net::transport::socket;

/// When no socket can be had, accepting pauses: descriptors come back as connections end. From the first of these to
/// the second, doubling, so that a hub that is short of them neither spins nor sleeps on.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// Gives each connection a task of its own: nothing that a peer does holds up the next one.
pub(super) async fn connections<F>(
    shared: Arc<Shared>,
    listener: TcpListener,
    tasks: Tasks,
    handle: impl Fn(TcpStream, SocketAddr) -> Option<F> + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let mut failures = 0;
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                failures = 0;
                if let Some(task) = handle(tcp, socket::canonical(address)) {
                    tasks.spawn(task);
                }
            }
            Err(error) => accept_backoff(&shared, &error, &mut failures).await,
        }
    }
}

/// The same for the hub's own user.
pub(super) async fn admin(shared: Arc<Shared>, admin: LocalListener, tasks: Tasks) {
    let mut failures = 0;
    loop {
        match admin.accept().await {
            Ok(stream) => {
                failures = 0;
                let shared = shared.clone();
                tasks.spawn(async move { admin::serve(&shared, stream).await });
            }
            Err(error) => accept_backoff(&shared, &error, &mut failures).await,
        }
    }
}

/// Running out of descriptors must neither end nor spin an accept loop.
pub(super) async fn accept_backoff(shared: &Shared, error: &io::Error, failures: &mut u32) {
    shared.metrics.accept_failed();
    if shared.overload_log.should_log() {
        tracing::error!(target: "hub", %error, "could not accept a connection; raise the limit of open files");
    }
    let (base, cap) = BACKOFF;
    sleep((base * 2_u32.saturating_pow(*failures)).min(cap)).await;
    *failures = failures.saturating_add(1).min(16);
}
