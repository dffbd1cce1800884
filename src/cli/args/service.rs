//! `devstream service …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::cli::profile::Profile;

/// Run a role as a service of this machine, under systemd
#[derive(Debug, Args)]
pub(in crate::cli) struct Service {
    #[command(subcommand)]
    pub(in crate::cli) command: ServiceManagement,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceManagement {
    /// Write hardened units for a role, enable and start them
    ///
    /// The hub gets its sockets from systemd, so that a restart drops no connection attempt; it keeps its state in
    /// /var/lib/devstream/hub. The other two are handed the identity that root has joined with. All read
    /// /etc/devstream/config.toml, if it is there. With --profile, root's identity of that name, in a unit of its own.
    Install(Install),
    /// Stop a role's units and remove them; what it kept stays
    Uninstall(Uninstall),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Install {
    /// Which role
    pub(in crate::cli) role: ServiceRole,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Print the units instead
    #[arg(long)]
    pub(in crate::cli) print: bool,
    /// Below this directory instead of /, starting nothing: for packages and images
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) root: Option<PathBuf>,
    /// What the units run [default: this program]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) program: Option<PathBuf>,
    /// The role's flags, after --
    #[arg(last = true, value_name = "ARGS")]
    pub(in crate::cli) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Uninstall {
    /// Which role
    pub(in crate::cli) role: ServiceRole,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Below this directory instead of /, stopping nothing
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) root: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ServiceRole {
    Hub,
    DeviceAgent,
    ServiceProxy,
}
