//! SOCKS 5 (RFC 1928) with user and password (RFC 1929): the messages of both directions.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::proto::secret::ProxyCredentials;

const VERSION: u8 = 5;
const NO_AUTH: u8 = 0;
const USER_PASSWORD: u8 = 2;
const AUTH_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN_NAME: u8 = 3;
const IPV6: u8 = 4;

/// Length limit of a host name, in bytes: one length byte, RFC 1928 section 5. Valid names have at most 253.
const MAX_NAME_BYTES: usize = 255;

/// A failure reported by a proxy, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocksError {
    /// The server does not speak SOCKS 5.
    #[error("does not answer with SOCKS 5; for an HTTP proxy, write http://HOST:PORT")]
    NotSocks,
    /// The proxy requires credentials.
    #[error("requires credentials: use --via-login FILE, with USER:PASSWORD in the file")]
    AuthRequired,
    /// The proxy accepts none of the offered authentication methods.
    #[error("accepts neither anonymous access nor a user and password")]
    NoAcceptableMethod,
    /// The proxy rejected the credentials.
    #[error("rejected the user and password; correct them in the file of --via-login")]
    AuthFailed,
    /// The proxy cannot reach the host: a reply code of RFC 1928 section 6.
    #[error("cannot reach the hub: {0}")]
    Unreachable(&'static str),
    /// The proxy's rules forbid the connection.
    #[error("forbids this connection: ask its operator to allow the hub's name and port")]
    NotAllowed,
    /// The host name does not fit the request.
    #[error("accepts no host name of more than {MAX_NAME_BYTES} bytes")]
    NameTooLong,
}

/// The method selection message.
pub fn method_selection(credentials: Option<&ProxyCredentials>) -> &'static [u8] {
    if credentials.is_some() { &[VERSION, 2, NO_AUTH, USER_PASSWORD] } else { &[VERSION, 1, NO_AUTH] }
}

/// Parses the selected method; `true` if credentials are to be sent.
pub fn requires_auth(answer: [u8; 2], credentials: Option<&ProxyCredentials>) -> Result<bool, SocksError> {
    match (answer, credentials) {
        ([VERSION, NO_AUTH], _) => Ok(false),
        ([VERSION, USER_PASSWORD], Some(_)) => Ok(true),
        ([VERSION, _], None) => Err(SocksError::AuthRequired),
        ([VERSION, _], Some(_)) => Err(SocksError::NoAcceptableMethod),
        _ => Err(SocksError::NotSocks),
    }
}

/// The authentication request of RFC 1929.
pub fn auth_request(credentials: &ProxyCredentials) -> Zeroizing<Vec<u8>> {
    // Both fit: ProxyCredentials checks their lengths.
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(3 + 2 * MAX_NAME_BYTES));
    bytes.extend([AUTH_VERSION, length(credentials.user())]);
    bytes.extend(credentials.user().as_bytes());
    bytes.push(length(credentials.password()));
    bytes.extend(credentials.password().as_bytes());
    bytes
}

/// Parses the authentication reply.
pub fn check_auth(answer: [u8; 2]) -> Result<(), SocksError> {
    if answer[1] == 0 { Ok(()) } else { Err(SocksError::AuthFailed) }
}

/// Builds the CONNECT request for a host, which stays a name if it is one.
pub fn request(host: &str, port: u16) -> Result<Vec<u8>, SocksError> {
    let mut bytes = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            bytes.push(IPV4);
            bytes.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            bytes.push(IPV6);
            bytes.extend(address.octets());
        }
        Err(_) => {
            bytes.extend([DOMAIN_NAME, u8::try_from(host.len()).map_err(|_| SocksError::NameTooLong)?]);
            bytes.extend(host.as_bytes());
        }
    }
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

/// Parses the first five bytes of the reply and returns the number of bytes that remain of it.
pub fn parse_reply([version, code, _, kind, first]: [u8; 5]) -> Result<usize, SocksError> {
    match (version, code) {
        (VERSION, 0) => {}
        (VERSION, 1) => return Err(SocksError::Unreachable("general failure")),
        (VERSION, 2) => return Err(SocksError::NotAllowed),
        (VERSION, 3) => return Err(SocksError::Unreachable("network unreachable")),
        (VERSION, 4) => return Err(SocksError::Unreachable("no such host, or host unreachable")),
        (VERSION, 5) => return Err(SocksError::Unreachable("connection refused")),
        (VERSION, 6) => return Err(SocksError::Unreachable("timed out")),
        (VERSION, 7 | 8) => return Err(SocksError::Unreachable("command or address type not supported")),
        _ => return Err(SocksError::NotSocks),
    }
    // The bound address, of which one byte has been read, and a port.
    match kind {
        IPV4 => Ok(4 - 1 + 2),
        IPV6 => Ok(16 - 1 + 2),
        DOMAIN_NAME => Ok(usize::from(first) + 2),
        _ => Err(SocksError::NotSocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sent_as_names_and_addresses_as_addresses() {
        assert_eq!(request("hub.corp", 443).unwrap(), b"\x05\x01\x00\x03\x08hub.corp\x01\xbb");
        assert_eq!(request("10.0.0.1", 8443).unwrap(), b"\x05\x01\x00\x01\x0a\x00\x00\x01\x20\xfb");
        let v6 = request("fd00::1", 1).unwrap();
        assert_eq!((v6.len(), &v6[3..6]), (4 + 16 + 2, &[IPV6, 0xfd, 0][..]));
        assert_eq!(request(&"x".repeat(256), 1), Err(SocksError::NameTooLong));
    }

    #[test]
    fn credentials_are_offered_if_there_are_some_and_sent_if_required() {
        let credentials = ProxyCredentials::new("alice", "pw").unwrap();
        assert_eq!(method_selection(None), [5, 1, 0]);
        assert_eq!(method_selection(Some(&credentials)), [5, 2, 0, 2]);
        assert_eq!(*auth_request(&credentials), b"\x01\x05alice\x02pw");
        assert_eq!(requires_auth([5, 0], None), Ok(false));
        assert_eq!(requires_auth([5, 0], Some(&credentials)), Ok(false));
        assert_eq!(requires_auth([5, 2], Some(&credentials)), Ok(true));
        assert_eq!(requires_auth([5, 2], None), Err(SocksError::AuthRequired), "it was not offered");
        assert_eq!(requires_auth([5, 255], None), Err(SocksError::AuthRequired));
        assert_eq!(requires_auth([5, 255], Some(&credentials)), Err(SocksError::NoAcceptableMethod));
        assert_eq!(requires_auth(*b"HT", None), Err(SocksError::NotSocks));
        assert_eq!(check_auth([1, 0]), Ok(()));
        assert_eq!(check_auth([1, 1]), Err(SocksError::AuthFailed));
    }

    #[test]
    fn every_reply_has_a_length_or_is_an_error() {
        assert_eq!(parse_reply([5, 0, 0, 1, 9]), Ok(5));
        assert_eq!(parse_reply([5, 0, 0, 4, 9]), Ok(17));
        assert_eq!(parse_reply([5, 0, 0, 3, 255]), Ok(257));
        assert_eq!(parse_reply([5, 0, 0, 2, 0]), Err(SocksError::NotSocks));
        assert_eq!(parse_reply([5, 2, 0, 1, 0]), Err(SocksError::NotAllowed));
        assert_eq!(parse_reply(*b"HTTP/"), Err(SocksError::NotSocks));
        for code in 1..=8 {
            assert!(parse_reply([5, code, 0, 1, 0]).is_err());
        }
        assert!(parse_reply([5, 5, 0, 1, 0]).unwrap_err().to_string().contains("refused"));
    }
}
