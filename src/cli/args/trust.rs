//! The flags of `devstream identity` and `devstream trust`.

use clap::{Args, Subcommand};

use super::OutputArgs;
use crate::cli::profile::Profile;
use crate::proto::fleet::FleetKeys;
use crate::proto::id::{PrincipalId, Role};
use crate::proto::key::PublicKey;

/// Show who this machine is: role, id, hub and end-to-end key of each of its identities
///
/// The key is public. A person at the other end of a stream compares it with what their devstream shows, or gives it to
/// `devstream trust pin` there.
#[derive(Debug, Args)]
pub(in crate::cli) struct Identity {
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
}

/// List, pin or forget the end-to-end keys of the devices and services that this machine knows
///
/// A peer's key is kept when a stream first reaches it, and compared from then on: another key is refused (exit code 42).
/// A machine that uses the hub of its own user keeps none: it takes them from that hub.
#[derive(Debug, Args)]
pub(in crate::cli) struct Trust {
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    #[command(subcommand)]
    pub(in crate::cli) command: TrustCommand,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum TrustCommand {
    /// List the known peers: role, id, how and since when their keys are known
    List {
        /// List what this machine's identity of this role knows [default: both]
        #[arg(long, value_name = "device|service")]
        role: Option<Role>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Set the key of a peer, which somebody has read on its machine
    Pin {
        /// The peer's role
        #[arg(value_name = "device|service")]
        peer_role: Role,
        /// The peer's id
        id: PrincipalId,
        /// The peer's whole key, as `devstream identity` shows it on its machine
        // One key in 64 begins with a hyphen.
        #[arg(value_parser = whole_key, allow_hyphen_values = true)]
        key: PublicKey,
        /// Replace another key that was pinned, vouched for or signed before
        #[arg(long)]
        replace: bool,
    },
    /// Forget a peer's key: the key that it shows next is kept
    Forget {
        /// The peer's role
        #[arg(value_name = "device|service")]
        peer_role: Role,
        /// The peer's id
        id: PrincipalId,
        /// Do not ask; needed where there is no terminal
        #[arg(long)]
        yes: bool,
    },
    /// Trust a fleet: refuse every peer whose key it has not signed (exit code 43), whatever else is known of it
    ///
    /// Without keys, show the fleet that is trusted. `devstream fleet sign` prints this command for a machine, with the
    /// fleet's keys and the certificate by which peers in the fleet accept that machine.
    Fleet {
        /// The fleet's key, and after a comma its recovery key, as `devstream fleet init` prints them
        #[arg(value_name = "KEY[,KEY2]")]
        keys: Option<FleetKeys>,
        /// Present this certificate to peers
        #[arg(long, value_name = "TEXT", requires = "keys")]
        certificate: Option<String>,
        /// Change what this machine's identity of this role trusts [default: both]
        #[arg(long, value_name = "device|service")]
        role: Option<Role>,
        /// Trust no fleet any more: the keys that are known count again, and those of new peers are kept
        #[arg(long, conflicts_with = "keys")]
        remove: bool,
        /// Do not ask before a removal; needed where there is no terminal
        #[arg(long, requires = "remove")]
        yes: bool,
    },
    /// Forget the keys of all peers of an identity
    Reset {
        /// Forget what this machine's identity of this role knows; needed where there are two
        #[arg(long, value_name = "device|service")]
        role: Option<Role>,
        /// Do not ask; needed where there is no terminal
        #[arg(long)]
        yes: bool,
    },
}

/// Parses a whole key: a part of one may be that of many.
pub(super) fn whole_key(text: &str) -> Result<PublicKey, String> {
    text.parse().map_err(|_| {
        "not a whole key, which has 43 characters: copy it from what `devstream identity` shows on the peer's machine".into()
    })
}

#[cfg(test)]
mod tests {
    use crate::cli::command;

    #[test]
    fn a_key_is_taken_whatever_it_begins_with_and_only_whole() {
        let pin = |key: &str| command().try_get_matches_from(["devstream", "trust", "pin", "device", "pi-42", key]);
        for key in ["-X0rcriFWZTS5ncIBQ5jU4eMJvmaE6YYUBau3zgXAtQ", "--0rcriFWZTS5ncIBQ5jU4eMJvmaE6YYUBau3zgXAtQ"] {
            pin(key).unwrap();
        }
        for part in ["-X0rcriF", "-X0rcriF…", ""] {
            let refused = pin(part).unwrap_err().to_string();
            assert!(refused.contains("43 characters"), "{refused}");
        }
    }
}
