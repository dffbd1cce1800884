//! PURE. Events: what the activity log records, and its wording for the operator.

mod operation;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

pub use self::operation::Operation;
use crate::proto::id::{DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use crate::proto::refusal::RefusalKind;
use crate::proto::text;

/// The result of a request that a device accepted.
pub const ACCEPTED: &str = "accepted";

/// The refusals that a device may give, in its own words: for itself and its targets, not for the hub.
pub(super) const DEVICE_REFUSALS: [RefusalKind; 6] = [
    RefusalKind::RejectedByDevice,
    RefusalKind::StreamNotOffered,
    RefusalKind::TargetRefused,
    RefusalKind::TargetUnreachable,
    RefusalKind::TargetTimedOut,
    RefusalKind::DeviceBusy,
];

/// The result of a change by which an identity has another certificate of a fleet.
pub const CERTIFIED: &str = "certified";

/// The result of a join request whose code was redeemed.
pub const JOINED: &str = "joined";

/// An event with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The kind.
    pub operation: Operation,
    /// The outcome: a word such as `accepted`, or a refusal's label.
    pub result: &'static str,
    /// The cause of the outcome.
    pub reason: String,
    /// The stream.
    pub stream: Option<StreamId>,
    /// The stream's name.
    pub name: Option<StreamName>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The service.
    pub service: Option<ServiceName>,
    /// The address of the acting peer.
    pub source: Option<SocketAddr>,
    /// The address of the other peer.
    pub peer: Option<SocketAddr>,
    /// The duration of the operation, or for an ended stream the time since it was opened.
    pub took: Option<Duration>,
    /// Bytes to the device and to the service.
    pub bytes: Option<(u64, u64)>,
    /// The end that closed the stream; `None` if the hub did, or for other events.
    pub ended_by: Option<Role>,
    /// The number of log lines lost before this one.
    pub lost: Option<u64>,
    /// The events like this one before it that the log leaves out.
    pub omitted: Option<Omitted>,
    /// The user of this machine who had the hub do it.
    pub by: Option<String>,
    /// Whether both ends of a stream that was opened say that they encrypt it end to end.
    pub end_to_end: Option<bool>,
}

/// Events that the log leaves out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Omitted {
    /// Their number.
    pub events: u64,
    /// The bytes to the device and to the service of all of them.
    pub bytes: (u64, u64),
}

impl Omitted {
    /// Adds an event, and those that it stands for.
    pub fn add(&mut self, event: &Event) {
        let others = event.omitted.unwrap_or_default();
        let bytes = event.bytes.unwrap_or_default();
        self.events += others.events + 1;
        self.bytes.0 = self.bytes.0.saturating_add(others.bytes.0).saturating_add(bytes.0);
        self.bytes.1 = self.bytes.1.saturating_add(others.bytes.1).saturating_add(bytes.1);
    }
}

impl Event {
    /// An event about an identity.
    pub fn about(principal: &Principal, operation: Operation, result: &'static str) -> Self {
        let event = Self::new(operation, result);
        match principal.role {
            Role::Device => Self { device: Some(principal.id.clone().into()), ..event },
            Role::Service => Self { service: Some(principal.id.clone().into()), ..event },
        }
    }

    /// An event with the mandatory fields.
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
            omitted: None,
            by: None,
            end_to_end: None,
        }
    }

    /// Reports whether an identity or an enrolment key has changed: what an audit years later looks for.
    pub fn is_administrative(&self) -> bool {
        match self.operation {
            Operation::IdentityAdded
            | Operation::IdentityRemoved
            | Operation::EnrolmentAdded
            | Operation::EnrolmentRemoved
            | Operation::HubInvited
            | Operation::HubJoined
            | Operation::RegistryHealed => true,
            // Services have certificates stored, and not the hub's administrator.
            Operation::IdentityChanged => self.result != CERTIFIED,
            Operation::Join => self.result == JOINED,
            Operation::HubStarted
            | Operation::HubStopped
            | Operation::DeviceConnected
            | Operation::DeviceDisconnected
            | Operation::DeviceDisplaced
            | Operation::Invoke
            | Operation::StreamOpened
            | Operation::StreamInterrupted
            | Operation::StreamResumed
            | Operation::StreamClosed
            | Operation::StreamKilled
            | Operation::Authenticate
            | Operation::SourcePenalised
            | Operation::ActivityLost => false,
        }
    }
}

/// An event in words for an operator, whether it happens now or is read from the log.
#[derive(Debug, Clone, Copy)]
pub struct Sentence<'a> {
    /// As in [`Event`], as all that follow.
    pub operation: Operation,
    /// The outcome.
    pub result: &'a str,
    /// The cause.
    pub reason: &'a str,
    /// The stream.
    pub stream: Option<StreamId>,
    /// Its name.
    pub name: Option<&'a str>,
    /// The device.
    pub device: Option<&'a str>,
    /// The service.
    pub service: Option<&'a str>,
    /// The acting peer's address.
    pub source: Option<SocketAddr>,
    /// The other peer's address.
    pub peer: Option<SocketAddr>,
    /// The duration.
    pub took: Option<Duration>,
    /// Bytes to the device and to the service.
    pub bytes: Option<(u64, u64)>,
    /// The end that closed the stream.
    pub ended_by: Option<Role>,
    /// Lines lost.
    pub lost: Option<u64>,
    /// Events omitted.
    pub omitted: Option<u64>,
    /// The user who did it.
    pub by: Option<&'a str>,
}

impl Event {
    fn sentence(&self) -> Sentence<'_> {
        Sentence {
            operation: self.operation,
            result: self.result,
            reason: &self.reason,
            stream: self.stream,
            name: self.name.as_ref().map(StreamName::as_str),
            device: self.device.as_ref().map(DeviceId::as_str),
            service: self.service.as_ref().map(ServiceName::as_str),
            source: self.source,
            peer: self.peer,
            took: self.took,
            bytes: self.bytes,
            ended_by: self.ended_by,
            lost: self.lost,
            omitted: self.omitted.map(|omitted| omitted.events),
            by: self.by.as_deref(),
        }
    }
}

/// One sentence for the hub's output.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sentence().fmt(f)
    }
}

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (who, stream, source) = (self.subject_label(), self.stream_label(), FromAddress(self.source));
        match self.operation {
            Operation::HubStarted | Operation::HubStopped => write!(f, "the hub {}", self.result)?,
            Operation::DeviceConnected => write!(f, "{who} is online{source}")?,
            Operation::DeviceDisconnected => write!(f, "{who} went offline")?,
            Operation::DeviceDisplaced => {
                let peer = FromAddress(self.peer);
                write!(
                    f,
                    "{who} is online{source} and replaced the agent{peer}; check whether two machines use this id"
                )?;
            }
            Operation::Invoke => write!(f, "{stream} requested{source}: {}", self.result)?,
            Operation::StreamOpened => write!(f, "{stream} opened{source}")?,
            Operation::StreamKilled => write!(f, "{stream} was killed")?,
            Operation::StreamResumed => {
                write!(f, "{stream} resumed after {:.1} s", self.took.unwrap_or_default().as_secs_f64())?;
            }
            Operation::StreamInterrupted => match self.ended_by {
                Some(role) => write!(f, "{stream} interrupted: the {role}'s connection was lost")?,
                None => write!(f, "{stream} interrupted")?,
            },
            Operation::StreamClosed => {
                let by = self.ended_by.map_or("the hub", Role::as_str);
                let (to_device, to_service) = self.bytes.unwrap_or_default();
                let seconds = self.took.unwrap_or_default().as_secs_f64();
                let bytes = format!("{} up, {} down", text::count(to_device, "byte"), text::count(to_service, "byte"));
                write!(f, "{stream} {} by {by} after {seconds:.1} s, {bytes}", self.result)?;
            }
            Operation::Authenticate => write!(f, "refused {who}{source}")?,
            Operation::SourcePenalised => {
                let ip = self.source.map(|source| format!(" {}", source.ip())).unwrap_or_default();
                write!(f, "source{ip} {} after repeated failures", self.result)?;
            }
            Operation::Join if self.result == JOINED => write!(f, "{who} joined{source}")?,
            Operation::Join => write!(f, "{who} did not join{source}: {}", self.result)?,
            Operation::IdentityAdded => write!(f, "{who} was added")?,
            Operation::IdentityChanged => write!(f, "{who} {}", changed(self.result))?,
            Operation::EnrolmentAdded | Operation::EnrolmentRemoved => write!(f, "{}: {}", self.reason, self.result)?,
            Operation::IdentityRemoved => write!(f, "{who} was removed")?,
            Operation::RegistryHealed => f.write_str("the cluster's registry was healed")?,
            Operation::HubInvited => f.write_str("an invitation for one more hub was made")?,
            Operation::HubJoined => write!(f, "a hub joined the cluster{source}")?,
            Operation::ActivityLost => {
                write!(f, "lost {} of the activity log", text::count(self.lost.unwrap_or_default(), "line"))?
            }
        }
        if let Some(by) = self.by {
            write!(f, " by {by}")?;
        }
        let is_enrolment = matches!(self.operation, Operation::EnrolmentAdded | Operation::EnrolmentRemoved);
        let is_said = is_enrolment || self.reason == self.result;
        if let Some(omitted) = self.omitted {
            write!(f, "; {omitted} more like this are not in the log")?;
        }
        match self.reason {
            reason if reason.is_empty() || is_said => Ok(()),
            // Last and quoted: it ends no parentheses, and nothing of the hub's own follows.
            reason if self.is_of_a_peer() => write!(f, " ({reason:?})"),
            reason => write!(f, " ({reason})"),
        }
    }
}

impl Sentence<'_> {
    /// Reports whether the reason is in a peer's words, or reads as more than one.
    fn is_of_a_peer(&self) -> bool {
        let is_devices = DEVICE_REFUSALS.iter().any(|kind| kind.row().label == self.result);
        let is_ends = self.operation == Operation::StreamClosed && self.ended_by.is_some();
        is_devices || is_ends || self.reason.contains(['"', '(', ')', ';', '='])
    }

    fn subject_label(&self) -> String {
        match (self.device, self.service) {
            (Some(device), _) => format!("device {device}"),
            (None, Some(service)) => format!("service {service}"),
            (None, None) => "an unauthenticated peer".into(),
        }
    }

    /// For example, `laptop to pi-42/ssh (8fa3c2d1)`. A part of the id finds the other lines of the stream.
    fn stream_label(&self) -> String {
        let (service, device) = (self.service.unwrap_or("?"), self.device.unwrap_or("?"));
        let name = self.name.map(|name| format!("/{name}")).unwrap_or_default();
        let id = self.stream.map(|stream| format!(" ({:.8})", stream.to_string())).unwrap_or_default();
        format!("{service} to {device}{name}{id}")
    }
}

/// Words the result of a change.
fn changed(result: &str) -> String {
    match result {
        "rotating" => "was given a new join link".into(),
        "rescoped" => "was given another scope".into(),
        "newKey" => "has a new key".into(),
        CERTIFIED => "was given a certificate of a fleet".into(),
        word => format!("was {word}"),
    }
}

/// Formats ` from ADDRESS`, or nothing if the address is unknown.
struct FromAddress(Option<SocketAddr>);

impl fmt::Display for FromAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |address| write!(f, " from {address}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_peer_are_quoted_and_last() {
        let (device, service) = (Some("pi-42".parse().unwrap()), Some("laptop".parse().unwrap()));
        let said = |result, reason: &str| {
            let event = Event { reason: reason.into(), ..Event::new(Operation::Invoke, result) };
            let omitted = Some(Omitted { events: 3, bytes: (0, 0) });
            Event { device: Option::clone(&device), service: Option::clone(&service), omitted, ..event }.to_string()
        };
        let rejected = RefusalKind::RejectedByDevice.row().label;
        for (reason, quoted) in [
            ("ok); device pi-9 was removed by root (", "(\"ok); device pi-9 was removed by root (\")"),
            ("ok\") by root", "(\"ok\\\") by root\")"),
            ("by root", "(\"by root\")"),
        ] {
            let sentence = said(rejected, reason);
            let own = format!("laptop to pi-42 requested: {rejected}; 3 more like this are not in the log");
            assert_eq!(sentence, format!("{own} {quoted}"));
        }
        let sentence = said(RefusalKind::UnknownDevice.row().label, "unknown device");
        assert!(sentence.ends_with(" (unknown device)"), "{sentence}");
    }
}
