//! A device's control connection: its messages become the broker's inputs, and the broker's outputs its messages.

use std::time::Instant;

use http::header;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::answers;
use super::auth::{Action, authorize};
use super::door::Visitor;
use super::exchange::Notice;
use super::{Next, Shared};
use crate::net::channel::{ChannelError, ControlChannel};
use crate::net::clock;
use crate::net::serve::{Answer, Asked};
use crate::net::tls::Socket;
use crate::net::websocket::{SocketKind, WebSocket};
use crate::proto::http::{CONTROL_PROTOCOL, lists};
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::limits::{FORWARDS_PER_DEVICE, REQUEST_HEAD_TIMEOUT};
use crate::proto::message::{Hello, ToDevice, ToHub};
use crate::proto::refusal::{Kind, Refusal};

/// Lets a device's upgrade through, or not. The version is looked at last: whoever hears that it is wrong knows that the
/// hub knows it, which is how a device checks its key without taking its agent's place.
pub(super) async fn admit(shared: &Shared, visitor: &Visitor, asked: &Asked, device: DeviceId) -> Answer<Next> {
    let key = match visitor.permit(shared, asked, Action::Control(&device)).await {
        Ok(proven) => proven.key.key,
        Err(refusal) => return Answer::Reply(answers::refuse(&refusal)),
    };
    let offered = asked.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    if !lists(offered, CONTROL_PROTOCOL) {
        let versions = format!("the device {offered}, the hub {CONTROL_PROTOCOL}");
        return Answer::Reply(answers::refuse(&Refusal::new(Kind::IncompatibleVersion, versions)));
    }
    Answer::Upgrade {
        protocol: Some(CONTROL_PROTOCOL.into()),
        headers: Vec::new(),
        kind: SocketKind::Control,
        then: Next::Control(Arriving { device, authority: asked.authority.clone(), key }),
    }
}

/// A device whose upgrade was let through.
pub(super) struct Arriving {
    device: DeviceId,
    /// How it addressed the hub.
    authority: String,
    /// What it proved itself with.
    key: PublicKey,
}

/// Keeps a device's control connection until either end gives it up.
pub(super) async fn run(shared: &Shared, visitor: &Visitor, arriving: Arriving, socket: WebSocket<Socket>) {
    let Arriving { device, authority, key } = arriving;
    let mut channel = ControlChannel::new(socket, shared.config.patience);
    let Some(hello) = hello(&mut channel).await else {
        return channel.refuse(Kind::BadRequest).await;
    };
    let round_trip = channel.round_trip();
    let arrived = shared.exchange.arrive(device.clone(), visitor.connection, hello, visitor.address, round_trip);
    let Ok((mut notices, mut farewell)) = arrived else {
        return channel.refuse(Kind::Draining).await;
    };
    let principal = Principal { role: Role::Device, id: device.clone().into() };
    shared.directory.note_seen(principal.clone());
    let session = Session { shared, visitor, device: &device, principal: &principal, authority: &authority, key };
    let end = session.converse(&mut channel, &mut notices).await;
    farewell.because(end.reason());
    drop(farewell);
    shared.directory.note_seen(principal);
    match end {
        End::Ended(why) => Box::pin(channel.end(&why)).await,
        End::Refused(kind) => Box::pin(channel.refuse(kind)).await,
    }
}

/// Why a control connection is over.
enum End {
    /// The channel says why.
    Ended(ChannelError),
    /// The hub ends it.
    Refused(Kind),
}

impl End {
    fn reason(&self) -> String {
        match self {
            Self::Ended(why) => why.to_string(),
            Self::Refused(kind) => kind.row().sentence.into(),
        }
    }
}

impl From<ChannelError> for End {
    fn from(why: ChannelError) -> Self {
        Self::Ended(why)
    }
}

/// The first message, within a stranger's patience.
async fn hello(channel: &mut ControlChannel<Socket>) -> Option<Hello> {
    match timeout(REQUEST_HEAD_TIMEOUT, channel.next()).await {
        Ok(Ok(ToHub::Hello(hello))) if hello.forwards.len() <= FORWARDS_PER_DEVICE => Some(hello),
        _ => None,
    }
}

/// A device that is online.
struct Session<'a> {
    shared: &'a Shared,
    visitor: &'a Visitor,
    device: &'a DeviceId,
    principal: &'a Principal,
    authority: &'a str,
    /// What it proved itself with.
    key: PublicKey,
}

impl Session<'_> {
    async fn converse(&self, channel: &mut ControlChannel<Socket>, notices: &mut mpsc::Receiver<Notice>) -> End {
        // Whoever changes the identity from here on finds the device online; whoever did before this has not.
        let mut key_ends = match self.standing().await {
            Ok(ends) => ends,
            Err(kind) => return End::Refused(kind),
        };
        if let Err(why) = self.welcome(channel).await {
            return why.into();
        }
        let shared = self.shared;
        let mut told_of_drain = false;
        loop {
            tokio::select! {
                message = channel.next() => match message {
                    Ok(ToHub::StreamResponse(response)) => {
                        shared.exchange.answered(self.visitor.connection, response, false);
                    }
                    Ok(ToHub::Hello(_)) => return End::Refused(Kind::BadRequest),
                    Err(why) => return why.into(),
                },
                notice = notices.recv() => match self.heed(notice, channel, &mut key_ends).await {
                    Ok(None) => {}
                    Ok(Some(kind)) => return End::Refused(kind),
                    Err(why) => return why.into(),
                },
                () = passed(key_ends) => return End::Refused(Kind::KeyReplaced),
                () = shared.draining.cancelled(), if !told_of_drain => {
                    told_of_drain = true;
                    let back_ms = u64::try_from(shared.come_back_after().as_millis()).unwrap_or(u64::MAX);
                    if let Err(why) = channel.send(&ToDevice::Drain { back_ms }).await {
                        return why.into();
                    }
                }
                () = shared.stopping.cancelled() => return End::Refused(Kind::Draining),
            }
        }
    }

    /// The device is online, and how far away it is will be known soon.
    async fn welcome(&self, channel: &mut ControlChannel<Socket>) -> Result<(), ChannelError> {
        let standby = self.shared.standby_offer(self.authority);
        channel.send(&ToDevice::Welcome { version: env!("CARGO_PKG_VERSION").into(), standby }).await?;
        channel.ping().await
    }

    /// Does what the broker wants; a kind of refusal if that is the end.
    async fn heed(
        &self,
        notice: Option<Notice>,
        channel: &mut ControlChannel<Socket>,
        key_ends: &mut Option<Instant>,
    ) -> Result<Option<Kind>, ChannelError> {
        let Some(notice) = notice else { return Ok(Some(Kind::HubBusy)) };
        if let Notice::Recheck = notice {
            return Ok(match self.standing().await {
                Ok(ends) => {
                    *key_ends = ends;
                    None
                }
                Err(kind) => Some(kind),
            });
        }
        let (message, last) = message(self.shared, self.device, self.authority, notice);
        if let Some(message) = message {
            channel.send(&message).await?;
        }
        Ok(last)
    }

    /// Whether the identity is still let in with this key, and when that ends.
    async fn standing(&self) -> Result<Option<Instant>, Kind> {
        let found = self.shared.directory.find(self.principal).await;
        let record = found.map_err(|error| error.to_strangers().kind)?;
        let record = record.ok_or(Kind::AuthenticationFailed)?;
        let now = clock::moment();
        authorize(record.standing(), Action::Control(self.device), now)?;
        let key = record.valid_key(&self.key, now).ok_or(Kind::KeyReplaced)?;
        Ok(key.until.map(|until| clock::now() + until.since(now)))
    }
}

/// Returns at that time, if there is one.
pub(super) async fn passed(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What a notice is to the device, and whether it is the last thing it hears.
fn message(shared: &Shared, device: &DeviceId, authority: &str, notice: Notice) -> (Option<ToDevice>, Option<Kind>) {
    match notice {
        Notice::Ask(ask) => {
            let url = shared.streaming_url(authority, device, ask.stream, Role::Device);
            (Some(ToDevice::StreamRequest(ask.request(url))), None)
        }
        Notice::Cancel(request_id) => (Some(ToDevice::StreamCancel { request_id }), None),
        Notice::Displaced(by) => (Some(ToDevice::Displaced { by }), Some(Kind::Displaced)),
        Notice::Dismissed(kind) => (None, Some(kind)),
        Notice::Recheck => (None, None),
    }
}
