//! One local connection, top to bottom: ask the hub, bring the WebSocket, carry the bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::config::ProxyConfig;
use super::{Event, View};
use crate::net::client::{Client, Connection, Particulars, refusal};
use crate::net::pump::{Counters, Outcome, pump};
use crate::net::socket;
use crate::net::websocket::WebSocket;
use crate::proto::http::{
    ACCEPTED_HEADER, CONNECT_TIMEOUT_HEADER, RESPONSE_TIMEOUT_HEADER, Route, STREAM_PROTOCOL, STREAM_PROTOCOL_HEADER,
    TOKEN_HEADER, URL_HEADER,
};
use crate::proto::id::{DeviceId, StreamName};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::secret::StreamToken;
use crate::proto::stream::Ending;

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
        Ok((socket, half_close)) => {
            tell(Event::Opened(view.clone()));
            let on_drain = |left| tell(Event::Draining(view.clone(), left));
            let outcome = pump(tcp.split(), socket, half_close, &view.counters, &on_drain).await;
            let Outcome { ending, refusal } = outcome;
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
    let (socket, half_close) = opened.map_err(|refusal| (Ending::Broken, refusal))?;
    let view =
        View { number: 1, from: None, to: label(&opener.config.device, name.as_ref()), counters: Counters::default() };
    let (view, tell) = (Arc::new(view), &opener.config.observer);
    let on_drain = |left| tell(Event::Draining(view.clone(), left));
    let Outcome { ending, refusal } = pump(pipes, socket, half_close, &view.counters, &on_drain).await;
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
}

impl Opener {
    pub(super) fn new(config: Arc<ProxyConfig>) -> Self {
        Self { config, client: Mutex::new(None) }
    }

    /// The spec's two steps, once; and once more with fresh particulars if the hub is no longer where or what it was.
    async fn open(&self, name: Option<&StreamName>) -> Result<(WebSocket<Connection>, bool), Refusal> {
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

    async fn attempt(
        &self,
        client: &Client,
        name: Option<&StreamName>,
    ) -> Result<(WebSocket<Connection>, bool), Refusal> {
        let ProxyConfig { device, connect_timeout, response_timeout, .. } = &*self.config;
        let route = Route::Open(device.clone(), name.cloned());
        let particulars = Particulars {
            headers: vec![
                (CONNECT_TIMEOUT_HEADER, connect_timeout.as_secs_f64().to_string()),
                (RESPONSE_TIMEOUT_HEADER, response_timeout.as_secs_f64().to_string()),
                (STREAM_PROTOCOL_HEADER, STREAM_PROTOCOL.into()),
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
        let protocol = header(&response, STREAM_PROTOCOL_HEADER);
        let socket = client.stream(url, &token, protocol).await?;
        Ok((socket, protocol == Some(STREAM_PROTOCOL)))
    }
}

/// Whether other particulars of the hub might help.
fn is_stale(kind: Kind) -> bool {
    matches!(kind, Kind::HubUnreachable | Kind::AuthenticationFailed | Kind::CertificateNotTrusted)
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
