//! Connections that stand by at the hub, each for one stream after another: as many as there were streams at once that
//! found none, until nobody wants them any more.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::net::channel::{ControlChannel, Ended};
use crate::net::client::{Client, Connection};
use crate::net::clock;
use crate::net::pump::Line;
use crate::net::tasks::Tasks;
use crate::net::vigil::Vigil;
use crate::net::websocket::WebSocket;
use crate::proto::limits::{STANDBY_IDLE, STANDBY_RETRY};
use crate::proto::standby::{FromHub, Offer};

/// A connection that stands by, or carries a stream and will stand by after it.
pub(super) struct Standby {
    pub(super) channel: ControlChannel<Connection>,
    /// As whom.
    pub(super) client: Client,
    pub(super) place: Place,
}

/// One of those that there may be.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Asks the task that keeps an idle one for it.
type Taken = oneshot::Sender<oneshot::Sender<Standby>>;

/// All of this proxy's.
#[derive(Clone)]
pub(super) struct Standbys(Arc<Inner>);

struct Inner {
    line: Line,
    vigil: Vigil,
    tasks: Tasks,
    count: Arc<AtomicUsize>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where to bring them.
    offer: Option<Offer>,
    /// The hub took none: it is left alone until then.
    not_before: Option<Instant>,
    /// Those that are idle, the one that was used last at the end.
    idle: Vec<Taken>,
}

impl Standbys {
    pub(super) fn new(line: Line, vigil: Vigil) -> Self {
        let (tasks, count, state) = (Tasks::default(), Arc::default(), Mutex::default());
        Self(Arc::new(Inner { line, vigil, tasks, count, state }))
    }

    /// The hub takes them, or not.
    pub(super) fn offered(&self, offer: Option<Offer>) {
        self.state().offer = offer;
    }

    /// The one that was used last: it is the likeliest to be alive.
    pub(super) async fn take(&self) -> Option<Standby> {
        loop {
            let idle = self.state().idle.pop()?;
            let (sender, given) = oneshot::channel();
            if idle.send(sender).is_ok()
                && let Ok(standby) = given.await
            {
                return Some(standby);
            }
        }
    }

    /// It may be used again.
    pub(super) fn put(&self, socket: WebSocket<Connection>, client: Client, place: Place) {
        let channel = ControlChannel::new(socket, self.0.line.patience);
        self.keep(Standby { channel, client, place });
    }

    /// A stream found none: the next one will.
    pub(super) fn grow(&self, client: &Client) {
        let (offer, left_alone) = {
            let state = self.state();
            (state.offer.clone(), state.not_before.is_some_and(|until| clock::now() < until))
        };
        let Some(offer) = offer.filter(|_| !left_alone) else { return };
        let place = Place(self.0.count.clone());
        if self.0.count.fetch_add(1, Ordering::Relaxed) >= offer.hold.min(self.0.line.standbys) {
            return;
        }
        let (standbys, client) = (self.clone(), client.clone());
        self.0.tasks.spawn(async move {
            match client.standby(&offer.url, None).await {
                Ok(socket) => standbys.put(socket, client, place),
                Err(refusal) => {
                    tracing::debug!(target: "service-proxy", "no connection stands by: {refusal}");
                    standbys.state().not_before = Some(clock::now() + STANDBY_RETRY);
                }
            }
        });
    }

    /// One was dead: the others, which went the same way, are not tried.
    pub(super) fn discard(&self) {
        self.state().idle.clear();
    }

    /// No more of them. Streams go on.
    pub(super) async fn end(&self) {
        self.0.tasks.clone().end(Duration::ZERO).await;
    }

    fn keep(&self, mut standby: Standby) {
        let (taken, mut wanted) = oneshot::channel::<oneshot::Sender<Standby>>();
        {
            let mut state = self.state();
            if state.idle.len() == state.idle.capacity() {
                state.idle.retain(|idle| !idle.is_closed());
            }
            state.idle.push(taken);
        }
        let mut vigil = self.0.vigil.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                wanted = &mut wanted => match wanted {
                    Ok(wanted) => drop(wanted.send(standby)),
                    Err(_) => standby.channel.leave().await,
                },
                ended = idle(&mut standby.channel, &mut vigil) => match ended {
                    Some(ended) => standby.channel.end(&ended).await,
                    None => standby.channel.leave().await,
                },
            }
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns when the connection stands by no longer: nothing if only nobody wanted it for long.
async fn idle(channel: &mut ControlChannel<Connection>, vigil: &mut Vigil) -> Option<Ended> {
    let mut enough = std::pin::pin!(sleep(STANDBY_IDLE));
    loop {
        tokio::select! {
            said = channel.next::<FromHub>() => return said.err(),
            () = vigil.changed() => if let Err(ended) = channel.probe().await {
                return Some(ended);
            },
            () = &mut enough => return None,
        }
    }
}
