//! The `devstream hub cluster` subcommands.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::OutputArgs;

/// Several hubs as one: over NATS servers of your own
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ClusterCommand {
    /// Make this hub the first of several; it takes effect when the hub is restarted
    ///
    /// The hub moves its identities into the NATS servers' key-value store, and keeps a copy, from which it answers.
    Init {
        #[command(flatten)]
        nats: NatsArgs,
        #[command(flatten)]
        own: OwnArgs,
    },
    /// Print the command with which one more hub joins
    Invite,
    /// Make a new hub of the cluster on this machine; reads the link from standard input
    ///
    /// The hub gets the cluster's certificate authority, its key and the way to its NATS servers. Start it with `devstream hub`.
    Join {
        #[command(flatten)]
        own: OwnArgs,
    },
    /// Show the hubs: state, version, since when, devices, streams
    Status(OutputArgs),
    /// Put this hub's identities into the NATS servers' store, where that has lost them
    ///
    /// The other hubs take them from there. Choose the hub that has the latest: `status` shows the revision of each.
    Restore {
        /// Also where another cluster was founded there since
        #[arg(long)]
        force: bool,
    },
    /// Make this hub one that is alone; it takes effect when the hub is restarted
    ///
    /// The hub keeps the identities that it has, and shares no later change of them.
    Leave,
}

/// How to reach the engine.
#[derive(Debug, Args)]
pub(in crate::cli) struct NatsArgs {
    /// URLs of the NATS servers (repeatable)
    #[arg(long, value_name = "tls://HOST[:PORT]", required = true, value_delimiter = ',')]
    pub(in crate::cli) nats: Vec<String>,
    /// File with the credentials for them, as `nsc generate creds` writes it; its content is kept with the hub's state
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) nats_creds: Option<PathBuf>,
    /// Trust the authorities in this PEM file for their certificates, beside those of the system
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(in crate::cli) nats_ca: Option<PathBuf>,
}

/// The hub's own place.
#[derive(Debug, Args)]
pub(in crate::cli) struct OwnArgs {
    /// Name that this hub alone has, besides the one that all share: h1.hub.example.com beside hub.example.com
    ///
    /// Clients are sent to it for streams; it has to lead to this hub, without a port at the one that the hub listens on.
    #[arg(long, value_name = "HOST[:PORT]", value_hint = ValueHint::Hostname)]
    pub(in crate::cli) name: String,
    /// Region of this hub: a stream whose hub is gone goes on at one of the same, if there is one
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) region: Option<String>,
}
