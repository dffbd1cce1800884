//! A stream on its connections: the pump at its ends, the relay at the hub.
//!
//! A [`pump`] joins a local connection, or a program's [`stream`], with the stream's WebSocket, and replaces that when
//! it is lost. A [`seal`] is
//! the end-to-end session between them, above resumption: the pump repeats ciphertext. A [`relay`] joins the WebSockets of both ends at the hub. Both return how the stream ended, and the
//! WebSockets that carry another stream.

pub mod pump;
pub mod relay;
pub mod seal;
pub mod stream;

use std::time::Duration;

/// The time for which a peer is still read after a write to it failed, since its close frame may say why. A network
/// that lost the bytes says nothing, so longer would only delay the rejoin.
const FINAL_READ_TIMEOUT: Duration = Duration::from_secs(1);
