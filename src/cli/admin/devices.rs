//! `devstream devices`: the devices in reach of this machine's service.

use super::show::{ListedDevice, devices as show_devices};
use crate::cli::Failure;
use crate::cli::args::Devices;
use crate::cli::complete::store;
use crate::cli::identity::{StoredIdentity, client_factory, default_service_id};
use crate::cli::profile::Profile;
use crate::proto::id::{Principal, Role};
use crate::proxy::devices::list_devices;

pub(in crate::cli) async fn run(devices: Devices) -> Result<(), Failure> {
    let principal = Principal { role: Role::Service, id: default_service_id(&devices.hub)? };
    let client = client_factory(principal, devices.hub.clone()).client().await?;
    let list = list_devices(&client).await?;
    store(&devices.hub, &list);
    let listed = list.into_iter().map(|device| {
        let peer = Principal { role: Role::Device, id: device.id.lower_case().into() };
        ListedDevice::new(device, client.peer_keys().known(&peer))
    });
    let joined = StoredIdentity::load(&Profile::resolve(devices.hub.profile.as_ref())?, Role::Service)?.is_some();
    let none = if joined { NONE_IN_REACH } else { NONE_ADDED };
    Ok(show_devices(&listed.collect::<Vec<_>>(), devices.output.json, none)?)
}

/// What a service reads that may reach no device.
const NONE_IN_REACH: &str =
    "no devices that you may reach; ask the hub's operator: devstream hub service set NAME --device ID";

/// What the hub's own user reads, who may reach every device.
const NONE_ADDED: &str = "this hub has no devices yet: `devstream hub device add ID` prints a link for one; this machine becomes one \
                          with `devstream device-agent --forward 22`";
