//! One stream on the device: access policy, target, response, WebSocket, then its bytes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::{sleep, timeout};

use super::config::AgentConfig;
use super::recent_requests::Attempt;
use super::responses::ResponseSender;
use super::targets::TargetConnection;
use super::{AgentContext, access_policy};
use crate::net::client::standby::Standby;
use crate::net::client::{Client, Connection, RequestError, ResumeTarget};
use crate::net::e2e::config::SessionEnd;
use crate::net::os::{clock, random};
use crate::net::transport::socket::close_gracefully;
use crate::net::tunnel::pump::{Counters, EarlyData, Outcome, PumpContext, StreamEvent, Tunnel};
use crate::net::websocket::WebSocket;
use crate::proto::backoff::{Backoff, Jitter};
use crate::proto::id::{Principal, Role};
use crate::proto::limits::{BUSY_RETRY_BASE, BUSY_RETRY_CAP, EARLY_DATA_BYTES, OPEN_RETRIES, TOKEN_LIFETIME};
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{ResumeCredential, ResumeGrant};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{StandbyFromHub, StandbyStreamRequest, StandbyToHub};
use crate::proto::stream::{Ending, StreamProtocol};

/// Serves a request from the control connection. The target is connected before the request is accepted: a closed port
/// is a refusal with its reason, not a dead stream. Returns the stream's connection if it may stand by.
pub(super) async fn serve(
    context: AgentContext,
    client: Client,
    request: StreamRequest,
    responses: ResponseSender,
    attempt: Result<Attempt, Refusal>,
) -> Option<Standby> {
    let connected = connect_target(&context, &client, &request, &attempt).await;
    // Once the control connection has ended, the hub repeats the request on the next one.
    responses.send(response(&request, &connected)).await?;
    let attempt = attempt.ok()?;
    let mut connected = match connected {
        Ok(connected) => connected,
        Err(refusal) => {
            log_refusal(&context, &request, &refusal);
            return None;
        }
    };
    // It is of no use once there is a tunnel, which has its own.
    let opened = {
        let resume_credential = connected.resume_credential.take();
        open_tunnel(&context, &client, &request, resume_credential.as_deref()).await
    };
    match opened {
        Ok(tunnel) => {
            let slot = request.reusable.then(|| context.standby_pool.reserve(&client));
            let idle_socket = carry(&context, &request, &attempt.counters, connected, tunnel).await;
            idle_socket.zip(slot).map(|(socket, slot)| Standby::from_parts(socket, slot, attempt.counters.total()))
        }
        Err(response) => {
            // The service learns the reason at once, unless the control connection has ended too.
            if let Some(response) = response {
                let _ = responses.send(response).await;
            }
            None
        }
    }
}

/// Serves a request from a standby, which is the stream's WebSocket already. Returns it if it may stand by again.
pub(super) async fn serve_standby(
    context: AgentContext,
    standby_request: StandbyStreamRequest,
    early: Bytes,
    mut standby: Standby,
    attempt: Result<Attempt, Refusal>,
) -> Option<Standby> {
    let request = standby_request.stream;
    let connected = tokio::select! {
        connected = connect_target(&context, &standby.slot.client, &request, &attempt) => connected,
        // Reading answers the hub's pings meanwhile. Any message, like the connection's end, cancels the request.
        message = standby.channel.next::<StandbyFromHub>() => {
            standby.close(message.err()).await;
            return None;
        }
    };
    // Decided before the hub knows of the acceptance: from then on, it relies on the early data being passed on.
    // The start of a session without a ticket has no effect on the target. If it has one all the same, the session refuses it.
    let is_harmless = early.is_empty() || (standby_request.repeatable && request.end_to_end);
    let passes_early = attempt.as_ref().ok().filter(|_| connected.is_ok() && !is_harmless);
    if passes_early.is_some_and(|attempt| !context.recent_requests.lock().pass_early(attempt)) {
        return None;
    }
    let message = StandbyToHub::StreamResponse(response(&request, &connected));
    // A target that has bytes of the service answers soon, in most protocols: the acceptance goes out with the answer.
    let is_followed = connected.is_ok() && (1..EARLY_DATA_BYTES).contains(&early.len());
    let sent = if is_followed { standby.channel.buffer(&message).await } else { standby.channel.send(&message).await };
    if sent.is_err() {
        if let Some(attempt) = passes_early {
            context.recent_requests.lock().withhold_early(attempt);
        }
        return None;
    }
    let mut connected = match connected {
        Ok(connected) => connected,
        Err(refusal) => {
            log_refusal(&context, &request, &refusal);
            return Some(standby);
        }
    };
    let attempt = attempt.ok()?;
    let (socket, slot) = standby.into_parts();
    let tunnel = Tunnel {
        socket: Some(socket),
        protocol: request.protocol.as_deref().and_then(StreamProtocol::from_name),
        resume_credential: connected.resume_credential.take(),
        early: EarlyData { received: early, ..EarlyData::default() },
        reusable: request.reusable,
        hold_release: false,
    };
    let socket = carry(&context, &request, &attempt.counters, connected, tunnel).await?;
    Some(Standby::from_parts(socket, slot, attempt.counters.total()))
}

/// The device's part of a stream that it accepts.
struct Connected {
    target: TargetConnection,
    resume_target: ResumeTarget,
    /// The grant of the request, with which the stream is resumed.
    resume_credential: Option<Box<ResumeCredential>>,
    /// The end of its session, unless the stream is plain.
    session: Option<SessionEnd>,
}

/// Connects the target, or calls its handler, if the request is to be served, its URL is one to connect to, the access
/// policy allows it and a target has the stream's name.
async fn connect_target(
    context: &AgentContext,
    client: &Client,
    request: &StreamRequest,
    attempt: &Result<Attempt, Refusal>,
) -> Result<Connected, Refusal> {
    if let Err(refusal) = attempt {
        return Err(refusal.clone());
    }
    let config: &AgentConfig = &context.config;
    let resume_target = client.resume_target(config.client_factory.clone(), &request.url)?;
    let resume_credential = ResumeGrant::credential(request.resume_grant.as_ref())?.map(Box::new);
    let target = config.targets.find(&request.stream_name).ok_or(RefusalKind::StreamNotOffered)?;
    let session = session_for(config, client, request).await?;
    access_policy::check(&config.access_policy, &context.device(), request).await?;
    let opened = target.open(request, &context.handlers).await;
    if let Some(forward) = target.forward() {
        context.target_watch.note(forward, opened.as_ref().err());
    }
    Ok(Connected { target: opened?, resume_target, resume_credential, session })
}

/// Creates the device's end of the stream's session. A plain stream has none; only the services that this device's operator
/// names may open one, and none whose key is known.
async fn session_for(
    config: &AgentConfig,
    client: &Client,
    request: &StreamRequest,
) -> Result<Option<SessionEnd>, Refusal> {
    let StreamRequest { service, stream_name, end_to_end, .. } = request;
    if *end_to_end {
        let is_default = config.targets.is_default(stream_name);
        return client.device_session(service, stream_name, is_default).await.map(Some);
    }
    let principal = Principal { role: Role::Service, id: service.clone().into() };
    let is_named = config.access_policy.allow_plain.iter().any(|glob| glob.matches(service.as_str()));
    let why = match is_named {
        false => NOT_END_TO_END,
        true if client.has_known_key(&principal)? => KNOWN_AS_END_TO_END,
        true => return Ok(None),
    };
    Err(Refusal::new(RefusalKind::RejectedByDevice, why))
}

/// The device's reason for a plain stream of a service that it does not expect one of.
const NOT_END_TO_END: &str = "the stream is not encrypted end to end: drop --plain; this device accepts such only of \
                              services that its device-agent --allow-plain names";

/// The device's reason for a plain stream of a service that encrypted its streams before.
const KNOWN_AS_END_TO_END: &str = "the stream is not encrypted end to end, as this service's were before: drop --plain; \
                                   if the service no longer does, devstream trust forget service NAME on the device";

fn response(request: &StreamRequest, connected: &Result<Connected, Refusal>) -> StreamResponse {
    let is_secret = |kind| matches!(kind, RefusalKind::StreamingEndpointChanged | RefusalKind::BadRequest);
    let for_hub = |refusal: &Refusal| if is_secret(refusal.kind) { not_opened() } else { refusal.clone() };
    let reason = connected.as_ref().err().map(for_hub);
    let end_to_end = connected.as_ref().is_ok_and(|connected| connected.session.is_some());
    StreamResponse { request_id: request.request_id, accepted: connected.is_ok(), end_to_end, reason }
}

fn log_refusal(context: &AgentContext, request: &StreamRequest, refusal: &Refusal) {
    if refusal.kind == RefusalKind::DeviceBusy && !context.busy_log.should_log() {
        return;
    }
    let StreamRequest { stream_name, service, source, request_id, .. } = request;
    let why = refusal.with_hint();
    tracing::warn!(target: "device-agent", "{stream_name}: refused for {service} at {source}: {why} id={request_id}");
}

/// A refused token says nothing about the device's key.
const VOID_TOKEN: &str = "its token is void: the hub has given the stream up, or was killed meanwhile";

/// Opens the stream's WebSocket; on failure returns the response that revokes the acceptance, if the hub does not know.
async fn open_tunnel(
    context: &AgentContext,
    client: &Client,
    request: &StreamRequest,
    resume_credential: Option<&ResumeCredential>,
) -> Result<Tunnel<Connection>, Option<StreamResponse>> {
    let StreamRequest { stream_name, request_id, .. } = request;
    let opened = match &request.authorization_token {
        Some(token) => open_in_turn(context, client, request, token, resume_credential).await,
        None => Err(Refusal::new(RefusalKind::BadRequest, "the hub sent no token")),
    };
    let opened = opened.map(|tunnel| Tunnel { reusable: request.reusable, ..tunnel });
    opened.map_err(|refusal| {
        // The hub has voided the token: it requests the stream again, or has refused it.
        let is_known = refusal.kind == RefusalKind::AuthenticationFailed;
        let why = if is_known { VOID_TOKEN.to_owned() } else { refusal.with_hint() };
        tracing::warn!(target: "device-agent", "{stream_name}: could not open the stream: {why} id={request_id}");
        let reason = Some(not_opened());
        (!is_known).then_some(StreamResponse { request_id: *request_id, accepted: false, end_to_end: false, reason })
    })
}

/// The reason for the hub. The cause stays in this machine's log: the hub, which chose the URL, must not scan the device's
/// network with it.
fn not_opened() -> Refusal {
    Refusal::new(RefusalKind::RejectedByDevice, "it could not open the stream; its log has the cause")
}

/// Opens the WebSocket, within the hub's limit of concurrent openings. While the hub is busy it is tried again, for as
/// long as the hub waits for it. After a lost connection the hub may have admitted it: a stream that resumes is rejoined
/// then, and any other one tried again.
async fn open_in_turn(
    context: &AgentContext,
    client: &Client,
    request: &StreamRequest,
    token: &StreamToken,
    resume_credential: Option<&ResumeCredential>,
) -> Result<Tunnel<Connection>, Refusal> {
    let protocol = request.protocol.as_deref().and_then(StreamProtocol::from_name);
    let (runtime, started_at) = (context.config.client_factory.runtime(), clock::now());
    let (mut backoff, mut lost) = (Backoff::new(BUSY_RETRY_BASE, BUSY_RETRY_CAP, Jitter::Quarter), 0);
    loop {
        let left = TOKEN_LIFETIME.saturating_sub(started_at.elapsed());
        let permit = timeout(left, runtime.opening_permit()).await.map_err(|_| RefusalKind::HandshakeTimedOut)?;
        let opened = client.open_stream(&request.url, token, protocol).await;
        drop(permit);
        let (refusal, may_retry) = match (opened, resume_credential) {
            (Ok(tunnel), _) => return Ok(tunnel),
            (Err(RequestError::Lost(_)), Some(credential)) => return Ok(Tunnel::lost(credential.clone())),
            (Err(RequestError::Lost(refusal)), None) => {
                lost += 1;
                (refusal, lost <= OPEN_RETRIES)
            }
            (Err(RequestError::Refused(refusal)), _) => (refusal.clone(), refusal.kind.is_busy()),
        };
        let delay = backoff.delay_after(refusal.kind, random::u64());
        if !may_retry || started_at.elapsed() + delay > TOKEN_LIFETIME {
            return Err(refusal);
        }
        sleep(delay).await;
    }
}

/// Carries the stream's bytes until both directions have ended. Returns the WebSocket if another stream may use it.
async fn carry(
    context: &AgentContext,
    request: &StreamRequest,
    counters: &Arc<Counters>,
    Connected { target, resume_target, session, .. }: Connected,
    tunnel: Tunnel<Connection>,
) -> Option<WebSocket<Connection>> {
    let StreamRequest { stream_name, service, source, request_id, .. } = request;
    let how = if session.is_some() { "end-to-end" } else { "not encrypted end to end" };
    tracing::info!(target: "device-agent", "{stream_name}: opened for {service} at {source}, {how} id={request_id}");
    let pump_context = PumpContext {
        counters,
        on_event: &|event| log_event(request, &event),
        rejoin: resume_target,
        runtime: context.config.client_factory.runtime(),
        idle_timeout: context.config.transport.idle_timeout,
        network: context.network.clone(),
        stop: &context.stream_shutdown,
    };
    let (Outcome { ending, refusal }, socket, target) = target.carry(session, counters, tunnel, pump_context).await;
    let (to_target, from_target) = counters.received_and_sent();
    let why = refusal.map(|refusal| format!(": {}", reason_of_end(&refusal))).unwrap_or_default();
    tracing::info!(
        target: "device-agent",
        "{stream_name}: {ending}{why}; {to_target} bytes to the target, {from_target} from it id={request_id}"
    );
    if let Some(target) = target.filter(|_| ending == Ending::Clean) {
        // In the background: the target's remaining bytes must not delay the connection's next stream.
        let mut closing = Box::pin(close_gracefully(target));
        if closing.as_mut().now_or_never().is_none() {
            context.streams.spawn(closing);
        }
    }
    socket
}

/// Why a stream ended, with what to do about it where nobody else says so.
fn reason_of_end(refusal: &Refusal) -> String {
    if refusal.kind.is_of_session() { refusal.with_hint() } else { refusal.message() }
}

fn log_event(request: &StreamRequest, event: &StreamEvent) {
    let StreamRequest { stream_name, request_id, .. } = request;
    match event {
        // The control connection logs the drain, once for all streams.
        StreamEvent::SessionOpened | StreamEvent::Draining(_) => {}
        StreamEvent::Interrupted(why) => {
            tracing::info!(target: "device-agent", "{stream_name}: interrupted ({why}); reconnecting id={request_id}");
        }
        StreamEvent::Resumed(after) => {
            let seconds = after.as_secs_f64();
            tracing::info!(target: "device-agent", "{stream_name}: resumed after {seconds:.1} s id={request_id}");
        }
    }
}
