//! One stream on the device, top to bottom: target, answer, WebSocket, bytes.

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::config::AgentConfig;
use super::standby::Way;
use super::targets::Target;
use super::{Life, access_policy};
use crate::net::client::{Client, Connection, WayBack};
use crate::net::pump::{Begun, Counters, Happening, Outcome, Terms, Tunnel};
use crate::net::socket::end_cleanly;
use crate::net::standby::Standby;
use crate::net::websocket::WebSocket;
use crate::proto::message::{StreamRequest, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::standby::{FromHub, Request, ToHub};
use crate::proto::stream::{Ending, StreamProtocol};

/// Connects the target first, and accepts only then: a closed port is a refusal with its reason, not a dead stream.
pub(super) async fn serve(
    life: Life,
    client: Client,
    request: StreamRequest,
    answers: mpsc::Sender<StreamResponse>,
    full: bool,
) {
    let connected = if life.standbys.admits(request.request_id, Way::Control) {
        target(&life, &request, full).await
    } else {
        Err(asked_before())
    };
    let response = response(&request, &connected);
    if answers.send(response).await.is_err() {
        // The control connection ended meanwhile: the hub asks again on the next one.
        return;
    }
    match connected {
        Ok(target) => match bring(&client, &request).await {
            Ok(tunnel) => {
                let kept = request.rests.then(|| life.standbys.adopt(&client));
                let rested = carry(&life, &client, &request, target, tunnel).await;
                if let Some((socket, kept)) = rested.zip(kept) {
                    life.standbys.keep(&life, Standby::again(socket, kept));
                }
            }
            // Unless the control connection has ended too, the service hears why, instead of waiting for nobody.
            Err(response) => drop(answers.send(response).await),
        },
        Err(refusal) => refused(&request, &refusal),
    }
}

/// The same on a connection that stood by: it is the stream's WebSocket already, and may stand by again.
pub(super) async fn serve_standby(
    life: Life,
    asked: Request,
    early: Bytes,
    mut standby: Standby,
    full: bool,
) -> Option<Standby> {
    let Request { stream: request, way_back, .. } = asked;
    let connect = async {
        if life.standbys.admits(request.request_id, Way::Standby) {
            target(&life, &request, full).await
        } else {
            Err(asked_before())
        }
    };
    let connected = tokio::select! {
        connected = connect => connected,
        // Meanwhile the hub hears that the device is there. Whatever it says, it wants the stream no more.
        said = standby.channel.next::<FromHub>() => {
            standby.end(said.err()).await;
            return None;
        }
    };
    standby.channel.send(&ToHub::StreamResponse(response(&request, &connected))).await.ok()?;
    let target = match connected {
        Ok(target) => target,
        Err(refusal) => {
            refused(&request, &refusal);
            return Some(standby);
        }
    };
    let (socket, kept) = standby.into_parts();
    let tunnel = Tunnel {
        socket,
        protocol: request.protocol.as_deref().and_then(StreamProtocol::named),
        pass: way_back.and_then(|way| way.pass()),
        begun: Begun { received: early, ..Begun::default() },
        rests: request.rests,
    };
    let socket = carry(&life, &kept.client, &request, target, tunnel).await?;
    Some(Standby::again(socket, kept))
}

/// What came along with a request may have reached its target, and must not do so twice.
fn asked_before() -> Refusal {
    Refusal::new(RefusalKind::RejectedByDevice, RefusalKind::LostWhileOpening.row().sentence)
}

fn response(request: &StreamRequest, connected: &Result<Target, Refusal>) -> StreamResponse {
    let reason = connected.as_ref().err().cloned();
    StreamResponse { request_id: request.request_id, accepted: connected.is_ok(), reason }
}

fn refused(request: &StreamRequest, refusal: &Refusal) {
    let StreamRequest { stream_name, service, .. } = request;
    tracing::warn!(target: "device-agent", "{stream_name}: refused {service}: {refusal}");
}

/// The stream's WebSocket, or what takes the yes back.
async fn bring(client: &Client, request: &StreamRequest) -> Result<Tunnel<Connection>, StreamResponse> {
    let StreamRequest { stream_name, request_id, url, .. } = request;
    let protocol = request.protocol.as_deref().and_then(StreamProtocol::named);
    let brought = match &request.authorization_token {
        Some(token) => client.stream(url, token, protocol).await,
        None => Err(Refusal::new(RefusalKind::BadRequest, "the hub gave no token")),
    };
    let brought = brought.map(|tunnel| Tunnel { rests: request.rests, ..tunnel });
    brought.map_err(|refusal| {
        tracing::warn!(target: "device-agent", "{stream_name}: could not open the stream: {refusal}");
        // What it met on the way is told here alone: the hub, which chose the URL, is not to look around with it.
        let reason =
            Some(Refusal::new(RefusalKind::RejectedByDevice, "it could not bring the stream; its log says why"));
        StreamResponse { request_id: *request_id, accepted: false, reason }
    })
}

/// The target's connection, or a handler's end, if the device wants the stream and offers it.
async fn target(life: &Life, request: &StreamRequest, full: bool) -> Result<Target, Refusal> {
    let config: &AgentConfig = &life.config;
    if full {
        return Err(Refusal::new(RefusalKind::RejectedByDevice, "the device is at its limit of streams"));
    }
    let offer = config.offers.find(&request.stream_name).ok_or(RefusalKind::StreamNotOffered)?;
    access_policy::ask(&config.consent, &config.device, request).await?;
    offer.open(request, &life.handlers).await
}

/// A request that was cancelled before its answer is dropped, and its target with it.
pub(super) async fn unless_cancelled(stop: CancellationToken, work: impl Future<Output = ()> + Unpin) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

async fn carry(
    life: &Life,
    client: &Client,
    request: &StreamRequest,
    target: Target,
    tunnel: Tunnel<Connection>,
) -> Option<WebSocket<Connection>> {
    let StreamRequest { stream_name, service, source, request_id, url, .. } = request;
    tracing::info!(target: "device-agent", "{stream_name}: opened for {service} at {source} id={request_id}");
    let counters = Counters::default();
    let terms = Terms {
        counters: &counters,
        tell: &|happening| tell(request, &happening),
        rejoin: WayBack { enrol: life.config.enrol.clone(), url: url.clone(), hub: client.hub().clone() },
        idle_timeout: life.config.line.idle_timeout,
        vigil: life.vigil.clone(),
        stop: &life.goodbye,
    };
    let (Outcome { ending, refusal }, socket, target) = target.carry(tunnel, terms).await;
    let (to_target, from_target) = counters.received_and_sent();
    let why = refusal.map(|refusal| format!(": {}", refusal.message())).unwrap_or_default();
    tracing::info!(
        target: "device-agent",
        "{stream_name}: {ending}{why} to-target={to_target} from-target={from_target} id={request_id}"
    );
    if let Some(target) = target.filter(|_| ending == Ending::Clean) {
        // What the target still says is none of the next stream's business.
        life.streams.spawn(end_cleanly(target));
    }
    socket
}

fn tell(request: &StreamRequest, happening: &Happening) {
    let StreamRequest { stream_name, request_id, .. } = request;
    match happening {
        // The control connection hears of it as well, once for all streams.
        Happening::Draining(_) => {}
        Happening::Interrupted(why) => {
            tracing::info!(target: "device-agent", "{stream_name}: interrupted ({why}); coming back id={request_id}");
        }
        Happening::Resumed(after) => {
            let seconds = after.as_secs_f64();
            tracing::info!(target: "device-agent", "{stream_name}: resumed after {seconds:.1} s id={request_id}");
        }
    }
}
