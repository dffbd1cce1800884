//! One control connection, from hello to close. Each stream request gets a task and a response.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use futures_util::future::OptionFuture;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::AgentConfig;
use super::recent_requests::RequestPath;
use super::responses::{QueuedResponse, ResponseSender};
use super::target_watch::TargetReports;
use super::{ANOTHER_FLEET, AgentContext, Event, REPLACED_HERE, standby, stream};
use crate::net::client::{Client, Connection, IdentityChange};
use crate::net::log_throttle::LogThrottle;
use crate::net::os::clock;
use crate::net::os::sd_notify;
use crate::net::websocket::channel::{ChannelError, ControlChannel};
use crate::proto::backoff::ReconnectBackoff;
use crate::proto::http::{CONTROL_PROTOCOL, Route};
use crate::proto::id::{DeviceId, StreamId};
use crate::proto::limits::PENDING_PER_DEVICE;
use crate::proto::message::{Hello, StreamRequest, ToDevice, ToHub};
use crate::proto::refusal::{Detail, Refusal, RefusalKind};
use crate::proto::text;

/// The reason that a control connection ended or could not be opened.
pub(super) enum SessionEnd {
    /// The hub refused it, or could not be reached.
    Refused(Refusal),
    /// The open connection failed.
    Lost(ChannelError),
    /// Another agent with the same id replaced this one.
    Displaced {
        /// The address of the other agent, in words.
        from: Detail,
        /// The hub can refuse this one while the other one is there.
        yields: bool,
    },
    /// The machine has another key, or trusts another fleet, than the open connection's client: as these words say.
    ChangedHere(&'static str),
}

impl SessionEnd {
    /// Reports whether a change of network may help.
    pub(super) fn is_network_failure(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.kind == RefusalKind::HubUnreachable,
            Self::Lost(_) => true,
            Self::Displaced { .. } | Self::ChangedHere(_) => false,
        }
    }

    /// Reports whether there is a newer key, at the hub or here.
    pub(super) fn is_replaced_key(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.kind == RefusalKind::KeyReplaced,
            Self::ChangedHere(_) => true,
            Self::Lost(_) | Self::Displaced { .. } => false,
        }
    }

    /// Names the identity of a client whose connection ended so, where it is refused as one.
    fn of(self, client: &Client) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(refusal.of(client.principal())),
            Self::Lost(_) | Self::Displaced { .. } | Self::ChangedHere(_) => self,
        }
    }

    /// Words it for the agent's operator.
    pub(super) async fn describe(&self, context: &AgentContext) -> String {
        match self {
            // The agent tries again by itself.
            Self::Refused(refusal) if refusal.kind == RefusalKind::Draining => refusal.message(),
            Self::Refused(refusal) => refusal.with_hint(),
            Self::Lost(ended) => format!("lost the connection to the hub ({ended})"),
            Self::Displaced { from, .. } => {
                let row = RefusalKind::Displaced.row();
                let search = OptionFuture::from(context.config.find_other_agent.as_ref().map(|find| find()));
                match search.await.flatten() {
                    Some(process) => {
                        format!("{}: process {process} on this machine; stop one of the two", row.sentence)
                    }
                    None => format!("{} ({from}); {}", row.sentence, row.hint),
                }
            }
            Self::ChangedHere(words) => (*words).to_owned(),
        }
    }
}

impl From<Refusal> for SessionEnd {
    fn from(refusal: Refusal) -> Self {
        // Only who asked for it is refused so.
        if refusal.kind == RefusalKind::Displaced {
            return Self::Displaced { from: refusal.detail, yields: true };
        }
        Self::Refused(refusal)
    }
}

impl From<ChannelError> for SessionEnd {
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

/// Connects, sends the hello, and serves requests until the connection ends. Returns `None` if `stop` ended it. With
/// `if_offline`, it is refused while another agent of this device is there.
pub(super) async fn session(
    context: &AgentContext,
    backoff: &mut ReconnectBackoff,
    (stop, if_offline): (&CancellationToken, bool),
    stored_at: Option<SystemTime>,
) -> Option<SessionEnd> {
    let connected = tokio::select! {
        connected = connect(context, if_offline) => connected,
        () = stop.cancelled() => return None,
    };
    let (client, mut channel) = match connected {
        Ok(connected) => connected,
        Err(refusal) => return Some(refusal.into()),
    };
    let session = Session::new(context.clone(), client.clone());
    let end = tokio::select! {
        end = session.run(&mut channel, backoff) => Some(end),
        words = identity_replaced(context, &client, stored_at) => Some(SessionEnd::ChangedHere(words)),
        () = stop.cancelled() => None,
    };
    let end = end.map(|end| end.of(&client));
    match &end {
        Some(SessionEnd::Lost(ended)) => channel.close_with_error(ended).await,
        Some(SessionEnd::Refused(_) | SessionEnd::Displaced { .. }) => {}
        Some(SessionEnd::ChangedHere(_)) | None => channel.close().await,
    }
    end
}

/// Returns once the machine has another key than the client, or trusts another fleet, as its files say that have changed since
/// then; with the words for that.
async fn identity_replaced(context: &AgentContext, client: &Client, mut stored_at: Option<SystemTime>) -> &'static str {
    loop {
        stored_at = context.config.identity_stored_at.changed(stored_at).await;
        let Ok(stored) = context.config.client_factory.client().await else { continue };
        match client.change_to(&stored) {
            Some(IdentityChange::Key) => return REPLACED_HERE,
            Some(IdentityChange::Fleet) => {
                // What stands by verifies as before.
                context.standby_pool.set_offer(&stored, None);
                warn_of_former_streams(context);
                return ANOTHER_FLEET;
            }
            None => client.accept_certificate_of(&stored),
        }
    }
}

/// Streams that were verified before go on: the command that had this machine trust the fleet may have come by one.
fn warn_of_former_streams(context: &AgentContext) {
    let device = context.device();
    match context.streams.count() {
        0 => {}
        count => tracing::warn!(
            target: "device-agent",
            "{device}: {} from before this change may go on, with peers that no fleet has signed; to end them, restart the agent",
            text::count(count, "stream")
        ),
    }
}

async fn connect(context: &AgentContext, if_offline: bool) -> Result<(Client, ControlChannel<Connection>), Refusal> {
    let config = &context.config;
    let client = config.client_factory.client().await?;
    let device: DeviceId = client.principal().id.clone().into();
    context.device.lock().clone_from(&device);
    let socket = client.open_control(&Route::Control(device), CONTROL_PROTOCOL, if_offline).await?;
    Ok((client, ControlChannel::new(socket, config.transport.idle_timeout)))
}

struct Session {
    context: AgentContext,
    client: Client,
    /// Requests without a response yet, with the token that cancels their work.
    pending: HashMap<StreamId, Arc<CancellationToken>>,
    response_sender: mpsc::Sender<QueuedResponse>,
    response_receiver: mpsc::Receiver<QueuedResponse>,
    target_reports: TargetReports,
    /// A hub says each of these once on a connection. One that repeats them fills no disk.
    welcome_log: LogThrottle,
    drain_log: LogThrottle,
}

impl Session {
    fn new(context: AgentContext, client: Client) -> Self {
        let (response_sender, response_receiver) = mpsc::channel(PENDING_PER_DEVICE);
        let [welcome_log, drain_log] = [(); 2].map(|()| LogThrottle::default());
        let (pending, target_reports) = (HashMap::new(), context.target_watch.reports());
        Self { context, client, pending, response_sender, response_receiver, target_reports, welcome_log, drain_log }
    }

    async fn run(mut self, channel: &mut ControlChannel<Connection>, backoff: &mut ReconnectBackoff) -> SessionEnd {
        let hello = ToHub::Hello(Hello {
            version: env!("CARGO_PKG_VERSION").into(),
            run: self.context.run,
            protocols: self.context.config.transport.protocols(),
            forwards: self.context.config.targets.names(),
            accepts_any_name: self.context.config.targets.has_fallback(),
            reusable: self.context.config.transport.standbys > 0,
            certificates: self.client.has_fleet(),
        });
        if let Err(ended) = channel.send(&hello).await {
            return ended.into();
        }
        let mut network = self.context.network.clone();
        loop {
            let step = tokio::select! {
                report = self.target_reports.next() => channel.send(&report).await.map_err(SessionEnd::from),
                () = network.changed() => channel.probe().await.map_err(SessionEnd::from),
                message = channel.next() => match message {
                    Ok(message) => self.handle_message(message, backoff),
                    Err(ended) => Err(ended.into()),
                },
                Some(QueuedResponse { superseded, response }) = self.response_receiver.recv() => {
                    if superseded.is_cancelled() {
                        continue;
                    }
                    self.pending.remove(&response.request_id);
                    channel.send(&ToHub::StreamResponse(response)).await.map_err(SessionEnd::from)
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn handle_message(&mut self, message: ToDevice, backoff: &mut ReconnectBackoff) -> Result<(), SessionEnd> {
        match message {
            ToDevice::Welcome { version, standby, opening_limit, certificate, targets } => {
                if targets {
                    self.target_reports.begin();
                }
                if let Some(limit) = opening_limit {
                    self.context.config.client_factory.runtime().set_opening_limit(limit);
                }
                self.context.standby_pool.set_offer(&self.client, standby);
                backoff.connected(clock::now());
                certificate.iter().for_each(|certificate| self.take_certificate(certificate));
                if self.welcome_log.should_log() {
                    self.report_online(&version);
                }
            }
            ToDevice::Certificate { certificate } => self.take_certificate(&certificate),
            ToDevice::StreamRequest(request) => self.start_stream(request),
            ToDevice::StreamCancel { request_id } => {
                if let Some(work) = self.pending.remove(&request_id) {
                    work.cancel();
                }
            }
            ToDevice::Drain { reconnect_delay_ms } => {
                if self.drain_log.should_log() {
                    tracing::info!(target: "device-agent", "the hub is shutting down or restarting");
                }
                backoff.set_retry_after(Duration::from_millis(reconnect_delay_ms));
            }
            ToDevice::Displaced { by, yields } => {
                return Err(SessionEnd::Displaced { from: format!("from {by}").into(), yields });
            }
        }
        Ok(())
    }

    /// Presents a certificate from now on, if it is one of this device's fleet for its key and ends later than the present one.
    fn take_certificate(&self, certificate: &str) {
        let device = self.context.device();
        match self.client.accept_certificate(certificate) {
            Ok(Some(until)) => {
                let until = &until.rfc3339()[..10];
                tracing::info!(target: "device-agent", "{device}: the fleet has signed this device's key, until {until}");
            }
            Ok(None) => {}
            Err(unfit) if self.context.certificate_log.should_log() => {
                tracing::warn!(target: "device-agent", "{device}: ignored a certificate from the hub: {unfit}");
            }
            Err(_) => {}
        }
    }

    fn report_online(&self, hub_version: &str) {
        let AgentConfig { targets, observer, .. } = &*self.context.config;
        let device = self.context.device();
        tracing::debug!(target: "device-agent", version = hub_version, "welcomed");
        let online = format!("{device} is online at {}, offering {targets}", self.client.hub());
        tracing::info!(target: "device-agent", "{online}");
        sd_notify::status(&online);
        self.context.was_online.store(true, Ordering::Relaxed);
        observer(Event::Online);
    }

    /// Serves the request in a task of its own, so that no request delays this loop or another request.
    fn start_stream(&mut self, request: StreamRequest) {
        let id = request.request_id;
        let attempt = self.context.begin_attempt(&request, RequestPath::Control);
        let too_many =
            || Refusal::new(RefusalKind::DeviceBusy, format!("it has {PENDING_PER_DEVICE} streams being opened"));
        let has_room = self.pending.len() < PENDING_PER_DEVICE || self.pending.contains_key(&id);
        let attempt = attempt.and_then(|attempt| if has_room { Ok(attempt) } else { Err(too_many()) });
        let superseded = attempt.as_ref().map(|attempt| attempt.superseded.clone()).unwrap_or_default();
        // Until its response, the hub may cancel it too.
        self.pending.insert(id, superseded.clone());
        standby::refill(&self.context);
        let stream_guard = self.context.begin_stream(&request);
        let context = self.context.clone();
        let responses = ResponseSender::new(superseded.clone(), self.response_sender.clone());
        // Boxed here: the task would else have the room for it too.
        let work = Box::pin(stream::serve(context.clone(), self.client.clone(), request, responses, attempt));
        self.context.streams.spawn(async move {
            // Cancelled, a request is dropped together with its target.
            let idle = superseded.run_until_cancelled(work).await.flatten();
            drop(stream_guard);
            if let Some(idle) = idle {
                standby::keep(&context, idle);
            }
        });
    }
}
