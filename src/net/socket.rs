//! What is asked of every TCP socket.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Silence before the kernel probes a peer; below the shortest NAT timeouts.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(25);
/// Between probes …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// … of which this many go unanswered before the connection is dead: 45 s in all.
const KEEPALIVE_PROBES: u32 = 4;

/// No delay for small writes, and probes for dead peers. Never a user timeout: the kernel would abort a live peer
/// that merely does not read.
pub fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    #[cfg(unix)]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    // A socket that cannot be tuned still carries bytes.
    for result in [socket.set_tcp_nodelay(true), socket.set_tcp_keepalive(&keepalive)] {
        if let Err(error) = result {
            tracing::debug!(%error, "could not tune a socket");
        }
    }
}

/// Ends a connection as a reset, so that what arrived never looks like the whole.
pub fn reset(stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "could not reset a socket");
    }
    drop(stream);
}

/// Whether this machine has IPv6 at all.
pub fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// A peer's address as people know it: IPv4 as IPv4, also on a dual-stack listener.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
