//! The messages of the private status socket of a device-agent or service-proxy: one JSON line per request, one per
//! response.

use serde::{Deserialize, Serialize};

use super::id::Principal;
use super::join::HubAddress;
use super::timestamp::Timestamp;

/// A request of the user that runs the role.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum StatusRequest {
    /// Report the status.
    Status,
}

/// The status of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The subcommand.
    pub role: String,
    /// Version of the program.
    pub version: String,
    /// Process id.
    pub process: u32,
    /// Time of its start.
    pub since: Timestamp,
    /// The identity it authenticates as.
    pub identity: Principal,
    /// The hub, once it is known.
    pub hub: Option<HubAddress>,
    /// Its state.
    pub state: RoleState,
    /// Time at which it entered that state.
    pub state_since: Timestamp,
    /// The last error, even if it has been resolved.
    pub last_error: Option<LastError>,
    /// A device's forwards; a service's local ports, or the stream on its standard input and output.
    pub endpoints: Vec<String>,
    /// Number of streams.
    pub streams: usize,
    /// The oldest streams.
    pub oldest_streams: Vec<OpenStream>,
}

/// The state of a role's connection to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RoleState {
    /// A device, or a service with a single stream, that is not connected yet.
    Connecting,
    /// A device that accepts streams, or a service whose single stream is open.
    Connected,
    /// A device that lost the hub or was rejected, or a service whose single stream was: it retries by itself.
    Retrying,
    /// A service that listens for local connections.
    Listening,
    /// A service that listens, and whose last local connection got no stream for a reason that concerns all of them.
    Failing,
    /// A role that was told to end, and lets its streams go on for a while.
    Ending,
}

impl RoleState {
    /// The word for it in output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Retrying => "retrying",
            Self::Listening => "listening",
            Self::Failing => "failing",
            Self::Ending => "ending",
        }
    }
}

/// An error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// Time of the error.
    pub at: Timestamp,
    /// The cause, and what to do.
    pub reason: String,
}

/// A stream, open or being established.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenStream {
    /// Its two ends.
    pub description: String,
    /// Time of its start.
    pub since: Timestamp,
    /// It is not open yet: its device has not answered.
    #[serde(default, skip_serializing_if = "super::message::is_false")]
    pub waiting: bool,
}
