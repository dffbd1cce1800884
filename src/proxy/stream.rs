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
use super::{Event, View};
use crate::net::channel::ChannelError;
use crate::net::client::{Client, Connection, Particulars, WayBack, refusal};
use crate::net::pump::{self, Counters, Happening, Outcome, Terms, Tunnel, pump};
use crate::net::standby::{Kept, Standby};
use crate::net::stream::{Stream, pair};
use crate::net::vigil::Vigil;
use crate::net::{random, socket};
use crate::proto::http::{
    ACCEPTED_HEADER, CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, Route, STREAM_ID_HEADER, STREAM_PROTOCOL_HEADER,
    TOKEN_HEADER, URL_HEADER,
};
use crate::proto::id::{DeviceId, StreamId, StreamName};
use crate::proto::limits::{EARLY_OPEN_BYTES, EARLY_WAIT};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{self, FromHub, Offer, Open, ToHub};
use crate::proto::stream::{Ending, StreamProtocol};

/// The hub answers within the two timeouts; this much more is for the way there and back.
const MARGIN: Duration = Duration::from_secs(15);

/// A TLS hello, most HTTP requests: more than this is read in another call. What is read is kept until it is acknowledged.
const FIRST_READ: usize = 2 * 1024;

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
    let (view, tell) = (opener.view(number, Some(from), name.as_ref()), &opener.config.observer);
    match opener.through(name.as_ref(), tcp.split(), &view).await {
        Ok(Outcome { ending, refusal }) => {
            if ending == Ending::Clean {
                socket::end_cleanly(tcp).await;
            }
            tell(Event::Ended(view, ending, refusal));
        }
        Err(refusal) => {
            drop(tcp);
            tell(Event::Refused(view, refusal));
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
    let (view, tell) = (opener.view(1, None, name.as_ref()), &opener.config.observer);
    match opener.through(name.as_ref(), pipes, &view).await {
        Ok(Outcome { ending, refusal }) => {
            tell(Event::Ended(view, ending, refusal.clone()));
            match ending {
                // An application that stops reading ends the session in its own time.
                Ending::Clean | Ending::LocalReset => Ok(()),
                Ending::PeerReset | Ending::Broken => Err((ending, refusal.unwrap_or_else(|| Kind::PeerGone.into()))),
            }
        }
        Err(refusal) => {
            tell(Event::Refused(view, refusal.clone()));
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
    let Opened { tunnel, back, kept } = opener.open(name, first).await?;
    let (stream, local) = pair();
    let work = async move {
        let counters = Counters::default();
        let (_, socket) = local.carry(tunnel, opener.terms(back, &counters, &|_| {})).await;
        if let (Some(socket), Some(kept)) = (socket, kept) {
            opener.standbys.put(Standby::again(socket, kept));
        }
    };
    Ok((stream, work))
}

/// Opens streams to one device.
pub(super) struct Opener {
    config: Arc<ProxyConfig>,
    /// The client that worked last; enrolling anew for every connection would cost a round trip.
    client: Arc<Mutex<Option<Client>>>,
    vigil: Vigil,
    pub(super) standbys: Standbys,
    /// Streams end, and say so.
    pub(super) goodbye: CancellationToken,
}

/// A stream that is open.
struct Opened {
    tunnel: Tunnel<Connection>,
    back: WayBack,
    /// Of a connection that stood by.
    kept: Option<Kept>,
}

/// What has become of a stream before its connection was lost.
#[derive(Default)]
struct Begun {
    /// What it was called, if the device may have some of it: the hub then does not ask it again.
    id: Option<StreamId>,
    /// What the application has said.
    early: Bytes,
}

impl Opener {
    pub(super) fn new(config: Arc<ProxyConfig>, vigil: Vigil) -> Self {
        let standbys = Standbys::new(config.line, vigil.clone());
        Self { config, client: Arc::default(), vigil, standbys, goodbye: CancellationToken::new() }
    }

    /// The same, to another device.
    pub(super) fn to(&self, device: DeviceId, connect_timeout: Duration) -> Self {
        let config = Arc::new(ProxyConfig { device, connect_timeout, ..(*self.config).clone() });
        let (client, standbys) = (self.client.clone(), self.standbys.clone());
        Self { config, client, vigil: self.vigil.clone(), standbys, goodbye: self.goodbye.clone() }
    }

    fn view(&self, number: u64, from: Option<SocketAddr>, name: Option<&StreamName>) -> Arc<View> {
        let to = label(&self.config.device, name);
        Arc::new(View { number, from, to, counters: Counters::default() })
    }

    /// A local connection's whole way, of whose beginning is told; of its end, once the local connection has one too.
    async fn through<R, W>(
        &self,
        name: Option<&StreamName>,
        (mut reader, writer): (R, W),
        view: &Arc<View>,
    ) -> Result<Outcome, Refusal>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let tell = &self.config.observer;
        tell(Event::Asked(view.clone()));
        let opened = self.open(name, &mut reader).await?;
        tell(Event::Opened(view.clone()));
        Ok(self.carry((reader, writer), opened, view).await)
    }

    /// Carries the bytes of a local connection.
    async fn carry<R, W>(&self, local: (R, W), opened: Opened, view: &Arc<View>) -> Outcome
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let tell = |happening| {
            let view = view.clone();
            (self.config.observer)(match happening {
                Happening::Draining(left) => Event::Draining(view, left),
                Happening::Interrupted(why) => Event::Interrupted(view, why),
                Happening::Resumed(after) => Event::Resumed(view, after),
            });
        };
        let (outcome, socket) = pump(local, opened.tunnel, self.terms(opened.back, &view.counters, &tell)).await;
        if let (Some(socket), Some(kept)) = (socket, opened.kept) {
            self.standbys.put(Standby::again(socket, kept));
        }
        outcome
    }

    fn terms<'a>(
        &'a self,
        rejoin: WayBack,
        counters: &'a Counters,
        tell: &'a (dyn Fn(Happening) + Sync),
    ) -> Terms<'a, WayBack> {
        let (patience, vigil) = (self.config.line.patience, self.vigil.clone());
        Terms { counters, tell, rejoin, patience, vigil, stop: &self.goodbye }
    }

    /// On a connection that stands by, or is brought for that; else the long way.
    async fn open<R: AsyncRead + Unpin>(&self, name: Option<&StreamName>, local: &mut R) -> Result<Opened, Refusal> {
        let mut begun = Begun::default();
        let ready = match self.standbys.take().await {
            None => self.standbys.bring().await,
            ready => ready,
        };
        if let Some(standby) = ready {
            let early = first_bytes(local).await;
            begun.early = early.map_err(|_| Refusal::new(Kind::EndedHere, "the application reset its connection"))?;
            let id = StreamId::from_bytes(random::bytes());
            begun.id = Some(id).filter(|_| !begun.early.is_empty());
            match self.open_on(standby, id, name, &begun.early).await {
                Ok(answer) => return answer,
                Err(ended) => {
                    tracing::debug!(target: "service-proxy", "a connection that stood by was dead: {ended}");
                    self.standbys.discard();
                }
            }
        }
        Box::pin(self.open_anew(name, &begun)).await
    }

    /// One flight: the request, and what the application has said by now.
    async fn open_on(
        &self,
        mut standby: Standby,
        id: StreamId,
        name: Option<&StreamName>,
        early: &Bytes,
    ) -> Result<Result<Opened, Refusal>, ChannelError> {
        let ProxyConfig { device, connect_timeout, response_timeout, line, enrol, .. } = &*self.config;
        let millis = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let open = ToHub::Open(Open {
            request_id: id,
            device: device.clone(),
            stream_name: name.cloned(),
            connect_timeout_ms: millis(connect_timeout),
            response_timeout_ms: millis(response_timeout),
            protocols: line.protocols(),
            early: early.len().try_into().unwrap_or_default(),
        });
        standby.channel.send_with(&open, early.clone()).await?;
        let answer = timeout(*connect_timeout + *response_timeout + MARGIN, standby.channel.answer()).await;
        match answer.unwrap_or(Err(ChannelError::Silent))? {
            FromHub::Opened(opened) => {
                if !opened.rests {
                    self.standbys.grow();
                }
                let (socket, kept) = standby.into_parts();
                let tunnel = Tunnel {
                    socket,
                    protocol: opened.protocol.as_deref().and_then(StreamProtocol::named),
                    pass: opened.way_back.and_then(|way| way.pass()),
                    begun: pump::Begun { sent: early.clone(), ..pump::Begun::default() },
                    rests: opened.rests,
                };
                let back = WayBack { enrol: enrol.clone(), url: opened.url, hub: kept.client.hub().clone() };
                Ok(Ok(Opened { tunnel, back, kept: Some(kept) }))
            }
            FromHub::Refused { reason } => {
                self.standbys.put(standby);
                Ok(Err(reason))
            }
            FromHub::StreamRequest(_) => Err(ChannelError::Unexpected("a request for a stream, to a service")),
        }
    }

    /// The spec's two steps, once; and once more with fresh particulars if the hub is no longer where or what it was.
    async fn open_anew(&self, name: Option<&StreamName>, begun: &Begun) -> Result<Opened, Refusal> {
        let (client, new) = self.client(None).await?;
        let refusal = match self.attempt(&client, name, begun).await {
            Err(refusal) if !new && is_stale(refusal.kind) => refusal,
            other => return other,
        };
        let (fresh, _) = self.client(Some(&client)).await?;
        if refusal.kind == Kind::HubUnreachable && fresh.hub() == client.hub() {
            return Err(refusal);
        }
        self.attempt(&fresh, name, begun).await
    }

    /// The client in use, or a new one if there is none or it is the one that did not do, and whether it is new.
    /// Connections that come at once wait for one enrolment.
    async fn client(&self, stale: Option<&Client>) -> Result<(Client, bool), Refusal> {
        let mut current = self.client.lock().await;
        match &*current {
            Some(client) if stale.is_none_or(|stale| !stale.is(client)) => Ok((client.clone(), false)),
            _ => {
                let client = (self.config.enrol)().await?;
                *current = Some(client.clone());
                Ok((client, true))
            }
        }
    }

    async fn attempt(&self, client: &Client, name: Option<&StreamName>, begun: &Begun) -> Result<Opened, Refusal> {
        let ProxyConfig { device, connect_timeout, response_timeout, line, enrol, .. } = &*self.config;
        let route = Route::Open(device.clone(), name.cloned());
        let mut headers = vec![
            (CONNECT_TIMEOUT_HEADER, connect_timeout.as_secs_f64().to_string()),
            (RESPONSE_TIMEOUT_HEADER, response_timeout.as_secs_f64().to_string()),
            (STREAM_PROTOCOL_HEADER, line.protocols().join(", ")),
        ];
        headers.extend(begun.id.map(|id| (STREAM_ID_HEADER, id.to_string())));
        if line.standbys > 0 {
            headers.push((standby::RESTS_HEADER, standby::RESTS.into()));
        }
        let particulars =
            Particulars { headers, patience: *connect_timeout + *response_timeout + MARGIN, ..Particulars::default() };
        let response = client.ask(&route, particulars).await?;
        if header(&response, ACCEPTED_HEADER) != Some("True") {
            return Err(refusal(&response));
        }
        let incomplete = || Refusal::new(Kind::BadRequest, "the hub's answer lacks the stream's URL or token");
        let url = header(&response, URL_HEADER).ok_or_else(incomplete)?;
        let token = header(&response, TOKEN_HEADER).and_then(|text| StreamToken::parse(text).ok());
        let token = token.ok_or_else(incomplete)?;
        let protocol = header(&response, STREAM_PROTOCOL_HEADER).and_then(StreamProtocol::named);
        let hold = header(&response, standby::HOLD_HEADER).and_then(|hold| hold.parse().ok());
        let offer = header(&response, standby::URL_HEADER).zip(hold);
        self.standbys.offered(client, offer.map(|(url, hold)| Offer { url: url.into(), hold }));
        let mut tunnel = client.stream(url, &token, protocol).await?;
        tunnel.begun.to_send = begun.early.clone();
        tunnel.rests = header(&response, standby::RESTS_HEADER) == Some(standby::RESTS);
        let kept = tunnel.rests.then(|| self.standbys.adopt(client));
        let back = WayBack { enrol: enrol.clone(), url: url.into(), hub: client.hub().clone() };
        Ok(Opened { tunnel, back, kept })
    }
}

/// What an application says at once goes along with the request. What others say later is carried like everything else.
async fn first_bytes<R: AsyncRead + Unpin>(local: &mut R) -> io::Result<Bytes> {
    let mut bytes = BytesMut::with_capacity(FIRST_READ);
    let mut source = local.take(EARLY_OPEN_BYTES as u64);
    timeout(EARLY_WAIT, source.read_buf(&mut bytes)).await.unwrap_or(Ok(0))?;
    // Where that was all there was room for, there may be more.
    while bytes.len() == bytes.capacity() && bytes.len() < EARLY_OPEN_BYTES {
        bytes.reserve(EARLY_OPEN_BYTES - bytes.len());
        if source.read_buf(&mut bytes).now_or_never().unwrap_or(Ok(0))? == 0 {
            break;
        }
    }
    Ok(bytes.freeze())
}

/// Whether other particulars of the hub might help.
fn is_stale(kind: Kind) -> bool {
    matches!(kind, Kind::HubUnreachable | Kind::AuthenticationFailed | Kind::CertificateNotTrusted)
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
        for (said, goes_along) in
            [(0, 0), (1, 1), (1500, 1500), (FIRST_READ + 1, FIRST_READ + 1), (EARLY_OPEN_BYTES + 1, EARLY_OPEN_BYTES)]
        {
            let (mut application, mut local) = duplex(2 * EARLY_OPEN_BYTES);
            application.write_all(&vec![7; said]).await.unwrap();
            assert_eq!(first_bytes(&mut local).await.unwrap().len(), goes_along, "{said}");
        }
    }
}
