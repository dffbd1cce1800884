//! A device as a program has it: handlers by stream name, of which a forward is the one that comes along.

use std::sync::Arc;
use std::time::Duration;

use super::Event;
use super::config::{AccessPolicy, AgentConfig};
use super::targets::{Incoming, Targets};
use crate::net::identity::Identity;
use crate::net::shutdown::Shutdown;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::forward::Forward;
use crate::proto::id::{Role, StreamName};
use crate::proto::refusal::Refusal;

/// How long running streams may go on after [`Device::run`] was asked to stop.
const DRAIN: Duration = Duration::from_secs(10);

/// A device that awaits streams at its hub. What it registers first is its default, for services that name no stream.
#[derive(Clone)]
pub struct Device {
    config: AgentConfig,
}

impl Device {
    /// One that offers nothing yet. A service's identity is none for a device.
    pub fn new(identity: &Identity) -> Result<Self, Refusal> {
        let config = AgentConfig {
            device: identity.principal().id.clone().into(),
            client_factory: identity.client_factory_for(Role::Device)?,
            targets: Targets::default(),
            access_policy: AccessPolicy::default(),
            exit_when_key_refused: false,
            transport: TransportOptions::default(),
            drain: DRAIN,
            observer: Arc::new(|_| {}),
        };
        Ok(Self { config })
    }

    /// Registers who is told when the device comes online, goes offline and why, and is asked for a stream.
    #[must_use]
    pub fn observe(mut self, observer: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.config.observer = Arc::new(observer);
        self
    }

    /// Registers a handler for streams of this name. It runs once for each, in a task of its own; until it has answered it is
    /// dropped when the service gives up.
    #[must_use]
    pub fn handle<F, A>(mut self, name: StreamName, handler: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.config.targets.handle(name, handler);
        self
    }

    /// Registers a handler for streams of any name that has none of its own.
    #[must_use]
    pub fn handle_fallback<F, A>(mut self, handler: F) -> Self
    where
        F: Fn(Incoming) -> A + Send + Sync + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        self.config.targets.handle_fallback(handler);
        self
    }

    /// Connects streams to a TCP target, as `device-agent --forward` does.
    #[must_use]
    pub fn forward(mut self, forward: Forward) -> Self {
        self.config.targets.forward(forward);
        self
    }

    /// How long running streams may go on after the device was asked to stop; 10 seconds, unless this says otherwise.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.config.drain = drain;
        self
    }

    /// Waits at the hub and serves streams until asked to stop. No failure of the network or the hub ends it: it says what
    /// is wrong in the log, and tries again.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), Refusal> {
        super::run(self.config, shutdown).await
    }
}
