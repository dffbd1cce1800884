//! The stream protocol `devstream.v1` between two ends, and the state that each end keeps.
//!
//! Binary messages are bytes, and their boundaries mean nothing. Text messages are small JSON controls, which this
//! module encodes and decodes. WebSocket has no half-close: with [`StreamControl::End`] for it, and a close code for a
//! reset, a stream behaves as TCP does. Resumable streams outlive their WebSockets: [`send`] keeps unacknowledged
//! bytes, [`receive`] counts and acknowledges, [`endpoint`] combines the two, and [`rejoin`] times the attempts to
//! rejoin.

pub mod endpoint;
pub mod receive;
pub mod rejoin;
pub mod send;
#[cfg(test)]
mod simulated_path;
pub mod window;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::STREAM_CONTROL_BYTES;

/// Close code of an end that has finished, RFC 6455 section 7.4.1.
pub const CLOSE_NORMAL: u16 = 1000;

/// Close code of an end whose local connection was reset, which resets both directions. Any other code than 1000 means
/// that the tunnel was lost or the stream was ended.
pub const CLOSE_RESET: u16 = 4000;

/// A text message on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StreamControl {
    /// The end of the sender's direction, as a TCP FIN; the other direction stays open.
    End {
        /// Length of the direction, in bytes: a receiver that counted otherwise resets.
        bytes: u64,
    },
    /// Acknowledges the bytes written to the sender's local side, and grants a window beyond them. The window is the
    /// only flow control: neither end leaves bytes unread on the WebSocket, so an acknowledgement is never stuck behind
    /// them, and a full window blocks nothing but the writer. The exception is an end whose memory budget is used up.
    Ack {
        /// Acknowledged bytes since the start of the stream.
        bytes: u64,
        /// Window beyond those, in bytes.
        window: u64,
        /// `true` if the end of the direction has been passed on as well.
        #[serde(default, skip_serializing_if = "is_false")]
        end: bool,
    },
    /// The first message of both ends on a new WebSocket of an interrupted stream; the peer continues from there.
    Resume {
        /// Bytes of the peer's direction received since the start of the stream.
        received: u64,
    },
    /// The sender has finished: both directions have ended and are acknowledged. Sent instead of a close where the
    /// connection becomes a standby connection.
    #[serde(rename = "rest")]
    Release,
    /// The hub shuts down, and ends this stream unless it ends by itself within this time. Sent by the hub to both
    /// ends.
    Drain {
        /// Time left, in seconds.
        seconds: u64,
        /// Time that a resumable end waits after the loss of its WebSocket before it rejoins, in milliseconds: spreads
        /// the load of ends that return.
        #[serde(default, rename = "backMs")]
        reconnect_delay_ms: u64,
    },
}

/// The encoding of [`StreamControl::Release`], for a hub that decodes no other message than the next.
pub const RELEASE_MESSAGE: &str = r#"{"type":"rest"}"#;

/// The last characters of a [`StreamControl::Ack`] that acknowledges the end of a direction. Once both directions' ends
/// are acknowledged the stream is over, and the loss of a connection no longer interrupts it.
pub const END_ACK_SUFFIX: &str = r#","end":true}"#;

/// Reports whether a text message may be read as a [`StreamControl::Drain`], which only the hub sends, or as a
/// [`StreamControl::Release`], which the hub must recognise, in another spelling than [`RELEASE_MESSAGE`]. No other message
/// of an end has these words, or a backslash.
pub fn is_reserved(text: &str) -> bool {
    ["drain", "rest", "\\"].iter().any(|word| text.contains(word))
}

/// A violation of the stream protocol by the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A text message that is no [`StreamControl`].
    #[error("unknown control message on the stream")]
    UnknownControl,
    /// Bytes beyond the window, or after the end of the direction.
    #[error("bytes beyond the window or after the end")]
    WindowExceeded,
    /// An end, acknowledgement or resumption that contradicts the offsets so far.
    #[error("offsets do not match")]
    OffsetMismatch,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl StreamControl {
    /// Encodes the message as JSON.
    #[expect(clippy::expect_used, reason = "plain numbers always serialise")]
    pub fn encode(self) -> String {
        serde_json::to_string(&self).expect("plain data serialises")
    }

    /// Decodes a text message.
    pub fn decode(text: &str) -> Result<Self, Violation> {
        if text.len() > STREAM_CONTROL_BYTES {
            return Err(Violation::UnknownControl);
        }
        serde_json::from_str(text).map_err(|_| Violation::UnknownControl)
    }
}

/// The protocol that two ends agree on, in the handshake and as the WebSocket's subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamProtocol {
    /// Half-close, resets, windows and resumption.
    Resumable,
    /// Half-close, resets and windows.
    V1,
}

impl StreamProtocol {
    /// All protocols, in order of preference.
    pub const ALL: [Self; 2] = [Self::Resumable, Self::V1];

    /// Returns the WebSocket subprotocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resumable => "devstream.v1.resume",
            Self::V1 => "devstream.v1",
        }
    }

    /// Parses a WebSocket subprotocol.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// Returns the protocols that an end offers, with or without resumption.
    pub fn offered(resume: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |protocol| resume || *protocol != Self::Resumable)
    }
}

/// The end of a stream, as an end's local socket reflects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both directions were closed.
    Clean,
    /// The local application reset its connection.
    LocalReset,
    /// The peer's application reset its connection.
    PeerReset,
    /// The tunnel was lost, or the hub or the peer ended the stream: the data may be truncated.
    Broken,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "closed",
            Self::LocalReset => "reset by the local application",
            Self::PeerReset => "reset by the remote application",
            Self::Broken => "broken",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_these_bytes() {
        let ack = |end| StreamControl::Ack { bytes: 7, window: 9, end };
        for (message, text) in [
            (StreamControl::End { bytes: u64::MAX }, r#"{"type":"end","bytes":18446744073709551615}"#),
            (ack(false), r#"{"type":"ack","bytes":7,"window":9}"#),
            (ack(true), r#"{"type":"ack","bytes":7,"window":9,"end":true}"#),
            (StreamControl::Release, RELEASE_MESSAGE),
            (StreamControl::Resume { received: 7 }, r#"{"type":"resume","received":7}"#),
            (
                StreamControl::Drain { seconds: 30, reconnect_delay_ms: 5 },
                r#"{"type":"drain","seconds":30,"backMs":5}"#,
            ),
        ] {
            assert_eq!(message.encode(), text);
            assert_eq!(StreamControl::decode(text), Ok(message));
            assert_eq!(text.ends_with(END_ACK_SUFFIX), message == ack(true));
        }
    }

    #[test]
    fn malformed_messages_are_errors() {
        let long = format!(r#"{{"type":"end","bytes":1,"pad":"{}"}}"#, "x".repeat(STREAM_CONTROL_BYTES));
        for bad in ["", "{}", "end", r#"{"type":"end"}"#, r#"{"type":"end","bytes":-1}"#, &long] {
            assert_eq!(StreamControl::decode(bad), Err(Violation::UnknownControl), "{bad}");
        }
    }

    #[test]
    fn protocols_are_known_by_their_names() {
        for protocol in StreamProtocol::ALL {
            assert_eq!(StreamProtocol::from_name(protocol.as_str()), Some(protocol));
        }
        assert_eq!(StreamProtocol::from_name("devstream.v2"), None);
        assert!(StreamProtocol::offered(false).eq([StreamProtocol::V1]));
    }
}
