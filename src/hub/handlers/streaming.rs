//! The streaming endpoint: a leg presents its token, waits for the other leg, and the stream's bytes are relayed.

use std::time::Duration;

use http::header;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::hub::auth::Action;
use crate::hub::broker::{JoinedStream, LegAdmission, LegAttach, LegCredential, LegExit};
use crate::hub::broker_handle::{ActiveStream, EndConnection, Handover, JoinOutcome, LeaveGuard};
use crate::hub::connection::{AuthenticatedIdentity, ConnectionContext};
use crate::hub::consequences::Clocks;
use crate::hub::event::{Event, Operation};
use crate::hub::handlers::elsewhere::confirm_life;
use crate::hub::own_urls::UrlAuthority;
use crate::hub::relief;
use crate::hub::responses;
use crate::hub::shared::Shared;
use crate::hub::shutdown::reconnect_delay;
use crate::net::os::clock;
use crate::net::os::send_queues::Ends;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest};
use crate::net::transport::socket::canonical;
use crate::net::tunnel::relay::{Leg, LegClose, RelayContext, relay};
use crate::net::websocket::{SocketKind, Transport, WebSocketError};
use crate::proto::http::{Bridge, list_contains};
use crate::proto::id::{Principal, Role};
use crate::proto::keepalive::IdleTimeout;
use crate::proto::key::PublicKey;
use crate::proto::limits::{BUSY_STREAMS, CLOSE_TIMEOUT};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{self, ResumeCredential, ResumeToken};
use crate::proto::secret::StreamToken;
use crate::proto::stream::StreamProtocol;
use crate::proto::websocket::{is_unmasked, unmasked};

/// The time for which a leg that returns is held at one hub of a cluster: far below what it waits for a response, and longer than a dead hub
/// keeps the other end from coming.
const HELD: Duration = Duration::from_secs(10);

/// The broker's decision on a leg.
type Rendezvous = oneshot::Receiver<JoinOutcome<Socket>>;

/// An admitted leg until it is joined.
pub(in crate::hub) struct PendingLeg {
    pub(in crate::hub) rendezvous: Rendezvous,
    pub(in crate::hub) guard: LeaveGuard<Socket>,
    /// The idle timeout, if the leg speaks one of devstream's protocols.
    pub(in crate::hub) idle_timeout: Option<IdleTimeout>,
    /// The connection is reused after the stream.
    pub(in crate::hub) reusable: bool,
}

/// An admitted leg on a connection of its own.
pub(in crate::hub) struct AcceptedLeg {
    pub(in crate::hub) pending: PendingLeg,
    /// The identity for which the connection stands by after the stream, if it may.
    pub(in crate::hub) reuse_as: Option<StandbyIdentity>,
}

/// The identity for which a connection stands by.
pub(in crate::hub) struct StandbyIdentity {
    pub principal: Principal,
    /// The key that authenticated the connection.
    pub key: PublicKey,
    /// The host and port in the URLs for its client.
    pub authority: UrlAuthority,
    /// The run of the device's agent: a new number for each start.
    pub run: u64,
}

/// Authenticates a leg, checks its token or ticket, and admits it or not. The token is spent before the response to the
/// upgrade.
pub(in crate::hub) async fn upgrade(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    bridge: Bridge,
) -> HttpOutcome<AcceptedLeg> {
    let authenticated = match context.authenticate_and_authorize(shared, request, Action::AttachLeg(&bridge)).await {
        Ok(authenticated) => authenticated,
        Err(refusal) => return HttpOutcome::Reply(responses::refusal(&refusal)),
    };
    let AuthenticatedIdentity { record, key, is_channel_bound } = authenticated;
    let authorization = request.header(header::AUTHORIZATION.as_str()).and_then(|value| value.split_once(' '));
    // The identity is authenticated, and tokens are not to be guessed: one of a stream that has ended meanwhile, or is
    // being opened again, costs no penalty.
    context.exempt_from_penalty();
    let Some(credential) = authorization.and_then(|(scheme, text)| parse_credential(shared, scheme, text)) else {
        let refusal = context.auth_failed(shared, Some(&record.principal), "missing or invalid stream token");
        return HttpOutcome::Reply(responses::refusal(&refusal));
    };
    if let LegCredential::Ticket(ticket) = &credential {
        if let Err(refusal) = relief::return_capacity(shared, &ticket.service) {
            return HttpOutcome::Reply(responses::refusal(&refusal));
        }
        Box::pin(confirm_life(shared, ticket)).await;
    }
    let attach = LegAttach {
        leg: context.id,
        bridge,
        principal: record.principal.clone(),
        credential,
        address: context.address,
        until: Clocks::now().access_deadline(&record.scope),
        scope: record.scope,
        key: Clocks::now().leg_key(&key),
    };
    if let Err(refusal) = shared.activity.audit_checkpoint() {
        return HttpOutcome::Reply(responses::refusal(&refusal));
    }
    let is_return = matches!(attach.credential, LegCredential::Ticket(_));
    match shared.streams.broker.attach_leg(attach) {
        Ok(((LegAdmission { protocol, ticket, reusable_by_run }, mut rendezvous), guard)) => {
            if is_return && shared.cluster.is_some() {
                rendezvous = match hold(rendezvous).await {
                    Ok(joined) => joined,
                    Err(refusal) => return HttpOutcome::Reply(responses::refusal(&refusal)),
                };
            }
            let headers = ticket.map(|ticket| resume_headers(shared.resume_credential(&ticket))).unwrap_or_default();
            let idle_timeout = protocol.map(|_| shared.config.idle_timeout);
            let (principal, key) = (record.principal, key.key);
            let authority = || shared.endpoints.urls.authority_for(&request.authority);
            let reuse_as = reusable_by_run.map(|run| StandbyIdentity { principal, key, authority: authority(), run });
            let pending = PendingLeg { rendezvous, guard, idle_timeout, reusable: reusable_by_run.is_some() };
            let state = AcceptedLeg { pending, reuse_as };
            let (protocol, kind) = negotiate_subprotocol(request, protocol, is_channel_bound);
            HttpOutcome::Upgrade { protocol, headers, kind, state }
        }
        Err(refusal) => HttpOutcome::Reply(responses::refusal(&refusal)),
    }
}

/// Holds the response to a leg that returns until the other one is there, for [`HELD`]: a leg that was told to wait has a ticket of
/// this hub, and the two would look for each other at different ones if this one died as well.
async fn hold(rendezvous: Rendezvous) -> Result<Rendezvous, Refusal> {
    match timeout(HELD, rendezvous).await {
        Ok(Ok(JoinOutcome::Refused(refusal))) => Err(refusal),
        Ok(Ok(joined)) => {
            let (sender, rendezvous) = oneshot::channel();
            // Received by whoever runs the leg.
            let _ = sender.send(joined);
            Ok(rendezvous)
        }
        Ok(Err(_)) | Err(_) => Err(RefusalKind::Interrupted.into()),
    }
}

/// Parses the token of a handshake, or a resume ticket and verifies its signature.
fn parse_credential(shared: &Shared, scheme: &str, text: &str) -> Option<LegCredential> {
    if scheme == resume::SCHEME {
        let ticket = shared.streams.resume_key.verify(&ResumeToken::parse(text)?)?;
        return Some(LegCredential::Ticket(Box::new(ticket)));
    }
    let token = (scheme == "Bearer").then(|| StreamToken::parse(text).ok())??;
    Some(LegCredential::Token(token.hash()))
}

/// The response headers with the leg's resume ticket, grace period and places.
fn resume_headers(ResumeCredential { token, grace, places }: ResumeCredential) -> Vec<(&'static str, String)> {
    let token = (resume::RESUME_TOKEN_HEADER, token.reveal().into());
    let places = (!places.is_empty()).then(|| (resume::RESUME_PLACES_HEADER, places.to_string()));
    [token, (resume::RESUME_GRACE_HEADER, grace.as_secs().to_string())].into_iter().chain(places).collect()
}

/// Returns the subprotocol agreed in the handshake, unmasked if that is offered and the signature covers the TLS
/// channel; else the first foreign one offered, since Azure's C client names one and ignores it.
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

/// Waits for the other leg, then relays the stream, or hands the leg to the task that does. Returns the leg if its
/// connection can be reused.
pub(in crate::hub) async fn join_and_relay(
    shared: &Shared,
    pending: PendingLeg,
    mut leg: Leg<Socket>,
) -> Option<Leg<Socket>> {
    // Dropping the service's guard tells the broker that the stream, or this connection of it, has ended: dropped last.
    let PendingLeg { rendezvous, mut guard, idle_timeout, reusable } = pending;
    let rendezvous = wait_for_peer(rendezvous, &mut leg, idle_timeout, |leg_close| {
        tracing::debug!(target: "hub", reason = leg_close.reason(), "a leg left before it was joined");
        guard.set_exit(leg_exit(leg_close, None));
        // At once, so that the other leg does not wait.
        guard.leave();
    });
    match rendezvous.await {
        Ok(JoinOutcome::SendLeg(peer)) => {
            let (return_to, returned) = oneshot::channel();
            let return_to = reusable.then_some(return_to);
            match peer.send(Handover { leg, return_to }) {
                Ok(()) => return returned.await.ok(),
                // The other task has ended.
                Err(Handover { leg, .. }) => leg.refuse(&RefusalKind::Interrupted.into()).await,
            }
        }
        Ok(JoinOutcome::Relay(peer, joined, active)) => match timeout(CLOSE_TIMEOUT, peer).await {
            Ok(Ok(device)) => {
                // Boxed: the task that hands its leg over must not reserve memory for the relay.
                return Box::pin(relay_stream(shared, (device, leg), joined, &active, guard)).await;
            }
            _ => Box::pin(peer_lost_before_join(leg, *joined, shared, &active, guard)).await,
        },
        // What else it has sent, nobody reads.
        Ok(JoinOutcome::Refused(refusal)) => leg.refuse_and_free(&refusal).await,
        Err(Some(leg_close)) => leg.close(&leg_close).await,
        Err(None) => {}
    }
    None
}

/// Waits for the broker's decision while it buffers the leg's data. A leg that leaves meanwhile may have been joined
/// already: the broker decides; then the leg has left the stream, and the other leg learns it from the relay.
async fn wait_for_peer<T: Transport>(
    mut rendezvous: oneshot::Receiver<JoinOutcome<T>>,
    leg: &mut Leg<T>,
    idle_timeout: Option<IdleTimeout>,
    left: impl FnOnce(&LegClose),
) -> Result<JoinOutcome<T>, Option<LegClose>> {
    let wait = async {
        // What was queued for the leg goes out with the first bytes only if the other one is there. A failure shows when the
        // leg is read.
        let _ = leg.flush().await;
        leg.buffer_until_joined(idle_timeout).await
    };
    let leg_close = tokio::select! {
        biased;
        rendezvous = &mut rendezvous => return rendezvous.map_err(|_| None),
        leg_close = wait => leg_close,
    };
    left(&leg_close);
    match rendezvous.await {
        Ok(joined @ (JoinOutcome::SendLeg(_) | JoinOutcome::Relay(..))) => {
            leg.record_close(leg_close);
            Ok(joined)
        }
        Ok(JoinOutcome::Refused(_)) | Err(_) => Err(Some(leg_close)),
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
    active.set_connections([&device, &service].map(|leg| EndConnection { ends: ends(leg), liveness: leg.liveness() }));
    let relay_context = RelayContext {
        has_stream_protocol: joined.protocol.is_some(),
        resumable,
        reusable: joined.reusable,
        hold_release: shared.streams.broker.streams() >= BUSY_STREAMS,
        counters: &active.counters,
        backlogs: &active.backlogs,
        cancel: &active.cancel,
        draining: &shared.streams.draining,
        drain_timeout: shared.config.drain,
        reconnect_delay: &|| reconnect_delay(&shared.admission),
        idle_timeout: shared.config.idle_timeout,
    };
    let relay_end = relay(device, service, &relay_context).await;
    let exit = match relay_end.closed_first() {
        Some((role, leg_close)) => leg_exit(leg_close, Some(role)),
        None if matches!(active.end_reason().kind, RefusalKind::Interrupted | RefusalKind::Draining) => {
            LegExit::Lost(None, active.end_reason().message())
        }
        None => LegExit::Aborted,
    };
    let interrupted = resumable && matches!(exit, LegExit::Lost(..));
    let left = relay_end.closed_first().map(|(role, leg_close)| (role, leg_close.is_clean(), leg_close.reason()));
    guard.set_exit(exit);
    if relay_end.is_reusable() {
        record_end(shared, *joined, active, left);
        let (device, service) = relay_end.into_legs();
        // Fails only if the device's task has ended.
        if let Some(return_to) = return_to {
            drop(return_to.send(device));
        }
        return Some(service);
    }
    if left.as_ref().is_some_and(|(_, clean, _)| *clean) {
        // The stream stays open until the other leg has all of its data.
        Box::pin(relay_end.close(&relay_context, || (active.end_reason(), active.is_freed()))).await;
        record_end(shared, *joined, active, left);
        return None;
    }
    if !interrupted {
        record_end(shared, *joined, active, left);
    }
    // The broker learns of the end first, so that legs may return before the remaining one is closed.
    drop(guard);
    Box::pin(relay_end.close(&relay_context, || (active.end_reason(), active.is_freed()))).await;
    None
}

/// Returns the addresses of both ends of a leg's connection, as the kernel lists them.
fn ends(leg: &Leg<Socket>) -> Option<Ends> {
    let address = |tcp: &TcpStream| Some((canonical(tcp.local_addr().ok()?), canonical(tcp.peer_addr().ok()?)));
    leg.with_transport(|connection| address(connection.get_ref().0.get_ref()))
}

/// Ends a stream, or this connection of it, whose device leg was lost while it was joined: its end has a ticket where
/// the stream can be resumed.
async fn peer_lost_before_join(
    leg: Leg<Socket>,
    joined: JoinedStream,
    shared: &Shared,
    active: &ActiveStream,
    mut guard: LeaveGuard<Socket>,
) {
    let departure = LegClose::Broken(WebSocketError::Truncated);
    let resumable = joined.protocol == Some(StreamProtocol::Resumable);
    if resumable {
        guard.set_exit(leg_exit(&departure, Some(Role::Device)));
    } else {
        guard.set_exit(LegExit::Aborted);
        record_end(shared, joined, active, Some((Role::Device, false, departure.reason())));
    }
    drop(guard);
    leg.refuse(&if resumable { RefusalKind::Interrupted } else { RefusalKind::PeerGone }.into()).await;
}

fn leg_exit(leg_close: &LegClose, role: Option<Role>) -> LegExit {
    match leg_close {
        lost if lost.is_loss() => LegExit::Lost(role, lost.reason()),
        clean if clean.is_clean() => LegExit::Closed,
        _ => LegExit::Aborted,
    }
}

/// Records the end of a stream: its result, its cause and the leg that ended it. Every opened stream gets one such
/// event.
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
    use crate::net::websocket::{WebSocket, WebSocketRole};
    use crate::proto::stream::CLOSE_RESET;

    #[tokio::test(start_paused = true)]
    async fn a_leg_that_closes_while_it_is_being_joined_has_left_the_stream() {
        for is_joined in [true, false] {
            let (near, far) = duplex(1024);
            let mut end = WebSocket::new(far, &[], WebSocketRole::Client, SocketKind::Stream);
            let mut leg = Leg::new(WebSocket::new(near, &[], WebSocketRole::Server, SocketKind::Stream), ());
            end.writer.close(CLOSE_RESET, "").await.unwrap();
            let (broker, rendezvous) = oneshot::channel();
            let mut broker = Some(broker);
            let (give, _take) = oneshot::channel();
            let result = wait_for_peer(rendezvous, &mut leg, None, |_| {
                if let Some(broker) = broker.take().filter(|_| is_joined) {
                    assert!(broker.send(JoinOutcome::SendLeg(give)).is_ok(), "the receiver is alive");
                }
            });
            let result = result.now_or_never().expect("the broker has decided");
            match (is_joined, result) {
                (true, Ok(JoinOutcome::SendLeg(_))) => {
                    assert!(leg.into_parts().is_none(), "something is left of the stream")
                }
                (false, Err(Some(leg_close))) => assert_eq!(leg_close.reason(), "reset"),
                (_, result) => panic!("{result:?}"),
            }
        }
    }
}
