//! The hub's settings, validated.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::activity;
use super::admission::connection_limiter::ConnectionLimits;
use super::admission::penalty::PenaltyPolicy;
use super::broker::Settings;
use super::certificate::Source;
use crate::net::transport::http_server;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{
    AUTH_TIMEOUT, CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, MAX_RECEIVED_MESSAGE_BYTES,
    TLS_HANDSHAKE_TIMEOUT, UNAUTHENTICATED_CONNECTIONS, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE, UNJOINED_LEG_BYTES,
};

/// The settings of a hub.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// The addresses to listen on.
    pub listen: Vec<SocketAddr>,
    /// The host names under which other machines reach the hub; the first goes into join links.
    pub hostnames: Vec<String>,
    /// The source of a certificate that clients trust without a pin.
    pub certificate: Source,
    /// Clients that allow it too may authenticate through a proxy that inspects TLS.
    pub allow_tls_inspection: bool,
    /// The state directory.
    pub state: PathBuf,
    /// Load balancers whose connections begin with a PROXY protocol header.
    pub load_balancers: Vec<IpNet>,
    /// A streaming endpoint apart from the main listeners.
    pub streaming: Option<Streaming>,
    /// The broker's settings.
    pub broker: Settings,
    /// The activity log's settings.
    pub activity: activity::Settings,
    /// The time in which running streams may end after a drain began.
    pub drain: Duration,
    /// The idle timeout of control, standby and stream connections.
    pub idle_timeout: IdleTimeout,
    /// The limit on standby connections of one identity; 0 disables them.
    pub standbys: usize,
    /// Limits on unauthenticated peers and on the machine's resources.
    pub limits: Limits,
    /// The address of the monitoring listener.
    pub metrics: Option<SocketAddr>,
}

/// Limits on unauthenticated peers and on the machine's resources.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The TLS handshake timeout.
    pub tls_timeout: Duration,
    /// The time from TLS until a connection must have authenticated.
    pub auth_timeout: Duration,
    /// Limits on a request's head.
    pub http: http_server::Limits,
    /// Limits on unauthenticated connections.
    pub unauthenticated: ConnectionLimits,
    /// The penalties of sources whose connections fail.
    pub penalties: PenaltyPolicy,
    /// The memory budget in bytes; without one, the system's limit (cgroup or machine).
    pub memory: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tls_timeout: TLS_HANDSHAKE_TIMEOUT,
            auth_timeout: AUTH_TIMEOUT,
            http: http_server::Limits::default(),
            unauthenticated: ConnectionLimits {
                total: UNAUTHENTICATED_CONNECTIONS,
                per_source: UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
            },
            penalties: PenaltyPolicy::default(),
            memory: None,
        }
    }
}

impl HubConfig {
    /// Returns every limit with its name for metrics, in seconds, bytes or counts.
    pub fn named_limits(&self) -> Vec<(&'static str, f64)> {
        let Limits { tls_timeout, auth_timeout, http, unauthenticated, penalties, .. } = &self.limits;
        let (pending, streams) = (&self.broker.pending, &self.broker.streams);
        let numbers = [
            ("head_bytes", http.head_bytes),
            ("head_fields", http.headers),
            ("unauthenticated_connections", unauthenticated.total),
            ("unauthenticated_connections_per_source", unauthenticated.per_source),
            ("pending", pending.total),
            ("pending_per_device", pending.per_device),
            ("pending_per_service", pending.per_service),
            ("streams", streams.total),
            ("streams_per_device", streams.per_device),
            ("streams_per_service", streams.per_service),
            ("standbys_per_identity", self.standbys),
            ("control_message_bytes", CONTROL_MESSAGE_BYTES),
            ("data_message_bytes", MAX_RECEIVED_MESSAGE_BYTES),
            ("early_bytes_per_stream", UNJOINED_LEG_BYTES),
            ("control_frames_burst", CONTROL_FRAME_BURST as usize),
            ("control_frames_per_second", CONTROL_FRAMES_PER_SECOND as usize),
        ];
        let times = [
            ("tls_seconds", *tls_timeout),
            ("auth_seconds", *auth_timeout),
            ("head_seconds", http.head_timeout),
            ("handshake_seconds", self.broker.handshake),
            ("token_seconds", self.broker.token),
            ("penalty_threshold_seconds", penalties.threshold),
            ("penalty_longest_seconds", penalties.max),
            ("dead_after_seconds", self.idle_timeout.dead_after),
            ("resume_grace_seconds", self.broker.resume.unwrap_or_default()),
            ("drain_seconds", self.drain),
        ];
        let numbers = numbers.into_iter().map(|(name, number)| (name, number as f64));
        numbers.chain(times.into_iter().map(|(name, time)| (name, time.as_secs_f64()))).collect()
    }
}

/// A streaming endpoint apart from the main listeners.
#[derive(Debug, Clone)]
pub struct Streaming {
    /// `wss://HOST:PORT`, as sent to both ends.
    pub url: String,
    /// The host, for the certificate.
    pub host: String,
    /// The address to listen on.
    pub listen: SocketAddr,
}
