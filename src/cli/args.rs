//! What can be typed. The help is written here and nowhere else: man pages and completions are generated from it.

mod activity;
mod check;
mod config_command;
mod epilogue;
mod hub_args;
mod limits;
mod profiles;
mod registry;
mod service;
mod shell;
mod transport;
mod value_parsers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter};

pub(super) use self::activity::{ActivityArgs, Logs};
pub(super) use self::check::Check;
pub(super) use self::config_command::{ConfigArgs, ConfigCommand, ConfigShowArgs};
pub(super) use self::hub_args::{HubArgs, TrustArgs};
use self::limits::LimitArgs;
pub(super) use self::profiles::{Profiles, ProfilesCommand};
pub(super) use self::registry::{
    AccessPeriod, DeviceCommand, EnrollCommand, HubCommand, OutputArgs, ScopeArgs, ServiceCommand, StreamLimit,
    StreamsCommand,
};
pub(super) use self::service::{Install, Service, ServiceManagement, ServiceRole, Uninstall};
pub(super) use self::shell::{Rdp, Ssh, SshConfig, Status};
use self::transport::{ResumeArgs, TransportArgs};
pub(super) use self::transport::{VIA_LOGIN, ViaArgs};
use self::value_parsers::{handshake_seconds, hostname, seconds};
use super::certificate::CertificateArgs;
use super::complete;
use super::logging::Format;
use super::profile::Profile;
use crate::proto::forward::{Forward, LocalForward};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::scope::Glob;

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
    #[arg(long, value_name = "NAME", global = true, env = "DEVSTREAM_PROFILE",
          add = ArgValueCandidates::new(complete::profiles))]
    profile: Option<Profile>,
    #[command(subcommand)]
    pub(super) command: Command,
}

impl Cli {
    /// How much to say, from -1 (quiet) to 2 (everything).
    pub(super) fn verbosity(&self) -> i8 {
        if self.quiet { -1 } else { i8::try_from(self.verbose.min(2)).unwrap_or(2) }
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

/// Run the meeting point, or manage the one that is running
///
/// Without a subcommand, runs a hub: TLS and WebSocket on one port, with its own certificate authority, which join
/// links pin. The subcommands speak to the hub that the same user runs on this machine.
#[derive(Debug, Args)]
pub(super) struct Hub {
    #[command(flatten)]
    pub(super) serve: HubServe,
    #[command(flatten)]
    pub(super) state: HubState,
    #[command(flatten)]
    pub(super) file: ConfigFile,
    #[command(subcommand)]
    pub(super) command: Option<HubCommand>,
}

#[derive(Debug, Args)]
pub(super) struct HubState {
    /// Where the hub keeps everything [default: devstream/hub in the user's data directory]
    ///
    /// The subcommands, where the user has none, look for the hub that `devstream service install hub` set up.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, env = "DEVSTREAM_STATE_DIR", global = true)]
    pub(super) state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct ConfigFile {
    /// The configuration file [default: devstream/config.toml in the user's configuration directory, if it is there]
    ///
    /// Its keys are these flags; devstream.toml(5) lists them. A flag wins over the environment, that over the file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "DEVSTREAM_CONFIG", global = true)]
    pub(super) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct HubServe {
    /// Where to listen; port 0 takes any free port [default: [::]:8443]
    ///
    /// For port 443, which most firewalls let out: `setcap cap_net_bind_service=+ep` on the program, or redirect it.
    #[arg(long, value_name = "ADDR:PORT", env = "DEVSTREAM_LISTEN", value_delimiter = ',')]
    pub(super) listen: Vec<SocketAddr>,
    /// What other machines call this one; the first goes into join links, all into the certificate
    #[arg(long, value_name = "NAME", env = "DEVSTREAM_HOSTNAME", value_delimiter = ',', value_parser = hostname,
          value_hint = ValueHint::Hostname)]
    pub(super) hostname: Vec<String>,
    #[command(flatten)]
    pub(super) certificate: CertificateArgs,
    /// Let clients in through proxies that inspect TLS, if they allow it too
    #[arg(long, env = "DEVSTREAM_ALLOW_TLS_INSPECTION")]
    pub(super) allow_tls_inspection: bool,
    /// Give streams a URL of their own, instead of the hub's
    #[arg(long, value_name = "wss://HOST:PORT", env = "DEVSTREAM_STREAMING_ENDPOINT")]
    pub(super) streaming_endpoint: Option<String>,
    /// Where that URL's listener listens
    #[arg(long, value_name = "ADDR:PORT", env = "DEVSTREAM_STREAMING_LISTEN")]
    pub(super) streaming_listen: Option<SocketAddr>,
    /// How long a stream's handshake may take, and a stream token is good for; at most 60
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = handshake_seconds, env = "DEVSTREAM_HANDSHAKE_TIMEOUT")]
    pub(super) handshake_timeout: Duration,
    /// How long running streams may go on after a first SIGTERM or Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = DRAIN_SECONDS, value_parser = seconds, env = "DEVSTREAM_DRAIN_TIMEOUT")]
    pub(super) drain_timeout: Duration,
    /// Where monitoring finds /metrics (OpenMetrics, as Prometheus reads it), /healthz and /readyz: plain HTTP, for a
    /// private network only
    #[arg(long, value_name = "ADDR:PORT", env = "DEVSTREAM_METRICS")]
    pub(super) metrics: Option<SocketAddr>,
    #[command(flatten)]
    pub(super) resume: ResumeArgs,
    #[command(flatten)]
    pub(super) limits: LimitArgs,
    #[command(flatten)]
    pub(super) activity: ActivityArgs,
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

/// Run the device's end: dial out to the hub, wait, and connect streams to local targets
///
/// Needs no configuration where the same user runs a hub; elsewhere, `devstream join` comes first.
#[derive(Debug, Args)]
pub(super) struct DeviceAgent {
    /// A target to offer, and its name: 22, 3389, web=8080, db=10.0.0.5:5432 (repeatable; the first is the default)
    ///
    /// Without a NAME, 22 is called ssh, 3389 rdp, 5900 vnc, 80 http, 443 https, and any other port by its number.
    #[arg(long, value_name = "[NAME=][HOST:]PORT", required = true, env = "DEVSTREAM_FORWARD", value_delimiter = ',')]
    pub(super) forward: Vec<Forward>,
    /// The device's id [default: the one that was joined, else the host name]
    #[arg(long, value_name = "ID", env = "DEVSTREAM_ID")]
    pub(super) id: Option<DeviceId>,
    /// A service to let in, by name or pattern; others are refused, whatever the hub says (repeatable) [default: all]
    #[arg(long, value_name = "GLOB", env = "DEVSTREAM_ALLOW_SERVICE", value_delimiter = ',')]
    pub(super) allow_service: Vec<Glob>,
    /// A shell command that decides about each stream: exit status 0 lets it in
    ///
    /// Its environment has DEVSTREAM_SERVICE, DEVSTREAM_SOURCE (the service's address), DEVSTREAM_STREAM,
    /// DEVSTREAM_DEVICE and DEVSTREAM_REQUEST. The first line it prints is the reason for a refusal. After 10 seconds,
    /// it is ended, and the stream refused.
    #[arg(long, value_name = "COMMAND", env = "DEVSTREAM_ACCEPT_COMMAND", value_hint = ValueHint::CommandString)]
    pub(super) accept_command: Option<String>,
    #[command(flatten)]
    pub(super) hub: HubArgs,
    #[command(flatten)]
    pub(super) transport: TransportArgs,
    #[command(flatten)]
    pub(super) drain: DrainArgs,
    #[command(flatten)]
    _file: ConfigFile,
}

#[derive(Debug, Clone, Args)]
pub(super) struct DrainArgs {
    /// How long running streams may go on after a first SIGTERM or Ctrl-C
    #[arg(long, value_name = "SECONDS", default_value = DRAIN_SECONDS, value_parser = seconds, env = "DEVSTREAM_DRAIN_TIMEOUT")]
    pub(super) drain_timeout: Duration,
}

/// Run the operator's end: local ports whose connections become streams to a device
///
/// For OpenSSH, without a port: ssh -o ProxyCommand='devstream service-proxy --device %h --stdio' pi-42
#[derive(Debug, Args)]
pub(super) struct ServiceProxy {
    /// The device to reach
    #[arg(long, value_name = "ID", env = "DEVSTREAM_DEVICE", add = ArgValueCandidates::new(complete::devices))]
    pub(super) device: DeviceId,
    /// A local port, and the device's stream it leads to: 2222, 0 (any free port), 8080=web, 0.0.0.0:2222 (repeatable)
    ///
    /// Without a STREAM, the device's first forward. Binds 127.0.0.1 unless BIND says otherwise.
    #[arg(
        long,
        value_name = "[BIND:]PORT[=STREAM]",
        required_unless_present = "stdio",
        conflicts_with = "stdio",
        env = "DEVSTREAM_LOCAL",
        value_delimiter = ',',
        add = ArgValueCompleter::new(complete::locals)
    )]
    pub(super) local: Vec<LocalForward>,
    /// One stream on standard input and output, for ssh's ProxyCommand
    #[arg(long)]
    pub(super) stdio: bool,
    /// What --device has after the device's id, as in OpenSSH's names of hosts: .devstream
    #[arg(long, value_name = "SUFFIX", requires = "stdio")]
    pub(super) strip: Option<String>,
    /// The stream that --stdio asks for [default: the device's first forward]
    #[arg(long, value_name = "NAME", requires = "stdio", add = ArgValueCandidates::new(complete::streams))]
    pub(super) stream: Option<StreamName>,
    /// How long to wait for an offline device to come online; at most 60
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = handshake_seconds, env = "DEVSTREAM_CONNECT_TIMEOUT")]
    pub(super) connect_timeout: Duration,
    /// How long to wait for an online device to answer; at most 60
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = handshake_seconds, env = "DEVSTREAM_RESPONSE_TIMEOUT")]
    pub(super) response_timeout: Duration,
    #[command(flatten)]
    pub(super) hub: HubArgs,
    #[command(flatten)]
    pub(super) transport: TransportArgs,
    #[command(flatten)]
    pub(super) drain: DrainArgs,
    #[command(flatten)]
    _file: ConfigFile,
}

/// Show it all at once: hub, device-agent and service-proxy in one process, on loopback
///
/// Leads to port 22 if something listens there, else to a small built-in page. Leaves nothing behind.
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The local port; 0 takes any free port
    #[arg(long, value_name = "[BIND:]PORT[=STREAM]", default_value = "2222")]
    pub(super) local: LocalForward,
    /// The target, and its name [default: 22 if something listens there]
    #[arg(long, value_name = "[NAME=][HOST:]PORT")]
    pub(super) forward: Option<Forward>,
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
            Self::Bash => include_str!("../../completions/devstream.bash"),
            Self::Zsh => include_str!("../../completions/_devstream"),
            Self::Fish => include_str!("../../completions/devstream.fish"),
            Self::Powershell => include_str!("../../completions/_devstream.ps1"),
        }
    }
}
