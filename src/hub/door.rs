//! From an accepted socket to an authenticated request: TLS, then HTTP, within a stranger's limits.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use super::answers;
use super::auth::{Action, Unproven, authenticate, authorize};
use super::broker::{Event, Operation};
use super::penalty::{Offence, Verdict};
use super::pressure::{Place, Short};
use super::registry::{Record, StoredKey};
use super::strangers::{Known, Stranger, Turned};
use super::{Next, Shared, control, devices, enrol, monitor, open, standby, streaming};
use crate::net::clock;
use crate::net::random;
use crate::net::serve::{Answer, Asked, serve};
use crate::net::socket;
use crate::net::tls::{Acceptor, Socket};
use crate::proto::auth::{Binding, Credential, Exporter, HEADER, Session};
use crate::proto::challenge::{CHANNEL_HEADER, Challenge, channel_name};
use crate::proto::http::Route;
use crate::proto::id::{ConnectionId, Principal};
use crate::proto::refusal::{Kind, Refusal};

/// A wrong proof from a source that holds good connections is answered after this: with its share of strangers' places,
/// a source guesses no faster than that share a second.
const SLOW_ANSWER: Duration = Duration::from_secs(1);

/// The longest that a request's answer may take, which is two waits of a stream's handshake, and then some.
const LONGEST_REQUEST: Duration = Duration::from_secs(150);

/// Which requests a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// Everything.
    All,
    /// Everything but streams, which have an endpoint of their own.
    Control,
    /// Streams only.
    Streams,
}

/// One connection's particulars.
pub(super) struct Visitor {
    /// Its number.
    pub connection: ConnectionId,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it may ask for.
    pub serves: Serves,
    exporter: Exporter,
    standing: Arc<Mutex<Standing>>,
    /// A proof was looked at, and its answer is not given yet.
    in_doubt: AtomicBool,
    /// The proof was wrong as it must be where a proxy inspects TLS and no challenge was answered yet; or it is held
    /// against its source already.
    excused: AtomicBool,
}

/// Who asks, and the key that proved it.
pub(super) struct Proven {
    /// What is known of them.
    pub record: Record,
    /// The key.
    pub key: StoredKey,
    /// The signature was over the keying material of this TLS channel: nobody on the way reads it.
    pub is_channel_bound: bool,
}

/// What a connection counts as.
#[derive(Debug)]
enum Standing {
    Stranger(Stranger),
    Known {
        _known: Known,
    },
    /// Between the two.
    Neither,
}

/// What a connection takes while it lasts.
pub(super) struct Admission {
    stranger: Stranger,
    place: Place,
}

/// Lets a connection in, as far as its first words.
pub(super) fn admit(shared: &Shared, address: SocketAddr) -> Option<Admission> {
    shared.metrics.connected();
    let turned = match shared.pressure.connect() {
        Ok(place) => match shared.strangers.admit(address.ip()) {
            Ok(stranger) => return Some(Admission { stranger, place }),
            Err(Turned::Banned) => {
                // It has its line in the log already.
                shared.metrics.turned_away("penalty");
                return None;
            }
            Err(Turned::Crowd) => "strangers",
            Err(Turned::Swarm) => "strangers-per-source",
        },
        Err(Short::Descriptors) => "descriptors",
        Err(Short::Memory) => "memory",
    };
    shared.metrics.turned_away(turned);
    if shared.complaints.is_due() {
        let pressure = shared.pressure.complaint().unwrap_or_default();
        tracing::warn!(target: "hub", "turning connections away, such as {address}: {turned} {pressure}");
    }
    None
}

/// Serves one connection to its end.
pub(super) async fn receive(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
    serves: Serves,
    admission: Admission,
) {
    let Admission { stranger, place } = admission;
    socket::tune(&tcp);
    // Each stage in a place of its own, that is given back: a connection may wait in the last one for months.
    let Some((stream, exporter)) = Box::pin(secure(&shared, &acceptor, tcp, address)).await else { return };
    let connection = shared.next_connection();
    let standing = Arc::new(Mutex::new(Standing::Stranger(stranger)));
    let (in_doubt, excused) = (AtomicBool::new(false), AtomicBool::new(false));
    let visitor = Visitor { connection, address, serves, exporter, standing, in_doubt, excused };
    let answer = async |asked| visitor.sealed(&shared, answer(&shared, &visitor, asked).await);
    let served = Box::pin(serve(stream, shared.config.limits.http, answer));
    let upgraded = tokio::select! {
        upgraded = served => upgraded,
        () = Box::pin(visitor.outstays(&shared)) => None,
    };
    if visitor.in_doubt.load(Ordering::Relaxed) {
        // It hung up before it could hear no.
        shared.offended(address, Offence::WrongProof);
    }
    match upgraded {
        Some((Next::Control(arriving), socket)) => {
            Box::pin(control::run(&shared, &visitor, arriving, socket)).await;
        }
        Some((Next::Standby(arriving), socket)) => {
            Box::pin(standby::run(&shared, &visitor, *arriving, socket)).await;
        }
        // The other side's task may come to hold the socket, and what goes with it.
        Some((Next::Stream(arrived), socket)) => {
            let kept = (place, visitor.standing.clone());
            Box::pin(streaming::run(&shared, &visitor, arrived, socket, kept)).await;
        }
        None => {}
    }
}

/// TLS, in time. An ACME server that has its proof did nothing wrong, and wants nothing more.
async fn secure(
    shared: &Shared,
    acceptor: &Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
) -> Option<(Socket, Exporter)> {
    let offence = match timeout(shared.config.limits.tls_timeout, acceptor.accept(tcp)).await {
        Ok(Ok(secured)) => return secured,
        Ok(Err(error)) => {
            tracing::debug!(target: "hub", %error, "a TLS handshake with {address} failed");
            Offence::Nonsense
        }
        Err(_) => Offence::Loitering,
    };
    shared.metrics.failed_tls();
    shared.offended(address, offence);
    None
}

/// Answers a request. A wrong proof is held against its source, and answered late where that cannot be kept away.
async fn answer(shared: &Shared, visitor: &Visitor, asked: Asked) -> Answer<Next> {
    let mut answer = route(shared, visitor, &asked).await;
    visitor.in_doubt.store(false, Ordering::Relaxed);
    let Answer::Reply(reply) = &mut answer else { return answer };
    // One connection, one request: nobody who was answered has business here, and nobody keeps a place by asking on.
    reply.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    if reply.status() == StatusCode::UNAUTHORIZED {
        if !visitor.excused.load(Ordering::Relaxed) {
            shared.offended(visitor.address, Offence::WrongProof);
        }
        if shared.strangers.verdict(visitor.address.ip()) == Verdict::Slowed {
            sleep(SLOW_ANSWER).await;
        }
    }
    answer
}

async fn route(shared: &Shared, visitor: &Visitor, asked: &Asked) -> Answer<Next> {
    let route = Route::parse(&asked.method, &asked.path);
    let is_stream = matches!(route, Some(Route::Bridge(_) | Route::Standby));
    let served = match visitor.serves {
        Serves::All => true,
        Serves::Control => !is_stream,
        Serves::Streams => is_stream,
    };
    let reply = match route.filter(|_| served) {
        Some(Route::Control(device)) if asked.is_upgrade => {
            return control::admit(shared, visitor, asked, device).await;
        }
        Some(Route::Bridge(bridge)) if asked.is_upgrade => {
            return streaming::admit(shared, visitor, asked, bridge).await;
        }
        Some(Route::Standby) if asked.is_upgrade => return standby::admit(shared, visitor, asked).await,
        Some(Route::Open(device, name)) => open::ask(shared, visitor, asked, device, name).await,
        Some(Route::Devices) => devices::list(shared, visitor, asked).await,
        Some(Route::Join) => enrol::join(shared, visitor, asked).await,
        Some(Route::Health) => monitor::health(shared).await,
        Some(Route::Ready) => monitor::ready(shared),
        Some(Route::Control(_) | Route::Bridge(_) | Route::Standby) | None => answers::not_found(),
    };
    Answer::Reply(reply)
}

impl Visitor {
    /// What the signature on this request must cover: the TLS channel, unless it answers a challenge of ours, which
    /// is good for this once.
    pub(super) fn binding<'a>(&'a self, shared: &Shared, asked: &'a Asked, credential: &'a Credential) -> Binding<'a> {
        let is_ours = |challenge: &&Challenge| {
            shared.challenges.as_ref().is_some_and(|given| given.redeem(challenge, clock::now()))
        };
        let answered = credential.challenge.as_ref().filter(is_ours);
        let session = answered.map_or(Session::Channel(&self.exporter), Session::Challenge);
        Binding { method: &asked.method, authority: &asked.authority, path: &asked.path, session }
    }

    /// A 401 says which TLS channel it came through, so that a client knows when another one arrives, and has
    /// something to sign instead where that is allowed.
    fn sealed(&self, shared: &Shared, mut answer: Answer<Next>) -> Answer<Next> {
        let Answer::Reply(response) = &mut answer else { return answer };
        if response.status() != StatusCode::UNAUTHORIZED {
            return answer;
        }
        let mut insert =
            |name, value: String| HeaderValue::try_from(value).map(|value| response.headers_mut().insert(name, value));
        let _ = insert(HeaderName::from_static(CHANNEL_HEADER), channel_name(&self.exporter));
        if let Some(challenges) = &shared.challenges {
            let challenge = Challenge::new(random::bytes());
            challenges.give(challenge, clock::now());
            let _ = insert(header::WWW_AUTHENTICATE, challenge.demand());
        }
        answer
    }

    /// Returns when this has been no WebSocket for too long: a stranger's patience is short.
    async fn outstays(&self, shared: &Shared) {
        sleep(shared.config.limits.stranger_timeout).await;
        if matches!(*self.standing(), Standing::Stranger(_)) {
            shared.offended(self.address, Offence::Loitering);
        } else {
            sleep(LONGEST_REQUEST).await;
        }
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A proof is being looked at: hanging up now is as good as hearing no.
    fn set_in_doubt(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
    }

    /// What was wrong has been held against its source already.
    pub(super) fn set_excused(&self) {
        self.excused.store(true, Ordering::Relaxed);
    }

    /// The answer to a proof that is none. A wrong signature with a right key is what TLS inspection makes of an honest one;
    /// where that is allowed, the next thing is a challenge.
    pub(super) fn unproven(&self, shared: &Shared, credential: &Credential, why: Unproven) -> Refusal {
        let honest = why == Unproven::WrongSignature && credential.challenge.is_none();
        self.excused.store(honest && shared.challenges.is_some(), Ordering::Relaxed);
        self.denied(shared, Some(&credential.principal), &why.to_string())
    }

    /// It is no stranger any more: it may do something here.
    fn make_known(&self) {
        let mut standing = self.standing();
        *standing = match std::mem::replace(&mut *standing, Standing::Neither) {
            Standing::Stranger(stranger) => Standing::Known { _known: stranger.known() },
            other @ (Standing::Known { .. } | Standing::Neither) => other,
        };
    }

    /// Who asks, proven. Every no is the same to whoever asked; the log knows why.
    pub(super) async fn identify(&self, shared: &Shared, asked: &Asked) -> Result<Proven, Refusal> {
        let Some(Ok(credential)) = asked.header(HEADER).map(str::parse::<Credential>) else {
            return Err(self.denied(shared, None, "no credential, or not one of ours"));
        };
        self.set_in_doubt();
        let found = shared.directory.find(&credential.principal).await;
        let record = found.map_err(|error| error.to_strangers())?;
        let now = clock::moment();
        let valid = record.iter().flat_map(|record| &record.keys).filter(|stored| stored.is_valid(now));
        let valid: Vec<_> = valid.map(|stored| stored.key).collect();
        let binding = self.binding(shared, asked, &credential);
        let is_channel_bound = matches!(binding.session, Session::Channel(_));
        let proven = authenticate(&credential, &valid, &binding);
        let key = proven.map_err(|why| self.unproven(shared, &credential, why))?;
        let known = record.and_then(|record| Some((*record.valid_key(&key, now)?, record)));
        let (key, record) = known.ok_or_else(|| Refusal::from(Kind::HubFailed))?;
        self.in_doubt.store(false, Ordering::Relaxed);
        Ok(Proven { record, key, is_channel_bound })
    }

    /// Who asks, proven, and allowed to do this.
    pub(super) async fn permit(&self, shared: &Shared, asked: &Asked, action: Action<'_>) -> Result<Proven, Refusal> {
        let proven = self.identify(shared, asked).await?;
        self.allow(shared, &proven.record, action).map(|()| proven)
    }

    /// Whether somebody who was identified may do this.
    pub(super) fn allow(&self, shared: &Shared, who: &Record, action: Action<'_>) -> Result<(), Refusal> {
        match authorize(who.standing(), action, clock::moment()) {
            Ok(()) => {
                self.make_known();
                Ok(())
            }
            Err(Kind::AuthenticationFailed) => Err(self.denied(shared, Some(&who.principal), "another's place")),
            Err(kind) => {
                shared.activity.record(refused(self.address, who, action, kind));
                Err(kind.into())
            }
        }
    }

    /// The one answer to a wrong proof, and its line in the log.
    pub(super) fn denied(&self, shared: &Shared, who: Option<&Principal>, why: &str) -> Refusal {
        let refusal = Refusal::from(Kind::AuthenticationFailed);
        let (operation, word) = (Operation::Authenticate, refusal.kind.row().word);
        let event = who.map_or_else(|| Event::new(operation, word), |who| Event::about(who, operation, word));
        shared.activity.record(Event { source: Some(self.address), reason: why.into(), ..event });
        refusal
    }
}

/// The log knows what the answer does not say: whether the device exists. Only a service's request is one for a stream.
fn refused(source: SocketAddr, who: &Record, action: Action<'_>, kind: Kind) -> Event {
    let row = kind.row();
    let Action::Open { device, known, name } = action else {
        let event = Event::about(&who.principal, Operation::Authenticate, row.word);
        return Event { source: Some(source), reason: row.sentence.into(), ..event };
    };
    let reason = match (kind, known) {
        (Kind::UnknownDevice, false) => "unknown device",
        (Kind::UnknownDevice | Kind::NotPermitted, _) => "outside the service's scope",
        _ => "",
    };
    Event {
        source: Some(source),
        device: Some(device.clone()),
        name: name.cloned(),
        reason: reason.into(),
        ..Event::about(&who.principal, Operation::Invoke, row.word)
    }
}
