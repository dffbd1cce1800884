//! The hub's listeners: inherited sockets, else those that it opens.

use std::net::SocketAddr;
use std::{fmt, io};

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;

use super::config::HubConfig;
use crate::net::os::socket_activation::InheritedSockets;
use crate::net::transport::socket;
use crate::proto::http::Route;

/// The service manager's name for the streaming endpoint's sockets (systemd: `FileDescriptorName=`).
const STREAMING: &str = "streaming";

/// The requests that a listener serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    /// All requests.
    All,
    /// All but streams, which have an endpoint of their own.
    Control,
    /// Streams only.
    Streams,
}

impl ListenerKind {
    /// Reports whether the listener serves a route.
    pub(super) fn serves(self, route: &Route) -> bool {
        let is_stream = matches!(route, Route::Bridge(_) | Route::Standby);
        match self {
            Self::All => true,
            Self::Control => !is_stream,
            Self::Streams => is_stream,
        }
    }
}

/// Opens every listener. Inherited sockets replace the configured addresses: the main ones and those of the streaming
/// endpoint separately.
pub(super) fn bind_all(
    config: &HubConfig,
    inherited: InheritedSockets,
) -> anyhow::Result<Vec<(TcpListener, ListenerKind)>> {
    let (streams, others) = inherited.split(STREAMING);
    if config.streaming.is_none() && !streams.is_empty() {
        bail!("inherited a socket named '{STREAMING}' without --streaming-endpoint; set it to the socket's URL");
    }
    let everything = if config.streaming.is_some() { ListenerKind::Control } else { ListenerKind::All };
    let own: Vec<_> = config.streaming.iter().map(|streaming| streaming.listen).collect();
    let mut listeners = Vec::new();
    for (sockets, addresses, listener_kind, flag) in [
        (others, config.listen.as_slice(), everything, "--listen"),
        (streams, own.as_slice(), ListenerKind::Streams, "--streaming-listen"),
    ] {
        if sockets.is_empty() {
            for address in addresses {
                listeners.push((bind(*address, flag)?, listener_kind));
            }
        }
        for socket in sockets {
            listeners.push((TcpListener::from_std(socket).context("cannot use an inherited socket")?, listener_kind));
        }
    }
    listeners.iter().for_each(|(listener, _)| socket::set_congestion_control(listener));
    Ok(listeners)
}

/// Returns the congestion control algorithm of accepted connections, or `None` if the system does not tell.
pub(super) fn congestion_control(listeners: &[(TcpListener, ListenerKind)]) -> Option<String> {
    listeners.first().and_then(|(listener, _)| socket::congestion_control(listener))
}

/// Opens one listener. `flag` is the option that sets its address.
pub(super) fn bind(address: SocketAddr, flag: &'static str) -> anyhow::Result<TcpListener> {
    socket::listen(address).map_err(|error| {
        let reason = BindError { address, flag, kind: error.kind() };
        anyhow::Error::new(error).context(reason)
    })
}

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    flag: &'static str,
    kind: io::ErrorKind,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, flag, kind } = self;
        write!(f, "cannot listen on {address}")?;
        if *kind == io::ErrorKind::AddrNotAvailable {
            write!(f, " (this machine has no such address now; choose another with {flag})")?;
        }
        if *kind == io::ErrorKind::AddrInUse {
            let port = address.port();
            write!(f, " (port {port} is in use; `ss -tlnp` shows by what; choose another with {flag})")?;
        }
        if *kind == io::ErrorKind::PermissionDenied {
            write!(
                f,
                " (ports below 1024 need root, or once `sudo setcap cap_net_bind_service=+ep` with the path of \
                 this program; choose another with {flag}, such as port 8443)"
            )?;
        }
        Ok(())
    }
}
