//! Where the hub is, and why it is trusted.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::ViaArgs;
use crate::cli::profile::Profile;
use crate::net::transport::hub_addresses::{AddressPreference, HubAddresses};
use crate::proto::join::HubAddress;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct HubArgs {
    /// Where the hub is, if not where it was when this machine joined; without a port, 443 (repeatable)
    ///
    /// Several addresses of one hub are tried in turn, beginning with the one that answered last. At each of them it
    /// must show the certificate of the hub that this machine joined.
    #[arg(long, value_name = "HOST[:PORT]", env = "DEVSTREAM_HUB", value_hint = ValueHint::Hostname, value_delimiter = ',')]
    pub(in crate::cli) hub: Vec<HubAddress>,
    #[arg(skip)]
    preference: AddressPreference,
    #[arg(from_global)]
    pub(in crate::cli) profile: Option<Profile>,
    #[command(flatten)]
    pub(in crate::cli) trust: TrustArgs,
    #[command(flatten)]
    pub(in crate::cli) via: ViaArgs,
}

impl HubArgs {
    /// For a hub whose address is known by itself, with nothing typed.
    pub(in crate::cli) fn none() -> Self {
        let trust = TrustArgs { ca: None, allow_tls_inspection: false };
        Self {
            hub: Vec::new(),
            preference: AddressPreference::default(),
            profile: None,
            trust,
            via: ViaArgs::default(),
        }
    }

    /// What was typed here, else what was set for the role.
    pub(in crate::cli) fn or(self, role: Self) -> Self {
        let TrustArgs { ca, allow_tls_inspection } = self.trust;
        let allow_tls_inspection = allow_tls_inspection || role.trust.allow_tls_inspection;
        Self {
            hub: if self.hub.is_empty() { role.hub } else { self.hub },
            preference: self.preference,
            profile: self.profile,
            trust: TrustArgs { ca: ca.or(role.trust.ca), allow_tls_inspection },
            via: self.via.or(role.via),
        }
    }

    /// The hub's addresses as typed, else this one. All that come of one command line share what answered last.
    pub(in crate::cli) fn hubs(&self, otherwise: &HubAddress) -> HubAddresses {
        HubAddresses::new(&self.hub, self.preference.clone()).unwrap_or_else(|| otherwise.clone().into())
    }
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct TrustArgs {
    /// Trust the hub's certificate if an authority in this PEM file signed it, instead of the pin or the public ones
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "DEVSTREAM_CA")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// Go on where a proxy on the way inspects TLS, if the hub allows it too
    ///
    /// The proxy then sees everything, join codes and stream tokens included, and could act in this machine's name
    /// as long as it is on the way.
    #[arg(long, env = "DEVSTREAM_ALLOW_TLS_INSPECTION")]
    pub(in crate::cli) allow_tls_inspection: bool,
}
