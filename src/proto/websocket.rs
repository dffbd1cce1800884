//! PURE. The WebSocket close codes and roles (RFC 6455) that the rest of the protocol refers to.

/// Protocol error; RFC 6455 section 7.4.1, as for the codes below.
pub const CLOSE_PROTOCOL: u16 = 1002;
/// A message of a type that this endpoint does not accept.
pub const CLOSE_UNSUPPORTED: u16 = 1003;
/// Text that is not UTF-8.
pub const CLOSE_NOT_TEXT: u16 = 1007;
/// Policy violation.
pub const CLOSE_POLICY: u16 = 1008;
/// A message over the limit.
pub const CLOSE_TOO_BIG: u16 = 1009;

/// The role of one end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebSocketRole {
    /// Opened the connection.
    Client,
    /// Accepted the connection.
    Server,
}

/// The suffix of a subprotocol whose client does not mask its frames.
const UNMASKED: &str = ".unmasked";

/// The variant of a subprotocol without the masks of RFC 6455 section 5.3. Masks keep scripts from writing bytes of
/// their choice past proxies that read the connection; the two ends of a TLS channel that nobody else reads do not need
/// them.
pub fn unmasked(protocol: &str) -> String {
    format!("{protocol}{UNMASKED}")
}

/// Reports whether a subprotocol is such a variant.
pub fn is_unmasked(protocol: &str) -> bool {
    protocol.ends_with(UNMASKED)
}
