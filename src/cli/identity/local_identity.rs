//! The identities of this machine for programs: the same as those of the commands.

use super::client::{client_factory, default_device_id, default_service_id};
use crate::cli::args::HubArgs;
use crate::net::identity::Identity;
use crate::proto::id::{DeviceId, Principal, PrincipalId, Role};
use crate::proto::refusal::Refusal;

/// Returns the identity of a device: the one that `devstream join` stored, or, where this user runs a hub, one enrolled
/// with that. Without an id, it is the one that joined, else the machine's name.
pub fn device(id: Option<DeviceId>) -> Result<Identity, Refusal> {
    let id = id.map_or_else(|| default_device_id(&HubArgs::none()), |id| Ok(id.into()));
    identity_of(Role::Device, id)
}

/// Returns the identity of a service: the one that `devstream join` stored, or, where this user runs a hub, one
/// enrolled with that under the user's name.
pub fn service() -> Result<Identity, Refusal> {
    identity_of(Role::Service, default_service_id(&HubArgs::none()))
}

fn identity_of(role: Role, id: anyhow::Result<PrincipalId>) -> Result<Identity, Refusal> {
    let id = id.map_err(|error| Refusal::local(format!("{error:#}")))?;
    let principal = Principal { role, id };
    let client_factory = client_factory(principal.clone(), HubArgs::none());
    Ok(Identity::with_client_factory(principal, client_factory))
}
