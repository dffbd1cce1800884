//! From an accepted socket to its handler: TLS, one HTTP request, then the handler of an upgraded connection.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::admission::ConnectionPermit;
use super::admission::connection_limiter::{Stage, UnauthenticatedPermit};
use super::admission::penalty::PenaltyReason;
use super::connection::ConnectionContext;
use super::handlers::control::{self, ControlUpgrade};
use super::handlers::standby::{self, StandbyUpgrade};
use super::handlers::streaming::{self, AcceptedLeg};
use super::handlers::{certificates, cluster_join, devices, enrol, open};
use super::in_front::{Hindrance, OPENING_BYTES, is_proxy_header};
use super::listen::ListenerKind;
use super::shared::Shared;
use super::{monitor, responses};
use crate::net::os::clock;
use crate::net::tls::{Acceptor, Socket, offers_no_tls13};
use crate::net::transport::http_server::{ConnectionEnd, HttpOutcome, HttpRequest, serve};
use crate::net::transport::socket;
use crate::net::tunnel::relay::Leg;
use crate::proto::auth::AUTH_HEADER;
use crate::proto::channel_binding::Exporter;
use crate::proto::http::Route;
use crate::proto::refusal::RefusalKind;

/// The purpose of an upgraded connection.
enum Upgraded {
    /// A device's control connection.
    Control(ControlUpgrade),
    /// One leg of a stream.
    Stream(Box<AcceptedLeg>),
    /// A standby connection.
    Standby(Box<StandbyUpgrade>),
}

/// Serves one connection from TLS to its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
    listener_kind: ListenerKind,
    permit: ConnectionPermit,
) {
    let ConnectionPermit { unauthenticated, slot } = permit;
    let (evicted, accepted_at) = (unauthenticated.evicted(), clock::now());
    socket::tune(&tcp);
    // Each stage is boxed, so that its memory is freed before the next one: a connection may stay in the last one for
    // months.
    let handshake = Box::pin(tls_handshake(&shared, &acceptor, tcp, address, &unauthenticated));
    let Some(handshake) = evicted.run_until_cancelled(handshake).await else {
        return shared.admission.evicted(address, accepted_at);
    };
    let Some((stream, exporter)) = handshake else { return };
    let context = ConnectionContext::new(shared.streams.allocate_connection_id(), address, exporter, unauthenticated);
    let handler = async |request| respond(&shared, &context, listener_kind, request).await;
    let served = Box::pin(serve(stream, shared.config.limits.http, handler));
    let upgraded = tokio::select! {
        served = served => {
            if matches!(served, Err(ConnectionEnd::Closed)) {
                context.penalize_silence(&shared);
            }
            served
        }
        () = Box::pin(context.enforce_auth_deadline(&shared)) => Err(ConnectionEnd::Closed),
        () = evicted.cancelled() => return shared.admission.evicted(address, accepted_at),
    };
    context.penalize_abandoned_auth(&shared);
    match upgraded {
        Ok((Upgraded::Control(upgrade), socket)) => {
            Box::pin(control::run(&shared, &context, upgrade, socket)).await;
        }
        Ok((Upgraded::Standby(upgrade), socket)) => {
            context.set_carrying();
            Box::pin(standby::run(&shared, &context, *upgrade, socket)).await;
        }
        Ok((Upgraded::Stream(accepted), socket)) => {
            context.set_carrying();
            let AcceptedLeg { pending, reuse_as } = *accepted;
            // The task of the other leg may take the socket over, and the permits with it.
            let leg = Leg::new(socket, (slot, context.permit()));
            let reusable_leg = Box::pin(streaming::join_and_relay(&shared, pending, leg)).await;
            if let (Some(leg), Some(identity)) = (reusable_leg, reuse_as) {
                Box::pin(standby::reuse(&shared, &context, identity, leg)).await;
            }
        }
        Err(ConnectionEnd::Malformed) => shared.admission.record_penalty(address, PenaltyReason::ProtocolError),
        Err(ConnectionEnd::Closed) => {}
    }
}

/// Completes the TLS handshake within its timeout. `None` if it failed, or without a penalty for an ACME server, which has
/// its answer, and for a source that has had its share.
async fn tls_handshake(
    shared: &Shared,
    acceptor: &Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
    permit: &UnauthenticatedPermit,
) -> Option<(Socket, Exporter)> {
    let handshake = async {
        // One that is closed before it has sent a byte, as load balancers do to see whether a port is open, is no failure.
        let mut opening = [0; OPENING_BYTES];
        match tcp.peek(&mut opening).await {
            Ok(length @ 1..) => {
                if is_proxy_header(&opening[..length]) {
                    shared.in_front.warn(Hindrance::ProxyHeader, address);
                }
                let accepted = acceptor.accept(tcp, || shared.admission.admit_hello(permit)).await;
                permit.reached(Stage::Tls);
                Some(accepted)
            }
            Ok(0) | Err(_) => None,
        }
    };
    let reason = match timeout(shared.config.limits.tls_timeout, handshake).await {
        Ok(None) => return None,
        Ok(Some(Ok(accepted))) => return accepted,
        Ok(Some(Err(error))) => {
            tracing::debug!(target: "hub", %error, "TLS handshake with {address} failed");
            if offers_no_tls13(&error) {
                shared.in_front.warn(Hindrance::OldTls, address);
            }
            PenaltyReason::ProtocolError
        }
        Err(_) => {
            shared.in_front.warn(Hindrance::SilentTls, address);
            PenaltyReason::AuthTimeout
        }
    };
    shared.metrics.tls_failed();
    shared.admission.record_penalty(address, reason);
    None
}

/// Handles a request. A response that is no upgrade ends the connection.
async fn respond(
    shared: &Shared,
    context: &ConnectionContext,
    listener_kind: ListenerKind,
    request: HttpRequest,
) -> HttpOutcome<Upgraded> {
    context.set_requested();
    let mut outcome = route(shared, context, listener_kind, &request).await;
    let HttpOutcome::Reply(response) = &mut outcome else {
        context.set_answered(shared, StatusCode::SWITCHING_PROTOCOLS);
        return outcome;
    };
    context.set_answered(shared, response.status());
    // One request per connection: a client with its answer is done, and must not hold its permit by further requests.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if response.status() == StatusCode::UNAUTHORIZED {
        context.on_unauthorized(shared, response).await;
    }
    outcome
}

async fn route(
    shared: &Shared,
    context: &ConnectionContext,
    listener_kind: ListenerKind,
    request: &HttpRequest,
) -> HttpOutcome<Upgraded> {
    let route = Route::parse(&request.method, &request.path).filter(|route| listener_kind.serves(route));
    let response = match route {
        Some(Route::Control(device)) if request.is_upgrade => {
            return control::upgrade(shared, context, request, device).await.map(Upgraded::Control);
        }
        Some(Route::Bridge(bridge)) if request.is_upgrade => {
            let upgrade = streaming::upgrade(shared, context, request, bridge).await;
            return upgrade.map(|leg| Upgraded::Stream(Box::new(leg)));
        }
        Some(Route::Standby) if request.is_upgrade => {
            let upgrade = standby::upgrade(shared, context, request).await;
            return upgrade.map(|standby| Upgraded::Standby(Box::new(standby)));
        }
        Some(Route::Open(device, name)) => open::respond(shared, context, request, device, name).await,
        Some(Route::Devices) => devices::list(shared, context, request).await,
        Some(Route::Certificates(owner)) => certificates::show(shared, context, request, owner).await,
        Some(Route::StoreCertificate(owner)) => certificates::store(shared, context, request, owner).await,
        Some(Route::Join) => enrol::join(shared, context, request).await,
        Some(Route::ClusterJoin) => cluster_join::join(shared, context, request),
        Some(Route::Health) => monitor::health(&shared.streams).await,
        Some(Route::Ready) => monitor::ready(&shared.streams, &shared.admission),
        // Who brings no credential is told nothing: a path that exists looks like one that does not.
        Some(Route::Control(_) | Route::Bridge(_) | Route::Standby) if request.header(AUTH_HEADER).is_some() => {
            shared.in_front.warn(Hindrance::NoUpgrade, context.address);
            responses::refusal(&RefusalKind::UpgradeRemoved.into())
        }
        Some(Route::Control(_) | Route::Bridge(_) | Route::Standby) | None => responses::not_found(),
    };
    HttpOutcome::Reply(response)
}
