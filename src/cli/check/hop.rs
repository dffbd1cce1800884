//! The hops of a check.

use serde::Serialize;

/// A part of the path to a target, or of a hub, that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Hop {
    /// This machine has an identity.
    Identity,
    /// The proxy's name resolves.
    ProxyDns,
    /// The proxy accepts a connection.
    ProxyTcp,
    /// The proxy opens a tunnel to the hub.
    Proxy,
    /// The hub's name resolves.
    Dns,
    /// The hub accepts a connection.
    Tcp,
    /// The hub's certificate is trusted.
    Tls,
    /// The hub accepts this machine's identity.
    Authentication,
    /// The two clocks agree.
    Clock,
    /// The device's agent runs on this machine.
    Agent,
    /// The device is known and online.
    Device,
    /// The device opens a stream.
    Stream,
    /// The stream is encrypted end to end, and the device's key is the known one.
    EndToEnd,
    /// The stream's target answers.
    Target,
    /// The hub runs.
    Hub,
    /// The hub's state is complete.
    State,
    /// The hub's certificate is valid, and is being renewed.
    Certificate,
    /// The other hubs of its cluster live, and NATS is in reach.
    Cluster,
    /// The hub has file descriptors left.
    Descriptors,
    /// The hub has disk space left.
    Disk,
}

impl Hop {
    /// Returns the name that people read.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::ProxyDns => "proxy dns",
            Self::ProxyTcp => "proxy tcp",
            Self::Proxy => "proxy",
            Self::Dns => "dns",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Authentication => "authentication",
            Self::Clock => "clock",
            Self::Agent => "agent",
            Self::Device => "device",
            Self::Stream => "stream",
            Self::EndToEnd => "end-to-end",
            Self::Target => "target",
            Self::Hub => "hub",
            Self::State => "state",
            Self::Certificate => "certificate",
            Self::Cluster => "cluster",
            Self::Descriptors => "descriptors",
            Self::Disk => "disk",
        }
    }
}
