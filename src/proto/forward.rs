//! The grammars of port forwarding: a device's targets and a service's local listeners.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::id::{InvalidName, StreamName};

/// A target on the device and its stream name: `[NAME=][HOST:]PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The stream name that services ask for.
    pub name: StreamName,
    /// The host that the device connects to.
    pub host: String,
    /// The port that the device connects to.
    pub port: u16,
    /// No host was given: a service that listens on `::1` alone is reached too.
    pub either_loopback: bool,
}

impl Forward {
    /// Reports whether the name is the one that the port gives it.
    pub fn has_default_name(&self) -> bool {
        self.name == default_name(self.port)
    }

    /// Returns the addresses to connect to, if no name has to be resolved for them.
    pub fn loopback_addresses(&self) -> Option<[SocketAddr; 2]> {
        let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        self.either_loopback.then(|| both.map(|address| (address, self.port).into()))
    }
}

/// A local listener and the stream that its connections open: `[BIND:]PORT[=STREAM]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalForward {
    /// The address to listen on.
    pub bind: String,
    /// The port; 0 lets the system choose.
    pub port: u16,
    /// The stream name; none asks for the device's first forward.
    pub stream: Option<StreamName>,
}

/// The error for text that is not a forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForward {
    /// The port is missing or not a number from 1 to 65535.
    #[error("invalid port '{0}'")]
    Port(String),
    /// A name alone.
    #[error("'{name}' has no port; for example {example}")]
    NoPort {
        /// The name.
        name: String,
        /// The name with a port.
        example: String,
    },
    /// The text before the port is not a host name or address.
    #[error("invalid host '{0}' (write IPv6 addresses as [::1])")]
    Host(String),
    /// A URL in the place of a hub's address.
    #[error("a hub is given as HOST[:PORT], not as a URL")]
    Url,
    /// The stream name is invalid.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// Name and port are in each other's place, or wrongly separated.
    #[error("{error}; did you mean {meant}?")]
    Swapped {
        /// The error of the text as it is.
        error: Box<Self>,
        /// The text that has no error.
        meant: String,
    },
}

impl InvalidForward {
    /// Adds what was meant, if the text has no error once name and port change places or have another separator. A name
    /// alone gets `with_port`.
    fn or_meant<T>(
        self,
        text: &str,
        parse: impl Fn(&str) -> Result<T, Self>,
        with_port: impl Fn(&str) -> String,
    ) -> Self {
        let name = text.strip_suffix([':', '=']).unwrap_or(text);
        let is_port_or_address = name.contains('.') || name.parse::<u64>().is_ok();
        if StreamName::from_str(name).is_ok() && !is_port_or_address {
            return Self::NoPort { name: name.to_owned(), example: with_port(name) };
        }
        let Some((before, after)) = text.split_once('=').or_else(|| text.rsplit_once(':')) else { return self };
        let meant = [format!("{before}={after}"), format!("{after}={before}")];
        match meant.into_iter().find(|meant| parse(meant).is_ok()) {
            Some(meant) => Self::Swapped { error: Box::new(self), meant },
            None => self,
        }
    }
}

/// The default host: this machine only.
const LOOPBACK: &str = "127.0.0.1";

impl FromStr for Forward {
    type Err = InvalidForward;

    fn from_str(text: &str) -> Result<Self, InvalidForward> {
        Self::parse(text).map_err(|error| error.or_meant(text, Self::parse, |name| format!("{name}=8080")))
    }
}

impl Forward {
    fn parse(text: &str) -> Result<Self, InvalidForward> {
        let (name, target) = match text.split_once('=') {
            Some((name, target)) => (Some(name.parse()?), target),
            None => (None, text),
        };
        let (host, port) = parse_host_port(target)?;
        if port == 0 {
            return Err(InvalidForward::Port("0".into()));
        }
        let name = name.unwrap_or_else(|| default_name(port));
        Ok(Self { name, host: host.unwrap_or(LOOPBACK).into(), port, either_loopback: host.is_none() })
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.either_loopback {
            write!(f, "{}={}", self.name, self.port)
        } else {
            write!(f, "{}={}", self.name, HostPort(&self.host, self.port))
        }
    }
}

impl FromStr for LocalForward {
    type Err = InvalidForward;

    fn from_str(text: &str) -> Result<Self, InvalidForward> {
        Self::parse(text).map_err(|error| match like_ssh(text) {
            Some(meant) => InvalidForward::Swapped { error: Box::new(error), meant },
            None => error.or_meant(text, Self::parse, |name| format!("8080={name}")),
        })
    }
}

/// Returns what `PORT:PORT` or `PORT:HOST:PORT` means here, as ssh's -L takes it: the device has names for its targets.
fn like_ssh(text: &str) -> Option<String> {
    let mut parts = text.split(':');
    let [own, there] =
        [parts.next()?, parts.next_back()?].map(|port| port.parse::<u16>().ok().filter(|port| *port > 0));
    parts.next();
    parts.next().is_none().then_some(())?;
    Some(format!("{}={}", own?, default_name(there?)))
}

impl LocalForward {
    fn parse(text: &str) -> Result<Self, InvalidForward> {
        let (listener, stream) = match text.split_once('=') {
            Some((listener, stream)) => (listener, Some(stream.parse()?)),
            None => (text, None),
        };
        let (bind, port) = parse_host_port(listener)?;
        // The system would take a number for an address: 22222 for 0.0.86.206.
        if let Some(number) = bind.filter(|bind| bind.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(InvalidForward::Host(number.into()));
        }
        Ok(Self { bind: bind.unwrap_or(LOOPBACK).into(), port, stream })
    }
}

/// `HOST:PORT`, with an IPv6 address in brackets.
#[derive(Debug, Clone, Copy)]
pub struct HostPort<'a>(pub &'a str, pub u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Splits `[HOST:]PORT`; the host is returned without brackets.
pub fn parse_host_port(text: &str) -> Result<(Option<&str>, u16), InvalidForward> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(parse_host(host)?), port),
        None => (None, text),
    };
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { port.parse().ok() } else { None };
    Ok((host, number.ok_or_else(|| InvalidForward::Port(port.into()))?))
}

/// Validates a host name or address and returns it without the brackets of an IPv6 literal.
pub fn parse_host(host: &str) -> Result<&str, InvalidForward> {
    let invalid = || InvalidForward::Host(host.into());
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').ok_or_else(invalid)?;
        // The system checks that a zone of that name, such as eth0, exists.
        let (address, zone) = inner.split_once('%').map_or((inner, None), |(address, zone)| (address, Some(zone)));
        let is_zone = zone.is_none_or(|zone| !zone.is_empty() && zone.bytes().all(allowed));
        return if is_zone && address.parse::<std::net::Ipv6Addr>().is_ok() { Ok(inner) } else { Err(invalid()) };
    }
    if !host.is_empty() && host.len() <= 253 && host.bytes().all(allowed) { Ok(host) } else { Err(invalid()) }
}

#[expect(clippy::expect_used, reason = "the literals and every number are valid names")]
fn default_name(port: u16) -> StreamName {
    let name = match port {
        22 => "ssh",
        80 => "http",
        443 => "https",
        3389 => "rdp",
        5900 => "vnc",
        _ => return port.to_string().parse().expect("digits are a name"),
    };
    name.parse().expect("a literal name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_as_people_write_them() {
        for (text, shown) in [
            ("22", "ssh=22"),
            ("3389", "rdp=3389"),
            ("8000", "8000=8000"),
            ("web=10.0.0.5:80", "web=10.0.0.5:80"),
            ("printer.lan:443", "https=printer.lan:443"),
            ("db=[::1]:5432", "db=[::1]:5432"),
            ("printer=[fe80::1%eth0.2]:9100", "printer=[fe80::1%eth0.2]:9100"),
        ] {
            assert_eq!(text.parse::<Forward>().unwrap().to_string(), shown);
        }
        let addresses = |text: &str| text.parse::<Forward>().unwrap().loopback_addresses();
        assert_eq!(addresses("22"), Some(["127.0.0.1:22", "[::1]:22"].map(|address| address.parse().unwrap())));
        assert_eq!(addresses("127.0.0.1:22"), None);
        for bad in [
            "",
            "0",
            "x",
            "22x",
            "+22",
            "65536",
            "=22",
            "a b=22",
            "h st:22",
            "::1:22",
            "[::1:22",
            ":22",
            "a=",
            "[::1%\x1b[2J]:22",
            "[::1%]:22",
        ] {
            assert!(bad.parse::<Forward>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn listeners_as_people_write_them() {
        let local: LocalForward = "0.0.0.0:2222=ssh".parse().unwrap();
        assert_eq!((local.bind.as_str(), local.port, local.stream.unwrap().as_str()), ("0.0.0.0", 2222, "ssh"));
        let local: LocalForward = "0".parse().unwrap();
        assert_eq!((local.bind.as_str(), local.port, local.stream), ("127.0.0.1", 0, None));
        assert_eq!("[::1]:2222".parse::<LocalForward>().unwrap().bind, "::1");
        for bad in ["", "x", "2222=", "2222=a/b", ":2222", "-1", "22222:22", "22222:0=ssh"] {
            assert!(bad.parse::<LocalForward>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_name_in_the_place_of_the_port_is_asked_about() {
        let forward = |text: &str| text.parse::<Forward>().unwrap_err().to_string();
        let local = |text: &str| text.parse::<LocalForward>().unwrap_err().to_string();
        for (said, meant) in [
            (local("web=18302"), "18302=web"),
            (local("web=0.0.0.0:18302"), "0.0.0.0:18302=web"),
            (local("18302:web"), "18302=web"),
            (local("22222:22"), "22222=ssh"),
            (local("8080:localhost:80"), "8080=http"),
            (forward("8080=web"), "web=8080"),
            (forward("8080:web"), "web=8080"),
        ] {
            assert!(said.ends_with(&format!("; did you mean {meant}?")), "{said}");
        }
        assert_eq!(local("web=x"), "invalid port 'web'");
        for text in ["web", "web:", "web="] {
            assert_eq!(local(text), "'web' has no port; for example 8080=web");
            assert_eq!(forward(text), "'web' has no port; for example web=8080");
        }
    }
}
