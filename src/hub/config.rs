//! A hub's settings, already valid.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::broker::Settings;
use crate::net::certificate::Source;

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
    /// How long running streams may go on after a drain began.
    pub drain: Duration,
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
