//! What travels on a stream's WebSocket between two ends that both speak `devstream.v1`.
//!
//! Binary messages are bytes and their boundaries mean nothing. Text messages are small JSON controls, of which this
//! module is the codec. WebSocket itself has no half-close and no reset; these two messages are what makes a stream
//! behave as TCP does.

use serde::{Deserialize, Serialize};

use super::limits::STREAM_CONTROL_BYTES;

/// A text message on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum StreamControl {
    /// The sender's direction is over, as after a TCP FIN; the other direction goes on.
    End {
        /// How many bytes the direction carried: a receiver that counted differently resets.
        bytes: u64,
    },
    /// The sender's local connection was reset, as by a TCP RST: both directions are over.
    Reset,
}

/// A text message that is none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown control message on the stream")]
pub struct UnknownControl;

impl StreamControl {
    /// As text for the wire.
    #[expect(clippy::expect_used, reason = "a struct of plain numbers always serialises")]
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

/// The record each end keeps of one stream: what has ended, and whether the counts agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Directions {
    /// Bytes sent to the peer.
    pub sent: u64,
    /// Bytes received from the peer.
    pub received: u64,
    sent_end: bool,
    received_end: bool,
}

impl Directions {
    /// Our direction is over; returns what to tell the peer.
    pub fn end_sending(&mut self) -> StreamControl {
        self.sent_end = true;
        StreamControl::End { bytes: self.sent }
    }

    /// The peer says its direction is over. Wrong if bytes are missing, or if it said so before.
    pub fn end_receiving(&mut self, bytes: u64) -> Result<(), UnknownControl> {
        if self.received_end || bytes != self.received {
            return Err(UnknownControl);
        }
        self.received_end = true;
        Ok(())
    }

    /// The peer's bytes all came.
    pub fn receiving_is_over(&self) -> bool {
        self.received_end
    }

    /// Both directions are over: the WebSocket can close.
    pub fn are_over(&self) -> bool {
        self.sent_end && self.received_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_these_bytes() {
        assert_eq!(StreamControl::End { bytes: 7 }.encode(), r#"{"type":"end","bytes":7}"#);
        assert_eq!(StreamControl::Reset.encode(), r#"{"type":"reset"}"#);
        for message in [StreamControl::End { bytes: u64::MAX }, StreamControl::Reset] {
            assert_eq!(StreamControl::decode(&message.encode()), Ok(message));
        }
    }

    #[test]
    fn bent_messages_are_errors() {
        let long = format!(r#"{{"type":"reset","pad":"{}"}}"#, "x".repeat(STREAM_CONTROL_BYTES));
        for bad in ["", "{}", "end", r#"{"type":"end"}"#, r#"{"type":"end","bytes":-1}"#, &long] {
            assert_eq!(StreamControl::decode(bad), Err(UnknownControl), "{bad}");
        }
    }

    #[test]
    fn a_direction_that_lost_bytes_does_not_end() {
        let mut directions = Directions { received: 10, ..Directions::default() };
        assert!(directions.end_receiving(11).is_err());
        assert!(directions.end_receiving(10).is_ok());
        assert!(directions.end_receiving(10).is_err(), "one end each");
        assert!(!directions.are_over());
        directions.end_sending();
        assert!(directions.are_over());
    }
}
