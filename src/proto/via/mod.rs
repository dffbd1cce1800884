//! Proxies between a client and its hub: their URLs, the choice of one for a hub, and ([`connect`], [`socks`]) their
//! protocols.

pub mod connect;
pub mod socks;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::IpNet;
use percent_encoding::percent_decode_str;

use super::forward::HostPort;
use super::join::HubAddress;
use super::secret::ProxyCredentials;

/// The protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// HTTP CONNECT, RFC 9110 section 9.3.6.
    HttpConnect,
    /// SOCKS 5, RFC 1928, with names resolved by the proxy.
    Socks5,
}

/// The default port of a proxy, as curl's.
const DEFAULT_PORT: u16 = 1080;

/// A proxy: `[SCHEME://][USER[:PASSWORD]@]HOST[:PORT]`. Formatted without its credentials.
#[derive(Debug, Clone)]
pub struct ProxyUrl {
    /// Its protocol.
    pub protocol: ProxyProtocol,
    /// Its address.
    pub address: HubAddress,
    /// User and password, if it needs them.
    pub credentials: Option<ProxyCredentials>,
}

/// The error for text that is not a proxy URL. Does not quote the text, which may contain a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxyUrl {
    /// An unknown scheme.
    #[error("unsupported proxy scheme; use http://HOST:PORT or socks5h://HOST:PORT")]
    Scheme,
    /// TLS to the proxy itself.
    #[error(
        "https:// proxies are not supported; use http://, which is as safe: the tunnel carries devstream's own TLS"
    )]
    Tls,
    /// No valid host and port.
    #[error("invalid proxy address; use http://HOST:PORT or socks5h://HOST:PORT")]
    Address,
    /// Invalid user or password.
    #[error(
        "invalid proxy credentials: the user is empty, or user or password is longer than 255 bytes or not text; \
         in a URL, write special characters as %XX"
    )]
    Credentials,
}

impl FromStr for ProxyUrl {
    type Err = InvalidProxyUrl;

    fn from_str(text: &str) -> Result<Self, InvalidProxyUrl> {
        let (scheme, rest) = text.trim().split_once("://").unwrap_or(("http", text.trim()));
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyProtocol::HttpConnect,
            "socks5" | "socks5h" => ProxyProtocol::Socks5,
            "https" => return Err(InvalidProxyUrl::Tls),
            _ => return Err(InvalidProxyUrl::Scheme),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(parse_userinfo(credentials)?), address),
            None => (None, rest),
        };
        let address = HubAddress::parse(address, DEFAULT_PORT).map_err(|_| InvalidProxyUrl::Address)?;
        Ok(Self { protocol, address, credentials })
    }
}

impl fmt::Display for ProxyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HostPort(&self.address.host, self.address.port).fmt(f)
    }
}

fn parse_userinfo(text: &str) -> Result<ProxyCredentials, InvalidProxyUrl> {
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let decode = |part| percent_decode_str(part).decode_utf8().map_err(|_| InvalidProxyUrl::Credentials);
    ProxyCredentials::new(&decode(user)?, &decode(password)?).map_err(|_| InvalidProxyUrl::Credentials)
}

/// The choice of a proxy for each host.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    proxy: Option<Arc<ProxyUrl>>,
    no_proxy: Option<NoProxy>,
}

/// The error for an environment variable that is not a proxy URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct InvalidProxyVariable {
    name: &'static str,
    why: InvalidProxyUrl,
}

/// The variables that curl reads for an https:// URL, in its order: lower case wins.
const PROXY_VARIABLES: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY_VARIABLES: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl ProxySettings {
    /// Uses this proxy for every host.
    pub fn always(proxy: ProxyUrl) -> Self {
        Self { proxy: Some(Arc::new(proxy)), no_proxy: None }
    }

    /// Reads the environment. Unlike with curl, loopback addresses are never proxied.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidProxyVariable> {
        let set = |name: &&'static str| Some((*name, variable(name).filter(|value| !value.is_empty())?));
        let Some((name, value)) = PROXY_VARIABLES.iter().find_map(set) else { return Ok(Self::default()) };
        let url = value.parse().map_err(|why| InvalidProxyVariable { name, why })?;
        let no_proxy = NO_PROXY_VARIABLES.iter().find_map(set).map(|(_, value)| value).unwrap_or_default();
        Ok(Self { no_proxy: Some(NoProxy::parse(&no_proxy)), ..Self::always(url) })
    }

    /// Replaces the credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: ProxyCredentials) -> Self {
        let proxy = self.proxy.map(|url| Arc::new(ProxyUrl { credentials: Some(credentials), ..(*url).clone() }));
        Self { proxy, ..self }
    }

    /// Reports whether any host is reached through a proxy.
    pub fn has_proxy(&self) -> bool {
        self.proxy.is_some()
    }

    /// Returns the proxy for a host; none for a direct connection.
    pub fn proxy_for(&self, host: &str) -> Option<&ProxyUrl> {
        let is_excepted = self.no_proxy.as_ref().is_some_and(|rules| rules.matches(host));
        self.proxy.as_deref().filter(|_| !is_excepted)
    }
}

/// `NO_PROXY`: domain names, which match their subdomains too, addresses and networks, separated by commas or spaces;
/// or `*`.
#[derive(Debug, Clone)]
struct NoProxy {
    all: bool,
    names: Vec<String>,
    networks: Vec<IpNet>,
}

impl NoProxy {
    fn parse(text: &str) -> Self {
        let mut rules = Self { all: false, names: vec!["localhost".into()], networks: Vec::new() };
        for entry in text.split([',', ' ', '\t']).filter(|entry| !entry.is_empty()) {
            let bare = entry.trim_start_matches('[').trim_end_matches(']');
            match (entry, bare.parse::<IpNet>(), bare.parse::<IpAddr>()) {
                ("*", ..) => rules.all = true,
                (_, Ok(network), _) => rules.networks.push(network),
                (_, _, Ok(address)) => rules.networks.push(address.into()),
                _ => rules.names.push(normalize(entry)),
            }
        }
        rules
    }

    fn matches(&self, host: &str) -> bool {
        if let Ok(address) = host.parse::<IpAddr>() {
            let address = address.to_canonical();
            return self.all || address.is_loopback() || self.networks.iter().any(|network| network.contains(&address));
        }
        let host = normalize(host);
        let below = |name: &String| host.strip_suffix(name.as_str()).is_some_and(|rest| rest.ends_with('.'));
        self.all || self.names.iter().any(|name| host == *name || below(name))
    }
}

/// Strips leading and trailing dots and folds case.
fn normalize(name: &str) -> String {
    name.trim_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<ProxyUrl, InvalidProxyUrl> {
        text.parse()
    }

    #[test]
    fn proxy_urls_parse_as_in_curl() {
        for (text, protocol, shown) in [
            ("http://squid.corp:3128", ProxyProtocol::HttpConnect, "squid.corp:3128"),
            ("squid.corp:3128/", ProxyProtocol::HttpConnect, "squid.corp:3128"),
            ("HTTP://squid.corp", ProxyProtocol::HttpConnect, "squid.corp:1080"),
            ("socks5h://10.0.0.1:9050", ProxyProtocol::Socks5, "10.0.0.1:9050"),
            ("socks5://[fd00::1]", ProxyProtocol::Socks5, "[fd00::1]:1080"),
            ("http://squid.corp:443", ProxyProtocol::HttpConnect, "squid.corp:443"),
        ] {
            let via = url(text).unwrap();
            assert_eq!(
                (via.protocol, via.to_string().as_str(), via.credentials.is_some()),
                (protocol, shown, false),
                "{text}"
            );
        }
        for (text, why) in [
            ("https://squid.corp:3128", InvalidProxyUrl::Tls),
            ("socks4://squid.corp:3128", InvalidProxyUrl::Scheme),
            ("http://", InvalidProxyUrl::Address),
            ("squid.corp:x", InvalidProxyUrl::Address),
            ("http://squid.corp:3128/path", InvalidProxyUrl::Address),
            ("http://:pw@squid.corp:3128", InvalidProxyUrl::Credentials),
            ("http://a%ff:pw@squid.corp:3128", InvalidProxyUrl::Credentials),
            ("", InvalidProxyUrl::Address),
        ] {
            assert_eq!(url(text).unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn credentials_are_read_from_the_url_and_never_shown() {
        let via = url("http://al%40ice:p%3Ass@w@squid.corp:3128").unwrap();
        let credentials = via.credentials.as_ref().unwrap();
        assert_eq!((credentials.user(), credentials.password()), ("al@ice", "p:ss@w"));
        let shown = format!("{via} {via:?} {:?}", ProxySettings::always(via.clone()));
        assert!(shown.contains("squid.corp") && !shown.contains("ss@w") && !shown.contains("p%3A"), "{shown}");
        let wrong = "http://alice:hunter2@squid corp:3128".parse::<ProxyUrl>().unwrap_err();
        assert!(!format!("{wrong} {wrong:?}").contains("hunter2"));
    }

    fn from(variables: &[(&str, &str)]) -> Result<ProxySettings, InvalidProxyVariable> {
        ProxySettings::from_environment(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn variables_mean_what_they_mean_to_curl() {
        let host =
            |variables: &[(&str, &str)]| Some(from(variables).unwrap().proxy_for("hub.corp")?.address.host.clone());
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
    fn exceptions_are_domains_with_their_subdomains_addresses_and_networks() {
        let direct = |exceptions: &str, host: &str| {
            from(&[("all_proxy", "a"), ("no_proxy", exceptions)]).unwrap().proxy_for(host).is_none()
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
        assert!(
            ProxySettings::always(url("a").unwrap()).proxy_for("localhost").is_some(),
            "an explicit proxy has no exceptions"
        );
    }

    #[test]
    fn explicit_credentials_replace_those_in_the_url() {
        let settings = ProxySettings::always(url("http://alice:old@a").unwrap())
            .with_credentials(ProxyCredentials::new("bob", "new").unwrap());
        assert_eq!(settings.proxy_for("hub").unwrap().credentials.as_ref().unwrap().password(), "new");
    }
}
