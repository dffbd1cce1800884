//! NATS as the engine of a cluster. Nothing else knows async-nats.
//!
//! `bucket` is a key-value bucket of JetStream.

pub mod bucket;
