//! The hub's public name, and the URLs of its endpoints.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::certificate::CertificateResolver;
use super::config::HubConfig;
use super::own_urls::OwnUrls;
use crate::net::os::hostname::machine_name;
use crate::proto::admin::HubInfo;
use crate::proto::join::{HubAddress, Pin};

/// The addresses under which clients reach the hub.
pub(super) struct Endpoints {
    /// The description that the hub's own user reads.
    pub(super) info: HubInfo,
    /// The address in join links.
    pub(super) public: HubAddress,
    /// The certificates that clients are shown.
    pub(super) certificate: Arc<CertificateResolver>,
    /// The URLs that clients are given.
    pub(super) urls: OwnUrls,
    /// The host name of the separate streaming endpoint.
    streaming_host: Option<String>,
}

impl Endpoints {
    /// Derives the public address and the URLs. `first` is the address of the first listener, `own` the one that this hub alone
    /// has in a cluster.
    pub(super) fn new(
        config: &HubConfig,
        first: SocketAddr,
        own: Option<&HubAddress>,
        pin: Pin,
        certificate: Arc<CertificateResolver>,
    ) -> Self {
        let public = public_address(config, first);
        let info = info(config, &public, first, pin);
        let streaming = config.streaming.as_ref();
        let own = own.map(|own| format!("wss://{own}"));
        let urls = OwnUrls::new(&public.host, streaming.map(|streaming| streaming.url.as_str()).or(own.as_deref()));
        Self { info, public, certificate, urls, streaming_host: streaming.map(|streaming| streaming.host.clone()) }
    }

    /// Returns the pin for a join link, or `None` if a public authority's certificate covers every host name that the
    /// client will use.
    pub(super) async fn link_pin(&self) -> Option<Pin> {
        let hosts: Vec<_> = self.streaming_host.iter().chain([&self.public.host]).cloned().collect();
        let certificate = self.certificate.clone();
        let trusted = move || hosts.iter().all(|host| certificate.is_publicly_trusted(host));
        let trusted = tokio::task::spawn_blocking(trusted).await;
        (!trusted.unwrap_or(false)).then_some(self.info.pin)
    }
}

/// The hub's address for other machines: its configured host name, else the address that it listens on, else the host
/// name of the machine.
fn public_address(config: &HubConfig, first: SocketAddr) -> HubAddress {
    let configured = config.hostnames.first().cloned();
    let bound = || (!first.ip().is_unspecified()).then(|| first.ip().to_string());
    let host = configured.or_else(bound).or_else(machine_name).unwrap_or_else(|| "localhost".into());
    HubAddress { host, port: first.port() }
}

fn info(config: &HubConfig, public: &HubAddress, first: SocketAddr, pin: Pin) -> HubInfo {
    HubInfo {
        hostname: public.host.clone(),
        other_hostnames: config.hostnames.iter().skip(1).cloned().collect(),
        loopback_only: [first].iter().chain(&config.listen).all(|address| address.ip().is_loopback()),
        name_is_guessed: config.hostnames.is_empty() && first.ip().is_unspecified(),
        streaming_endpoints: vec![streaming_endpoint(config, public)],
        pin,
        local: HubAddress { host: reachable(first.ip()).to_string(), port: first.port() },
        listening: Some(first),
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn streaming_endpoint(config: &HubConfig, public: &HubAddress) -> String {
    match &config.streaming {
        Some(streaming) => streaming.url.replacen("wss://", "https://", 1),
        None => format!("https://{public}"),
    }
}

/// The address at which a listener is reached from its own machine.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }
}
