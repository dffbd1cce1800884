//! Starting the three roles from what was typed.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use indicatif::MultiProgress;

use super::args::{DeviceAgent, HubServe, ServiceProxy};
use super::identity::{default_device, enrol, service};
use super::view::Watcher;
use super::{Failure, home, signals, stdio, text};
use crate::agent::{self, config::AgentConfig};
use crate::hub::Hub;
use crate::hub::broker::Settings;
use crate::hub::config::{HubConfig, Streaming};
use crate::net::shutdown::Shutdown;
use crate::net::socket::has_ipv6;
use crate::proto::admin::HubInfo;
use crate::proto::id::{Principal, Role};
use crate::proto::join::HubAddress;
use crate::proto::limits::{HANDSHAKE_TIMEOUT, TOKEN_LIFETIME};
use crate::proxy::config::ProxyConfig;
use crate::proxy::{self, ServiceProxy as Proxy};

/// All addresses, IPv6 and IPv4; below it a port that needs no privilege.
const DEFAULT_LISTEN: &str = "[::]:8443";

/// The same where a machine has no IPv6.
const DEFAULT_LISTEN_IPV4: &str = "0.0.0.0:8443";

pub(super) async fn hub(serve: HubServe, state: Option<PathBuf>) -> Result<(), Failure> {
    let config = hub_config(serve, state).map_err(Failure::Usage)?;
    let hangups = signals::Hangups::listen()?;
    let hub = Hub::bind(config).await.map_err(Failure::Usage)?;
    for (address, streams_only) in hub.addresses() {
        let what = if streams_only { "streaming endpoint listening" } else { "listening" };
        text::err(&format!("hub: {what} on https://{address}"));
    }
    advise(hub.info());
    let shutdown = Shutdown::default();
    let cut = {
        let reload = hub.reload();
        let serving = hangups.while_passing_on(&reload, hub.serve(shutdown.clone()));
        signals::while_passing_on(&shutdown, serving).await??
    };
    if cut > 0 {
        text::err(&format!("hub: ended, cutting {cut} streams"));
    } else {
        text::err("hub: ended");
    }
    Ok(())
}

/// What a person who has just started a hub needs to know next.
fn advise(info: &HubInfo) {
    let loopback = info.hostname.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if loopback {
        return text::err("hub: only this machine reaches it; --listen '[::]:8443' --hostname NAME opens it to others");
    }
    if info.local.port != 443 {
        text::err("hub: firewalls let port 443 out most often; --listen '[::]:443' takes it, given the privilege");
    }
    text::err(&format!("hub: other machines reach it as {}; `devstream hub device add ID` invites one", info.hostname));
}

fn hub_config(serve: HubServe, state: Option<PathBuf>) -> anyhow::Result<HubConfig> {
    let mut listen = serve.listen;
    if listen.is_empty() {
        let default = if has_ipv6() { DEFAULT_LISTEN } else { DEFAULT_LISTEN_IPV4 };
        listen.push(default.parse().context("the default address")?);
    }
    let streaming = serve.streaming_endpoint.zip(serve.streaming_listen);
    let streaming = streaming.map(|(url, listen)| streaming_endpoint(url, listen)).transpose()?;
    Ok(HubConfig {
        listen,
        certificate: serve.certificate.source(&serve.hostname)?,
        hostnames: serve.hostname,
        allow_tls_inspection: serve.allow_tls_inspection,
        state: home::hub_state(state.as_deref())?,
        streaming,
        broker: Settings {
            handshake: serve.handshake_timeout.min(HANDSHAKE_TIMEOUT),
            token: serve.handshake_timeout.min(TOKEN_LIFETIME),
            ..Settings::default()
        },
        drain: serve.drain_timeout,
    })
}

fn streaming_endpoint(url: String, listen: SocketAddr) -> anyhow::Result<Streaming> {
    let wrong = || anyhow!("--streaming-endpoint must be wss://HOST:PORT, and '{url}' is not");
    let address: HubAddress = url.strip_prefix("wss://").ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    Ok(Streaming { url: format!("wss://{address}"), host: address.host, listen })
}

pub(super) async fn device_agent(agent: DeviceAgent) -> Result<(), Failure> {
    let mut names: Vec<_> = agent.forward.iter().map(|forward| &forward.name).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        let advice = format!("two forwards are called {}; name them apart: --forward NAME=PORT", twice[0]);
        return Err(Failure::Usage(anyhow!(advice)));
    }
    let id = agent.id.map_or_else(default_device, |id| Ok(id.into()))?;
    let principal = Principal { role: Role::Device, id };
    let config = AgentConfig {
        device: principal.id.clone().into(),
        enrol: enrol(principal, agent.hub),
        forwards: agent.forward,
        drain: agent.drain.drain_timeout,
    };
    let shutdown = Shutdown::default();
    signals::while_passing_on(&shutdown, agent::run(config, shutdown.clone())).await?;
    Ok(())
}

pub(super) async fn service_proxy(proxy: ServiceProxy, progress: Option<MultiProgress>) -> Result<(), Failure> {
    let principal = Principal { role: Role::Service, id: service()? };
    let watcher = Watcher::new(progress);
    let config = ProxyConfig {
        enrol: enrol(principal, proxy.hub),
        device: proxy.device.clone(),
        locals: proxy.local,
        connect_timeout: proxy.connect_timeout,
        response_timeout: proxy.response_timeout,
        drain: proxy.drain.drain_timeout,
        observer: Arc::new(move |event| watcher.see(event)),
    };
    if proxy.stdio {
        let done = proxy::pipe(config, proxy.stream, (tokio::io::stdin(), stdio::Output::new())).await;
        return done.map_err(|(_, refusal)| Failure::Refused(refusal));
    }
    let bound = Proxy::bind(config).await.map_err(Failure::Usage)?;
    for (address, to) in bound.addresses() {
        text::err(&format!("service-proxy: {to} on {address}"));
    }
    let shutdown = Shutdown::default();
    signals::while_passing_on(&shutdown, bound.serve(shutdown.clone())).await?;
    Ok(())
}
