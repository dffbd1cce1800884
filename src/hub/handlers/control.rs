//! A device's control connection: its messages become the broker's inputs, the broker's commands its messages.

use std::collections::HashSet;
use std::time::Instant;

use http::header;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::hub::auth::Action;
use crate::hub::broker_handle::DeviceCommand;
use crate::hub::cluster::view::presence::AgentConnection;
use crate::hub::connection::ConnectionContext;
use crate::hub::handlers::gather::{self, Gathered};
use crate::hub::own_urls::UrlAuthority;
use crate::hub::responses;
use crate::hub::revalidation::{revalidate, sleep_until_deadline};
use crate::hub::shared::Shared;
use crate::hub::shutdown::reconnect_delay;
use crate::net::os::clock;
use crate::net::tls::Socket;
use crate::net::transport::http_server::{HttpOutcome, HttpRequest};
use crate::net::websocket::channel::{ChannelError, ControlChannel};
use crate::net::websocket::{CLOSE_POLICY, SocketKind, WebSocket, WebSocketError};
use crate::proto::http::{CONTROL_PROTOCOL, IF_OFFLINE_HEADER, list_contains};
use crate::proto::id::{DeviceId, Principal, Role, StreamName};
use crate::proto::key::PublicKey;
use crate::proto::limits::{DEAD_TARGETS, FORWARDS_PER_DEVICE, REQUEST_HEAD_TIMEOUT};
use crate::proto::message::{DeadTarget, Hello, ToDevice, ToHub};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::stream::StreamProtocol;
use crate::proto::token_bucket::{Rate, TokenBucket};

/// Accepts or refuses a device's upgrade. The version is checked last: a device that is refused for its version knows
/// that its key is valid, and so checks the key without displacing the running agent.
pub(in crate::hub) async fn upgrade(
    shared: &Shared,
    context: &ConnectionContext,
    request: &HttpRequest,
    device: DeviceId,
) -> HttpOutcome<ControlUpgrade> {
    let key = match context.authenticate_and_authorize(shared, request, Action::Control(&device)).await {
        Ok(authenticated) => authenticated.key.key,
        Err(refusal) => return HttpOutcome::Reply(responses::refusal(&refusal)),
    };
    let offered = request.header(header::SEC_WEBSOCKET_PROTOCOL.as_str()).unwrap_or_default();
    if !list_contains(offered, CONTROL_PROTOCOL) {
        let versions = format!("the device {offered}, the hub {CONTROL_PROTOCOL}");
        return HttpOutcome::Reply(responses::refusal(&Refusal::new(RefusalKind::IncompatibleVersion, versions)));
    }
    if request.header(IF_OFFLINE_HEADER).is_some()
        && let Some(other) = Box::pin(other_agent(shared, &device)).await
    {
        let refusal = Refusal::new(RefusalKind::Displaced, other);
        return HttpOutcome::Reply(responses::refusal(&refusal));
    }
    HttpOutcome::Upgrade {
        protocol: Some(CONTROL_PROTOCOL.into()),
        headers: Vec::new(),
        kind: SocketKind::Control,
        state: ControlUpgrade { device, authority: shared.endpoints.urls.authority_for(&request.authority), key },
    }
}

/// Says where the device is connected with another agent: to this hub, or to another one of the cluster. One that does not
/// answer, and one that counts as dead and yet was heard of, may have it.
async fn other_agent(shared: &Shared, device: &DeviceId) -> Option<String> {
    if let Some(here) = shared.streams.broker.presence(device) {
        return Some(format!("from {}", here.address));
    }
    let node = shared.cluster.as_ref().filter(|node| !node.members().isolated)?;
    let Gathered { all: found, silent } = gather::device(shared, device).await;
    match found {
        Some(there) => Some(format!("from {}", there.address)),
        None if silent.is_empty() && !node.is_at_dead_hub(device) => None,
        None => Some("at another hub, which does not answer".into()),
    }
}

/// An accepted control connection.
pub(in crate::hub) struct ControlUpgrade {
    device: DeviceId,
    /// The host and port in the URLs for it.
    authority: UrlAuthority,
    /// The key that authenticated it.
    key: PublicKey,
}

/// Runs a device's control connection to its end.
pub(in crate::hub) async fn run(
    shared: &Shared,
    context: &ConnectionContext,
    upgrade: ControlUpgrade,
    socket: WebSocket<Socket>,
) {
    let ControlUpgrade { device, authority, key } = upgrade;
    let mut channel = ControlChannel::new(socket, shared.config.idle_timeout);
    let awaited = shared.streams.hellos.begin(&device, context.id);
    let hello = tokio::select! {
        hello = read_hello(&mut channel) => hello,
        // Without a close handshake, for which it would be kept.
        () = awaited.displaced() => return,
    };
    drop(awaited);
    let Some(hello) = hello else { return channel.refuse(RefusalKind::BadRequest).await };
    let (round_trip, takes_certificates) = (channel.round_trip(), hello.certificates);
    let forwards = hello.forwards.iter().cloned().collect();
    let agent = AgentConnection { run: hello.run, address: context.address };
    let registered =
        shared.streams.broker.register_device(device.clone(), context.id, hello, context.address, round_trip);
    let Ok((mut commands, mut guard)) = registered else {
        return channel.refuse(RefusalKind::Draining).await;
    };
    if let Some(node) = &shared.cluster {
        node.device_came(device.clone(), agent);
    }
    let principal = Principal { role: Role::Device, id: device.clone().into() };
    shared.registry.note_seen(principal.clone());
    let mut session = DeviceSession {
        shared,
        context,
        device: &device,
        principal: &principal,
        authority: &authority,
        key,
        forwards,
        takes_certificates,
        certificate: None,
    };
    let end = session.run(&mut channel, &mut commands).await;
    guard.set_reason(end.reason());
    drop(guard);
    if let Some(node) = &shared.cluster {
        node.device_left(device.clone(), agent);
    }
    // An agent closes its control connection normally when it is told to end, and its streams may go on; or when it has a new
    // key, with which it is back at once.
    if let ControlEnd::Channel(ChannelError::Closed(None)) = end {
        shared.streams.broker.note_ending(device);
    }
    shared.registry.note_seen(principal);
    match end {
        ControlEnd::Channel(error) => Box::pin(channel.close_with_error(&error)).await,
        ControlEnd::Refused(kind) => Box::pin(channel.refuse(kind)).await,
    }
}

/// The reason for the end of a control connection.
enum ControlEnd {
    /// The channel failed or was closed by the device.
    Channel(ChannelError),
    /// The hub closes it.
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

/// Reads the first message, which must be a valid hello and arrive within the timeout of a request's head.
async fn read_hello(channel: &mut ControlChannel<Socket>) -> Option<Hello> {
    match timeout(REQUEST_HEAD_TIMEOUT, channel.next()).await {
        Ok(Ok(ToHub::Hello(hello))) if hello.forwards.len() <= FORWARDS_PER_DEVICE => Some(without_unknown(hello)),
        _ => None,
    }
}

/// Drops what this hub does not know from a hello, which it keeps for as long as the device is online.
fn without_unknown(mut hello: Hello) -> Hello {
    hello.protocols.retain(|name| StreamProtocol::from_name(name).is_some());
    hello.protocols.truncate(StreamProtocol::ALL.len());
    hello.protocols.shrink_to_fit();
    hello.forwards.shrink_to_fit();
    hello
}

/// The session of an online device.
struct DeviceSession<'a> {
    shared: &'a Shared,
    context: &'a ConnectionContext,
    device: &'a DeviceId,
    principal: &'a Principal,
    authority: &'a UrlAuthority,
    /// The key that authenticated it.
    key: PublicKey,
    /// The names of its forwards.
    forwards: HashSet<StreamName>,
    /// The device trusts a fleet, and takes the certificates for its key.
    takes_certificates: bool,
    /// The certificate that it was sent last.
    certificate: Option<String>,
}

impl DeviceSession<'_> {
    async fn run(
        &mut self,
        channel: &mut ControlChannel<Socket>,
        commands: &mut mpsc::Receiver<DeviceCommand>,
    ) -> ControlEnd {
        // A change of the identity from here on reaches the registered device; one before this is seen here.
        let mut key_expiry = match self.revalidate().await {
            Ok(expiry) => expiry,
            Err(kind) => return ControlEnd::Refused(kind),
        };
        if let Err(error) = self.send_welcome(channel).await {
            return error.into();
        }
        let shared = self.shared;
        let (mut drain_sent, mut responses) = (false, Responses::new());
        loop {
            tokio::select! {
                message = channel.next() => match message {
                    Ok(ToHub::StreamResponse(_)) if !responses.is_acceptable() => return violation("responses to no request"),
                    Ok(ToHub::StreamResponse(response)) => {
                        shared.streams.broker.device_responded(self.context.id, response, false);
                    }
                    Ok(ToHub::Targets { .. }) if !responses.unasked.take(clock::now()) => {
                        return violation("too many reports of its targets");
                    }
                    Ok(ToHub::Targets { dead }) => {
                        let dead = self.offered(dead);
                        shared.streams.broker.note_dead_targets(self.context.id, dead);
                    }
                    Ok(ToHub::Hello(_)) => return ControlEnd::Refused(RefusalKind::BadRequest),
                    Err(error) => return error.into(),
                },
                command = commands.recv() => match self.apply(command, channel, &mut key_expiry).await {
                    Ok(None) => responses.due += 1,
                    Ok(Some(kind)) => return ControlEnd::Refused(kind),
                    Err(error) => return error.into(),
                },
                () = sleep_until_deadline(key_expiry) => return ControlEnd::Refused(RefusalKind::KeyReplaced),
                () = shared.streams.draining.cancelled(), if !drain_sent => {
                    drain_sent = true;
                    let delay = reconnect_delay(&shared.admission);
                    let reconnect_delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    if let Err(error) = channel.send(&ToDevice::Drain { reconnect_delay_ms }).await {
                        return error.into();
                    }
                }
                () = shared.streams.stopping.cancelled() => return ControlEnd::Refused(RefusalKind::Draining),
            }
        }
    }

    /// What a report says about targets that the device offers, once of each.
    fn offered(&self, mut dead: Vec<DeadTarget>) -> Vec<DeadTarget> {
        let mut seen = HashSet::new();
        dead.retain(|DeadTarget { name, reason, .. }| {
            reason.kind.is_of_target() && self.forwards.contains(name) && seen.insert(name.clone())
        });
        dead.truncate(DEAD_TARGETS);
        dead.shrink_to_fit();
        dead
    }

    /// Confirms that the device is online. The ping measures the first round trip.
    async fn send_welcome(&mut self, channel: &mut ControlChannel<Socket>) -> Result<(), ChannelError> {
        let standby = self.shared.standby_offer(self.authority);
        let opening_limit = Some(self.shared.opening_limit());
        let version = env!("CARGO_PKG_VERSION").into();
        let certificate = self.new_certificate().await;
        channel.send(&ToDevice::Welcome { version, standby, opening_limit, certificate, targets: true }).await?;
        channel.ping().await
    }

    /// Executes a command of the broker. Returns the refusal that ends the session, if it does.
    async fn apply(
        &mut self,
        command: Option<DeviceCommand>,
        channel: &mut ControlChannel<Socket>,
        key_expiry: &mut Option<Instant>,
    ) -> Result<Option<RefusalKind>, ChannelError> {
        let Some(command) = command else { return Ok(Some(RefusalKind::HubBusy)) };
        if let DeviceCommand::RevalidateKey = command {
            match self.revalidate().await {
                Ok(expiry) => *key_expiry = expiry,
                Err(kind) => return Ok(Some(kind)),
            }
            if let Some(certificate) = self.new_certificate().await {
                channel.send(&ToDevice::Certificate { certificate }).await?;
            }
            return Ok(None);
        }
        let (message, last) = to_message(self.shared, self.device, self.authority, command);
        if let Some(message) = message {
            channel.send(&message).await?;
        }
        Ok(last)
    }

    /// Returns the certificate of the device's key, if it takes some and has not been sent this one. A registry that fails has
    /// said so, and the device gets it when it next connects.
    async fn new_certificate(&mut self) -> Option<String> {
        if !self.takes_certificates {
            return None;
        }
        let (principal, key) = (self.principal.clone(), self.key);
        let found = self.shared.registry.with(move |registry| registry.endorsements(&principal)).await;
        let found = found.inspect_err(|error| drop(error.to_public_refusal())).ok()?;
        let certificate = found.into_iter().find(|endorsement| endorsement.key == key)?.certificate?;
        let is_new = self.certificate.as_ref() != Some(&certificate);
        self.certificate = Some(certificate);
        self.certificate.clone().filter(|_| is_new)
    }

    async fn revalidate(&self) -> Result<Option<Instant>, RefusalKind> {
        let action = Action::Control(self.device);
        let valid = revalidate(&self.shared.registry, self.principal, &self.key, action).await;
        valid.map(|valid| valid.key_expiry).map_err(|refusal| refusal.kind)
    }
}

/// The end of a connection whose device does what no agent does.
fn violation(why: &'static str) -> ControlEnd {
    ChannelError::Broken(WebSocketError::Violation(CLOSE_POLICY, why.into())).into()
}

/// The responses that a device may send: one for each command of the hub, and a few more a second.
struct Responses {
    due: u64,
    unasked: TokenBucket,
}

impl Responses {
    fn new() -> Self {
        Self { due: 0, unasked: TokenBucket::new(Rate::CONTROL_FRAMES, clock::now()) }
    }

    /// Counts a response, and reports whether it may be processed.
    fn is_acceptable(&mut self) -> bool {
        match self.due.checked_sub(1) {
            Some(left) => {
                self.due = left;
                true
            }
            None => self.unasked.take(clock::now()),
        }
    }
}

/// Translates a command into its message, and the refusal that ends the session after it, if any.
fn to_message(
    shared: &Shared,
    device: &DeviceId,
    authority: &UrlAuthority,
    command: DeviceCommand,
) -> (Option<ToDevice>, Option<RefusalKind>) {
    match command {
        DeviceCommand::RequestStream(request) => {
            let url = shared.endpoints.urls.stream(authority, device, request.stream, Role::Device);
            let resume_grant = request.ticket.as_ref().map(|ticket| (&shared.resume_credential(ticket)).into());
            (Some(ToDevice::StreamRequest(request.to_stream_request(url, resume_grant))), None)
        }
        DeviceCommand::CancelRequest(request_id) => (Some(ToDevice::StreamCancel { request_id }), None),
        DeviceCommand::Displaced(by) => (Some(ToDevice::Displaced { by, yields: true }), Some(RefusalKind::Displaced)),
        DeviceCommand::Dismissed(kind) => (None, Some(kind)),
        DeviceCommand::RevalidateKey => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_keeps_no_names_that_the_hub_does_not_know() {
        let known = StreamProtocol::ALL.map(|protocol| protocol.as_str().to_owned());
        let unknown = (0..20_000).map(|_| String::new());
        let hello = Hello {
            version: "1".into(),
            run: 1,
            protocols: unknown.chain(known.clone()).chain(known.clone()).collect(),
            forwards: Vec::with_capacity(FORWARDS_PER_DEVICE),
            accepts_any_name: false,
            reusable: false,
            certificates: false,
        };
        let kept = without_unknown(hello);
        assert_eq!(kept.protocols, known);
        assert!(kept.protocols.capacity() <= known.len() && kept.forwards.capacity() == 0);
    }
}
