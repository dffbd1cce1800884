//! What can be typed. The help is written here and nowhere else: man pages and completions are generated from it.

mod activity;
mod certificate;
mod check;
mod config_command;
mod epilogue;
mod hub;
mod hub_args;
mod limits;
mod profiles;
mod registry;
mod roles;
mod service;
mod shell;
mod transport;
mod value_parsers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(super) use self::activity::{ActivityArgs, Logs};
pub(super) use self::check::Check;
pub(super) use self::config_command::{ConfigArgs, ConfigCommand, ConfigShowArgs};
pub(super) use self::hub::{Hub, HubServe};
pub(super) use self::hub_args::{HubArgs, TrustArgs};
pub(super) use self::profiles::{Profiles, ProfilesCommand};
pub(super) use self::registry::{
    AccessPeriod, DeviceCommand, EnrollCommand, HubCommand, OutputArgs, ScopeArgs, ServiceCommand, StreamLimit,
    StreamsCommand,
};
pub(super) use self::roles::{Demo, DeviceAgent, ServiceProxy};
pub(super) use self::service::{Install, Service, ServiceManagement, ServiceRole, Uninstall};
pub(super) use self::shell::{Rdp, Ssh, SshConfig, Status};
pub(super) use self::transport::{VIA_LOGIN, ViaArgs};
use super::output::logging::Format;
use super::profile::Profile;
use crate::proto::id::DeviceId;

/// For running streams after a first signal: a person waits this long before they send the second one.
const DRAIN_SECONDS: &str = "30";

/// Reach SSH, RDP or any TCP port on a device that can only dial out, through a hub that you own
///
/// A hub is the meeting point. A device runs the device-agent, which dials out and waits. An operator runs the
/// service-proxy, which opens a local port; each connection to it becomes a stream to the device.
#[derive(Debug, Parser)]
#[command(name = "devstream", version, max_term_width = 100, after_long_help = epilogue::text())]
pub(super) struct Cli {
    /// Say more; twice for everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true, conflicts_with = "quiet")]
    verbose: u8,
    /// Say only what is wrong
    #[arg(short, long, global = true)]
    quiet: bool,
    /// How messages are written to standard error: for a person, or as one JSON object each
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "text",
        global = true,
        env = "DEVSTREAM_LOG_FORMAT"
    )]
    pub(super) log_format: Format,
    /// Which of the hubs and identities that this machine joined with is meant [default: the one of `devstream profiles
    /// use`, else default]
    #[arg(long, value_name = "NAME", global = true, env = "DEVSTREAM_PROFILE")]
    profile: Option<Profile>,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    /// How much to say, from -1 (quiet) to 2 (everything).
    pub(super) fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose.min(2)).unwrap_or(2) }
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
    Config(ConfigArgs),
    Completions(Completions),
}

impl Command {
    /// The word before each of its messages.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Hub(_) => "hub",
            Self::Join(_) => "join",
            Self::DeviceAgent(_) => "device-agent",
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
            Self::Config(_) => "config",
            Self::Completions(_) => "completions",
        }
    }

    /// Whether it runs until it is told to end.
    pub(super) fn is_role(&self) -> bool {
        match self {
            Self::Hub(hub) => hub.command.is_none(),
            Self::DeviceAgent(_) | Self::ServiceProxy(_) | Self::Demo(_) | Self::Rdp(_) => true,
            Self::Service(_) | Self::Join(_) | Self::Devices(_) | Self::Check(_) | Self::Status(_) => false,
            Self::Ssh(_) | Self::SshConfig(_) => false,
            Self::Profiles(_) | Self::Config(_) | Self::Completions(_) => false,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file [default: devstream/config.toml in the user's configuration directory, if it is there]
    ///
    /// Its keys are these flags; devstream.toml(5) lists them. A flag wins over the environment, that over the file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "DEVSTREAM_CONFIG", global = true)]
    pub(super) config: Option<PathBuf>,
}

/// Enrol this machine with the line that a hub printed
///
/// Makes a key here, sends only its public half, and keeps the rest in the user's data directory. What joined before
/// stays: a second hub or identity has a profile of its own (`--profile NAME`).
#[derive(Debug, Args)]
pub(super) struct Join {
    /// The join link; read from standard input when absent
    pub(super) link: Option<String>,
    /// In the place of what this profile joined before, if that is another identity or another hub's
    #[arg(long)]
    pub(super) replace: bool,
    #[arg(from_global)]
    pub(super) profile: Option<Profile>,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    #[command(flatten)]
    pub(super) via: ViaArgs,
    /// The device's id, where the link leaves that to the machine [default: the host name]
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<DeviceId>,
}

/// List the devices that I may reach: online, last seen, what they offer
#[derive(Debug, Args)]
pub(super) struct Devices {
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) hub: HubArgs,
}

/// Print a completion script, to be run by the shell when it starts
///
/// The shell then asks this program at each TAB, which offers device ids and stream names from the hub, and profiles.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Which shell
    pub(super) shell: Shell,
    /// A script that knows the flags by itself and asks nobody
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

impl Shell {
    pub(super) fn script(self) -> &'static str {
        match self {
            Self::Bash => include_str!("../../../completions/devstream.bash"),
            Self::Zsh => include_str!("../../../completions/_devstream"),
            Self::Fish => include_str!("../../../completions/devstream.fish"),
            Self::Powershell => include_str!("../../../completions/_devstream.ps1"),
        }
    }
}
