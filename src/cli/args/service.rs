//! The flags of `devstream service`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::cli::profile::Profile;

/// Install or remove a role as a systemd service
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
    /// /var/lib/devstream/hub. The other two run with the identity that root joined; with --profile, that of the
    /// profile, in a unit of its own. All read /etc/devstream/config.toml, if it exists.
    Install(Install),
    /// Stop a role's units and remove them; its state stays
    Uninstall(Uninstall),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Install {
    /// Role to install
    pub(in crate::cli) role: ServiceRole,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Print the units and install nothing
    #[arg(long)]
    pub(in crate::cli) print: bool,
    /// Install below this directory instead of /, and start nothing: for packages and images
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) root: Option<PathBuf>,
    /// Run this program in the units [default: this program]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) program: Option<PathBuf>,
    /// Flags of the role, after --
    #[arg(last = true, value_name = "ARGS")]
    pub(in crate::cli) arguments: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Uninstall {
    /// Role to remove
    pub(in crate::cli) role: ServiceRole,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    /// Remove below this directory instead of /, and stop nothing
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(in crate::cli) root: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ServiceRole {
    Hub,
    DeviceAgent,
    ServiceProxy,
}
