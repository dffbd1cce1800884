//! The flags of `devstream check`.

use clap::Args;

use super::value_parsers::device_id;
use super::{HubArgs, OutputArgs};
use crate::proto::forward::Forward;
use crate::proto::id::{DeviceId, StreamName};

/// Check every hop to the hub, a device and its target: which one fails, why, and what to do next
///
/// For an operator: DNS, TCP, the proxy if there is one, TLS, authentication and the clocks; with DEVICE also whether
/// the device is online and opens a stream, how that is encrypted end to end, and the banner of the stream's target. On a machine that joined as a
/// device: the path to the hub, and whether the targets that the device-agent offers answer. Prints each hop once it is
/// done, with its time. Uses the settings that the service-proxy or the device-agent has in the environment and the
/// file. Exits with the code of the first failure.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// Check the path to this device as well
    #[arg(value_name = "DEVICE", value_parser = device_id, group = "checked")]
    positional_device: Option<DeviceId>,
    /// Check the path to this device as well, as with DEVICE
    #[arg(long, value_name = "ID", value_parser = device_id, group = "checked")]
    device: Option<DeviceId>,
    /// Ask for this stream [default: the device's first forward that this service may reach]
    #[arg(long, value_name = "NAME", requires = "checked")]
    pub(in crate::cli) stream: Option<StreamName>,
    /// Check as a device, with this target instead of those in the device-agent's settings (repeatable)
    #[arg(long, value_name = "[NAME=][HOST:]PORT", value_delimiter = ',', conflicts_with = "checked")]
    pub(in crate::cli) forward: Vec<Forward>,
    /// Open a stream that is not encrypted end to end, as the service-proxy does with --plain
    #[arg(long, conflicts_with = "forward")]
    pub(in crate::cli) plain: bool,
    #[command(flatten)]
    pub(in crate::cli) output: OutputArgs,
    #[command(flatten)]
    pub(in crate::cli) hub: HubArgs,
}

impl Check {
    /// Returns the device to check, if one is named.
    pub(in crate::cli) fn device(&self) -> Option<&DeviceId> {
        self.positional_device.as_ref().or(self.device.as_ref())
    }
}
