//! The pool of standby connections: connections that are kept open at the hub after they have carried a stream, or
//! opened ahead of the next one, so that opening a stream costs no handshake. Unused ones are closed after
//! [`STANDBY_IDLE_TIMEOUT`].

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::time::{sleep, timeout};

use super::{Client, Connection};
use crate::net::os::clock;
use crate::net::os::network_monitor::NetworkMonitor;
use crate::net::os::random;
use crate::net::transport::socket::restart_congestion_control;
use crate::net::tunnel::pump::TransportOptions;
use crate::net::websocket::WebSocket;
use crate::net::websocket::channel::{ChannelError, ControlChannel};
use crate::proto::backoff::ReconnectBackoff;
use crate::proto::limits::{PROBE_TIMEOUT, STANDBY_IDLE_TIMEOUT, STANDBY_RETRY_INTERVAL};
use crate::proto::message::StandbyOffer;
use crate::proto::refusal::{Refusal, RefusalKind};
use crate::proto::standby::StandbyFromHub;

/// The connections that are opened when a stream found none, beside its own: closing a stream takes longer than opening
/// one, and the next streams shall find one meanwhile.
const SPARE_CONNECTIONS: usize = 2;

/// A standby connection that carries no stream.
#[derive(Debug)]
pub struct Standby {
    /// The channel for commands between streams.
    pub channel: ControlChannel<Connection>,
    /// The slot that it occupies in the pool.
    pub slot: PoolSlot,
}

/// A slot of the pool, which its connection occupies also while it carries a stream.
#[derive(Debug)]
pub struct PoolSlot {
    /// The client that opened the connection.
    pub client: Client,
    transport: TransportOptions,
    permit: PoolPermit,
}

impl Standby {
    /// Takes the WebSocket out, for a stream.
    pub fn into_parts(self) -> (WebSocket<Connection>, PoolSlot) {
        (self.channel.into_socket(), self.slot)
    }

    /// Puts the WebSocket back after a stream that carried this many bytes.
    pub fn from_parts(socket: WebSocket<Connection>, slot: PoolSlot, carried: u64) -> Self {
        socket.with_transport(|connection| restart_congestion_control(connection.get_ref().0.get_ref(), carried));
        Self { channel: ControlChannel::new(socket, slot.transport.idle_timeout), slot }
    }

    /// Receives the hub's next command; `None` after [`STANDBY_IDLE_TIMEOUT`] without one. A change of the network
    /// probes the connection.
    pub async fn next_command(&mut self, network: &NetworkMonitor) -> Result<Option<StandbyFromHub>, ChannelError> {
        let (mut network, mut idle_timeout) = (network.clone(), pin!(sleep(STANDBY_IDLE_TIMEOUT)));
        loop {
            tokio::select! {
                command = self.channel.next() => return command.map(Some),
                () = network.changed() => self.channel.probe().await?,
                () = &mut idle_timeout => return Ok(None),
            }
        }
    }

    /// Closes the connection: with the error that ended it, or normally when it is not needed.
    pub async fn close(self, error: Option<ChannelError>) {
        match error {
            Some(error) => self.channel.close_with_error(&error).await,
            None => self.channel.close().await,
        }
    }
}

/// A connection in its pool's count.
#[derive(Debug)]
struct PoolPermit {
    counts: Arc<PoolCounts>,
    /// Evicted; still counted until its socket is closed.
    evicted: bool,
}

#[derive(Debug, Default)]
struct PoolCounts {
    /// All connections, including evicted ones.
    all: AtomicUsize,
    /// The evicted ones among them.
    evicting: AtomicUsize,
}

impl Drop for PoolPermit {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        self.counts.evicting.fetch_sub(self.evicted.into(), Ordering::Relaxed);
    }
}

/// The standby connections of one role, and when to open more.
#[derive(Debug)]
pub struct StandbyPool {
    transport: TransportOptions,
    /// The run of the agent, if the role is a device.
    run: Option<u64>,
    counts: Arc<PoolCounts>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The hub's latest offer, and the client to connect as.
    offer: Option<(Client, StandbyOffer)>,
    /// The time of the next attempt after the hub refused a standby connection or was unreachable.
    retry_at: Option<Instant>,
    backoff: ReconnectBackoff,
    /// The hub has accepted a standby connection under this offer.
    has_connected: bool,
    /// The connections yet to be opened by the current refill.
    to_open: usize,
    /// A task is calling [`StandbyPool::refill_next`].
    refilling: bool,
}

impl State {
    fn is_outdated(&self, slot: &PoolSlot) -> bool {
        self.offer.as_ref().is_none_or(|(client, _)| slot.client.change_to(client).is_some())
    }
}

impl StandbyPool {
    /// Creates an empty pool.
    pub fn new(transport: TransportOptions, run: Option<u64>) -> Self {
        Self { transport, run, counts: Arc::default(), state: Mutex::default() }
    }

    /// Records the hub's offer of standby connections; `None` if it accepts none.
    pub fn set_offer(&self, client: &Client, offer: Option<StandbyOffer>) {
        let mut state = self.state();
        let previous = std::mem::replace(&mut state.offer, offer.map(|offer| (client.clone(), offer)));
        let url = |offer: &Option<(Client, StandbyOffer)>| offer.as_ref().map(|(_, offer)| offer.url.clone());
        if url(&previous) != url(&state.offer) {
            // The results so far are those of the previous endpoint.
            (state.has_connected, state.retry_at) = (false, None);
        }
    }

    /// Records that a stream found no standby connection, and reports whether the caller shall now call
    /// [`Self::refill_next`] until it returns `None`. One connection is opened at a time, since the stream's own will
    /// become a standby too.
    pub fn needs_refill(&self) -> bool {
        let mut state = self.state();
        if self.available_offer(&state).is_none() {
            return false;
        }
        state.to_open = SPARE_CONNECTIONS;
        !std::mem::replace(&mut state.refilling, true)
    }

    /// The offer under which one more connection may be opened now, and the client to connect as.
    fn available_offer(&self, state: &State) -> Option<(Client, StandbyOffer)> {
        let is_backing_off = state.retry_at.is_some_and(|until| clock::now() < until);
        let has_room =
            |offer: &StandbyOffer| self.counts.all.load(Ordering::Relaxed) < offer.limit.min(self.transport.standbys);
        state.offer.clone().filter(|(_, offer)| !is_backing_off && has_room(offer))
    }

    /// Has connections be opened as another client from now on.
    pub fn change_client(&self, client: &Client) {
        if let Some((former, _)) = &mut self.state().offer {
            *former = client.clone();
        }
    }

    /// Returns the number of connections, those that carry streams included.
    pub fn connections(&self) -> usize {
        self.counts.all.load(Ordering::Relaxed)
    }

    /// Reserves a slot for a stream's own connection, which becomes a standby after the stream.
    pub fn reserve(&self, client: &Client) -> PoolSlot {
        self.counts.all.fetch_add(1, Ordering::Relaxed);
        PoolSlot {
            client: client.clone(),
            transport: self.transport,
            permit: PoolPermit { counts: self.counts.clone(), evicted: false },
        }
    }

    /// Marks the connection as evicted if it is outdated or the pool is over its limit, and reports whether it is. Only as
    /// many are evicted as exceed the limit, also when all check at the same time.
    pub fn should_evict(&self, slot: &mut PoolSlot) -> bool {
        let state = self.state();
        let limit = state.offer.as_ref().map_or(0, |(_, offer)| offer.limit.min(self.transport.standbys));
        let PoolCounts { all, evicting } = &*self.counts;
        let remaining = all.load(Ordering::Relaxed).saturating_sub(evicting.load(Ordering::Relaxed));
        if (remaining > limit || state.is_outdated(slot)) && !slot.permit.evicted {
            slot.permit.evicted = true;
            evicting.fetch_add(1, Ordering::Relaxed);
        }
        slot.permit.evicted
    }

    /// Reports whether the connection is of a client with another key than the latest one, or that trusts another fleet: its
    /// next stream would be that one's.
    pub fn is_outdated(&self, slot: &PoolSlot) -> bool {
        self.state().is_outdated(slot)
    }

    /// Opens the next connection of a refill; `None` when the refill is done or failed.
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

    /// Opens a connection for a stream that found none, if the hub has accepted one before: that takes fewer handshakes
    /// than a request and a WebSocket of the stream's own.
    pub async fn connect(&self) -> Option<Standby> {
        let (client, offer) = {
            let state = self.state();
            self.available_offer(&state).filter(|_| state.has_connected)?
        };
        // The request by another address may still reach the hub.
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
                Some(Standby::from_parts(socket, slot, 0))
            }
            Err(refusal) => {
                self.back_off(&refusal);
                None
            }
        }
    }

    fn back_off(&self, refusal: &Refusal) {
        tracing::debug!("could not open a standby connection: {refusal}");
        let mut state = self.state();
        (state.to_open, state.has_connected) = (0, false);
        let now = clock::now();
        // A hub that refuses will refuse again; a network, or a hub that is overrun, may recover within seconds.
        let is_refused = !matches!(refusal.kind, RefusalKind::HubUnreachable | RefusalKind::ConnectionRejected);
        let delay = if is_refused { STANDBY_RETRY_INTERVAL } else { state.backoff.next_delay(now, random::u64()) };
        state.retry_at = Some(now + delay);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::net::tls::Trust;
    use crate::proto::fleet::{Fleet, FleetKeys};
    use crate::proto::id::{Principal, Role};
    use crate::proto::join::HubAddress;
    use crate::proto::key::PrivateKey;
    use crate::proto::limits::BACKOFF_BASE;
    use crate::proto::secret::KeySeed;
    use crate::proto::timestamp::Timestamp;

    fn client() -> Client {
        let key = PrivateKey::from_seed(&random::secret());
        let principal = Principal { role: Role::Service, id: "alice".parse().unwrap() };
        Client::new("hub".parse::<HubAddress>().unwrap(), &Trust::Public, principal, Arc::new(key)).unwrap()
    }

    #[tokio::test]
    async fn connections_of_a_former_key_or_fleet_are_outdated_and_evicted() {
        let fleet = |seed| {
            let [key, recovery] =
                [seed, seed + 1].map(|seed| PrivateKey::from_seed(&KeySeed::new([seed; 32])).public());
            Some(Fleet { keys: FleetKeys::new(key, recovery), since: Timestamp(0) })
        };
        let present = client().with_fleet(fleet(1));
        let pool = StandbyPool::new(TransportOptions::default(), None);
        let mut slots = [&present, &present.clone().with_fleet(fleet(3)), &present.clone().with_fleet(None), &client()]
            .map(|client| pool.reserve(client));
        assert!(slots.iter().all(|slot| pool.is_outdated(slot)), "the hub offers none");
        pool.set_offer(&present, Some(StandbyOffer { url: "wss://hub/standby".into(), limit: slots.len() }));
        assert_eq!(slots.each_ref().map(|slot| pool.is_outdated(slot)), [false, true, true, true]);
        assert_eq!(slots.each_mut().map(|slot| pool.should_evict(slot)), [false, true, true, true]);
        pool.change_client(&present.with_fleet(None));
        assert_eq!(slots.each_ref().map(|slot| pool.is_outdated(slot)), [true, true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_hub_is_retried_with_backoff_and_one_that_refused_after_the_long_interval() {
        let client = client();
        let pool = StandbyPool::new(TransportOptions::default(), None);
        pool.set_offer(&client, Some(StandbyOffer { url: "wss://hub/standby".into(), limit: 1 }));
        for (kind, delay) in [
            (RefusalKind::HubUnreachable, BACKOFF_BASE),
            (RefusalKind::HubUnreachable, 2 * BACKOFF_BASE),
            (RefusalKind::HubBusy, STANDBY_RETRY_INTERVAL),
        ] {
            assert!(pool.needs_refill(), "{kind:?}");
            pool.back_off(&kind.into());
            pool.state().refilling = false;
            advance(delay).await;
        }
        assert!(pool.needs_refill());
        pool.back_off(&RefusalKind::HubBusy.into());
        pool.state().refilling = false;
        advance(STANDBY_RETRY_INTERVAL - Duration::from_millis(1)).await;
        assert!(!pool.needs_refill(), "the hub refused");
    }
}
