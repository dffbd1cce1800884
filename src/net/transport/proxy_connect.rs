//! Opening a tunnel through an HTTP or SOCKS 5 proxy. The proxy is not trusted: its answers have size limits and a
//! deadline.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::proto::forward::HostPort;
use crate::proto::limits::{PROXY_RESPONSE_BYTES, PROXY_TIMEOUT};
use crate::proto::via::socks::SocksError;
use crate::proto::via::{ProxyProtocol, ProxyUrl, connect, socks};

/// The status with which a proxy demands credentials (RFC 9110 section 15.5.8).
const PROXY_AUTH_REQUIRED: u16 = 407;

/// The failure of a proxy to open a tunnel.
#[derive(Debug)]
pub(super) struct TunnelError {
    /// A predicate, such as `closed the connection`, that follows the proxy's name.
    pub(super) message: String,
    /// The proxy demands credentials, or other ones.
    pub(super) wants_credentials: bool,
    /// The proxy is not for that host or port.
    pub(super) is_forbidden: bool,
    /// The proxy works, and does not get to the host.
    pub(super) is_beyond: bool,
}

impl From<String> for TunnelError {
    fn from(message: String) -> Self {
        Self { message, wants_credentials: false, is_forbidden: false, is_beyond: false }
    }
}

impl From<SocksError> for TunnelError {
    fn from(error: SocksError) -> Self {
        let wants_credentials = matches!(error, SocksError::AuthRequired | SocksError::AuthFailed);
        let (is_forbidden, is_beyond) =
            (matches!(error, SocksError::NotAllowed), matches!(error, SocksError::Unreachable(_)));
        Self { message: error.to_string(), wants_credentials, is_forbidden, is_beyond }
    }
}

/// Opens a tunnel to `target` through the proxy at the other end of `stream`.
pub(super) async fn open_tunnel<S>(stream: &mut S, proxy: &ProxyUrl, target: HostPort<'_>) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let opening = async {
        match proxy.protocol {
            ProxyProtocol::HttpConnect => http_connect(stream, proxy, target).await,
            ProxyProtocol::Socks5 => socks_connect(stream, proxy, target).await,
        }
    };
    let kind = match proxy.protocol {
        ProxyProtocol::HttpConnect => "an HTTP",
        ProxyProtocol::Socks5 => "a SOCKS 5",
    };
    let seconds = PROXY_TIMEOUT.as_secs();
    let slow = || {
        format!("did not connect to {target} in {seconds} s: check that it can reach that address and is {kind} proxy")
    };
    timeout(PROXY_TIMEOUT, opening).await.unwrap_or_else(|_| Err(slow().into()))
}

async fn http_connect<S>(stream: &mut S, proxy: &ProxyUrl, target: HostPort<'_>) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(connect::request(target, proxy.credentials.as_ref()).as_bytes()).await.map_err(io_failure)?;
    let mut head = Vec::with_capacity(1024);
    let response = loop {
        if let Some(response) = connect::parse_response(&head).map_err(|error| error.to_string())? {
            break response;
        }
        if head.len() >= PROXY_RESPONSE_BYTES {
            return Err(format!("answered with a header of more than {PROXY_RESPONSE_BYTES} bytes").into());
        }
        let mut rest = (&mut *stream).take((PROXY_RESPONSE_BYTES - head.len()) as u64);
        if rest.read_buf(&mut head).await.map_err(io_failure)? == 0 {
            return Err(io_failure(io::ErrorKind::UnexpectedEof.into()).into());
        }
    };
    if !response.is_success() {
        let message = response.failure(target, proxy.credentials.is_some());
        let wants_credentials = response.status == PROXY_AUTH_REQUIRED;
        let (is_forbidden, is_beyond) = (matches!(response.status, 403 | 405), matches!(response.status, 502..=504));
        return Err(TunnelError { message, wants_credentials, is_forbidden, is_beyond });
    }
    // In TLS the client speaks first.
    if response.length < head.len() { Err("sent bytes ahead of the hub".to_owned().into()) } else { Ok(()) }
}

async fn socks_connect<S>(stream: &mut S, proxy: &ProxyUrl, target: HostPort<'_>) -> Result<(), TunnelError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let credentials = proxy.credentials.as_ref();
    stream.write_all(socks::method_selection(credentials)).await.map_err(io_failure)?;
    if socks::requires_auth(read(stream).await?, credentials)?
        && let Some(credentials) = credentials
    {
        stream.write_all(&socks::auth_request(credentials)).await.map_err(io_failure)?;
        socks::check_auth(read(stream).await?)?;
    }
    stream.write_all(&socks::request(target.0, target.1)?).await.map_err(io_failure)?;
    let more = socks::parse_reply(read(stream).await?)?;
    stream.read_exact(&mut vec![0; more]).await.map_err(io_failure)?;
    Ok(())
}

async fn read<const N: usize>(stream: &mut (impl AsyncRead + Unpin)) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(io_failure)?;
    Ok(bytes)
}

fn io_failure(error: io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "closed the connection without an answer".into();
    }
    format!("broke the connection: {error}")
}

#[cfg(test)]
mod tests {
    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const HUB: HostPort<'_> = HostPort("hub.corp", 443);

    /// Opens a tunnel through a proxy that answers this, in pieces of this size; returns the bytes that follow the
    /// answer.
    async fn against(proxy: &str, response: &[u8], piece: usize) -> Result<Vec<u8>, TunnelError> {
        let (mut near, far) = duplex(64);
        let proxy = proxy.parse().unwrap();
        let client = async move {
            open_tunnel(&mut near, &proxy, HUB).await?;
            let mut rest = Vec::new();
            near.read_to_end(&mut rest).await.unwrap();
            Ok(rest)
        };
        tokio::join!(client, play(far, response, piece)).0
    }

    async fn play(mut far: DuplexStream, response: &[u8], piece: usize) {
        let (mut reader, mut writer) = tokio::io::split(&mut far);
        let write = async {
            for piece in response.chunks(piece) {
                if writer.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
            let _ = writer.shutdown().await;
        };
        let read = async {
            let mut all = [0; 256];
            while reader.read(&mut all).await.is_ok_and(|read| read > 0) {}
        };
        tokio::join!(write, read);
    }

    #[tokio::test]
    async fn a_successful_answer_in_any_pieces_leaves_the_bytes_after_it() {
        for piece in [1, 7, 1000] {
            let socks = b"\x05\x00\x05\x00\x00\x01\x0a\x00\x00\x01\x01\xbbHUB";
            assert_eq!(against("socks5h://a", socks, piece).await.unwrap(), b"HUB");
            let socks = b"\x05\x02\x01\x00\x05\x00\x00\x03\x03abc\x01\xbbHUB";
            assert_eq!(against("socks5h://u:p@a", socks, piece).await.unwrap(), b"HUB");
        }
        let early = b"HTTP/1.1 200 OK\r\n\r\nHUB";
        assert!(against("http://a", early, 1000).await.unwrap_err().message.contains("ahead of the hub"));
    }

    #[tokio::test]
    async fn every_other_answer_is_an_error_that_names_it() {
        let endless = [b"HTTP/1.1 200 OK\r\n".as_slice(), &b"a: b\r\n".repeat(10_000)].concat();
        for (proxy, response, expected) in [
            ("http://a", b"".as_slice(), "closed the connection without an answer"),
            ("http://a", b"HTTP/1.1 200", "closed the connection without an answer"),
            ("http://a", b"\x05\x00", "does not answer with HTTP"),
            ("http://a", &endless, "does not answer with HTTP"),
            ("http://a", b"HTTP/1.1 407 X\r\n\r\n", "--via-login"),
            ("socks5h://a", b"HTTP/1.1 400\r\n", "does not answer with SOCKS 5"),
            ("socks5h://a", b"\x05\xff", "--via-login"),
            ("socks5h://u:p@a", b"\x05\x02\x01\x01", "rejected"),
            ("socks5h://a", b"\x05\x00\x05\x04\x00\x01\x00\x00\x00\x00\x00\x00", "no such host"),
            ("socks5h://a", b"\x05\x00\x05\x00\x00\x03\xffabc", "closed the connection"),
        ] {
            let error = against(proxy, response, 1000).await.unwrap_err();
            assert!(error.message.contains(expected), "{proxy} {expected}: {}", error.message);
            let login: [&[u8]; 3] = [b"HTTP/1.1 407 X\r\n\r\n", b"\x05\xff", b"\x05\x02\x01\x01"];
            let wants = login.contains(&response);
            assert_eq!(error.wants_credentials, wants, "{proxy} {expected}");
        }
    }

    #[tokio::test]
    async fn an_endless_header_is_read_only_to_the_limit() {
        let head = [b"HTTP/1.1 200 OK\r\na: ".as_slice(), &b"x".repeat(100_000)].concat();
        let error = against("http://a", &head, 1000).await.unwrap_err();
        assert!(error.message.contains("more than 8192 bytes"), "{}", error.message);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_proxy_is_given_up() {
        for proxy in ["http://a", "socks5h://a"] {
            let (mut near, _far) = duplex(1024);
            let error = open_tunnel(&mut near, &proxy.parse().unwrap(), HUB).await.unwrap_err();
            assert!(error.message.contains("did not connect to hub.corp:443 in 10 s"), "{}", error.message);
        }
    }
}
