//! The hub: devices keep a control connection to it, services ask it for streams, and the streams' bytes pass through
//! it.
//!
//! In: TCP connections (TLS, HTTP, WebSocket), requests on the admin socket, scrapes of the monitoring listener. Out:
//! relayed bytes, requests to devices, the activity log, metrics. State: the registry and keys in the state directory.
//!
//! In the order of a stream: `admission` (limits unauthenticated connections), `forwarded` (the client of a load balancer's
//! connection), `router` (TLS, HTTP, choice of the handler), `connection` (authentication) with `auth` (`authorize`, the
//! only authorisation), `handlers` (`control` for the device, `open` for the service, `streaming` and `standby` for the
//! legs), `broker` behind `broker_handle` (the rules of streams), `activity` (the log). `shared` holds the parts that
//! connections share; `own_urls` makes the URLs that clients are given, `cluster` has several hubs be one;
//! `consequences` tells the broker what follows from a changed identity, `revalidation` ends what is no longer permitted.

pub mod activity;
mod admin;
pub mod admission;
pub mod auth;
pub mod backup;
pub mod broker;
mod broker_handle;
pub mod certificate;
pub mod cluster;
pub mod config;
mod connection;
mod consequences;
mod endpoints;
pub mod event;
mod forwarded;
mod handlers;
mod hellos;
mod identity_counts;
mod in_front;
mod listen;
mod membership;
mod metrics;
mod monitor;
mod own_urls;
pub mod registry;
mod relief;
mod responses;
mod revalidation;
mod router;
mod shared;
mod shutdown;
#[cfg(test)]
mod simulation;
mod standby_limit;
pub mod state;
mod status;
mod streams;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::activity::Activity;
use self::admission::connection_limiter::ConnectionLimiter;
use self::admission::known_sources;
use self::admission::{Admission, ConnectionPermit};
use self::broker_handle::BrokerHandle;
use self::certificate::{HubCertificate, names};
use self::cluster::settings::ClusterSettings;
use self::config::HubConfig;
use self::endpoints::Endpoints;
use self::event::{Event, Operation};
use self::handlers::cluster::ClusterPart;
use self::in_front::Warnings;
pub use self::listen::BindError;
use self::listen::ListenerKind;
use self::membership::{OwnHub, join_cluster};
use self::metrics::Metrics;
use self::registry::RegistryCache;
use self::revalidation::follow_clock;
use self::shared::Shared;
use self::state::{HubState, StateDirectory};
use self::streams::Streams;
use crate::net::os::clock;
use crate::net::os::local_socket::LocalListener;
use crate::net::os::sd_notify;
use crate::net::os::socket_activation::InheritedSockets;
use crate::net::shutdown::{Reload, Shutdown};
use crate::net::tasks::Tasks;
use crate::net::tls::Acceptor;
use crate::net::transport::accept::accept_loop;
use crate::net::transport::socket;
use crate::proto::admin::HubInfo;

/// The time in which connections close after a drain.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// The time in which a full queue of activity lines reaches a slow disk.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// A hub that listens but does not serve yet.
pub struct Hub {
    shared: Arc<Shared>,
    listeners: Vec<(TcpListener, ListenerKind)>,
    monitor: Option<TcpListener>,
    admin: LocalListener,
    certificate: HubCertificate,
    reload: Reload,
    writer: activity::WriterHandle,
    state: StateDirectory,
}

impl Hub {
    /// Opens the state directory and every listener that was not inherited.
    pub async fn bind(config: HubConfig, inherited: InheritedSockets) -> anyhow::Result<Self> {
        let state = StateDirectory::open(&config.state)?;
        let HubState { id, authority, registry, resume_key } = state.load()?;
        let cluster = ClusterSettings::load(&config.state)?;
        let pin = authority.pin().context("the hub's certificate authority has no key")?;
        let listeners = listen::bind_all(&config, inherited)?;
        let monitor = match config.metrics {
            Some(address) => Some(listen::bind(address, "--metrics")?),
            None => None,
        };
        let addresses = listeners.iter().map(|(listener, _)| listener.local_addr()).collect::<io::Result<Vec<_>>>()?;
        let first_address = *addresses.first().context("the hub has no address to listen on; give --listen")?;
        let own_address = cluster.as_ref().map(|cluster| cluster.address(first_address.port())).transpose()?;
        let streaming_host = config.streaming.iter().map(|streaming| streaming.host.clone());
        let own_host = own_address.iter().map(|own| own.host.clone());
        let names = names(config.hostnames.iter().cloned().chain(streaming_host).chain(own_host), &addresses);
        let certificate = HubCertificate::open(authority, names, config.certificate.clone(), &state.acme())
            .context("cannot use the certificate")?;
        let metrics = Arc::new(Metrics::new(&config.named_limits(), listen::congestion_control(&listeners)));
        let (activity, writer) = Activity::open(&state.activity(), config.activity, metrics.clone())?;
        let endpoints = Endpoints::new(&config, first_address, own_address.as_ref(), pin, certificate.resolver());
        let admin = LocalListener::bind(&state.admin_socket());
        let admin =
            admin.with_context(|| format!("cannot open the admin socket {}", state.admin_socket().display()))?;
        let broker = BrokerHandle::new(config.broker, id, activity.clone());
        let own = own_address.map(|address| OwnHub { id, run: broker.hub_run().run, address });
        let (registry, membership) = match cluster.zip(own) {
            Some((settings, own)) => join_cluster(&settings, &config.state, own, registry).await?,
            None => (RegistryCache::new(registry), None),
        };
        let streams = Streams::new(broker, resume_key);
        let limits = &config.limits;
        let limiter = ConnectionLimiter::new(limits.unauthenticated, limits.penalties.clone());
        limiter.restore_authenticated(known_sources::load(&state.known_sources()));
        let (allow_tls_inspection, log) = (config.allow_tls_inspection, activity.clone());
        let admission = Admission::new(limiter, limits.memory, allow_tls_inspection, log, metrics.clone());
        let shared = Arc::new(Shared {
            config,
            endpoints,
            cluster: membership.as_ref().map(|membership| membership.node.clone()),
            mirror: membership.map(|membership| membership.mirror),
            registry,
            admission: Arc::new(admission),
            streams,
            activity,
            metrics,
            started_at: clock::now_utc(),
            list_lock: tokio::sync::Mutex::default(),
            in_front: Warnings::default(),
        });
        let reload = Reload::default();
        Ok(Self { shared, listeners, monitor, admin, certificate, reload, writer, state })
    }

    /// Returns the address of each listener, and whether it takes streams only.
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        let address = |(listener, listener_kind): &(TcpListener, ListenerKind)| {
            listener.local_addr().ok().map(|address| (address, *listener_kind == ListenerKind::Streams))
        };
        self.listeners.iter().filter_map(address).collect()
    }

    /// Returns the address of the monitoring listener.
    pub fn monitor(&self) -> Option<SocketAddr> {
        self.monitor.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// Returns the hub's description for its own user.
    pub fn info(&self) -> &HubInfo {
        &self.shared.endpoints.info
    }

    /// Returns a handle that makes the hub read its certificate files again.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until shutdown is requested, then drains. Returns the number of streams that were cut.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<usize> {
        let Self { shared, listeners, monitor, admin, certificate, reload, writer, state } = self;
        let tasks = Tasks::default();
        let acceptor = certificate.acceptor()?;
        let stopping = shared.streams.stopping.clone();
        let reason = format!("version {}", shared.endpoints.info.version);
        shared.activity.record(Event { reason, ..Event::new(Operation::HubStarted, "started") });
        for (listener, listener_kind) in listeners {
            let accepting = accept_clients(shared.clone(), acceptor.clone(), listener, listener_kind, tasks.clone());
            tasks.spawn(run_until(stopping.clone(), accepting));
        }
        if let Some(listener) = monitor {
            tasks.spawn(run_until(stopping.clone(), monitor::run(shared.clone(), listener, tasks.clone())));
        }
        tasks.spawn(run_until(stopping.clone(), shared.streams.broker.clone().run_timers()));
        tasks.spawn(run_until(stopping.clone(), shared.registry.clone().run_last_seen_writer()));
        let limiter = shared.admission.limiter.clone();
        tasks.spawn(known_sources::run_writer(limiter, state.known_sources(), stopping.clone()));
        tasks.spawn(run_until(stopping.clone(), certificate.run(reload)));
        tasks.spawn(run_until(stopping.clone(), admin::run(shared.clone(), admin, tasks.clone())));
        tasks.spawn(run_until(stopping.clone(), watchdog(shared.clone())));
        tasks.spawn(run_until(stopping.clone(), relief::run(shared.clone())));
        if let Some(node) = &shared.cluster {
            let part = Arc::new(ClusterPart { shared: shared.clone(), node: node.clone() });
            tasks.spawn(run_until(stopping.clone(), cluster::run::run(node.clone(), part, tasks.clone())));
        }
        if let Some(mirror) = &shared.mirror {
            tasks.spawn(run_until(stopping.clone(), membership::follow(shared.clone(), mirror.clone())));
        }
        let follower = shared.clone();
        tasks.spawn(run_until(stopping, async move { follow_clock(&follower).await }));
        shutdown.drain.cancelled().await;
        let cut = shutdown::drain(&shared, &shutdown).await;
        if let Some(node) = &shared.cluster {
            let part = ClusterPart { shared: shared.clone(), node: node.clone() };
            cluster::run::announce_end(node, &part).await;
        }
        let (registry, activity) = (shared.registry.clone(), shared.activity.clone());
        drop(shared);
        tasks.shutdown(CLOSE_GRACE).await;
        registry.flush_last_seen().await;
        activity.record(shutdown::stopped(&shutdown, cut));
        drop(activity);
        // A disk that hangs must not keep the hub from ending.
        if timeout(LOG_FLUSH_TIMEOUT, tokio::task::spawn_blocking(|| writer.finish())).await.is_err() {
            tracing::error!(target: "hub", "the last lines of the activity log are lost: its disk does not respond");
        }
        Ok(cut)
    }
}

/// Accepts clients of one listener and runs each connection that is admitted.
async fn accept_clients(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    listener: TcpListener,
    listener_kind: ListenerKind,
    tasks: Tasks,
) {
    let handle = |(tcp, address): (_, SocketAddr)| {
        let address = socket::canonical(address);
        let slot = shared.admission.take_slot(address)?;
        let is_forwarded = shared.config.load_balancers.iter().any(|network| network.contains(&address.ip()));
        let unauthenticated = if is_forwarded { None } else { Some(shared.admission.admit(address)?) };
        let (shared, acceptor) = (shared.clone(), acceptor.clone());
        Some(async move {
            match unauthenticated {
                Some(unauthenticated) => {
                    let permit = ConnectionPermit { unauthenticated, slot };
                    router::run(shared, acceptor, tcp, address, listener_kind, permit).await;
                }
                // Boxed, so that no other connection has room for it.
                None => Box::pin(forwarded::run(shared, acceptor, tcp, address, listener_kind, slot)).await,
            }
        })
    };
    let on_error = |error: &io::Error| shared.admission.accept_failed(error);
    match accept_loop(|| listener.accept(), &tasks, on_error, handle).await {}
}

async fn run_until(stopping: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = task => {}
    }
}

/// Pings systemd's watchdog for as long as the broker responds.
async fn watchdog(shared: Arc<Shared>) {
    match sd_notify::watchdog(|| shared.streams.broker.ping()).await {}
}
