//! The status of a hub.

use serde::{Deserialize, Serialize};

use crate::proto::join::HubAddress;
use crate::proto::timestamp::Timestamp;

/// The hub's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HubStatus {
    /// The address that it alone has in its cluster; none if it is alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<HubAddress>,
    /// Version of the program.
    pub version: String,
    /// The name by which other machines reach it.
    pub hostname: String,
    /// Process id.
    pub process: u32,
    /// Time of its start.
    pub since: Timestamp,
    /// `true` while it shuts down and takes no new streams.
    pub draining: bool,
    /// Registered devices.
    pub devices: u64,
    /// Connected devices.
    pub online: u64,
    /// Registered services.
    pub services: u64,
    /// Streams, open or being established.
    pub streams: u64,
    /// Connections that have not authenticated.
    pub unauthenticated_connections: u64,
    /// Memory in use, in bytes: what counts against the limit, or else resident memory.
    pub memory_bytes: u64,
    /// The tightest limit on memory, in bytes, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
    /// Open file descriptors.
    pub descriptors: u64,
    /// Limit of open file descriptors.
    pub descriptor_limit: u64,
    /// TCP congestion control of its connections, if the system reports it: `bbr` where that is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion_control: Option<String>,
    /// The certificate of the public listener.
    pub certificate: CertificateReport,
    /// Lines that the activity log lost.
    pub activity_lost: u64,
    /// Conditions that need an operator.
    pub warnings: Vec<String>,
}

impl HubStatus {
    /// Formats open and allowed file descriptors. A system that limits them also counts them.
    pub fn descriptors_of(&self) -> String {
        match self.descriptor_limit {
            u64::MAX => "no limit".into(),
            limit => format!("{} of {limit}", self.descriptors),
        }
    }
}

/// The hub's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// Its source: `own`, `pem` or `acme`.
    pub source: String,
    /// The host names it is valid for.
    #[serde(default)]
    pub names: Vec<String>,
    /// Start of its validity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// End of its validity.
    pub not_after: Timestamp,
    /// Whole days until its end.
    pub days_left: i64,
    /// Error of the last attempt to replace it, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// The other hubs of a cluster.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherHubStatuses {
    /// The status of each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_hubs: Vec<HubStatus>,
    /// The addresses of those that did not reply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent_hubs: Vec<HubAddress>,
}
