//! NATS as the engine of a cluster: the link between hubs, and in `bucket` a key-value bucket of JetStream. Nothing else knows
//! async-nats.

pub mod bucket;
mod servers;

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::{Client, ConnectOptions, Event, Message, Request, StatusCode};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::timeout;

use super::link::{Cluster, LinkError, Received, ReplyPath};
use super::messages::Subject;
use crate::proto::admin::EngineServer;

/// The interval of pings to a server: one that is cut off is left after three.
const PING_INTERVAL: Duration = Duration::from_secs(2);

/// The time to connect to one server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest wait between two attempts to connect.
const MAX_RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// The wait before the second attempt, times their number.
const RECONNECT_STEP: Duration = Duration::from_millis(100);

/// The messages that wait to be sent, and that wait to be heard on one subject: some seconds of a large cluster. What does not fit
/// is lost, as it may be anyway.
const QUEUED_MESSAGES: usize = 16 * 1024;

/// How to reach the engine.
#[derive(Debug, Clone, Default)]
pub struct NatsServers {
    /// The URLs of its servers: `tls://HOST[:PORT]`.
    pub urls: Vec<String>,
    /// The text of a credentials file (`nsc generate creds`); `None` where the servers want none.
    pub credentials: Option<String>,
    /// A file with certificate authorities in PEM, beside those of the system.
    pub authorities: Option<PathBuf>,
}

/// A connection to the engine, which is made again whenever it is lost.
pub struct Nats {
    client: Client,
    connected: watch::Receiver<bool>,
    /// The number of servers that the hub was told.
    told: usize,
}

impl Nats {
    /// Connects in the background, in the name of this hub. Fails if the settings are wrong.
    pub async fn connect(servers: &NatsServers, name: &str) -> Result<Self, LinkError> {
        let (sender, connected) = watch::channel(false);
        let on_event = move |event| {
            match event {
                Event::Connected => drop(sender.send_replace(true)),
                Event::Disconnected | Event::Closed => drop(sender.send_replace(false)),
                Event::LameDuckMode
                | Event::Draining
                | Event::SlowConsumer(_)
                | Event::ServerError(_)
                | Event::ClientError(_) => tracing::debug!(target: "cluster", "NATS: {event}"),
            }
            std::future::ready(())
        };
        let delay = |attempt: usize| {
            let attempt = u32::try_from(attempt).unwrap_or(u32::MAX);
            RECONNECT_STEP.saturating_mul(attempt).min(MAX_RECONNECT_DELAY)
        };
        let mut options = ConnectOptions::new()
            .name(format!("devstream hub {name}"))
            .retry_on_initial_connect()
            .max_reconnects(None)
            .ping_interval(PING_INTERVAL)
            .connection_timeout(CONNECT_TIMEOUT)
            .client_capacity(QUEUED_MESSAGES)
            .subscription_capacity(QUEUED_MESSAGES)
            .reconnect_delay_callback(delay)
            .event_callback(on_event);
        if let Some(credentials) = &servers.credentials {
            options = options.credentials(credentials).map_err(unreachable)?;
        }
        if let Some(authorities) = &servers.authorities {
            options = options.add_root_certificates(authorities.clone());
        }
        let client = options.connect(&servers.urls).await.map_err(unreachable)?;
        Ok(Self { client, connected, told: servers.urls.len() })
    }

    /// Waits until the engine is in reach.
    pub async fn wait_connected(&self, within: Duration) -> Result<(), LinkError> {
        let mut connected = self.connected.clone();
        match timeout(within, connected.wait_for(|connected| *connected)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(LinkError::TimedOut(within)),
        }
    }

    /// The client, for what is stored.
    pub fn client(&self) -> &Client {
        &self.client
    }

    async fn gather_on(
        &self,
        subject: String,
        message: Bytes,
        replies: usize,
        within: Duration,
    ) -> Result<Vec<Bytes>, LinkError> {
        self.ensure_connected()?;
        let inbox = self.client.new_inbox();
        let mut subscription = self.client.subscribe(inbox.clone()).await.map_err(unreachable)?;
        self.client.publish_with_reply(subject, inbox, message).await.map_err(unreachable)?;
        let mut gathered = Vec::new();
        let all = async {
            while gathered.len() < replies
                && let Some(reply) = subscription.next().await
                && reply.status != Some(StatusCode::NO_RESPONDERS)
            {
                gathered.push(reply.payload);
            }
        };
        // What has not come by then does not count.
        let _ = timeout(within, all).await;
        Ok(gathered)
    }

    /// What is said while the engine is out of reach would be sent much later.
    fn ensure_connected(&self) -> Result<(), LinkError> {
        let is_connected = *self.connected.borrow();
        is_connected.then_some(()).ok_or_else(|| LinkError::Unreachable("no NATS server is in reach".into()))
    }
}

impl Cluster for Nats {
    fn tell(&self, subject: Subject, message: Bytes) -> BoxFuture<'_, Result<(), LinkError>> {
        async move {
            self.ensure_connected()?;
            self.client.publish(subject.to_string(), message).await.map_err(unreachable)
        }
        .boxed()
    }

    fn ask(&self, subject: Subject, message: Bytes, within: Duration) -> BoxFuture<'_, Result<Bytes, LinkError>> {
        async move {
            self.ensure_connected()?;
            let request = Request::new().payload(message).timeout(Some(within));
            match self.client.send_request(subject.to_string(), request).await {
                Ok(reply) => Ok(reply.payload),
                Err(error) => Err(match error.kind() {
                    RequestErrorKind::NoResponders => LinkError::NobodyListens,
                    RequestErrorKind::TimedOut => LinkError::TimedOut(within),
                    RequestErrorKind::InvalidSubject
                    | RequestErrorKind::MaxPayloadExceeded
                    | RequestErrorKind::Other => unreachable(error),
                }),
            }
        }
        .boxed()
    }

    fn gather(
        &self,
        subject: Subject,
        message: Bytes,
        replies: usize,
        within: Duration,
    ) -> BoxFuture<'_, Result<Vec<Bytes>, LinkError>> {
        self.gather_on(subject.to_string(), message, replies, within).boxed()
    }

    fn listen(&self, subject: Subject) -> BoxFuture<'_, Result<BoxStream<'static, Received>, LinkError>> {
        async move {
            let client = self.client.clone();
            let subscription = self.client.subscribe(subject.to_string()).await.map_err(unreachable)?;
            Ok(subscription.map(move |message| received(&client, message)).boxed())
        }
        .boxed()
    }

    fn servers(&self, within: Duration) -> BoxFuture<'_, Vec<EngineServer>> {
        servers::all(self, within).boxed()
    }

    fn is_connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }
}

fn received(client: &Client, message: Message) -> Received {
    let reply = message.reply.map(|inbox| {
        let client = client.clone();
        ReplyPath::new(move |reply| {
            async move {
                if let Err(error) = client.publish(inbox, reply).await {
                    tracing::debug!(target: "cluster", %error, "a reply was not sent");
                }
            }
            .boxed()
        })
    });
    Received { message: message.payload, reply }
}

fn unreachable(error: impl Display) -> LinkError {
    LinkError::Unreachable(error.to_string())
}
