//! The end of a WebSocket that was lost, or whose peer broke the protocol.

use std::io;

use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;

use crate::proto::websocket::{CLOSE_NOT_TEXT, CLOSE_PROTOCOL, CLOSE_TOO_BIG};

/// The end of a WebSocket without a close frame.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The connection ended without a close frame.
    #[error("the connection ended without a close")]
    Truncated,
    /// The peer violated the protocol; with the close code to answer, and the reason.
    #[error("the peer broke the protocol: {1}")]
    Violation(u16, String),
    /// The peer was silent beyond the idle timeout.
    #[error("nothing received within the idle timeout")]
    Silent,
    /// The connection failed.
    #[error(transparent)]
    Io(io::Error),
}

impl From<io::Error> for WebSocketError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::UnexpectedEof { Self::Truncated } else { Self::Io(error) }
    }
}

impl From<Error> for WebSocketError {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => error.into(),
            Error::ConnectionClosed
            | Error::AlreadyClosed
            | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => {
                Self::Truncated
            }
            Error::Capacity(error) => Self::Violation(CLOSE_TOO_BIG, error.to_string()),
            Error::Utf8(_) => Self::Violation(CLOSE_NOT_TEXT, error.to_string()),
            Error::Protocol(error) => Self::Violation(CLOSE_PROTOCOL, error.to_string()),
            Error::WriteBufferFull(_) | Error::AttackAttempt | Error::Url(_) | Error::Tls(_) => {
                Self::Violation(CLOSE_PROTOCOL, error.to_string())
            }
        }
    }
}

impl WebSocketError {
    /// Reports whether only the connection was lost, without a violation by the peer.
    pub fn is_loss(&self) -> bool {
        self.code().is_none()
    }

    /// The close code for the peer's violation, if it committed one.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Violation(code, _) => Some(*code),
            Self::Truncated | Self::Silent | Self::Io(_) => None,
        }
    }
}
