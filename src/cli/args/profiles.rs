//! The flags of `devstream profiles`.

use std::str::FromStr;

use clap::{Args, Subcommand, ValueHint};

use super::OutputArgs;
use crate::cli::profile::Profile;
use crate::proto::forward::InvalidForward;
use crate::proto::id::Role;
use crate::proto::join::HubAddress;

/// List the profiles: hubs and identities that this machine joined, or set the default
///
/// Each profile has an identity of its own for each role, at any hub. `devstream join --profile NAME LINK` creates one,
/// and `--profile NAME` or DEVSTREAM_PROFILE selects it for any other command. Joining without a name creates the
/// profile `default`, which also enrols by itself with a hub of the same user.
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
    /// Set the default profile
    Use {
        /// Profile to use by default; `default` undoes it
        name: Profile,
    },
    /// Delete a profile's identities and their keys; to return, they need new join links
    Remove {
        /// Profile to remove
        name: Profile,
        /// Delete the identity of this role only
        #[arg(long, value_name = "device|service")]
        role: Option<Role>,
        /// Do not ask; needed where there is no terminal
        #[arg(long)]
        yes: bool,
    },
    /// Set the address of a profile's hub, after that has moved; the identity, and what certifies the hub, stay
    Set {
        /// New address of the hub; without a port, the one before
        #[arg(long, value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
        hub: MovedHub,
        /// Set it for the identity of this role only
        #[arg(long, value_name = "device|service")]
        role: Option<Role>,
    },
}

/// The address that a hub has moved to.
#[derive(Debug, Clone)]
pub(in crate::cli) struct MovedHub {
    host: String,
    /// The port, if it is another one.
    port: Option<u16>,
}

impl MovedHub {
    /// Returns the new address of the hub that was at `before`.
    pub(in crate::cli) fn resolve(&self, before: &HubAddress) -> HubAddress {
        HubAddress { host: self.host.clone(), port: self.port.unwrap_or(before.port) }
    }
}

impl FromStr for MovedHub {
    type Err = InvalidForward;

    fn from_str(text: &str) -> Result<Self, InvalidForward> {
        // No address has port 0.
        let HubAddress { host, port } = HubAddress::parse(text, 0)?;
        Ok(Self { host, port: Some(port).filter(|port| *port != 0) })
    }
}
