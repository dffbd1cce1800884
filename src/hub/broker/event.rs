//! What happened, as the activity log will tell it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::proto::id::{DeviceId, Principal, Role, ServiceName, StreamId, StreamName};

/// What kind of thing happened; the word is the log's `operationName`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A device's control connection was made.
    DeviceConnected,
    /// It ended.
    DeviceDisconnected,
    /// It was replaced by another of the same id.
    DeviceDisplaced,
    /// A service asked for a stream: the original's word.
    Invoke,
    /// Both sides met.
    StreamOpened,
    /// A stream that was open ended.
    StreamClosed,
    /// Somebody's proof of identity, or token, was wrong.
    Authenticate,
    /// A machine joined.
    Join,
    /// An identity was added.
    IdentityAdded,
    /// An identity was removed.
    IdentityRemoved,
}

impl Operation {
    /// As the log has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::DeviceConnected => "deviceConnected",
            Self::DeviceDisconnected => "deviceDisconnected",
            Self::DeviceDisplaced => "deviceDisplaced",
            Self::Invoke => "invoke",
            Self::StreamOpened => "streamOpened",
            Self::StreamClosed => "streamClosed",
            Self::Authenticate => "authenticate",
            Self::Join => "join",
            Self::IdentityAdded => "identityAdded",
            Self::IdentityRemoved => "identityRemoved",
        }
    }
}

/// One thing that happened, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub operation: Operation,
    /// How it came out: a word such as `accepted`, or a refusal's.
    pub result: &'static str,
    /// Particulars of the result.
    pub reason: String,
    /// Which stream.
    pub stream: Option<StreamId>,
    /// What it was asked for by.
    pub name: Option<StreamName>,
    /// Which device.
    pub device: Option<DeviceId>,
    /// Which service.
    pub service: Option<ServiceName>,
    /// Where the acting side connected from.
    pub source: Option<SocketAddr>,
    /// Where the other side did.
    pub peer: Option<SocketAddr>,
    /// How long it took, or how long the stream was open.
    pub took: Option<Duration>,
    /// Bytes to the device and to the service.
    pub bytes: Option<(u64, u64)>,
    /// Which side ended the stream; `None` if the hub did, or it did not end.
    pub ended_by: Option<Role>,
}

impl Event {
    /// Something happened to an identity.
    pub fn about(who: &Principal, operation: Operation, result: &'static str) -> Self {
        let event = Self::new(operation, result);
        match who.role {
            Role::Device => Self { device: Some(who.id.clone().into()), ..event },
            Role::Service => Self { service: Some(who.id.clone().into()), ..event },
        }
    }

    /// Something happened; what else is known is filled in by whoever knows.
    pub fn new(operation: Operation, result: &'static str) -> Self {
        Self {
            operation,
            result,
            reason: String::new(),
            stream: None,
            name: None,
            device: None,
            service: None,
            source: None,
            peer: None,
            took: None,
            bytes: None,
            ended_by: None,
        }
    }
}
