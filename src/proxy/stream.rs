//! One local connection, top to bottom: ask the hub, bring the WebSocket, carry the bytes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt as _;
use http::Response;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::config::ProxyConfig;
use super::standby::Standbys;
use super::{Event, StreamInfo};
use crate::net::client::standby::{PoolSlot, Standby};
use crate::net::client::{Client, Connection, RequestOptions, ResumeTarget, response_refusal};
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::transport::socket;
use crate::net::tunnel::pump::{self, Counters, Outcome, PumpContext, StreamEvent, Tunnel, pump};
use crate::net::tunnel::stream::{Stream, pair};
use crate::net::websocket::channel::ChannelError;
use crate::proto::http::{
    ACCEPTED_HEADER, CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, Route, STREAM_ID_HEADER, STREAM_PROTOCOL_HEADER,
    STREAM_TOKEN_HEADER, STREAM_URL_HEADER,
};
use crate::proto::id::{DeviceId, StreamId, StreamName};
use crate::proto::limits::{EARLY_DATA_BYTES, EARLY_DATA_WAIT};
use crate::proto::message::StandbyOffer;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{self, StandbyFromHub, StandbyOpenRequest, StandbyToHub};
use crate::proto::stream::{Ending, StreamProtocol};

/// The hub answers within the two timeouts; this much more is for the way there and back.
const ROUND_TRIP_MARGIN: Duration = Duration::from_secs(15);

/// A TLS hello, most HTTP requests: more than this is read in another call. What is read is kept until it is acknowledged.
const FIRST_READ_BYTES: usize = 2 * 1024;

/// What a person sees a stream called.
pub(super) fn label(device: &DeviceId, name: Option<&StreamName>) -> String {
    name.map_or_else(|| device.to_string(), |name| format!("{device}/{name}"))
}

/// Serves one local connection.
pub(super) async fn serve(
    opener: &Opener,
    mut tcp: TcpStream,
    from: SocketAddr,
    number: u64,
    name: Option<StreamName>,
) {
    let (info, on_event) = (opener.stream_info(number, Some(from), name.as_ref()), &opener.config.observer);
    match opener.open_and_carry(name.as_ref(), tcp.split(), &info).await {
        Ok(Outcome { ending, refusal }) => {
            if ending == Ending::Clean {
                socket::close_gracefully(tcp).await;
            }
            on_event(Event::Ended(info, ending, refusal));
        }
        Err(refusal) => {
            drop(tcp);
            on_event(Event::Refused(info, refusal));
        }
    }
}

/// One stream between a pair of pipes and the device.
pub(super) async fn pipe<R, W>(
    opener: &Opener,
    name: Option<StreamName>,
    pipes: (R, W),
) -> Result<(), (Ending, Refusal)>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (info, on_event) = (opener.stream_info(1, None, name.as_ref()), &opener.config.observer);
    match opener.open_and_carry(name.as_ref(), pipes, &info).await {
        Ok(Outcome { ending, refusal }) => {
            on_event(Event::Ended(info, ending, refusal.clone()));
            match ending {
                // An application that stops reading ends the session in its own time.
                Ending::Clean | Ending::LocalReset => Ok(()),
                Ending::PeerReset | Ending::Broken => {
                    Err((ending, refusal.unwrap_or_else(|| RefusalKind::PeerGone.into())))
                }
            }
        }
        Err(refusal) => {
            on_event(Event::Refused(info, refusal.clone()));
            Err((Ending::Broken, refusal))
        }
    }
}

/// One stream for a program, and the work of carrying it. What goes along with the request is taken from what it says first.
pub(super) async fn open(
    opener: Opener,
    name: Option<&StreamName>,
    first: &mut &[u8],
) -> Result<(Stream, impl Future<Output = ()> + Send + 'static), Refusal> {
    let OpenStream { tunnel, resume_target, slot } = opener.open(name, first).await?;
    let (stream, local) = pair();
    let work = async move {
        let counters = Counters::default();
        let (_, socket) = local.drive(tunnel, opener.pump_context(resume_target, &counters, &|_| {})).await;
        if let (Some(socket), Some(slot)) = (socket, slot) {
            opener.standbys.put(Standby::from_parts(socket, slot));
        }
    };
    Ok((stream, work))
}

/// Opens streams to one device.
pub(super) struct Opener {
    config: Arc<ProxyConfig>,
    /// The client that worked last; enrolling anew for every connection would cost a round trip.
    client: Arc<Mutex<Option<Client>>>,
    network: NetworkMonitor,
    pub(super) standbys: Standbys,
    /// Streams end, and say so.
    pub(super) stream_shutdown: CancellationToken,
}

/// A stream that is open.
struct OpenStream {
    tunnel: Tunnel<Connection>,
    resume_target: ResumeTarget,
    /// Of a connection that stood by.
    slot: Option<PoolSlot>,
}

/// What has become of a stream before its connection was lost.
#[derive(Default)]
struct OpenState {
    /// What it was called, if the device may have some of it: the hub then does not ask it again.
    id: Option<StreamId>,
    /// What the application has said.
    early: Bytes,
}

impl Opener {
    pub(super) fn new(config: Arc<ProxyConfig>, network: NetworkMonitor) -> Self {
        let standbys = Standbys::new(config.transport, network.clone());
        Self { config, client: Arc::default(), network, standbys, stream_shutdown: CancellationToken::new() }
    }

    /// The same, to another device.
    pub(super) fn to(&self, device: DeviceId, connect_timeout: Duration) -> Self {
        let config = Arc::new(ProxyConfig { device, connect_timeout, ..(*self.config).clone() });
        let (client, standbys) = (self.client.clone(), self.standbys.clone());
        Self { config, client, network: self.network.clone(), standbys, stream_shutdown: self.stream_shutdown.clone() }
    }

    fn stream_info(&self, number: u64, from: Option<SocketAddr>, name: Option<&StreamName>) -> Arc<StreamInfo> {
        let to = label(&self.config.device, name);
        Arc::new(StreamInfo { number, from, to, counters: Counters::default() })
    }

    /// A local connection's whole way, of whose beginning is told; of its end, once the local connection has one too.
    async fn open_and_carry<R, W>(
        &self,
        name: Option<&StreamName>,
        (mut reader, writer): (R, W),
        info: &Arc<StreamInfo>,
    ) -> Result<Outcome, Refusal>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let on_event = &self.config.observer;
        on_event(Event::Requested(info.clone()));
        let opened = self.open(name, &mut reader).await?;
        on_event(Event::Opened(info.clone()));
        Ok(self.carry((reader, writer), opened, info).await)
    }

    /// Carries the bytes of a local connection.
    async fn carry<R, W>(&self, local: (R, W), opened: OpenStream, info: &Arc<StreamInfo>) -> Outcome
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let on_event = |event| {
            let info = info.clone();
            (self.config.observer)(match event {
                StreamEvent::Draining(left) => Event::Draining(info, left),
                StreamEvent::Interrupted(why) => Event::Interrupted(info, why),
                StreamEvent::Resumed(after) => Event::Resumed(info, after),
            });
        };
        let (outcome, socket) =
            pump(local, opened.tunnel, self.pump_context(opened.resume_target, &info.counters, &on_event)).await;
        if let (Some(socket), Some(slot)) = (socket, opened.slot) {
            self.standbys.put(Standby::from_parts(socket, slot));
        }
        outcome
    }

    fn pump_context<'a>(
        &'a self,
        rejoin: ResumeTarget,
        counters: &'a Counters,
        on_event: &'a (dyn Fn(StreamEvent) + Sync),
    ) -> PumpContext<'a, ResumeTarget> {
        let (idle_timeout, network) = (self.config.transport.idle_timeout, self.network.clone());
        let (runtime, stop) = (self.config.client_factory.runtime(), &self.stream_shutdown);
        PumpContext { counters, on_event, rejoin, runtime, idle_timeout, network, stop }
    }

    /// On a connection that stands by, or is brought for that; else the long way.
    async fn open<R: AsyncRead + Unpin>(
        &self,
        name: Option<&StreamName>,
        local: &mut R,
    ) -> Result<OpenStream, Refusal> {
        let mut state = OpenState::default();
        let ready = match self.standbys.take().await {
            None => self.standbys.connect().await,
            ready => ready,
        };
        if let Some(standby) = ready {
            let early = first_bytes(local).await;
            state.early =
                early.map_err(|_| Refusal::new(RefusalKind::LocalShutdown, "the application reset its connection"))?;
            let id = StreamId::from_bytes(random::bytes());
            state.id = Some(id).filter(|_| !state.early.is_empty());
            match self.open_on_standby(standby, id, name, &state.early).await {
                Ok(answer) => return answer,
                Err(ended) => {
                    tracing::debug!(target: "service-proxy", "a connection that stood by was dead: {ended}");
                    self.standbys.discard();
                }
            }
        }
        Box::pin(self.open_new(name, &state)).await
    }

    /// One flight: the request, and what the application has said by now.
    async fn open_on_standby(
        &self,
        mut standby: Standby,
        id: StreamId,
        name: Option<&StreamName>,
        early: &Bytes,
    ) -> Result<Result<OpenStream, Refusal>, ChannelError> {
        let ProxyConfig { device, connect_timeout, response_timeout, transport, client_factory, .. } = &*self.config;
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let open = StandbyToHub::Open(StandbyOpenRequest {
            request_id: id,
            device: device.clone(),
            stream_name: name.cloned(),
            connect_timeout_ms: millis(connect_timeout),
            response_timeout_ms: millis(response_timeout),
            protocols: transport.protocols(),
            early: early.len().try_into().unwrap_or_default(),
        });
        standby.channel.send_with(&open, early.clone()).await?;
        let answer = timeout(*connect_timeout + *response_timeout + ROUND_TRIP_MARGIN, standby.channel.answer()).await;
        match answer.unwrap_or(Err(ChannelError::Silent))? {
            StandbyFromHub::Opened(opened) => {
                if !opened.reusable {
                    self.standbys.refill();
                }
                let (socket, slot) = standby.into_parts();
                let tunnel = Tunnel {
                    socket,
                    protocol: opened.protocol.as_deref().and_then(StreamProtocol::from_name),
                    resume_credential: opened.resume_grant.and_then(|grant| grant.credential()),
                    early: pump::EarlyData { sent: early.clone(), ..pump::EarlyData::default() },
                    reusable: opened.reusable,
                };
                let resume_target = ResumeTarget {
                    client_factory: client_factory.clone(),
                    url: opened.url,
                    hub: slot.client.hub().clone(),
                };
                Ok(Ok(OpenStream { tunnel, resume_target, slot: Some(slot) }))
            }
            StandbyFromHub::Refused { reason } => {
                self.standbys.put(standby);
                Ok(Err(reason))
            }
            StandbyFromHub::StreamRequest(_) => Err(ChannelError::Unexpected("a request for a stream, to a service")),
        }
    }

    /// The spec's two steps, once; and once more with fresh particulars if the hub is no longer where or what it was.
    async fn open_new(&self, name: Option<&StreamName>, state: &OpenState) -> Result<OpenStream, Refusal> {
        let (client, new) = self.client(None).await?;
        let refusal = match self.attempt(&client, name, state).await {
            Err(refusal) if !new && is_stale(refusal.kind) => refusal,
            other => return other,
        };
        let (fresh, _) = self.client(Some(&client)).await?;
        if refusal.kind == RefusalKind::HubUnreachable && fresh.hub() == client.hub() {
            return Err(refusal);
        }
        self.attempt(&fresh, name, state).await
    }

    /// The client in use, or a new one if there is none or it is the one that did not do, and whether it is new.
    /// Connections that come at once wait for one enrolment.
    async fn client(&self, stale: Option<&Client>) -> Result<(Client, bool), Refusal> {
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

    async fn attempt(
        &self,
        client: &Client,
        name: Option<&StreamName>,
        state: &OpenState,
    ) -> Result<OpenStream, Refusal> {
        let ProxyConfig { device, connect_timeout, response_timeout, transport, client_factory, .. } = &*self.config;
        let route = Route::Open(device.clone(), name.cloned());
        let mut headers = vec![
            (CONNECT_TIMEOUT_HEADER, connect_timeout.as_secs_f64().to_string()),
            (RESPONSE_TIMEOUT_HEADER, response_timeout.as_secs_f64().to_string()),
            (STREAM_PROTOCOL_HEADER, transport.protocols().join(", ")),
        ];
        headers.extend(state.id.map(|id| (STREAM_ID_HEADER, id.to_string())));
        if transport.standbys > 0 {
            headers.push((standby::REUSABLE_HEADER, standby::REUSABLE.into()));
        }
        let options = RequestOptions {
            headers,
            response_timeout: *connect_timeout + *response_timeout + ROUND_TRIP_MARGIN,
            ..RequestOptions::default()
        };
        let response = client.request(&route, options).await?;
        if header(&response, ACCEPTED_HEADER) != Some("True") {
            return Err(response_refusal(&response));
        }
        let incomplete = || Refusal::new(RefusalKind::BadRequest, "the hub's answer lacks the stream's URL or token");
        let url = header(&response, STREAM_URL_HEADER).ok_or_else(incomplete)?;
        let token = header(&response, STREAM_TOKEN_HEADER).and_then(|text| StreamToken::parse(text).ok());
        let token = token.ok_or_else(incomplete)?;
        let protocol = header(&response, STREAM_PROTOCOL_HEADER).and_then(StreamProtocol::from_name);
        let limit = header(&response, standby::STANDBY_LIMIT_HEADER).and_then(|limit| limit.parse().ok());
        let offer = header(&response, standby::STANDBY_URL_HEADER).zip(limit);
        self.standbys.update_offer(client, offer.map(|(url, limit)| StandbyOffer { url: url.into(), limit }));
        let mut tunnel = client.open_stream(url, &token, protocol).await?;
        tunnel.early.to_send = state.early.clone();
        tunnel.reusable = header(&response, standby::REUSABLE_HEADER) == Some(standby::REUSABLE);
        let slot = tunnel.reusable.then(|| self.standbys.adopt(client));
        let resume_target =
            ResumeTarget { client_factory: client_factory.clone(), url: url.into(), hub: client.hub().clone() };
        Ok(OpenStream { tunnel, resume_target, slot })
    }
}

/// What an application says at once goes along with the request. What others say later is carried like everything else.
async fn first_bytes<R: AsyncRead + Unpin>(local: &mut R) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(FIRST_READ_BYTES);
    let mut source = local.take(EARLY_DATA_BYTES as u64);
    timeout(EARLY_DATA_WAIT, source.read_buf(&mut bytes)).await.unwrap_or(Ok(0))?;
    // Where that was all there was room for, there may be more.
    while bytes.len() == bytes.capacity() && bytes.len() < EARLY_DATA_BYTES {
        bytes.reserve(EARLY_DATA_BYTES - bytes.len());
        if source.read_buf(&mut bytes).now_or_never().unwrap_or(Ok(0))? == 0 {
            break;
        }
    }
    Ok(bytes.freeze())
}

/// Whether other particulars of the hub might help.
fn is_stale(kind: RefusalKind) -> bool {
    matches!(kind, RefusalKind::HubUnreachable | RefusalKind::AuthenticationFailed | RefusalKind::CertificateNotTrusted)
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_that_an_application_says_at_once_goes_along_up_to_the_limit() {
        for (written, expected) in [
            (0, 0),
            (1, 1),
            (1500, 1500),
            (FIRST_READ_BYTES + 1, FIRST_READ_BYTES + 1),
            (EARLY_DATA_BYTES + 1, EARLY_DATA_BYTES),
        ] {
            let (mut application, mut local) = duplex(2 * EARLY_DATA_BYTES);
            application.write_all(&vec![7; written]).await.unwrap();
            assert_eq!(first_bytes(&mut local).await.unwrap().len(), expected, "{written}");
        }
    }
}
