//! The flags of `devstream hub`, and the hub's settings made from them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{anyhow, bail};
use clap::{Args, ValueHint};
use ipnet::IpNet;

use super::certificate::CertificateArgs;
use super::limits::LimitArgs;
use super::transport::ResumeArgs;
use super::value_parsers::{handshake_seconds, hostname, in_seconds, network, seconds};
use super::{ActivityArgs, ConfigFile, DRAIN_SECONDS, GLOBAL, HubCommand};
use crate::cli::paths;
use crate::hub::broker::Settings;
use crate::hub::config::{HubConfig, Streaming};
use crate::net::transport::socket::has_ipv6;
use crate::proto::join::HubAddress;
use crate::proto::limits::{HANDSHAKE_TIMEOUT, TOKEN_LIFETIME};

/// A port that needs no privilege.
const DEFAULT_PORT: u16 = 8443;

/// Run a hub, or manage the running one
///
/// Without a subcommand, runs a hub: TLS and WebSocket on one port, with a certificate authority of its own, which join
/// links pin. The subcommands talk to the hub that the same user runs on this machine.
#[derive(Debug, Args)]
pub(in crate::cli) struct Hub {
    #[command(flatten)]
    pub(in crate::cli) serve: HubServe,
    #[command(flatten)]
    pub(in crate::cli) state: HubState,
    #[command(flatten)]
    pub(in crate::cli) file: ConfigFile,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<HubCommand>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct HubState {
    /// Keep the hub's state in this directory [default: devstream/hub in the user's data directory]
    ///
    /// Where the default does not exist, the subcommands talk to the hub that `devstream service install hub` set up.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, env = "DEVSTREAM_STATE_DIR", global = true, help_heading = GLOBAL)]
    pub(in crate::cli) state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct HubServe {
    /// Listen on this address, or this port of all addresses; port 0 takes any free port (repeatable) [default:
    /// [::]:8443]
    ///
    /// Most firewalls allow port 443 out. To bind it without root, run `setcap cap_net_bind_service=+ep` on the
    /// program, or redirect the port.
    #[arg(long, value_name = "[ADDR:]PORT", env = "DEVSTREAM_LISTEN", value_delimiter = ',', value_parser = listen_address)]
    pub(in crate::cli) listen: Vec<SocketAddr>,
    /// Public host name of this hub; the first goes into join links, all into the certificate (repeatable)
    #[arg(long, value_name = "NAME", env = "DEVSTREAM_HOSTNAME", value_delimiter = ',', value_parser = hostname,
          value_hint = ValueHint::Hostname)]
    pub(in crate::cli) hostname: Vec<String>,
    #[command(flatten)]
    pub(in crate::cli) certificate: CertificateArgs,
    /// Take the client's address from the PROXY protocol header of connections from this load balancer, an address or a
    /// network such as 10.0.0.0/24 (repeatable)
    ///
    /// Every connection from there has to begin with such a header, of version 1 or 2, and is believed.
    #[arg(long, value_name = "NETWORK", env = "DEVSTREAM_PROXY_PROTOCOL_FROM", value_delimiter = ',', value_parser = network)]
    pub(in crate::cli) proxy_protocol_from: Vec<IpNet>,
    /// Accept clients behind proxies that inspect TLS, if they allow it too
    #[arg(long, env = "DEVSTREAM_ALLOW_TLS_INSPECTION")]
    pub(in crate::cli) allow_tls_inspection: bool,
    /// Public base URL of the streaming endpoint, instead of the hub's
    #[arg(long, value_name = "wss://HOST:PORT", env = "DEVSTREAM_STREAMING_ENDPOINT")]
    pub(in crate::cli) streaming_endpoint: Option<String>,
    /// Listen on this address for the streaming endpoint
    #[arg(long, value_name = "ADDR:PORT", env = "DEVSTREAM_STREAMING_LISTEN")]
    pub(in crate::cli) streaming_listen: Option<SocketAddr>,
    /// Limit a stream's handshake, and the validity of its token; at most 60 s
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(HANDSHAKE_TIMEOUT), value_parser = handshake_seconds, env = "DEVSTREAM_HANDSHAKE_TIMEOUT")]
    pub(in crate::cli) handshake_timeout: Duration,
    /// Let running streams go on for this long after a first SIGTERM or Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = DRAIN_SECONDS, value_parser = seconds, env = "DEVSTREAM_DRAIN_TIMEOUT")]
    pub(in crate::cli) drain_timeout: Duration,
    /// Serve /metrics (OpenMetrics, for Prometheus), /healthz and /readyz here: plain HTTP, for a private network only
    #[arg(long, value_name = "ADDR:PORT", env = "DEVSTREAM_METRICS")]
    pub(in crate::cli) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(in crate::cli) resume: ResumeArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: LimitArgs,
    #[command(flatten)]
    pub(in crate::cli) activity: ActivityArgs,
}

impl HubServe {
    /// Converts the flags to the hub's settings, and checks those that depend on each other.
    pub(in crate::cli) fn config(self, state: Option<&Path>) -> anyhow::Result<HubConfig> {
        let mut listen = self.listen;
        if listen.is_empty() {
            listen.push(on_all_addresses(DEFAULT_PORT));
        }
        let streaming = match (self.streaming_endpoint, self.streaming_listen) {
            (Some(url), Some(listen)) => Some(streaming_endpoint(url, listen)?),
            (None, None) => None,
            (Some(_), None) => bail!("--streaming-endpoint needs --streaming-listen, the address behind that URL"),
            (None, Some(_)) => bail!("--streaming-listen needs --streaming-endpoint, the URL of that address"),
        };
        Ok(HubConfig {
            listen,
            certificate: self.certificate.source(&self.hostname)?,
            hostnames: self.hostname,
            allow_tls_inspection: self.allow_tls_inspection,
            state: paths::user_hub_state(state)?,
            load_balancers: self.proxy_protocol_from,
            streaming,
            broker: Settings {
                handshake: self.handshake_timeout.min(HANDSHAKE_TIMEOUT),
                token: self.handshake_timeout.min(TOKEN_LIFETIME),
                pending: self.limits.pending(),
                streams: self.limits.streams(),
                resume: self.resume.grace(),
            },
            activity: self.activity.settings()?,
            drain: self.drain_timeout,
            idle_timeout: self.resume.idle_timeout(),
            standbys: self.resume.standbys(),
            limits: self.limits.limits(),
            metrics: self.metrics,
        })
    }
}

/// Returns all addresses of the machine: those of IPv6, if it has that, take IPv4's too.
fn on_all_addresses(port: u16) -> SocketAddr {
    let all: IpAddr = if has_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    (all, port).into()
}

fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix(':').unwrap_or(text).parse().ok().map(on_all_addresses);
    port.map_or_else(|| text.parse(), Ok)
        .map_err(|_| format!("expected ADDR:PORT or a port, as in [::]:{DEFAULT_PORT}"))
}

fn streaming_endpoint(url: String, listen: SocketAddr) -> anyhow::Result<Streaming> {
    let wrong = || anyhow!("invalid --streaming-endpoint '{url}': expected wss://HOST:PORT");
    let address: HubAddress = url.strip_prefix("wss://").ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    Ok(Streaming { url: format!("wss://{address}"), host: address.host, listen })
}
