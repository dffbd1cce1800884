//! One client connection: its address and TLS channel, whether it is authenticated, and the checks on its requests.
//!
//! Handlers authenticate and authorise through [`ConnectionContext`]; `auth` holds the rules. Failures are logged with
//! their cause and answered without it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::sleep;

use super::admission::connection_limiter::{AuthenticatedPermit, UnauthenticatedPermit};
use super::admission::penalty::{PenaltyReason, SourceStatus};
use super::auth::{Action, AuthnError, authenticate, authorize};
use super::event::{Event, Operation};
use super::identity_counts::CountPermit;
use super::registry::{Record, StoredKey};
use super::shared::Shared;
use crate::net::os::clock;
use crate::net::os::random;
use crate::net::transport::http_server::HttpRequest;
use crate::proto::auth::{AUTH_HEADER, Binding, Credential, Session};
use crate::proto::challenge::Challenge;
use crate::proto::channel_binding::{CHANNEL_HEADER, Exporter, channel_id};
use crate::proto::id::{ConnectionId, Principal};
use crate::proto::refusal::{Refusal, RefusalKind};

/// The delay of a 401 to a source that also has authenticated connections: with its share of unauthenticated
/// connections, it guesses no faster than that share per second.
const THROTTLED_RESPONSE_DELAY: Duration = Duration::from_secs(1);

/// The limit on a request's duration: twice a stream's handshake timeout, and some reserve.
const MAX_REQUEST_DURATION: Duration = Duration::from_secs(150);

/// The connections that one identity may have beside its streams, its standby connections and the requests for streams
/// that one service may have: a person or a script lists devices, an agent connects again before the hub knows that its
/// last connection is dead. Each costs a file descriptor.
const FURTHER_CONNECTIONS: usize = 128;

/// The state of one connection from TLS to its end.
pub(super) struct ConnectionContext {
    /// The connection's id.
    pub id: ConnectionId,
    /// The peer's address.
    pub address: SocketAddr,
    exporter: Exporter,
    auth_state: Arc<Mutex<AuthState>>,
    /// A credential is being checked, and the response has not been sent.
    auth_pending: AtomicBool,
    /// A request has arrived.
    is_requested: AtomicBool,
    /// A credential has been verified.
    is_proven: AtomicBool,
    /// A 401 costs no penalty: a proxy that inspects TLS breaks the first signature of an honest client as well, or the
    /// failure has been penalised already.
    penalty_exempt: AtomicBool,
}

/// An identity and the key that authenticated it.
pub(super) struct AuthenticatedIdentity {
    /// The identity's record.
    pub record: Record,
    /// The key that verified the signature.
    pub key: StoredKey,
    /// The signature covers the TLS channel, not a challenge: no proxy reads this connection.
    pub is_channel_bound: bool,
}

/// The permit that a connection holds.
#[derive(Debug)]
pub(super) enum AuthState {
    Unauthenticated(UnauthenticatedPermit),
    Authenticated {
        /// `None` if the identity may do nothing: its source does not count as one that has authenticated connections.
        _permit: Option<AuthenticatedPermit>,
        /// The place in the count of connections that neither stand by nor carry a stream.
        counted: Option<CountPermit>,
    },
    /// The permit is being exchanged.
    Transitioning,
}

impl ConnectionContext {
    /// The state of a connection whose TLS handshake is complete. `exporter` identifies its TLS channel.
    pub(super) fn new(
        id: ConnectionId,
        address: SocketAddr,
        exporter: Exporter,
        permit: UnauthenticatedPermit,
    ) -> Self {
        let auth_state = Arc::new(Mutex::new(AuthState::Unauthenticated(permit)));
        let [auth_pending, is_requested, is_proven, penalty_exempt] = [(); 4].map(|()| AtomicBool::new(false));
        Self { id, address, exporter, auth_state, auth_pending, is_requested, is_proven, penalty_exempt }
    }

    /// Returns a handle that keeps the connection's permit while its socket lives elsewhere.
    pub(super) fn permit(&self) -> Arc<Mutex<AuthState>> {
        self.auth_state.clone()
    }

    /// Authenticates the request's sender. Every failure is answered with the same refusal; the activity log has the
    /// cause.
    pub(super) async fn authenticate(
        &self,
        shared: &Shared,
        request: &HttpRequest,
    ) -> Result<AuthenticatedIdentity, Refusal> {
        let Some(Ok(credential)) = request.header(AUTH_HEADER).map(str::parse::<Credential>) else {
            return Err(self.auth_failed(shared, None, "missing or malformed credential"));
        };
        self.auth_pending.store(true, Ordering::Relaxed);
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
        self.is_proven.store(true, Ordering::Relaxed);
        Ok(AuthenticatedIdentity { record, key, is_channel_bound })
    }

    /// Authenticates the request's sender and checks that it may do this.
    pub(super) async fn authenticate_and_authorize(
        &self,
        shared: &Shared,
        request: &HttpRequest,
        action: Action<'_>,
    ) -> Result<AuthenticatedIdentity, Refusal> {
        let authenticated = self.authenticate(shared, request).await?;
        self.authorize(shared, &authenticated.record, action).map(|()| authenticated)
    }

    /// Checks that an authenticated identity may do this. The connection counts as authenticated from then on, even if it
    /// is refused: its answer may be delayed, and the place is another client's.
    pub(super) fn authorize(&self, shared: &Shared, subject: &Record, action: Action<'_>) -> Result<(), Refusal> {
        match authorize(subject.authz_subject(), action, clock::now_utc()) {
            Ok(()) => self.mark_authenticated(shared, &subject.principal, true),
            Err(RefusalKind::AuthenticationFailed) => {
                Err(self.auth_failed(shared, Some(&subject.principal), "resource of another identity"))
            }
            Err(kind) => {
                shared.activity.record(refusal_event(self.address, subject, action, kind));
                let may_act = !matches!(kind, RefusalKind::Disabled | RefusalKind::AccessEnded);
                // At its limit of connections, it keeps its place, and is answered without a delay.
                let _ = self.mark_authenticated(shared, &subject.principal, may_act);
                Err(refusal_of(subject, action, kind))
            }
        }
    }

    /// Returns the data that the request's signature must cover: the challenge if it answers one of this hub's, which
    /// is redeemed by this, else the TLS channel.
    pub(super) fn binding<'a>(
        &'a self,
        shared: &Shared,
        request: &'a HttpRequest,
        credential: &'a Credential,
    ) -> Binding<'a> {
        let is_ours = |challenge: &&Challenge| {
            shared.admission.challenges.as_ref().is_some_and(|pending| pending.redeem(challenge, clock::now()))
        };
        let answered = credential.challenge.as_ref().filter(is_ours);
        let session = answered.map_or(Session::Channel(&self.exporter), Session::Challenge);
        Binding { method: &request.method, authority: &request.authority, path: &request.path, session }
    }

    /// Refuses a credential that failed to authenticate. Where TLS inspection is allowed, a wrong signature by a known
    /// key costs no penalty unless it answered a challenge: inspection causes it, and the client answers the challenge
    /// next.
    pub(super) fn reject_proof(&self, shared: &Shared, credential: &Credential, reason: AuthnError) -> Refusal {
        let honest = reason == AuthnError::WrongSignature && credential.challenge.is_none();
        self.penalty_exempt.store(honest && shared.admission.challenges.is_some(), Ordering::Relaxed);
        self.auth_failed(shared, Some(&credential.principal), &reason.to_string())
    }

    /// Logs a failed authentication and returns its refusal, the same for every cause.
    pub(super) fn auth_failed(&self, shared: &Shared, subject: Option<&Principal>, reason: &str) -> Refusal {
        let refusal = Refusal::from(RefusalKind::AuthenticationFailed);
        let (operation, word) = (Operation::Authenticate, refusal.kind.row().label);
        let event =
            subject.map_or_else(|| Event::new(operation, word), |subject| Event::about(subject, operation, word));
        shared.activity.record(Event { source: Some(self.address), reason: reason.into(), ..event });
        refusal
    }

    /// Exempts the connection's next 401 from a penalty.
    pub(super) fn exempt_from_penalty(&self) {
        self.penalty_exempt.store(true, Ordering::Relaxed);
    }

    /// Prepares a 401: penalises the source, delays the response if the source is throttled, and tells the client which
    /// TLS channel the request came through and, where TLS inspection is allowed, a challenge to sign instead of it.
    pub(super) async fn on_unauthorized(&self, shared: &Shared, response: &mut Response<Bytes>) {
        if !self.penalty_exempt.load(Ordering::Relaxed) {
            shared.admission.record_penalty(self.address, PenaltyReason::AuthFailed);
        }
        if shared.admission.limiter.status(self.address.ip()) == SourceStatus::Throttled {
            sleep(THROTTLED_RESPONSE_DELAY).await;
        }
        let mut insert =
            |name, value: String| HeaderValue::try_from(value).map(|value| response.headers_mut().insert(name, value));
        let _ = insert(HeaderName::from_static(CHANNEL_HEADER), channel_id(&self.exporter));
        if let Some(challenges) = &shared.admission.challenges {
            let challenge = Challenge::new(random::bytes());
            challenges.issue(challenge, clock::now());
            let _ = insert(header::WWW_AUTHENTICATE, challenge.to_header());
        }
    }

    /// Reports whether the connection counts as authenticated.
    pub(super) fn is_authenticated(&self) -> bool {
        matches!(*self.auth_state(), AuthState::Authenticated { .. })
    }

    /// Notes that a request has arrived.
    pub(super) fn set_requested(&self) {
        self.is_requested.store(true, Ordering::Relaxed);
    }

    /// Notes that the response to a request is ready. Penalises a peer that has proven no key for one that asks for what
    /// does not exist: it costs a TLS handshake, which guessing costs as well.
    pub(super) fn set_answered(&self, shared: &Shared, status: StatusCode) {
        self.auth_pending.store(false, Ordering::Relaxed);
        let is_pointless = matches!(status, StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST);
        if is_pointless && !self.is_proven.load(Ordering::Relaxed) {
            shared.admission.record_penalty(self.address, PenaltyReason::ProtocolError);
        }
    }

    /// Penalises a peer that completed TLS and sent no request.
    pub(super) fn penalize_silence(&self, shared: &Shared) {
        if !self.is_requested.load(Ordering::Relaxed) {
            shared.admission.record_penalty(self.address, PenaltyReason::ProtocolError);
        }
    }

    /// Penalises a peer that closed the connection while its credential was checked: waiting for the 401 would have
    /// cost as much.
    pub(super) fn penalize_abandoned_auth(&self, shared: &Shared) {
        if self.auth_pending.load(Ordering::Relaxed) {
            shared.admission.record_penalty(self.address, PenaltyReason::AuthFailed);
        }
    }

    /// Sleeps until the connection must have been upgraded: the authentication timeout, after which an unauthenticated
    /// peer is penalised, and for an authenticated one the longest duration of a request.
    pub(super) async fn enforce_auth_deadline(&self, shared: &Shared) {
        sleep(shared.config.limits.auth_timeout).await;
        if matches!(*self.auth_state(), AuthState::Unauthenticated(_)) {
            shared.admission.record_penalty(self.address, PenaltyReason::AuthTimeout);
        } else {
            sleep(MAX_REQUEST_DURATION).await;
        }
    }

    /// Notes that the connection stands by or carries a stream, which have limits of their own.
    pub(super) fn set_carrying(&self) {
        if let AuthState::Authenticated { counted, .. } = &mut *self.auth_state() {
            *counted = None;
        }
    }

    /// Exchanges the unauthenticated permit for an authenticated one, if the identity may have one more connection.
    /// `is_known` is whether its source counts as one that has authenticated connections.
    fn mark_authenticated(&self, shared: &Shared, subject: &Principal, is_known: bool) -> Result<(), Refusal> {
        let mut auth_state = self.auth_state();
        if !matches!(*auth_state, AuthState::Unauthenticated(_)) {
            return Ok(());
        }
        let limit = shared.config.broker.pending.per_service + FURTHER_CONNECTIONS;
        let counted = shared.streams.requests.acquire(subject, limit);
        let too_many =
            || Refusal::new(RefusalKind::HubBusy, format!("{subject} has {limit} connections without a stream"));
        let counted = Some(counted.ok_or_else(too_many)?);
        *auth_state = match std::mem::replace(&mut *auth_state, AuthState::Transitioning) {
            AuthState::Unauthenticated(permit) => {
                AuthState::Authenticated { _permit: is_known.then(|| permit.into_authenticated()), counted }
            }
            other @ (AuthState::Authenticated { .. } | AuthState::Transitioning) => other,
        };
        Ok(())
    }

    fn auth_state(&self) -> MutexGuard<'_, AuthState> {
        self.auth_state.lock()
    }
}

/// The refusal of an action, with what the service itself may know: the streams that it may open.
fn refusal_of(subject: &Record, action: Action<'_>, kind: RefusalKind) -> Refusal {
    match action {
        Action::Open { name: Some(name), .. } if kind == RefusalKind::NotPermitted => Refusal::new(
            kind,
            format!("asked for {name}; {} may open {}", subject.principal, subject.scope.streams_in_words()),
        ),
        Action::Certificates { .. } if kind == RefusalKind::NotPermitted => {
            Refusal::new(kind, "certificates of services are for one that may reach every device and name")
        }
        Action::Open { .. }
        | Action::Control(_)
        | Action::AttachLeg(_)
        | Action::Standby
        | Action::List
        | Action::ViewDevice(_)
        | Action::Certificates { .. } => kind.into(),
    }
}

/// The activity event of a refused action. Unlike the response, it says whether the device exists. Only a service's
/// request for a stream is logged as one.
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
