//! What hub, agent and proxy must agree on. Pure: no IO, no clock, no randomness.
#![doc = include_str!("PROTOCOL.md")]

pub mod admin;
pub mod auth;
pub mod backoff;
pub mod challenge;
pub mod forward;
pub mod http;
pub mod id;
pub mod join;
pub mod keepalive;
pub mod key;
pub mod limits;
pub mod message;
pub mod network_monitor;
pub mod refusal;
pub mod resume;
pub mod scope;
pub mod secret;
pub mod standby;
pub mod status;
pub mod stream;
pub mod timestamp;
pub mod token_bucket;
pub mod via;
pub mod websocket;
