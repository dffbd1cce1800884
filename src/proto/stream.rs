//! What travels on a stream's WebSocket between two ends that both speak `devstream.v1`.
//!
//! Binary messages are bytes and their boundaries mean nothing. Text messages are small JSON controls, of which this
//! module is the codec. WebSocket itself has no half-close; with `end`, and a close code of its own for a reset, a stream
//! behaves as TCP does.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::limits::STREAM_CONTROL_BYTES;

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
    },
    /// The hub is about to end, and this stream with it, if it has not ended by itself in this many seconds. Said by
    /// the hub, to both ends.
    Drain {
        /// From now.
        seconds: u64,
    },
}

/// A text message that is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown control message on the stream")]
pub struct UnknownControl;

impl StreamControl {
    /// As text for the wire.
    #[expect(clippy::expect_used, reason = "plain numbers always serialise")]
    pub fn encode(self) -> String {
        serde_json::to_string(&self).expect("plain data serialises")
    }

    /// Parses a text message.
    pub fn decode(text: &str) -> Result<Self, UnknownControl> {
        if text.len() > STREAM_CONTROL_BYTES {
            return Err(UnknownControl);
        }
        serde_json::from_str(text).map_err(|_| UnknownControl)
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

/// What one end knows of the direction that comes to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inbound {
    received: u64,
    limit: u64,
    ended: bool,
}

impl Inbound {
    /// Nothing yet; this much may come.
    pub fn new(limit: u64) -> Self {
        Self { received: 0, limit, ended: false }
    }

    /// Bytes came. Wrong after the end, and beyond the limit.
    pub fn received(&mut self, bytes: usize) -> Result<(), UnknownControl> {
        self.received = self.received.saturating_add(bytes as u64);
        if self.ended || self.received > self.limit { Err(UnknownControl) } else { Ok(()) }
    }

    /// The peer is told that it may send up to here. A limit never shrinks.
    pub fn allow(&mut self, limit: u64) {
        self.limit = self.limit.max(limit);
    }

    /// The peer says its direction is over. Wrong if bytes are missing, or if it said so before.
    pub fn end(&mut self, bytes: u64) -> Result<(), UnknownControl> {
        if self.ended || bytes != self.received {
            return Err(UnknownControl);
        }
        self.ended = true;
        Ok(())
    }

    /// The peer's bytes all came.
    pub fn is_over(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_these_bytes() {
        assert_eq!(StreamControl::End { bytes: 7 }.encode(), r#"{"type":"end","bytes":7}"#);
        let ack = StreamControl::Ack { bytes: 7, window: 9 };
        assert_eq!(ack.encode(), r#"{"type":"ack","bytes":7,"window":9}"#);
        assert_eq!(StreamControl::Drain { seconds: 30 }.encode(), r#"{"type":"drain","seconds":30}"#);
        let message = StreamControl::End { bytes: u64::MAX };
        assert_eq!(StreamControl::decode(&message.encode()), Ok(message));
    }

    #[test]
    fn bent_messages_are_errors() {
        let long = format!(r#"{{"type":"end","bytes":1,"pad":"{}"}}"#, "x".repeat(STREAM_CONTROL_BYTES));
        for bad in ["", "{}", "end", r#"{"type":"end"}"#, r#"{"type":"end","bytes":-1}"#, &long] {
            assert_eq!(StreamControl::decode(bad), Err(UnknownControl), "{bad}");
        }
    }

    #[test]
    fn nobody_sends_beyond_the_limit() {
        let mut inbound = Inbound::new(10);
        assert!(inbound.received(10).is_ok());
        inbound.allow(5);
        inbound.allow(20);
        assert!(inbound.received(10).is_ok());
        assert!(inbound.received(1).is_err());
    }

    #[test]
    fn a_direction_that_lost_bytes_does_not_end() {
        let mut inbound = Inbound::new(100);
        inbound.received(10).unwrap();
        assert!(inbound.end(11).is_err());
        assert!(!inbound.is_over());
        assert!(inbound.end(10).is_ok());
        assert!(inbound.end(10).is_err(), "one end each");
        assert!(inbound.received(1).is_err(), "nothing after the end");
    }
}
