//! What goes into the broker, and what comes out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Event, StreamLimits};
use crate::proto::http::Bridge;
use crate::proto::id::{ConnectionId, DeviceId, Principal, Role, ServiceName, StreamId, StreamName};
use crate::proto::limits::{HANDSHAKE_TIMEOUT, RESUME_GRACE, TOKEN_LIFETIME};
use crate::proto::message::{Hello, StreamRequest, StreamResponse};
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::resume::ResumeTicket;
use crate::proto::scope::Scope;
use crate::proto::secret::{SecretHash, StreamToken};
use crate::proto::stream::StreamProtocol;

/// What the hub's owner may set.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// From asking the device until both sides are there.
    pub handshake: Duration,
    /// From giving out a token until it must have been used.
    pub token: Duration,
    /// Handshakes at once.
    pub pending: StreamLimits,
    /// Streams at once.
    pub streams: StreamLimits,
    /// How long a stream may be interrupted, if its ends may resume at all.
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

/// A service's request for a stream. Whether it may ask was decided before.
#[derive(Debug, Clone)]
pub struct OpenRequest {
    /// To which device.
    pub device: DeviceId,
    /// For which of its forwards; the first if none is named.
    pub name: Option<StreamName>,
    /// What the service may reach.
    pub scope: Scope,
    /// When that ends.
    pub until: Option<Instant>,
    /// Who asks.
    pub service: ServiceName,
    /// From where.
    pub source: SocketAddr,
    /// How long to wait for the device to come online.
    pub connect_timeout: Duration,
    /// How long to wait for its answer.
    pub response_timeout: Duration,
    /// What the service's end can do on a stream.
    pub protocols: Vec<StreamProtocol>,
    /// The stream's id, if the service has chosen one.
    pub stream: Option<StreamId>,
    /// Whether the connection of the service's side may go on after the stream.
    pub reusable: bool,
    /// Whether it came on a connection that stood by.
    pub standby: bool,
    /// What of the stream came along with the request.
    pub early: Bytes,
}

/// An authenticated side of a stream at the streaming endpoint, with what it shows.
#[derive(Debug, Clone)]
pub struct LegAttach {
    /// Its connection.
    pub leg: ConnectionId,
    /// The place it came to.
    pub bridge: Bridge,
    /// Who it is.
    pub principal: Principal,
    /// What lets it in.
    pub credential: LegCredential,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What a service may reach by now, which may be other than when it asked.
    pub scope: Scope,
    /// When that ends.
    pub until: Option<Instant>,
}

/// What a side shows.
#[derive(Debug, Clone)]
pub enum LegCredential {
    /// The token of its handshake, which is good once.
    Token(SecretHash),
    /// A ticket of this hub's, whose signature was checked: it has been here before.
    Ticket(Box<ResumeTicket>),
}

/// How a side left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegExit {
    /// It has all of the stream, and knows that the other side does.
    Closed,
    /// It, or the stream, came to another end.
    Deliberate,
    /// A connection was lost, which nobody meant: of this side, if it is known, for this reason.
    Lost(Option<Role>, String),
}

/// What can happen.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the nouns of each variant's sentence")]
pub enum Input {
    /// An authenticated device said hello.
    DeviceConnected { device: DeviceId, connection: ConnectionId, hello: Hello, address: SocketAddr },
    /// A device's control connection ended.
    DeviceDisconnected { device: DeviceId, connection: ConnectionId, reason: String },
    /// A service asks for a stream, on this connection.
    OpenRequested { requester: ConnectionId, request: OpenRequest },
    /// It hung up before its answer.
    RequesterLeft { requester: ConnectionId },
    /// A device answered, on a standby connection or on its control connection.
    DeviceResponded { connection: ConnectionId, response: StreamResponse, standby: bool },
    /// An authenticated side of a stream came to the streaming endpoint with a token.
    LegAttached(LegAttach),
    /// A side left, or the joined stream whose service's side it was came apart.
    LegLeft { leg: ConnectionId, exit: LegExit },
    /// An identity is no longer let in: its connections and streams end.
    IdentityRevoked { principal: Principal, reason: Refusal },
    /// A service may reach something else: streams outside of that end.
    ScopeChanged { service: ServiceName, scope: Scope, until: Option<Instant> },
    /// A device's keys have changed.
    KeysChanged { device: DeviceId },
    /// Whoever runs the hub wants a stream to end.
    StreamKilled { stream: StreamId },
    /// No new streams from here on.
    Drain,
}

/// What must be done.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are the nouns of each variant's sentence")]
pub enum Output {
    /// End a device's control connection in favour of a newer one.
    Displace { connection: ConnectionId, by: SocketAddr },
    /// End a device's control connection because its identity is no longer let in.
    Dismiss { connection: ConnectionId, reason: RefusalKind },
    /// See whether the key with which a control connection was made is still good.
    RevalidateKey { connection: ConnectionId },
    /// ResumeCredential a request on to a device.
    RequestDevice { connection: ConnectionId, request: DeviceRequest },
    /// Tell a device that a request is void.
    CancelRequest { connection: ConnectionId, stream: StreamId },
    /// Answer a service.
    CompleteOpen { requester: ConnectionId, result: Result<Grant, Refusal> },
    /// Let a side in; it waits for the other one.
    Admit { leg: ConnectionId, admission: Admission },
    /// Send a side away, before it was let in or after.
    Refuse { leg: ConnectionId, refusal: Refusal },
    /// Join two sides that were let in.
    Join(JoinedStream),
    /// End a joined stream.
    EndStream { stream: StreamId, refusal: Refusal },
    /// A joined stream is over.
    StreamEnded { stream: StreamId },
    /// Write it down.
    Record(Event),
}

/// What a side gets that was let in.
#[derive(Debug, Clone)]
pub struct Admission {
    /// What both ends speak.
    pub protocol: Option<StreamProtocol>,
    /// What it may come back with, and how long an interruption may last.
    pub ticket: Option<(ResumeTicket, Duration)>,
    /// Whether its connection goes on after the stream, and of which run of the device's agent that is one.
    pub reusable: Option<u64>,
}

/// A request as a device needs it.
#[derive(Debug, Clone)]
pub struct DeviceRequest {
    /// Which stream.
    pub stream: StreamId,
    /// Which forward.
    pub name: StreamName,
    /// Lets the device's side in.
    pub token: StreamToken,
    /// What both ends speak.
    pub protocol: Option<StreamProtocol>,
    /// Who asks.
    pub service: ServiceName,
    /// From where.
    pub source: SocketAddr,
    /// What its side comes back with, and how long an interruption may last.
    pub ticket: Option<(ResumeTicket, Duration)>,
    /// Whether the connections of both sides go on after the stream.
    pub reusable: bool,
    /// What of the stream came along with the request.
    pub early: Bytes,
}

impl DeviceRequest {
    /// What the device is sent, which is to bring its side to this URL.
    pub fn to_stream_request(&self, url: String) -> StreamRequest {
        StreamRequest {
            request_id: self.stream,
            stream_name: self.name.clone(),
            url,
            authorization_token: Some(self.token.clone()),
            protocol: self.protocol.map(|protocol| protocol.as_str().to_owned()),
            service: self.service.clone(),
            source: self.source,
            reusable: self.reusable,
        }
    }
}

/// What a service gets when the device has accepted.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Which stream.
    pub stream: StreamId,
    /// Lets the service's side in.
    pub token: StreamToken,
    /// What both ends speak.
    pub protocol: Option<StreamProtocol>,
    /// Whether the connections of both sides go on after the stream.
    pub reusable: bool,
    /// Whether the device has what came early.
    pub has_early: bool,
}

/// Two sides that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedStream {
    /// Which stream.
    pub stream: StreamId,
    /// The device's side.
    pub device_leg: ConnectionId,
    /// The service's side.
    pub service_leg: ConnectionId,
    /// What both ends speak.
    pub protocol: Option<StreamProtocol>,
    /// Whether their connections go on after the stream.
    pub reusable: bool,
    /// Since when it has been open, interruptions included.
    pub since: Instant,
    /// What the log will say when it ends; its address fields are filled in.
    pub opened: Event,
}
