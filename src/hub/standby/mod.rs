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
use super::broker::{Shown, SideArrival};
use super::control::passed;
use super::door::Visitor;
use super::open::ends;
use super::registry::Record;
use super::streaming::Waiting;
use super::{Next, Shared, answers};
use crate::net::channel::{ChannelError, ControlChannel};
use crate::net::clock;
use crate::net::relay::Leg;
use crate::net::serve::{Answer, Asked};
use crate::net::tls::Socket;
use crate::net::websocket::{SocketKind, WebSocket};
use crate::proto::http::{Bridge, lists};
use crate::proto::id::{DeviceId, Principal, Role, StreamId};
use crate::proto::key::PublicKey;
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::resume::{Pass, Ticket};
use crate::proto::scope::Scope;
use crate::proto::standby::{RUN_HEADER, STANDBY_PROTOCOL, ToHub};
use crate::proto::websocket::unmasked;

/// Standbys have at most this share of the connections that the hub can have, in percent: they spare a handshake, and the
/// others are somebody's only way.
const SHARE: usize = 50;

/// How many there are of each identity.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(Arc<Mutex<HashMap<Principal, usize>>>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Held(Counts, Principal);

impl Counts {
    fn hold(&self, principal: &Principal, most: usize) -> Option<Held> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get(principal).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        counts.insert(principal.clone(), count + 1);
        Some(Held(self.clone(), principal.clone()))
    }

    /// Of all identities.
    pub(super) fn all(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }
}

impl Drop for Held {
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
pub(super) struct Arriving {
    identity: Identity,
    held: Held,
}

/// Lets a connection stand by, or not.
pub(super) async fn admit(shared: &Shared, visitor: &Visitor, asked: &Asked) -> Answer<Next> {
    let proven = match visitor.permit(shared, asked, Action::Standby).await {
        Ok(proven) => proven,
        Err(refusal) => return Answer::Reply(answers::refuse(&refusal)),
    };
    let offered = asked.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    if !lists(offered, STANDBY_PROTOCOL) {
        let versions = format!("the client {offered}, the hub {STANDBY_PROTOCOL}");
        return Answer::Reply(answers::refuse(&Refusal::new(Kind::IncompatibleVersion, versions)));
    }
    let (protocol, kind) = match unmasked(STANDBY_PROTOCOL) {
        unmasked if proven.is_channel_bound && lists(offered, &unmasked) => (unmasked, SocketKind::UnmaskedStream),
        _ => (STANDBY_PROTOCOL.into(), SocketKind::Stream),
    };
    let principal = proven.record.principal;
    let Some(held) = shared.hold_standby(&principal) else {
        let refusal = Refusal::new(Kind::HubBusy, "no more connections stand by");
        return Answer::Reply(answers::refuse(&refusal));
    };
    let run = asked.header(RUN_HEADER).and_then(|run| run.parse().ok()).unwrap_or_default();
    let (key, authority) = (proven.key.key, asked.authority.clone());
    let then = Next::Standby(Box::new(Arriving { identity: Identity { principal, key, authority, run }, held }));
    Answer::Upgrade { protocol: Some(protocol), headers: Vec::new(), kind, then }
}

impl Shared {
    /// A place for one more, if there is room.
    fn hold_standby(&self, principal: &Principal) -> Option<Held> {
        let most = self.pressure.most_connections() * SHARE / 100;
        let room = !self.is_draining() && self.standbys.all() < most && self.pressure.has_room_for_stream().is_ok();
        self.standbys.hold(principal, self.config.standbys).filter(|_| room)
    }
}

/// A connection that was brought to stand by.
pub(super) async fn run(shared: &Shared, visitor: &Visitor, arriving: Arriving, socket: WebSocket<Socket>) {
    let Arriving { identity, held: _held } = arriving;
    let channel = ControlChannel::new(socket, shared.config.patience);
    Standby { shared, visitor, identity }.serve(channel).await;
}

/// A connection that was brought for one stream, and stands by after it.
pub(super) async fn go_on(shared: &Shared, visitor: &Visitor, identity: Identity, leg: Leg<Socket>) {
    let Some((socket, _kept)) = leg.into_parts() else { return };
    let channel = ControlChannel::new(socket, shared.config.patience);
    match shared.hold_standby(&identity.principal) {
        Some(_held) => Standby { shared, visitor, identity }.serve(channel).await,
        None => channel.leave().await,
    }
}

type Channel = ControlChannel<Socket>;

/// Why a connection stands by no longer.
enum End {
    Ended(ChannelError),
    Refused(Kind),
}

impl From<ChannelError> for End {
    fn from(why: ChannelError) -> Self {
        Self::Ended(why)
    }
}

struct Standby<'a> {
    shared: &'a Shared,
    visitor: &'a Visitor,
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
    fn side(
        &self,
        (device, stream): (&DeviceId, StreamId),
        scope: Scope,
        shown: Shown,
    ) -> Result<(Waiting, Option<Pass>), Refusal> {
        self.shared.activity.audit()?;
        let role = self.identity.principal.role;
        let arrival = SideArrival {
            leg: self.shared.next_connection(),
            place: Bridge { hub: String::new(), device: device.clone(), stream, role },
            principal: self.identity.principal.clone(),
            shown,
            address: self.visitor.address,
            until: ends(&scope),
            scope,
        };
        let ((admission, meeting), farewell) = self.shared.exchange.side(arrival)?;
        let patience = admission.protocol.map(|_| self.shared.config.patience);
        let pass = admission.ticket.map(|(ticket, grace)| self.pass(&ticket, grace));
        Ok((Waiting { meeting, farewell, patience, rests: admission.rests.is_some() }, pass))
    }

    fn pass(&self, ticket: &Ticket, grace: Duration) -> Pass {
        Pass { token: self.shared.resume_key.sign(ticket), grace }
    }

    /// The next message, from a connection that may be idle for as long as its identity may stand by with this key.
    async fn idle(&self, channel: &mut Channel) -> Result<ToHub, End> {
        let mut changes = self.shared.directory.changes();
        loop {
            let ends =
                self.record().await.map(|record| self.ends(&record)).map_err(|refusal| End::Refused(refusal.kind))?;
            tokio::select! {
                message = channel.next() => return Ok(message?),
                Ok(()) = changes.changed() => {}
                () = passed(ends) => {}
                () = self.shared.draining.cancelled() => return Err(End::Refused(Kind::Draining)),
            }
        }
    }

    /// When that is over, as far as is known by now.
    fn ends(&self, record: &Record) -> Option<Instant> {
        let now = clock::moment();
        let key = record.valid_key(&self.identity.key, now).and_then(|key| key.until);
        let key_ends = key.map(|until| clock::now() + until.since(now));
        key_ends.into_iter().chain(ends(&record.scope)).min()
    }

    /// What is known of the identity by now, if it may still stand by with this key.
    async fn record(&self) -> Result<Record, Refusal> {
        let found = self.shared.directory.find(&self.identity.principal).await;
        let record = found.map_err(|error| error.to_strangers())?;
        let record = record.ok_or(Kind::AuthenticationFailed)?;
        let now = clock::moment();
        record.valid_key(&self.identity.key, now).ok_or(Kind::KeyReplaced)?;
        authorize(record.standing(), Action::Standby, now)?;
        Ok(record)
    }

    /// A side that is done with its stream stands by again.
    fn back(&self, leg: Leg<Socket>) -> Option<Channel> {
        let (socket, _) = leg.into_parts()?;
        Some(ControlChannel::new(socket, self.shared.config.patience))
    }
}

async fn part(channel: Channel, end: End) -> Option<Channel> {
    match end {
        End::Ended(why) => channel.end(&why).await,
        End::Refused(kind) => channel.refuse(kind).await,
    }
    None
}
