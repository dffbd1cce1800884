//! The meeting point: devices wait here, services ask here, and their streams pass through.
//!
//! In the order of a stream: `door` (TLS, who is it), `control` (the device), `open` (the service),
//! `broker` behind `exchange` (the rules), `streaming` (the bytes), `activity` (what happened).

pub mod activity;
mod admin;
mod answers;
pub mod auth;
pub mod broker;
mod challenge;
pub mod config;
mod control;
mod door;
mod enrol;
mod exchange;
mod open;
pub mod registry;
pub mod sqlite;
pub mod state;
mod streaming;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::activity::Activity;
use self::challenge::Challenges;
use self::config::HubConfig;
use self::control::Arriving;
use self::door::{Serves, Strangers};
use self::exchange::Exchange;
use self::registry::Directory;
use self::sqlite::SqliteRegistry;
use self::state::StateDirectory;
use self::streaming::Waiting;
use crate::net::certificate::{HubCertificate, Shown, machine_name, names};
use crate::net::local::LocalListener;
use crate::net::shutdown::{Reload, Shutdown};
use crate::net::socket;
use crate::net::tasks::Tasks;
use crate::net::tls::Socket;
use crate::proto::admin::HubInfo;
use crate::proto::http::{Bridge, Route};
use crate::proto::id::{ConnectionId, DeviceId, Role, StreamId};
use crate::proto::join::{HubAddress, Pin};

/// The whole of what connections share.
struct Shared {
    config: HubConfig,
    info: HubInfo,
    /// What join links say.
    public: HubAddress,
    /// What clients are shown.
    certificate: Arc<Shown>,
    directory: Directory,
    exchange: Exchange<Socket>,
    activity: Activity,
    connections: AtomicU64,
    /// Where TLS inspection is allowed.
    challenges: Option<Challenges>,
    /// No new streams.
    draining: CancellationToken,
    /// Control connections end.
    stopping: CancellationToken,
}

/// What an upgraded connection goes on as.
enum Next {
    /// A device's control connection.
    Control(Arriving),
    /// One side of a stream.
    Stream(Box<Waiting>),
}

/// After a drain, connections get this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// When no socket can be had, accepting pauses: descriptors come back as connections end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A hub that listens but does not serve yet.
pub struct Hub {
    shared: Arc<Shared>,
    listeners: Vec<(TcpListener, Serves)>,
    admin: LocalListener,
    certificate: HubCertificate,
    reload: Reload,
    desk: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    writer: activity::Writer,
    _state: StateDirectory,
}

impl Hub {
    /// Opens the state directory and every listener.
    pub async fn bind(config: HubConfig) -> anyhow::Result<Self> {
        let state = StateDirectory::open(&config.state)?;
        let authority = state.authority()?;
        let pin = authority.pin().context("the hub's certificate authority has no key")?;
        let listeners = listen(&config).await?;
        let addresses = listeners.iter().map(|(listener, _)| listener.local_addr()).collect::<io::Result<Vec<_>>>()?;
        let streaming_host = config.streaming.iter().map(|streaming| streaming.host.clone());
        let given = config.hostnames.iter().cloned().chain(streaming_host);
        let names = names(given, &addresses);
        let certificate = HubCertificate::open(authority, names, config.certificate.clone(), &state.acme())
            .context("cannot use the certificate")?;
        let directory = Directory::new(SqliteRegistry::open(&state.registry())?);
        let (activity, writer) = Activity::open(&state.activity()).context("cannot open the activity log")?;
        let (exchange, desk) = Exchange::new(config.broker, activity.clone());
        let first = *addresses.first().context("the hub listens nowhere")?;
        let public = public_address(&config, first);
        let info = HubInfo {
            hostname: public.host.clone(),
            streaming_endpoints: vec![streaming_endpoint(&config, &public)],
            pin,
            local: HubAddress { host: reachable(first.ip()).to_string(), port: first.port() },
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let challenges = config.allow_tls_inspection.then(Challenges::default);
        let shared = Shared {
            config,
            info,
            public,
            certificate: certificate.shown(),
            directory,
            exchange,
            activity,
            connections: AtomicU64::new(0),
            challenges,
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        };
        let admin = LocalListener::bind(&state.admin_socket()).context("cannot open the admin socket")?;
        let shared = Arc::new(shared);
        let (desk, reload) = (Box::pin(desk), Reload::default());
        Ok(Self { shared, listeners, admin, certificate, reload, desk, writer, _state: state })
    }

    /// Where it listens, and whether for streams alone.
    pub fn addresses(&self) -> Vec<(SocketAddr, bool)> {
        let address = |(listener, serves): &(TcpListener, Serves)| {
            listener.local_addr().ok().map(|address| (address, *serves == Serves::Streams))
        };
        self.listeners.iter().filter_map(address).collect()
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
        let Self { shared, listeners, admin, certificate, reload, desk, writer, _state } = self;
        let tasks = Tasks::default();
        let acceptor = certificate.acceptor()?;
        let strangers = Arc::new(Strangers::default());
        let stopping = shared.stopping.clone();
        for (listener, serves) in listeners {
            let (shared, acceptor, strangers) = (shared.clone(), acceptor.clone(), strangers.clone());
            let receive = move |tcp, address: SocketAddr| {
                let stranger = strangers.admit(address.ip())?;
                Some(door::receive(shared.clone(), acceptor.clone(), tcp, address, serves, stranger))
            };
            tasks.spawn(until(stopping.clone(), accept_all(listener, tasks.clone(), receive)));
        }
        tasks.spawn(desk);
        tasks.spawn(until(stopping.clone(), certificate.keep(reload)));
        tasks.spawn(until(stopping, administer(shared.clone(), admin, tasks.clone())));
        shutdown.drain.cancelled().await;
        let left = drain(&shared, &shutdown).await;
        // The desk ends with its last handle.
        drop(shared);
        tasks.end(GOODBYE).await;
        tokio::task::spawn_blocking(|| writer.finish()).await?;
        Ok(left)
    }
}

impl Shared {
    fn next_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// The pin for a join link: none where the machine that joins can do without.
    async fn link_pin(&self) -> Option<Pin> {
        let streaming = self.config.streaming.iter().map(|streaming| streaming.host.clone());
        let hosts: Vec<_> = streaming.chain([self.public.host.clone()]).collect();
        let certificate = self.certificate.clone();
        let trusted = move || hosts.iter().all(|host| certificate.is_publicly_trusted(host));
        let trusted = tokio::task::spawn_blocking(trusted).await;
        (!trusted.unwrap_or(false)).then_some(self.info.pin)
    }

    /// Where one side brings its WebSocket: under the name by which it reached the hub, unless streams have a name
    /// of their own.
    fn streaming_url(&self, authority: &str, device: &DeviceId, stream: StreamId, role: Role) -> String {
        let base = match &self.config.streaming {
            Some(streaming) => streaming.url.clone(),
            None => format!("wss://{authority}"),
        };
        let hub = if self.public.host.contains(':') { "hub".into() } else { self.public.host.clone() };
        format!("{base}{}", Route::Bridge(Bridge { hub, device: device.clone(), stream, role }))
    }
}

async fn listen(config: &HubConfig) -> anyhow::Result<Vec<(TcpListener, Serves)>> {
    let everything = if config.streaming.is_some() { Serves::Control } else { Serves::All };
    let own = config.streaming.iter().map(|streaming| (streaming.listen, Serves::Streams));
    let wanted = config.listen.iter().map(|address| (*address, everything)).chain(own);
    let mut listeners = Vec::new();
    for (address, serves) in wanted {
        let listener = TcpListener::bind(address).await.with_context(|| cannot_listen(address))?;
        listeners.push((listener, serves));
    }
    Ok(listeners)
}

fn cannot_listen(address: SocketAddr) -> String {
    let advice = match address.port() {
        1..1024 => "ports below 1024 need root or CAP_NET_BIND_SERVICE",
        _ => "is something else listening there? --listen ADDRESS:PORT chooses another, and port 0 any free one",
    };
    format!("cannot listen on {address} ({advice})")
}

async fn until(stopping: CancellationToken, task: impl Future<Output = ()>) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = task => {}
    }
}

/// Gives each connection a task of its own: nothing that a peer does holds up the next one.
async fn accept_all<F>(
    listener: TcpListener,
    tasks: Tasks,
    receive: impl Fn(TcpStream, SocketAddr) -> Option<F> + Send + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        match listener.accept().await {
            Ok((tcp, address)) => {
                if let Some(visit) = receive(tcp, socket::canonical(address)) {
                    tasks.spawn(visit);
                }
            }
            Err(error) => pause(&error).await,
        }
    }
}

async fn administer(shared: Arc<Shared>, admin: LocalListener, tasks: Tasks) {
    loop {
        match admin.accept().await {
            Ok(stream) => {
                let shared = shared.clone();
                tasks.spawn(async move { admin::converse(&shared, stream).await });
            }
            Err(error) => pause(&error).await,
        }
    }
}

/// Running out of descriptors must neither end nor spin an accept loop.
async fn pause(error: &io::Error) {
    tracing::warn!(target: "hub", %error, "could not accept a connection");
    sleep(ACCEPT_PAUSE).await;
}

/// Refuses new streams and waits for the running ones, then ends what is left. Returns how many that were.
async fn drain(shared: &Shared, shutdown: &Shutdown) -> usize {
    shared.draining.cancel();
    let running = shared.exchange.streams();
    if running > 0 {
        let deadline = shared.config.drain.as_secs();
        tracing::info!(target: "hub", "draining: {running} streams may go on for {deadline} s; stop again to end them now");
    }
    tokio::select! {
        _ = timeout(shared.config.drain, shared.exchange.drain()) => {}
        () = shutdown.now.cancelled() => {}
    }
    let left = shared.exchange.streams();
    shared.exchange.end_all().await;
    shared.stopping.cancel();
    left
}

/// What other machines should call this hub: the name it was given, else the address it listens on, else its own
/// idea of its name.
fn public_address(config: &HubConfig, first: SocketAddr) -> HubAddress {
    let given = config.hostnames.first().cloned();
    let bound = || (!first.ip().is_unspecified()).then(|| first.ip().to_string());
    let host = given.or_else(bound).or_else(machine_name).unwrap_or_else(|| "localhost".into());
    HubAddress { host, port: first.port() }
}

fn streaming_endpoint(config: &HubConfig, public: &HubAddress) -> String {
    match &config.streaming {
        Some(streaming) => streaming.url.replacen("wss://", "https://", 1),
        None => format!("https://{public}"),
    }
}

/// Where a listener is reached from its own machine.
fn reachable(ip: IpAddr) -> IpAddr {
    if ip.is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { ip }
}
