//! What this hub is called, and where its parts are found.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Shared;
use super::config::HubConfig;
use crate::net::certificate::machine_name;
use crate::proto::admin::HubInfo;
use crate::proto::http::{Bridge, Route};
use crate::proto::id::{DeviceId, Role, StreamId};
use crate::proto::join::{HubAddress, Pin};

impl Shared {
    /// The pin for a join link: none where the machine that joins can do without.
    pub(super) async fn link_pin(&self) -> Option<Pin> {
        let streaming = self.config.streaming.iter().map(|streaming| streaming.host.clone());
        let hosts: Vec<_> = streaming.chain([self.public.host.clone()]).collect();
        let certificate = self.certificate.clone();
        let trusted = move || hosts.iter().all(|host| certificate.is_publicly_trusted(host));
        let trusted = tokio::task::spawn_blocking(trusted).await;
        (!trusted.unwrap_or(false)).then_some(self.info.pin)
    }

    /// Where one side brings its WebSocket: under the name by which it reached the hub, unless streams have a name
    /// of their own.
    pub(super) fn streaming_url(&self, authority: &str, device: &DeviceId, stream: StreamId, role: Role) -> String {
        let base = self.streaming_base(authority);
        let hub = if self.public.host.contains(':') { "hub".into() } else { self.public.host.clone() };
        format!("{base}{}", Route::Bridge(Bridge { hub, device: device.clone(), stream, role }))
    }
}

/// What other machines should call this hub: the name it was given, else the address it listens on, else its own
/// idea of its name.
pub(super) fn public_address(config: &HubConfig, first: SocketAddr) -> HubAddress {
    let configured = config.hostnames.first().cloned();
    let bound = || (!first.ip().is_unspecified()).then(|| first.ip().to_string());
    let host = configured.or_else(bound).or_else(machine_name).unwrap_or_else(|| "localhost".into());
    HubAddress { host, port: first.port() }
}

/// What the hub's user sees of it.
pub(super) fn info(config: &HubConfig, public: &HubAddress, first: SocketAddr, pin: Pin) -> HubInfo {
    HubInfo {
        hostname: public.host.clone(),
        streaming_endpoints: vec![streaming_endpoint(config, public)],
        pin,
        local: HubAddress { host: reachable(first.ip()).to_string(), port: first.port() },
        version: env!("CARGO_PKG_VERSION").into(),
    }
}

fn streaming_endpoint(config: &HubConfig, public: &HubAddress) -> String {
    match &config.streaming {
        Some(streaming) => streaming.url.replacen("wss://", "https://", 1),
        None => format!("https://{public}"),
    }
}

/// Where a listener is reached from its own machine.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }
}
