//! The options of TCP sockets: keepalive, congestion control, linger, dual stack.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::proto::limits::CLOSE_TIMEOUT;

/// Idle time before the kernel probes a peer; below the shortest NAT timeouts.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(25);
/// The interval between probes …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
/// … of which this many remain unanswered before the connection is dead: 45 s in all.
const KEEPALIVE_PROBES: u32 = 4;

/// Disables Nagle's algorithm and enables keepalive probes. Sets no user timeout (`TCP_USER_TIMEOUT`), with which the
/// kernel would abort a connection whose peer is alive but does not read.
pub fn tune(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    // A socket without these options still works.
    for result in [socket.set_tcp_nodelay(true), socket.set_tcp_keepalive(&keepalive)] {
        if let Err(error) = result {
            tracing::debug!(%error, "could not set socket options");
        }
    }
}

/// The congestion control of tunnel connections. BBR does not take loss for congestion: at 1 % loss it carries a
/// hundred times what CUBIC does, and it keeps queues on the path short. No distribution has it as its default.
const CONGESTION_CONTROL: &str = "bbr";

/// Sets the congestion control to `CONGESTION_CONTROL` if the kernel allows it, else keeps the default. Connections
/// inherit it from their listener.
pub fn set_congestion_control<'a>(socket: impl Into<SockRef<'a>>) {
    if let Err(error) = apply_congestion_control(&socket.into(), CONGESTION_CONTROL) {
        tracing::trace!(%error, "could not set the congestion control to {CONGESTION_CONTROL}");
    }
}

/// The bytes that TCP sends without an acknowledgement at first: ten segments of an Ethernet path (RFC 6928).
const FIRST_FLIGHT_BYTES: u64 = 10 * 1448;

/// Has the congestion control of a connection begin again, as on a new one, for the next stream on it. BBR leaves its
/// start-up for good after three round trips that were no faster than those before, of which a few small transfers are
/// enough; a large one after them would take many seconds to reach the rate of the path. The congestion window and the
/// round-trip time are kept. Does nothing after a stream that `carried` no more than one flight, which BBR learns nothing
/// from.
pub fn restart_congestion_control(stream: &TcpStream, carried: u64) {
    if carried <= FIRST_FLIGHT_BYTES || congestion_control(stream).as_deref() != Some(CONGESTION_CONTROL) {
        return;
    }
    let socket = SockRef::from(stream);
    // The kernel ignores an algorithm that is set already. Every process may use this other one.
    let restarted = apply_congestion_control(&socket, "reno");
    if let Err(error) = restarted.and_then(|()| apply_congestion_control(&socket, CONGESTION_CONTROL)) {
        tracing::debug!(%error, "could not restart the congestion control");
    }
}

/// The congestion control of a connection, or of those that a listener accepts; `None` if the system does not report
/// it.
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

/// Has the connection reset when it is closed in whatever way (a lost tunnel, a deadline, a panic, `kill -9`), so that
/// truncated data is never taken for complete. [`close_gracefully`] undoes it.
pub fn reset_on_drop(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "could not set a socket to reset on close");
    }
}

/// Closes a connection after all its data. Whatever the peer still sends is read and dropped for up to
/// [`CLOSE_TIMEOUT`]: a socket that is closed with unread bytes is reset, and data in flight to the peer is lost.
pub async fn close_gracefully(mut stream: TcpStream) {
    if let Err(error) = SockRef::from(&stream).set_linger(None) {
        tracing::debug!(%error, "could not set a socket to close gracefully");
    }
    if matches!(stream.try_read(&mut [0]), Ok(0)) {
        // The peer has ended its direction too, and everything before that was read.
        return;
    }
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream, &mut tokio::io::sink()).await
    };
    let _ = timeout(CLOSE_TIMEOUT, rest).await;
}

/// Listens on an address. `[::]` accepts IPv4 too, which the systems' defaults do not guarantee, and Windows never
/// does.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // For a restart right after an earlier process. Windows needs no such option; there it would let other processes
    // take the port.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    // The longest backlog that the system allows.
    socket.listen(i32::MAX.unsigned_abs())
}

/// Reports whether this machine has IPv6.
pub fn has_ipv6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

/// The canonical form of a peer's address: IPv4 as IPv4, also from a dual-stack listener.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_unavailable_congestion_control_leaves_the_default() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let before = congestion_control(&listener).unwrap();
        apply_congestion_control(&SockRef::from(&listener), "no-such-thing").unwrap_err();
        assert_eq!(congestion_control(&listener), Some(before));
    }

    #[tokio::test]
    async fn a_connection_inherits_its_listeners_congestion_control() {
        // Every process may use this one, and no system has it by default.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        apply_congestion_control(&SockRef::from(&listener), "reno").unwrap();
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        assert_eq!(congestion_control(&accepted).as_deref(), Some("reno"));
        assert_ne!(congestion_control(&dialled).as_deref(), Some("reno"));
    }

    #[tokio::test]
    async fn a_restart_keeps_the_congestion_control_whichever_it_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        set_congestion_control(&stream);
        for name in [congestion_control(&stream).unwrap(), "reno".into()] {
            apply_congestion_control(&SockRef::from(&stream), &name).unwrap();
            restart_congestion_control(&stream, u64::MAX);
            assert_eq!(congestion_control(&stream), Some(name));
        }
    }
}
