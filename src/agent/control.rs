//! One control connection, from hello to its end: each request gets a task and, once, an answer.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::AgentConfig;
use super::{Event, Life, stream};
use crate::net::channel::{ChannelError, ControlChannel};
use crate::net::client::{Client, Connection};
use crate::net::clock;
use crate::net::notify;
use crate::proto::backoff::Backoff;
use crate::proto::http::{CONTROL_PROTOCOL, Route};
use crate::proto::id::StreamId;
use crate::proto::limits::PENDING_PER_DEVICE;
use crate::proto::message::{Hello, StreamRequest, StreamResponse, ToDevice, ToHub};
use crate::proto::refusal::{Kind, Refusal};

/// Why a control connection is over, or was never made.
pub(super) enum End {
    /// The hub said no, or could not be reached.
    Refused(Refusal),
    /// It was there, and broke.
    Lost(ChannelError),
    /// Another agent with the same id took over.
    Displaced {
        /// From there.
        by: SocketAddr,
    },
}

impl End {
    /// Whether another network, or the same one at another time, may do better.
    pub(super) fn is_of_the_network(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.kind == Kind::HubUnreachable,
            Self::Lost(_) => true,
            Self::Displaced { .. } => false,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Lost(ended) => write!(f, "lost the hub ({ended})"),
            Self::Displaced { by } => {
                let row = Kind::Displaced.row();
                write!(f, "{} (from {by}); {}", row.sentence, row.hint)
            }
        }
    }
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<ChannelError> for End {
    fn from(ended: ChannelError) -> Self {
        match ended {
            ChannelError::Closed(Some(refusal)) => Self::Refused(refusal),
            ChannelError::Closed(None)
            | ChannelError::Silent
            | ChannelError::Message(_)
            | ChannelError::Unexpected(_)
            | ChannelError::Broken(_) => Self::Lost(ended),
        }
    }
}

/// Connects, says hello, and serves requests until the connection ends; `None` if that is because of `stop`.
pub(super) async fn session(life: &Life, backoff: &mut Backoff, stop: &CancellationToken) -> Option<End> {
    let connected = tokio::select! {
        connected = connect(&life.config) => connected,
        () = stop.cancelled() => return None,
    };
    let (client, mut channel) = match connected {
        Ok(connected) => connected,
        Err(refusal) => return Some(refusal.into()),
    };
    let session = Session::new(life.clone(), client);
    let end = tokio::select! {
        end = session.run(&mut channel, backoff) => Some(end),
        () = stop.cancelled() => None,
    };
    match &end {
        Some(End::Lost(ended)) => channel.end(ended).await,
        Some(End::Refused(_) | End::Displaced { .. }) => {}
        None => channel.leave().await,
    }
    end
}

async fn connect(config: &AgentConfig) -> Result<(Client, ControlChannel<Connection>), Refusal> {
    let client = (config.enrol)().await?;
    let socket = client.control(&Route::Control(config.device.clone()), CONTROL_PROTOCOL).await?;
    Ok((client, ControlChannel::new(socket, config.line.patience)))
}

struct Session {
    life: Life,
    client: Client,
    /// Requests that are not yet answered, and what stops the work on them.
    pending: HashMap<StreamId, CancellationToken>,
    answers: mpsc::Sender<StreamResponse>,
    answered: mpsc::Receiver<StreamResponse>,
}

impl Session {
    fn new(life: Life, client: Client) -> Self {
        let (answers, answered) = mpsc::channel(PENDING_PER_DEVICE);
        Self { life, client, pending: HashMap::new(), answers, answered }
    }

    async fn run(mut self, channel: &mut ControlChannel<Connection>, backoff: &mut Backoff) -> End {
        let hello = ToHub::Hello(Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            run: self.life.run,
            protocols: self.life.config.line.protocols(),
            forwards: self.life.config.offers.names(),
            others: self.life.config.offers.has_others(),
            rests: self.life.config.line.standbys > 0,
        });
        if let Err(ended) = channel.send(&hello).await {
            return ended.into();
        }
        let mut vigil = self.life.vigil.clone();
        loop {
            let step = tokio::select! {
                () = vigil.changed() => channel.probe().await.map_err(End::from),
                message = channel.next() => match message {
                    Ok(message) => self.heard(message, backoff),
                    Err(ended) => Err(ended.into()),
                },
                Some(response) = self.answered.recv() => {
                    self.pending.remove(&response.request_id);
                    channel.send(&ToHub::StreamResponse(response)).await.map_err(End::from)
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn heard(&mut self, message: ToDevice, backoff: &mut Backoff) -> Result<(), End> {
        match message {
            ToDevice::Welcome { version, standby } => {
                self.life.standbys.offered(&self.client, standby);
                backoff.connected(clock::now());
                let AgentConfig { device, offers, .. } = &*self.life.config;
                let hub = self.client.hub();
                tracing::debug!(target: "device-agent", version, "welcomed");
                let online = format!("{device} is online at {hub}, offering {offers}");
                tracing::info!(target: "device-agent", "{online}");
                notify::status(&online);
                (self.life.config.observer)(Event::Online);
            }
            ToDevice::StreamRequest(request) => self.requested(request),
            ToDevice::StreamCancel { request_id } => {
                if let Some(work) = self.pending.remove(&request_id) {
                    work.cancel();
                }
            }
            ToDevice::Drain { back_ms } => {
                tracing::info!(target: "device-agent", "the hub is shutting down or restarting");
                backoff.come_back_after(Duration::from_millis(back_ms));
            }
            ToDevice::Displaced { by } => return Err(End::Displaced { by }),
        }
        Ok(())
    }

    /// Nothing that happens to one request is felt by this loop or by another.
    fn requested(&mut self, request: StreamRequest) {
        let stop = CancellationToken::new();
        let id = request.request_id;
        let full = self.life.is_full() || self.pending.len() >= PENDING_PER_DEVICE;
        self.life.standbys.grow(&self.life);
        let over = self.life.asked(&request);
        let work = stream::serve(self.life.clone(), self.client.clone(), request, self.answers.clone(), full);
        self.pending.insert(id, stop.clone());
        self.life.streams.spawn(async move {
            stream::unless_cancelled(stop, Box::pin(work)).await;
            drop(over);
        });
    }
}
