//! SOCKS 5 (RFC 1928) with user and password (RFC 1929): the bytes that go each way.

use std::net::IpAddr;

use zeroize::Zeroizing;

use crate::proto::secret::Login;

const VERSION: u8 = 5;
const NO_LOGIN: u8 = 0;
const LOGIN: u8 = 2;
const LOGIN_VERSION: u8 = 1;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// A host name fits in a byte's worth of them (RFC 1928 section 5); ours have at most 253.
const NAME_BYTES: usize = 255;

/// What a proxy answered instead of a yes, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum No {
    /// Something else listens there.
    #[error("does not answer with SOCKS 5; for an HTTP proxy, write http://HOST:PORT")]
    NotSocks,
    /// It wants a login.
    #[error("wants a login: give it credentials with --via-login FILE, with USER:PASSWORD in the file")]
    LoginWanted,
    /// It takes none of the ways to log in that we have.
    #[error("takes neither no login nor a user and password")]
    NoWayToLogIn,
    /// Another user or password.
    #[error("does not accept the user and password it was given")]
    WrongLogin,
    /// RFC 1928 section 6.
    #[error("cannot reach the hub: {0}")]
    Unreachable(&'static str),
    /// Its rules.
    #[error("does not let this through: ask whoever runs it to allow the hub's name and port")]
    NotAllowed,
    /// A name that it cannot be told.
    #[error("cannot be told a name of more than {NAME_BYTES} bytes")]
    LongName,
}

/// The first thing said.
pub fn greeting(login: Option<&Login>) -> &'static [u8] {
    if login.is_some() { &[VERSION, 2, NO_LOGIN, LOGIN] } else { &[VERSION, 1, NO_LOGIN] }
}

/// From its answer: whether it wants the login now.
pub fn wants_login(answer: [u8; 2], login: Option<&Login>) -> Result<bool, No> {
    match (answer, login) {
        ([VERSION, NO_LOGIN], _) => Ok(false),
        ([VERSION, LOGIN], Some(_)) => Ok(true),
        ([VERSION, _], None) => Err(No::LoginWanted),
        ([VERSION, _], Some(_)) => Err(No::NoWayToLogIn),
        _ => Err(No::NotSocks),
    }
}

/// The login itself.
pub fn credentials(login: &Login) -> Zeroizing<Vec<u8>> {
    // Both fit: a login is made no longer.
    let length = |text: &str| u8::try_from(text.len()).unwrap_or(u8::MAX);
    let mut bytes = Zeroizing::new(Vec::with_capacity(3 + 2 * NAME_BYTES));
    bytes.extend([LOGIN_VERSION, length(login.user())]);
    bytes.extend(login.user().as_bytes());
    bytes.push(length(login.password()));
    bytes.extend(login.password().as_bytes());
    bytes
}

/// Whether the login did.
pub fn admitted(answer: [u8; 2]) -> Result<(), No> {
    if answer[1] == 0 { Ok(()) } else { Err(No::WrongLogin) }
}

/// What asks for the way to a host, which stays a name if it is one.
pub fn request(host: &str, port: u16) -> Result<Vec<u8>, No> {
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
            bytes.extend([NAME, u8::try_from(host.len()).map_err(|_| No::LongName)?]);
            bytes.extend(host.as_bytes());
        }
    }
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

/// From the first five bytes of the last answer: how many more there are until the hub's.
pub fn granted([version, code, _, kind, first]: [u8; 5]) -> Result<usize, No> {
    match (version, code) {
        (VERSION, 0) => {}
        (VERSION, 1) => return Err(No::Unreachable("it does not say why")),
        (VERSION, 2) => return Err(No::NotAllowed),
        (VERSION, 3) => return Err(No::Unreachable("no way to its network")),
        (VERSION, 4) => return Err(No::Unreachable("no such host, or no way to it")),
        (VERSION, 5) => return Err(No::Unreachable("the port refused the connection")),
        (VERSION, 6) => return Err(No::Unreachable("no answer in time")),
        (VERSION, 7 | 8) => return Err(No::Unreachable("it does not do that")),
        _ => return Err(No::NotSocks),
    }
    // The address that it dialled from, of which one byte is here already, and a port.
    match kind {
        IPV4 => Ok(4 - 1 + 2),
        IPV6 => Ok(16 - 1 + 2),
        NAME => Ok(usize::from(first) + 2),
        _ => Err(No::NotSocks),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_names_and_addresses_go_as_such() {
        assert_eq!(request("hub.corp", 443).unwrap(), b"\x05\x01\x00\x03\x08hub.corp\x01\xbb");
        assert_eq!(request("10.0.0.1", 8443).unwrap(), b"\x05\x01\x00\x01\x0a\x00\x00\x01\x20\xfb");
        let v6 = request("fd00::1", 1).unwrap();
        assert_eq!((v6.len(), &v6[3..6]), (4 + 16 + 2, &[IPV6, 0xfd, 0][..]));
        assert_eq!(request(&"x".repeat(256), 1), Err(No::LongName));
    }

    #[test]
    fn a_login_is_offered_where_there_is_one_and_sent_where_it_is_wanted() {
        let login = Login::new("alice", "pw").unwrap();
        assert_eq!(greeting(None), [5, 1, 0]);
        assert_eq!(greeting(Some(&login)), [5, 2, 0, 2]);
        assert_eq!(*credentials(&login), b"\x01\x05alice\x02pw");
        assert_eq!(wants_login([5, 0], None), Ok(false));
        assert_eq!(wants_login([5, 0], Some(&login)), Ok(false));
        assert_eq!(wants_login([5, 2], Some(&login)), Ok(true));
        assert_eq!(wants_login([5, 2], None), Err(No::LoginWanted), "it was not offered");
        assert_eq!(wants_login([5, 255], None), Err(No::LoginWanted));
        assert_eq!(wants_login([5, 255], Some(&login)), Err(No::NoWayToLogIn));
        assert_eq!(wants_login(*b"HT", None), Err(No::NotSocks));
        assert_eq!(admitted([1, 0]), Ok(()));
        assert_eq!(admitted([1, 1]), Err(No::WrongLogin));
    }

    #[test]
    fn every_last_answer_has_a_length_or_is_a_no() {
        assert_eq!(granted([5, 0, 0, 1, 9]), Ok(5));
        assert_eq!(granted([5, 0, 0, 4, 9]), Ok(17));
        assert_eq!(granted([5, 0, 0, 3, 255]), Ok(257));
        assert_eq!(granted([5, 0, 0, 2, 0]), Err(No::NotSocks));
        assert_eq!(granted([5, 2, 0, 1, 0]), Err(No::NotAllowed));
        assert_eq!(granted(*b"HTTP/"), Err(No::NotSocks));
        for code in 1..=8 {
            assert!(granted([5, code, 0, 1, 0]).is_err());
        }
        assert!(granted([5, 5, 0, 1, 0]).unwrap_err().to_string().contains("refused"));
    }
}
