//! From an accepted socket to an authenticated request: TLS, then HTTP, within a stranger's limits.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderName, HeaderValue, StatusCode, header};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::answers;
use super::auth::{Action, authenticate, authorize};
use super::broker::{Event, Operation};
use super::registry::Record;
use super::{Next, Shared, control, enrol, open, streaming};
use crate::net::serve::{Answer, Asked, serve};
use crate::net::socket;
use crate::net::tls::Acceptor;
use crate::net::{clock, random};
use crate::proto::auth::{Binding, Credential, Exporter, HEADER, Session};
use crate::proto::challenge::{CHANNEL_HEADER, Challenge, channel_name};
use crate::proto::http::Route;
use crate::proto::id::{ConnectionId, Principal};
use crate::proto::limits::{STRANGER_TIMEOUT, UNAUTHENTICATED_CONNECTIONS, UNAUTHENTICATED_CONNECTIONS_PER_SOURCE};
use crate::proto::refusal::{Kind, Refusal};

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

/// Strangers who are inside, counted until they prove who they are.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<(usize, HashMap<IpAddr, usize>)>);

impl Strangers {
    /// One more, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>, source: IpAddr) -> Option<Stranger> {
        let source = network(source);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, sources) = &mut *counts;
        let own = sources.get(&source).copied().unwrap_or(0);
        if *all >= UNAUTHENTICATED_CONNECTIONS || own >= UNAUTHENTICATED_CONNECTIONS_PER_SOURCE {
            return None;
        }
        *all += 1;
        sources.insert(source, own + 1);
        Some(Stranger { strangers: self.clone(), source })
    }
}

/// A place among the strangers, given back when dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    strangers: Arc<Strangers>,
    source: IpAddr,
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.strangers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (all, sources) = &mut *counts;
        *all -= 1;
        if let Some(own) = sources.get_mut(&self.source) {
            *own -= 1;
            if *own == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

/// What one party has of the address space: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
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
    stranger: Mutex<Option<Stranger>>,
}

/// Serves one connection to its end.
pub(super) async fn receive(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    tcp: TcpStream,
    address: SocketAddr,
    serves: Serves,
    stranger: Stranger,
) {
    socket::tune(&tcp);
    let Some((stream, exporter)) = acceptor.accept(tcp).await else { return };
    let connection = shared.next_connection();
    let visitor = Visitor { connection, address, serves, exporter, stranger: Mutex::new(Some(stranger)) };
    let served = serve(stream, async |asked| visitor.sealed(&shared, answer(&shared, &visitor, asked).await));
    let upgraded = tokio::select! {
        upgraded = served => upgraded,
        () = visitor.outstays() => None,
    };
    match upgraded {
        Some((Next::Control(arriving), socket)) => control::run(&shared, &visitor, arriving, socket).await,
        Some((Next::Stream(waiting), socket)) => streaming::run(&shared, waiting, socket).await,
        None => {}
    }
}

async fn answer(shared: &Shared, visitor: &Visitor, asked: Asked) -> Answer<Next> {
    let route = Route::parse(&asked.method, &asked.path);
    let is_stream = matches!(route, Some(Route::Bridge(_)));
    let served = match visitor.serves {
        Serves::All => true,
        Serves::Control => !is_stream,
        Serves::Streams => is_stream,
    };
    let reply = match route.filter(|_| served) {
        Some(Route::Control(device)) if asked.is_upgrade => {
            return control::admit(shared, visitor, &asked, device).await;
        }
        Some(Route::Bridge(bridge)) if asked.is_upgrade => {
            return streaming::admit(shared, visitor, &asked, bridge).await;
        }
        Some(Route::Open(device, name)) => open::ask(shared, visitor, &asked, device, name).await,
        Some(Route::Join) => enrol::join(shared, visitor, &asked).await,
        Some(Route::Health) => answers::words(StatusCode::OK, "ok\n"),
        Some(Route::Ready) if shared.is_draining() => answers::words(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Some(Route::Ready) => answers::words(StatusCode::OK, "ready\n"),
        Some(Route::Control(_) | Route::Bridge(_)) | None => answers::not_found(),
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

    /// Returns when a stranger has been here too long, and never for anybody else.
    async fn outstays(&self) {
        sleep(STRANGER_TIMEOUT).await;
        if self.stranger.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            std::future::pending().await
        }
    }

    /// Who asks, proven. Every no is the same to whoever asked; the log knows why.
    pub(super) async fn identify(&self, shared: &Shared, asked: &Asked) -> Result<Record, Refusal> {
        let Some(Ok(credential)) = asked.header(HEADER).map(str::parse::<Credential>) else {
            return Err(self.denied(shared, None, "no credential, or not one of ours"));
        };
        let record = shared.directory.find(&credential.principal).await.map_err(|error| {
            tracing::error!(target: "hub", %error, "cannot look up an identity");
            Refusal::from(Kind::HubFailed)
        })?;
        let key = record.as_ref().and_then(|record| record.key).map(|stored| stored.key);
        let proven = authenticate(&credential, key.as_ref(), &self.binding(shared, asked, &credential));
        match record.ok_or("an unknown identity").and_then(|record| proven.map(|()| record)) {
            Ok(record) => {
                self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
                Ok(record)
            }
            Err(why) => Err(self.denied(shared, Some(&credential.principal), why)),
        }
    }

    /// Who asks, proven, and allowed to do this.
    pub(super) async fn permit(&self, shared: &Shared, asked: &Asked, action: Action<'_>) -> Result<Record, Refusal> {
        let record = self.identify(shared, asked).await?;
        self.allow(shared, &record, action).map(|()| record)
    }

    /// Whether somebody who was identified may do this.
    pub(super) fn allow(&self, shared: &Shared, who: &Record, action: Action<'_>) -> Result<(), Refusal> {
        match authorize(&who.principal, &who.scope, action) {
            Ok(()) => Ok(()),
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

/// The log knows what the answer does not say: whether the device exists.
fn refused(source: SocketAddr, who: &Record, action: Action<'_>, kind: Kind) -> Event {
    let mut event = Event::about(&who.principal, Operation::Invoke, kind.row().word);
    event.source = Some(source);
    if let Action::Open { device, known, name } = action {
        event.device = Some(device.clone());
        event.name = name.cloned();
        event.reason = if known { "outside the service's scope" } else { "unknown device" }.into();
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_takes_no_more_than_its_share_of_places_and_gives_them_back() {
        let strangers = Arc::new(Strangers::default());
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut places = Vec::new();
        for host in 0..UNAUTHENTICATED_CONNECTIONS_PER_SOURCE {
            places.push(strangers.admit(address(&format!("2001:db8:1:2::{host:x}"))).unwrap());
        }
        assert!(strangers.admit(address("2001:db8:1:2:ffff::1")).is_none(), "the same /64");
        assert!(strangers.admit(address("2001:db8:1:3::1")).is_some(), "another /64");
        assert!(strangers.admit(address("192.0.2.1")).is_some());
        places.pop();
        assert!(strangers.admit(address("2001:db8:1:2::1")).is_some(), "a place came back");
    }
}
