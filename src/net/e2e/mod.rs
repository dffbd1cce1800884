//! End-to-end encryption: TLS 1.3 between the two ends of a stream, inside the bytes that the hub carries.
//!
//! The service is the TLS client, the device the server. Each presents its identity key in a [`leaf`]; [`config`] says which
//! one it accepts, and for which stream. [`peers`] is what it knows of others, [`fleet`] what their
//! owner signs, and [`verdict`] what this machine makes of a certificate for itself. The session
//! itself is a [`seal`](crate::net::tunnel::seal) between the local side of a stream and the pump.

pub mod config;
pub mod expected;
pub mod facts;
pub mod failure;
pub mod fleet;
pub mod known_file;
pub mod leaf;
pub mod peers;
mod tickets;
pub mod verdict;
mod verified;
mod verifier;
