//! The flags of `devstream fleet`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::OutputArgs;
use super::trust::whole_key;
use crate::proto::id::{PrincipalId, Role};
use crate::proto::key::PublicKey;

/// Keep the key of a fleet, and sign the end-to-end keys of your devices and services with it
///
/// Machines that trust the fleet (`devstream trust fleet`) refuse every peer whose key it has not signed (exit code 43). The
/// hub never has the key: run this on a machine of your own.
#[derive(Debug, Args)]
pub(in crate::cli) struct Fleet {
    #[command(subcommand)]
    pub(in crate::cli) command: FleetCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FleetCommand {
    /// Make a fleet: its key, and a recovery key that you then move to another place
    ///
    /// Prints the public keys, which machines trust.
    Init,
    /// Sign a machine's key, for 400 days; prints the command to run on that machine
    Sign {
        /// The machine's id
        id: PrincipalId,
        /// The machine's role
        #[arg(long, value_name = "device|service", default_value = "device")]
        role: Role,
        /// The machine's whole key, as `devstream identity` shows it there
        // One key in 64 begins with a hyphen.
        #[arg(long, value_name = "KEY", value_parser = whole_key, allow_hyphen_values = true)]
        key: PublicKey,
    },
    /// List the machines whose keys were signed here, and until when
    List {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Sign with the recovery key from now on, where the fleet key was lost
    Recover {
        /// The file with the recovery key
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}
