//! The flags of clients: the hub's address, its trust, and the proxy on the path.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::ViaArgs;
use crate::cli::profile::Profile;
use crate::net::transport::hub_addresses::{AddressPreference, HubAddresses};
use crate::proto::join::HubAddress;

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct HubArgs {
    /// Reach the hub at this address instead of the one it joined at; port 443 by default (repeatable)
    ///
    /// Several addresses of one hub are tried in turn, starting with the one that answered last. Each must present the
    /// certificate of the hub that this machine joined.
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
    /// The absence of any flag, for a hub whose address is known otherwise.
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

    /// Fills in what these flags leave open from the role's settings.
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

    /// Returns the hub's addresses as given, else the default. All copies of these flags share which one answered last.
    pub(in crate::cli) fn hubs(&self, default: &HubAddress) -> HubAddresses {
        HubAddresses::new(&self.hub, self.preference.clone()).unwrap_or_else(|| default.clone().into())
    }
}

#[derive(Debug, Clone, Args)]
pub(in crate::cli) struct TrustArgs {
    /// Trust the authorities in this PEM file for the hub's certificate, instead of its pin or the public ones
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, env = "DEVSTREAM_CA")]
    pub(in crate::cli) ca: Option<PathBuf>,
    /// Connect even if a proxy on the path inspects TLS, if the hub allows it too
    ///
    /// The proxy then sees everything, join codes and stream tokens included, and could impersonate this machine while
    /// it is on the path.
    #[arg(long, env = "DEVSTREAM_ALLOW_TLS_INSPECTION")]
    pub(in crate::cli) allow_tls_inspection: bool,
}
