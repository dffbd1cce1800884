//! How an end keeps connections ready at the hub: those that have carried a stream, and a few more than were wanted at once,
//! until nobody wants them any more.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::time::{sleep, timeout};

use super::channel::{ChannelError, ControlChannel};
use super::client::{Client, Connection};
use super::pump::Line;
use super::vigil::Vigil;
use super::websocket::WebSocket;
use super::{clock, random};
use crate::proto::backoff::Backoff;
use crate::proto::limits::{PROBE_DEADLINE, STANDBY_IDLE, STANDBY_RETRY};
use crate::proto::refusal::{Kind, Refusal};
use crate::proto::standby::{FromHub, Offer};

/// What is brought for a stream that found none, beside its own: while it ends, which takes longer than to open one, the next
/// ones shall find some.
const SPARES: usize = 2;

/// One end of a connection that stands by, or carries a stream and will stand by after it.
#[derive(Debug)]
pub struct Standby {
    /// What is said on it between streams.
    pub channel: ControlChannel<Connection>,
    /// What it keeps while it carries a stream.
    pub kept: Kept,
}

/// What outlives a stream.
#[derive(Debug)]
pub struct Kept {
    /// As whom it was brought.
    pub client: Client,
    line: Line,
    place: Place,
}

impl Standby {
    /// The WebSocket, for a stream.
    pub fn into_parts(self) -> (WebSocket<Connection>, Kept) {
        (self.channel.into_socket(), self.kept)
    }

    /// After a stream.
    pub fn again(socket: WebSocket<Connection>, kept: Kept) -> Self {
        Self { channel: ControlChannel::new(socket, kept.line.patience), kept }
    }

    /// What the hub says next; nothing when nobody wanted the connection for long.
    pub async fn idle(&mut self, vigil: &Vigil) -> Result<Option<FromHub>, ChannelError> {
        let (mut vigil, mut enough) = (vigil.clone(), pin!(sleep(STANDBY_IDLE)));
        loop {
            tokio::select! {
                said = self.channel.next() => return said.map(Some),
                () = vigil.changed() => self.channel.probe().await?,
                () = &mut enough => return Ok(None),
            }
        }
    }

    /// Ends it, for this reason or because nobody wants it.
    pub async fn end(self, why: Option<ChannelError>) {
        match why {
            Some(why) => self.channel.end(&why).await,
            None => self.channel.leave().await,
        }
    }
}

/// One of those that there may be.
#[derive(Debug)]
struct Place {
    counts: Arc<Counts>,
    /// It is given up, and kept until its socket is closed.
    goes: bool,
}

#[derive(Debug, Default)]
struct Counts {
    all: AtomicUsize,
    /// Of these, so many are given up.
    going: AtomicUsize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.all.fetch_sub(1, Ordering::Relaxed);
        self.counts.going.fetch_sub(self.goes.into(), Ordering::Relaxed);
    }
}

/// How many there are, and ought to be.
#[derive(Debug)]
pub struct Supply {
    line: Line,
    /// The run of an agent, if they are a device's.
    run: Option<u64>,
    counts: Arc<Counts>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Where to bring them, and as whom.
    offer: Option<(Client, Offer)>,
    /// The hub took none, or was out of reach: it is left alone until then.
    not_before: Option<Instant>,
    backoff: Backoff,
    /// It has taken some.
    proven: bool,
    /// So many are to be brought.
    wanted: usize,
    /// Somebody sees to that.
    growing: bool,
}

impl Supply {
    /// None yet.
    pub fn new(line: Line, run: Option<u64>) -> Self {
        Self { line, run, counts: Arc::default(), state: Mutex::default() }
    }

    /// The hub takes them, or not.
    pub fn offered(&self, client: &Client, offer: Option<Offer>) {
        let mut state = self.state();
        let former = std::mem::replace(&mut state.offer, offer.map(|offer| (client.clone(), offer)));
        let url = |offer: &Option<(Client, Offer)>| offer.as_ref().map(|(_, offer)| offer.url.clone());
        if url(&former) != url(&state.offer) {
            // What was found out is of the other one.
            (state.proven, state.not_before) = (false, None);
        }
    }

    /// A stream found none. Whether [`Self::next`] is to be called until there is nothing more: one after another, since
    /// the stream's own connection will stand by as well.
    pub fn missed(&self) -> bool {
        let mut state = self.state();
        if self.possible(&state).is_none() {
            return false;
        }
        state.wanted = SPARES;
        !std::mem::replace(&mut state.growing, true)
    }

    /// Where one more can be brought now, and as whom.
    fn possible(&self, state: &State) -> Option<(Client, Offer)> {
        let left_alone = state.not_before.is_some_and(|until| clock::now() < until);
        let has_room = |offer: &Offer| self.counts.all.load(Ordering::Relaxed) < offer.hold.min(self.line.standbys);
        state.offer.clone().filter(|(_, offer)| !left_alone && has_room(offer))
    }

    /// A connection that was brought for one stream may stand by after it.
    pub fn adopt(&self, client: &Client) -> Kept {
        self.counts.all.fetch_add(1, Ordering::Relaxed);
        Kept { client: client.clone(), line: self.line, place: Place { counts: self.counts.clone(), goes: false } }
    }

    /// Whether this one is to be ended because there are more than there ought to be. As many go as are too many, and not
    /// all that ask at the same time.
    pub fn gives_up(&self, standby: &mut Standby) -> bool {
        let state = self.state();
        let most = state.offer.as_ref().map_or(0, |(_, offer)| offer.hold.min(self.line.standbys));
        let Counts { all, going } = &*self.counts;
        let staying = all.load(Ordering::Relaxed).saturating_sub(going.load(Ordering::Relaxed));
        if staying > most && !standby.kept.place.goes {
            standby.kept.place.goes = true;
            going.fetch_add(1, Ordering::Relaxed);
        }
        standby.kept.place.goes
    }

    /// One that stands by, as long as some are wanted.
    pub async fn next(&self) -> Option<Standby> {
        let (client, offer) = {
            let mut state = self.state();
            let offer = self.possible(&state).filter(|_| state.wanted > 0);
            state.wanted = offer.as_ref().map_or(0, |_| state.wanted - 1);
            state.growing = offer.is_some();
            offer?
        };
        let brought = self.bring_as(&client, &offer).await;
        if brought.is_none() {
            self.state().growing = false;
        }
        brought
    }

    /// One for a stream that found none, where some were taken before: that is fewer handshakes than the long way.
    pub async fn bring(&self) -> Option<Standby> {
        let (client, offer) = {
            let state = self.state();
            self.possible(&state).filter(|_| state.proven)?
        };
        // Elsewhere the hub may be within reach.
        let brought = timeout(PROBE_DEADLINE, self.bring_as(&client, &offer)).await;
        brought.unwrap_or_else(|_| {
            self.refused(&Kind::HubUnreachable.into());
            None
        })
    }

    async fn bring_as(&self, client: &Client, offer: &Offer) -> Option<Standby> {
        let kept = self.adopt(client);
        match client.standby(&offer.url, self.run).await {
            Ok(socket) => {
                let mut state = self.state();
                state.backoff.connected(clock::now());
                state.proven = true;
                drop(state);
                Some(Standby::again(socket, kept))
            }
            Err(refusal) => {
                self.refused(&refusal);
                None
            }
        }
    }

    fn refused(&self, refusal: &Refusal) {
        tracing::debug!("no connection stands by: {refusal}");
        let mut state = self.state();
        (state.wanted, state.proven) = (0, false);
        let now = clock::now();
        // What a hub has refused it will refuse again; a network may be there again in a moment.
        let is_refused = refusal.kind != Kind::HubUnreachable;
        let pause = if is_refused { STANDBY_RETRY } else { state.backoff.next_pause(now, random::dice()) };
        state.not_before = Some(now + pause);
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
        let supply = Supply::new(Line::default(), None);
        supply.offered(&client, Some(Offer { url: "wss://hub/standby".into(), hold: 1 }));
        for (kind, left_alone) in [
            (Kind::HubUnreachable, BACKOFF_BASE),
            (Kind::HubUnreachable, 2 * BACKOFF_BASE),
            (Kind::HubBusy, STANDBY_RETRY),
        ] {
            assert!(supply.missed(), "{kind:?}");
            supply.refused(&kind.into());
            supply.state().growing = false;
            advance(left_alone).await;
        }
        assert!(supply.missed());
        supply.refused(&Kind::HubBusy.into());
        supply.state().growing = false;
        advance(STANDBY_RETRY - Duration::from_millis(1)).await;
        assert!(!supply.missed(), "it has said no");
    }
}
