//! The meeting point: devices wait here, services ask here, and their streams pass through.
//!
//! In the order of a stream: `connection` (TLS, who is it), `control` (the device), `open` (the service),
//! `broker` behind `broker_handle` (the rules), `streaming` (the bytes), `activity` (what happened).

mod accept;
pub mod activity;
mod address;
mod admin;
pub mod auth;
pub mod backup;
pub mod broker;
mod broker_handle;
mod challenge;
pub mod config;
mod connection;
mod control;
mod devices;
mod enrol;
mod listen;
mod metrics;
mod monitor;
mod open;
pub mod penalty;
mod pressure;
pub mod registry;
mod responses;

pub mod connection_limiter;
mod standby;
pub mod state;
mod streaming;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use self::activity::Activity;
use self::address::{info, public_address};
use self::broker::{Event, Operation};
use self::broker_handle::BrokerHandle;
use self::challenge::PendingChallenges;
use self::config::HubConfig;
use self::connection::ListenerKind;
use self::connection_limiter::ConnectionLimiter;
use self::control::ControlUpgrade;
pub use self::listen::BindError;
use self::metrics::Metrics;
use self::penalty::{PenaltyReason, SourceStatus};
use self::pressure::Pressure;
use self::registry::RegistryCache;
use self::registry::sqlite::SqliteRegistry;
use self::state::StateDirectory;
use self::streaming::AcceptedLeg;
use crate::net::certificate::{CertificateResolver, HubCertificate, names};
use crate::net::log_throttle::LogThrottle;
use crate::net::os::clock;
use crate::net::os::local_socket::LocalListener;
use crate::net::os::random;
use crate::net::os::sd_notify;
use crate::net::os::socket_activation::InheritedSockets;
use crate::net::shutdown::{Reload, Shutdown};
use crate::net::tasks::Tasks;
use crate::net::tls::Socket;
use crate::proto::admin::HubInfo;
use crate::proto::backoff::jittered;
use crate::proto::http::Route;
use crate::proto::id::ConnectionId;
use crate::proto::join::HubAddress;
use crate::proto::limits::RECONNECTS_PER_SECOND;
use crate::proto::message::StandbyOffer;
use crate::proto::resume::ResumeKey;
use crate::proto::timestamp::Timestamp;

/// The whole of what connections share.
struct Shared {
    config: HubConfig,
    info: HubInfo,
    /// What join links say.
    public: HubAddress,
    /// What clients are shown.
    certificate: Arc<CertificateResolver>,
    registry: RegistryCache,
    broker: BrokerHandle<Socket>,
    activity: Activity,
    metrics: Arc<Metrics>,
    limiter: Arc<ConnectionLimiter>,
    pressure: Arc<Pressure>,
    /// Held by whoever lists all devices.
    list_lock: tokio::sync::Mutex<()>,
    /// About connections that cannot be taken.
    overload_log: LogThrottle,
    /// When the hub was started.
    started_at: Timestamp,
    connections: AtomicU64,
    /// Where TLS inspection is allowed.
    challenges: Option<PendingChallenges>,
    /// Connections that stand by, of each identity.
    standbys: standby::StandbyCounts,
    /// Signs what the sides of a stream come back with.
    resume_key: ResumeKey,
    /// No new streams.
    draining: CancellationToken,
    /// Control connections end.
    stopping: CancellationToken,
}

/// What an upgraded connection goes on as.
enum Upgraded {
    /// A device's control connection.
    Control(ControlUpgrade),
    /// One side of a stream.
    Stream(Box<AcceptedLeg>),
    /// A connection that stands by.
    Standby(Box<standby::StandbyUpgrade>),
}

/// After a drain, connections get this long to say goodbye.
const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// A hub that is started again listens within this.
const RESTART_TIME: Duration = Duration::from_millis(300);

/// A whole queue of activity lines onto a slow disk.
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
    _state: StateDirectory,
}

impl Hub {
    /// Opens the state directory and every listener that was not inherited.
    pub fn bind(config: HubConfig, inherited: InheritedSockets) -> anyhow::Result<Self> {
        let state = StateDirectory::open(&config.state)?;
        let authority = state.authority()?;
        let pin = authority.pin().context("the hub's certificate authority has no key")?;
        let listeners = listen::bind_all(&config, inherited)?;
        let monitor = match config.metrics {
            Some(address) => Some(listen::bind(address, "--metrics")?),
            None => None,
        };
        let addresses = listeners.iter().map(|(listener, _)| listener.local_addr()).collect::<io::Result<Vec<_>>>()?;
        let streaming_host = config.streaming.iter().map(|streaming| streaming.host.clone());
        let hostnames = config.hostnames.iter().cloned().chain(streaming_host);
        let names = names(hostnames, &addresses);
        let certificate = HubCertificate::open(authority, names, config.certificate.clone(), &state.acme())
            .context("cannot use the certificate")?;
        let registry = RegistryCache::new(
            SqliteRegistry::open(&state.registry())
                .with_context(|| format!("cannot use the registry {}", state.registry().display()))?,
        );
        let metrics = Arc::new(Metrics::new(&config.named_limits(), listen::congestion_control(&listeners)));
        let (activity, writer) = Activity::open(&state.activity(), config.activity, metrics.clone())
            .context("cannot open the activity log")?;
        let broker = BrokerHandle::new(config.broker, activity.clone());
        let first_address = *addresses.first().context("the hub listens nowhere")?;
        let public = public_address(&config, first_address);
        let info = info(&config, &public, first_address, pin);
        let admin = LocalListener::bind(&state.admin_socket()).context("cannot open the admin socket")?;
        let challenges = config.allow_tls_inspection.then(PendingChallenges::default);
        let (limits, standbys) = (config.limits.clone(), standby::StandbyCounts::default());
        let pressure = Arc::new(Pressure::new(limits.memory));
        metrics.set_limit("connections", pressure.max_connections() as f64);
        if let Some(budget) = pressure.budget() {
            metrics.set_limit("memory_bytes", budget as f64);
        }
        let shared = Arc::new(Shared {
            config,
            info,
            public,
            certificate: certificate.resolver(),
            registry,
            broker,
            activity,
            metrics,
            limiter: Arc::new(ConnectionLimiter::new(limits.unauthenticated, limits.penalties)),
            pressure,
            list_lock: tokio::sync::Mutex::default(),
            overload_log: LogThrottle::default(),
            started_at: clock::now_utc(),
            connections: AtomicU64::new(0),
            challenges,
            standbys,
            resume_key: state.resume_key()?,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        });
        let reload = Reload::default();
        Ok(Self { shared, listeners, monitor, admin, certificate, reload, writer, _state: state })
    }

    /// Where it listens, and whether for streams alone.
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        let address = |(listener, listener_kind): &(TcpListener, ListenerKind)| {
            listener.local_addr().ok().map(|address| (address, *listener_kind == ListenerKind::Streams))
        };
        self.listeners.iter().filter_map(address).collect()
    }

    /// Where monitoring listens.
    pub fn monitor(&self) -> Option<SocketAddr> {
        self.monitor.as_ref().and_then(|listener| listener.local_addr().ok())
    }

    /// What the hub's user sees of it.
    pub fn info(&self) -> &HubInfo {
        &self.shared.info
    }

    /// Asks for its files to be read again.
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until asked to stop; then lets streams end within the deadline. Returns how many were cut.
    pub async fn serve(self, shutdown: Shutdown) -> anyhow::Result<usize> {
        let Self { shared, listeners, monitor, admin, certificate, reload, writer, _state } = self;
        let tasks = Tasks::default();
        let acceptor = certificate.acceptor()?;
        let stopping = shared.stopping.clone();
        for (listener, listener_kind) in listeners {
            let (hub, acceptor) = (shared.clone(), acceptor.clone());
            let handle = move |tcp, address: SocketAddr| {
                let permit = connection::admit(&hub, address)?;
                Some(connection::run(hub.clone(), acceptor.clone(), tcp, address, listener_kind, permit))
            };
            let accepting = accept::connections(shared.clone(), listener, tasks.clone(), handle);
            tasks.spawn(run_until(stopping.clone(), accepting));
        }
        if let Some(listener) = monitor {
            tasks.spawn(run_until(stopping.clone(), monitor::run(shared.clone(), listener, tasks.clone())));
        }
        tasks.spawn(run_until(stopping.clone(), shared.broker.clone().run_timers()));
        tasks.spawn(run_until(stopping.clone(), shared.registry.clone().run_last_seen_writer()));
        tasks.spawn(run_until(stopping.clone(), certificate.run(reload)));
        tasks.spawn(run_until(stopping.clone(), accept::admin(shared.clone(), admin, tasks.clone())));
        tasks.spawn(run_until(stopping, watchdog(shared.clone())));
        shutdown.drain.cancelled().await;
        let cut = drain(&shared, &shutdown).await;
        let registry = shared.registry.clone();
        drop(shared);
        tasks.shutdown(CLOSE_GRACE).await;
        registry.flush_last_seen().await;
        // A disk that hangs does not keep the hub from ending.
        if timeout(LOG_FLUSH_TIMEOUT, tokio::task::spawn_blocking(|| writer.finish())).await.is_err() {
            tracing::error!(target: "hub", "the end of the activity log is lost: its disk does not answer");
        }
        Ok(cut)
    }
}

impl Shared {
    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// What is not as it should be.
    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.activity.lost() > 0 {
            warnings.push(format!("the activity log has lost {} lines: is the disk full?", self.activity.lost()));
        }
        warnings.extend(self.pressure.warning());
        let (certificate, now) = (self.certificate.status(), clock::now_utc());
        if now >= certificate.warn_from {
            warnings.push(format!("the certificate ends on {}", certificate.not_after));
        }
        if let Some(error) = certificate.last_error {
            warnings.push(format!("the certificate could not be replaced: {error}"));
        }
        warnings
    }

    /// A source did something wrong.
    fn record_penalty(&self, address: SocketAddr, reason: PenaltyReason) {
        record_penalty(&self.limiter, &self.activity, address, reason);
    }

    /// How long a connection stays away when this hub ends: long enough for the next one to start, and all of them spread
    /// so that it can take them.
    fn reconnect_delay(&self) -> Duration {
        let connections = u32::try_from(self.pressure.connections()).unwrap_or(u32::MAX);
        RESTART_TIME + jittered(Duration::from_secs(1) * connections / RECONNECTS_PER_SECOND, random::u64())
    }

    fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    fn streaming_base(&self, authority: &str) -> String {
        self.config.streaming.as_ref().map_or_else(|| format!("wss://{authority}"), |streaming| streaming.url.clone())
    }

    /// Where standby connections come to, if any may.
    fn standby_offer(&self, authority: &str) -> Option<StandbyOffer> {
        let url = format!("{}{}", self.streaming_base(authority), Route::Standby);
        Some(StandbyOffer { url, limit: self.config.standbys }).filter(|offer| offer.limit > 0 && !self.is_draining())
    }
}

async fn run_until(stopping: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = task => {}
    }
}

/// A source did something wrong; the log hears when that has consequences.
fn record_penalty(limiter: &ConnectionLimiter, activity: &Activity, address: SocketAddr, reason: PenaltyReason) {
    if limiter.record_penalty(address.ip(), reason) {
        let word = match limiter.status(address.ip()) {
            SourceStatus::Throttled => "slowed",
            SourceStatus::Banned | SourceStatus::Allowed => "banned",
        };
        let event = Event::new(Operation::SourcePenalised, word);
        activity.record(Event { source: Some(address), ..event });
    }
}

/// The hub is alive while the broker answers.
async fn watchdog(shared: Arc<Shared>) {
    match sd_notify::watchdog(|| shared.broker.ping()).await {}
}

/// Refuses new streams and waits for the running ones, then ends what is left. Returns how many that were.
async fn drain(shared: &Shared, shutdown: &Shutdown) -> usize {
    shared.draining.cancel();
    shared.broker.drain();
    let (running, all) = (shared.broker.blocking_streams(), shared.broker.streams());
    if all > running {
        let resuming = all - running;
        tracing::info!(target: "hub", "{resuming} streams go on by themselves when the hub is back");
    }
    if running > 0 {
        let deadline = shared.config.drain.as_secs();
        sd_notify::status(&format!("draining: {running} streams may go on for {deadline} s"));
        tracing::info!(target: "hub", "draining: {running} streams may go on for {deadline} s; stop again to end them now");
    }
    tokio::select! {
        _ = timeout(shared.config.drain, shared.broker.wait_drained()) => {}
        () = shutdown.now.cancelled() => {}
    }
    let cut = shared.broker.blocking_streams();
    shared.broker.end_all();
    shared.stopping.cancel();
    cut
}
