//! What is asked of every TCP socket.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
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
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    // A socket that cannot be tuned still carries bytes.
    for result in [socket.set_tcp_nodelay(true), socket.set_tcp_keepalive(&keepalive)] {
        if let Err(error) = result {
            tracing::debug!(%error, "could not tune a socket");
        }
    }
}

/// Loss is no congestion to it: at 1 % it carries a hundred times what CUBIC does, and it leaves the queues on the way
/// empty. No distribution has it as its default.
const CONGESTION_CONTROL: &str = "bbr";

/// Asks for the congestion control that suits a tunnel, where the kernel allows it; what else it has will do. What a
/// listener is given, all connections have that it accepts.
pub fn set_congestion_control<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = apply_congestion_control(&socket.into(), CONGESTION_CONTROL) {
        tracing::trace!(%error, "{CONGESTION_CONTROL} is not to be had");
    }
}

/// The congestion control of a connection, or of those that a listener accepts; none where the system does not tell.
pub fn congestion_control<'a>(socket: impl Into<SockRef<'a>>) -> Option<String> {
    let name = read_congestion_control(&socket.into()).ok()?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(name.into()).ok()
}

#[cfg(target_os = "linux")]
fn apply_congestion_control(socket: &SockRef<'_>, name: &str) -> io::Result<()> {
    socket.set_tcp_congestion(name.as_bytes())
}

#[cfg(target_os = "linux")]
fn read_congestion_control(socket: &SockRef<'_>) -> io::Result<Vec<u8>> {
    socket.tcp_congestion()
}

#[cfg(not(target_os = "linux"))]
fn apply_congestion_control(_: &SockRef<'_>, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(target_os = "linux"))]
fn read_congestion_control(_: &SockRef<'_>) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// From here on the connection ends as a reset, however it ends (a lost tunnel, a deadline, a panic, `kill -9`), so that
/// what arrived never looks like the whole; unless [`close_gracefully`] says otherwise.
pub fn reset_on_drop(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "could not set a socket to be reset");
    }
}

/// Ends a connection on which all is said. What its peer still sends is read and dropped for a moment: a socket closed
/// with bytes unread is reset, and takes with it what the peer has not yet read.
pub async fn close_gracefully(mut stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(None) {
        tracing::debug!(%error, "could not set a socket to be closed");
    }
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = timeout(CLOSE_TIMEOUT, rest).await;
}

/// Listens there. All addresses of IPv6 are those of IPv4 too, which is no system's promise, and never so on Windows.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // Right after an earlier process. On Windows, which needs no such thing, it would let others take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // As many wait to be accepted as the system lets.
    socket.listen(i32::MAX.unsigned_abs())
}

/// Whether this machine has IPv6 at all.
pub fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// A peer's address as people know it: IPv4 as IPv4, also on a dual-stack listener.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kernel_that_has_not_what_is_asked_for_keeps_its_own() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let before = congestion_control(&listener).unwrap();
        apply_congestion_control(&SockRef::from(&listener), "no-such-thing").unwrap_err();
        assert_eq!(congestion_control(&listener), Some(before));
    }

    #[tokio::test]
    async fn a_connection_has_what_its_listener_was_given() {
        // Everybody may have this one, and nobody has it by default.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        apply_congestion_control(&SockRef::from(&listener), "reno").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(congestion_control(&accepted).as_deref(), Some("reno"));
        assert_ne!(congestion_control(&dialled).as_deref(), Some("reno"));
    }
}
