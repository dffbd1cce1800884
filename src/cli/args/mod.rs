//! The command line: subcommands, flags, and their help, from which man pages and completions are generated.
//!
//! In: words, the environment, and defaults from the configuration file. Out: typed settings for each command.

mod activity;
mod certificate;
mod check;
mod client_limits;
mod cluster;
mod config_command;
mod epilogue;
mod fleet;
mod hub;
mod hub_args;
mod limits;
mod output;
mod profiles;
mod registry;
mod roles;
mod service;
mod session;
mod shell;
mod transport;
mod trust;
mod value_parsers;

use std::path::PathBuf;
use std::thread::available_parallelism;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(super) use self::activity::{ActivityArgs, Logs};
pub(super) use self::check::Check;
pub(super) use self::cluster::{ClusterCommand, NatsArgs, OwnArgs};
pub(super) use self::config_command::{ConfigArgs, ConfigCommand, ConfigShowArgs};
pub(super) use self::fleet::{Fleet, FleetCommand, FleetSign};
pub(super) use self::hub::{Hub, HubServe};
pub(super) use self::hub_args::{HubArgs, TrustArgs};
pub(super) use self::output::OutputArgs;
pub(super) use self::profiles::{MovedHub, Profiles, ProfilesCommand};
pub(super) use self::registry::{
    AccessPeriod, DeviceCommand, EnrollCommand, HubCommand, ScopeArgs, ServiceCommand, StreamLimit, StreamsCommand,
};
pub(super) use self::roles::{Demo, DeviceAgent, ServiceProxy};
pub(super) use self::service::{Install, Service, ServiceManagement, ServiceRole, Uninstall};
pub(super) use self::session::SessionArgs;
pub(super) use self::shell::{Rdp, Ssh, SshConfig, Status};
pub(super) use self::transport::{VIA_LOGIN, ViaArgs};
pub(super) use self::trust::{Identity, Trust, TrustCommand};
pub(super) use self::value_parsers::DEVICE_SUFFIX;
use self::value_parsers::new_device_id;
use super::output::logging::{Format, UNDER_SSH};
use super::profile::Profile;
use crate::proto::id::DeviceId;

/// The heading of the flags that every command has, and of what they are read from: they come last in the help.
const GLOBAL: &str = "Global options";

/// The default drain timeout in seconds: as long as a person waits before the second signal.
const DRAIN_SECONDS: &str = "30";

/// Reach SSH, RDP or any TCP port on a device that can only dial out, through a hub that you own
///
/// The hub relays. A device runs the device-agent, which dials out to the hub and waits. An operator runs the
/// service-proxy, which opens a local port; each connection to it becomes a stream to the device.
#[derive(Debug, Parser)]
#[command(name = "devstream", version, max_term_width = 100, after_long_help = epilogue::text())]
pub(super) struct Cli {
    /// Increase verbosity (-vv: trace)
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet", help_heading = GLOBAL)]
    verbose: u8,
    /// Show warnings and errors only
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    quiet: bool,
    /// Set the format of messages on standard error
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        help_heading = GLOBAL,
        env = "DEVSTREAM_LOG_FORMAT"
    )]
    pub(super) log_format: Format,
    /// Use this profile: a hub and identity that this machine joined [default: the one set by `devstream profiles use`,
    /// else default]
    #[arg(long, value_name = "NAME", global = true, help_heading = GLOBAL, env = "DEVSTREAM_PROFILE")]
    profile: Option<Profile>,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    /// Returns the verbosity, from -1 (quiet) to 2 (trace).
    pub(super) fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose.min(2)).unwrap_or(2) }
    }

    /// Returns the verbosity of its log. The findings of a check say what the log would.
    pub(super) fn log_verbosity(&self) -> i8 {
        let is_check = matches!(self.command, Command::Check(_));
        if is_check && self.verbosity() == 0 { -1 } else { self.verbosity() }
    }

    /// Reports whether the command shows its streams to a person, as live rows if there is a terminal.
    pub(super) fn shows_streams(&self) -> bool {
        let has_streams = match &self.command {
            Command::ServiceProxy(proxy) => !proxy.stdio,
            Command::Demo(_) => true,
            Command::Hub(_)
            | Command::Service(_)
            | Command::Join(_)
            | Command::DeviceAgent(_)
            | Command::Devices(_)
            | Command::Check(_)
            | Command::Status(_)
            | Command::Ssh(_)
            | Command::SshConfig(_)
            | Command::Rdp(_)
            | Command::Profiles(_)
            | Command::Identity(_)
            | Command::Trust(_)
            | Command::Fleet(_)
            | Command::Config(_)
            | Command::Completions(_) => false,
        };
        has_streams && self.verbosity() >= 0 && self.log_format == Format::Text
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Hub(Box<Hub>),
    Join(Join),
    DeviceAgent(DeviceAgent),
    ServiceProxy(ServiceProxy),
    Service(Service),
    Demo(Demo),
    Devices(Devices),
    Check(Box<Check>),
    Status(Status),
    Ssh(Ssh),
    SshConfig(SshConfig),
    Rdp(Rdp),
    Profiles(Profiles),
    Identity(Identity),
    Trust(Trust),
    Fleet(Fleet),
    Config(ConfigArgs),
    Completions(Completions),
}

impl Command {
    /// Returns the prefix of its messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Hub(_) => "hub",
            Self::Join(_) => "join",
            Self::DeviceAgent(_) => "device-agent",
            // A person who typed `ssh` knows of no proxy.
            Self::ServiceProxy(proxy) if proxy.strip.is_some() => UNDER_SSH,
            Self::ServiceProxy(_) => "service-proxy",
            Self::Service(_) => "service",
            Self::Demo(_) => "demo",
            Self::Devices(_) => "devices",
            Self::Check(_) => "check",
            Self::Status(_) => "status",
            Self::Ssh(_) => "ssh",
            Self::SshConfig(_) => "ssh-config",
            Self::Rdp(_) => "rdp",
            Self::Profiles(_) => "profiles",
            Self::Identity(_) => "identity",
            Self::Trust(_) => "trust",
            Self::Fleet(_) => "fleet",
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
        }
    }

    /// The number of the async runtime's threads; `None` for one per processor. An agent or a proxy takes half of the
    /// processors: the other half is for the programs that it serves, and fewer threads wake each other less.
    pub(super) fn worker_threads(&self) -> Option<usize> {
        let is_end = matches!(self, Self::DeviceAgent(_) | Self::ServiceProxy(_) | Self::Rdp(_));
        is_end.then(|| available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1)))
    }

    /// Reports whether it runs until a signal.
    pub(super) fn is_role(&self) -> bool {
        match self {
            Self::Hub(hub) => hub.command.is_none(),
            Self::DeviceAgent(_) | Self::ServiceProxy(_) | Self::Demo(_) | Self::Rdp(_) => true,
            Self::Service(_) | Self::Join(_) | Self::Devices(_) | Self::Check(_) | Self::Status(_) => false,
            Self::Ssh(_) | Self::SshConfig(_) => false,
            Self::Profiles(_) | Self::Identity(_) | Self::Trust(_) | Self::Fleet(_) => false,
            Self::Config(_) | Self::Completions(_) => false,
        }
    }

    /// Reports whether its terminal is read hours later; the messages of other commands are about now.
    pub(super) fn is_read_later(&self) -> bool {
        let is_one_session = matches!(self, Self::ServiceProxy(proxy) if proxy.stdio) || matches!(self, Self::Demo(_));
        self.is_role() && !is_one_session
    }
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// Read this configuration file [default: devstream/config.toml in the user's configuration directory, if it
    /// exists]
    ///
    /// Its keys are these flags; see devstream.toml(5). A flag overrides the environment, which overrides the file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "DEVSTREAM_CONFIG", global = true, help_heading = GLOBAL)]
    pub(super) config: Option<PathBuf>,
}

/// Enrol this machine with a join link from a hub
///
/// Generates a key, sends only its public half, and stores the rest in the user's data directory. Existing identities
/// stay: a second hub or identity gets a profile of its own (`--profile NAME`).
#[derive(Debug, Args)]
pub(super) struct Join {
    /// Join link [default: read from standard input]
    pub(super) link: Option<String>,
    /// Replace the identity that this profile has already joined with
    #[arg(long)]
    pub(super) replace: bool,
    #[arg(from_global)]
    pub(super) profile: Option<Profile>,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    #[command(flatten)]
    pub(super) via: ViaArgs,
    /// Join as this device, where the link leaves the id to the machine [default: the host name]
    #[arg(long, value_name = "ID", value_parser = new_device_id)]
    pub(super) id: Option<DeviceId>,
}

/// List the devices that you may reach: state, last seen, streams offered, end-to-end key if it is known here
#[derive(Debug, Args)]
pub(super) struct Devices {
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

/// Print a completion script, for the shell to load at startup
///
/// At each TAB the shell then runs this program, which completes profiles, and device ids and stream names from the
/// hub.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell to complete in
    pub(super) shell: Shell,
    /// Print a static script, which completes commands and flags only
    #[arg(long = "static")]
    pub(super) fixed: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}
