//! Connections that stand by at the hub, each for one stream after another: as many as there were streams at once that
//! found none, until nobody wants them any more.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::{Life, stream};
use crate::net::channel::{ControlChannel, Ended};
use crate::net::client::{Client, Connection};
use crate::net::clock;
use crate::net::tasks::Tasks;
use crate::proto::id::StreamId;
use crate::proto::limits::{STANDBY_IDLE, STANDBY_RETRY};
use crate::proto::standby::{FromHub, Offer, Request};

/// A stream's connection, before and after it.
pub(super) type Channel = ControlChannel<Connection>;

/// Requests that are remembered: far more than there are under way.
const REMEMBERED: usize = 4096;

/// All of this agent's.
#[derive(Default)]
pub(super) struct Standbys {
    tasks: Tasks,
    count: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where to bring them, and as whom.
    offer: Option<(Client, Offer)>,
    /// The hub took none: it is left alone until then.
    not_before: Option<Instant>,
    seen: HashSet<StreamId>,
    order: VecDeque<StreamId>,
}

impl Standbys {
    /// The hub takes them, or not.
    pub(super) fn offered(&self, client: &Client, offer: Option<Offer>) {
        let mut state = self.state();
        state.offer = offer.map(|offer| (client.clone(), offer));
        state.not_before = None;
    }

    /// A stream was asked for, and none stood by: next time one will.
    pub(super) fn grow(&self, life: &Life) {
        let Some((client, offer)) = self.state().wanted() else { return };
        let most = offer.hold.min(life.config.line.standbys);
        if self.count.fetch_add(1, Ordering::Relaxed) >= most {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let life = life.clone();
        self.tasks.spawn(async move {
            stand_by(&life, &client, &offer).await;
            life.standbys.count.fetch_sub(1, Ordering::Relaxed);
        });
    }

    /// Whether a request is seen for the first time. One whose connection broke before its answer is asked again, but what
    /// came along with it may have reached the target.
    pub(super) fn is_new(&self, request: StreamId) -> bool {
        let mut state = self.state();
        if state.order.len() >= REMEMBERED
            && let Some(oldest) = state.order.pop_front()
        {
            state.seen.remove(&oldest);
        }
        let new = state.seen.insert(request);
        if new {
            state.order.push_back(request);
        }
        new
    }

    /// Whether a request has come on a connection that stood by.
    pub(super) fn has_seen(&self, request: &StreamId) -> bool {
        self.state().seen.contains(request)
    }

    /// No more of them. Streams go on.
    pub(super) async fn end(&self) {
        self.tasks.clone().end(Duration::ZERO).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wanted(&self) -> Option<(Client, Offer)> {
        self.offer.clone().filter(|_| self.not_before.is_none_or(|until| clock::now() >= until))
    }
}

/// Brings a connection, and serves one stream after another on it.
async fn stand_by(life: &Life, client: &Client, offer: &Offer) {
    let socket = match client.standby(&offer.url, Some(life.run)).await {
        Ok(socket) => socket,
        Err(refusal) => {
            tracing::debug!(target: "device-agent", "no connection stands by: {refusal}");
            life.standbys.state().not_before = Some(clock::now() + STANDBY_RETRY);
            return;
        }
    };
    let mut channel = ControlChannel::new(socket, life.config.line.patience);
    loop {
        let (request, early) = match idle(life, &mut channel).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return channel.leave().await,
            Err(ended) => return channel.end(&ended).await,
        };
        // The stream is counted, and waited for, with all others.
        let (done, next) = oneshot::channel();
        let (stream_life, client) = (life.clone(), client.clone());
        life.streams.spawn(async move {
            let _ = done.send(stream::serve_standby(stream_life, client, request, early, channel).await);
        });
        match next.await {
            Ok(Some(next)) => channel = next,
            Ok(None) | Err(_) => return,
        }
    }
}

/// The next request; nothing when nobody wanted one for long.
async fn idle(life: &Life, channel: &mut Channel) -> Result<Option<(Request, Bytes)>, Ended> {
    let mut vigil = life.vigil.clone();
    let mut enough = std::pin::pin!(sleep(STANDBY_IDLE));
    loop {
        tokio::select! {
            message = channel.next() => {
                let FromHub::StreamRequest(request) = message? else { return Ok(None) };
                let early = channel.accompanying(request.early.bytes()).await?;
                return Ok(Some((request, early)));
            }
            () = vigil.changed() => channel.probe().await?,
            () = &mut enough => return Ok(None),
        }
    }
}
