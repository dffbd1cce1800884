//! Whether a program of this machine listens on a port, without a connection that the program would see.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens (Linux, `include/net/tcp_states.h`).
const LISTEN: &str = "0A";

/// Reports whether a socket is known to listen at one of these addresses. Where there is no `/proc` (not on Linux), none
/// is.
pub fn is_listening(addresses: &[SocketAddr]) -> bool {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut listeners = tables.iter().flat_map(|table| table.lines()).filter_map(listener);
    listeners.any(|listener| addresses.iter().any(|address| accepts(listener, *address)))
}

/// Returns the address of a listening socket from its line in `/proc/net/tcp` (proc_pid_net(5)).
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let (address, _, state) = (fields.next()?, fields.next()?, fields.next()?);
    let (host, port) = address.split_once(':')?;
    let ip: IpAddr = match host.len() {
        8 => Ipv4Addr::from(u32::from_str_radix(host, 16).ok()?.to_ne_bytes()).into(),
        32 => ipv6(host)?.to_canonical(),
        _ => return None,
    };
    (state == LISTEN).then_some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// Parses four words of 32 bits, each in the machine's byte order.
fn ipv6(text: &str) -> Option<Ipv6Addr> {
    let mut bytes = [0; 16];
    for (index, word) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *word = u32::from_str_radix(text.get(8 * index..8 * index + 8)?, 16).ok()?.to_ne_bytes();
    }
    Some(bytes.into())
}

/// Reports whether connections to the address reach the listener: `::` takes those of IPv4 too.
fn accepts(listener: SocketAddr, address: SocketAddr) -> bool {
    let ip = listener.ip();
    let is_any = ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4());
    listener.port() == address.port() && (is_any || ip == address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_found_by_address_or_wildcard() {
        let line = |address: &str, state: &str| {
            listener(&format!("   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000"))
                .map(|a| a.to_string())
        };
        #[cfg(target_endian = "little")]
        {
            assert_eq!(line("0100007F:0016", "0A").as_deref(), Some("127.0.0.1:22"));
            assert_eq!(line("00000000000000000000000001000000:1F90", "0A").as_deref(), Some("[::1]:8080"));
            assert_eq!(line("B80D0120000000000000000001000000:1F90", "0A").as_deref(), Some("[2001:db8::1]:8080"));
        }
        assert_eq!(line("00000000:0016", "01"), None, "it is connected");
        let [any4, any6, loopback, other] =
            ["0.0.0.0:22", "[::]:22", "127.0.0.1:22", "[::1]:22"].map(|text| text.parse().unwrap());
        assert!(accepts(any4, loopback) && accepts(any6, loopback) && accepts(loopback, loopback));
        assert!(!accepts(loopback, other) && !accepts(any4, other));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_listener_of_this_process_is_found_while_it_listens() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        assert!(is_listening(&[address]));
        drop(socket);
        assert!(!is_listening(&[address]));
    }
}
