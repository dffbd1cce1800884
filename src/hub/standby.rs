//! Connections that stand by: each serves one stream after another. What a stream needs is what it needs on any other
//! way: the same authorisation, the same broker, the same tokens, which never leave the hub here; only the handshakes are
//! spared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};

use super::auth::{Action, authorize};
use super::broker::{DeviceAsk, Grant, Shown, SideArrival};
use super::door::Visitor;
use super::exchange::{DeviceAsked, Ready};
use super::open::{self, Wanted, ends};
use super::registry::Record;
use super::streaming::{Waiting, meet};
use super::{Next, Shared, answers};
use crate::net::channel::{ControlChannel, Ended};
use crate::net::clock;
use crate::net::relay::Leg;
use crate::net::serve::{Answer, Asked};
use crate::net::tls::Socket;
use crate::net::websocket::{Purpose, WebSocket};
use crate::proto::http::{Bridge, lists};
use crate::proto::id::{DeviceId, Principal, Role, StreamId};
use crate::proto::key::PublicKey;
use crate::proto::message::{StreamRequest, StreamResponse, encode};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::resume::{Pass, Ticket};
use crate::proto::scope::Scope;
use crate::proto::standby::{Early, FromHub, Open, Opened, RUN_HEADER, Request, STANDBY_PROTOCOL, ToHub, WayBack};

/// An idle connection's identity is looked up this often, since keys and access end with time: one that may no longer
/// stand by is closed.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

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
    let principal = proven.record.principal;
    let Some(held) = shared.hold_standby(&principal) else {
        let refusal = Refusal::new(Kind::HubBusy, "no more connections stand by");
        return Answer::Reply(answers::refuse(&refusal));
    };
    let run = asked.header(RUN_HEADER).and_then(|run| run.parse().ok()).unwrap_or_default();
    if principal.role == Role::Device && run == 0 {
        return Answer::Reply(answers::refuse(&Refusal::new(Kind::BadRequest, format!("no {RUN_HEADER}"))));
    }
    let (key, authority) = (proven.key.key, asked.authority.clone());
    let then = Next::Standby(Box::new(Arriving { identity: Identity { principal, key, authority, run }, held }));
    Answer::Upgrade { protocol: Some(STANDBY_PROTOCOL.into()), headers: Vec::new(), purpose: Purpose::Stream, then }
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
    Ended(Ended),
    Refused(Kind),
}

impl From<Ended> for End {
    fn from(why: Ended) -> Self {
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

    /// One stream that the service asks for.
    async fn serve_service(&self, mut channel: Channel) -> Option<Channel> {
        let asked = async {
            let ToHub::Open(open) = self.idle(&mut channel).await? else { return Err(End::Refused(Kind::BadRequest)) };
            let early = channel.accompanying(open.early.bytes()).await?;
            Ok((open, early))
        };
        match asked.await {
            Ok((open, early)) => self.open(open, early, channel).await,
            Err(end) => part(channel, end).await,
        }
    }

    async fn open(&self, open: Open, early: Bytes, channel: Channel) -> Option<Channel> {
        let device = open.device.clone();
        let mut leg = Leg::new(channel.into_socket(), ());
        // Where every line of the log must be written before anything is carried, nothing is carried ahead of it.
        let ahead = if self.shared.activity.is_required() { Bytes::new() } else { early.clone() };
        let is_ahead = !ahead.is_empty();
        let granted = tokio::select! {
            granted = self.ask(open, ahead) => granted,
            departure = leg.hold(Some(self.shared.config.patience)) => {
                leg.part(&departure).await;
                return None;
            }
        };
        let grant = match granted {
            Ok(grant) => grant,
            Err(refusal) => return self.refuse(leg, refusal).await,
        };
        // Much may have changed while the device was asked.
        let scope = match self.record().await {
            Ok(record) => record.scope,
            Err(refusal) => {
                self.shared.exchange.kill(grant.stream).await;
                return self.refuse(leg, refusal).await;
            }
        };
        let token = Shown::Token(grant.token.hash());
        match self.side((&device, grant.stream), scope, token).await {
            Ok((waiting, pass)) => {
                if leg.say(encode(&self.opened(&device, &grant, pass.as_ref()))).await.is_err() {
                    return None;
                }
                if grant.has_early && is_ahead {
                    leg.has_delivered(early.len() as u64)
                } else {
                    leg.has_sent(early)
                }
                meet(self.shared, waiting, leg).await.and_then(|leg| self.back(leg))
            }
            Err(refusal) => self.refuse(leg, refusal).await,
        }
    }

    /// As on any other way, with what is known of the service by now.
    async fn ask(&self, open: Open, early: Bytes) -> Result<Grant, Refusal> {
        let record = self.record().await?;
        let wanted = Wanted {
            device: open.device,
            name: open.stream_name,
            connect_timeout: Duration::from_millis(open.connect_timeout_ms),
            response_timeout: Duration::from_millis(open.response_timeout_ms),
            protocols: open::protocols(open.protocols.iter().map(String::as_str)),
            stream: Some(open.request_id),
            rests: true,
            early,
        };
        open::request(self.shared, self.visitor, record, wanted).await
    }

    fn opened(&self, device: &DeviceId, grant: &Grant, pass: Option<&Pass>) -> FromHub {
        FromHub::Opened(Opened {
            url: self.shared.streaming_url(&self.identity.authority, device, grant.stream, Role::Service),
            protocol: grant.protocol.map(|protocol| protocol.as_str().to_owned()),
            way_back: pass.map(WayBack::from),
            rests: grant.rests,
        })
    }

    /// There is no stream; the connection stands by again, unless it is the identity that is refused: then the service
    /// comes another way, with another key perhaps, and hears more there.
    async fn refuse(&self, mut leg: Leg<Socket>, reason: Refusal) -> Option<Channel> {
        if self.record().await.is_err() {
            leg.refuse(&reason).await;
            return None;
        }
        leg.say(encode(&FromHub::Refused { reason })).await.ok()?;
        self.back(leg)
    }

    /// One stream that the device is asked for.
    async fn serve_device(&self, device: &DeviceId, run: u64, mut channel: Channel) -> Option<Channel> {
        let DeviceAsked { connection, ask, withdrawn } = match self.wanted(device, run, &mut channel).await {
            Ok(asked) => asked,
            Err(end) => return part(channel, end).await,
        };
        let response = tokio::select! {
            response = self.asked(device, &ask, &mut channel) => response,
            // The device lets go of its target when it hears this.
            () = withdrawn.cancelled() => return part(channel, End::Refused(Kind::PeerGone)).await,
        };
        let response = match response {
            Ok(response) => response,
            Err(end) => {
                self.shared.exchange.unanswered(connection, ask).await;
                return part(channel, end).await;
            }
        };
        let accepted = response.accepted;
        self.shared.exchange.answered(connection, response, true).await;
        if !accepted {
            return Some(channel);
        }
        // What this connection takes is counted here, for as long as its socket lives: also at the other side's task.
        let (lives, gone) = oneshot::channel::<()>();
        let leg = Leg::new(channel.into_socket(), lives);
        let rested = match self.side((device, ask.stream), Scope::everything(), Shown::Token(ask.token.hash())).await {
            Ok((waiting, _)) => meet(self.shared, waiting, leg).await,
            Err(refusal) => {
                leg.refuse(&refusal).await;
                None
            }
        };
        if rested.is_none() {
            // Only ever an error, when the other end is dropped.
            let _ = gone.await;
        }
        rested.and_then(|leg| self.back(leg))
    }

    /// Waits until the device is asked for a stream.
    async fn wanted(&self, device: &DeviceId, run: u64, channel: &mut Channel) -> Result<DeviceAsked, End> {
        self.record().await.map_err(|refusal| End::Refused(refusal.kind))?;
        let (wanted, mut asked) = oneshot::channel();
        self.shared.exchange.ready(Ready { device: device.clone(), run, wanted }).await;
        let end = tokio::select! {
            biased;
            asked = &mut asked => match asked {
                Ok(asked) => return Ok(asked),
                // Nobody asks any more: the device is not online, or another run of it is.
                Err(_) => End::Refused(Kind::PeerGone),
            },
            said = self.idle(channel) => said.map_or_else(|end| end, |_| End::Refused(Kind::BadRequest)),
        };
        asked.close();
        if let Ok(DeviceAsked { connection, ask, .. }) = asked.try_recv() {
            self.shared.exchange.unanswered(connection, ask).await;
        }
        Err(end)
    }

    /// Passes a request on, and waits for the answer to it.
    async fn asked(&self, device: &DeviceId, ask: &DeviceAsk, channel: &mut Channel) -> Result<StreamResponse, End> {
        let stream = StreamRequest {
            request_id: ask.stream,
            url: self.shared.streaming_url(&self.identity.authority, device, ask.stream, Role::Device),
            stream_name: ask.name.clone(),
            authorization_token: None,
            protocol: ask.protocol.map(|protocol| protocol.as_str().to_owned()),
            service: ask.service.clone(),
            source: ask.source.to_string(),
            rests: ask.rests,
        };
        let pass = ask.ticket.as_ref().map(|(ticket, grace)| self.pass(ticket, *grace));
        let early = Early::try_from(ask.early.len()).map_err(|_| End::Refused(Kind::HubFailed))?;
        let way_back = pass.as_ref().map(WayBack::from);
        let request = FromHub::StreamRequest(Request { stream, way_back, early });
        channel.send_with(&request, ask.early.clone()).await?;
        let answer = timeout(self.shared.config.broker.handshake, channel.answer()).await;
        match answer.unwrap_or(Err(Ended::Silent))? {
            ToHub::StreamResponse(response) if response.request_id == ask.stream => Ok(response),
            ToHub::StreamResponse(_) | ToHub::Open(_) => Err(End::Refused(Kind::BadRequest)),
        }
    }

    /// Lets this connection in as a side of a stream.
    async fn side(
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
        let ((admission, meeting), farewell) = self.shared.exchange.side(arrival).await?;
        let patience = admission.protocol.map(|_| self.shared.config.patience);
        let pass = admission.ticket.map(|(ticket, grace)| self.pass(&ticket, grace));
        Ok((Waiting { meeting, farewell, patience, rests: admission.rests.is_some() }, pass))
    }

    fn pass(&self, ticket: &Ticket, grace: Duration) -> Pass {
        Pass { token: self.shared.resume_key.sign(ticket), grace }
    }

    /// The next message, from a connection that may be idle for long.
    async fn idle(&self, channel: &mut Channel) -> Result<ToHub, End> {
        let mut changes = self.shared.directory.changes();
        loop {
            tokio::select! {
                message = channel.next() => return Ok(message?),
                () = changed(&mut changes) => {
                    self.record().await.map_err(|refusal| End::Refused(refusal.kind))?;
                }
                () = self.shared.draining.cancelled() => return Err(End::Refused(Kind::Draining)),
            }
        }
    }

    /// What is known of the identity by now, if it may still stand by with this key.
    async fn record(&self) -> Result<Record, Refusal> {
        let found = self.shared.directory.find(&self.identity.principal).await;
        let record = found.map_err(|error| Refusal::new(Kind::HubFailed, error.to_string()))?;
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

/// Returns when something has changed that decides who may stand by, or may have with time.
async fn changed(changes: &mut watch::Receiver<u64>) {
    if let Ok(Err(_)) = timeout(LOOK_AGAIN, changes.changed()).await {
        sleep(LOOK_AGAIN).await;
    }
}

async fn part(channel: Channel, end: End) -> Option<Channel> {
    match end {
        End::Ended(why) => channel.end(&why).await,
        End::Refused(kind) => channel.refuse(kind).await,
    }
    None
}
