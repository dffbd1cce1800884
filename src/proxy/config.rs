//! The proxy's settings, already validated.

use std::sync::Arc;
use std::time::Duration;

use super::Event;
use crate::net::client::{ClientFactory, StoredAt};
use crate::net::tunnel::pump::TransportOptions;
use crate::proto::forward::LocalForward;
use crate::proto::id::DeviceId;

/// Settings of one proxy.
#[derive(Clone)]
pub struct ProxyConfig {
    /// Creates clients of the hub, with the current key.
    pub client_factory: ClientFactory,
    /// When the machine's identity was stored: a running proxy takes another key up.
    pub identity_stored_at: StoredAt,
    /// Device that streams are opened to.
    pub device: DeviceId,
    /// Local addresses to listen on, each with its stream name.
    pub locals: Vec<LocalForward>,
    /// Time to wait for an offline device.
    pub connect_timeout: Duration,
    /// Time to wait for the device's response.
    pub response_timeout: Duration,
    /// Open streams that the hub can read, to devices without end-to-end encryption.
    pub plain: bool,
    /// Keepalive, resume and standby settings.
    pub transport: TransportOptions,
    /// Time that running streams have to end after shutdown begins.
    pub drain: Duration,
    /// Receives every [`Event`].
    pub observer: Arc<dyn Fn(Event) + Send + Sync>,
}
