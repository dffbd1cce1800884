//! An agent's settings, already valid.

use std::time::Duration;

use crate::net::client::Enrol;
use crate::proto::forward::Forward;
use crate::proto::id::DeviceId;

/// What an agent needs to know.
#[derive(Clone)]
pub struct AgentConfig {
    /// Which device it is.
    pub device: DeviceId,
    /// How it becomes a client of the hub.
    pub enrol: Enrol,
    /// What it offers, the default first. Names are unique.
    pub forwards: Vec<Forward>,
    /// How long running streams may go on after it was asked to stop.
    pub drain: Duration,
}
