//! Standby connections: each serves one stream after another.
//!
//! In: connections that were opened to stand by, or are reused after a stream. Out: streams, opened (`service`) or
//! requested (`device`) on them. A stream gets the same authorisation, broker and tokens as on a connection of its own;
//! only the handshakes are saved. The tokens do not leave the hub.

mod device;
mod service;

use std::time::{Duration, Instant};

use http::header;
use tokio::time::timeout;

use super::streaming::{PendingLeg, StandbyIdentity};
use crate::hub::auth::Action;
use crate::hub::broker::{LegAttach, LegCredential, LegKey};
use crate::hub::connection::ConnectionContext;
use crate::hub::consequences::Clocks;
use crate::hub::event::{Event, Operation};
use crate::hub::identity_counts::CountPermit;
use crate::hub::responses;
use crate::hub::revalidation::{Revalidated, revalidate, sleep_until_deadline};
use crate::hub::shared::Shared;
use crate::hub::standby_limit::{CLOSE_TIME, gives_way};
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest};
use crate::net::transport::socket::restart_congestion_control;
use crate::net::tunnel::relay::Leg;
use crate::net::websocket::channel::{ChannelError, ControlChannel};
use crate::net::websocket::{SocketKind, WebSocket};
use crate::proto::http::{Bridge, list_contains};
use crate::proto::id::{DeviceId, Principal, Role, StreamId};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeTicket;
use crate::proto::scope::Scope;
use crate::proto::standby::{RUN_HEADER, STANDBY_PROTOCOL, StandbyToHub};
use crate::proto::websocket::unmasked;

/// The share of the hub's connections that may stand by, in percent: standby connections only save handshakes, others
/// are a client's only way in.
const MAX_SHARE_PERCENT: usize = 50;

/// An accepted standby connection.
pub(in crate::hub) struct StandbyUpgrade {
    identity: StandbyIdentity,
    permit: CountPermit,
}

/// Accepts or refuses a standby connection.
pub(in crate::hub) async fn upgrade(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> HttpOutcome<StandbyUpgrade> {
    let authenticated = match context.authenticate_and_authorize(shared, request, Action::Standby).await {
        Ok(authenticated) => authenticated,
        Err(refusal) => return HttpOutcome::Reply(responses::refusal(&refusal)),
    };
    let offered = request.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    if !list_contains(offered, STANDBY_PROTOCOL) {
        let versions = format!("the client {offered}, the hub {STANDBY_PROTOCOL}");
        return HttpOutcome::Reply(responses::refusal(&Refusal::new(RefusalKind::IncompatibleVersion, versions)));
    }
    let (protocol, kind) = match unmasked(STANDBY_PROTOCOL) {
        unmasked if authenticated.is_channel_bound && list_contains(offered, &unmasked) => {
            (unmasked, SocketKind::UnmaskedStream)
        }
        _ => (STANDBY_PROTOCOL.into(), SocketKind::Stream),
    };
    let principal = authenticated.record.principal;
    let Some(permit) = acquire_permit(shared, &principal) else {
        let refusal = Refusal::new(RefusalKind::HubBusy, "too many standby connections");
        return HttpOutcome::Reply(responses::refusal(&refusal));
    };
    let run = request.header(RUN_HEADER).and_then(|run| run.parse().ok()).unwrap_or_default();
    let (key, authority) = (authenticated.key.key, shared.endpoints.urls.authority_for(&request.authority));
    let state = StandbyUpgrade { identity: StandbyIdentity { principal, key, authority, run }, permit };
    HttpOutcome::Upgrade { protocol: Some(protocol), headers: Vec::new(), kind, state }
}

/// Counts one more standby connection, if the hub has capacity for it. Near the limit of its memory, what is left is
/// for streams of those who have few.
fn acquire_permit(shared: &Shared, principal: &Principal) -> Option<CountPermit> {
    let (streams, pressure) = (&shared.streams, &shared.admission.pressure);
    let limit = pressure.max_connections() * MAX_SHARE_PERCENT / 100;
    let has_capacity = !streams.is_draining()
        && streams.standbys.total() < limit
        && pressure.scarce_room().is_none()
        && pressure.check_stream_capacity().is_ok();
    streams.standbys.acquire(principal, shared.config.standbys).filter(|_| has_capacity)
}

/// Runs a connection that was opened to stand by.
pub(in crate::hub) async fn run(
    shared: &Shared,
    context: &ConnectionContext,
    upgrade: StandbyUpgrade,
    socket: WebSocket<Socket>,
) {
    let StandbyUpgrade { identity, permit } = upgrade;
    let channel = ControlChannel::new(socket, shared.config.idle_timeout);
    Standby { shared, context, identity, permit }.serve(channel).await;
}

/// Keeps the connection of a finished stream as a standby connection.
pub(in crate::hub) async fn reuse(
    shared: &Shared,
    context: &ConnectionContext,
    identity: StandbyIdentity,
    leg: Leg<Socket>,
) {
    let carried = leg.carried();
    let Some((socket, _kept)) = leg.into_parts() else { return };
    prepare_for_next_stream(&socket, carried);
    let channel = ControlChannel::new(socket, shared.config.idle_timeout);
    match acquire_permit(shared, &identity.principal) {
        Some(permit) => Standby { shared, context, identity, permit }.serve(channel).await,
        None => channel.close().await,
    }
}

type Channel = ControlChannel<Socket>;

/// The reason for the end of a standby connection.
enum StandbyEnd {
    Channel(ChannelError),
    Refused(RefusalKind),
    /// Memory is short, and the connection idle.
    GivesWay,
}

impl From<ChannelError> for StandbyEnd {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

struct Standby<'a> {
    shared: &'a Shared,
    context: &'a ConnectionContext,
    identity: StandbyIdentity,
    permit: CountPermit,
}

impl Standby<'_> {
    /// Serves one stream after another until either end closes the connection.
    async fn serve(&self, channel: Channel) {
        let StandbyIdentity { principal, run, .. } = &self.identity;
        let device = match principal.role {
            Role::Device => Some(DeviceId::from(principal.id.clone())),
            Role::Service => None,
        };
        let mut next = Some(channel);
        while let Some(channel) = next {
            next = match &device {
                Some(device) => self.serve_device(device, *run, channel).await,
                None => self.serve_service(channel).await,
            };
        }
    }

    /// Attaches this connection to a stream as one of its legs. Returns its ticket too, if the stream can be resumed.
    fn attach_leg(
        &self,
        (device, stream): (&DeviceId, StreamId),
        (scope, key_expiry): (Scope, Option<Instant>),
        credential: LegCredential,
    ) -> Result<(PendingLeg, Option<(ResumeTicket, Duration)>), Refusal> {
        self.shared.activity.audit_checkpoint()?;
        let role = self.identity.principal.role;
        let attach = LegAttach {
            leg: self.shared.streams.allocate_connection_id(),
            bridge: Bridge { hub: String::new(), device: device.clone(), stream, role },
            principal: self.identity.principal.clone(),
            credential,
            address: self.context.address,
            until: Clocks::now().access_deadline(&scope),
            scope,
            key: LegKey { key: self.identity.key, until: key_expiry },
        };
        let ((admission, rendezvous), guard) = self.shared.streams.broker.attach_leg(attach)?;
        let idle_timeout = admission.protocol.map(|_| self.shared.config.idle_timeout);
        let reusable = admission.reusable_by_run.is_some();
        Ok((PendingLeg { rendezvous, guard, idle_timeout, reusable }, admission.ticket))
    }

    /// Waits for the next message for as long as the identity may stand by with this key.
    async fn next_message(&self, channel: &mut Channel) -> Result<StandbyToHub, StandbyEnd> {
        let mut changes = self.shared.registry.changes(&self.identity.principal);
        let mut limit = self.shared.streams.standby_limit.subscribe();
        loop {
            let valid = self.revalidate().await.map_err(|refusal| StandbyEnd::Refused(refusal.kind))?;
            let access_deadline = Clocks::now().access_deadline(&valid.record.scope);
            let deadline: Option<Instant> = valid.key_expiry.into_iter().chain(access_deadline).min();
            tokio::select! {
                message = channel.next() => return Ok(message?),
                Ok(()) = changes.changed() => {}
                () = sleep_until_deadline(deadline) => {}
                () = gives_way(&mut limit, &self.permit) => return Err(StandbyEnd::GivesWay),
                () = self.shared.streams.draining.cancelled() => return Err(StandbyEnd::Refused(RefusalKind::Draining)),
            }
        }
    }

    /// Checks that the identity may still stand by with the connection's key.
    async fn revalidate(&self) -> Result<Revalidated, Refusal> {
        let StandbyIdentity { principal, key, .. } = &self.identity;
        revalidate(&self.shared.registry, principal, key, Action::Standby).await
    }

    /// Closes the connection. What no client does is logged.
    async fn close(&self, channel: Channel, end: StandbyEnd) -> Option<Channel> {
        match end {
            StandbyEnd::Channel(error) => {
                if error.is_violation() {
                    let (operation, label) = (Operation::Authenticate, RefusalKind::BadRequest.row().label);
                    let event = Event::about(&self.identity.principal, operation, label);
                    let reason = format!("on a standby connection: {error}");
                    self.shared.activity.record(Event { source: Some(self.context.address), reason, ..event });
                }
                channel.close_with_error(&error).await;
            }
            StandbyEnd::Refused(kind) => channel.refuse(kind).await,
            // No error: its owner opens another one later.
            StandbyEnd::GivesWay => drop(timeout(CLOSE_TIME, channel.close()).await),
        }
        None
    }

    /// Returns the channel of a leg whose stream has ended.
    fn control_channel(&self, leg: Leg<Socket>) -> Option<Channel> {
        let carried = leg.carried();
        let (socket, _) = leg.into_parts()?;
        prepare_for_next_stream(&socket, carried);
        Some(ControlChannel::new(socket, self.shared.config.idle_timeout))
    }
}

/// Prepares the connection of a finished stream, which carried this many bytes, for the next one.
fn prepare_for_next_stream(socket: &WebSocket<Socket>, carried: u64) {
    socket.with_transport(|connection| restart_congestion_control(connection.get_ref().0.get_ref(), carried));
}
