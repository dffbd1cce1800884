//! The agent's settings, already validated.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Event;
use super::targets::Targets;
use crate::net::client::{ClientFactory, StoredAt};
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::id::DeviceId;
use crate::proto::scope::Glob;

/// The device's own access policy, applied to streams that the hub has authorised.
#[derive(Debug, Clone, Default)]
pub struct AccessPolicy {
    /// Names of allowed services; empty allows all.
    pub services: Vec<Glob>,
    /// Names of services whose streams need no end-to-end encryption.
    pub allow_plain: Vec<Glob>,
    /// Shell command that decides about each stream.
    pub command: Option<String>,
}

/// Searches this machine for another agent of the same device, and returns its process id.
pub type FindOtherAgent = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Option<u32>> + Send>> + Send + Sync>;

/// Settings of one agent.
#[derive(Clone)]
pub struct AgentConfig {
    /// Device id, for as long as no client has another one.
    pub device: DeviceId,
    /// Creates clients of the hub, with the current key.
    pub client_factory: ClientFactory,
    /// Offered targets, the default first.
    pub targets: Targets,
    /// The device's own access policy.
    pub access_policy: AccessPolicy,
    /// Exit when the hub refuses the key: it is a copy that only a restart renews.
    pub exit_when_key_refused: bool,
    /// Keepalive, resume and standby settings.
    pub transport: TransportOptions,
    /// Time that running streams have to end after shutdown begins.
    pub drain: Duration,
    /// Names the agent that displaces this one, if it runs on this machine too.
    pub find_other_agent: Option<FindOtherAgent>,
    /// When the machine's identity was stored: a running agent takes another one up, and does not wait for it.
    pub identity_stored_at: StoredAt,
    /// Receives every [`Event`].
    pub observer: Arc<dyn Fn(Event) + Send + Sync>,
}
