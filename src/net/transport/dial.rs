//! Dialling a hub: name resolution, TCP, an optional proxy, and TLS, under one deadline, with a trace that names the
//! hop that failed.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::net::os::clock;
use crate::net::runtime::ClientRuntime;
use crate::net::tls::read_ahead::ReadAhead;
use crate::net::tls::{self, TlsFailure};
use crate::net::transport::happy_eyeballs::{FailedAttempt, race};
use crate::net::transport::proxy_connect::{self, TunnelError};
use crate::net::transport::socket;
use crate::proto::forward::HostPort;
use crate::proto::join::{DEFAULT_PORT, HubAddress};
use crate::proto::limits::{DIAL_ADDRESS_TIMEOUT, DIAL_TIMEOUT};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::via::{ProxySettings, ProxyUrl};

/// A hop on the path to a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// Resolving the name of the hub, or of the proxy.
    Name,
    /// Connecting to one of the addresses.
    Tcp,
    /// Opening a tunnel through the proxy, which resolves the hub's name itself.
    Proxy,
    /// The TLS handshake with the hub.
    Tls,
}

/// The cause of a failed dial, for programs to decide by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialCause {
    /// The name does not resolve to an address.
    NameNotResolved,
    /// The network has no route to any of the addresses.
    NoRoute,
    /// This machine has no local port left, or no address of its own from which to connect.
    NoLocalAddress,
    /// No address accepted the connection.
    NotConnected,
    /// The peer did not answer before the deadline.
    TimedOut,
    /// The proxy demands credentials, or other ones.
    ProxyAuthRequired,
    /// The proxy rejected the credentials.
    ProxyLoginRejected,
    /// The proxy does not open tunnels to a port other than HTTPS's, or not to the hub's.
    ProxyForbidsPort,
    /// The proxy does not get to the hub.
    BeyondProxy,
    /// The proxy did not open a tunnel.
    ProxyFailed,
    /// TLS was not established.
    Tls(TlsFailure),
}

/// A failed dial: its cause, and the refusal for people to read.
#[derive(Debug, Clone)]
pub struct DialError {
    /// The cause.
    pub cause: DialCause,
    /// The refusal.
    pub refusal: Refusal,
}

impl From<DialError> for Refusal {
    fn from(error: DialError) -> Self {
        error.refusal
    }
}

/// A hop that was started, and its result so far.
#[derive(Debug, Clone)]
pub struct DialStep {
    /// The hop.
    pub hop: Hop,
    /// The hop's target or result: a name, an address, the negotiated TLS parameters.
    pub target: String,
    /// The time until it succeeded or failed; `None` while it is running.
    pub elapsed: Option<Duration>,
    /// The error, if it failed.
    pub error: Option<DialError>,
    started_at: Instant,
}

/// The record of a dial's hops, in order. The observer is called as each starts and ends.
pub struct DialTrace<'a> {
    steps: Vec<DialStep>,
    observer: &'a (dyn Fn(&DialStep) + Sync),
}

impl Default for DialTrace<'_> {
    fn default() -> Self {
        Self::with_observer(&|_| {})
    }
}

impl<'a> DialTrace<'a> {
    /// Creates an empty trace that calls `observer` with each step.
    pub fn with_observer(observer: &'a (dyn Fn(&DialStep) + Sync)) -> Self {
        Self { steps: Vec::new(), observer }
    }

    /// Starts a hop.
    fn begin(&mut self, hop: Hop, target: impl Into<String>) {
        let step = DialStep { hop, target: target.into(), elapsed: None, error: None, started_at: clock::now() };
        (self.observer)(&step);
        self.steps.push(step);
    }

    /// Ends the last hop successfully, with a more precise target if there is one.
    fn complete(&mut self, target: Option<String>) {
        self.finish_step(target, None);
    }

    /// Ends the last hop with this failure.
    fn fail(&mut self, error: &DialError) {
        self.finish_step(None, Some(error.clone()));
    }

    fn finish_step(&mut self, target: Option<String>, error: Option<DialError>) {
        let Some(step) = self.steps.last_mut() else { return };
        step.elapsed = Some(clock::now() - step.started_at);
        step.target = target.unwrap_or_else(|| std::mem::take(&mut step.target));
        step.error = error;
        (self.observer)(step);
    }
}

impl fmt::Display for DialTrace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, DialStep { hop, target, elapsed, error, .. }) in self.steps.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            let done = elapsed.filter(|_| error.is_none());
            let elapsed = done.map_or_else(|| "not done".into(), |elapsed| format!("{} ms", elapsed.as_millis()));
            write!(f, "{comma}{hop:?} {target} {elapsed}")?;
        }
        Ok(())
    }
}

/// Connects to a hub and completes TLS, within [`DIAL_TIMEOUT`]. Names are resolved each time, since addresses change.
pub async fn dial(
    hub: &HubAddress,
    proxy_settings: &ProxySettings,
    config: Arc<ClientConfig>,
    runtime: &ClientRuntime,
    trace: &mut DialTrace<'_>,
) -> Result<TlsStream<ReadAhead<TcpStream>>, Refusal> {
    let steps = async {
        let tcp = match proxy_settings.proxy_for(&hub.host) {
            None => connect(hub, None, runtime, trace).await?.0,
            Some(proxy) => {
                let (mut tcp, address) = connect(&proxy.address, Some(proxy), runtime, trace).await?;
                trace.begin(Hop::Proxy, proxy.to_string());
                let opened = proxy_connect::open_tunnel(&mut tcp, proxy, HostPort(&hub.host, hub.port)).await;
                opened.map_err(|error| not_tunnelled(hub, proxy, address, error))?;
                trace.complete(None);
                tcp
            }
        };
        handshake(hub, tcp, config, trace).await
    };
    // Boxed, so that the memory is freed: the caller's task may then run for months.
    let reached = timeout(DIAL_TIMEOUT, Box::pin(steps)).await;
    let reached = reached.unwrap_or_else(|_| Err(timed_out(hub, trace)));
    match &reached {
        Ok(_) => tracing::debug!(%hub, %trace, "reached the hub"),
        Err(error) => trace.fail(error),
    }
    Ok(reached?)
}

/// Names the proxy that did not open a tunnel, and why.
fn not_tunnelled(hub: &HubAddress, proxy: &ProxyUrl, address: SocketAddr, error: TunnelError) -> DialError {
    let TunnelError { message, wants_credentials, is_forbidden, is_beyond } = error;
    let cause = match (wants_credentials, is_forbidden && hub.port != DEFAULT_PORT) {
        (true, _) if proxy.credentials.is_some() => DialCause::ProxyLoginRejected,
        (true, _) => DialCause::ProxyAuthRequired,
        (false, true) => DialCause::ProxyForbidsPort,
        (false, false) if is_beyond => DialCause::BeyondProxy,
        (false, false) => DialCause::ProxyFailed,
    };
    let at = if is_address(&proxy.address, address) { String::new() } else { format!(" at {}", address.ip()) };
    let refused = unreachable(cause, format!("the proxy {proxy}{at} {message}"));
    match (wants_credentials || is_forbidden, is_beyond) {
        // These messages say what to do.
        (true, _) => refused.advised(""),
        (false, true) => refused.advised(BEYOND_PROXY),
        (false, false) => refused,
    }
}

/// What to do where the proxy answers and the hub behind it does not.
pub const BEYOND_PROXY: &str = "the proxy itself answers: check that the hub runs, and that its name and port are right, which the proxy \
    looks up; if the hub has moved: devstream profiles set --hub HOST:PORT; --via direct uses no proxy";

/// The address with its port, also where that is the default: the person may have forgotten it.
fn with_port(hub: &HubAddress) -> String {
    HostPort(&hub.host, hub.port).to_string()
}

/// Names what did not answer: a server that accepts connections and is silent in TLS is behind a path that loses large
/// packets, which those of TLS are first.
fn timed_out(hub: &HubAddress, trace: &DialTrace<'_>) -> DialError {
    if trace.steps.last().is_some_and(|step| step.hop == Hop::Tls) {
        return silent(hub, DIAL_TIMEOUT);
    }
    unreachable(DialCause::TimedOut, format!("{}: no answer in {} s", with_port(hub), DIAL_TIMEOUT.as_secs()))
}

/// The time after which a server that closes the connection has waited for what does not arrive, as hubs do for 10 s. One that
/// rejects a client does so at once, or, with too many of them, after a few seconds.
const SILENCE: Duration = Duration::from_secs(8);

fn silent(hub: &HubAddress, waited: Duration) -> DialError {
    let (why, seconds) = ("connected, but got no answer to TLS", waited.as_secs());
    let may = "large packets may be lost on the path, whose MTU is smaller than this machine's";
    unreachable(DialCause::Tls(TlsFailure::Silent), format!("{}: {why} in {seconds} s; {may}", with_port(hub)))
}

/// Connects to whichever address of a name answers first: the hub's, or the proxy's.
async fn connect(
    target: &HubAddress,
    proxy: Option<&ProxyUrl>,
    runtime: &ClientRuntime,
    trace: &mut DialTrace<'_>,
) -> Result<(TcpStream, SocketAddr), DialError> {
    let (whose, next) = if proxy.is_some() {
        (", the proxy's name", "check that name; --via URL sets another proxy, --via direct uses none")
    } else {
        let through_proxy = "check the name; if the hub has moved: devstream profiles set --hub HOST:PORT; if this network \
                             reaches the outside only through a proxy, --via http://HOST:PORT resolves the name there";
        ("", through_proxy)
    };
    let unresolved = |detail: &str| {
        let why = format!("cannot resolve {}{whose}: {detail}", target.host);
        unreachable(DialCause::NameNotResolved, why).advised(next)
    };
    trace.begin(Hop::Name, &target.host);
    let found =
        lookup_host((target.host.as_str(), target.port)).await.map_err(|error| unresolved(&error.to_string()))?;
    let addresses: Vec<_> = found.collect();
    trace.complete(None);
    trace.begin(Hop::Tcp, target.to_string());
    let winner = race(addresses, DIAL_ADDRESS_TIMEOUT, TcpStream::connect).await;
    let (stream, address) = winner.map_err(|failures| match failures.as_slice() {
        [] => unresolved("the name has no address"),
        failures => {
            let server = proxy.map_or_else(|| with_port(target), |proxy| format!("the proxy {proxy}"));
            let failed =
                unreachable(cause_of_attempts(failures), format!("{server}{}", describe_attempts(target, failures)));
            match proxy {
                Some(proxy) => failed.advised(format!(
                    "check that the proxy {proxy} is running and reached from here; --via URL sets another proxy, --via \
                     direct uses none"
                )),
                None => failed,
            }
        }
    })?;
    trace.complete(Some(address.to_string()));
    socket::tune(&stream);
    socket::set_congestion_control(&stream);
    tracing::debug!(%address, congestion_control = socket::congestion_control(&stream), "connected");
    runtime.record_hub_address(address);
    Ok((stream, address))
}

async fn handshake(
    hub: &HubAddress,
    tcp: TcpStream,
    config: Arc<ClientConfig>,
    trace: &mut DialTrace<'_>,
) -> Result<TlsStream<ReadAhead<TcpStream>>, DialError> {
    trace.begin(Hop::Tls, hub.to_string());
    let name = ServerName::try_from(hub.host.clone());
    let name =
        name.map_err(|_| unreachable(DialCause::NameNotResolved, format!("'{}' is not a host name", hub.host)))?;
    let begun_at = clock::now();
    let connecting = TlsConnector::from(config).connect(name, ReadAhead::new(tcp)).await;
    let stream = connecting.map_err(|error| match (explain(hub, &error), begun_at.elapsed()) {
        (rejected, waited) if rejected.refusal.kind == RefusalKind::ConnectionRejected && waited >= SILENCE => {
            silent(hub, waited)
        }
        (error, _) => error,
    })?;
    trace.complete(tls::negotiated(stream.get_ref().1));
    Ok(stream)
}

/// Describes the attempts after the target, whose address is not repeated.
fn describe_attempts(target: &HubAddress, failures: &[FailedAttempt]) -> String {
    match failures {
        [(address, cause)] if is_address(target, *address) => format!(": {cause}"),
        _ => {
            let attempts = failures.iter().map(|(address, cause)| format!("at {address}: {cause}"));
            format!(" {}", attempts.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Reports whether the target's host is not a name, but this address.
fn is_address(target: &HubAddress, address: SocketAddr) -> bool {
    target.host.parse() == Ok(address.ip())
}

/// Returns the cause that says most about the path: an address that did not answer, else the lack of a route unless
/// another address refused.
fn cause_of_attempts(failures: &[FailedAttempt]) -> DialCause {
    let any = |kinds: &[ErrorKind]| failures.iter().any(|(_, error)| kinds.contains(&error.kind()));
    if any(&[ErrorKind::ResourceBusy, ErrorKind::AddrNotAvailable]) && !any(&[ErrorKind::ConnectionRefused]) {
        DialCause::NoLocalAddress
    } else if any(&[ErrorKind::TimedOut]) {
        DialCause::TimedOut
    } else if any(&[ErrorKind::NetworkUnreachable, ErrorKind::HostUnreachable]) && !any(&[ErrorKind::ConnectionRefused])
    {
        DialCause::NoRoute
    } else {
        DialCause::NotConnected
    }
}

fn unreachable(cause: DialCause, detail: String) -> DialError {
    DialError { cause, refusal: Refusal::new(RefusalKind::HubUnreachable, detail) }
}

impl DialError {
    fn advised(self, advice: impl Into<Cow<'static, str>>) -> Self {
        Self { refusal: self.refusal.advised(advice), ..self }
    }
}

/// Unwraps rustls's error from the IO error around it.
fn explain(hub: &HubAddress, error: &std::io::Error) -> DialError {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(inner) => DialError { cause: DialCause::Tls(TlsFailure::of(inner)), refusal: tls::explain(inner) },
        None if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => DialError {
            cause: DialCause::Tls(TlsFailure::Other),
            refusal: Refusal::new(RefusalKind::ConnectionRejected, hub.to_string()),
        },
        None => unreachable(DialCause::Tls(TlsFailure::Other), format!("{hub}: TLS: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;
    use crate::net::tls::{Trust, client_config};

    /// Dials a server that closes every connection, or does not listen; returns each hop and whether it succeeded, and
    /// the trace as text.
    async fn trace(via: Option<&str>, listens: bool) -> (Vec<(Hop, bool)>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let hub: HubAddress = if via.is_some() { "hub.invalid".into() } else { address.to_string() }.parse().unwrap();
        let proxy_settings =
            via.map(|scheme| format!("{scheme}{address}").parse::<ProxyUrl>().unwrap()).map(ProxySettings::always);
        let listener = listens.then_some(listener);
        let accept_and_close = async {
            if let Some(listener) = listener {
                let (mut stream, _) = listener.accept().await.unwrap();
                stream.read_u8().await.unwrap();
            }
        };
        let mut trace = DialTrace::default();
        let config = client_config(&Trust::Public).unwrap();
        let (proxy_settings, runtime) = (proxy_settings.unwrap_or_default(), ClientRuntime::default());
        let (refused, ()) = tokio::join!(dial(&hub, &proxy_settings, config, &runtime, &mut trace), accept_and_close);
        let is_rejected = listens && via.is_none();
        let expected = if is_rejected { RefusalKind::ConnectionRejected } else { RefusalKind::HubUnreachable };
        assert_eq!(refused.unwrap_err().kind, expected);
        assert!(trace.steps.iter().all(|step| step.elapsed.is_some()), "{trace}");
        (trace.steps.iter().map(|step| (step.hop, step.error.is_none())).collect(), trace.to_string())
    }

    #[test]
    fn an_address_is_said_once() {
        let refused = || std::io::Error::from(ErrorKind::ConnectionRefused);
        let [first, second] = ["10.77.0.1:8444", "[fd00::1]:8444"].map(|text| text.parse().unwrap());
        let describe = |host: &str, failures: &[FailedAttempt]| describe_attempts(&host.parse().unwrap(), failures);
        assert_eq!(describe("10.77.0.1:8444", &[(first, refused())]), ": connection refused");
        assert_eq!(describe("[fd00::1]:8444", &[(second, refused())]), ": connection refused");
        let both = " at 10.77.0.1:8444: connection refused; at [fd00::1]:8444: connection refused";
        assert_eq!(describe("hub.test:8444", &[(first, refused()), (second, refused())]), both);
    }

    #[test]
    fn the_cause_of_several_attempts_is_the_one_that_says_most() {
        use ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable, TimedOut};
        let address = "10.0.0.1:443".parse().unwrap();
        let cause = |kinds: &[ErrorKind]| {
            cause_of_attempts(&kinds.iter().map(|kind| (address, (*kind).into())).collect::<Vec<_>>())
        };
        assert_eq!(cause(&[ConnectionRefused, TimedOut]), DialCause::TimedOut);
        assert_eq!(cause(&[NetworkUnreachable, HostUnreachable]), DialCause::NoRoute);
        assert_eq!(cause(&[NetworkUnreachable, ConnectionRefused]), DialCause::NotConnected);
        assert_eq!(cause(&[ErrorKind::ConnectionReset]), DialCause::NotConnected);
    }

    #[tokio::test]
    async fn the_trace_ends_with_the_hop_that_failed() {
        let (steps, shown) = trace(None, true).await;
        assert_eq!(steps, [(Hop::Name, true), (Hop::Tcp, true), (Hop::Tls, false)]);
        assert!(shown.starts_with("Name 127.0.0.1 ") && shown.ends_with(" not done"), "{shown}");
        assert_eq!(trace(None, false).await.0, [(Hop::Name, true), (Hop::Tcp, false)]);
        for via in ["http://", "socks5h://"] {
            let (steps, shown) = trace(Some(via), true).await;
            assert_eq!(steps, [(Hop::Name, true), (Hop::Tcp, true), (Hop::Proxy, false)]);
            assert!(shown.contains("Proxy 127.0.0.1:") && !shown.contains("hub.invalid"), "{shown}");
        }
    }
}
