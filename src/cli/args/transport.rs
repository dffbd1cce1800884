//! How connections are made and kept, as typed: the same for all roles.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, ValueHint};

use super::value_parsers::{age, seconds};
use crate::cli::paths;
use crate::net::os::private_files::read_secret;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{DEAD_AFTER_RANGE, MAX_RESUME_GRACE, MAX_STANDBYS_PER_IDENTITY, STANDBYS_PER_IDENTITY};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::ProxyCredentials;
use crate::proto::via::{ProxySettings, ProxyUrl};

#[derive(Debug, Clone, Default, Args)]
pub(in crate::cli) struct ViaArgs {
    /// Go out through this proxy: http://HOST:PORT (CONNECT), socks5h://HOST:PORT, or direct for none
    ///
    /// To the hub; a hub itself goes nowhere but to the authority of its --acme. The proxy looks up the name, and nobody else
    /// does. Without this flag the environment names it, as it does to curl: HTTPS_PROXY, else ALL_PROXY, but not for what is
    /// in NO_PROXY or on this machine itself.
    #[arg(long, value_name = "URL", env = "DEVSTREAM_VIA", hide_env_values = true, value_parser = ViaParser,
          value_hint = ValueHint::Url)]
    via: Option<ViaChoice>,
    /// The file with the proxy's USER:PASSWORD, which nobody else may read
    #[arg(long, value_name = "FILE", env = "DEVSTREAM_VIA_LOGIN", value_hint = ValueHint::FilePath)]
    via_login: Option<PathBuf>,
}

/// What --via says.
#[derive(Debug, Clone)]
enum ViaChoice {
    Direct,
    Proxy(ProxyUrl),
}

/// The file with a proxy's login, as the service manager hands it over.
pub(in crate::cli) const VIA_LOGIN: &str = "via-login";

/// A user and password take two times 255 bytes.
const LOGIN_FILE_BYTES: u64 = 1024;

impl ViaArgs {
    /// What leads to the hub, read anew for each connection that is made: a file may be better the next time.
    pub(in crate::cli) fn proxy_settings(&self) -> Result<ProxySettings, Refusal> {
        self.resolve().map_err(|error| Refusal::new(RefusalKind::HubUnreachable, format!("{error:#}")))
    }

    /// What was typed here, else what was set for the role.
    pub(in crate::cli) fn or(self, role: Self) -> Self {
        Self { via: self.via.or(role.via), via_login: self.via_login.or(role.via_login) }
    }

    /// Where the login is, if it has a file.
    pub(in crate::cli) fn login_file(&self) -> Option<&Path> {
        self.via_login.as_deref()
    }

    /// Whether it is for the environment to say, and this program's does: a service would have another one.
    pub(in crate::cli) fn is_in_environment(&self) -> bool {
        self.via.is_none() && self.proxy_settings().is_ok_and(|proxy| proxy.has_proxy())
    }

    /// The same, for who does not speak of the hub.
    pub(in crate::cli) fn resolve(&self) -> anyhow::Result<ProxySettings> {
        let proxy = match &self.via {
            Some(ViaChoice::Direct) => ProxySettings::default(),
            Some(ViaChoice::Proxy(via)) => ProxySettings::always(via.clone()),
            // What is no text leads nowhere, but never past the proxy.
            None => ProxySettings::from_environment(|name| Some(env::var_os(name)?.to_string_lossy().into_owned()))?,
        };
        match &self.via_login {
            Some(file) => Ok(proxy.with_credentials(login(file)?)),
            None => Ok(proxy),
        }
    }
}

fn login(file: &Path) -> anyhow::Result<ProxyCredentials> {
    let unusable = || format!("cannot use --via-login {}", file.display());
    let handed_over = paths::credential(VIA_LOGIN);
    let bytes = read_secret(handed_over.as_deref().unwrap_or(file), LOGIN_FILE_BYTES).with_context(unusable)?;
    let text = zeroize::Zeroizing::new(String::from_utf8(bytes).context("it is not text").with_context(unusable)?);
    ProxyCredentials::parse(&text).context("it must be one line, USER:PASSWORD").with_context(unusable)
}

/// Never repeats what it was given: there may be a password in it.
#[derive(Debug, Clone)]
struct ViaParser;

/// Every user of a machine reads what stands on command lines, and configuration files get around.
const NO_PASSWORD_HERE: &str = "\
    --via names a proxy without its password, which others could read here: put USER:PASSWORD into a file of its own, \
    close it with chmod 600 FILE, and give --via http://HOST:PORT --via-login FILE; or set \
    HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT in the environment instead; if others may have read it, change the password";

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

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct TransportArgs {
    /// Reset a stream's local connections when its connection to the hub breaks, instead of resuming it
    #[arg(long, env = "DEVSTREAM_NO_RESUME")]
    no_resume: bool,
    /// Give up a connection on which nothing was heard for so long; from 4 s to a day
    ///
    /// The other end answers every few seconds less than that, also while it is busy or its application reads nothing.
    #[arg(long, value_name = "SECONDS", default_value = "45", value_parser = dead_after, env = "DEVSTREAM_DEAD_AFTER", hide_short_help = true)]
    dead_after: Duration,
    /// Keep at most so many connections ready for streams, once there are streams, so that they open at once; 0 keeps none
    ///
    /// At the hub this is for each device and each service; a device or a proxy keeps no more than its hub says.
    #[arg(long, value_name = "NUMBER", default_value_t = STANDBYS_PER_IDENTITY, value_parser = standbys, env = "DEVSTREAM_STANDBYS", hide_short_help = true)]
    standbys: usize,
}

impl TransportArgs {
    /// For the two ends of streams.
    pub(in crate::cli) fn options(&self) -> TransportOptions {
        TransportOptions { resume: !self.no_resume, idle_timeout: self.idle_timeout(), standbys: self.standbys }
    }

    /// For the hub.
    pub(in crate::cli) fn idle_timeout(&self) -> IdleTimeout {
        IdleTimeout { dead_after: self.dead_after }
    }
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ResumeArgs {
    #[command(flatten)]
    transport: TransportArgs,
    /// How long a stream may be interrupted before its local connections are reset, such as 30s, 2m or 8h; at most a day
    #[arg(long, value_name = "AGE", default_value = "2m", value_parser = grace, env = "DEVSTREAM_RESUME_GRACE")]
    resume_grace: Duration,
}

impl ResumeArgs {
    /// How long a stream may be interrupted, if it may be at all.
    pub(in crate::cli) fn grace(&self) -> Option<Duration> {
        Some(self.resume_grace).filter(|grace| !self.transport.no_resume && !grace.is_zero())
    }

    /// How long a connection may be silent.
    pub(in crate::cli) fn idle_timeout(&self) -> IdleTimeout {
        self.transport.idle_timeout()
    }

    /// How many connections of one identity may stand by.
    pub(in crate::cli) fn standbys(&self) -> usize {
        self.transport.standbys
    }
}

fn dead_after(text: &str) -> Result<Duration, String> {
    let given = seconds(text)?;
    let (least, most) = (DEAD_AFTER_RANGE.start(), DEAD_AFTER_RANGE.end());
    let fits = DEAD_AFTER_RANGE.contains(&given.as_secs());
    if fits { Ok(given) } else { Err(format!("it must be from {least} to {most} seconds")) }
}

fn standbys(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number <= MAX_STANDBYS_PER_IDENTITY);
    number.ok_or_else(|| format!("it must be a number from 0 to {MAX_STANDBYS_PER_IDENTITY}"))
}

fn grace(text: &str) -> Result<Duration, String> {
    let given = age(text)?;
    if given <= MAX_RESUME_GRACE { Ok(given) } else { Err("it must be at most 24h".into()) }
}
