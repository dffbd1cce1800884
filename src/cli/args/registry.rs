//! The `devstream hub` subcommands: identities and their scopes, streams, status and backups.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};

use super::value_parsers::{device_id, duration, new_device_id};
use super::{ClusterCommand, Logs, OutputArgs};
use crate::proto::id::{DeviceId, ServiceName, StreamId};
use crate::proto::scope::Glob;

/// The default validity of a join link: time to walk to the machine.
const LINK_AGE: &str = "15m";

/// The default overlap of two keys: a machine that is rarely online joins again within it.
const OVERLAP: &str = "1d";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HubCommand {
    /// Manage devices
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Manage services: operators and jobs that open streams
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Manage enrolment keys: one secret with which many devices join, each with a key of its own
    #[command(subcommand)]
    Enroll(EnrollCommand),
    /// List devices: state, since when, address, streams offered
    Devices(OutputArgs),
    Streams(Streams),
    /// Show the hub's status: uptime, counts, certificate, memory, file descriptors
    Status(OutputArgs),
    /// Check that the hub runs, is reached under the name in its join links, and has a valid certificate, file
    /// descriptors and disk space
    ///
    /// For each failure, prints the cause and what to do next. Looks the name up and dials the hub from this machine;
    /// `devstream check` elsewhere may find otherwise. Exits with the code of the first failure.
    Check(OutputArgs),
    /// Print the hub's name, streaming endpoints and pin as JSON
    Show,
    /// Check the configuration file, with all its sections
    CheckConfig,
    Logs(Logs),
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Write the hub's identities, keys and certificates into one file; works while it runs
    Backup {
        /// File to write; must not exist
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Restore a hub's state directory from a backup
    Restore {
        /// File that `backup` wrote
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeviceCommand {
    /// Add a device, and print the command with which its machine joins
    Add {
        /// Device id
        #[arg(value_parser = new_device_id)]
        id: DeviceId,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// List devices
    List(OutputArgs),
    /// Show a device and its keys
    Show {
        /// Device id
        #[arg(value_parser = device_id)]
        id: DeviceId,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Disable a device, and end its connection and streams
    Disable {
        /// Device id
        #[arg(value_parser = device_id)]
        id: DeviceId,
    },
    /// Enable a device again
    Enable {
        /// Device id
        #[arg(value_parser = device_id)]
        id: DeviceId,
    },
    /// Print a command with which the device gets a new key; the present one works until then, and for --overlap after
    ///
    /// To cut the present key off now: devstream hub device disable ID, and enable it after the join, with
    /// --overlap 0s here. Links made before no longer work.
    Rotate {
        /// Device id
        #[arg(value_parser = device_id)]
        id: DeviceId,
        #[command(flatten)]
        overlap: OverlapArgs,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// Remove a device, and end its connection and streams
    Remove {
        /// Device id
        #[arg(value_parser = device_id)]
        id: DeviceId,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceCommand {
    /// Add a service, and print the command with which its machine joins; it may reach what is named here, nothing else
    Add {
        /// Service name
        name: ServiceName,
        #[command(flatten)]
        scope: ScopeArgs,
        /// Keep the join link valid for this long
        #[arg(long, value_name = "DURATION", default_value = LINK_AGE, value_parser = duration)]
        link_for: Duration,
    },
    /// Change what a service may reach, and end its other streams; what is not named stays
    Set {
        /// Service name
        name: ServiceName,
        #[command(flatten)]
        scope: ScopeArgs,
    },
    /// List services
    List(OutputArgs),
    /// Show a service and its keys
    Show {
        /// Service name
        name: ServiceName,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Disable a service, and end its streams
    Disable {
        /// Service name
        name: ServiceName,
    },
    /// Enable a service again
    Enable {
        /// Service name
        name: ServiceName,
    },
    /// Print a command with which the service gets a new key; the present one works until then, and for --overlap after
    ///
    /// To cut the present key off now: devstream hub service disable NAME, and enable it after the join, with
    /// --overlap 0s here. Links made before no longer work.
    Rotate {
        /// Service name
        name: ServiceName,
        #[command(flatten)]
        overlap: OverlapArgs,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// Remove a service, and end its streams
    Remove {
        /// Service name
        name: ServiceName,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EnrollCommand {
    /// Create an enrolment key, and print it
    Add {
        /// Let devices join under ids of this pattern, with * and ?
        #[arg(long, value_name = "GLOB")]
        device: Glob,
        /// Let this many devices join
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// Keep the key valid for this long
        #[arg(long = "for", value_name = "DURATION", default_value = "1d", value_parser = duration)]
        valid: Duration,
    },
    /// List enrolment keys: ids, uses, validity
    List(OutputArgs),
    /// Revoke an enrolment key; devices that joined with it stay
    Remove {
        /// Number of the key, as listed
        id: u64,
    },
}

/// List streams, or end one
#[derive(Debug, Args)]
pub(in crate::cli) struct Streams {
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<StreamsCommand>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StreamsCommand {
    /// List streams
    List(OutputArgs),
    /// End a stream, and tell both ends why
    Kill {
        /// Stream id, as listed
        id: StreamId,
    },
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct LinkArgs {
    /// Keep the join link valid for this long
    #[arg(long, visible_alias = "for", value_name = "DURATION", default_value = LINK_AGE, value_parser = duration)]
    pub(in crate::cli) link_for: Duration,
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct OverlapArgs {
    /// Accept the old key for this long after the new one joined; 0s ends its connections at once
    #[arg(long, value_name = "DURATION", default_value = OVERLAP, value_parser = duration)]
    pub(in crate::cli) overlap: Duration,
}

/// The scope of a service.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ScopeArgs {
    /// Allow this device: an id, or a pattern with * and ? (repeatable)
    #[arg(long = "device", value_name = "GLOB")]
    pub(in crate::cli) devices: Vec<Glob>,
    /// Allow this stream name, or pattern with * and ? (repeatable) [default: any]
    #[arg(long = "stream", value_name = "GLOB")]
    pub(in crate::cli) streams: Vec<Glob>,
    /// Allow access for this long from now, such as 8h or 30d; or `ever`
    #[arg(long = "for", value_name = "DURATION", value_parser = duration_or_ever)]
    pub(in crate::cli) period: Option<AccessPeriod>,
    /// Allow this many streams at once; or `any`
    #[arg(long, value_name = "N", value_parser = number_or_any)]
    pub(in crate::cli) max_streams: Option<StreamLimit>,
}

/// The period of a service's access.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum AccessPeriod {
    For(Duration),
    Unlimited,
}

/// The limit on a service's streams.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum StreamLimit {
    AtMost(u32),
    Unlimited,
}

fn duration_or_ever(text: &str) -> Result<AccessPeriod, String> {
    if text == "ever" { Ok(AccessPeriod::Unlimited) } else { duration(text).map(AccessPeriod::For) }
}

fn number_or_any(text: &str) -> Result<StreamLimit, String> {
    let number = || text.parse().map_err(|_| format!("'{text}' is neither a number nor 'any'"));
    if text == "any" { Ok(StreamLimit::Unlimited) } else { number().map(StreamLimit::AtMost) }
}
