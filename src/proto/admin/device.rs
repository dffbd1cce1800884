//! A device as a service sees it, and why it is offline.

use serde::{Deserialize, Serialize};

use super::Presence;
use crate::proto::id::DeviceId;
use crate::proto::message::is_false;
use crate::proto::timestamp::Timestamp;

/// Why a device without a key is offline, and what brings it online.
pub const NOT_JOINED_YET: &str = "it has not joined yet: on it, run the `devstream join` command that the hub printed";

/// Why a disabled device is offline, and what brings it online.
pub fn disabled_at_the_hub(device: &str) -> String {
    format!("it is disabled at the hub: `devstream hub device enable {device}` there")
}

/// A device, as a service that may reach it sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceStatus {
    /// Its id.
    pub id: DeviceId,
    /// `true` once it has a key; an earlier version of the hub does not say.
    #[serde(default = "is_true")]
    pub joined: bool,
    /// The hub rejects it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub disabled: bool,
    /// Time of its last connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<Timestamp>,
    /// It is not connected and still has open streams: its agent was told to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ending: bool,
    /// Its presence, with the stream names that the service may open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub online: Option<Presence>,
}

fn is_true() -> bool {
    true
}
