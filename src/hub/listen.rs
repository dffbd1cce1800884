//! Where the hub listens: on sockets that it inherited, else on those that it opens.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::net::TcpListener;

use super::config::HubConfig;
use super::connection::ListenerKind;
use crate::net::os::socket_activation::InheritedSockets;
use crate::net::transport::socket;

/// What the service manager calls the streaming endpoint's sockets.
const STREAMING: &str = "streaming";

/// Every listener. Inherited sockets take the place of the configured addresses, of the main ones and of the streaming
/// endpoint's each by itself.
pub(super) fn bind_all(
    config: &HubConfig,
    inherited: InheritedSockets,
) -> anyhow::Result<Vec<(TcpListener, ListenerKind)>> {
    let (streams, others) = inherited.split(STREAMING);
    if config.streaming.is_none() && !streams.is_empty() {
        bail!("a socket named '{STREAMING}' was inherited, but there is no --streaming-endpoint that leads to it");
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

/// The congestion control of what they accept, if the system tells.
pub(super) fn congestion_control(listeners: &[(TcpListener, ListenerKind)]) -> Option<String> {
    listeners.first().and_then(|(listener, _)| socket::congestion_control(listener))
}

/// One listener, whose address this flag chooses.
pub(super) fn bind(address: SocketAddr, flag: &'static str) -> anyhow::Result<TcpListener> {
    socket::listen(address).with_context(|| BindError { address, flag })
}

/// A port that cannot be opened.
#[derive(Debug)]
pub struct BindError {
    address: SocketAddr,
    flag: &'static str,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, flag } = self;
        match address.port() {
            1..1024 => {
                write!(f, "cannot listen on {address} (ports below 1024 need root or CAP_NET_BIND_SERVICE)")
            }
            _ => {
                let advice = format!("is something else listening there? {flag} ADDRESS:PORT chooses another");
                write!(f, "cannot listen on {address} ({advice}, and port 0 any free one)")
            }
        }
    }
}
