//! `devstream devices`: the devices in reach of this machine's service.

use super::show::{ListedDevice, devices as show_devices};
use crate::cli::Failure;
use crate::cli::args::Devices;
use crate::cli::complete::store;
use crate::cli::identity::{client_factory, default_service_id};
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
    Ok(show_devices(&listed.collect::<Vec<_>>(), devices.output.json)?)
}
