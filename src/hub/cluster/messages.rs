//! PURE. What hubs say to one another: JSON, authenticated for the subject that it is said on. Unknown fields are ignored, so that a
//! version and the one before it understand each other.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::proto::admin::{HubStatus, LogPage, LogRequest, Presence, StreamStatus};
use crate::proto::id::{DeviceId, HubId, HubRequestId, Principal, ServiceName, StreamId, StreamName};
use crate::proto::message::StandbyOffer;
use crate::proto::refusal::Refusal;
use crate::proto::secret::StreamToken;

/// Where something is said. The first token is the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// Once a second, of each hub.
    Beats,
    /// Which devices have come to a hub or left it.
    Presence,
    /// Streams whose device's end waits at a hub for the service's.
    Waiting,
    /// Which hub has a device: each that has it replies.
    Who,
    /// Requests to one hub.
    Requests(HubId),
    /// Requests to one hub that are void.
    Cancellations(HubId),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beats => f.write_str("ds1.beat"),
            Self::Presence => f.write_str("ds1.presence"),
            Self::Waiting => f.write_str("ds1.waiting"),
            Self::Who => f.write_str("ds1.who"),
            Self::Requests(hub) => write!(f, "ds1.ask.{hub}"),
            Self::Cancellations(hub) => write!(f, "ds1.cancel.{hub}"),
        }
    }
}

/// Returns what a reply to a request is authenticated for.
pub fn reply_place(request: HubRequestId) -> String {
    format!("reply.{request}")
}

/// Something said with a number of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered<T> {
    /// The number.
    pub id: HubRequestId,
    /// The message.
    #[serde(flatten)]
    pub body: T,
}

/// A request to the hub at which a device is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase")]
pub enum HubRequest {
    /// Open a stream for a service that the asking hub has authenticated.
    Open(Box<OpenElsewhere>),
    /// List the devices that are connected, by their ids, after this one.
    Devices {
        /// The last that is known already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<DeviceId>,
    },
    /// Describe one device.
    Device {
        /// The device.
        device: DeviceId,
    },
    /// List the streams, by their ids, after this one.
    Streams {
        /// The last that is known already.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<StreamId>,
    },
    /// Take this identity for disabled for a moment, and end what it has: its change follows.
    Deny {
        /// The identity.
        principal: Principal,
        /// The registry's revision before the change. A hub that has a later value of the identity has the change, or one after it.
        revision: u64,
    },
    /// Describe the hub.
    Status,
    /// End a stream for the operator.
    EndStream {
        /// The stream.
        stream: StreamId,
        /// The user who asked for it, for the activity log.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// Read a page of the activity log.
    Log(Box<LogRequest>),
    /// Reply, to show that the hub lives.
    Live,
    /// The request is one of a later version.
    #[serde(other)]
    Unknown,
}

/// The request of a service, as the hub sees it that the service is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenElsewhere {
    /// The service.
    pub service: ServiceName,
    /// Its address.
    pub source: SocketAddr,
    /// The device.
    pub device: DeviceId,
    /// The forward; none asks for the device's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<StreamName>,
    /// Time to wait for the device's response, in milliseconds.
    pub response_timeout_ms: u64,
    /// The stream subprotocols that the service supports.
    pub protocols: Vec<String>,
    /// `true` if the service encrypts the stream end to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_to_end: bool,
    /// The stream's id, if the service chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<StreamId>,
    /// `true` if the service can reuse its connection after the stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reusable: bool,
}

/// A reply of the hub that was asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "camelCase")]
pub enum HubReply {
    /// The device has accepted.
    Opened(Box<OpenedElsewhere>),
    /// The device is not there.
    NotHere,
    /// There is no stream.
    Refused {
        /// The reason.
        reason: Refusal,
    },
    /// Some devices.
    Devices {
        /// The devices.
        devices: Vec<OnlineDevice>,
        /// There are more after the last.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Some streams.
    Streams {
        /// The streams.
        streams: Vec<StreamStatus>,
        /// There are more after the last.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
    /// Some lines of the activity log.
    Log(Box<LogPage>),
    /// The hub's status.
    Status {
        /// The status.
        status: Box<HubStatus>,
    },
    /// The request has been carried out.
    Done,
    /// The hub lives.
    Live,
    /// The hub does not know the request.
    #[serde(other)]
    Unknown,
}

/// A device that is connected to the hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnlineDevice {
    /// Its id.
    pub id: DeviceId,
    /// Its presence.
    pub presence: Presence,
}

/// A stream at the hub that was asked, as its service is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenedElsewhere {
    /// The stream.
    pub stream: StreamId,
    /// The URL for the service's leg.
    pub url: String,
    /// The token for it.
    pub token: StreamToken,
    /// The stream subprotocol that both ends support, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `true` if the connections of both legs become standby connections after the stream.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reusable: bool,
    /// `true` if the device encrypts the stream end to end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub end_to_end: bool,
    /// The offer to take standby connections there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<StandbyOffer>,
    /// Limit of streams that the service may be opening there at the same time.
    pub opening_limit: usize,
}

/// Streams that a dead hub carried, whose device's end waits at a hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingDevices {
    /// The hub.
    pub hub: HubId,
    /// The streams.
    pub streams: Vec<StreamId>,
}

/// A device that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// The hub that looks for it, which does not reply to itself.
    pub from: HubId,
    /// The device.
    pub device: DeviceId,
}

/// A hub that was asked whether it has a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The hub.
    pub hub: HubId,
    /// The device is connected to it.
    pub online: bool,
}

/// A request that nobody waits for any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Its number.
    pub id: HubRequestId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin::{FilePosition, LogFilter, LogPosition};
    use crate::proto::timestamp::Timestamp;

    #[test]
    fn the_messages_are_these_bytes() {
        let hub = HubId::from_bytes([1; 16]);
        assert_eq!(Subject::Requests(hub).to_string(), format!("ds1.ask.{}", "01".repeat(16)));
        let open = OpenElsewhere {
            service: "alice".parse().unwrap(),
            source: "192.0.2.1:4711".parse().unwrap(),
            device: "pi-42".parse().unwrap(),
            name: None,
            response_timeout_ms: 60_000,
            protocols: vec!["devstream.v1".into()],
            end_to_end: true,
            stream: None,
            reusable: false,
        };
        let request = Numbered { id: HubRequestId::from_bytes([7; 16]), body: HubRequest::Open(Box::new(open)) };
        let text = r#"{"id":"07070707070707070707070707070707","do":"open","service":"alice","source":"192.0.2.1:4711","device":"pi-42","responseTimeoutMs":60000,"protocols":["devstream.v1"],"endToEnd":true}"#;
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Numbered<HubRequest>>(text).unwrap(), request);
        let later = text.replace(r#","do""#, r#","new":[{}],"do""#);
        assert_eq!(serde_json::from_str::<Numbered<HubRequest>>(&later).unwrap(), request);
        assert_eq!(serde_json::to_string(&HubReply::NotHere).unwrap(), r#"{"is":"notHere"}"#);
    }

    #[test]
    fn a_page_of_a_log_is_these_bytes_and_a_later_request_is_known_as_one() {
        let id = HubRequestId::from_bytes([7; 16]);
        let filter = LogFilter { device: Some("pi-42".parse().unwrap()), ..LogFilter::default() };
        let next = LogPosition {
            earlier: None,
            log: FilePosition {
                after: Some(Timestamp(0)),
                offset: 300,
                first: Some("1970-01-01T00:00:01.000Z".into()),
            },
            unauthenticated: Some(FilePosition { after: None, offset: 0, first: None }),
        };
        let request = LogRequest { filter, from: Some(next.clone()), last: None };
        let request = Numbered { id, body: HubRequest::Log(Box::new(request)) };
        let position = r#"{"log":{"after":"1970-01-01T00:00:00Z","offset":300,"first":"1970-01-01T00:00:01.000Z"},"unauthenticated":{"offset":0}}"#;
        let text = format!(
            r#"{{"id":"07070707070707070707070707070707","do":"log","filter":{{"device":"pi-42"}},"from":{position}}}"#
        );
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(serde_json::from_str::<Numbered<HubRequest>>(&text).unwrap(), request);
        let page = HubReply::Log(Box::new(LogPage { lines: vec!["{}".into()], next, more: true }));
        let reply = format!(r#"{{"is":"log","lines":["{{}}"],"next":{position},"more":true}}"#);
        assert_eq!(serde_json::to_string(&page).unwrap(), reply);
        let later = text.replace(r#""log","#, r#""later","#);
        let later: Numbered<HubRequest> = serde_json::from_str(&later).unwrap();
        assert_eq!(later, Numbered { id, body: HubRequest::Unknown });
        let unknown = serde_json::to_string(&HubReply::Unknown).unwrap();
        assert!(matches!(serde_json::from_str(&unknown).unwrap(), HubReply::Unknown), "{unknown}");
    }
}
