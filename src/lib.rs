//! devstream: reach SSH, RDP or any TCP port on a device that can only dial out, through a hub that you own.
//!
//! Dependencies point one way, `cli → {hub, agent, proxy} → net → proto`, and a byte travels
//! [`proxy`] → [`hub`] → [`agent`] → target; the pump at each of them is [`net::pump`] or [`net::relay`].
//! `tests/layering.rs` holds the direction.

pub mod agent;
pub mod cli;
pub mod hub;
pub mod net;
pub mod proto;
pub mod proxy;
