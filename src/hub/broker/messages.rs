//! The broker's inputs and outputs.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::StreamLimits;
use crate::hub::cluster::view::other_hubs::OtherHubs;
use crate::hub::event::Event;
use crate::proto::http::Bridge;
use crate::proto::id::{ConnectionId, DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use crate::proto::key::PublicKey;
use crate::proto::limits::{HANDSHAKE_TIMEOUT, RESUME_GRACE, TOKEN_LIFETIME};
use crate::proto::message::{Hello, StreamRequest, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::{ResumeGrant, ResumeTicket};
use crate::proto::scope::Scope;
use crate::proto::secret::{SecretHash, StreamToken};
use crate::proto::stream::StreamProtocol;

/// The broker's settings.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The handshake timeout: from the request to the device until both legs are attached.
    pub handshake: Duration,
    /// The lifetime of a stream token.
    pub token: Duration,
    /// Limits on concurrent handshakes.
    pub pending: StreamLimits,
    /// Limits on concurrent streams, handshakes included.
    pub streams: StreamLimits,
    /// The longest interruption of a stream; `None` disables resumption.
    pub resume: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            handshake: HANDSHAKE_TIMEOUT,
            token: TOKEN_LIFETIME,
            pending: StreamLimits::PENDING,
            streams: StreamLimits::STREAMS,
            resume: Some(RESUME_GRACE),
        }
    }
}

/// A service's request for a stream, already authorised.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// The device.
    pub device: DeviceId,
    /// The stream's name; `None` for the device's first.
    pub name: Option<StreamName>,
    /// The service's scope.
    pub scope: Scope,
    /// The end of the service's access.
    pub until: Option<Instant>,
    /// The requesting service.
    pub service: ServiceName,
    /// The service's address.
    pub source: SocketAddr,
    /// The time to wait for the device to come online.
    pub connect_timeout: Duration,
    /// The time to wait for the device's response.
    pub response_timeout: Duration,
    /// The stream protocols that the service's end implements.
    pub protocols: Vec<StreamProtocol>,
    /// The service encrypts the stream end to end.
    pub end_to_end: bool,
    /// The stream's id, if the service chose it.
    pub stream: Option<StreamId>,
    /// The service can reuse its connection after the stream.
    pub reusable: bool,
    /// The request arrived on a standby connection.
    pub standby: bool,
    /// Early data: the beginning of the stream, sent with the request.
    pub early: Bytes,
    /// The early data may be passed on more than once.
    pub repeatable: bool,
}

/// An authenticated leg at the streaming endpoint, with its credential.
#[derive(Debug, Clone)]
pub struct LegAttach {
    /// The leg's connection.
    pub leg: ConnectionId,
    /// The stream and role that its URL names.
    pub bridge: Bridge,
    /// The authenticated identity.
    pub principal: Principal,
    /// The leg's credential.
    pub credential: LegCredential,
    /// The peer's address.
    pub address: SocketAddr,
    /// The service's present scope, which may have changed since the request.
    pub scope: Scope,
    /// The end of the service's access.
    pub until: Option<Instant>,
    /// The key that authenticated it.
    pub key: LegKey,
}

/// A key of an identity, and the end of its validity if another one has replaced it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegKey {
    /// The key.
    pub key: PublicKey,
    /// The end of its validity.
    pub until: Option<Instant>,
}

/// The credential of a leg.
#[derive(Debug, Clone)]
pub enum LegCredential {
    /// The hash of the handshake's one-time token.
    Token(SecretHash),
    /// A resume ticket with a verified signature.
    Ticket(Box<ResumeTicket>),
}

/// The way in which a leg ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegExit {
    /// The leg has received the whole stream, and knows that the other leg has too.
    Closed,
    /// The leg, or the stream, was ended otherwise: nothing can be resumed.
    Aborted,
    /// A connection was lost: the leg of this role, if known, for this reason.
    Lost(Option<Role>, String),
}

/// An event from outside the broker.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the nouns of each variant's sentence")]
pub enum Input {
    /// An authenticated device sent its hello.
    DeviceConnected { device: DeviceId, connection: ConnectionId, hello: Hello, address: SocketAddr },
    /// A device has connected to another hub since, with this run of its agent, from this address.
    PresentElsewhere { device: DeviceId, run: u64, address: SocketAddr },
    /// A device's control connection ended.
    DeviceDisconnected { device: DeviceId, connection: ConnectionId, reason: String },
    /// A service requests a stream; `requester` identifies the request.
    OpenRequested { requester: ConnectionId, request: OpenRequest },
    /// A requester left before its result.
    RequesterLeft { requester: ConnectionId },
    /// A device responded to a request, on its control connection or on a standby connection.
    DeviceResponded { connection: ConnectionId, response: StreamResponse, standby: bool },
    /// The standby connection of a request broke without a response, before or after the request was sent there.
    StandbyFailed { connection: ConnectionId, stream: StreamId, was_sent: bool },
    /// An authenticated leg connected.
    LegAttached(LegAttach),
    /// A leg ended; for a joined stream, the service's leg stands for both.
    LegLeft { leg: ConnectionId, exit: LegExit },
    /// An identity was removed, disabled or given another key: its connections and streams end.
    IdentityRevoked { principal: Principal, reason: Refusal },
    /// A service's scope or access changed: streams outside of it end.
    ScopeChanged { service: ServiceName, scope: Scope, until: Option<Instant> },
    /// An identity has these keys now: its streams do not go on with others, and a device's control connection revalidates
    /// its own.
    KeysChanged { principal: Principal, keys: Vec<LegKey> },
    /// The operator ends a stream.
    StreamKilled { stream: StreamId },
    /// A stream gives way while the hub is short of memory: it is interrupted, or ends with this refusal.
    GivesWay { stream: StreamId, refusal: Refusal },
    /// The other hubs of the cluster are these now.
    HubsChanged(OtherHubs),
    /// The device's ends of these streams wait at another hub of the cluster for the service's.
    DevicesWaitElsewhere { streams: Vec<StreamId> },
    /// The hub takes no more new streams.
    Drain,
}

/// An action for the broker's driver.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the nouns of each variant's sentence")]
pub enum Output {
    /// Close a device's control connection because a newer one replaced it.
    Displace { connection: ConnectionId, by: SocketAddr },
    /// Close a device's control connection because its identity is no longer valid.
    Dismiss { connection: ConnectionId, reason: RefusalKind },
    /// Make a control connection check that its key is still valid.
    RevalidateKey { connection: ConnectionId },
    /// Send a stream request to a device.
    RequestDevice { connection: ConnectionId, request: DeviceRequest },
    /// Tell a device that a stream request is cancelled.
    CancelRequest { connection: ConnectionId, stream: StreamId },
    /// Complete a service's request.
    CompleteOpen { requester: ConnectionId, result: Result<Grant, Refusal> },
    /// Admit a leg, which then waits for the other one.
    Admit { leg: ConnectionId, admission: LegAdmission },
    /// Refuse a leg, admitted or not.
    Refuse { leg: ConnectionId, refusal: Refusal },
    /// Join two admitted legs.
    Join(JoinedStream),
    /// End a joined stream.
    EndStream { stream: StreamId, refusal: Refusal },
    /// Forget a joined stream, which has ended.
    StreamEnded { stream: StreamId },
    /// Record an event in the activity log.
    Record(Event),
}

/// A leg that waits for the stream's other one.
#[derive(Debug, Clone, Copy)]
pub struct WaitingLeg<'a> {
    /// The stream.
    pub stream: StreamId,
    /// The stream's service.
    pub service: &'a ServiceName,
    /// The leg's role.
    pub end: Role,
    /// The stream was open, and stays interrupted without the leg.
    pub is_resumable: bool,
    /// The leg has waited for longer than the other one takes on a slow network.
    pub is_late: bool,
}

/// The parameters of an admitted leg.
#[derive(Debug, Clone)]
pub struct LegAdmission {
    /// The protocol that both ends agreed on.
    pub protocol: Option<StreamProtocol>,
    /// The leg's resume ticket, and the longest interruption.
    pub ticket: Option<(ResumeTicket, Duration)>,
    /// The run of the device's agent whose connections may be reused after the stream, if they may.
    pub reusable_by_run: Option<u64>,
}

/// A stream request to a device.
#[derive(Debug, Clone)]
pub struct DeviceRequest {
    /// The stream.
    pub stream: StreamId,
    /// The name of the device's forward.
    pub name: StreamName,
    /// The token of the device's leg.
    pub token: StreamToken,
    /// The protocol that both ends agreed on.
    pub protocol: Option<StreamProtocol>,
    /// The requesting service.
    pub service: ServiceName,
    /// The service's address.
    pub source: SocketAddr,
    /// The resume ticket of the device's leg, and the longest interruption.
    pub ticket: Option<(ResumeTicket, Duration)>,
    /// The connections of both legs are reused after the stream.
    pub reusable: bool,
    /// The service encrypts the stream end to end.
    pub end_to_end: bool,
    /// The device may have received the request before: to be sent on the control connection.
    pub repeated: bool,
    /// Early data: the beginning of the stream, sent with the request.
    pub early: Bytes,
    /// The early data may be passed on more than once.
    pub repeatable: bool,
}

impl DeviceRequest {
    /// Builds the message to the device, which connects its leg to this URL and can resume it with the grant.
    pub fn to_stream_request(&self, url: String, resume_grant: Option<ResumeGrant>) -> StreamRequest {
        StreamRequest {
            request_id: self.stream,
            stream_name: self.name.clone(),
            url,
            authorization_token: Some(self.token.clone()),
            protocol: self.protocol.map(|protocol| protocol.as_str().to_owned()),
            service: self.service.clone(),
            source: self.source,
            reusable: self.reusable,
            end_to_end: self.end_to_end,
            resume_grant,
        }
    }
}

/// The result of an accepted stream.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The stream.
    pub stream: StreamId,
    /// The token of the service's leg.
    pub token: StreamToken,
    /// The protocol that both ends agreed on.
    pub protocol: Option<StreamProtocol>,
    /// The connections of both legs are reused after the stream.
    pub reusable: bool,
    /// The device encrypts the stream end to end.
    pub end_to_end: bool,
    /// The early data was delivered to the device.
    pub early_data_delivered: bool,
}

/// A stream whose legs are to be joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedStream {
    /// The stream.
    pub stream: StreamId,
    /// The device's leg.
    pub device_leg: ConnectionId,
    /// The service's leg.
    pub service_leg: ConnectionId,
    /// The protocol that both ends agreed on.
    pub protocol: Option<StreamProtocol>,
    /// The connections of both legs are reused after the stream.
    pub reusable: bool,
    /// The time at which the stream was first open; interruptions count.
    pub since: Instant,
    /// The event of the stream's start, whose fields its end repeats.
    pub opened: Event,
}
