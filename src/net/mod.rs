//! Sockets and bytes. Knows the protocol; knows no role.

pub mod client;
pub mod identity;
pub mod liveness;
pub mod log_throttle;
pub mod os;
pub mod shutdown;
pub mod tasks;
pub mod tls;
pub mod transport;
pub mod tunnel;
pub mod websocket;
