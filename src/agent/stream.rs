//! One stream on the device: access policy, target, response, WebSocket, then its bytes.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::config::AgentConfig;
use super::recent_requests::RequestPath;
use super::targets::TargetConnection;
use super::{AgentContext, access_policy};
use crate::net::client::standby::Standby;
use crate::net::client::{Client, Connection, ResumeTarget};
use crate::net::os::{clock, random};
use crate::net::transport::socket::close_gracefully;
use crate::net::tunnel::pump::{Counters, EarlyData, Outcome, PumpContext, StreamEvent, Tunnel};
use crate::net::websocket::WebSocket;
use crate::proto::backoff::{Backoff, Jitter};
use crate::proto::limits::{BUSY_RETRY_BASE, BUSY_RETRY_CAP, TOKEN_LIFETIME};
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::secret::StreamToken;
use crate::proto::standby::{StandbyFromHub, StandbyStreamRequest, StandbyToHub};
use crate::proto::stream::{Ending, StreamProtocol};

/// Serves a request from the control connection. The target is connected before the request is accepted: a closed port
/// is a refusal with its reason, not a dead stream. Returns the stream's connection if it may stand by.
pub(super) async fn serve(
    context: AgentContext,
    client: Client,
    request: StreamRequest,
    response_sender: mpsc::Sender<StreamResponse>,
    full: bool,
) -> Option<Standby> {
    let connected = connect_target(&context, &request, RequestPath::Control, full).await;
    // Once the control connection has ended, the hub repeats the request on the next one.
    response_sender.send(response(&request, &connected)).await.ok()?;
    let target = match connected {
        Ok(target) => target,
        Err(refusal) => {
            log_refusal(&request, &refusal);
            return None;
        }
    };
    match open_tunnel(&context, &client, &request).await {
        Ok(tunnel) => {
            let slot = request.reusable.then(|| context.standby_pool.reserve(&client));
            let idle_socket = carry(&context, &client, &request, target, tunnel).await;
            idle_socket.zip(slot).map(|(socket, slot)| Standby::from_parts(socket, slot))
        }
        Err(response) => {
            // The service learns the reason at once, unless the control connection has ended too.
            let _ = response_sender.send(response).await;
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
    full: bool,
) -> Option<Standby> {
    let StandbyStreamRequest { stream: request, resume_grant, .. } = standby_request;
    let connected = tokio::select! {
        connected = connect_target(&context, &request, RequestPath::Standby, full) => connected,
        // Reading answers the hub's pings meanwhile. Any message, like the connection's end, cancels the request.
        message = standby.channel.next::<StandbyFromHub>() => {
            standby.close(message.err()).await;
            return None;
        }
    };
    standby.channel.send(&StandbyToHub::StreamResponse(response(&request, &connected))).await.ok()?;
    let target = match connected {
        Ok(target) => target,
        Err(refusal) => {
            log_refusal(&request, &refusal);
            return Some(standby);
        }
    };
    let (socket, slot) = standby.into_parts();
    let tunnel = Tunnel {
        socket,
        protocol: request.protocol.as_deref().and_then(StreamProtocol::from_name),
        resume_credential: resume_grant.and_then(|grant| grant.credential()),
        early: EarlyData { received: early, ..EarlyData::default() },
        reusable: request.reusable,
    };
    let socket = carry(&context, &slot.client, &request, target, tunnel).await?;
    Some(Standby::from_parts(socket, slot))
}

/// Connects the target, or calls its handler, if the request is no duplicate, the access policy allows it and a target
/// has the stream's name.
async fn connect_target(
    context: &AgentContext,
    request: &StreamRequest,
    path: RequestPath,
    full: bool,
) -> Result<TargetConnection, Refusal> {
    let config: &AgentConfig = &context.config;
    if !context.recent_requests.may_be_served(request.request_id, path) {
        // Its early data may have reached the target, and must not do so twice.
        return Err(Refusal::new(RefusalKind::RejectedByDevice, RefusalKind::LostWhileOpening.row().sentence));
    }
    if full {
        return Err(Refusal::new(RefusalKind::RejectedByDevice, "the device is at its limit of streams"));
    }
    let target = config.targets.find(&request.stream_name).ok_or(RefusalKind::StreamNotOffered)?;
    access_policy::check(&config.access_policy, &config.device, request).await?;
    target.open(request, &context.handlers).await
}

fn response(request: &StreamRequest, connected: &Result<TargetConnection, Refusal>) -> StreamResponse {
    let reason = connected.as_ref().err().cloned();
    StreamResponse { request_id: request.request_id, accepted: connected.is_ok(), reason }
}

fn log_refusal(request: &StreamRequest, refusal: &Refusal) {
    let StreamRequest { stream_name, service, .. } = request;
    tracing::warn!(target: "device-agent", "{stream_name}: refused {service}: {refusal}");
}

/// Opens the stream's WebSocket; on failure returns the response that revokes the acceptance.
async fn open_tunnel(
    context: &AgentContext,
    client: &Client,
    request: &StreamRequest,
) -> Result<Tunnel<Connection>, StreamResponse> {
    let StreamRequest { stream_name, request_id, .. } = request;
    let opened = match &request.authorization_token {
        Some(token) => open_in_turn(context, client, request, token).await,
        None => Err(Refusal::new(RefusalKind::BadRequest, "the hub sent no token")),
    };
    let opened = opened.map(|tunnel| Tunnel { reusable: request.reusable, ..tunnel });
    opened.map_err(|refusal| {
        tracing::warn!(target: "device-agent", "{stream_name}: could not open the stream: {refusal}");
        // The cause stays in this log: the hub, which chose the URL, must not scan the device's network with it.
        let reason =
            Some(Refusal::new(RefusalKind::RejectedByDevice, "it could not open the stream; its log has the cause"));
        StreamResponse { request_id: *request_id, accepted: false, reason }
    })
}

/// Opens the WebSocket, within the hub's limit of concurrent openings. While the hub is busy it is tried again, for as
/// long as the hub waits for it.
async fn open_in_turn(
    context: &AgentContext,
    client: &Client,
    request: &StreamRequest,
    token: &StreamToken,
) -> Result<Tunnel<Connection>, Refusal> {
    let protocol = request.protocol.as_deref().and_then(StreamProtocol::from_name);
    let (runtime, started_at) = (context.config.client_factory.runtime(), clock::now());
    let mut backoff = Backoff::new(BUSY_RETRY_BASE, BUSY_RETRY_CAP, Jitter::Quarter);
    loop {
        let left = TOKEN_LIFETIME.saturating_sub(started_at.elapsed());
        let permit = timeout(left, runtime.opening_permit()).await.map_err(|_| RefusalKind::HandshakeTimedOut)?;
        let refusal = match client.open_stream(&request.url, token, protocol).await {
            Ok(tunnel) => return Ok(tunnel),
            Err(refusal) => refusal,
        };
        drop(permit);
        let delay = backoff.next_delay(random::u64());
        if !refusal.kind.is_busy() || started_at.elapsed() + delay > TOKEN_LIFETIME {
            return Err(refusal);
        }
        sleep(delay).await;
    }
}

/// Carries the stream's bytes until both directions have ended. Returns the WebSocket if another stream may use it.
async fn carry(
    context: &AgentContext,
    client: &Client,
    request: &StreamRequest,
    target: TargetConnection,
    tunnel: Tunnel<Connection>,
) -> Option<WebSocket<Connection>> {
    let StreamRequest { stream_name, service, source, request_id, url, .. } = request;
    tracing::info!(target: "device-agent", "{stream_name}: opened for {service} at {source} id={request_id}");
    let counters = Counters::default();
    let pump_context = PumpContext {
        counters: &counters,
        on_event: &|event| log_event(request, &event),
        rejoin: ResumeTarget {
            client_factory: context.config.client_factory.clone(),
            url: url.clone(),
            hub: client.hub().clone(),
        },
        runtime: context.config.client_factory.runtime(),
        idle_timeout: context.config.transport.idle_timeout,
        network: context.network.clone(),
        stop: &context.stream_shutdown,
    };
    let (Outcome { ending, refusal }, socket, target) = target.carry(tunnel, pump_context).await;
    let (to_target, from_target) = counters.received_and_sent();
    let why = refusal.map(|refusal| format!(": {}", refusal.message())).unwrap_or_default();
    tracing::info!(
        target: "device-agent",
        "{stream_name}: {ending}{why} to-target={to_target} from-target={from_target} id={request_id}"
    );
    if let Some(target) = target.filter(|_| ending == Ending::Clean) {
        // In the background: the target's remaining bytes must not delay the connection's next stream.
        context.streams.spawn(close_gracefully(target));
    }
    socket
}

fn log_event(request: &StreamRequest, event: &StreamEvent) {
    let StreamRequest { stream_name, request_id, .. } = request;
    match event {
        // Logged by the control connection, once for all streams.
        StreamEvent::Draining(_) => {}
        StreamEvent::Interrupted(why) => {
            tracing::info!(target: "device-agent", "{stream_name}: interrupted ({why}); reconnecting id={request_id}");
        }
        StreamEvent::Resumed(after) => {
            let seconds = after.as_secs_f64();
            tracing::info!(target: "device-agent", "{stream_name}: resumed after {seconds:.1} s id={request_id}");
        }
    }
}
