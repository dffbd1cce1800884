//! A hub's settings, already valid.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::activity;
use super::broker::Settings;
use super::connection_limiter::ConnectionLimits;
use super::penalty::PenaltyPolicy;
use crate::net::certificate::Source;
use crate::net::transport::http_server;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::{
    AUTH_TIMEOUT, CONTROL_FRAME_BURST, CONTROL_FRAMES_PER_SECOND, CONTROL_MESSAGE_BYTES, DATA_MESSAGE_LIMIT,
    PENDING_LEG_BYTES, TLS_HANDSHAKE_TIMEOUT, UNAUTHENTICATED_CONNECTIONS, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE,
};

/// What a hub needs to know.
#[derive(Debug, Clone)]
pub struct HubConfig {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// What other machines call this one; the first goes into join links.
    pub hostnames: Vec<String>,
    /// Where a certificate comes from that needs no pin.
    pub certificate: Source,
    /// Whether a proxy on the way may inspect TLS, if the client allows it too.
    pub allow_tls_inspection: bool,
    /// Where everything is kept.
    pub state: PathBuf,
    /// Where streams go, if not to the hub's own port.
    pub streaming: Option<Streaming>,
    /// The broker's settings.
    pub broker: Settings,
    /// The activity log's settings.
    pub activity: activity::Settings,
    /// How long running streams may go on after a drain began.
    pub drain: Duration,
    /// How long a connection may be silent.
    pub idle_timeout: IdleTimeout,
    /// How many connections of one identity may stand by for streams.
    pub standbys: usize,
    /// What strangers may take, and the machine may give.
    pub limits: Limits,
    /// Where monitoring listens.
    pub metrics: Option<SocketAddr>,
}

/// What strangers may take, and the machine may give.
#[derive(Debug, Clone)]
pub struct Limits {
    /// TCP accepted until TLS is done.
    pub tls_timeout: Duration,
    /// A connection's whole life until it has proved who it is.
    pub auth_timeout: Duration,
    /// What a request's head may be.
    pub http: http_server::Limits,
    /// How many strangers there may be.
    pub unauthenticated: ConnectionLimits,
    /// What is held against sources that get it wrong.
    pub penalties: PenaltyPolicy,
    /// Memory that the hub may use; what the system allows if none is named.
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
    /// Every limit and its value, for whoever watches how near they are. Seconds, bytes or numbers.
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
            ("data_message_bytes", DATA_MESSAGE_LIMIT),
            ("early_bytes_per_stream", PENDING_LEG_BYTES),
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

/// A streaming endpoint of its own.
#[derive(Debug, Clone)]
pub struct Streaming {
    /// `wss://HOST:PORT`, as given to both sides.
    pub url: String,
    /// Its host, for the certificate.
    pub host: String,
    /// Where it listens.
    pub listen: SocketAddr,
}
