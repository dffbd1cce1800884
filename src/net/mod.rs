//! Sockets and bytes. Knows the protocol; knows no role.

pub mod ahead;
pub mod authority;
pub mod certificate;
pub mod channel;
pub mod client;
pub mod clock;
pub mod dial;
pub mod inherit;
mod inspection;
pub mod local;
pub mod memory;
pub mod notify;
pub mod private;
pub mod pulse;
pub mod pump;
pub mod random;
pub mod relay;
pub mod rlimit;
pub mod serve;
pub mod shutdown;
pub mod socket;
pub mod sparingly;
pub mod tasks;
pub mod tls;
pub mod usage;
pub mod vigil;
pub mod websocket;
