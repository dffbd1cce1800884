//! A device's control connection: its messages become the broker's inputs, and the broker's outputs its messages.

use std::time::Instant;

use http::header;
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};

use super::auth::{Action, authorize};
use super::broker_handle::DeviceCommand;
use super::connection::ConnectionContext;
use super::responses;
use super::{Shared, Upgraded};
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest};
use crate::net::websocket::channel::{ChannelError, ControlChannel};
use crate::net::websocket::{SocketKind, WebSocket};
use crate::proto::http::{CONTROL_PROTOCOL, list_contains};
use crate::proto::id::{DeviceId, Principal, Role};
use crate::proto::key::PublicKey;
use crate::proto::limits::{FORWARDS_PER_DEVICE, REQUEST_HEAD_TIMEOUT};
use crate::proto::message::{Hello, ToDevice, ToHub};
use crate::proto::refusal::{Refusal, RefusalKind};

/// Lets a device's upgrade through, or not. The version is looked at last: whoever hears that it is wrong knows that the
/// hub knows it, which is how a device checks its key without taking its agent's place.
pub(super) async fn upgrade(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    device: DeviceId,
) -> HttpOutcome<Upgraded> {
    let key = match context.authenticate_and_authorize(shared, request, Action::Control(&device)).await {
        Ok(authenticated) => authenticated.key.key,
        Err(refusal) => return HttpOutcome::Reply(responses::refusal(&refusal)),
    };
    let offered = request.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    if !list_contains(offered, CONTROL_PROTOCOL) {
        let versions = format!("the device {offered}, the hub {CONTROL_PROTOCOL}");
        return HttpOutcome::Reply(responses::refusal(&Refusal::new(RefusalKind::IncompatibleVersion, versions)));
    }
    HttpOutcome::Upgrade {
        protocol: Some(CONTROL_PROTOCOL.into()),
        headers: Vec::new(),
        kind: SocketKind::Control,
        state: Upgraded::Control(ControlUpgrade { device, authority: request.authority.clone(), key }),
    }
}

/// A device whose upgrade was let through.
pub(super) struct ControlUpgrade {
    device: DeviceId,
    /// How it addressed the hub.
    authority: String,
    /// What it proved itself with.
    key: PublicKey,
}

/// Keeps a device's control connection until either end gives it up.
pub(super) async fn run(
    shared: &Shared,
    context: &ConnectionContext,
    upgrade: ControlUpgrade,
    socket: WebSocket<Socket>,
) {
    let ControlUpgrade { device, authority, key } = upgrade;
    let mut channel = ControlChannel::new(socket, shared.config.idle_timeout);
    let Some(hello) = read_hello(&mut channel).await else {
        return channel.refuse(RefusalKind::BadRequest).await;
    };
    let round_trip = channel.round_trip();
    let registered = shared.broker.register_device(device.clone(), context.id, hello, context.address, round_trip);
    let Ok((mut commands, mut guard)) = registered else {
        return channel.refuse(RefusalKind::Draining).await;
    };
    let principal = Principal { role: Role::Device, id: device.clone().into() };
    shared.registry.note_seen(principal.clone());
    let session = DeviceSession { shared, context, device: &device, principal: &principal, authority: &authority, key };
    let end = session.run(&mut channel, &mut commands).await;
    guard.set_reason(end.reason());
    drop(guard);
    shared.registry.note_seen(principal);
    match end {
        ControlEnd::Channel(error) => Box::pin(channel.end(&error)).await,
        ControlEnd::Refused(kind) => Box::pin(channel.refuse(kind)).await,
    }
}

/// Why a control connection is over.
enum ControlEnd {
    /// The channel says why.
    Channel(ChannelError),
    /// The hub ends it.
    Refused(RefusalKind),
}

impl ControlEnd {
    fn reason(&self) -> String {
        match self {
            Self::Channel(error) => error.to_string(),
            Self::Refused(kind) => kind.row().sentence.into(),
        }
    }
}

impl From<ChannelError> for ControlEnd {
    fn from(error: ChannelError) -> Self {
        Self::Channel(error)
    }
}

/// The first message, within a stranger's patience.
async fn read_hello(channel: &mut ControlChannel<Socket>) -> Option<Hello> {
    match timeout(REQUEST_HEAD_TIMEOUT, channel.next()).await {
        Ok(Ok(ToHub::Hello(hello))) if hello.forwards.len() <= FORWARDS_PER_DEVICE => Some(hello),
        _ => None,
    }
}

/// A device that is online.
struct DeviceSession<'a> {
    shared: &'a Shared,
    context: &'a ConnectionContext,
    device: &'a DeviceId,
    principal: &'a Principal,
    authority: &'a str,
    /// What it proved itself with.
    key: PublicKey,
}

impl DeviceSession<'_> {
    async fn run(
        &self,
        channel: &mut ControlChannel<Socket>,
        commands: &mut mpsc::Receiver<DeviceCommand>,
    ) -> ControlEnd {
        // Whoever changes the identity from here on finds the device online; whoever did before this has not.
        let mut key_expiry = match self.revalidate().await {
            Ok(expiry) => expiry,
            Err(kind) => return ControlEnd::Refused(kind),
        };
        if let Err(error) = self.send_welcome(channel).await {
            return error.into();
        }
        let shared = self.shared;
        let mut drain_sent = false;
        loop {
            tokio::select! {
                message = channel.next() => match message {
                    Ok(ToHub::StreamResponse(response)) => {
                        shared.broker.device_responded(self.context.id, response, false);
                    }
                    Ok(ToHub::Hello(_)) => return ControlEnd::Refused(RefusalKind::BadRequest),
                    Err(error) => return error.into(),
                },
                command = commands.recv() => match self.apply(command, channel, &mut key_expiry).await {
                    Ok(None) => {}
                    Ok(Some(kind)) => return ControlEnd::Refused(kind),
                    Err(error) => return error.into(),
                },
                () = sleep_until_deadline(key_expiry) => return ControlEnd::Refused(RefusalKind::KeyReplaced),
                () = shared.draining.cancelled(), if !drain_sent => {
                    drain_sent = true;
                    let reconnect_delay_ms = u64::try_from(shared.reconnect_delay().as_millis()).unwrap_or(u64::MAX);
                    if let Err(error) = channel.send(&ToDevice::Drain { reconnect_delay_ms }).await {
                        return error.into();
                    }
                }
                () = shared.stopping.cancelled() => return ControlEnd::Refused(RefusalKind::Draining),
            }
        }
    }

    /// The device is online, and how far away it is will be known soon.
    async fn send_welcome(&self, channel: &mut ControlChannel<Socket>) -> Result<(), ChannelError> {
        let standby = self.shared.standby_offer(self.authority);
        channel.send(&ToDevice::Welcome { version: env!("CARGO_PKG_VERSION").into(), standby }).await?;
        channel.ping().await
    }

    /// Does what the broker wants; a kind of refusal if that is the end.
    async fn apply(
        &self,
        command: Option<DeviceCommand>,
        channel: &mut ControlChannel<Socket>,
        key_expiry: &mut Option<Instant>,
    ) -> Result<Option<RefusalKind>, ChannelError> {
        let Some(command) = command else { return Ok(Some(RefusalKind::HubBusy)) };
        if let DeviceCommand::RevalidateKey = command {
            return Ok(match self.revalidate().await {
                Ok(expiry) => {
                    *key_expiry = expiry;
                    None
                }
                Err(kind) => Some(kind),
            });
        }
        let (message, last) = to_message(self.shared, self.device, self.authority, command);
        if let Some(message) = message {
            channel.send(&message).await?;
        }
        Ok(last)
    }

    /// Whether the identity is still let in with this key, and when that ends.
    async fn revalidate(&self) -> Result<Option<Instant>, RefusalKind> {
        let found = self.shared.registry.find(self.principal).await;
        let record = found.map_err(|error| error.to_public_refusal().kind)?;
        let record = record.ok_or(RefusalKind::AuthenticationFailed)?;
        let now = clock::now_utc();
        authorize(record.authz_subject(), Action::Control(self.device), now)?;
        let key = record.valid_key(&self.key, now).ok_or(RefusalKind::KeyReplaced)?;
        Ok(key.until.map(|until| clock::now() + until.since(now)))
    }
}

/// Returns at that time, if there is one.
pub(super) async fn sleep_until_deadline(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What a notice is to the device, and whether it is the last thing it hears.
fn to_message(
    shared: &Shared,
    device: &DeviceId,
    authority: &str,
    command: DeviceCommand,
) -> (Option<ToDevice>, Option<RefusalKind>) {
    match command {
        DeviceCommand::RequestStream(request) => {
            let url = shared.streaming_url(authority, device, request.stream, Role::Device);
            (Some(ToDevice::StreamRequest(request.to_stream_request(url))), None)
        }
        DeviceCommand::CancelRequest(request_id) => (Some(ToDevice::StreamCancel { request_id }), None),
        DeviceCommand::Displaced(by) => (Some(ToDevice::Displaced { by }), Some(RefusalKind::Displaced)),
        DeviceCommand::Dismissed(kind) => (None, Some(kind)),
        DeviceCommand::RevalidateKey => (None, None),
    }
}
