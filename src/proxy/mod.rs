//! The service's role: opens a stream to a device for every local connection.
//!
//! In: connections to local ports ([`ServiceProxy`]), a pair of pipes ([`pipe`]) or a program's calls ([`Connector`]).
//! Out: a stream request to the hub (`opener`, `request`, `standby`), then the stream's bytes (`stream`), and an
//! [`Event`] for each change of a stream.

pub mod config;
mod connector;
pub mod devices;
mod identity;
mod opener;
mod request;
mod standby;
mod stream;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use self::config::ProxyConfig;
pub use self::connector::Connector;
use self::opener::Opener;
pub use self::opener::ensure_plain_is_accepted;
use crate::net::log_throttle::LogThrottle;
use crate::net::shutdown::Shutdown;
use crate::net::tasks::Tasks;
use crate::net::transport::accept::accept_loop;
use crate::net::transport::socket;
use crate::net::tunnel::pump::{Counters, TransportOptions};
use crate::proto::forward::{HostPort, LocalForward};
use crate::proto::id::StreamName;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::Ending;

/// An event for the proxy's user interface.
#[derive(Debug, Clone)]
pub enum Event {
    /// A local connection was accepted and its stream requested.
    Requested(Arc<StreamInfo>),
    /// The device has accepted the stream; of an encrypted one, the two ends do not know each other yet.
    Accepted(Arc<StreamInfo>),
    /// The stream is open: an encrypted one, to a device that was recognised.
    Opened(Arc<StreamInfo>),
    /// The hub is draining, and closes the stream after this time.
    Draining(Arc<StreamInfo>, Duration),
    /// The stream's connection to the hub was lost for this reason; it is being resumed.
    Interrupted(Arc<StreamInfo>, String),
    /// The stream was resumed, after this interruption.
    Resumed(Arc<StreamInfo>, Duration),
    /// The stream was refused.
    Refused(Arc<StreamInfo>, Refusal),
    /// The stream has ended.
    Ended(Arc<StreamInfo>, Ending, Option<Refusal>),
}

/// One local connection and its stream.
#[derive(Debug)]
pub struct StreamInfo {
    /// Number of the stream, counted from one.
    pub number: u64,
    /// Peer of the local connection; none for pipes.
    pub from: Option<SocketAddr>,
    /// Device and stream name, as in `pi-42/ssh`.
    pub to: String,
    /// Bytes carried so far.
    pub counters: Arc<Counters>,
}

/// Attempts to find a port that is free at every address of a name.
const PORT_ATTEMPTS: usize = 8;

/// Time for streams to send their close, and for a stream that is about to end by itself to do so.
const CLOSE_GRACE: Duration = Duration::from_secs(1);

/// A proxy that listens but does not accept yet.
pub struct ServiceProxy {
    config: Arc<ProxyConfig>,
    listeners: Vec<(TcpListener, Option<StreamName>)>,
}

impl ServiceProxy {
    /// Binds every local port, or fails.
    pub async fn bind(config: ProxyConfig) -> anyhow::Result<Self> {
        let mut listeners = Vec::new();
        for local in &config.locals {
            listeners.extend(listen(local).await?.into_iter().map(|listener| (listener, local.stream.clone())));
        }
        Ok(Self { config: Arc::new(config), listeners })
    }

    /// Returns the bound addresses, each with its stream's name.
    pub fn addresses(&self) -> Vec<(SocketAddr, String)> {
        let device = &self.config.device;
        let address = |(listener, name): &(TcpListener, Option<StreamName>)| {
            listener.local_addr().ok().map(|address| (address, stream::label(device, name.as_ref())))
        };
        self.listeners.iter().filter_map(address).collect()
    }

    /// Returns the bound addresses, each with the stream that its connections ask for.
    pub fn streams(&self) -> Vec<(SocketAddr, Option<StreamName>)> {
        let bound = self.listeners.iter();
        bound.filter_map(|(listener, name)| Some((listener.local_addr().ok()?, name.clone()))).collect()
    }

    /// Returns its settings.
    pub fn config(&self) -> &ProxyConfig {
        &self.config
    }

    /// Serves until shutdown, then drains streams.
    pub async fn serve(self, shutdown: Shutdown) {
        let Self { config, listeners } = self;
        let (accepting, streams, watch) = (Tasks::default(), Tasks::default(), Tasks::default());
        let (network, monitor_task) = config.client_factory.runtime().monitor_network();
        watch.spawn(monitor_task);
        let opener = Arc::new(Opener::new(config.clone(), network));
        let following = opener.clone();
        watch.spawn(async move { following.follow_identity().await });
        let next_number = Arc::new(AtomicU64::new(1));
        // Of further connections one waits here, and the others in the listen backlog, where they cost no descriptors.
        let limits = *config.client_factory.runtime().limits();
        let permits = Arc::new(Semaphore::new(limits.streams()));
        let at_limit = Arc::new(LogThrottle::default());
        for (listener, name) in listeners {
            let (opener, streams, permits) = (opener.clone(), streams.clone(), permits.clone());
            let (next_number, at_limit) = (next_number.clone(), at_limit.clone());
            accepting.spawn(async move {
                let accept = || async {
                    let accepted = listener.accept().await?;
                    if permits.available_permits() == 0 && at_limit.should_log() {
                        let why = limits.describe();
                        tracing::warn!(target: "service-proxy", "local connections wait until a stream ends: {why}");
                    }
                    let permit = permits.clone().acquire_owned().await.map_err(io::Error::other)?;
                    Ok((permit, accepted))
                };
                let on_error = |error: &io::Error| {
                    tracing::warn!(target: "service-proxy", %error, "could not accept a local connection");
                };
                let handle = |(permit, (tcp, from))| {
                    let number = next_number.fetch_add(1, Ordering::Relaxed);
                    let (opener, name) = (opener.clone(), name.clone());
                    Some(async move {
                        serve_connection(&opener, tcp, from, number, name).await;
                        drop(permit);
                    })
                };
                match accept_loop(accept, &streams, on_error, handle).await {}
            });
        }
        shutdown.drain.cancelled().await;
        accepting.shutdown(Duration::ZERO).await;
        if streams.count() > 0 {
            let ending = shutdown.describe_drain(streams.count(), config.drain);
            tracing::info!(target: "service-proxy", "ending: {ending}");
        }
        drain_streams(&opener, streams, config.drain, &shutdown).await;
        watch.shutdown(Duration::ZERO).await;
    }
}

/// Waits for streams to end within `drain`, then closes them: devices receive a close instead of waiting for this end
/// to resume, and an aborted stream resets its local connection.
async fn drain_streams(opener: &Opener, streams: Tasks, drain: Duration, shutdown: &Shutdown) {
    if streams.count() > 0 {
        tokio::select! {
            ended = timeout(drain, streams.wait()) => {
                if ended.is_err() { opener.stream_shutdown.request_after(drain) }
            }
            () = shutdown.now.cancelled() => {}
        }
    }
    opener.stream_shutdown.request();
    streams.shutdown(CLOSE_GRACE).await;
    // The connections of streams that ended just now stand by too.
    opener.standbys.end().await;
}

/// Carries one stream between a pair of pipes and the device, as `ssh`'s `ProxyCommand` needs. At shutdown it has
/// a second to end by itself.
pub async fn pipe<R, W>(
    config: ProxyConfig,
    name: Option<StreamName>,
    pipes: (R, W),
    shutdown: &Shutdown,
) -> Result<(), (Ending, Refusal)>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (network, monitor_task) = config.client_factory.runtime().monitor_network();
    // Without standbys: there is only one stream.
    let config = ProxyConfig { transport: TransportOptions { standbys: 0, ..config.transport }, ..config };
    let opener = Opener::new(Arc::new(config), network);
    let stopped = async {
        shutdown.drain.cancelled().await;
        let _ = timeout(CLOSE_GRACE, shutdown.now.cancelled()).await;
        opener.stream_shutdown.request();
        sleep(CLOSE_GRACE).await;
    };
    tokio::select! {
        done = stream::pipe(&opener, name, pipes) => done,
        () = stopped => Err((Ending::Broken, RefusalKind::LocalShutdown.into())),
        () = monitor_task => Ok(()),
    }
}

async fn serve_connection(opener: &Opener, tcp: TcpStream, from: SocketAddr, number: u64, name: Option<StreamName>) {
    socket::tune(&tcp);
    socket::reset_on_drop(&tcp);
    stream::serve(opener, tcp, from, number, name).await;
}

/// Listens on every address of a name, at the same port: programs try those of `localhost` in either order.
async fn listen(local: &LocalForward) -> anyhow::Result<Vec<TcpListener>> {
    let listeners = async {
        let addresses: BTreeSet<_> = lookup_host((local.bind.as_str(), local.port)).await?.collect();
        let mut listeners = listen_on_all(&addresses);
        // A port that is free at one address may be taken at another.
        for _ in 0..if local.port == 0 { PORT_ATTEMPTS } else { 0 } {
            if listeners.is_ok() {
                break;
            }
            listeners = listen_on_all(&addresses);
        }
        listeners
    };
    match listeners.await {
        Ok(listeners) => Ok(listeners),
        Err(error) => Err(anyhow!(advice(local, &error).await))
            .with_context(|| format!("cannot listen on {}: {error}", HostPort(&local.bind, local.port))),
    }
}

/// Leaves out addresses that this machine does not have, as those of IPv6 where that is off, unless those are all. A port
/// that another program has is an error: connections to it would go there.
fn listen_on_all(addresses: &BTreeSet<SocketAddr>) -> io::Result<Vec<TcpListener>> {
    let (mut listeners, mut port) = (Vec::new(), None);
    let mut absent = io::ErrorKind::AddrNotAvailable.into();
    for address in addresses {
        let address = SocketAddr::new(address.ip(), port.unwrap_or(address.port()));
        match socket::listen(address) {
            Ok(listener) => {
                port = Some(listener.local_addr()?.port());
                listeners.push(listener);
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
            Err(error) => absent = error,
        }
    }
    if listeners.is_empty() { Err(absent) } else { Ok(listeners) }
}

/// Advice for a failed bind: the next free port, or `--local 0`.
async fn advice(local: &LocalForward, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        return format!("{} is not an address of this machine", local.bind);
    }
    let is_name = local.bind.parse::<IpAddr>().is_err() && !local.bind.contains('.') && local.bind != "localhost";
    if is_name && local.stream.is_none() && local.bind.parse::<StreamName>().is_ok() {
        return format!("did you mean --local {}={}?", local.port, local.bind);
    }
    if local.port == 0 {
        return "no local port is free; close some connections, or choose a port".into();
    }
    let stream = local.stream.as_ref().map(|name| format!("={name}")).unwrap_or_default();
    let candidates = (local.port..=u16::MAX).skip(1).take(10).chain([0]);
    for port in candidates.filter(|port| *port == 0 || *port >= 1024) {
        if let Ok(listener) = TcpListener::bind((local.bind.as_str(), port)).await
            && let Ok(address) = listener.local_addr()
        {
            return format!(
                "try --local {}{stream}, which is free, or --local 0{stream} for any free port",
                address.port()
            );
        }
    }
    "try --local 0 for any free port".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Elsewhere, 127.0.0.2 is no address of the machine.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn every_address_that_the_machine_has_is_listened_on_at_the_same_port() {
        let [loopback, absent] = ["127.0.0.1:0", "192.0.2.1:0"].map(|address| address.parse().unwrap());
        let another: SocketAddr = "127.0.0.2:0".parse().unwrap();
        let listeners = listen_on_all(&[loopback, another, absent].into()).unwrap();
        let bound: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
        assert_eq!(bound.iter().map(SocketAddr::ip).collect::<Vec<_>>(), [loopback.ip(), another.ip()]);
        assert_eq!(bound[0].port(), bound[1].port());
        assert_eq!(listen_on_all(&[absent].into()).unwrap_err().kind(), io::ErrorKind::AddrNotAvailable);
        let taken = SocketAddr::new(another.ip(), bound[0].port());
        let one_is_taken = [SocketAddr::new("127.0.0.3".parse().unwrap(), taken.port()), taken].into();
        assert_eq!(listen_on_all(&one_is_taken).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
