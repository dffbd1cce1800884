//! `devstream profiles …`.

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;

use super::OutputArgs;
use crate::cli::complete;
use crate::cli::profile::Profile;

/// List the hubs and identities that this machine joined with, or choose among them
///
/// Each profile has an identity of its own for each role, at any hub. `devstream join --profile NAME LINK` makes one,
/// and `--profile NAME` or DEVSTREAM_PROFILE picks it for any other command. What joined without a name is the profile
/// `default`, which is also whoever enrols by itself with a hub of the same user.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(in crate::cli) struct Profiles {
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<ProfilesCommand>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ProfilesCommand {
    /// Have a profile hold wherever none is named
    Use {
        /// The profile; `default` undoes it
        #[arg(add = ArgValueCandidates::new(complete::profiles))]
        name: Profile,
    },
    /// Forget a profile's identities: their keys are gone, and their ids join again with new links
    Remove {
        /// The profile
        #[arg(add = ArgValueCandidates::new(complete::profiles))]
        name: Profile,
    },
}
