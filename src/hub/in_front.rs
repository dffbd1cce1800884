//! What stands between clients and the hub and gets in their way: each kind is logged at most once a minute.

use std::net::SocketAddr;
use std::time::Duration;

use crate::net::log_throttle::LogThrottle;

/// The shortest time between two warnings of the same kind: clients try again for as long as it lasts.
const INTERVAL: Duration = Duration::from_secs(60);

/// Bytes that tell a PROXY protocol header from TLS.
pub(super) const OPENING_BYTES: usize = 12;

/// A hindrance in front of the hub.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hindrance {
    /// A load balancer that is not named begins connections with a PROXY protocol header.
    ProxyHeader,
    /// A load balancer that is named begins them without.
    NoProxyHeader,
    /// The peer offers no TLS 1.3.
    OldTls,
    /// A proxy removes `Upgrade` from requests.
    NoUpgrade,
    /// The peer does not complete TLS.
    SilentTls,
}

impl Hindrance {
    fn sentence(self) -> &'static str {
        match self {
            Self::ProxyHeader => {
                "the connection begins with a PROXY protocol header, which the hub reads from the load balancers of \
                 --proxy-protocol-from alone: if this is the address of one of yours, name it there, or switch the header off \
                 at it (HAProxy: send-proxy; nginx: proxy_protocol)"
            }
            Self::NoProxyHeader => {
                "the connection does not begin with a PROXY protocol header, although --proxy-protocol-from names its \
                 address: switch the header on at the load balancer (HAProxy: send-proxy-v2; nginx: proxy_protocol on)"
            }
            Self::OldTls => {
                "no TLS 1.3 is offered: if that is a load balancer which ends TLS, have it pass TLS through, or speak TLS \
                 1.3 to the hub"
            }
            Self::NoUpgrade => {
                "a WebSocket was requested without Upgrade: a proxy in front of the hub removes it; have it pass WebSockets \
                 on (nginx: proxy_set_header Upgrade and Connection), or pass TLS through"
            }
            Self::SilentTls => {
                "connected, but did not complete TLS in time: if it is a client, large packets may be lost on the path (a \
                 VPN or PPPoE link with a smaller MTU); a port scan looks the same"
            }
        }
    }
}

/// The warnings of a hub.
#[derive(Debug)]
pub(super) struct Warnings([LogThrottle; 5]);

impl Default for Warnings {
    fn default() -> Self {
        Self([(); 5].map(|()| LogThrottle::with_interval(INTERVAL)))
    }
}

impl Warnings {
    /// Logs what the connection from this address met.
    pub(super) fn warn(&self, hindrance: Hindrance, address: SocketAddr) {
        if self.0[hindrance as usize].should_log() {
            tracing::warn!(target: "hub", "{address}: {}", hindrance.sentence());
        }
    }
}

/// Reports whether these first bytes of a connection are a PROXY protocol header's, of version 1 or 2.
pub(super) fn is_proxy_header(opening: &[u8]) -> bool {
    opening.starts_with(b"PROXY ") || opening == b"\r\n\r\n\0\r\nQUIT\n"
}
