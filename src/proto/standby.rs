//! What is said on a standby connection between two streams: one that is upgraded, authenticated and idle, so that a
//! stream begins on it in a single flight and, once both ends are at rest, leaves it for the next.

use serde::{Deserialize, Serialize};

use super::id::{DeviceId, StreamId, StreamName};
use super::limits::EARLY_DATA_BYTES;
use super::message::{StreamRequest, StreamResponse};
use super::refusal::Refusal;
use super::resume::ResumeCredential;

/// Subprotocol of a standby connection.
pub const STANDBY_PROTOCOL: &str = "devstream.standby.v1";

/// In the upgrade of a device's standby: the run of its agent, as in its hello.
pub const RUN_HEADER: &str = "devstream-run";

/// In the answer to a service's request: where the hub takes standby connections …
pub const STANDBY_URL_HEADER: &str = "devstream-standby-url";

/// … and how many it holds for one identity.
pub const STANDBY_LIMIT_HEADER: &str = "devstream-standby-hold";

/// In a service's request: its connection may stand by after the stream. In the answer: both will.
pub const REUSABLE_HEADER: &str = "devstream-rests";

/// The value of [`REUSABLE_HEADER`].
pub const REUSABLE: &str = "true";

/// What an end says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StandbyToHub {
    /// A service asks for a stream.
    Open(StandbyOpenRequest),
    /// A device answers.
    StreamResponse(StreamResponse),
}

/// What the hub says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StandbyFromHub {
    /// A service asks for a stream.
    StreamRequest(StandbyStreamRequest),
    /// The device has accepted: what follows is the stream.
    Opened(StandbyOpened),
    /// There is no stream; the connection stands by again.
    Refused {
        /// Why.
        reason: Refusal,
    },
}

/// A service's request for a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyOpenRequest {
    /// Made up by the service, so that a request that is repeated because its connection broke is known for the same.
    pub request_id: StreamId,
    /// To which device.
    pub device: DeviceId,
    /// For which of its forwards; the first if none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_name: Option<StreamName>,
    /// How long to wait for the device to come online.
    pub connect_timeout_ms: u64,
    /// How long to wait for its answer.
    pub response_timeout_ms: u64,
    /// What the service speaks on a stream.
    pub protocols: Vec<String>,
    /// So many bytes of the stream follow at once, as one binary message.
    pub early: EarlyLength,
}

/// A request as a device gets it. It comes with no token: the connection it comes on is the device's side.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyStreamRequest {
    /// As on a control connection.
    #[serde(flatten)]
    pub stream: StreamRequest,
    /// What to come back with.
    #[serde(flatten)]
    pub resume_grant: Option<ResumeGrant>,
    /// So many bytes of the stream follow at once, as one binary message.
    pub early: EarlyLength,
}

/// The yes to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyOpened {
    /// The stream's place, should it have to be found again.
    pub url: String,
    /// What both ends speak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// What to come back with.
    #[serde(flatten)]
    pub resume_grant: Option<ResumeGrant>,
    /// Whether the connections of both sides stand by again after the stream.
    #[serde(rename = "rests")]
    pub reusable: bool,
}

/// What an end comes back with, as in the answer to an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeGrant {
    resume_token: String,
    resume_grace: u64,
}

impl From<&ResumeCredential> for ResumeGrant {
    fn from(resume_credential: &ResumeCredential) -> Self {
        Self { resume_token: resume_credential.token.reveal().into(), resume_grace: resume_credential.grace.as_secs() }
    }
}

impl ResumeGrant {
    /// What to come back with, if it is any good.
    pub fn credential(&self) -> Option<ResumeCredential> {
        ResumeCredential::parse(&self.resume_token, &self.resume_grace.to_string())
    }
}

/// How many bytes come along with a request: never more than [`EARLY_DATA_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct EarlyLength(usize);

impl EarlyLength {
    /// How many.
    pub fn bytes(self) -> usize {
        self.0
    }
}

/// More than anyone may send ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {EARLY_DATA_BYTES} bytes ahead of the answer")]
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
            early: 3.try_into().unwrap(),
        };
        let text = format!(
            r#"{{"type":"open","requestId":"{id}","device":"pi-42","connectTimeoutMs":0,"responseTimeoutMs":60000,"protocols":["devstream.v1"],"early":3}}"#
        );
        assert_eq!(encode(&StandbyToHub::Open(open)), text);
        let resume_credential = ResumeCredential::parse("t", "120").unwrap();
        let opened = StandbyOpened {
            url: "wss://h/".into(),
            protocol: None,
            resume_grant: Some((&resume_credential).into()),
            reusable: true,
        };
        let text = r#"{"type":"opened","url":"wss://h/","resumeToken":"t","resumeGrace":120,"rests":true}"#;
        assert_eq!(encode(&StandbyFromHub::Opened(opened)), text);
        let StandbyFromHub::Opened(back) = decode(text).unwrap() else { panic!("not an answer") };
        assert_eq!(
            back.resume_grant
                .and_then(|grant| grant.credential())
                .map(|resume_credential| resume_credential.grace.as_secs()),
            Some(120)
        );
        let bare = r#"{"type":"opened","url":"wss://h/","rests":false}"#;
        let StandbyFromHub::Opened(back) = decode(bare).unwrap() else { panic!("not an answer") };
        assert_eq!(back.resume_grant, None);
    }

    #[test]
    fn nobody_sends_more_ahead_than_the_limit() {
        assert!(EarlyLength::try_from(EARLY_DATA_BYTES).is_ok());
        assert!(EarlyLength::try_from(EARLY_DATA_BYTES + 1).is_err());
        let long = format!(r#"{{"type":"streamResponse","requestId":"{}"}}"#, "1".repeat(31));
        assert!(decode::<StandbyToHub>(&long).is_err());
    }
}
