//! The flags of the device-agent, the service-proxy and the demo.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueHint};

use super::client_limits::ClientLimitArgs;
use super::transport::TransportArgs;
use super::value_parsers::{DEVICE_SUFFIX, handshake_seconds, in_seconds, new_device_id, seconds};
use super::{ConfigFile, DRAIN_SECONDS, HubArgs};
use crate::cli::output::advice::Advice;
use crate::proto::forward::{Forward, LocalForward};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::limits::HANDSHAKE_TIMEOUT;
use crate::proto::scope::Glob;

/// Run the device's end: dial out to the hub, and connect streams to local targets
///
/// Needs no configuration where the same user runs a hub; elsewhere, run `devstream join` first.
#[derive(Debug, Args)]
pub(in crate::cli) struct DeviceAgent {
    /// Offer this target, under this name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)
    ///
    /// Without a NAME, 22 is called ssh, 3389 rdp, 5900 vnc, 80 http, 443 https, and any other port by its number. Without a
    /// HOST, 127.0.0.1 is tried and then ::1.
    #[arg(long, value_name = "[NAME=][HOST:]PORT", required = true, env = "DEVSTREAM_FORWARD", value_delimiter = ',')]
    pub(in crate::cli) forward: Vec<Forward>,
    /// Run as this device [default: the id that joined, else the host name]
    #[arg(long, value_name = "ID", value_parser = new_device_id, env = "DEVSTREAM_ID")]
    pub(in crate::cli) id: Option<DeviceId>,
    /// Accept this service, by name or pattern, and reject others, whatever the hub allows (repeatable) [default: all]
    #[arg(long, value_name = "GLOB", env = "DEVSTREAM_ALLOW_SERVICE", value_delimiter = ',')]
    pub(in crate::cli) allow_service: Vec<Glob>,
    /// Accept streams that are not encrypted end to end of this service, by name or pattern (repeatable) [default: none]
    ///
    /// For programs other than devstream. The hub can read and change what such a stream carries.
    #[arg(long, value_name = "GLOB", env = "DEVSTREAM_ALLOW_PLAIN", value_delimiter = ',')]
    pub(in crate::cli) allow_plain: Vec<Glob>,
    /// Run this shell command for each stream: exit status 0 accepts it
    ///
    /// Its environment has DEVSTREAM_SERVICE, DEVSTREAM_SOURCE (the service's address), DEVSTREAM_STREAM,
    /// DEVSTREAM_DEVICE and DEVSTREAM_REQUEST. The first line that it prints is the reason of a rejection. After 10
    /// seconds, it is killed and the stream rejected.
    #[arg(long, value_name = "COMMAND", env = "DEVSTREAM_ACCEPT_COMMAND", value_hint = ValueHint::CommandString)]
    pub(in crate::cli) accept_command: Option<String>,
    #[command(flatten)]
    pub(in crate::cli) hub: HubArgs,
    #[command(flatten)]
    pub(in crate::cli) transport: TransportArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: ClientLimitArgs,
    #[command(flatten)]
    pub(in crate::cli) drain: DrainArgs,
    #[command(flatten)]
    _file: ConfigFile,
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct DrainArgs {
    /// Let running streams go on for this long after a first SIGTERM or Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = DRAIN_SECONDS, value_parser = seconds, env = "DEVSTREAM_DRAIN_TIMEOUT")]
    pub(in crate::cli) drain_timeout: Duration,
}

/// Run the operator's end: local ports whose connections become streams to a device
///
/// For OpenSSH, without a port: ssh -o ProxyCommand='devstream service-proxy --device %n --stdio' pi-42
#[derive(Debug, Args)]
pub(in crate::cli) struct ServiceProxy {
    /// Reach this device
    #[arg(value_name = "DEVICE")]
    positional_device: Option<DeviceId>,
    /// Reach this device, unless DEVICE names one
    #[arg(long, value_name = "ID", required_unless_present = "positional_device", env = "DEVSTREAM_DEVICE")]
    device: Option<DeviceId>,
    /// Listen on this local port for this stream: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)
    ///
    /// Without a STREAM, asks for that of --stream. Without a BIND, listens on 127.0.0.1.
    #[arg(
        long,
        value_name = "[BIND:]PORT[=STREAM]",
        required_unless_present = "stdio",
        conflicts_with = "stdio",
        env = "DEVSTREAM_LOCAL",
        value_delimiter = ','
    )]
    pub(in crate::cli) local: Vec<LocalForward>,
    /// Carry one stream on standard input and output, for ssh's ProxyCommand
    #[arg(long)]
    pub(in crate::cli) stdio: bool,
    /// Remove this suffix from --device instead of .devstream, which OpenSSH's host names have
    #[arg(long, value_name = "SUFFIX", requires = "stdio")]
    pub(in crate::cli) strip: Option<String>,
    /// Ask for this stream, with --stdio and at each --local without one [default: the device's first forward]
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) stream: Option<StreamName>,
    /// Wait this long for an offline device to come online; at most 60 s
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(CONNECT_TIMEOUT), value_parser = handshake_seconds, env = "DEVSTREAM_CONNECT_TIMEOUT")]
    pub(in crate::cli) connect_timeout: Duration,
    /// Open streams that are not encrypted end to end, for a device whose agent is none of devstream's
    ///
    /// The hub can read and change what such a stream carries.
    #[arg(long, env = "DEVSTREAM_PLAIN")]
    pub(in crate::cli) plain: bool,
    /// Wait this long for an online device to answer; at most 60 s
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(HANDSHAKE_TIMEOUT), value_parser = handshake_seconds, env = "DEVSTREAM_RESPONSE_TIMEOUT")]
    pub(in crate::cli) response_timeout: Duration,
    #[command(flatten)]
    pub(in crate::cli) hub: HubArgs,
    #[command(flatten)]
    pub(in crate::cli) transport: TransportArgs,
    #[command(flatten)]
    pub(in crate::cli) limits: ClientLimitArgs,
    #[command(flatten)]
    pub(in crate::cli) drain: DrainArgs,
    #[command(flatten)]
    _file: ConfigFile,
}

/// The time to wait for a device that has just lost its connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl ServiceProxy {
    /// Returns the advice that fits its settings.
    pub(in crate::cli) fn advice(&self, has_ports: bool) -> Advice {
        Advice { has_ports, wait_is_chosen: self.connect_timeout != CONNECT_TIMEOUT }
    }

    /// Returns the device to reach, also where its host name is given.
    pub(in crate::cli) fn device(&self) -> anyhow::Result<DeviceId> {
        let named = self.positional_device.as_ref().or(self.device.as_ref());
        let named = named.context("no device is named: give its id")?;
        match named.as_str().strip_suffix(self.strip.as_deref().unwrap_or(DEVICE_SUFFIX)) {
            Some(id) => id.parse().with_context(|| format!("'{named}' is no valid device id")),
            None => Ok(named.clone()),
        }
    }
}

/// Try devstream: a hub, a device-agent and a service-proxy in one process, on loopback
///
/// Forwards to port 22 if something listens there, else to a small built-in page. Leaves no files behind.
#[derive(Debug, Args)]
pub(in crate::cli) struct Demo {
    /// Listen on this local port; 0 takes any free port
    #[arg(long, value_name = "[BIND:]PORT[=STREAM]", default_value = "2222")]
    pub(in crate::cli) local: LocalForward,
    /// Offer this target, under this name [default: 22 if something listens there]
    #[arg(long, value_name = "[NAME=][HOST:]PORT")]
    pub(in crate::cli) forward: Option<Forward>,
}
