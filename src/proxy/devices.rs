//! The list of devices that a service may reach.

use bytes::Bytes;
use http::Response;

use crate::net::client::{Client, RequestOptions, response_refusal};
use crate::proto::admin::DeviceStatus;
use crate::proto::http::Route;
use crate::proto::limits::DEVICE_LIST_BYTES;
use crate::proto::refusal::{Refusal, RefusalKind};

/// Asks the hub for the devices in the service's scope, with the names that it may open (PROTOCOL.md, `GET /devices`).
pub async fn list_devices(client: &Client) -> Result<Vec<DeviceStatus>, Refusal> {
    let response = request_devices(client).await?;
    if !response.status().is_success() {
        return Err(response_refusal(&response).of(client.principal()));
    }
    let invalid =
        |error| Refusal::new(RefusalKind::BadRequest, format!("the hub sent an invalid list of devices: {error}"));
    serde_json::from_slice(response.body()).map_err(invalid)
}

/// Requests the list; a hub of an earlier version may have none.
pub async fn request_devices(client: &Client) -> Result<Response<Bytes>, Refusal> {
    let options = RequestOptions { max_response_bytes: DEVICE_LIST_BYTES, ..RequestOptions::default() };
    Ok(client.request(&Route::Devices, options).await?)
}
