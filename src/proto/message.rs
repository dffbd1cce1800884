//! The messages on a device's control connection: JSON in text frames, field names as the original's.

use std::net::SocketAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::id::{ServiceName, StreamId, StreamName};
use super::limits::{CONTROL_MESSAGE_BYTES, CONTROL_MESSAGE_DEPTH};
use super::refusal::{Detail, Refusal};
use super::secret::StreamToken;

/// What a device says to the hub.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToHub {
    /// The first message: what this device is and offers.
    Hello(Hello),
    /// The answer to a [`StreamRequest`].
    StreamResponse(StreamResponse),
}

/// What the hub says to a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ToDevice {
    /// The answer to [`ToHub::Hello`]: the device is online.
    Welcome {
        /// The hub's version.
        version: String,
        /// Where to bring standby connections, if the hub takes any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        standby: Option<StandbyOffer>,
    },
    /// A service asks for a stream.
    StreamRequest(StreamRequest),
    /// The request is void: the service left, or time ran out.
    StreamCancel {
        /// Which request.
        request_id: StreamId,
    },
    /// The hub is going away; its connection will end.
    Drain {
        /// How long after that end the device leaves the hub alone, so that not all come back in the same moment.
        #[serde(default, rename = "backMs")]
        reconnect_delay_ms: u64,
    },
    /// Another agent with the same id took over; this connection ends.
    Displaced {
        /// Where the other one connected from.
        by: SocketAddr,
    },
}

/// The hub's offer to take standby connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StandbyOffer {
    /// `wss://HOST[:PORT]/standby`.
    pub url: String,
    /// The most connections that the hub holds for one identity.
    #[serde(rename = "hold")]
    pub limit: usize,
}

/// What a device is and offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hello {
    /// The agent's version.
    pub version: Detail,
    /// Which run of the agent this is: a stream of another run has nobody to go on with it.
    #[serde(default)]
    pub run: u64,
    /// Stream subprotocols it speaks.
    #[serde(default)]
    pub protocols: Vec<String>,
    /// The names of its forwards, the default one first.
    pub forwards: Vec<StreamName>,
    /// Whether it is to be asked for names that are none of these, too.
    #[serde(rename = "others", default, skip_serializing_if = "is_false")]
    pub accepts_any_name: bool,
    /// Whether a connection that has carried a stream may stand by for another.
    #[serde(rename = "rests", default, skip_serializing_if = "is_false")]
    pub reusable: bool,
}

/// A service asks for a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamRequest {
    /// To be repeated in the answer.
    pub request_id: StreamId,
    /// Which forward.
    pub stream_name: StreamName,
    /// Where to bring the WebSocket.
    pub url: String,
    /// What lets it in, once; nothing on a connection that is let in already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_token: Option<StreamToken>,
    /// The subprotocol both ends speak, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Who asks.
    pub service: ServiceName,
    /// Where they ask from.
    pub source: SocketAddr,
    /// Whether the connections of both sides stand by again after the stream, instead of being closed.
    #[serde(rename = "rests", default, skip_serializing_if = "is_false")]
    pub reusable: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The device's answer. A no after a yes takes that back: the device could not bring its WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamResponse {
    /// Which request.
    pub request_id: StreamId,
    /// Yes or no.
    pub accepted: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
}

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMessage {
    /// Over [`CONTROL_MESSAGE_BYTES`].
    #[error("message of {0} bytes, over the limit of {CONTROL_MESSAGE_BYTES}")]
    TooLong(usize),
    /// Nested over [`CONTROL_MESSAGE_DEPTH`].
    #[error("message nested more than {CONTROL_MESSAGE_DEPTH} deep")]
    TooDeep,
    /// Not JSON of the expected shape.
    #[error("malformed message: {0}")]
    Malformed(Detail),
}

/// It may quote the peer.
impl From<serde_json::Error> for InvalidMessage {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed(error.to_string().into())
    }
}

/// As text for the wire.
#[expect(clippy::expect_used, reason = "the messages are structs of strings and numbers, which always serialise")]
pub fn encode<M: Serialize>(message: &M) -> String {
    serde_json::to_string(message).expect("plain data serialises")
}

/// Parses a message within the limits; unknown fields are ignored, so that a newer peer may say more.
pub fn decode<M: DeserializeOwned>(text: &str) -> Result<M, InvalidMessage> {
    if text.len() > CONTROL_MESSAGE_BYTES {
        return Err(InvalidMessage::TooLong(text.len()));
    }
    if depth(text) > CONTROL_MESSAGE_DEPTH {
        return Err(InvalidMessage::TooDeep);
    }
    Ok(serde_json::from_str(text)?)
}

/// The deepest nesting of brackets outside strings.
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
        });
        let text = r#"{"type":"hello","version":"1.2.3","run":7,"protocols":["devstream.v1"],"forwards":["ssh"]}"#;
        assert_eq!(encode(&hello), text);
        let no = ToHub::StreamResponse(StreamResponse {
            request_id: StreamId::from_bytes([1; 16]),
            accepted: false,
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
    fn what_a_device_calls_its_version_cannot_move_anybodys_cursor() {
        let text = r#"{"type":"hello","version":"\u001b[2J1.0","forwards":[]}"#;
        let ToHub::Hello(hello) = decode(text).unwrap() else { panic!("not a hello") };
        assert!(!hello.version.as_str().contains('\x1b'), "{:?}", hello.version);
    }

    #[test]
    fn where_a_service_asks_from_is_an_address_and_no_words_of_the_hubs() {
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
    fn bent_messages_are_errors() {
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
