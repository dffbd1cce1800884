//! The streaming endpoint: a side shows its token, waits for the other one, and the bytes are carried.

use std::fmt::Debug;
use std::time::Duration;

use http::header;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::auth::Action;
use super::broker::{Admission, Event, JoinedStream, LegAttach, LegCredential, LegExit, Operation};
use super::broker_handle::{ActiveStream, Handover, LeaveGuard, Rendezvous};
use super::connection::{AuthenticatedIdentity, ConnectionContext};
use super::open::access_deadline;
use super::standby::{self, Identity};
use super::{Shared, Upgraded, responses};
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest};
use crate::net::tunnel::relay::{Leg, LegClose, RelayContext, relay};
use crate::net::websocket::{SocketKind, Transport, WebSocket, WebSocketError};
use crate::proto::http::{Bridge, list_contains};
use crate::proto::id::Role;
use crate::proto::keepalive::IdleTimeout;
use crate::proto::limits::CLOSE_TIMEOUT;
use crate::proto::refusal::RefusalKind;
use crate::proto::resume::{self, ResumeTicket, ResumeToken};
use crate::proto::secret::StreamToken;
use crate::proto::stream::StreamProtocol;
use crate::proto::websocket::{is_unmasked, unmasked};

/// A side that was let in, until it is joined.
pub(super) struct PendingLeg {
    pub(super) rendezvous: oneshot::Receiver<Rendezvous<Socket>>,
    pub(super) guard: LeaveGuard<Socket>,
    /// How long it may be silent, if it speaks `devstream.v1`.
    pub(super) idle_timeout: Option<IdleTimeout>,
    /// Its connection is used again after the stream.
    pub(super) reusable: bool,
}

/// A side that came on a connection of its own, and whose connection may stand by after the stream.
pub(super) struct AcceptedLeg {
    pending: PendingLeg,
    identity: Option<Identity>,
}

/// Checks who comes and what they show, and lets them in or not. The token is spent before the upgrade is answered.
pub(super) async fn upgrade(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    bridge: Bridge,
) -> HttpOutcome<Upgraded> {
    let authenticated = match context.authenticate_and_authorize(shared, request, Action::Bridge(&bridge)).await {
        Ok(authenticated) => authenticated,
        Err(refusal) => return HttpOutcome::Reply(responses::refusal(&refusal)),
    };
    let AuthenticatedIdentity { record, key, is_channel_bound } = authenticated;
    let authorization = request.header(header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    if authorization.is_some_and(|(scheme, _)| scheme == resume::SCHEME) {
        // Whoever comes back has shown who it is: that its stream is over by now is no offence.
        context.exempt_from_penalty();
    }
    let Some(credential) = authorization.and_then(|(scheme, text)| parse_credential(shared, scheme, text)) else {
        let refusal = context.auth_failed(shared, Some(&record.principal), "no stream token, or not one of ours");
        return HttpOutcome::Reply(responses::refusal(&refusal));
    };
    let arrival = LegAttach {
        leg: context.id,
        bridge,
        principal: record.principal.clone(),
        credential,
        address: context.address,
        until: access_deadline(&record.scope),
        scope: record.scope,
    };
    if let Err(refusal) = shared.activity.audit() {
        return HttpOutcome::Reply(responses::refusal(&refusal));
    }
    match shared.broker.attach_leg(arrival) {
        Ok(((Admission { protocol, ticket, reusable }, rendezvous), guard)) => {
            let headers = ticket.map(|(ticket, grace)| resume_headers(shared, &ticket, grace)).unwrap_or_default();
            let idle_timeout = protocol.map(|_| shared.config.idle_timeout);
            let (principal, authority) = (record.principal, request.authority.clone());
            let identity = reusable.map(|run| Identity { principal, key: key.key, authority, run });
            let pending = PendingLeg { rendezvous, guard, idle_timeout, reusable: reusable.is_some() };
            let state = Upgraded::Stream(Box::new(AcceptedLeg { pending, identity }));
            let (protocol, kind) = negotiate_subprotocol(request, protocol, is_channel_bound);
            HttpOutcome::Upgrade { protocol, headers, kind, state }
        }
        Err(refusal) => HttpOutcome::Reply(responses::refusal(&refusal)),
    }
}

/// The token of a handshake, or a ticket that this hub has signed.
fn parse_credential(shared: &Shared, scheme: &str, text: &str) -> Option<LegCredential> {
    if scheme == resume::SCHEME {
        let ticket = shared.resume_key.verify(&ResumeToken::parse(text)?)?;
        return Some(LegCredential::Ticket(Box::new(ticket)));
    }
    let token = (scheme == "Bearer").then(|| StreamToken::parse(text).ok())??;
    Some(LegCredential::Token(token.hash()))
}

/// What a side comes back with.
fn resume_headers(shared: &Shared, ticket: &ResumeTicket, grace: Duration) -> Vec<(&'static str, String)> {
    let token = shared.resume_key.sign(ticket);
    vec![
        (resume::RESUME_TOKEN_HEADER, token.reveal().into()),
        (resume::RESUME_GRACE_HEADER, grace.as_secs().to_string()),
    ]
}

/// Chooses the subprotocol that was agreed in the handshake, unmasked if that is offered and the TLS channel is bound;
/// else the first foreign one, which the original's C client offers and ignores.
fn negotiate_subprotocol(
    request: &HttpRequest,
    agreed: Option<StreamProtocol>,
    is_channel_bound: bool,
) -> (Option<String>, SocketKind) {
    let Some(offered) = request.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()) else {
        return (None, SocketKind::Stream);
    };
    match agreed.map(StreamProtocol::as_str) {
        Some(agreed) if is_channel_bound && list_contains(offered, &unmasked(agreed)) => {
            (Some(unmasked(agreed)), SocketKind::UnmaskedStream)
        }
        Some(agreed) if list_contains(offered, agreed) => (Some(agreed.into()), SocketKind::Stream),
        _ => {
            let is_foreign = |item: &&str| StreamProtocol::from_name(item).is_none() && !is_unmasked(item);
            (offered.split(',').map(str::trim).find(is_foreign).map(str::to_owned), SocketKind::Stream)
        }
    }
}

/// Waits for the other side, then carries the stream or hands the socket to the task that will.
pub(super) async fn run(
    shared: &Shared,
    context: &ConnectionContext,
    accepted: Box<AcceptedLeg>,
    socket: WebSocket<Socket>,
    resources: impl Debug + Send + 'static,
) {
    let AcceptedLeg { pending, identity } = *accepted;
    let reusable_leg = join_and_relay(shared, pending, Leg::new(socket, resources)).await;
    if let (Some(leg), Some(identity)) = (reusable_leg, identity) {
        Box::pin(standby::reuse(shared, context, identity, leg)).await;
    }
}

/// The same for a side that may go on to another stream after this one: then it comes back.
pub(super) async fn join_and_relay(shared: &Shared, pending: PendingLeg, mut leg: Leg<Socket>) -> Option<Leg<Socket>> {
    // The service's farewell is the end of the stream, or of this connection of it: it is dropped last.
    let PendingLeg { rendezvous, mut guard, idle_timeout, reusable } = pending;
    let rendezvous = wait_for_peer(rendezvous, &mut leg, idle_timeout, |leg_close| {
        tracing::debug!(target: "hub", reason = leg_close.reason(), "a side left before it was joined");
        guard.set_exit(leg_exit(leg_close, None));
        // Whoever else is on its way is told at once.
        guard.leave();
    });
    match rendezvous.await {
        Ok(Rendezvous::HandOver(peer)) => {
            let (return_to, returned) = oneshot::channel();
            let return_to = reusable.then_some(return_to);
            match peer.send(Handover { leg, return_to }) {
                Ok(()) => return returned.await.ok(),
                // It came too late.
                Err(Handover { leg, .. }) => leg.refuse(&RefusalKind::Interrupted.into()).await,
            }
        }
        Ok(Rendezvous::TakeOver(peer, joined, active)) => match timeout(CLOSE_TIMEOUT, peer).await {
            Ok(Ok(device)) => {
                // In a place of its own: the side that gives its socket away has no use for that.
                return Box::pin(relay_stream(shared, (device, leg), joined, &active, guard)).await;
            }
            _ => Box::pin(peer_lost_before_join(leg, *joined, shared, &active, guard)).await,
        },
        Ok(Rendezvous::Refused(refusal)) => leg.refuse(&refusal).await,
        Err(Some(leg_close)) => leg.close(&leg_close).await,
        Err(None) => {}
    }
    None
}

/// The meeting, or how the side left without one. Whether it left before it was joined or after is for the broker to say,
/// who hears of it: in the latter case it is the stream that it has left, and the other side is told so.
async fn wait_for_peer<T: Transport>(
    mut rendezvous: oneshot::Receiver<Rendezvous<T>>,
    leg: &mut Leg<T>,
    idle_timeout: Option<IdleTimeout>,
    left: impl FnOnce(&LegClose),
) -> Result<Rendezvous<T>, Option<LegClose>> {
    let leg_close = tokio::select! {
        biased;
        rendezvous = &mut rendezvous => return rendezvous.map_err(|_| None),
        leg_close = leg.buffer_until_joined(idle_timeout) => leg_close,
    };
    left(&leg_close);
    match rendezvous.await {
        Ok(joined @ (Rendezvous::HandOver(_) | Rendezvous::TakeOver(..))) => {
            leg.record_close(leg_close);
            Ok(joined)
        }
        Ok(Rendezvous::Refused(_)) | Err(_) => Err(Some(leg_close)),
    }
}

async fn relay_stream(
    shared: &Shared,
    (device, service): (Handover<Socket>, Leg<Socket>),
    joined: Box<JoinedStream>,
    active: &ActiveStream,
    mut guard: LeaveGuard<Socket>,
) -> Option<Leg<Socket>> {
    let Handover { leg: device, return_to } = device;
    let resumable = joined.protocol == Some(StreamProtocol::Resumable);
    let relay_context = RelayContext {
        text_allowed: joined.protocol.is_some(),
        resumable,
        reusable: joined.reusable,
        counters: &active.counters,
        cancel: &active.cancel,
        draining: &shared.draining,
        drain_timeout: shared.config.drain,
        reconnect_delay: &|| shared.reconnect_delay(),
        idle_timeout: shared.config.idle_timeout,
    };
    let relay_end = relay(device, service, &relay_context).await;
    let exit = match relay_end.closed_first() {
        Some((role, leg_close)) => leg_exit(leg_close, Some(role)),
        None if matches!(active.end_reason().kind, RefusalKind::Interrupted | RefusalKind::Draining) => {
            LegExit::Lost(None, active.end_reason().message())
        }
        None => LegExit::Deliberate,
    };
    let interrupted = resumable && matches!(exit, LegExit::Lost(..));
    let left = relay_end.closed_first().map(|(role, leg_close)| (role, leg_close.is_clean(), leg_close.reason()));
    guard.set_exit(exit);
    if relay_end.is_reusable() {
        record_end(shared, *joined, active, left);
        let (device, service) = relay_end.into_legs();
        // Its task has a place for it, or has ended.
        if let Some(return_to) = return_to {
            drop(return_to.send(device));
        }
        return Some(service);
    }
    if left.as_ref().is_some_and(|(_, clean, _)| *clean) {
        // It is open until the other side has all of it.
        Box::pin(relay_end.close(&relay_context, || active.end_reason())).await;
        record_end(shared, *joined, active, left);
        return None;
    }
    if !interrupted {
        record_end(shared, *joined, active, left);
    }
    // The sides may come back, or be awaited elsewhere, before the last word is said to the one that is left.
    drop(guard);
    Box::pin(relay_end.close(&relay_context, || active.end_reason())).await;
    None
}

/// The device's side was lost in the moment in which it was joined. On its first connection it has nothing to come back
/// with.
async fn peer_lost_before_join(
    leg: Leg<Socket>,
    joined: JoinedStream,
    shared: &Shared,
    active: &ActiveStream,
    mut guard: LeaveGuard<Socket>,
) {
    let departure = LegClose::Broken(WebSocketError::Truncated);
    let resumed = joined.opened.operation == Operation::StreamResumed;
    if resumed {
        guard.set_exit(leg_exit(&departure, Some(Role::Device)));
    } else {
        guard.set_exit(LegExit::Deliberate);
        record_end(shared, joined, active, Some((Role::Device, false, departure.reason())));
    }
    drop(guard);
    leg.refuse(&if resumed { RefusalKind::Interrupted } else { RefusalKind::PeerGone }.into()).await;
}

fn leg_exit(leg_close: &LegClose, role: Option<Role>) -> LegExit {
    match leg_close {
        lost if lost.is_loss() => LegExit::Lost(role, lost.reason()),
        clean if clean.is_clean() => LegExit::Closed,
        _ => LegExit::Deliberate,
    }
}

/// Every stream that the log saw open, it sees end: how, why, and by whom.
fn record_end(shared: &Shared, joined: JoinedStream, active: &ActiveStream, left: Option<(Role, bool, String)>) {
    let (result, reason, ended_by) = match left {
        Some((role, clean, reason)) => (if clean { "closed" } else { "broken" }, reason, Some(role)),
        None => ("ended", active.end_reason().message(), None),
    };
    shared.activity.record(Event {
        operation: Operation::StreamClosed,
        result,
        reason,
        ended_by,
        took: Some(clock::now().saturating_duration_since(joined.since)),
        bytes: Some(active.counters.total()),
        ..joined.opened
    });
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use tokio::io::duplex;

    use super::*;
    use crate::net::websocket::Endpoint;
    use crate::proto::stream::CLOSE_RESET;

    #[tokio::test(start_paused = true)]
    async fn a_leg_that_closes_while_it_is_being_joined_has_left_the_stream() {
        for is_joined in [true, false] {
            let (near, far) = duplex(1024);
            let mut end = WebSocket::new(far, &[], Endpoint::Client, SocketKind::Stream);
            let mut leg = Leg::new(WebSocket::new(near, &[], Endpoint::Server, SocketKind::Stream), ());
            end.writer.close(CLOSE_RESET, "").await.unwrap();
            let (broker, rendezvous) = oneshot::channel();
            let mut broker = Some(broker);
            let (give, _take) = oneshot::channel();
            let result = wait_for_peer(rendezvous, &mut leg, None, |_| {
                if let Some(broker) = broker.take().filter(|_| is_joined) {
                    assert!(broker.send(Rendezvous::HandOver(give)).is_ok(), "it still listens");
                }
            });
            let result = result.now_or_never().expect("the broker has decided");
            match (is_joined, result) {
                (true, Ok(Rendezvous::HandOver(_))) => {
                    assert!(leg.into_parts().is_none(), "something is left of the stream")
                }
                (false, Err(Some(leg_close))) => assert_eq!(leg_close.reason(), "reset"),
                (_, result) => panic!("{result:?}"),
            }
        }
    }
}
