//! `devstream config …`.

use clap::{Args, Subcommand};

use super::{ConfigFile, Listing, ServiceRole};
use crate::cli::profile::Profile;

/// Write a configuration file to begin with, or print what holds
#[derive(Debug, Args)]
pub(in crate::cli) struct Configuration {
    #[command(flatten)]
    pub(in crate::cli) file: ConfigFile,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    #[command(subcommand)]
    pub(in crate::cli) command: ConfigurationCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ConfigurationCommand {
    /// Write the file with every key in it, commented out, with its meaning and its default
    Init {
        /// Over a file that is there
        #[arg(long)]
        force: bool,
    },
    /// Print what holds for each setting, and where it comes from: a flag, the environment, the file or the default
    Show(ShowConfiguration),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct ShowConfiguration {
    /// Whose settings [default: all three roles']
    pub(in crate::cli) role: Option<ServiceRole>,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
    /// The role's flags, after --
    #[arg(last = true, value_name = "ARGS", requires = "role")]
    pub(in crate::cli) arguments: Vec<String>,
}
