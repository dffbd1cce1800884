//! `check`, as typed.

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{HubArgs, OutputArgs};
use crate::cli::complete;
use crate::proto::forward::Forward;
use crate::proto::id::{DeviceId, StreamName};

/// Check every hop on the way, and say which one fails, why, and what to do next
///
/// For an operator: DNS, TCP, the proxy if there is one, TLS, authentication, the two clocks, and with --device also
/// whether it is online, opens a stream, and what the stream's target says first. On a machine that joined as a device:
/// the way to the hub, and whether what the device-agent offers answers here. Each hop is told when it is done, with
/// its time. Settings for that way which the service-proxy or the device-agent has in the environment and the file hold here
/// too. Ends with the exit code of the first failure.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// Go on to this device
    #[arg(long, value_name = "ID", add = ArgValueCandidates::new(complete::devices))]
    pub(in crate::cli) device: Option<DeviceId>,
    /// The stream to ask for [default: the device's first forward]
    #[arg(long, value_name = "NAME", requires = "device", add = ArgValueCandidates::new(complete::streams))]
    pub(in crate::cli) stream: Option<StreamName>,
    /// Check as a device: whether this target answers here, instead of those in the device-agent's settings (repeatable)
    #[arg(long, value_name = "[NAME=][HOST:]PORT", value_delimiter = ',', conflicts_with = "device")]
    pub(in crate::cli) forward: Vec<Forward>,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    #[command(flatten)]
    pub(in crate::cli) hub: HubArgs,
}
