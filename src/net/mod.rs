//! Sockets and bytes: everything between the protocol's rules and the operating system. Knows the protocol; knows no
//! role.
//!
//! From below: [`os`] is what the system offers; [`transport`] dials and accepts TCP connections, [`tls`] encrypts
//! them, [`websocket`] frames messages on them, [`liveness`] notices dead ones. A [`tunnel`] carries one stream over
//! WebSockets. [`client`] is a device's or service's side of all that, as an [`identity`]; its connections share a
//! [`runtime`].

pub mod client;
pub mod e2e;
pub mod identity;
pub mod liveness;
pub mod log_throttle;
pub mod os;
pub mod runtime;
pub mod shutdown;
pub mod stream_memory;
pub mod tasks;
pub mod tls;
pub mod transport;
pub mod tunnel;
pub mod websocket;
