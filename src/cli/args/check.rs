//! `check`, as typed.

use clap::Args;

use super::{HubArgs, Listing, TrustArgs};
use crate::proto::forward::Forward;
use crate::proto::id::{DeviceId, StreamName};

/// Check every hop on the way, and say which one fails, why, and what to do next
///
/// For an operator: DNS, TCP, the proxy if there is one, TLS, authentication, the two clocks, and with --device also
/// whether it is online, opens a stream, and what the stream's target says first. On a machine that joined as a device:
/// the way to the hub, and whether what the device-agent offers answers here. Each hop has its time. Settings that the
/// service-proxy or the device-agent has in the environment and the file hold here too. Ends with the exit code of the
/// first failure.
#[derive(Debug, Args)]
pub(in crate::cli) struct Check {
    /// Go on to this device
    #[arg(long, value_name = "ID")]
    pub(in crate::cli) device: Option<DeviceId>,
    /// The stream to ask for [default: the device's first forward]
    #[arg(long, value_name = "NAME", requires = "device")]
    pub(in crate::cli) stream: Option<StreamName>,
    /// Check as a device: whether this target answers here, instead of those in the device-agent's settings (repeatable)
    #[arg(long, value_name = "[NAME=][HOST:]PORT", value_delimiter = ',', conflicts_with = "device")]
    pub(in crate::cli) forward: Vec<Forward>,
    #[command(flatten)]
    pub(in crate::cli) listing: Listing,
    #[command(flatten)]
    pub(in crate::cli) hub: HubArgs,
}

impl HubArgs {
    /// What was typed here, else what was set for the role.
    pub(in crate::cli) fn or(self, role: Self) -> Self {
        let TrustArgs { ca, allow_tls_inspection } = self.trust;
        let allow_tls_inspection = allow_tls_inspection || role.trust.allow_tls_inspection;
        Self {
            hub: if self.hub.is_empty() { role.hub } else { self.hub },
            preference: self.preference,
            trust: TrustArgs { ca: ca.or(role.trust.ca), allow_tls_inspection },
            via: self.via.or(role.via),
        }
    }
}
