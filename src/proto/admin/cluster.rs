//! The hubs of a cluster, as one of them sees them.

use serde::{Deserialize, Serialize};

use crate::proto::id::HubId;
use crate::proto::join::HubAddress;
use crate::proto::message::is_false;
use crate::proto::timestamp::Timestamp;

/// The state of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// The hubs; the one that was asked is the first.
    pub hubs: Vec<ClusterHub>,
    /// The registry that they share, as this hub has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<SharedRegistry>,
    /// The NATS servers, as this hub was told them.
    pub nats: Vec<String>,
    /// The NATS servers that reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<EngineServer>,
    /// Seconds since which none of them can be reached; none if one can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolated_seconds: Option<u64>,
}

/// A NATS server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EngineServer {
    /// The name that its operator gave it.
    pub name: String,
    /// The version of its program.
    pub version: String,
    /// This hub is connected to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_connected: bool,
    /// A change is on its disk before it is confirmed; none if the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub synced: Option<bool>,
}

/// A hub's mirror of the registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedRegistry {
    /// The identities and enrolment keys in it, removed ones included.
    pub entries: u64,
    /// The revision up to which it is complete.
    pub revision: u64,
    /// The revisions that it is behind other hubs.
    pub lag: u64,
    /// It takes every change as it comes.
    pub follows: bool,
    /// Since when it does, or does not.
    pub since: Timestamp,
    /// Why it does not follow, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Why changes are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refuses: Option<String>,
}

/// A hub of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterHub {
    /// Its id.
    pub id: HubId,
    /// The address that it alone has.
    pub address: HubAddress,
    /// `live`, `draining` or `dead`.
    pub state: String,
    /// It is the hub that was asked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_this: bool,
    /// The version of its program.
    pub version: String,
    /// The region that its operator gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The start of its present run.
    pub since: Timestamp,
    /// The devices that are connected to it.
    pub devices: usize,
    /// Its streams.
    pub streams: usize,
    /// The revision of the registry that its mirror has.
    pub revision: u64,
    /// Milliseconds since it was heard of last.
    pub heard_ms: u64,
}
