//! From an accepted socket to an authenticated request: TLS, then HTTP, within a stranger's limits.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use http::StatusCode;
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::answers;
use super::auth::{Action, authenticate, authorize};
use super::broker::{Event, Operation};
use super::registry::{Record, StoredKey};
use super::{Next, Shared, control, devices, enrol, open, streaming};
use crate::net::clock;
use crate::net::serve::{Answer, Asked, serve};
use crate::net::socket;
use crate::net::tls::Acceptor;
use crate::proto::auth::{Binding, Credential, Exporter, HEADER};
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
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0
    }

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

/// Who asks, and the key that proved it.
pub(super) struct Proven {
    /// What is known of them.
    pub record: Record,
    /// The key.
    pub key: StoredKey,
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
    let served = serve(stream, |asked| answer(&shared, &visitor, asked));
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
        Some(Route::Devices) => devices::list(shared, visitor, &asked).await,
        Some(Route::Join) => enrol::join(shared, visitor, &asked).await,
        Some(Route::Health) => answers::words(StatusCode::OK, "ok\n"),
        Some(Route::Ready) if shared.is_draining() => answers::words(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Some(Route::Ready) => answers::words(StatusCode::OK, "ready\n"),
        Some(Route::Control(_) | Route::Bridge(_)) | None => answers::not_found(),
    };
    Answer::Reply(reply)
}

impl Visitor {
    /// What a signature on this request must cover.
    pub(super) fn binding<'a>(&'a self, asked: &'a Asked) -> Binding<'a> {
        Binding { method: &asked.method, authority: &asked.authority, path: &asked.path, exporter: &self.exporter }
    }

    /// Returns when a stranger has been here too long, and never for anybody else.
    async fn outstays(&self) {
        sleep(STRANGER_TIMEOUT).await;
        if self.stranger.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            std::future::pending().await
        }
    }

    /// Who asks, proven. Every no is the same to whoever asked; the log knows why.
    pub(super) async fn identify(&self, shared: &Shared, asked: &Asked) -> Result<Proven, Refusal> {
        let Some(Ok(credential)) = asked.header(HEADER).map(str::parse::<Credential>) else {
            return Err(self.denied(shared, None, "no credential, or not one of ours"));
        };
        let record = shared.directory.find(&credential.principal).await.map_err(|error| {
            tracing::error!(target: "hub", %error, "cannot look up an identity");
            Refusal::from(Kind::HubFailed)
        })?;
        let now = clock::moment();
        let valid = record.iter().flat_map(|record| &record.keys).filter(|stored| stored.is_valid(now));
        let valid: Vec<_> = valid.map(|stored| stored.key).collect();
        let proven = authenticate(&credential, &valid, &self.binding(asked));
        let key = proven.map_err(|why| self.denied(shared, Some(&credential.principal), why))?;
        let known = record.and_then(|record| Some((*record.valid_key(&key, now)?, record)));
        let (key, record) = known.ok_or_else(|| Refusal::from(Kind::HubFailed))?;
        self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(Proven { record, key })
    }

    /// Who asks, proven, and allowed to do this.
    pub(super) async fn permit(&self, shared: &Shared, asked: &Asked, action: Action<'_>) -> Result<Proven, Refusal> {
        let proven = self.identify(shared, asked).await?;
        self.allow(shared, &proven.record, action).map(|()| proven)
    }

    /// Whether somebody who was identified may do this.
    pub(super) fn allow(&self, shared: &Shared, who: &Record, action: Action<'_>) -> Result<(), Refusal> {
        match authorize(who.standing(), action, clock::moment()) {
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
