//! What is asked of every TCP socket.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proto::limits::CLOSE_TIMEOUT;

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

/// From here on the connection ends as a reset, however it ends (a lost tunnel, a deadline, a panic, `kill -9`), so that
/// what arrived never looks like the whole; unless [`end_cleanly`] says otherwise.
pub fn reset_on_drop(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "could not set a socket to be reset");
    }
}

/// Ends a connection on which all is said. What its peer still sends is read and dropped for a moment: a socket closed
/// with bytes unread is reset, and takes with it what the peer has not yet read.
pub async fn end_cleanly(mut stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(None) {
        tracing::debug!(%error, "could not set a socket to be closed");
    }
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = timeout(CLOSE_TIMEOUT, rest).await;
}

/// Whether this machine has IPv6 at all.
pub fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// A peer's address as people know it: IPv4 as IPv4, also on a dual-stack listener.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
