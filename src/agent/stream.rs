//! One stream on the device, top to bottom: target, answer, WebSocket, bytes.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::AgentConfig;
use super::standby::RequestPath;
use super::targets::TargetConnection;
use super::{AgentContext, access_policy};
use crate::net::client::standby::Standby;
use crate::net::client::{Client, Connection, ResumeTarget};
use crate::net::transport::socket::close_gracefully;
use crate::net::tunnel::pump::{Counters, EarlyData, Outcome, PumpContext, StreamEvent, Tunnel};
use crate::net::websocket::WebSocket;
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::standby::{StandbyFromHub, StandbyStreamRequest, StandbyToHub};
use crate::proto::stream::{Ending, StreamProtocol};

/// Connects the target first, and accepts only then: a closed port is a refusal with its reason, not a dead stream.
pub(super) async fn serve(
    context: AgentContext,
    client: Client,
    request: StreamRequest,
    response_sender: mpsc::Sender<StreamResponse>,
    full: bool,
) {
    let connected = if context.standbys.is_first_delivery(request.request_id, RequestPath::Control) {
        target(&context, &request, full).await
    } else {
        Err(duplicate_request())
    };
    let response = response(&request, &connected);
    if response_sender.send(response).await.is_err() {
        // The control connection ended meanwhile: the hub asks again on the next one.
        return;
    }
    match connected {
        Ok(target) => match open_tunnel(&client, &request).await {
            Ok(tunnel) => {
                let slot = request.reusable.then(|| context.standbys.adopt(&client));
                let idle_socket = carry(&context, &client, &request, target, tunnel).await;
                if let Some((socket, slot)) = idle_socket.zip(slot) {
                    context.standbys.put(&context, Standby::from_parts(socket, slot));
                }
            }
            // Unless the control connection has ended too, the service hears why, instead of waiting for nobody.
            Err(response) => drop(response_sender.send(response).await),
        },
        Err(refusal) => log_refusal(&request, &refusal),
    }
}

/// The same on a connection that stood by: it is the stream's WebSocket already, and may stand by again.
pub(super) async fn serve_standby(
    context: AgentContext,
    standby_request: StandbyStreamRequest,
    early: Bytes,
    mut standby: Standby,
    full: bool,
) -> Option<Standby> {
    let StandbyStreamRequest { stream: request, resume_grant, .. } = standby_request;
    let connect = async {
        if context.standbys.is_first_delivery(request.request_id, RequestPath::Standby) {
            target(&context, &request, full).await
        } else {
            Err(duplicate_request())
        }
    };
    let connected = tokio::select! {
        connected = connect => connected,
        // Meanwhile the hub hears that the device is there. Whatever it says, it wants the stream no more.
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

/// What came along with a request may have reached its target, and must not do so twice.
fn duplicate_request() -> Refusal {
    Refusal::new(RefusalKind::RejectedByDevice, RefusalKind::LostWhileOpening.row().sentence)
}

fn response(request: &StreamRequest, connected: &Result<TargetConnection, Refusal>) -> StreamResponse {
    let reason = connected.as_ref().err().cloned();
    StreamResponse { request_id: request.request_id, accepted: connected.is_ok(), reason }
}

fn log_refusal(request: &StreamRequest, refusal: &Refusal) {
    let StreamRequest { stream_name, service, .. } = request;
    tracing::warn!(target: "device-agent", "{stream_name}: refused {service}: {refusal}");
}

/// The stream's WebSocket, or what takes the yes back.
async fn open_tunnel(client: &Client, request: &StreamRequest) -> Result<Tunnel<Connection>, StreamResponse> {
    let StreamRequest { stream_name, request_id, url, .. } = request;
    let protocol = request.protocol.as_deref().and_then(StreamProtocol::from_name);
    let opened = match &request.authorization_token {
        Some(token) => client.open_stream(url, token, protocol).await,
        None => Err(Refusal::new(RefusalKind::BadRequest, "the hub gave no token")),
    };
    let opened = opened.map(|tunnel| Tunnel { reusable: request.reusable, ..tunnel });
    opened.map_err(|refusal| {
        tracing::warn!(target: "device-agent", "{stream_name}: could not open the stream: {refusal}");
        // What it met on the way is told here alone: the hub, which chose the URL, is not to look around with it.
        let reason =
            Some(Refusal::new(RefusalKind::RejectedByDevice, "it could not bring the stream; its log says why"));
        StreamResponse { request_id: *request_id, accepted: false, reason }
    })
}

/// The target's connection, or a handler's end, if the device wants the stream and offers it.
async fn target(context: &AgentContext, request: &StreamRequest, full: bool) -> Result<TargetConnection, Refusal> {
    let config: &AgentConfig = &context.config;
    if full {
        return Err(Refusal::new(RefusalKind::RejectedByDevice, "the device is at its limit of streams"));
    }
    let target = config.targets.find(&request.stream_name).ok_or(RefusalKind::StreamNotOffered)?;
    access_policy::check(&config.access_policy, &config.device, request).await?;
    target.open(request, &context.handlers).await
}

/// A request that was cancelled before its answer is dropped, and its target with it.
pub(super) async fn unless_cancelled(stop: CancellationToken, work: impl Future<Output = ()> + Unpin) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

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
        // What the target still says is none of the next stream's business.
        context.streams.spawn(close_gracefully(target));
    }
    socket
}

fn log_event(request: &StreamRequest, event: &StreamEvent) {
    let StreamRequest { stream_name, request_id, .. } = request;
    match event {
        // The control connection hears of it as well, once for all streams.
        StreamEvent::Draining(_) => {}
        StreamEvent::Interrupted(why) => {
            tracing::info!(target: "device-agent", "{stream_name}: interrupted ({why}); coming back id={request_id}");
        }
        StreamEvent::Resumed(after) => {
            let seconds = after.as_secs_f64();
            tracing::info!(target: "device-agent", "{stream_name}: resumed after {seconds:.1} s id={request_id}");
        }
    }
}
