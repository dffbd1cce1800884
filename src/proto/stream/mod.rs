//! What travels on a stream's WebSocket between two ends that both speak `devstream.v1`, and what each end must keep in
//! mind of it.
//!
//! Binary messages are bytes and their boundaries mean nothing. Text messages are small JSON controls, of which this
//! module is the codec. WebSocket itself has no half-close; with `end`, and a close code of its own for a reset, a stream
//! behaves as TCP does. Two ends that can also *resume* outlive their WebSockets: [`send`] keeps what is not yet
//! acknowledged, [`receive`] counts, [`endpoint`] puts the two together, and [`rejoin`] says when to come back and when to give up.

pub mod endpoint;
pub mod receive;
pub mod rejoin;
pub mod send;

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::STREAM_CONTROL_BYTES;

/// Close code of an end that has nothing more to say, RFC 6455 section 7.4.1.
pub const CLOSE_NORMAL: u16 = 1000;

/// Close code of an end whose local connection was reset: both directions are over, and not by themselves.
/// Any other code than 1000 means that the tunnel broke or somebody ended it.
pub const CLOSE_RESET: u16 = 4000;

/// A text message on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StreamControl {
    /// The sender's direction is over, as after a TCP FIN; the other direction goes on.
    End {
        /// How many bytes the direction carried: a receiver that counted differently resets.
        bytes: u64,
    },
    /// The sender of this message has written this many bytes to its local side, and will take `window` more. The
    /// window is the flow control: neither end ever leaves bytes unread on the WebSocket, so an acknowledgement is
    /// never stuck behind them, and a full window blocks the writer and nothing else.
    Ack {
        /// Since the start of the stream.
        bytes: u64,
        /// Beyond those.
        window: u64,
        /// The end of the direction, too, was passed on.
        #[serde(default, skip_serializing_if = "is_false")]
        end: bool,
    },
    /// The first thing that both ends say on a new WebSocket of an old stream. The peer goes on from there.
    Resume {
        /// How many bytes of the peer's direction have arrived here since the start of the stream.
        received: u64,
    },
    /// The sender is done with the stream: both directions are over and acknowledged. Said instead of a close where the
    /// connection stands by for another stream after this one.
    #[serde(rename = "rest")]
    Release,
    /// The hub is about to end, and this stream with it, if it has not ended by itself in this many seconds. Said by
    /// the hub, to both ends.
    Drain {
        /// From now.
        seconds: u64,
        /// How long after the end of its WebSocket an end that can resume leaves the hub alone, so that not all come
        /// back in the same moment.
        #[serde(default, rename = "backMs")]
        reconnect_delay_ms: u64,
    },
}

/// [`StreamControl::Release`] as it stands on the wire, for a hub that looks at nothing else but the next.
pub const RELEASE_MESSAGE: &str = r#"{"type":"rest"}"#;

/// How a [`StreamControl::Ack`] ends with which the end of a direction is acknowledged, too. Once both are, the stream is over,
/// and a connection that is lost then was only not yet closed.
pub const END_ACK_SUFFIX: &str = r#","end":true}"#;

/// What the other end did against the rules of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A text message that is no [`StreamControl`].
    #[error("unknown control message on the stream")]
    UnknownControl,
    /// Bytes beyond the window, or after the end.
    #[error("more bytes than were allowed")]
    WindowExceeded,
    /// An end, an acknowledgement or a resumption at a place that does not fit what went before.
    #[error("counts that do not fit")]
    OffsetMismatch,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl StreamControl {
    /// As text for the wire.
    #[expect(clippy::expect_used, reason = "plain numbers always serialise")]
    pub fn encode(self) -> String {
        serde_json::to_string(&self).expect("plain data serialises")
    }

    /// Parses a text message.
    pub fn decode(text: &str) -> Result<Self, Violation> {
        if text.len() > STREAM_CONTROL_BYTES {
            return Err(Violation::UnknownControl);
        }
        serde_json::from_str(text).map_err(|_| Violation::UnknownControl)
    }
}

/// What two ends can do together, as both say it in the handshake and on the WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamProtocol {
    /// Half-close, resets and windows, and a stream that outlives its WebSockets.
    Resumable,
    /// Half-close, resets and windows.
    V1,
}

impl StreamProtocol {
    /// The better one first.
    pub const ALL: [Self; 2] = [Self::Resumable, Self::V1];

    /// Its WebSocket subprotocol.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resumable => "devstream.v1.resume",
            Self::V1 => "devstream.v1",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.as_str() == name)
    }

    /// What an end offers that can, or may, resume or not.
    pub fn offered(resume: bool) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |protocol| resume || *protocol != Self::Resumable)
    }
}

/// How a stream came to its end, for each end's local socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Both directions ended by themselves.
    Clean,
    /// The local application reset its connection.
    LocalReset,
    /// The peer's application reset its connection.
    PeerReset,
    /// The tunnel broke, or the hub or the peer ended it: what arrived may be only part.
    Broken,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "closed",
            Self::LocalReset => "reset by the local side",
            Self::PeerReset => "reset by the other side",
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
    fn bent_messages_are_errors() {
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
