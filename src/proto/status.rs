//! What a device-agent or a service-proxy tells the user that runs it, on its private status socket.

use serde::{Deserialize, Serialize};

use super::id::Principal;
use super::join::HubAddress;
use super::timestamp::Timestamp;

/// The only question there is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum StatusRequest {
    /// How are you?
    Status,
}

/// How a role is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleStatus {
    /// The subcommand that runs.
    pub role: String,
    /// Its version.
    pub version: String,
    /// Its process.
    pub process: u32,
    /// When it was started.
    pub since: Timestamp,
    /// As whom.
    pub identity: Principal,
    /// To which hub, once that is known.
    pub hub: Option<HubAddress>,
    /// What it does.
    pub state: RoleState,
    /// For how long.
    pub state_since: Timestamp,
    /// The last thing that went wrong, also if it is over.
    pub last_error: Option<LastError>,
    /// The device's forwards, or the service's local ports, or the stream on its standard input and output.
    pub endpoints: Vec<String>,
    /// How many streams there are.
    pub streams: usize,
    /// The oldest of them.
    pub oldest_streams: Vec<OpenStream>,
}

/// What a role does about its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RoleState {
    /// A device, or a service with a single stream, that is not there yet.
    Connecting,
    /// A device that waits there for streams, or a service that has the stream it is for.
    Connected,
    /// A device that lost it or was refused, or a service with a stream that did: it tries again by itself.
    Retrying,
    /// A service that waits for local connections.
    Listening,
    /// The same, and the last one got no stream, or lost it.
    Failing,
}

impl RoleState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Retrying => "retrying",
            Self::Listening => "listening",
            Self::Failing => "failing",
        }
    }
}

/// Something that went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// When.
    pub at: Timestamp,
    /// What, and what to do.
    pub reason: String,
}

/// A stream that is open, or about to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenStream {
    /// The device, the stream name, and the source.
    pub description: String,
    /// When it began.
    pub since: Timestamp,
}
