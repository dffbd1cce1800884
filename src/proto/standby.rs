//! The messages of a standby connection between two streams. It is upgraded, authenticated and idle, so that a stream
//! starts on it in one round trip and, once both ends have released it, leaves it for the next.

use serde::{Deserialize, Serialize};

use super::id::{DeviceId, StreamId, StreamName};
use super::limits::EARLY_DATA_BYTES;
use super::message::{StreamRequest, StreamResponse, is_false};
use super::refusal::Refusal;
use super::resume::ResumeGrant;

/// Subprotocol of a standby connection.
pub const STANDBY_PROTOCOL: &str = "devstream.standby.v1";

/// The upgrade header of a device's standby connection with the run of its agent, as in its hello.
pub const RUN_HEADER: &str = "devstream-run";

/// The response header with the URL at which the hub takes standby connections.
pub const STANDBY_URL_HEADER: &str = "devstream-standby-url";

/// The response header with the limit of standby connections that the hub holds for one identity.
pub const STANDBY_LIMIT_HEADER: &str = "devstream-standby-hold";

/// The header that announces reuse: in a service's request, its connection can become a standby connection after the
/// stream; in the response, both legs will.
pub const REUSABLE_HEADER: &str = "devstream-rests";

/// The value of [`REUSABLE_HEADER`].
pub const REUSABLE: &str = "true";

/// A message from an end to the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StandbyToHub {
    /// A service requests a stream.
    Open(StandbyOpenRequest),
    /// A device responds to a request.
    StreamResponse(StreamResponse),
}

/// A message from the hub to an end.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StandbyFromHub {
    /// A service requests a stream of this device.
    StreamRequest(StandbyStreamRequest),
    /// The device has accepted; the stream follows.
    Opened(StandbyOpened),
    /// There is no stream, and the connection stays on standby.
    Refused {
        /// The reason.
        reason: Refusal,
    },
}

/// A service's request for a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyOpenRequest {
    /// An id chosen by the service, by which a request that is repeated after a lost connection is recognised.
    pub request_id: StreamId,
    /// The device.
    pub device: DeviceId,
    /// The forward; none asks for the device's first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<StreamName>,
    /// Time to wait for the device to connect, in milliseconds.
    pub connect_timeout_ms: u64,
    /// Time to wait for its response, in milliseconds.
    pub response_timeout_ms: u64,
    /// The stream subprotocols that the service supports.
    pub protocols: Vec<String>,
    /// `true` if the service encrypts the stream end to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end_to_end: bool,
    /// Length of the early data, which follows as one binary message.
    pub early: EarlyLength,
    /// `true` if the early data has no effect on the target: it may be passed on again after a lost connection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repeatable: bool,
}

/// A request as a device receives it. It has no token: its connection becomes the device's leg.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyStreamRequest {
    /// The request, as on a control connection.
    #[serde(flatten)]
    pub stream: StreamRequest,
    /// Length of the early data, which follows as one binary message.
    pub early: EarlyLength,
    /// `true` if the early data has no effect on the target: it may be passed on again after a lost connection.
    #[serde(default, skip_serializing_if = "is_false")]
    pub repeatable: bool,
}

/// The positive response to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyOpened {
    /// The URL at which the stream is resumed.
    pub url: String,
    /// The stream subprotocol that both ends support, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// `true` if the device encrypts the stream end to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end_to_end: bool,
    /// The grant to resume the stream.
    #[serde(flatten)]
    pub resume_grant: Option<ResumeGrant>,
    /// `true` if the connections of both legs become standby connections after the stream.
    #[serde(rename = "rests")]
    pub reusable: bool,
}

/// The length of the early data sent with a request, in bytes: at most [`EARLY_DATA_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct EarlyLength(usize);

impl EarlyLength {
    /// Returns the length.
    pub fn bytes(self) -> usize {
        self.0
    }
}

/// The error for early data beyond the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("early data exceeds the limit of {EARLY_DATA_BYTES} bytes")]
pub struct EarlyTooLong;

impl TryFrom<usize> for EarlyLength {
    type Error = EarlyTooLong;
    fn try_from(bytes: usize) -> Result<Self, EarlyTooLong> {
        if bytes <= EARLY_DATA_BYTES { Ok(Self(bytes)) } else { Err(EarlyTooLong) }
    }
}

impl From<EarlyLength> for usize {
    fn from(early: EarlyLength) -> Self {
        early.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::message::{decode, encode};
    use crate::proto::resume::{InvalidPlaces, ResumeCredential, ResumePlaces};

    #[test]
    fn the_messages_are_these_bytes() {
        let id = "01".repeat(16);
        let open = StandbyOpenRequest {
            request_id: StreamId::from_bytes([1; 16]),
            device: "pi-42".parse().unwrap(),
            stream_name: None,
            connect_timeout_ms: 0,
            response_timeout_ms: 60_000,
            protocols: vec!["devstream.v1".into()],
            end_to_end: false,
            early: 3.try_into().unwrap(),
            repeatable: false,
        };
        let text = format!(
            r#"{{"type":"open","requestId":"{id}","device":"pi-42","connectTimeoutMs":0,"responseTimeoutMs":60000,"protocols":["devstream.v1"],"early":3}}"#
        );
        assert_eq!(encode(&StandbyToHub::Open(open)), text);
        let resume_credential = ResumeCredential::parse("t", "120", ResumePlaces::default()).unwrap();
        let opened = StandbyOpened {
            url: "wss://h/".into(),
            protocol: None,
            end_to_end: false,
            resume_grant: Some((&resume_credential).into()),
            reusable: true,
        };
        let text = r#"{"type":"opened","url":"wss://h/","resumeToken":"t","resumeGrace":120,"rests":true}"#;
        assert_eq!(encode(&StandbyFromHub::Opened(opened)), text);
        let StandbyFromHub::Opened(back) = decode(text).unwrap() else { panic!("not an answer") };
        assert_eq!(
            ResumeGrant::credential(back.resume_grant.as_ref())
                .unwrap()
                .map(|resume_credential| resume_credential.grace.as_secs()),
            Some(120)
        );
        let places: ResumePlaces = "wss://h2, wss://h".parse().unwrap();
        let listed = ResumeGrant::from(&ResumeCredential { places: places.clone(), ..resume_credential });
        let json = r#"{"resumeToken":"t","resumeGrace":120,"resumePlaces":["wss://h2","wss://h"]}"#;
        assert_eq!(encode(&listed), json);
        assert_eq!(ResumeGrant::credential(Some(&listed)).unwrap().unwrap().places, places);
        let wrong = text.replace("120,", r#"120,"resumePlaces":["wss://h","https://h"],"#);
        let StandbyFromHub::Opened(back) = decode(&wrong).unwrap() else { panic!("not an answer") };
        let credential = ResumeGrant::credential(back.resume_grant.as_ref());
        assert_eq!(credential.err(), Some(InvalidPlaces::NotAUrl(2)), "an error, and no stream that cannot be resumed");
        let bare = r#"{"type":"opened","url":"wss://h/","rests":false}"#;
        let StandbyFromHub::Opened(back) = decode(bare).unwrap() else { panic!("not an answer") };
        assert_eq!(back.resume_grant, None);
    }

    #[test]
    fn early_data_beyond_the_limit_is_rejected() {
        assert!(EarlyLength::try_from(EARLY_DATA_BYTES).is_ok());
        assert!(EarlyLength::try_from(EARLY_DATA_BYTES + 1).is_err());
        let long = format!(r#"{{"type":"streamResponse","requestId":"{}"}}"#, "1".repeat(31));
        assert!(decode::<StandbyToHub>(&long).is_err());
    }
}
