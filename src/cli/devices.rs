//! `devstream devices`: the devices that this machine's service may reach.

use anyhow::Context as _;

use super::Failure;
use super::admin::show_devices;
use super::args::Devices;
use super::complete::remember;
use super::identity::{enrol, service};
use crate::net::client::{Particulars, refusal};
use crate::proto::http::Route;
use crate::proto::id::{Principal, Role};
use crate::proto::limits::DEVICE_LIST_BYTES;

pub(super) async fn run(devices: Devices) -> Result<(), Failure> {
    let principal = Principal { role: Role::Service, id: service(&devices.hub)? };
    let client = enrol(principal, devices.hub.clone())().await?;
    let particulars = Particulars { answer_bytes: DEVICE_LIST_BYTES, ..Particulars::default() };
    let response = client.ask(&Route::Devices, particulars).await?;
    if !response.status().is_success() {
        return Err(refusal(&response).into());
    }
    let list: Vec<_> = serde_json::from_slice(response.body()).context("the hub's answer makes no sense")?;
    remember(&devices.hub, &list);
    Ok(show_devices(&list, devices.listing.json)?)
}
