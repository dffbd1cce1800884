//! Proxies on the way to a hub: which one, for which hubs, and ([`connect`], [`socks`]) what is said to it.

pub mod connect;
pub mod socks;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use super::forward::Target;
use super::join::HubAddress;
use super::secret::Login;

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speech {
    /// HTTP CONNECT, RFC 9110 section 9.3.6.
    Connect,
    /// SOCKS 5, RFC 1928. It is told names, never addresses that were looked up here.
    Socks,
}

/// The port of a proxy when none is named, as curl has it.
const DEFAULT_PORT: u16 = 1080;

/// A proxy: `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`. Shown without its login.
#[derive(Debug, Clone)]
pub struct Via {
    /// How it is spoken to.
    pub speech: Speech,
    /// Where it is.
    pub at: HubAddress,
    /// What it wants to know first.
    pub login: Option<Login>,
}

/// Why a text names no proxy. Says nothing of the text, in which there may be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidVia {
    /// Another scheme.
    #[error("a proxy is http://HOST:PORT or socks5h://HOST:PORT; this has another scheme")]
    Scheme,
    /// TLS to the proxy itself.
    #[error(
        "https:// to a proxy is not supported; http:// to it is no less safe, since what passes is devstream's own TLS"
    )]
    Tls,
    /// No host, or no port.
    #[error("a proxy is http://HOST:PORT or socks5h://HOST:PORT; this has no such host and port")]
    Address,
    /// Its user and password.
    #[error(
        "the proxy's user or password is empty, longer than 255 bytes, or not text; in a URL, write special characters as %XX"
    )]
    Login,
}

impl FromStr for Via {
    type Err = InvalidVia;

    fn from_str(text: &str) -> Result<Self, InvalidVia> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let speech = match scheme.to_ascii_lowercase().as_str() {
            "http" => Speech::Connect,
            "socks5" | "socks5h" => Speech::Socks,
            "https" => return Err(InvalidVia::Tls),
            _ => return Err(InvalidVia::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, address) = match rest.rsplit_once('@') {
            Some((login, address)) => (Some(self::login(login)?), address),
            None => (None, rest),
        };
        let at = HubAddress::parse(address, DEFAULT_PORT).map_err(|_| InvalidVia::Address)?;
        Ok(Self { speech, at, login })
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Target(&self.at.host, self.at.port).fmt(f)
    }
}

fn login(text: &str) -> Result<Login, InvalidVia> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |part| percent_decode_str(part).decode_utf8().map_err(|_| InvalidVia::Login);
    Login::new(&decode(user)?, &decode(password)?).map_err(|_| InvalidVia::Login)
}

/// Which proxy leads to which hub.
#[derive(Debug, Clone, Default)]
pub struct Way {
    via: Option<Arc<Via>>,
    except: Option<Exceptions>,
}

/// A variable that should name a proxy does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct InvalidVariable {
    name: &'static str,
    why: InvalidVia,
}

/// As curl asks them for an https:// URL; lower case wins.
const VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const EXCEPTIONS: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl Way {
    /// Through this proxy, whatever the hub.
    pub fn through(via: Via) -> Self {
        Self { via: Some(Arc::new(via)), except: None }
    }

    /// As the environment says. Unlike curl's, its proxies never lead to this machine itself.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidVariable> {
        let set = |name: &&'static str| Some((*name, variable(name).filter(|value| !value.is_empty())?));
        let Some((name, value)) = VARIABLES.iter().find_map(set) else { return Ok(Self::default()) };
        let via = value.parse().map_err(|why| InvalidVariable { name, why })?;
        let except = EXCEPTIONS.iter().find_map(set).map(|(_, value)| value).unwrap_or_default();
        Ok(Self { except: Some(Exceptions::parse(&except)), ..Self::through(via) })
    }

    /// With this login, whatever else was said.
    #[must_use]
    pub fn with_login(self, login: Login) -> Self {
        let via = self.via.map(|via| Arc::new(Via { login: Some(login), ..(*via).clone() }));
        Self { via, ..self }
    }

    /// Whether it leads through a proxy to any host at all.
    pub fn has_proxy(&self) -> bool {
        self.via.is_some()
    }

    /// The proxy that leads to this host; none if there is none between.
    pub fn to(&self, host: &str) -> Option<&Via> {
        let is_excepted = self.except.as_ref().is_some_and(|except| except.covers(host));
        self.via.as_deref().filter(|_| !is_excepted)
    }
}

/// `NO_PROXY`: names, which stand for what is below them too, addresses and networks, between commas or spaces; or `*`.
#[derive(Debug, Clone)]
struct Exceptions {
    all: bool,
    names: Vec<String>,
    networks: Vec<IpNet>,
}

impl Exceptions {
    fn parse(text: &str) -> Self {
        let mut exceptions = Self { all: false, names: vec!["localhost".into()], networks: Vec::new() };
        for entry in text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            match (entry, bare.parse::<IpNet>(), bare.parse::<IpAddr>()) {
                ("*", ..) => exceptions.all = true,
                (_, Ok(network), _) => exceptions.networks.push(network),
                (_, _, Ok(address)) => exceptions.networks.push(address.into()),
                _ => exceptions.names.push(plain(entry)),
            }
        }
        exceptions
    }

    fn covers(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<IpAddr>() {
            let address = address.to_canonical();
            return self.all || address.is_loopback() || self.networks.iter().any(|network| network.contains(&address));
        }
        let host = plain(host);
        let below = |name: &String| host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
        self.all || self.names.iter().any(|name| host == *name || below(name))
    }
}

/// Dots at its ends and its case make a name no other one.
fn plain(name: &str) -> String {
    name.trim_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(text: &str) -> Result<Via, InvalidVia> {
        text.parse()
    }

    #[test]
    fn a_proxy_is_what_curl_takes_for_one() {
        for (text, speech, shown) in [
            ("http://squid.corp:3128", Speech::Connect, "squid.corp:3128"),
            ("squid.corp:3128/", Speech::Connect, "squid.corp:3128"),
            ("HTTP://squid.corp", Speech::Connect, "squid.corp:1080"),
            ("socks5h://10.0.0.1:9050", Speech::Socks, "10.0.0.1:9050"),
            ("socks5://[fd00::1]", Speech::Socks, "[fd00::1]:1080"),
            ("http://squid.corp:443", Speech::Connect, "squid.corp:443"),
        ] {
            let via = via(text).unwrap();
            assert_eq!((via.speech, via.to_string().as_str(), via.login.is_some()), (speech, shown, false), "{text}");
        }
        for (text, why) in [
            ("https://squid.corp:3128", InvalidVia::Tls),
            ("socks4://squid.corp:3128", InvalidVia::Scheme),
            ("http://", InvalidVia::Address),
            ("squid.corp:x", InvalidVia::Address),
            ("http://squid.corp:3128/path", InvalidVia::Address),
            ("http://:pw@squid.corp:3128", InvalidVia::Login),
            ("http://a%ff:pw@squid.corp:3128", InvalidVia::Login),
            ("", InvalidVia::Address),
        ] {
            assert_eq!(via(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn a_login_is_taken_from_the_url_and_never_shown() {
        let via = via("http://al%40ice:p%3Ass@w@squid.corp:3128").unwrap();
        let login = via.login.as_ref().unwrap();
        assert_eq!((login.user(), login.password()), ("al@ice", "p:ss@w"));
        let shown = format!("{via} {via:?} {:?}", Way::through(via.clone()));
        assert!(shown.contains("squid.corp") && !shown.contains("ss@w") && !shown.contains("p%3A"), "{shown}");
        let wrong = "http://alice:hunter2@squid corp:3128".parse::<Via>().unwrap_err();
        assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
    }

    fn from(variables: &[(&str, &str)]) -> Result<Way, InvalidVariable> {
        Way::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_mean_what_they_mean_to_curl() {
        let host = |variables: &[(&str, &str)]| Some(from(variables).unwrap().to("hub.corp")?.at.host.clone());
        assert_eq!(host(&[]), None);
        assert_eq!(host(&[("HTTP_PROXY", "a"), ("http_proxy", "a")]), None, "for http:// only");
        assert_eq!(host(&[("ALL_PROXY", "a"), ("HTTPS_PROXY", "b")]).as_deref(), Some("b"));
        assert_eq!(host(&[("HTTPS_PROXY", "a"), ("https_proxy", "b")]).as_deref(), Some("b"));
        assert_eq!(host(&[("https_proxy", ""), ("ALL_PROXY", "a")]).as_deref(), Some("a"), "empty is unset");
        assert_eq!(host(&[("all_proxy", "a"), ("NO_PROXY", "corp")]), None);
        assert_eq!(host(&[("all_proxy", "a"), ("NO_PROXY", "corp"), ("no_proxy", "x")]).as_deref(), Some("a"));
        let wrong = from(&[("HTTPS_PROXY", "ftp://u:hunter2@a")]).unwrap_err().to_string();
        assert!(wrong.starts_with("HTTPS_PROXY: ") && !wrong.contains("hunter2"), "{wrong}");
    }

    #[test]
    fn exceptions_are_names_with_what_is_below_them_addresses_and_networks() {
        let direct = |exceptions: &str, host: &str| {
            from(&[("all_proxy", "a"), ("no_proxy", exceptions)]).unwrap().to(host).is_none()
        };
        for (exceptions, host) in [
            ("*", "anything.at.all"),
            ("corp", "hub.corp"),
            (".corp", "hub.corp"),
            (".corp", "corp"),
            ("x, HUB.Corp.", "hub.corp"),
            ("x hub.corp", "hub.corp."),
            ("10.0.0.0/8", "10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("[fd00::1]", "fd00::1"),
            ("fd00::/16", "fd00::2"),
            ("", "localhost"),
            ("", "127.0.0.1"),
            ("", "::1"),
        ] {
            assert!(direct(exceptions, host), "'{exceptions}' {host}");
        }
        for (exceptions, host) in [
            ("", "hub.corp"),
            ("corp", "hubcorp"),
            ("hub.corp", "corp"),
            ("corp", "hub.corp.evil"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.1", "10.0.0.11"),
            ("10.0.0.0/8", "10.example"),
        ] {
            assert!(!direct(exceptions, host), "'{exceptions}' {host}");
        }
        assert!(Way::through(via("a").unwrap()).to("localhost").is_some(), "who says so means it");
    }

    #[test]
    fn another_login_replaces_the_one_in_the_url() {
        let way = Way::through(via("http://alice:old@a").unwrap()).with_login(Login::new("bob", "new").unwrap());
        assert_eq!(way.to("hub").unwrap().login.as_ref().unwrap().password(), "new");
    }
}
