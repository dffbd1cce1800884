//! `devstream devices`: the devices in reach of this machine's service.

use anyhow::Context as _;

use super::show::devices as show_devices;
use crate::cli::Failure;
use crate::cli::args::Devices;
use crate::cli::complete::store;
use crate::cli::identity::{client_factory, default_service_id};
use crate::net::client::{RequestOptions, response_refusal};
use crate::proto::http::Route;
use crate::proto::id::{Principal, Role};
use crate::proto::limits::DEVICE_LIST_BYTES;

pub(in crate::cli) async fn run(devices: Devices) -> Result<(), Failure> {
    let principal = Principal { role: Role::Service, id: default_service_id(&devices.hub)? };
    let client = client_factory(principal, devices.hub.clone()).client().await?;
    let options = RequestOptions { max_response_bytes: DEVICE_LIST_BYTES, ..RequestOptions::default() };
    let response = client.request(&Route::Devices, options).await?;
    if !response.status().is_success() {
        return Err(response_refusal(&response).into());
    }
    let list: Vec<_> = serde_json::from_slice(response.body()).context("the hub sent an invalid list of devices")?;
    store(&devices.hub, &list);
    Ok(show_devices(&list, devices.output.json)?)
}
