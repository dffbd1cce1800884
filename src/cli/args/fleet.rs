//! The flags of `devstream fleet`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::trust::whole_key;
use super::{HubArgs, OutputArgs};
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

#[derive(Debug, Args)]
pub(in crate::cli) struct FleetSign {
    /// The machine's id; without it, all that wait for it
    pub(in crate::cli) id: Option<PrincipalId>,
    /// The machine's role
    #[arg(long, value_name = "device|service", default_value = "device")]
    pub(in crate::cli) role: Role,
    /// The machine's whole key, as `devstream identity` shows it there
    // One key in 64 begins with a hyphen.
    #[arg(long, value_name = "KEY", value_parser = whole_key, allow_hyphen_values = true, requires = "id")]
    pub(in crate::cli) key: Option<PublicKey>,
    /// Sign the key also where another one was signed for the same machine before
    #[arg(long, requires = "key")]
    pub(in crate::cli) replace: bool,
    #[command(flatten)]
    pub(in crate::cli) hub: HubArgs,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum FleetCommand {
    /// Make a fleet: its key, and a recovery key that you then move to another place
    ///
    /// Prints the public keys, which machines trust.
    Init,
    /// Add an invitation to a join link, which is read from standard input
    ///
    /// Prints the link to paste into `devstream join` on the machine, which then trusts the fleet. The hub does not see the
    /// invitation, and keeps the proof that the machine had it: this machine checks that, and signs the key, when a stream from here
    /// first meets the machine or with `devstream fleet sign`. An invitation is good for one machine, and for 30 days.
    Invite {
        /// The machine's id, or a pattern that its id matches, such as 'pi-*', for the link of an enrolment key
        id: Option<String>,
    },
    /// Sign machines that joined with an invitation, and renew certificates that end within 60 days
    ///
    /// The hub passes the certificates, which hold for 400 days, on to their machines. With --key, for a machine without an
    /// invitation, asks no hub, and prints the command to run on that machine.
    Sign(Box<FleetSign>),
    /// Renew a machine no more, and end its invitations
    ///
    /// For a machine that was removed at the hub, or lost. Its certificate cannot be taken back: it holds until its end.
    Forget {
        /// The machine's id
        id: PrincipalId,
        /// The machine's role
        #[arg(long, value_name = "device|service", default_value = "device")]
        role: Role,
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
