//! From an accepted socket to an authenticated request: TLS, then HTTP, within a stranger's limits.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::auth::{Action, AuthnError, authenticate, authorize};
use super::broker::{Event, Operation};
use super::connection_limiter::{AuthenticatedPermit, Rejection, UnauthenticatedPermit};
use super::penalty::{PenaltyReason, SourceStatus};
use super::pressure::{ConnectionSlot, Exhausted};
use super::registry::{Record, StoredKey};
use super::responses;
use super::{Shared, Upgraded, control, devices, enrol, monitor, open, standby, streaming};
use crate::net::os::clock;
use crate::net::os::random;
use crate::net::tls::{Acceptor, Socket};
use crate::net::transport::http_server::{HttpOutcome, HttpRequest, serve};
use crate::net::transport::socket;
use crate::proto::auth::{AUTH_HEADER, Binding, Credential, Session};
use crate::proto::challenge::Challenge;
use crate::proto::channel_binding::{CHANNEL_HEADER, Exporter, channel_id};
use crate::proto::http::Route;
use crate::proto::id::{ConnectionId, Principal};
use crate::proto::refusal::{Refusal, RefusalKind};

/// A wrong proof from a source that holds good connections is answered after this: with its share of strangers' places,
/// a source guesses no faster than that share a second.
const THROTTLED_RESPONSE_DELAY: Duration = Duration::from_secs(1);

/// The longest that a request's answer may take, which is two waits of a stream's handshake, and then some.
const MAX_REQUEST_DURATION: Duration = Duration::from_secs(150);

/// Which requests a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerKind {
    /// Everything.
    All,
    /// Everything but streams, which have an endpoint of their own.
    Control,
    /// Streams only.
    Streams,
}

/// One connection's particulars.
pub(super) struct ConnectionContext {
    /// Its number.
    pub id: ConnectionId,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it may ask for.
    pub listener_kind: ListenerKind,
    exporter: Exporter,
    auth_state: Arc<Mutex<AuthState>>,
    /// A proof was looked at, and its answer is not given yet.
    auth_pending: AtomicBool,
    /// The proof was wrong as it must be where a proxy inspects TLS and no challenge was answered yet; or it is held
    /// against its source already.
    penalty_exempt: AtomicBool,
}

/// Who asks, and the key that proved it.
pub(super) struct AuthenticatedIdentity {
    /// What is known of them.
    pub record: Record,
    /// The key.
    pub key: StoredKey,
    /// The signature covers the TLS channel, not a challenge: no proxy reads this connection.
    pub is_channel_bound: bool,
}

/// What a connection counts as.
#[derive(Debug)]
enum AuthState {
    Unauthenticated(UnauthenticatedPermit),
    Authenticated {
        _permit: AuthenticatedPermit,
    },
    /// Between the two.
    Transitioning,
}

/// What a connection takes while it lasts.
pub(super) struct ConnectionPermit {
    unauthenticated: UnauthenticatedPermit,
    slot: ConnectionSlot,
}

/// Lets a connection in, as far as its first words.
pub(super) fn admit(shared: &Shared, address: SocketAddr) -> Option<ConnectionPermit> {
    shared.metrics.connection_accepted();
    let rejection = match shared.pressure.acquire() {
        Ok(slot) => match shared.limiter.admit(address.ip()) {
            Ok(unauthenticated) => return Some(ConnectionPermit { unauthenticated, slot }),
            Err(Rejection::Banned) => {
                // It has its line in the log already.
                shared.metrics.rejected("penalty");
                return None;
            }
            Err(Rejection::GlobalLimit) => "unauthenticated",
            Err(Rejection::SourceLimit) => "unauthenticated-per-source",
        },
        Err(Exhausted::Descriptors) => "descriptors",
        Err(Exhausted::Memory) => "memory",
    };
    shared.metrics.rejected(rejection);
    if shared.overload_log.should_log() {
        let pressure = shared.pressure.warning().unwrap_or_default();
        tracing::warn!(target: "hub", "turning connections away, such as {address}: {rejection} {pressure}");
    }
    None
}

/// Serves one connection to its end.
pub(super) async fn run(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
    listener_kind: ListenerKind,
    permit: ConnectionPermit,
) {
    let ConnectionPermit { unauthenticated, slot } = permit;
    socket::tune(&tcp);
    // Each stage in a place of its own, that is given back: a connection may wait in the last one for months.
    let Some((stream, exporter)) = Box::pin(tls_handshake(&shared, &acceptor, tcp, address)).await else { return };
    let id = shared.next_connection();
    let auth_state = Arc::new(Mutex::new(AuthState::Unauthenticated(unauthenticated)));
    let (auth_pending, penalty_exempt) = (AtomicBool::new(false), AtomicBool::new(false));
    let context = ConnectionContext { id, address, listener_kind, exporter, auth_state, auth_pending, penalty_exempt };
    let handler = async |request| context.attach_challenge(&shared, respond(&shared, &context, request).await);
    let served = Box::pin(serve(stream, shared.config.limits.http, handler));
    let upgraded = tokio::select! {
        upgraded = served => upgraded,
        () = Box::pin(context.enforce_auth_deadline(&shared)) => None,
    };
    if context.auth_pending.load(Ordering::Relaxed) {
        // It hung up before it could hear no.
        shared.record_penalty(address, PenaltyReason::AuthFailed);
    }
    match upgraded {
        Some((Upgraded::Control(upgrade), socket)) => {
            Box::pin(control::run(&shared, &context, upgrade, socket)).await;
        }
        Some((Upgraded::Standby(upgrade), socket)) => {
            Box::pin(standby::run(&shared, &context, *upgrade, socket)).await;
        }
        // The other side's task may come to hold the socket, and what goes with it.
        Some((Upgraded::Stream(leg), socket)) => {
            let resources = (slot, context.auth_state.clone());
            Box::pin(streaming::run(&shared, &context, leg, socket, resources)).await;
        }
        None => {}
    }
}

/// TLS, in time. An ACME server that has its proof did nothing wrong, and wants nothing more.
async fn tls_handshake(
    shared: &Shared,
    acceptor: &Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
) -> Option<(Socket, Exporter)> {
    let reason = match timeout(shared.config.limits.tls_timeout, acceptor.accept(tcp)).await {
        Ok(Ok(accepted)) => return accepted,
        Ok(Err(error)) => {
            tracing::debug!(target: "hub", %error, "a TLS handshake with {address} failed");
            PenaltyReason::ProtocolError
        }
        Err(_) => PenaltyReason::AuthTimeout,
    };
    shared.metrics.tls_failed();
    shared.record_penalty(address, reason);
    None
}

/// Answers a request. A wrong proof is held against its source, and answered late where that cannot be kept away.
async fn respond(shared: &Shared, context: &ConnectionContext, request: HttpRequest) -> HttpOutcome<Upgraded> {
    let mut outcome = route(shared, context, &request).await;
    context.auth_pending.store(false, Ordering::Relaxed);
    let HttpOutcome::Reply(response) = &mut outcome else { return outcome };
    // One connection, one request: nobody who was answered has business here, and nobody keeps a place by asking on.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if response.status() == StatusCode::UNAUTHORIZED {
        if !context.penalty_exempt.load(Ordering::Relaxed) {
            shared.record_penalty(context.address, PenaltyReason::AuthFailed);
        }
        if shared.limiter.status(context.address.ip()) == SourceStatus::Throttled {
            sleep(THROTTLED_RESPONSE_DELAY).await;
        }
    }
    outcome
}

async fn route(shared: &Shared, context: &ConnectionContext, request: &HttpRequest) -> HttpOutcome<Upgraded> {
    let route = Route::parse(&request.method, &request.path);
    let is_stream = matches!(route, Some(Route::Bridge(_) | Route::Standby));
    let served = match context.listener_kind {
        ListenerKind::All => true,
        ListenerKind::Control => !is_stream,
        ListenerKind::Streams => is_stream,
    };
    let response = match route.filter(|_| served) {
        Some(Route::Control(device)) if request.is_upgrade => {
            return control::upgrade(shared, context, request, device).await;
        }
        Some(Route::Bridge(bridge)) if request.is_upgrade => {
            return streaming::upgrade(shared, context, request, bridge).await;
        }
        Some(Route::Standby) if request.is_upgrade => return standby::upgrade(shared, context, request).await,
        Some(Route::Open(device, name)) => open::respond(shared, context, request, device, name).await,
        Some(Route::Devices) => devices::list(shared, context, request).await,
        Some(Route::Join) => enrol::join(shared, context, request).await,
        Some(Route::Health) => monitor::health(shared).await,
        Some(Route::Ready) => monitor::ready(shared),
        Some(Route::Control(_) | Route::Bridge(_) | Route::Standby) | None => responses::not_found(),
    };
    HttpOutcome::Reply(response)
}

impl ConnectionContext {
    /// What the signature on this request must cover: the TLS channel, unless it answers a challenge of ours, which
    /// is good for this once.
    pub(super) fn binding<'a>(
        &'a self,
        shared: &Shared,
        request: &'a HttpRequest,
        credential: &'a Credential,
    ) -> Binding<'a> {
        let is_ours = |challenge: &&Challenge| {
            shared.challenges.as_ref().is_some_and(|pending| pending.redeem(challenge, clock::now()))
        };
        let answered = credential.challenge.as_ref().filter(is_ours);
        let session = answered.map_or(Session::Channel(&self.exporter), Session::Challenge);
        Binding { method: &request.method, authority: &request.authority, path: &request.path, session }
    }

    /// A 401 says which TLS channel it came through, so that a client knows when another one arrives, and has
    /// something to sign instead where that is allowed.
    fn attach_challenge(&self, shared: &Shared, mut outcome: HttpOutcome<Upgraded>) -> HttpOutcome<Upgraded> {
        let HttpOutcome::Reply(response) = &mut outcome else { return outcome };
        if response.status() != StatusCode::UNAUTHORIZED {
            return outcome;
        }
        let mut insert =
            |name, value: String| HeaderValue::try_from(value).map(|value| response.headers_mut().insert(name, value));
        let _ = insert(HeaderName::from_static(CHANNEL_HEADER), channel_id(&self.exporter));
        if let Some(challenges) = &shared.challenges {
            let challenge = Challenge::new(random::bytes());
            challenges.issue(challenge, clock::now());
            let _ = insert(header::WWW_AUTHENTICATE, challenge.to_header());
        }
        outcome
    }

    /// Returns when this has been no WebSocket for too long: a stranger's patience is short.
    async fn enforce_auth_deadline(&self, shared: &Shared) {
        sleep(shared.config.limits.auth_timeout).await;
        if matches!(*self.auth_state(), AuthState::Unauthenticated(_)) {
            shared.record_penalty(self.address, PenaltyReason::AuthTimeout);
        } else {
            sleep(MAX_REQUEST_DURATION).await;
        }
    }

    fn auth_state(&self) -> MutexGuard<'_, AuthState> {
        self.auth_state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A proof is being looked at: hanging up now is as good as hearing no.
    fn set_auth_pending(&self) {
        self.auth_pending.store(true, Ordering::Relaxed);
    }

    /// What was wrong has been held against its source already.
    pub(super) fn exempt_from_penalty(&self) {
        self.penalty_exempt.store(true, Ordering::Relaxed);
    }

    /// The answer to a proof that is none. A wrong signature with a right key is what TLS inspection makes of an honest one;
    /// where that is allowed, the next thing is a challenge.
    pub(super) fn reject_proof(&self, shared: &Shared, credential: &Credential, reason: AuthnError) -> Refusal {
        let honest = reason == AuthnError::WrongSignature && credential.challenge.is_none();
        self.penalty_exempt.store(honest && shared.challenges.is_some(), Ordering::Relaxed);
        self.auth_failed(shared, Some(&credential.principal), &reason.to_string())
    }

    /// It is no stranger any more: it may do something here.
    fn mark_authenticated(&self) {
        let mut auth_state = self.auth_state();
        *auth_state = match std::mem::replace(&mut *auth_state, AuthState::Transitioning) {
            AuthState::Unauthenticated(permit) => AuthState::Authenticated { _permit: permit.into_authenticated() },
            other @ (AuthState::Authenticated { .. } | AuthState::Transitioning) => other,
        };
    }

    /// Who asks, proven. Every no is the same to whoever asked; the log knows why.
    pub(super) async fn authenticate(
        &self,
        shared: &Shared,
        request: &HttpRequest,
    ) -> Result<AuthenticatedIdentity, Refusal> {
        let Some(Ok(credential)) = request.header(AUTH_HEADER).map(str::parse::<Credential>) else {
            return Err(self.auth_failed(shared, None, "no credential, or not one of ours"));
        };
        self.set_auth_pending();
        let found = shared.registry.find(&credential.principal).await;
        let record = found.map_err(|error| error.to_public_refusal())?;
        let now = clock::now_utc();
        let valid = record.iter().flat_map(|record| &record.keys).filter(|stored| stored.is_valid(now));
        let valid: Vec<_> = valid.map(|stored| stored.key).collect();
        let binding = self.binding(shared, request, &credential);
        let is_channel_bound = matches!(binding.session, Session::Channel(_));
        let authenticated = authenticate(&credential, &valid, &binding);
        let key = authenticated.map_err(|reason| self.reject_proof(shared, &credential, reason))?;
        let known = record.and_then(|record| Some((*record.valid_key(&key, now)?, record)));
        let (key, record) = known.ok_or_else(|| Refusal::from(RefusalKind::HubFailed))?;
        self.auth_pending.store(false, Ordering::Relaxed);
        Ok(AuthenticatedIdentity { record, key, is_channel_bound })
    }

    /// Who asks, proven, and allowed to do this.
    pub(super) async fn authenticate_and_authorize(
        &self,
        shared: &Shared,
        request: &HttpRequest,
        action: Action<'_>,
    ) -> Result<AuthenticatedIdentity, Refusal> {
        let authenticated = self.authenticate(shared, request).await?;
        self.authorize(shared, &authenticated.record, action).map(|()| authenticated)
    }

    /// Whether somebody who was identified may do this.
    pub(super) fn authorize(&self, shared: &Shared, subject: &Record, action: Action<'_>) -> Result<(), Refusal> {
        match authorize(subject.authz_subject(), action, clock::now_utc()) {
            Ok(()) => {
                self.mark_authenticated();
                Ok(())
            }
            Err(RefusalKind::AuthenticationFailed) => {
                Err(self.auth_failed(shared, Some(&subject.principal), "another's place"))
            }
            Err(kind) => {
                shared.activity.record(refusal_event(self.address, subject, action, kind));
                Err(kind.into())
            }
        }
    }

    /// The one answer to a wrong proof, and its line in the log.
    pub(super) fn auth_failed(&self, shared: &Shared, subject: Option<&Principal>, reason: &str) -> Refusal {
        let refusal = Refusal::from(RefusalKind::AuthenticationFailed);
        let (operation, word) = (Operation::Authenticate, refusal.kind.row().label);
        let event =
            subject.map_or_else(|| Event::new(operation, word), |subject| Event::about(subject, operation, word));
        shared.activity.record(Event { source: Some(self.address), reason: reason.into(), ..event });
        refusal
    }
}

/// The log knows what the answer does not say: whether the device exists. Only a service's request is one for a stream.
fn refusal_event(source: SocketAddr, subject: &Record, action: Action<'_>, kind: RefusalKind) -> Event {
    let row = kind.row();
    let Action::Open { device, exists, name } = action else {
        let event = Event::about(&subject.principal, Operation::Authenticate, row.label);
        return Event { source: Some(source), reason: row.sentence.into(), ..event };
    };
    let reason = match (kind, exists) {
        (RefusalKind::UnknownDevice, false) => "unknown device",
        (RefusalKind::UnknownDevice | RefusalKind::NotPermitted, _) => "outside the service's scope",
        _ => "",
    };
    Event {
        source: Some(source),
        device: Some(device.clone()),
        name: name.cloned(),
        reason: reason.into(),
        ..Event::about(&subject.principal, Operation::Invoke, row.label)
    }
}
