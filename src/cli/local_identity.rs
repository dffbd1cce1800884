//! Who a program on this machine is to its hub: the same as the commands are.

use super::args::HubArgs;
use super::identity;
use crate::net::identity::Identity;
use crate::proto::id::{DeviceId, Principal, PrincipalId, Role};
use crate::proto::refusal::{Refusal, RefusalKind};

/// What `devstream join` left on this machine for a device, or, where this user runs a hub, a device of that. Without an id
/// it is the one that was joined, or the machine's name.
pub fn device(id: Option<DeviceId>) -> Result<Identity, Refusal> {
    let id = id.map_or_else(|| identity::default_device_id(&HubArgs::none()), |id| Ok(id.into()));
    identity_of(Role::Device, id)
}

/// What `devstream join` left on this machine for a service, or, where this user runs a hub, a service of that by the
/// user's name.
pub fn service() -> Result<Identity, Refusal> {
    identity_of(Role::Service, identity::default_service_id(&HubArgs::none()))
}

fn identity_of(role: Role, id: anyhow::Result<PrincipalId>) -> Result<Identity, Refusal> {
    let id = id.map_err(|error| Refusal::new(RefusalKind::NotJoined, format!("{error:#}")))?;
    let principal = Principal { role, id };
    let client_factory = identity::client_factory(principal.clone(), HubArgs::none());
    Ok(Identity::with_client_factory(principal, client_factory))
}
