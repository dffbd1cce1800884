//! The header in which a load balancer names the client of a connection that it passes on: PROXY protocol, versions 1 and 2.

use std::io;
use std::net::SocketAddr;

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Limit of a header, in bytes. Version 1 has 107; what balancers add in version 2 (names, certificates) fits many times.
const MAX_HEADER_BYTES: usize = 4096;

/// Addresses alone: what else balancers say is not looked at.
const ADDRESSES: ParseConfig = ParseConfig { include_tlvs: false, allow_v1: true, allow_v2: true };

/// The reason why there is no header.
#[derive(Debug, thiserror::Error)]
pub(super) enum HeaderError {
    /// The connection was closed before its first byte, as by a check whether a port is open.
    #[error("closed before a byte")]
    Closed,
    /// The connection does not begin with a header.
    #[error("no PROXY protocol header")]
    Missing,
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header with which a connection begins, and nothing after it. Returns the client's address; `None` where the
/// balancer speaks for itself, as in its health checks.
pub(super) async fn read(tcp: &mut TcpStream) -> Result<Option<SocketAddr>, HeaderError> {
    let mut header = Vec::new();
    let mut arrived = [0; MAX_HEADER_BYTES];
    loop {
        let room = MAX_HEADER_BYTES - header.len();
        let length = tcp.peek(&mut arrived[..room]).await?;
        if length == 0 {
            return Err(if header.is_empty() { HeaderError::Closed } else { HeaderError::Missing });
        }
        let before = header.len();
        header.extend_from_slice(&arrived[..length]);
        let consumed = match ProxyHeader::parse(&header, ADDRESSES) {
            Ok((parsed, end)) => Some((end, client(&parsed))),
            Err(Error::BufferTooShort) if header.len() < MAX_HEADER_BYTES => None,
            Err(_) => return Err(HeaderError::Missing),
        };
        // What was looked at is there.
        let end = consumed.map_or(header.len(), |(end, _)| end);
        tcp.read_exact(&mut arrived[..end - before]).await?;
        if let Some((_, client)) = consumed {
            return Ok(client);
        }
    }
}

fn client(header: &ProxyHeader<'_>) -> Option<SocketAddr> {
    header.proxied_address().filter(|address| address.protocol == Protocol::Stream).map(|address| address.source)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;

    use super::*;

    const V1: &[u8] = b"PROXY TCP4 192.0.2.1 192.0.2.2 50000 443\r\n";
    const V1_IPV6: &[u8] = b"PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n";
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb";
    const V2_WITH_MORE: &[u8] =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x13\xc0\0\x02\x01\xc0\0\x02\x02\xc3\x50\x01\xbb\x02\0\x04name";
    const V2_LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

    /// Reads a header that arrives in pieces of this size, before `rest`; returns what is left as well.
    async fn read_from(bytes: &[u8], piece: usize) -> (Result<Option<SocketAddr>, HeaderError>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut balancer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        balancer.set_nodelay(true).unwrap();
        let (mut tcp, _) = listener.accept().await.unwrap();
        let sending = async {
            for piece in bytes.chunks(piece) {
                // A connection that was refused is closed.
                let _ = balancer.write_all(piece).await;
                tokio::task::yield_now().await;
            }
            drop(balancer);
        };
        let reading = async {
            let source = read(&mut tcp).await;
            let mut rest = Vec::new();
            if source.is_ok() {
                tcp.read_to_end(&mut rest).await.unwrap();
            }
            (source, rest)
        };
        tokio::join!(reading, sending).0
    }

    #[tokio::test]
    async fn the_client_is_whom_the_header_names_and_no_byte_after_it_is_taken() {
        for (header, client) in [
            (V1, Some("192.0.2.1:50000")),
            (V1_IPV6, Some("[2001:db8::1]:50000")),
            (V2, Some("192.0.2.1:50000")),
            (V2_WITH_MORE, Some("192.0.2.1:50000")),
            (V2_LOCAL, None),
            (b"PROXY UNKNOWN\r\n", None),
        ] {
            for piece in [1, 7, usize::MAX] {
                let (source, rest) = read_from(&[header, b"\x16\x03\x01 and TLS"].concat(), piece).await;
                assert_eq!(source.unwrap(), client.map(|client| client.parse().unwrap()), "{header:?}");
                assert_eq!(rest, b"\x16\x03\x01 and TLS");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_refused_and_a_check_of_the_port_is_none() {
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'1'; 2 * MAX_HEADER_BYTES]].concat();
        let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".as_slice(), &[0; 2 * MAX_HEADER_BYTES]].concat();
        for bytes in [b"\x16\x03\x01\x02\0\x01".as_slice(), b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 x y\r\n", &V1[..20]]
        {
            for piece in [1, usize::MAX] {
                let (source, _) = read_from(bytes, piece).await;
                assert!(matches!(source, Err(HeaderError::Missing)), "{bytes:?}: {source:?}");
            }
        }
        for bytes in [endless, long] {
            assert!(matches!(read_from(&bytes, 100).await.0, Err(HeaderError::Missing | HeaderError::Io(_))));
        }
        assert!(matches!(read_from(b"", 1).await.0, Err(HeaderError::Closed)));
    }
}
