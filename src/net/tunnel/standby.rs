//! How an end keeps connections ready at the hub: those that have carried a stream, and a few more than were wanted at once,
//! until nobody wants them any more.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::time::{sleep, timeout};

use crate::net::client::{Client, Connection};
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::tunnel::pump::TransportOptions;
use crate::net::websocket::WebSocket;
use crate::net::websocket::channel::{ControlChannel, Ended};
use crate::proto::backoff::ReconnectBackoff;
use crate::proto::limits::{PROBE_TIMEOUT, STANDBY_IDLE_TIMEOUT, STANDBY_RETRY_INTERVAL};
use crate::proto::message::StandbyOffer;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::standby::StandbyFromHub;

/// What is brought for a stream that found none, beside its own: while it ends, which takes longer than to open one, the next
/// ones shall find some.
const SPARE_CONNECTIONS: usize = 2;

/// One end of a connection that stands by, or carries a stream and will stand by after it.
#[derive(Debug)]
pub struct Standby {
    /// What is said on it between streams.
    pub channel: ControlChannel<Connection>,
    /// What it keeps while it carries a stream.
    pub slot: PoolSlot,
}

/// What outlives a stream.
#[derive(Debug)]
pub struct PoolSlot {
    /// As whom it was brought.
    pub client: Client,
    transport: TransportOptions,
    permit: PoolPermit,
}

impl Standby {
    /// The WebSocket, for a stream.
    pub fn into_parts(self) -> (WebSocket<Connection>, PoolSlot) {
        (self.channel.into_socket(), self.slot)
    }

    /// After a stream.
    pub fn from_parts(socket: WebSocket<Connection>, slot: PoolSlot) -> Self {
        Self { channel: ControlChannel::new(socket, slot.transport.idle_timeout), slot }
    }

    /// What the hub says next; nothing when nobody wanted the connection for long.
    pub async fn next_command(&mut self, network: &NetworkMonitor) -> Result<Option<StandbyFromHub>, Ended> {
        let (mut network, mut enough) = (network.clone(), pin!(sleep(STANDBY_IDLE_TIMEOUT)));
        loop {
            tokio::select! {
                command = self.channel.next() => return command.map(Some),
                () = network.changed() => self.channel.probe().await?,
                () = &mut enough => return Ok(None),
            }
        }
    }

    /// Ends it, for this reason or because nobody wants it.
    pub async fn close(self, why: Option<Ended>) {
        match why {
            Some(why) => self.channel.end(&why).await,
            None => self.channel.leave().await,
        }
    }
}

/// One of those that there may be.
#[derive(Debug)]
struct PoolPermit {
    counts: Arc<PoolCounts>,
    /// It is given up, and kept until its socket is closed.
    evicted: bool,
}

#[derive(Debug, Default)]
struct PoolCounts {
    all: AtomicUsize,
    /// Of these, so many are given up.
    evicting: AtomicUsize,
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        self.counts.evicting.fetch_sub(self.evicted.into(), Ordering::Relaxed);
    }
}

/// How many there are, and ought to be.
#[derive(Debug)]
pub struct StandbyPool {
    transport: TransportOptions,
    /// The run of an agent, if they are a device's.
    run: Option<u64>,
    counts: Arc<PoolCounts>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where to bring them, and as whom.
    offer: Option<(Client, StandbyOffer)>,
    /// The hub took none, or was out of reach: it is left alone until then.
    retry_at: Option<Instant>,
    backoff: ReconnectBackoff,
    /// It has taken some.
    has_connected: bool,
    /// So many are to be brought.
    to_open: usize,
    /// Somebody sees to that.
    refilling: bool,
}

impl StandbyPool {
    /// None yet.
    pub fn new(transport: TransportOptions, run: Option<u64>) -> Self {
        Self { transport, run, counts: Arc::default(), state: Mutex::default() }
    }

    /// The hub takes them, or not.
    pub fn set_offer(&self, client: &Client, offer: Option<StandbyOffer>) {
        let mut state = self.state();
        let previous = std::mem::replace(&mut state.offer, offer.map(|offer| (client.clone(), offer)));
        let url = |offer: &Option<(Client, StandbyOffer)>| offer.as_ref().map(|(_, offer)| offer.url.clone());
        if url(&previous) != url(&state.offer) {
            // What was found out is of the other one.
            (state.has_connected, state.retry_at) = (false, None);
        }
    }

    /// A stream found none. Whether [`Self::refill_next`] is to be called until there is nothing more: one after another, since
    /// the stream's own connection will stand by as well.
    pub fn needs_refill(&self) -> bool {
        let mut state = self.state();
        if self.available_offer(&state).is_none() {
            return false;
        }
        state.to_open = SPARE_CONNECTIONS;
        !std::mem::replace(&mut state.refilling, true)
    }

    /// Where one more can be brought now, and as whom.
    fn available_offer(&self, state: &State) -> Option<(Client, StandbyOffer)> {
        let left_alone = state.retry_at.is_some_and(|until| clock::now() < until);
        let has_room =
            |offer: &StandbyOffer| self.counts.all.load(Ordering::Relaxed) < offer.limit.min(self.transport.standbys);
        state.offer.clone().filter(|(_, offer)| !left_alone && has_room(offer))
    }

    /// A connection that was brought for one stream may stand by after it.
    pub fn reserve(&self, client: &Client) -> PoolSlot {
        self.counts.all.fetch_add(1, Ordering::Relaxed);
        PoolSlot {
            client: client.clone(),
            transport: self.transport,
            permit: PoolPermit { counts: self.counts.clone(), evicted: false },
        }
    }

    /// Whether this one is to be ended because there are more than there ought to be. As many go as are too many, and not
    /// all that ask at the same time.
    pub fn should_evict(&self, standby: &mut Standby) -> bool {
        let state = self.state();
        let limit = state.offer.as_ref().map_or(0, |(_, offer)| offer.limit.min(self.transport.standbys));
        let PoolCounts { all, evicting } = &*self.counts;
        let remaining = all.load(Ordering::Relaxed).saturating_sub(evicting.load(Ordering::Relaxed));
        if remaining > limit && !standby.slot.permit.evicted {
            standby.slot.permit.evicted = true;
            evicting.fetch_add(1, Ordering::Relaxed);
        }
        standby.slot.permit.evicted
    }

    /// One that stands by, as long as some are wanted.
    pub async fn refill_next(&self) -> Option<Standby> {
        let (client, offer) = {
            let mut state = self.state();
            let offer = self.available_offer(&state).filter(|_| state.to_open > 0);
            state.to_open = offer.as_ref().map_or(0, |_| state.to_open - 1);
            state.refilling = offer.is_some();
            offer?
        };
        let connected = self.connect_as(&client, &offer).await;
        if connected.is_none() {
            self.state().refilling = false;
        }
        connected
    }

    /// One for a stream that found none, where some were taken before: that is fewer handshakes than the long way.
    pub async fn connect(&self) -> Option<Standby> {
        let (client, offer) = {
            let state = self.state();
            self.available_offer(&state).filter(|_| state.has_connected)?
        };
        // Elsewhere the hub may be within reach.
        let connected = timeout(PROBE_TIMEOUT, self.connect_as(&client, &offer)).await;
        connected.unwrap_or_else(|_| {
            self.back_off(&RefusalKind::HubUnreachable.into());
            None
        })
    }

    async fn connect_as(&self, client: &Client, offer: &StandbyOffer) -> Option<Standby> {
        let slot = self.reserve(client);
        match client.open_standby(&offer.url, self.run).await {
            Ok(socket) => {
                let mut state = self.state();
                state.backoff.connected(clock::now());
                state.has_connected = true;
                drop(state);
                Some(Standby::from_parts(socket, slot))
            }
            Err(refusal) => {
                self.back_off(&refusal);
                None
            }
        }
    }

    fn back_off(&self, refusal: &Refusal) {
        tracing::debug!("no connection stands by: {refusal}");
        let mut state = self.state();
        (state.to_open, state.has_connected) = (0, false);
        let now = clock::now();
        // What a hub has refused it will refuse again; a network may be there again in a moment.
        let is_refused = refusal.kind != RefusalKind::HubUnreachable;
        let pause = if is_refused { STANDBY_RETRY_INTERVAL } else { state.backoff.next_delay(now, random::u64()) };
        state.retry_at = Some(now + pause);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::net::tls::Trust;
    use crate::proto::id::{Principal, Role};
    use crate::proto::join::HubAddress;
    use crate::proto::key::PrivateKey;
    use crate::proto::limits::BACKOFF_BASE;

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_was_out_of_reach_is_tried_again_soon_and_one_that_refused_is_left_alone() {
        let key = PrivateKey::from_seed(&random::secret());
        let principal = Principal { role: Role::Service, id: "alice".parse().unwrap() };
        let client =
            Client::new("hub".parse::<HubAddress>().unwrap(), &Trust::Public, principal, Arc::new(key)).unwrap();
        let pool = StandbyPool::new(TransportOptions::default(), None);
        pool.set_offer(&client, Some(StandbyOffer { url: "wss://hub/standby".into(), limit: 1 }));
        for (kind, left_alone) in [
            (RefusalKind::HubUnreachable, BACKOFF_BASE),
            (RefusalKind::HubUnreachable, 2 * BACKOFF_BASE),
            (RefusalKind::HubBusy, STANDBY_RETRY_INTERVAL),
        ] {
            assert!(pool.needs_refill(), "{kind:?}");
            pool.back_off(&kind.into());
            pool.state().refilling = false;
            advance(left_alone).await;
        }
        assert!(pool.needs_refill());
        pool.back_off(&RefusalKind::HubBusy.into());
        pool.state().refilling = false;
        advance(STANDBY_RETRY_INTERVAL - Duration::from_millis(1)).await;
        assert!(!pool.needs_refill(), "it has said no");
    }
}
