//! A device's control connection: its messages become the broker's inputs, and the broker's outputs its messages.

use http::header;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::answers;
use super::auth::Action;
use super::door::Visitor;
use super::exchange::Notice;
use super::registry::StoredKey;
use super::{Next, Shared};
use crate::net::channel::{ControlChannel, Ended};
use crate::net::clock::Moment;
use crate::net::serve::{Answer, Asked};
use crate::net::tls::Socket;
use crate::net::websocket::{Purpose, WebSocket};
use crate::proto::http::{CONTROL_PROTOCOL, lists};
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::limits::{FORWARDS_PER_DEVICE, REQUEST_HEAD_TIMEOUT};
use crate::proto::message::{Hello, StreamRequest, ToDevice, ToHub};
use crate::proto::refusal::{Kind, Refusal};

/// Lets a device's upgrade through, or not.
pub(super) async fn admit(shared: &Shared, visitor: &Visitor, asked: &Asked, device: DeviceId) -> Answer<Next> {
    let key = match visitor.permit(shared, asked, Action::Control(&device)).await {
        Ok(record) => record.key,
        Err(refusal) => return Answer::Reply(answers::refuse(&refusal)),
    };
    let offered = asked.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    if !lists(offered, CONTROL_PROTOCOL) {
        let versions = format!("the device {offered}, the hub {CONTROL_PROTOCOL}");
        return Answer::Reply(answers::refuse(&Refusal::new(Kind::IncompatibleVersion, versions)));
    }
    Answer::Upgrade {
        protocol: Some(CONTROL_PROTOCOL.into()),
        purpose: Purpose::Control,
        then: Next::Control(Arriving { device, authority: asked.authority.clone(), key }),
    }
}

/// A device whose upgrade was let through.
pub(super) struct Arriving {
    device: DeviceId,
    /// How it addressed the hub.
    authority: String,
    /// What it proved itself with.
    key: Option<StoredKey>,
}

/// Keeps a device's control connection until either end gives it up.
pub(super) async fn run(shared: &Shared, visitor: &Visitor, arriving: Arriving, socket: WebSocket<Socket>) {
    let Arriving { device, authority, key } = arriving;
    let mut channel = ControlChannel::new(socket);
    let Some(hello) = hello(&mut channel).await else {
        return channel.refuse(Kind::BadRequest).await;
    };
    let arrived = shared.exchange.arrive(device.clone(), visitor.connection, hello, visitor.address).await;
    let Ok((mut notices, mut farewell)) = arrived else {
        return channel.refuse(Kind::Draining).await;
    };
    let end = if is_still(shared, &device, key).await {
        seen(shared, &device).await;
        converse(shared, visitor, &device, &authority, &mut channel, &mut notices).await
    } else {
        End::Refused(Kind::AuthenticationFailed)
    };
    farewell.because(end.reason());
    drop(farewell);
    seen(shared, &device).await;
    match end {
        End::Ended(why) => channel.end(&why).await,
        End::Refused(kind) => channel.refuse(kind).await,
    }
}

/// Why a control connection is over.
enum End {
    /// The channel says why.
    Ended(Ended),
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

impl From<Ended> for End {
    fn from(why: Ended) -> Self {
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

async fn converse(
    shared: &Shared,
    visitor: &Visitor,
    device: &DeviceId,
    authority: &str,
    channel: &mut ControlChannel<Socket>,
    notices: &mut mpsc::Receiver<Notice>,
) -> End {
    let welcome = ToDevice::Welcome { version: env!("CARGO_PKG_VERSION").into() };
    if let Err(why) = channel.send(&welcome).await {
        return why.into();
    }
    let mut told_of_drain = false;
    loop {
        tokio::select! {
            message = channel.next() => match message {
                Ok(ToHub::StreamResponse(response)) => shared.exchange.answered(visitor.connection, response).await,
                Ok(ToHub::Hello(_)) => return End::Refused(Kind::BadRequest),
                Err(why) => return why.into(),
            },
            notice = notices.recv() => {
                let Some(notice) = notice else { return End::Refused(Kind::HubBusy) };
                let (message, last) = message(shared, device, authority, notice);
                if let Some(message) = message && let Err(why) = channel.send(&message).await {
                    return why.into();
                }
                if let Some(kind) = last {
                    return End::Refused(kind);
                }
            }
            () = shared.draining.cancelled(), if !told_of_drain => {
                told_of_drain = true;
                if let Err(why) = channel.send(&ToDevice::Drain).await {
                    return why.into();
                }
            }
            () = shared.stopping.cancelled() => return End::Refused(Kind::Draining),
        }
    }
}

/// What a notice is to the device, and whether it is the last thing it hears.
fn message(shared: &Shared, device: &DeviceId, authority: &str, notice: Notice) -> (Option<ToDevice>, Option<Kind>) {
    match notice {
        Notice::Ask(ask) => {
            let request = StreamRequest {
                request_id: ask.stream,
                url: shared.streaming_url(authority, device, ask.stream, Role::Device),
                stream_name: ask.name,
                authorization_token: ask.token,
                protocol: ask.protocol.map(str::to_owned),
                service: ask.service,
                source: ask.source.to_string(),
            };
            (Some(ToDevice::StreamRequest(request)), None)
        }
        Notice::Cancel(request_id) => (Some(ToDevice::StreamCancel { request_id }), None),
        Notice::Displaced(by) => (Some(ToDevice::Displaced { by: by.to_string() }), Some(Kind::Displaced)),
        Notice::Dismissed => (None, Some(Kind::AuthenticationFailed)),
    }
}

/// Whether the identity is what it was when the device proved itself. Whoever removes it from now on finds the device
/// online; whoever did before this has not.
async fn is_still(shared: &Shared, device: &DeviceId, key: Option<StoredKey>) -> bool {
    let principal = Principal { role: Role::Device, id: device.clone().into() };
    matches!(shared.directory.find(&principal).await, Ok(Some(record)) if record.key == key)
}

/// The registry knows when a device was last here.
async fn seen(shared: &Shared, device: &DeviceId) {
    let principal = Principal { role: Role::Device, id: device.clone().into() };
    if let Err(error) = shared.directory.with(move |registry| registry.seen(&principal, Moment::now())).await {
        tracing::warn!(target: "hub", %error, "could not note that a device was here");
    }
}
