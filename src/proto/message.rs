//! The messages of a device's control connection and their codec: JSON in text frames, with Azure IoT Hub's field
//! names.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::id::{ServiceName, StreamId, StreamName};
use super::limits::{CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_DEPTH};
use super::refusal::{Detail, Refusal};
use super::resume::ResumeGrant;
use super::secret::StreamToken;

/// A message from a device to the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToHub {
    /// The first message: the device's version and forwards.
    Hello(Hello),
    /// The response to a [`StreamRequest`].
    StreamResponse(StreamResponse),
    /// The forwards whose targets do not answer, in place of those of the message before. Only a hub that
    /// [takes](ToDevice::Welcome::targets) them gets this.
    Targets {
        /// The forwards; others have answered, or were not tried.
        dead: Vec<DeadTarget>,
    },
}

/// A message from the hub to a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToDevice {
    /// The response to [`ToHub::Hello`]: the device is online.
    Welcome {
        /// The hub's version.
        version: String,
        /// The hub's offer to take standby connections, if it makes one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        standby: Option<StandbyOffer>,
        /// Limit of streams for which the device may be connecting its leg at the same time.
        #[serde(rename = "openings", default, skip_serializing_if = "Option::is_none")]
        opening_limit: Option<usize>,
        /// The certificate of a fleet that the hub keeps for the device's key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        certificate: Option<String>,
        /// `true` if the hub takes [`ToHub::Targets`].
        #[serde(default, skip_serializing_if = "is_false")]
        targets: bool,
    },
    /// The hub has another certificate for the device's key. Only a device that [takes](Hello::certificates) some gets this.
    Certificate {
        /// The certificate.
        certificate: String,
    },
    /// A service requests a stream.
    StreamRequest(StreamRequest),
    /// The request is void: the service left, or the handshake timed out.
    StreamCancel {
        /// The request.
        request_id: StreamId,
    },
    /// The hub shuts down and will close the connection.
    Drain {
        /// Time to wait after that before reconnecting, in milliseconds: spreads the load of a fleet that returns.
        #[serde(default, rename = "backMs")]
        reconnect_delay_ms: u64,
    },
    /// Another agent with the same id connected, and this connection is closed.
    Displaced {
        /// Source address of the other agent.
        by: SocketAddr,
        /// `true` if the hub compares [`IF_OFFLINE_HEADER`](super::http::IF_OFFLINE_HEADER).
        #[serde(default, skip_serializing_if = "is_false")]
        yields: bool,
    },
}

/// The hub's offer to take standby connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyOffer {
    /// `wss://HOST[:PORT]/standby`.
    pub url: String,
    /// Limit of standby connections for one identity.
    #[serde(rename = "hold")]
    pub limit: usize,
}

/// The version, capabilities and forwards of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The agent's version.
    pub version: Detail,
    /// The run of the agent: a restarted agent cannot resume the streams of an earlier run.
    #[serde(default)]
    pub run: u64,
    /// The stream subprotocols it supports.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// The names of its forwards, the default one first.
    pub forwards: Vec<StreamName>,
    /// `true` if requests for other names are to be forwarded to it as well.
    #[serde(rename = "others", default, skip_serializing_if = "is_false")]
    pub accepts_any_name: bool,
    /// `true` if a connection that has carried a stream can become a standby connection.
    #[serde(rename = "rests", default, skip_serializing_if = "is_false")]
    pub reusable: bool,
    /// `true` if it trusts a fleet, and takes the fleet's certificates for its key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub certificates: bool,
}

/// A forward whose target did not answer when the device last tried it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadTarget {
    /// The forward.
    pub name: StreamName,
    /// Its target's host and port.
    pub target: Detail,
    /// What a stream to it would be refused with.
    pub reason: Refusal,
}

/// A service's request for a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRequest {
    /// The id to repeat in the response.
    pub request_id: StreamId,
    /// The forward.
    pub stream_name: StreamName,
    /// The URL of the WebSocket to open.
    pub url: String,
    /// The single-use token for that WebSocket; none on a connection that is already authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_token: Option<StreamToken>,
    /// The stream subprotocol that both ends support, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The service.
    pub service: ServiceName,
    /// Source address of the service.
    pub source: SocketAddr,
    /// `true` if the connections of both legs become standby connections after the stream, instead of being closed.
    #[serde(rename = "rests", default, skip_serializing_if = "is_false")]
    pub reusable: bool,
    /// `true` if the service encrypts the stream end to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end_to_end: bool,
    /// The grant to resume the stream: with it, the device returns if the connection of its leg is lost before it knows
    /// whether the hub has admitted it.
    #[serde(flatten)]
    pub resume_grant: Option<ResumeGrant>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(in crate::proto) fn is_false(flag: &bool) -> bool {
    !flag
}

/// A device's response. A refusal after an acceptance revokes it: the device could not open its leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamResponse {
    /// The request.
    pub request_id: StreamId,
    /// `true` if the device accepts the stream.
    pub accepted: bool,
    /// `true` if the device encrypts the stream end to end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub end_to_end: bool,
    /// The reason of a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
}

/// The error for a message that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// Larger than [`CONTROL_MESSAGE_BYTES`].
    #[error("message of {0} bytes exceeds the limit of {CONTROL_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Nested deeper than [`CONTROL_MESSAGE_DEPTH`].
    #[error("message nested deeper than {CONTROL_MESSAGE_DEPTH} levels")]
    TooDeep,
    /// Not JSON of the expected shape.
    #[error("malformed message: {0}")]
    Malformed(Detail),
}

/// The error text may quote the peer, so it is sanitized.
impl From<serde_json::Error> for InvalidMessage {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string().into())
    }
}

/// Encodes a message as JSON.
#[expect(clippy::expect_used, reason = "the messages are structs of strings and numbers, which always serialise")]
pub fn encode<M: Serialize>(message: &M) -> String {
    serde_json::to_string(message).expect("plain data serialises")
}

/// Decodes a message within the limits. Unknown fields are ignored: a newer peer may send more.
pub fn decode<M: DeserializeOwned>(text: &str) -> Result<M, InvalidMessage> {
    if text.len() > CONTROL_MESSAGE_BYTES {
        return Err(InvalidMessage::TooLong(text.len()));
    }
    if depth(text) > CONTROL_MESSAGE_DEPTH {
        return Err(InvalidMessage::TooDeep);
    }
    Ok(serde_json::from_str(text)?)
}

/// Returns the deepest nesting of brackets outside strings.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::refusal::RefusalKind;

    #[test]
    fn the_messages_are_these_bytes() {
        let hello = ToHub::Hello(Hello {
            version: "1.2.3".into(),
            run: 7,
            protocols: vec!["devstream.v1".into()],
            forwards: vec!["ssh".parse().unwrap()],
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        });
        let text = r#"{"type":"hello","version":"1.2.3","run":7,"protocols":["devstream.v1"],"forwards":["ssh"]}"#;
        assert_eq!(encode(&hello), text);
        let no = ToHub::StreamResponse(StreamResponse {
            request_id: StreamId::from_bytes([1; 16]),
            accepted: false,
            end_to_end: false,
            reason: Some(Refusal::new(RefusalKind::TargetRefused, "127.0.0.1:22")),
        });
        let id = "01".repeat(16);
        let reason = r#"{"kind":"targetRefused","detail":"127.0.0.1:22"}"#;
        let text = format!(r#"{{"type":"streamResponse","requestId":"{id}","accepted":false,"reason":{reason}}}"#);
        assert_eq!(encode(&no), text);
        let cancel = ToDevice::StreamCancel { request_id: StreamId::from_bytes([1; 16]) };
        assert_eq!(encode(&cancel), format!(r#"{{"type":"streamCancel","requestId":"{id}"}}"#));
    }

    #[test]
    fn a_devices_version_cannot_control_a_terminal() {
        let text = r#"{"type":"hello","version":"\u001b[2J1.0","forwards":[]}"#;
        let ToHub::Hello(hello) = decode(text).unwrap() else { panic!("not a hello") };
        assert!(!hello.version.as_str().contains('\x1b'), "{:?}", hello.version);
    }

    #[test]
    fn a_services_source_is_an_address_and_no_other_text() {
        let at = |source: &str| {
            let (id, name) = ("01".repeat(16), r#""streamName":"ssh","url":"wss://hub/","service":"alice""#);
            decode::<ToDevice>(&format!(r#"{{"type":"streamRequest","requestId":"{id}",{name},"source":"{source}"}}"#))
        };
        assert!(at("192.0.2.1:5").is_ok() && at("[2001:db8::1]:5").is_ok());
        for hostile in [
            "$(echo out)",
            r"1.2.3.4:5[2J",
            r"1.2.3.4:5
hub: forged",
        ] {
            let Err(InvalidMessage::Malformed(why)) = at(hostile) else { panic!("{hostile} is no address") };
            assert!(!why.as_str().contains(['\x1b', '\n']), "{why}");
        }
    }

    #[test]
    fn malformed_messages_are_errors() {
        let deep = format!(r#"{{"type":"drain","x":{}{}}}"#, "[".repeat(9), "]".repeat(9));
        assert!(matches!(decode::<ToDevice>(&deep), Err(InvalidMessage::TooDeep)));
        let long = format!(r#"{{"type":"drain","x":"{}"}}"#, "x".repeat(CONTROL_MESSAGE_BYTES));
        assert!(matches!(decode::<ToDevice>(&long), Err(InvalidMessage::TooLong(_))));
        for bad in ["", "{", "null", r#"{"type":"x"}"#, r#"{"type":"hello"}"#] {
            assert!(matches!(decode::<ToHub>(bad), Err(InvalidMessage::Malformed(_))), "{bad}");
        }
        assert!(decode::<ToDevice>(r#"{"type":"drain","brackets":"[[[[[[[[[[[[","new":1}"#).is_ok());
    }
}
