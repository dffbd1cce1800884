//! The flags of `devstream config`.

use clap::{Args, Subcommand};

use super::{ConfigFile, OutputArgs, ServiceRole};
use crate::cli::profile::Profile;

/// Write a commented configuration file, or print the effective settings
#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigArgs {
    #[command(flatten)]
    pub(in crate::cli) file: ConfigFile,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    #[command(subcommand)]
    pub(in crate::cli) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigCommand {
    /// Write a file with every key in it, commented out, with its meaning and default
    Init {
        /// Overwrite an existing file
        #[arg(long)]
        force: bool,
    },
    /// Print the effective settings, and where each comes from: a flag, the environment, the file or the default
    Show(ConfigShowArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigShowArgs {
    /// Role whose settings to print [default: all three]
    pub(in crate::cli) role: Option<ServiceRole>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    /// Flags of the role, after --
    #[arg(last = true, value_name = "ARGS", requires = "role")]
    pub(in crate::cli) arguments: Vec<String>,
}
