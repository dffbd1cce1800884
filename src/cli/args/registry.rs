//! The `hub …` subcommands: who may come, who is there, what they do.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;

use super::Logs;
use super::value_parsers::age;
use crate::cli::complete::hub;
use crate::proto::id::{DeviceId, ServiceName, StreamId};
use crate::proto::scope::Glob;

/// A link is used by somebody who is walking to the machine.
const LINK_AGE: &str = "15m";

/// Long enough that a machine which is rarely online comes by for its new key.
const OVERLAP: &str = "1d";

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum HubCommand {
    /// Manage the devices that may wait here
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Manage the services (operators, jobs) that may ask for streams
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Manage enrolment keys: one secret with which many devices join, each with a key of its own
    #[command(subcommand)]
    Enroll(EnrollCommand),
    /// List the devices: who is online, since when, from where, what it offers
    Devices(OutputArgs),
    Streams(Streams),
    /// Print how the hub is: up since, counts, certificate, memory, file descriptors
    Status(OutputArgs),
    /// Check that the hub runs, is reached under its join links' name, and has what it needs: certificate, clock, file
    /// descriptors, disk
    ///
    /// For what is wrong, the cause and what to do next. The name is looked up, and the hub dialled, from this machine: what
    /// `devstream check` says elsewhere may differ. Ends with the exit code of the first failure.
    Check(OutputArgs),
    /// Print the hub's name, streaming endpoints and pin as JSON
    Show,
    /// Check the configuration file, every section of it
    CheckConfig,
    Logs(Logs),
    /// Write the hub's identities, keys and certificates into one file, also while it runs
    Backup {
        /// The file; it must not be there yet
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Make a hub's state directory out of a backup
    Restore {
        /// What `backup` wrote
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeviceCommand {
    /// Add a device, and print the line that its machine joins with
    Add {
        /// The device's id
        id: DeviceId,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// List the devices
    List(OutputArgs),
    /// Show one device
    Show {
        /// The device's id
        #[arg(add = ArgValueCandidates::new(hub::devices))]
        id: DeviceId,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Keep a device out until it is enabled again; its connection and streams end
    Disable {
        /// The device's id
        #[arg(add = ArgValueCandidates::new(hub::devices))]
        id: DeviceId,
    },
    /// Let a device in again
    Enable {
        /// The device's id
        #[arg(add = ArgValueCandidates::new(hub::devices))]
        id: DeviceId,
    },
    /// Print a line with which the device gets a new key
    Rotate {
        /// The device's id
        #[arg(add = ArgValueCandidates::new(hub::devices))]
        id: DeviceId,
        #[command(flatten)]
        overlap: OverlapArgs,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// Forget a device; its connection and streams end
    Remove {
        /// The device's id
        #[arg(add = ArgValueCandidates::new(hub::devices))]
        id: DeviceId,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum ServiceCommand {
    /// Add a service, and print the line that its machine joins with; it may reach what is named here, and nothing else
    Add {
        /// The service's name
        name: ServiceName,
        #[command(flatten)]
        scope: ScopeArgs,
        /// How long the printed line works
        #[arg(long, value_name = "AGE", default_value = LINK_AGE, value_parser = age)]
        link_for: Duration,
    },
    /// Change what a service may reach; what is not named stays. Streams outside of it end
    Set {
        /// The service's name
        #[arg(add = ArgValueCandidates::new(hub::services))]
        name: ServiceName,
        #[command(flatten)]
        scope: ScopeArgs,
    },
    /// List the services
    List(OutputArgs),
    /// Show one service
    Show {
        /// The service's name
        #[arg(add = ArgValueCandidates::new(hub::services))]
        name: ServiceName,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Keep a service out until it is enabled again; its streams end
    Disable {
        /// The service's name
        #[arg(add = ArgValueCandidates::new(hub::services))]
        name: ServiceName,
    },
    /// Let a service in again
    Enable {
        /// The service's name
        #[arg(add = ArgValueCandidates::new(hub::services))]
        name: ServiceName,
    },
    /// Print a line with which the service gets a new key
    Rotate {
        /// The service's name
        #[arg(add = ArgValueCandidates::new(hub::services))]
        name: ServiceName,
        #[command(flatten)]
        overlap: OverlapArgs,
        #[command(flatten)]
        link: LinkArgs,
    },
    /// Forget a service; its streams end
    Remove {
        /// The service's name
        #[arg(add = ArgValueCandidates::new(hub::services))]
        name: ServiceName,
    },
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum EnrollCommand {
    /// Make an enrolment key, and print it
    Add {
        /// The ids that devices may join as: a pattern with * and ?
        #[arg(long, value_name = "GLOB")]
        device: Glob,
        /// How many devices may join with it
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// How long it works
        #[arg(long = "for", value_name = "AGE", default_value = "1d", value_parser = age)]
        valid: Duration,
    },
    /// List the enrolment keys: for which ids, how often used, until when
    List(OutputArgs),
    /// Make an enrolment key void; the devices that joined with it stay
    Remove {
        /// Its number
        #[arg(add = ArgValueCandidates::new(hub::enrolments))]
        id: u64,
    },
}

/// List the streams, or end one
#[derive(Debug, Args)]
pub(in crate::cli) struct Streams {
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    #[command(subcommand)]
    pub(in crate::cli) command: Option<StreamsCommand>,
}

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum StreamsCommand {
    /// List the streams
    List(OutputArgs),
    /// End a stream; both of its ends are told why
    Kill {
        /// Its id, as listed
        #[arg(add = ArgValueCandidates::new(hub::streams))]
        id: StreamId,
    },
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct LinkArgs {
    /// How long the printed line works
    #[arg(long, visible_alias = "for", value_name = "AGE", default_value = LINK_AGE, value_parser = age)]
    pub(in crate::cli) link_for: Duration,
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct OverlapArgs {
    /// How long the old key still works once the new one is there; with 0s, what it holds ends at once
    #[arg(long, value_name = "AGE", default_value = OVERLAP, value_parser = age)]
    pub(in crate::cli) overlap: Duration,
}

/// What a service may reach.
#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct ScopeArgs {
    /// Devices it may reach: ids, or patterns with * and ? (repeatable)
    #[arg(long = "device", value_name = "GLOB", add = ArgValueCandidates::new(hub::devices))]
    pub(in crate::cli) devices: Vec<Glob>,
    /// Stream names it may ask for: names, or patterns with * and ? (repeatable) [default: any]
    #[arg(long = "stream", value_name = "GLOB", add = ArgValueCandidates::new(hub::offered))]
    pub(in crate::cli) streams: Vec<Glob>,
    /// How long, from now, such as 8h or 30d; or `ever`
    #[arg(long = "for", value_name = "AGE", value_parser = age_or_ever)]
    pub(in crate::cli) period: Option<AccessPeriod>,
    /// How many streams at once; or `any`
    #[arg(long, value_name = "N", value_parser = number_or_any)]
    pub(in crate::cli) max_streams: Option<StreamLimit>,
}

/// How long a service may come.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum AccessPeriod {
    For(Duration),
    Unlimited,
}

/// How many streams a service may have.
#[derive(Debug, Clone, Copy)]
pub(in crate::cli) enum StreamLimit {
    AtMost(u32),
    Unlimited,
}

#[derive(Debug, Clone, Copy, Args)]
pub(in crate::cli) struct OutputArgs {
    /// As JSON
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

fn age_or_ever(text: &str) -> Result<AccessPeriod, String> {
    if text == "ever" { Ok(AccessPeriod::Unlimited) } else { age(text).map(AccessPeriod::For) }
}

fn number_or_any(text: &str) -> Result<StreamLimit, String> {
    let number = || text.parse().map_err(|_| format!("'{text}' is neither a number nor 'any'"));
    if text == "any" { Ok(StreamLimit::Unlimited) } else { number().map(StreamLimit::AtMost) }
}
