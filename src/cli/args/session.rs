//! The flags of `ssh`, `ssh-config` and `rdp` that are those of the service-proxy beneath.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueHint};

use super::transport::ViaText;
use super::value_parsers::handshake_seconds;
use crate::proto::join::HubAddress;

/// Not from the environment, which the service-proxy reads itself.
#[derive(Debug, Args)]
pub(in crate::cli) struct SessionArgs {
    /// Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)
    #[arg(long, value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname, value_delimiter = ',')]
    hub: Vec<HubAddress>,
    /// Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none
    #[arg(long, value_name = "URL", value_parser = ViaText, value_hint = ValueHint::Url)]
    via: Option<String>,
    /// Read the proxy's USER:PASSWORD from this file; no other user may have access to it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    via_login: Option<PathBuf>,
    /// Wait this long for an offline device to come online; at most 60 s [default: the service-proxy's]
    #[arg(long, value_name = "SECONDS", value_parser = handshake_seconds)]
    connect_timeout: Option<Duration>,
    /// Open a stream that is not encrypted end to end, for a device whose agent is none of devstream's
    ///
    /// The hub can read and change what such a stream carries.
    #[arg(long)]
    plain: bool,
}

impl SessionArgs {
    /// Returns the flags for the service-proxy, with their values if they have one.
    pub(in crate::cli) fn flags(&self) -> anyhow::Result<Vec<(&'static str, Option<String>)>> {
        let hubs = self.hub.iter().map(|hub| ("--hub", hub.to_string()));
        let via = self.via.iter().map(|via| ("--via", via.clone()));
        let wait = self.connect_timeout.iter().map(|wait| ("--connect-timeout", wait.as_secs_f64().to_string()));
        let mut flags: Vec<_> = hubs.chain(via).chain(wait).map(|(flag, value)| (flag, Some(value))).collect();
        if let Some(file) = &self.via_login {
            // An installed configuration is read from any directory.
            let path = std::path::absolute(file).ok().and_then(|path| Some(path.to_str()?.to_owned()));
            let path = path.filter(|path| !path.contains('\n'));
            let path = path.context("--via-login: this path cannot be passed on; rename the file")?;
            flags.push(("--via-login", Some(path)));
        }
        flags.extend(self.plain.then_some(("--plain", None)));
        Ok(flags)
    }
}
