//! Sockets and bytes. Knows the protocol; knows no role.

pub mod authority;
pub mod certificate;
pub mod channel;
pub mod client;
pub mod clock;
pub mod dial;
mod inspection;
pub mod local;
pub mod private;
pub mod pump;
pub mod random;
pub mod relay;
pub mod serve;
pub mod shutdown;
pub mod socket;
pub mod tasks;
pub mod tls;
pub mod websocket;
