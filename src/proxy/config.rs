//! A proxy's settings, already valid.

use std::sync::Arc;
use std::time::Duration;

use super::Event;
use crate::net::client::ClientFactory;
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::forward::LocalForward;
use crate::proto::id::DeviceId;

/// What a proxy needs to know.
#[derive(Clone)]
pub struct ProxyConfig {
    /// How it becomes a client of the hub.
    pub client_factory: ClientFactory,
    /// Which device its streams go to.
    pub device: DeviceId,
    /// Where it listens.
    pub locals: Vec<LocalForward>,
    /// How long to wait for the device to come online.
    pub connect_timeout: Duration,
    /// How long to wait for its answer.
    pub response_timeout: Duration,
    /// How it keeps its connections.
    pub transport: TransportOptions,
    /// How long running streams may go on after it was asked to stop.
    pub drain: Duration,
    /// Told what happens.
    pub observer: Arc<dyn Fn(Event) + Send + Sync>,
}
