//! PURE. WebSocket frames (RFC 6455) without extensions: [`head`] is what precedes a payload, [`decoder`] makes messages
//! of the bytes that arrive, [`frame`] bytes of what is sent.
//!
//! Payloads are neither copied nor kept: a message that came in one frame is the memory that it was read into.

pub mod decoder;
pub mod frame;
pub mod head;

use bytes::Bytes;

/// RFC 6455 section 7.4.1, for this and the following: against the protocol.
pub const CLOSE_PROTOCOL: u16 = 1002;
/// A message of a kind that does not belong here.
pub const CLOSE_UNSUPPORTED: u16 = 1003;
/// Text that is not UTF-8.
pub const CLOSE_NOT_TEXT: u16 = 1007;
/// A message against the rules.
pub const CLOSE_POLICY: u16 = 1008;
/// A message over the limit.
pub const CLOSE_TOO_BIG: u16 = 1009;

/// The largest payload of a ping, a pong or a close (RFC 6455 section 5.5).
pub const CONTROL_BYTES: usize = 125;

/// Which end of a connection this is: only what a client sends is masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The one that dialled.
    Client,
    /// The one that was dialled.
    Server,
}

/// Everything that can arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Bytes.
    Binary(Bytes),
    /// Text.
    Text(String),
    /// To be answered with a pong of the same payload.
    Ping(Bytes),
    /// An answer to a ping, or none.
    Pong,
    /// With a code and a reason, if there are any. Nothing follows.
    Close(Option<(u16, String)>),
}

/// What is against the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An extension that was not agreed on.
    #[error("reserved bits are set")]
    Reserved,
    /// A kind of frame that there is not.
    #[error("unknown kind of frame {0}")]
    Opcode(u8),
    /// A client's frame without a mask, or a server's with one.
    #[error("the wrong side masks")]
    Mask,
    /// A ping, pong or close in pieces, or too long.
    #[error("a control frame in pieces, or over 125 bytes")]
    Control,
    /// A continuation of nothing, or a message within a message.
    #[error("pieces of messages that do not fit")]
    Pieces,
    /// A message over the limit.
    #[error("a message over the limit of {0} bytes")]
    TooBig(usize),
    /// Text that is not UTF-8.
    #[error("text that is not UTF-8")]
    NotText,
    /// A close code that nobody may send, or half of one.
    #[error("a close code that may not be sent")]
    CloseCode,
}

impl Fault {
    /// The close code that says so.
    pub fn code(self) -> u16 {
        match self {
            Self::TooBig(_) => CLOSE_TOO_BIG,
            Self::NotText => CLOSE_NOT_TEXT,
            Self::Reserved | Self::Opcode(_) | Self::Mask | Self::Control | Self::Pieces | Self::CloseCode => {
                CLOSE_PROTOCOL
            }
        }
    }
}
