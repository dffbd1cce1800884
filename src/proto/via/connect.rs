//! HTTP CONNECT (RFC 9110 section 9.3.6) with Basic authentication (RFC 7617): one request head, one response head.

use httparse::{EMPTY_HEADER, Response, Status};
use zeroize::Zeroizing;

use crate::proto::forward::HostPort;
use crate::proto::join::DEFAULT_PORT;
use crate::proto::secret::ProxyCredentials;

/// Limit of header fields in a response; proxies send a dozen.
const MAX_HEADERS: usize = 64;

/// Length limit of a reason phrase in output, in characters.
const REASON_CHARS: usize = 40;

/// Builds the request for a tunnel to a host.
pub fn request(target: HostPort<'_>, credentials: Option<&ProxyCredentials>) -> Zeroizing<String> {
    let version = env!("CARGO_PKG_VERSION");
    let mut head = Zeroizing::new(String::with_capacity(1024));
    head.push_str(&format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nUser-Agent: devstream/{version}\r\n"));
    if let Some(credentials) = credentials {
        head.push_str("Proxy-Authorization: Basic ");
        head.push_str(&credentials.basic_auth());
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    head
}

/// The response of a proxy.
#[derive(Debug, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Its status code.
    pub status: u16,
    reason: String,
    /// The authentication schemes that it accepts.
    schemes: Vec<String>,
    /// Length of its head, in bytes; after success the hub's bytes follow.
    pub length: usize,
}

/// The error for bytes that are not an HTTP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not answer with HTTP; for a SOCKS proxy, write socks5h://HOST:PORT")]
pub struct NotHttp;

/// Parses the response; `None` until its head is complete.
pub fn parse_response(bytes: &[u8]) -> Result<Option<ConnectResponse>, NotHttp> {
    let mut headers = [EMPTY_HEADER; MAX_HEADERS];
    let mut response = Response::new(&mut headers);
    let Status::Complete(length) = response.parse(bytes).map_err(|_| NotHttp)? else { return Ok(None) };
    let wanted = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("proxy-authenticate"));
    let scheme = |value: &[u8]| String::from_utf8_lossy(value).split([' ', ',']).next().unwrap_or_default().to_owned();
    Ok(Some(ConnectResponse {
        status: response.code.ok_or(NotHttp)?,
        reason: response.reason.unwrap_or_default().chars().take(REASON_CHARS).collect(),
        schemes: wanted.map(|header| scheme(header.value)).collect(),
        length,
    }))
}

impl ConnectResponse {
    /// Reports whether the tunnel is open.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Explains a failure, and what to do about it.
    pub fn failure(&self, target: HostPort<'_>, has_credentials: bool) -> String {
        let status = format!("{} {}", self.status, self.reason);
        let status = status.trim();
        let takes_basic = self.schemes.is_empty() || self.schemes.iter().any(|s| s.eq_ignore_ascii_case("basic"));
        match self.status {
            407 if !takes_basic => format!(
                "answered {status}: it accepts {}, and devstream only Basic; use a local helper such as cntlm",
                self.schemes.join(", ")
            ),
            407 if has_credentials => {
                format!("answered {status}: it rejected the user and password; correct them in the file of --via-login")
            }
            407 => {
                format!(
                    "answered {status}: it requires credentials; use --via-login FILE, with USER:PASSWORD in the file"
                )
            }
            403 | 405 if target.1 != DEFAULT_PORT => format!(
                "answered {status} for {target}: proxies often allow port {DEFAULT_PORT} only, so have the hub listen there \
                 as well, or ask the proxy's operator to allow this port"
            ),
            403 | 405 => format!("answered {status}: ask its operator to allow CONNECT to {target}"),
            500..600 => format!("cannot reach the hub: {status}"),
            _ => format!("answered {status} to CONNECT {target}; check that it is a proxy"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: HostPort<'_> = HostPort("hub.corp", 443);

    #[test]
    fn a_request_names_the_port_and_carries_credentials_if_there_are_some() {
        let head = request(HUB, None);
        assert!(head.starts_with("CONNECT hub.corp:443 HTTP/1.1\r\nHost: hub.corp:443\r\n"), "{head:?}");
        assert!(head.ends_with("\r\n\r\n") && !head.contains("Proxy-Authorization"), "{head:?}");
        // RFC 7617 section 2.
        let credentials = ProxyCredentials::new("Aladdin", "open sesame").unwrap();
        let head = request(HostPort("fd00::1", 8443), Some(&credentials));
        assert!(head.contains("CONNECT [fd00::1]:8443 "), "{head:?}");
        assert!(head.contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"), "{head:?}");
    }

    #[test]
    fn a_response_is_parsed_once_its_head_is_complete() {
        let text = b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nhello";
        let head = text.len() - 5;
        for cut in 0..head {
            assert_eq!(parse_response(&text[..cut]), Ok(None), "{cut}");
        }
        let response = parse_response(text).unwrap().unwrap();
        assert!(response.is_success());
        assert_eq!(response.length, head);
    }

    #[test]
    fn malformed_responses_are_errors() {
        for text in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "\x05\x00\x05",
            "HTTP/1.1 twohundred\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\0: x\r\n\r\n",
        ] {
            assert_eq!(parse_response(text.as_bytes()), Err(NotHttp), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parse_response(many.as_bytes()), Err(NotHttp));
    }

    #[test]
    fn each_failure_says_what_to_do() {
        let no = |text: &str, has_credentials| {
            parse_response(text.as_bytes()).unwrap().unwrap().failure(HUB, has_credentials)
        };
        let basic = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
        assert!(
            no(basic, false).contains("407 Proxy Authentication Required: it requires credentials; use --via-login")
        );
        assert!(no(basic, true).contains("rejected the user and password"));
        let ntlm = "HTTP/1.1 407 No\r\nProxy-Authenticate: NTLM\r\nproxy-authenticate: Negotiate\r\n\r\n";
        assert!(no(ntlm, false).contains("it accepts NTLM, Negotiate, and"));
        assert!(no("HTTP/1.1 403 Forbidden\r\n\r\n", false).contains("allow CONNECT to hub.corp:443"));
        assert_eq!(
            no("HTTP/1.0 503 Service Unavailable\r\n\r\n", false),
            "cannot reach the hub: 503 Service Unavailable"
        );
        assert!(no("HTTP/1.1 400\r\n\r\n", false).contains("answered 400 to CONNECT"));
        assert!(no(&format!("HTTP/1.1 502 {}\r\n\r\n", "x".repeat(5000)), false).len() < 100);
    }
}
