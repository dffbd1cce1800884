//! An agent's settings, already valid.

use std::sync::Arc;
use std::time::Duration;

use super::Event;
use super::targets::Targets;
use crate::net::client::ClientFactory;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::id::DeviceId;
use crate::proto::scope::Glob;

/// Whom a device lets in, of those whom the hub does.
#[derive(Debug, Clone, Default)]
pub struct AccessPolicy {
    /// Services, by name; all if there are none.
    pub services: Vec<Glob>,
    /// A shell command that is asked about each stream.
    pub command: Option<String>,
}

/// What an agent needs to know.
#[derive(Clone)]
pub struct AgentConfig {
    /// Which device it is.
    pub device: DeviceId,
    /// How it becomes a client of the hub.
    pub client_factory: ClientFactory,
    /// What it offers, the default first.
    pub targets: Targets,
    /// Its own say about who may come.
    pub access_policy: AccessPolicy,
    /// Its key is a copy that only its next start renews: it ends when the hub no longer accepts it.
    pub exit_when_key_refused: bool,
    /// How it keeps its connections.
    pub transport: TransportOptions,
    /// How long running streams may go on after it was asked to stop.
    pub drain: Duration,
    /// Told what happens.
    pub observer: Arc<dyn Fn(Event) + Send + Sync>,
}
