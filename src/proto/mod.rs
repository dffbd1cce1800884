//! The protocol that hub, agent and proxy share. Pure: no IO, no clock, no randomness; callers pass in bytes, the time
//! and random numbers, and get values and actions back.
//!
//! [`id`], [`key`], [`known`], [`fleet`], [`invitation`], [`invitations`], [`secret`], [`join`], [`forward`], [`scope`] and [`via`] parse text once, at the edge. [`auth`],
//! [`channel_binding`] and [`challenge`] authenticate requests. [`http`], [`message`], [`standby`], [`resume`] and [`endorsement`] are
//! the wire format of the hub's endpoints, and [`stream`] that of a stream. [`keepalive`], [`backoff`],
//! [`token_bucket`] and [`network_monitor`] are state machines. [`network`] tells sources apart. [`limits`] has every limit, and [`refusal`] every error
//! that reaches a person. [`admin`] and [`status`] are the messages of local sockets.
//!
//! The protocol in full:
//!
#![doc = include_str!("PROTOCOL.md")]

pub mod admin;
pub mod auth;
pub mod backoff;
pub mod bounded_map;
pub mod challenge;
pub mod channel_binding;
pub mod cluster_link;
pub mod counts;
pub mod e2e;
pub mod endorsement;
pub mod fleet;
pub mod forward;
pub mod http;
pub mod id;
pub mod invitation;
pub mod invitations;
pub mod join;
pub mod keepalive;
pub mod key;
pub mod known;
pub mod limits;
pub mod message;
pub mod network;
pub mod network_monitor;
pub mod refusal;
pub mod resume;
pub mod scope;
pub mod secret;
pub mod standby;
pub mod status;
pub mod stream;
pub mod text;
pub mod timestamp;
pub mod token_bucket;
pub mod via;
pub mod websocket;
