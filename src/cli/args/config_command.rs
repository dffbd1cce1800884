//! `devstream config …`.

use clap::{Args, Subcommand};

use super::{ConfigFile, OutputArgs, ServiceRole};
use crate::cli::profile::Profile;

/// Write a configuration file to begin with, or print what holds
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
    /// Write the file with every key in it, commented out, with its meaning and its default
    Init {
        /// Over a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default
    Show(ConfigShowArgs),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ConfigShowArgs {
    /// Whose settings [default: all three roles']
    pub(in crate::cli) role: Option<ServiceRole>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    /// The role's flags, after --
    #[arg(last = true, value_name = "ARGS", requires = "role")]
    pub(in crate::cli) arguments: Vec<String>,
}
