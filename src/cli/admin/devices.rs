//! `devstream devices`: the devices in reach of this machine's service.

use super::show::devices as show_devices;
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
    Ok(show_devices(&list, devices.output.json)?)
}
