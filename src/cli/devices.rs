//! `devstream devices`: the devices that this machine's service may reach.

use anyhow::Context as _;

use super::Failure;
use super::admin::show_devices;
use super::args::Devices;
use super::complete::store;
use super::identity::{client_factory, default_service_id};
use crate::net::client::{RequestOptions, response_refusal};
use crate::proto::http::Route;
use crate::proto::id::{Principal, Role};
use crate::proto::limits::DEVICE_LIST_BYTES;

pub(super) async fn run(devices: Devices) -> Result<(), Failure> {
    let principal = Principal { role: Role::Service, id: default_service_id(&devices.hub)? };
    let client = client_factory(principal, devices.hub.clone()).client().await?;
    let options = RequestOptions { max_response_bytes: DEVICE_LIST_BYTES, ..RequestOptions::default() };
    let response = client.request(&Route::Devices, options).await?;
    if !response.status().is_success() {
        return Err(response_refusal(&response).into());
    }
    let list: Vec<_> = serde_json::from_slice(response.body()).context("the hub's answer makes no sense")?;
    store(&devices.hub, &list);
    Ok(show_devices(&list, devices.output.json)?)
}
