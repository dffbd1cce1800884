//! A stream as the hub's operator sees it.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::proto::id::{DeviceId, ServiceName, StreamId, StreamName};
use crate::proto::join::HubAddress;

/// A stream, from its request on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamStatus {
    /// Its id.
    pub id: StreamId,
    /// The device.
    pub device: DeviceId,
    /// The stream name; none asks for the device's first forward.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<StreamName>,
    /// The service.
    pub service: ServiceName,
    /// Source address of the service.
    pub source: SocketAddr,
    /// Its state: `waiting`, `asked`, `accepted`, `open` or `interrupted`.
    pub state: String,
    /// Seconds since its request.
    pub age_seconds: u64,
    /// Bytes to the device.
    pub bytes_to_device: u64,
    /// Bytes to the service.
    pub bytes_to_service: u64,
    /// The hub of a cluster that carries it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubAddress>,
}
