//! The flags of connections, which all roles share: the proxy, keepalive, standby connections and resumption.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueHint};

use super::value_parsers::{duration, in_minutes, in_seconds, seconds};
use crate::cli::paths;
use crate::net::os::private_files::read_secret;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{
    DEAD_AFTER, DEAD_AFTER_RANGE, MAX_RESUME_GRACE, MAX_STANDBYS_PER_IDENTITY, RESUME_GRACE, STANDBYS_PER_IDENTITY,
};
use crate::proto::refusal::Refusal;
use crate::proto::secret::ProxyCredentials;
use crate::proto::text;
use crate::proto::via::{ProxySettings, ProxyUrl};

#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ViaArgs {
    /// Connect through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none
    ///
    /// Clients use it to reach the hub, and a hub to reach its ACME authority. Only the proxy resolves the name.
    /// Without this flag, the environment sets the proxy, as for curl: HTTPS_PROXY, else ALL_PROXY, except for hosts in
    /// NO_PROXY and on loopback.
    #[arg(long, value_name = "URL", env = "DEVSTREAM_VIA", hide_env_values = true, value_parser = ViaParser,
          value_hint = ValueHint::Url)]
    via: Option<ViaChoice>,
    /// Read the proxy's USER:PASSWORD from this file; no other user may have access to it
    #[arg(long, value_name = "FILE", env = "DEVSTREAM_VIA_LOGIN", value_hint = ValueHint::FilePath)]
    via_login: Option<PathBuf>,
}

/// The value of --via.
#[derive(Debug, Clone)]
enum ViaChoice {
    Direct,
    Proxy(ProxyUrl),
}

/// The name of the credential with which systemd passes a service the proxy's credentials.
pub(in crate::cli) const VIA_LOGIN: &str = "via-login";

/// The limit on a file of credentials: a user and a password take 255 bytes each (RFC 1929).
const CREDENTIALS_FILE_BYTES: u64 = 1024;

impl ViaArgs {
    /// Returns the proxy to the hub. Read for each connection, since the file may have been corrected.
    pub(in crate::cli) fn proxy_settings(&self) -> Result<ProxySettings, Refusal> {
        self.resolve().map_err(|error| Refusal::local(format!("{error:#}")))
    }

    /// Fills in what these flags leave open from the role's settings.
    pub(in crate::cli) fn or(self, role: Self) -> Self {
        Self { via: self.via.or(role.via), via_login: self.via_login.or(role.via_login) }
    }

    /// Returns the file of credentials.
    pub(in crate::cli) fn login_file(&self) -> Option<&Path> {
        self.via_login.as_deref()
    }

    /// Reports whether the proxy comes from this program's environment, which a service would not have.
    pub(in crate::cli) fn is_in_environment(&self) -> bool {
        self.via.is_none() && self.proxy_settings().is_ok_and(|proxy| proxy.has_proxy())
    }

    /// Returns the proxy, with an error that does not mention the hub.
    pub(in crate::cli) fn resolve(&self) -> anyhow::Result<ProxySettings> {
        let proxy = match &self.via {
            Some(ViaChoice::Direct) => ProxySettings::default(),
            Some(ViaChoice::Proxy(via)) => ProxySettings::always(via.clone()),
            // A variable that is not Unicode is an invalid proxy, not a missing one: nothing bypasses the proxy.
            None => ProxySettings::from_environment(|name| Some(env::var_os(name)?.to_string_lossy().into_owned()))?,
        };
        match &self.via_login {
            Some(file) => Ok(proxy.with_credentials(credentials(file)?)),
            None => Ok(proxy),
        }
    }
}

fn credentials(file: &Path) -> anyhow::Result<ProxyCredentials> {
    let unusable = || format!("cannot use --via-login {}", file.display());
    let credential = paths::credential(VIA_LOGIN);
    // These errors name the file.
    let read = read_secret(credential.as_deref().unwrap_or(file), CREDENTIALS_FILE_BYTES);
    let bytes = read.context("cannot use --via-login")?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let text = zeroize::Zeroizing::new(text::decode(&bytes).context("it is not UTF-8 text").with_context(unusable)?);
    ProxyCredentials::parse(&text).context("it must be one line, USER:PASSWORD").with_context(unusable)
}

/// The parser of --via. Its errors never repeat the value, which may contain a password.
#[derive(Debug, Clone)]
struct ViaParser;

/// Command lines are visible to every user of a machine, and configuration files are shared.
const NO_PASSWORD_HERE: &str = "\
    --via takes no password, since others could read it here: put USER:PASSWORD into a file, run chmod 600 FILE, and \
    give --via http://HOST:PORT --via-login FILE; or set HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT in the environment; \
    if others may have read the password, change it";

impl TypedValueParser for ViaParser {
    type Value = ViaChoice;

    fn parse_ref(&self, command: &Command, _: Option<&Arg>, value: &OsStr) -> Result<ViaChoice, clap::Error> {
        let wrong = |why: &str| clap::Error::raw(ErrorKind::ValueValidation, format!("{why}\n")).with_cmd(command);
        let text = value.to_str().unwrap_or_default();
        if text == "direct" {
            return Ok(ViaChoice::Direct);
        }
        match text.parse::<ProxyUrl>() {
            Ok(via) if via.credentials.is_none() => Ok(ViaChoice::Proxy(via)),
            Ok(_) => Err(wrong(NO_PASSWORD_HERE)),
            Err(error) => Err(wrong(&format!("--via: {error}"))),
        }
    }
}

/// The parser of a --via that is passed on as it is.
#[derive(Debug, Clone)]
pub(super) struct ViaText;

impl TypedValueParser for ViaText {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        ViaParser.parse_ref(command, arg, value)?;
        Ok(value.to_string_lossy().into_owned())
    }
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct TransportArgs {
    /// Reset a stream's local connections when its connection to the hub breaks, instead of resuming it
    #[arg(long, env = "DEVSTREAM_NO_RESUME")]
    no_resume: bool,
    /// Close connections that are silent this long; from 4 s to a day
    ///
    /// The other end answers keepalives well within this time, even while it is busy or its application reads nothing.
    #[arg(long, value_name = "SECONDS", default_value = in_seconds(DEAD_AFTER), value_parser = dead_after, env = "DEVSTREAM_DEAD_AFTER", hide_short_help = true)]
    dead_after: Duration,
    /// Keep this many standby connections for further streams, so that they open at once; 0 keeps none
    ///
    /// At the hub, the limit for each device and each service; a device or a proxy keeps no more than its hub allows.
    #[arg(long, value_name = "NUMBER", default_value_t = STANDBYS_PER_IDENTITY, value_parser = standbys, env = "DEVSTREAM_STANDBYS", hide_short_help = true)]
    standbys: usize,
}

impl TransportArgs {
    /// Converts the flags for the two ends of streams.
    pub(in crate::cli) fn options(&self) -> TransportOptions {
        TransportOptions { resume: !self.no_resume, idle_timeout: self.idle_timeout(), standbys: self.standbys }
    }

    /// Converts the flags for the hub.
    pub(in crate::cli) fn idle_timeout(&self) -> IdleTimeout {
        IdleTimeout { dead_after: self.dead_after }
    }
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ResumeArgs {
    #[command(flatten)]
    transport: TransportArgs,
    /// Keep an interrupted stream for this long before its local connections are reset, such as 30s, 2m or 8h; at most
    /// a day
    #[arg(long, value_name = "DURATION", default_value = in_minutes(RESUME_GRACE), value_parser = grace, env = "DEVSTREAM_RESUME_GRACE")]
    resume_grace: Duration,
}

impl ResumeArgs {
    /// Returns how long an interrupted stream is kept; none if streams are not resumed.
    pub(in crate::cli) fn grace(&self) -> Option<Duration> {
        Some(self.resume_grace).filter(|grace| !self.transport.no_resume && !grace.is_zero())
    }

    /// Returns the idle timeout of connections.
    pub(in crate::cli) fn idle_timeout(&self) -> IdleTimeout {
        self.transport.idle_timeout()
    }

    /// Returns the limit on standby connections of one identity.
    pub(in crate::cli) fn standbys(&self) -> usize {
        self.transport.standbys
    }
}

fn dead_after(text: &str) -> Result<Duration, String> {
    let given = seconds(text)?;
    let (least, most) = (DEAD_AFTER_RANGE.start(), DEAD_AFTER_RANGE.end());
    let fits = DEAD_AFTER_RANGE.contains(&given.as_secs());
    if fits { Ok(given) } else { Err(format!("must be from {least} to {most} seconds")) }
}

fn standbys(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MAX_STANDBYS_PER_IDENTITY);
    number.ok_or_else(|| format!("must be a number from 0 to {MAX_STANDBYS_PER_IDENTITY}"))
}

fn grace(text: &str) -> Result<Duration, String> {
    let given = duration(text)?;
    if given <= MAX_RESUME_GRACE { Ok(given) } else { Err("must be at most 24h".into()) }
}
