//! Opens streams to a device: on a standby where there is one, else by HTTP and a WebSocket of the stream's own.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use super::config::ProxyConfig;
use super::request::{request_by_http, request_on_standby};
use super::standby::Standbys;
use crate::net::client::standby::{PoolSlot, Standby};
use crate::net::client::{Client, Connection, RequestError, ResumeTarget};
use crate::net::e2e::config::SessionEnd;
use crate::net::log_throttle::LogThrottle;
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::shutdown::StreamStop;
use crate::net::tunnel::pump::{Counters, EarlyData, PumpContext, StreamEvent, Tunnel};
use crate::net::tunnel::seal::{Sealed, SessionView};
use crate::net::websocket::WebSocket;
use crate::net::websocket::channel::ChannelError;
use crate::proto::backoff::{Backoff, Jitter};
use crate::proto::id::{DeviceId, Principal, Role, StreamId, StreamName};
use crate::proto::limits::{BUSY_RETRY_BASE, BUSY_RETRY_CAP, EARLY_DATA_BYTES, OPEN_RETRIES, REJECTED_RETRY_TIME};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeGrant;
use crate::proto::stream::StreamProtocol;

/// First read of early data: enough for a TLS ClientHello of our own around another one or most HTTP requests, without a
/// large buffer for each stream, since early data is kept until it is acknowledged.
const FIRST_READ_BYTES: usize = 4 * 1024;

/// Opens streams to one device.
pub(super) struct Opener {
    pub(super) config: Arc<ProxyConfig>,
    /// The client that worked last; enrolling again for every connection would cost a round trip.
    pub(super) client: Arc<Mutex<Option<Client>>>,
    network: NetworkMonitor,
    pub(super) standbys: Standbys,
    busy_log: Arc<LogThrottle>,
    /// Closes every stream with a message to its peer.
    pub(super) stream_shutdown: StreamStop,
}

/// An open stream, ready for the pump.
pub(super) struct OpenedTunnel {
    pub(super) tunnel: Tunnel<Connection>,
    pub(super) resume_target: ResumeTarget,
    /// The device says that it encrypts the stream end to end.
    pub(super) end_to_end: bool,
    /// The pool slot of a connection that may stand by after the stream.
    pub(super) slot: Option<PoolSlot>,
}

/// What early data is waited for, and what it is.
#[derive(Clone, Copy)]
pub(super) struct EarlyOptions<'a> {
    /// The longest wait for it.
    pub(super) wait: Duration,
    /// The session that it belongs to, of a sealed stream.
    pub(super) session: Option<&'a SessionView>,
}

impl EarlyOptions<'_> {
    /// Reports whether it may be passed on more than once: it is the start of a session, without a ticket.
    fn is_repeatable(&self) -> bool {
        self.session.is_some_and(SessionView::is_repeatable)
    }
}

/// State that survives an attempt: the next one must neither lose nor repeat the early data.
#[derive(Default)]
struct OpenState {
    /// Id of the lost request, if the device may have its early data: the hub then opens the stream only if it has not.
    id: Option<StreamId>,
    /// Bytes read from the application so far.
    early: Bytes,
    /// Connections that were lost.
    lost: u32,
}

impl OpenState {
    /// Returns the time for which the stream is requested again after this error.
    fn retry_limit(&mut self, error: &RequestError) -> Duration {
        match error {
            RequestError::Lost(_) => {
                self.lost += 1;
                if self.lost <= OPEN_RETRIES { Duration::MAX } else { Duration::ZERO }
            }
            RequestError::Refused(Refusal { kind: RefusalKind::ConnectionRejected, .. }) => REJECTED_RETRY_TIME,
            RequestError::Refused(refusal) if refusal.kind.is_busy() => Duration::MAX,
            RequestError::Refused(_) => Duration::ZERO,
        }
    }
}

impl Opener {
    pub(super) fn new(config: Arc<ProxyConfig>, network: NetworkMonitor) -> Self {
        let standbys = Standbys::new(config.transport, network.clone());
        Self {
            config,
            client: Arc::default(),
            network,
            standbys,
            busy_log: Arc::default(),
            stream_shutdown: StreamStop::default(),
        }
    }

    /// Creates this end of a stream's session; `None` where plain streams were asked for. A device whose key is known is sent
    /// none of those.
    pub(super) async fn session(&self, name: Option<&StreamName>) -> Result<Option<SessionEnd>, Refusal> {
        let (client, _) = self.client(None).await?;
        let device = &self.config.device;
        if !self.config.plain {
            return client.service_session(device, name).await.map(Some);
        }
        ensure_plain_is_accepted(&client, device).map(|()| None)
    }

    /// Reports whether another key of the device is known than when this session was begun, and nothing of the application
    /// depends on that.
    pub(super) async fn expects_another<R, W>(&self, sealed: &Sealed<R, W>) -> Result<bool, Refusal> {
        if sealed.session.has_sent_early() {
            return Ok(false);
        }
        let (client, _) = self.client(None).await?;
        sealed.session.expects_another(&**client.peer_keys()).await
    }

    /// Returns an opener for another device that shares the client and the standbys.
    pub(super) fn to(&self, device: DeviceId, connect_timeout: Duration, plain: bool) -> Self {
        let config = Arc::new(ProxyConfig { device, connect_timeout, plain, ..(*self.config).clone() });
        let (client, standbys, busy_log) = (self.client.clone(), self.standbys.clone(), self.busy_log.clone());
        let (network, stream_shutdown) = (self.network.clone(), self.stream_shutdown.clone());
        Self { config, client, network, standbys, busy_log, stream_shutdown }
    }

    /// Opens a stream, with early data from `local`, if a standby carries the request and that comes in time. Waits for its turn within the
    /// hub's limit of concurrent openings, and tries again while the hub is at a limit and after lost connections, all
    /// within the response timeout.
    pub(super) async fn open<R: AsyncRead + Unpin>(
        &self,
        name: Option<&StreamName>,
        local: &mut R,
        early: EarlyOptions<'_>,
    ) -> Result<OpenedTunnel, Refusal> {
        let runtime = self.config.client_factory.runtime();
        let (started_at, limit) = (clock::now(), self.config.response_timeout);
        let (mut state, mut backoff) =
            (OpenState::default(), Backoff::new(BUSY_RETRY_BASE, BUSY_RETRY_CAP, Jitter::Quarter));
        loop {
            let left = limit.saturating_sub(started_at.elapsed());
            let permit = timeout(left, runtime.opening_permit()).await.map_err(|_| never_its_turn(limit))?;
            let error = match self.try_open(name, (local, early), &mut state).await {
                Ok(opened) => return Ok(opened),
                Err(error) => error,
            };
            drop(permit);
            let limit = state.retry_limit(&error).min(limit);
            let refusal = Refusal::from(error);
            let delay = backoff.delay_after(refusal.kind, random::u64());
            if started_at.elapsed() + delay > limit {
                return Err(refusal);
            }
            if self.busy_log.should_log() {
                tracing::warn!(target: "service-proxy", "{}; trying again for up to {} s", refusal.message(), limit.as_secs());
            }
            sleep(delay).await;
        }
    }

    /// Makes one attempt to open the stream. Early data that an earlier one has read is sent again, under the same id by
    /// HTTP if the device may have it.
    async fn try_open<R: AsyncRead + Unpin>(
        &self,
        name: Option<&StreamName>,
        (local, options): (&mut R, EarlyOptions<'_>),
        state: &mut OpenState,
    ) -> Result<OpenedTunnel, RequestError> {
        if state.id.is_none()
            && let Some(standby) = self.ready_standby().await
        {
            if state.early.is_empty() {
                match read_early_data(local, options.wait).await {
                    Ok(early) => state.early = early,
                    Err(_) => {
                        self.standbys.put(standby);
                        let why = "the application reset its connection";
                        return Err(Refusal::new(RefusalKind::LocalShutdown, why).into());
                    }
                }
            }
            let id = StreamId::from_bytes(random::bytes());
            match self.open_on_standby(standby, id, name, (&state.early, options.is_repeatable())).await {
                Ok(opened) => return Ok(opened?),
                Err(ended) => {
                    tracing::debug!(target: "service-proxy", "a standby was dead: {ended}");
                    self.standbys.clear_idle();
                }
            }
            state.id = Some(id).filter(|_| !state.early.is_empty());
        }
        Box::pin(self.open_new(name, state)).await
    }

    async fn ready_standby(&self) -> Option<Standby> {
        match self.standbys.take().await {
            None => self.standbys.connect().await,
            ready => ready,
        }
    }

    async fn open_on_standby(
        &self,
        mut standby: Standby,
        id: StreamId,
        name: Option<&StreamName>,
        (early, repeatable): (&Bytes, bool),
    ) -> Result<Result<OpenedTunnel, Refusal>, ChannelError> {
        let opened = match request_on_standby(&self.config, &mut standby, id, name, (early, repeatable)).await? {
            Ok(opened) => opened,
            Err(refusal) => {
                self.standbys.put(standby);
                return Ok(Err(refusal));
            }
        };
        let resume = self.resume_target(&standby.slot.client, &opened.url);
        let grant = opened.resume_grant.as_ref();
        let (resume_target, resume_credential) =
            match resume.and_then(|target| Ok((target, ResumeGrant::credential(grant)?))) {
                Ok(resume) => resume,
                Err(refusal) => return Ok(Err(refusal)),
            };
        if !opened.reusable {
            self.standbys.refill();
        }
        let (socket, slot) = standby.into_parts();
        let tunnel = Tunnel {
            socket: Some(socket),
            protocol: opened.protocol.as_deref().and_then(StreamProtocol::from_name),
            resume_credential: resume_credential.map(Box::new),
            early: EarlyData { sent: early.clone(), ..EarlyData::default() },
            reusable: opened.reusable,
            hold_release: false,
        };
        Ok(Ok(OpenedTunnel { tunnel, resume_target, end_to_end: opened.end_to_end, slot: Some(slot) }))
    }

    /// Opens the stream by HTTP; if the client may be out of date (hub moved, key replaced), once more with a new one.
    async fn open_new(&self, name: Option<&StreamName>, state: &mut OpenState) -> Result<OpenedTunnel, RequestError> {
        let (client, new) = self.client(None).await?;
        let refusal = match self.open_as(&client, name, state).await {
            Err(RequestError::Refused(refusal)) if !new && is_stale(refusal.kind) => refusal,
            other => return other,
        };
        let (fresh, _) = self.client(Some(&client)).await?;
        if refusal.kind == RefusalKind::HubUnreachable && fresh.hub() == client.hub() {
            return Err(refusal.into());
        }
        self.open_as(&fresh, name, state).await
    }

    /// Returns the current client and whether it is new: one is created if there is none or it is the stale one.
    /// Concurrent callers share one enrolment.
    pub(super) async fn client(&self, stale: Option<&Client>) -> Result<(Client, bool), Refusal> {
        let mut current = self.client.lock().await;
        match &*current {
            Some(client) if stale.is_none_or(|stale| !stale.is_same_enrolment(client)) => Ok((client.clone(), false)),
            _ => {
                let client = self.config.client_factory.client().await?;
                *current = Some(client.clone());
                Ok((client, true))
            }
        }
    }

    /// Reports whether no other client has taken this one's place.
    async fn is_current(&self, client: &Client) -> bool {
        self.client.lock().await.as_ref().is_some_and(|current| current.is_same_enrolment(client))
    }

    async fn open_as(
        &self,
        client: &Client,
        name: Option<&StreamName>,
        state: &mut OpenState,
    ) -> Result<OpenedTunnel, RequestError> {
        let grant = request_by_http(&self.config, client, name, state.id).await?;
        // The early data of the lost request was not passed on, and is not any more.
        state.id = None;
        if self.is_current(client).await {
            self.standbys.update_offer(client, grant.standby_offer);
        }
        if let Some(limit) = grant.opening_limit {
            self.config.client_factory.runtime().set_opening_limit(limit);
        }
        let resume_target = self.resume_target(client, &grant.url)?;
        let mut tunnel = client.open_stream(&grant.url, &grant.token, grant.protocol).await?;
        tunnel.early.to_send = state.early.clone();
        tunnel.reusable = grant.reusable;
        let slot = tunnel.reusable.then(|| self.standbys.reserve(client));
        Ok(OpenedTunnel { tunnel, resume_target, end_to_end: grant.end_to_end, slot })
    }

    /// Keeps the connection of a stream that has ended on standby, if it may be reused.
    pub(super) fn put_back(&self, socket: Option<WebSocket<Connection>>, slot: Option<PoolSlot>, counters: &Counters) {
        if let Some((socket, slot)) = socket.zip(slot) {
            self.standbys.put(Standby::from_parts(socket, slot, counters.total()));
        }
    }

    fn resume_target(&self, client: &Client, url: &str) -> Result<ResumeTarget, Refusal> {
        client.resume_target(self.config.client_factory.clone(), url)
    }

    pub(super) fn pump_context<'a>(
        &'a self,
        rejoin: ResumeTarget,
        counters: &'a Counters,
        on_event: &'a (dyn Fn(StreamEvent) + Sync),
    ) -> PumpContext<'a, ResumeTarget> {
        let (idle_timeout, network) = (self.config.transport.idle_timeout, self.network.clone());
        let (runtime, stop) = (self.config.client_factory.runtime(), &self.stream_shutdown);
        PumpContext { counters, on_event, rejoin, runtime, idle_timeout, network, stop }
    }
}

/// Fails for a device whose key is known: it is sent no stream that is not encrypted end to end.
pub fn ensure_plain_is_accepted(client: &Client, device: &DeviceId) -> Result<(), Refusal> {
    let peer = Principal { role: Role::Device, id: device.lower_case().into() };
    if !client.has_known_key(&peer)? {
        return Ok(());
    }
    let next = format!("drop --plain, or, if it no longer does, devstream trust forget device {device}");
    let why = format!("{device} encrypts its streams end to end: {next}");
    Err(Refusal::worded(RefusalKind::EndToEndNotBegun, why))
}

/// The refusal of a stream whose turn to be opened did not come within this time.
fn never_its_turn(limit: Duration) -> Refusal {
    let detail = format!("too many connections at once: others were being opened for {} s", limit.as_secs());
    Refusal::new(RefusalKind::HandshakeTimedOut, detail)
}

/// Reads the bytes that come at once, up to [`EARLY_DATA_BYTES`] within this time.
async fn read_early_data<R: AsyncRead + Unpin>(local: &mut R, wait: Duration) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(FIRST_READ_BYTES);
    let mut source = local.take(EARLY_DATA_BYTES as u64);
    timeout(wait, source.read_buf(&mut bytes)).await.unwrap_or(Ok(0))?;
    // A full buffer means that more may be ready.
    while bytes.len() == bytes.capacity() && bytes.len() < EARLY_DATA_BYTES {
        bytes.reserve(EARLY_DATA_BYTES - bytes.len());
        if source.read_buf(&mut bytes).now_or_never().unwrap_or(Ok(0))? == 0 {
            break;
        }
    }
    // Without the unused part, which would be kept as well.
    Ok(if bytes.len() < FIRST_READ_BYTES { Bytes::copy_from_slice(&bytes) } else { bytes.freeze() })
}

/// Reports whether a new client may succeed: with the hub's new address, a new key or a new pin.
fn is_stale(kind: RefusalKind) -> bool {
    matches!(
        kind,
        RefusalKind::HubUnreachable
            | RefusalKind::AuthenticationFailed
            | RefusalKind::KeyReplaced
            | RefusalKind::CertificateNotTrusted
            | RefusalKind::WrongHubName
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;
    use crate::proto::limits::EARLY_DATA_WAIT;

    #[tokio::test(start_paused = true)]
    async fn early_data_is_all_that_an_application_sends_at_once_up_to_the_limit() {
        for (written, expected) in [
            (0, 0),
            (1, 1),
            (1500, 1500),
            (FIRST_READ_BYTES + 1, FIRST_READ_BYTES + 1),
            (EARLY_DATA_BYTES + 1, EARLY_DATA_BYTES),
        ] {
            let (mut application, mut local) = duplex(2 * EARLY_DATA_BYTES);
            application.write_all(&vec![7; written]).await.unwrap();
            assert_eq!(read_early_data(&mut local, EARLY_DATA_WAIT).await.unwrap().len(), expected, "{written}");
        }
    }
}
