//! What happened, as the activity log will tell it.

use std::fmt;
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
    /// The connection of one side was lost, and both are awaited.
    StreamInterrupted,
    /// They are back.
    StreamResumed,
    /// A stream that was open ended.
    StreamClosed,
    /// Somebody's proof of identity, or token, was wrong.
    Authenticate,
    /// A source got it wrong too often, and is kept away or slowed.
    SourcePenalised,
    /// A machine joined.
    Join,
    /// An identity was added.
    IdentityAdded,
    /// It was disabled, enabled, given another scope or another key.
    IdentityChanged,
    /// An identity was removed.
    IdentityRemoved,
    /// An enrolment key was made.
    EnrolmentAdded,
    /// It was made void.
    EnrolmentRemoved,
    /// Lines of the activity log could not be written.
    ActivityLost,
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
            Self::StreamInterrupted => "streamInterrupted",
            Self::StreamResumed => "streamResumed",
            Self::StreamClosed => "streamClosed",
            Self::Authenticate => "authenticate",
            Self::SourcePenalised => "sourcePenalised",
            Self::Join => "join",
            Self::IdentityAdded => "identityAdded",
            Self::IdentityChanged => "identityChanged",
            Self::IdentityRemoved => "identityRemoved",
            Self::EnrolmentAdded => "enrolmentAdded",
            Self::EnrolmentRemoved => "enrolmentRemoved",
            Self::ActivityLost => "activityLost",
        }
    }
}

/// The result of a request that a device accepted.
pub const ACCEPTED: &str = "accepted";

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
    /// Lines of the log that are missing before this one.
    pub lost: Option<u64>,
}

impl Event {
    /// Something happened to an identity.
    pub fn about(principal: &Principal, operation: Operation, result: &'static str) -> Self {
        let event = Self::new(operation, result);
        match principal.role {
            Role::Device => Self { device: Some(principal.id.clone().into()), ..event },
            Role::Service => Self { service: Some(principal.id.clone().into()), ..event },
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
            lost: None,
        }
    }
}

/// One sentence for whoever reads the hub's output.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, stream, source) = (self.subject_label(), self.stream_label(), FromAddress(self.source));
        match self.operation {
            Operation::DeviceConnected => write!(f, "{who} is online{source}")?,
            Operation::DeviceDisconnected => write!(f, "{who} went offline")?,
            Operation::DeviceDisplaced => {
                let peer = FromAddress(self.peer);
                write!(f, "{who} is online{source} in place of the agent{peer}: do two machines use one id?")?;
            }
            Operation::Invoke => write!(f, "{stream} asked for{source}: {}", self.result)?,
            Operation::StreamOpened => write!(f, "{stream} opened{source}")?,
            Operation::StreamResumed => {
                write!(f, "{stream} resumed after {:.1} s", self.took.unwrap_or_default().as_secs_f64())?;
            }
            Operation::StreamInterrupted => match self.ended_by {
                Some(role) => write!(f, "{stream} interrupted: the connection of the {role} is lost")?,
                None => write!(f, "{stream} interrupted")?,
            },
            Operation::StreamClosed => {
                let by = self.ended_by.map_or("the hub", Role::as_str);
                let (to_device, to_service) = self.bytes.unwrap_or_default();
                let seconds = self.took.unwrap_or_default().as_secs_f64();
                let bytes = format!("{to_device} bytes to the device, {to_service} to the service");
                write!(f, "{stream} {} by {by} after {seconds:.1} s, {bytes}", self.result)?;
            }
            Operation::Authenticate => write!(f, "refused {who}{source}")?,
            Operation::SourcePenalised => write!(f, "too much went wrong{source}: {}", self.result)?,
            Operation::Join => write!(f, "{who} joined{source}")?,
            Operation::IdentityAdded => write!(f, "{who} was added")?,
            Operation::IdentityChanged => write!(f, "{who}: {}", self.result)?,
            Operation::EnrolmentAdded | Operation::EnrolmentRemoved => write!(f, "enrolment: {}", self.result)?,
            Operation::IdentityRemoved => write!(f, "{who} was removed")?,
            Operation::ActivityLost => write!(f, "{} lines of the log are lost", self.lost.unwrap_or_default())?,
        }
        if self.reason.is_empty() { Ok(()) } else { write!(f, " ({})", self.reason) }
    }
}

impl Event {
    fn subject_label(&self) -> String {
        match (&self.device, &self.service) {
            (Some(device), _) => format!("device {device}"),
            (None, Some(service)) => format!("service {service}"),
            (None, None) => "a stranger".into(),
        }
    }

    /// As `laptop to pi-42/ssh`.
    fn stream_label(&self) -> String {
        let text = |part: Option<&str>| part.unwrap_or("?").to_owned();
        let service = text(self.service.as_ref().map(ServiceName::as_str));
        let device = text(self.device.as_ref().map(DeviceId::as_str));
        match &self.name {
            Some(name) => format!("{service} to {device}/{name}"),
            None => format!("{service} to {device}"),
        }
    }
}

/// Where somebody connected from, if it is known.
struct FromAddress(Option<SocketAddr>);

impl fmt::Display for FromAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| write!(f, " from {address}"))
    }
}
