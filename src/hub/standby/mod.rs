//! Connections that stand by: each serves one stream after another. What a stream needs is what it needs on any other
//! way: the same authorisation, the same broker, the same tokens, which never leave the hub here; only the handshakes are
//! spared.

mod device;
mod service;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header;

use super::auth::{Action, authorize};
use super::broker::{LegAttach, LegCredential};
use super::connection::ConnectionContext;
use super::control::sleep_until_deadline;
use super::open::access_deadline;
use super::registry::Record;
use super::streaming::PendingLeg;
use super::{Shared, Upgraded, responses};
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest};
use crate::net::tunnel::relay::Leg;
use crate::net::websocket::channel::{ChannelError, ControlChannel};
use crate::net::websocket::{SocketKind, WebSocket};
use crate::proto::http::{Bridge, list_contains};
use crate::proto::id::{DeviceId, Principal, Role, StreamId};
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{ResumeCredential, ResumeTicket};
use crate::proto::scope::Scope;
use crate::proto::standby::{RUN_HEADER, STANDBY_PROTOCOL, StandbyToHub};
use crate::proto::websocket::unmasked;

/// Standbys have at most this share of the connections that the hub can have, in percent: they spare a handshake, and the
/// others are somebody's only way.
const MAX_SHARE_PERCENT: usize = 50;

/// How many there are of each identity.
#[derive(Debug, Clone, Default)]
pub(super) struct StandbyCounts(Arc<Mutex<HashMap<Principal, usize>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct StandbyPermit(StandbyCounts, Principal);

impl StandbyCounts {
    fn acquire(&self, principal: &Principal, limit: usize) -> Option<StandbyPermit> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(principal).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        counts.insert(principal.clone(), count + 1);
        Some(StandbyPermit(self.clone(), principal.clone()))
    }

    /// Of all identities.
    pub(super) fn all(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for StandbyPermit {
    fn drop(&mut self) {
        let mut counts = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get(&self.1).map_or(0, |count| count - 1);
        if left > 0 {
            counts.insert(self.1.clone(), left)
        } else {
            counts.remove(&self.1)
        };
    }
}

/// Whose connection it is.
pub(super) struct Identity {
    /// Who.
    pub principal: Principal,
    /// What it proved itself with.
    pub key: PublicKey,
    /// How it addressed the hub.
    pub authority: String,
    /// Of which run of an agent, if it is a device's.
    pub run: u64,
}

/// A connection whose upgrade was let through.
pub(super) struct StandbyUpgrade {
    identity: Identity,
    permit: StandbyPermit,
}

/// Lets a connection stand by, or not.
pub(super) async fn upgrade(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
) -> HttpOutcome<Upgraded> {
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
    let Some(permit) = shared.acquire_standby(&principal) else {
        let refusal = Refusal::new(RefusalKind::HubBusy, "no more connections stand by");
        return HttpOutcome::Reply(responses::refusal(&refusal));
    };
    let run = request.header(RUN_HEADER).and_then(|run| run.parse().ok()).unwrap_or_default();
    let (key, authority) = (authenticated.key.key, request.authority.clone());
    let state =
        Upgraded::Standby(Box::new(StandbyUpgrade { identity: Identity { principal, key, authority, run }, permit }));
    HttpOutcome::Upgrade { protocol: Some(protocol), headers: Vec::new(), kind, state }
}

impl Shared {
    /// A place for one more, if there is room.
    fn acquire_standby(&self, principal: &Principal) -> Option<StandbyPermit> {
        let limit = self.pressure.max_connections() * MAX_SHARE_PERCENT / 100;
        let room = !self.is_draining() && self.standbys.all() < limit && self.pressure.check_stream_capacity().is_ok();
        self.standbys.acquire(principal, self.config.standbys).filter(|_| room)
    }
}

/// A connection that was brought to stand by.
pub(super) async fn run(
    shared: &Shared,
    context: &ConnectionContext,
    upgrade: StandbyUpgrade,
    socket: WebSocket<Socket>,
) {
    let StandbyUpgrade { identity, permit: _permit } = upgrade;
    let channel = ControlChannel::new(socket, shared.config.idle_timeout);
    Standby { shared, context, identity }.serve(channel).await;
}

/// A connection that was brought for one stream, and stands by after it.
pub(super) async fn reuse(shared: &Shared, context: &ConnectionContext, identity: Identity, leg: Leg<Socket>) {
    let Some((socket, _kept)) = leg.into_parts() else { return };
    let channel = ControlChannel::new(socket, shared.config.idle_timeout);
    match shared.acquire_standby(&identity.principal) {
        Some(_permit) => Standby { shared, context, identity }.serve(channel).await,
        None => channel.leave().await,
    }
}

type Channel = ControlChannel<Socket>;

/// Why a connection stands by no longer.
enum StandbyEnd {
    Channel(ChannelError),
    Refused(RefusalKind),
}

impl From<ChannelError> for StandbyEnd {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

struct Standby<'a> {
    shared: &'a Shared,
    context: &'a ConnectionContext,
    identity: Identity,
}

impl Standby<'_> {
    /// One stream after another, until either end has enough.
    async fn serve(&self, channel: Channel) {
        let Identity { principal, run, .. } = &self.identity;
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

    /// Lets this connection in as a side of a stream.
    fn attach_leg(
        &self,
        (device, stream): (&DeviceId, StreamId),
        scope: Scope,
        credential: LegCredential,
    ) -> Result<(PendingLeg, Option<ResumeCredential>), Refusal> {
        self.shared.activity.audit()?;
        let role = self.identity.principal.role;
        let arrival = LegAttach {
            leg: self.shared.next_connection(),
            bridge: Bridge { hub: String::new(), device: device.clone(), stream, role },
            principal: self.identity.principal.clone(),
            credential,
            address: self.context.address,
            until: access_deadline(&scope),
            scope,
        };
        let ((admission, rendezvous), guard) = self.shared.broker.attach_leg(arrival)?;
        let idle_timeout = admission.protocol.map(|_| self.shared.config.idle_timeout);
        let resume_credential = admission.ticket.map(|(ticket, grace)| self.resume_credential(&ticket, grace));
        Ok((PendingLeg { rendezvous, guard, idle_timeout, reusable: admission.reusable.is_some() }, resume_credential))
    }

    fn resume_credential(&self, ticket: &ResumeTicket, grace: Duration) -> ResumeCredential {
        ResumeCredential { token: self.shared.resume_key.sign(ticket), grace }
    }

    /// The next message, from a connection that may be idle for as long as its identity may stand by with this key.
    async fn next_message(&self, channel: &mut Channel) -> Result<StandbyToHub, StandbyEnd> {
        let mut changes = self.shared.registry.changes();
        loop {
            let deadline = self
                .revalidate()
                .await
                .map(|record| self.valid_until(&record))
                .map_err(|refusal| StandbyEnd::Refused(refusal.kind))?;
            tokio::select! {
                message = channel.next() => return Ok(message?),
                Ok(()) = changes.changed() => {}
                () = sleep_until_deadline(deadline) => {}
                () = self.shared.draining.cancelled() => return Err(StandbyEnd::Refused(RefusalKind::Draining)),
            }
        }
    }

    /// When that is over, as far as is known by now.
    fn valid_until(&self, record: &Record) -> Option<Instant> {
        let now = clock::now_utc();
        let key = record.valid_key(&self.identity.key, now).and_then(|key| key.until);
        let key_expiry = key.map(|until| clock::now() + until.since(now));
        key_expiry.into_iter().chain(access_deadline(&record.scope)).min()
    }

    /// What is known of the identity by now, if it may still stand by with this key.
    async fn revalidate(&self) -> Result<Record, Refusal> {
        let found = self.shared.registry.find(&self.identity.principal).await;
        let record = found.map_err(|error| error.to_public_refusal())?;
        let record = record.ok_or(RefusalKind::AuthenticationFailed)?;
        let now = clock::now_utc();
        record.valid_key(&self.identity.key, now).ok_or(RefusalKind::KeyReplaced)?;
        authorize(record.authz_subject(), Action::Standby, now)?;
        Ok(record)
    }

    /// A side that is done with its stream stands by again.
    fn control_channel(&self, leg: Leg<Socket>) -> Option<Channel> {
        let (socket, _) = leg.into_parts()?;
        Some(ControlChannel::new(socket, self.shared.config.idle_timeout))
    }
}

async fn close(channel: Channel, end: StandbyEnd) -> Option<Channel> {
    match end {
        StandbyEnd::Channel(error) => channel.end(&error).await,
        StandbyEnd::Refused(kind) => channel.refuse(kind).await,
    }
    None
}
