//! One local connection, top to bottom: ask the hub, bring the WebSocket, carry the bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::config::ProxyConfig;
use super::{Event, View};
use crate::net::client::{Client, Connection, Particulars, WayBack, refusal};
use crate::net::pump::{Counters, Happening, Outcome, Terms, Tunnel, pump};
use crate::net::socket;
use crate::net::vigil::Vigil;
use crate::proto::http::{
    ACCEPTED_HEADER, CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, Route, STREAM_PROTOCOL_HEADER, TOKEN_HEADER,
    URL_HEADER,
};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::secret::StreamToken;
use crate::proto::stream::{Ending, StreamProtocol};

/// The hub answers within the two timeouts; this much more is for the way there and back.
const MARGIN: Duration = Duration::from_secs(15);

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
    let view = View {
        number,
        from: Some(from),
        to: label(&opener.config.device, name.as_ref()),
        counters: Counters::default(),
    };
    let (view, tell) = (Arc::new(view), &opener.config.observer);
    tell(Event::Asked(view.clone()));
    match opener.open(name.as_ref()).await {
        Ok(opened) => {
            tell(Event::Opened(view.clone()));
            let Outcome { ending, refusal } = opener.carry(tcp.split(), opened, &view).await;
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
    let opened = opener.open(name.as_ref()).await;
    let opened = opened.map_err(|refusal| (Ending::Broken, refusal))?;
    let view =
        View { number: 1, from: None, to: label(&opener.config.device, name.as_ref()), counters: Counters::default() };
    let Outcome { ending, refusal } = opener.carry(pipes, opened, &Arc::new(view)).await;
    match ending {
        // An application that stops reading ends the session in its own time.
        Ending::Clean | Ending::LocalReset => Ok(()),
        Ending::PeerReset | Ending::Broken => Err((ending, refusal.unwrap_or_else(|| Kind::PeerGone.into()))),
    }
}

/// Opens streams to one device.
pub(super) struct Opener {
    config: Arc<ProxyConfig>,
    /// The client that worked last; enrolling anew for every connection would cost a round trip.
    client: Mutex<Option<Client>>,
    vigil: Vigil,
    /// Streams end, and say so.
    pub(super) goodbye: CancellationToken,
}

/// A stream that is open.
struct Opened {
    tunnel: Tunnel<Connection>,
    back: WayBack,
}

impl Opener {
    pub(super) fn new(config: Arc<ProxyConfig>, vigil: Vigil) -> Self {
        Self { config, client: Mutex::new(None), vigil, goodbye: CancellationToken::new() }
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
        let terms = Terms {
            counters: &view.counters,
            tell: &tell,
            rejoin: opened.back,
            patience: self.config.line.patience,
            vigil: self.vigil.clone(),
            stop: &self.goodbye,
        };
        pump(local, opened.tunnel, terms).await
    }

    /// The spec's two steps, once; and once more with fresh particulars if the hub is no longer where or what it was.
    async fn open(&self, name: Option<&StreamName>) -> Result<Opened, Refusal> {
        let (client, new) = self.client(None).await?;
        let refusal = match self.attempt(&client, name).await {
            Err(refusal) if !new && is_stale(refusal.kind) => refusal,
            other => return other,
        };
        let (fresh, _) = self.client(Some(&client)).await?;
        if refusal.kind == Kind::HubUnreachable && fresh.hub() == client.hub() {
            return Err(refusal);
        }
        self.attempt(&fresh, name).await
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

    async fn attempt(&self, client: &Client, name: Option<&StreamName>) -> Result<Opened, Refusal> {
        let ProxyConfig { device, connect_timeout, response_timeout, line, enrol, .. } = &*self.config;
        let route = Route::Open(device.clone(), name.cloned());
        let particulars = Particulars {
            headers: vec![
                (CONNECT_TIMEOUT_HEADER, connect_timeout.as_secs_f64().to_string()),
                (RESPONSE_TIMEOUT_HEADER, response_timeout.as_secs_f64().to_string()),
                (STREAM_PROTOCOL_HEADER, line.protocols().join(", ")),
            ],
            patience: *connect_timeout + *response_timeout + MARGIN,
            ..Particulars::default()
        };
        let response = client.ask(&route, particulars).await?;
        if header(&response, ACCEPTED_HEADER) != Some("True") {
            return Err(refusal(&response));
        }
        let incomplete = || Refusal::new(Kind::BadRequest, "the hub's answer lacks the stream's URL or token");
        let url = header(&response, URL_HEADER).ok_or_else(incomplete)?;
        let token = header(&response, TOKEN_HEADER).and_then(|text| StreamToken::parse(text).ok());
        let token = token.ok_or_else(incomplete)?;
        let protocol = header(&response, STREAM_PROTOCOL_HEADER).and_then(StreamProtocol::named);
        let tunnel = client.stream(url, &token, protocol).await?;
        let back = WayBack { enrol: enrol.clone(), url: url.into(), hub: client.hub().clone() };
        Ok(Opened { tunnel, back })
    }
}

/// Whether other particulars of the hub might help.
fn is_stale(kind: Kind) -> bool {
    matches!(kind, Kind::HubUnreachable | Kind::AuthenticationFailed | Kind::CertificateNotTrusted)
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
