//! Connections that stand by at the hub, each for one stream after another.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{Life, stream};
use crate::net::channel::ChannelError;
use crate::net::client::Client;
use crate::net::pump::Line;
use crate::net::standby::{Kept, Standby, Supply};
use crate::net::tasks::Tasks;
use crate::proto::id::StreamId;
use crate::proto::standby::{FromHub, Offer, Request};

/// Requests that are remembered: far more than there are under way.
const REMEMBERED: usize = 4096;

/// All of this agent's.
pub(super) struct Standbys {
    supply: Supply,
    tasks: Tasks,
    seen: Mutex<Seen>,
}

/// Requests that have come, and by which way, the oldest first.
#[derive(Default)]
struct Seen {
    known: HashMap<StreamId, Way>,
    order: VecDeque<StreamId>,
}

/// Where a request came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Control,
    Standby,
}

impl Standbys {
    pub(super) fn new(line: Line, run: u64) -> Self {
        Self { supply: Supply::new(line, Some(run)), tasks: Tasks::default(), seen: Mutex::default() }
    }

    /// The hub takes them, or not.
    pub(super) fn offered(&self, client: &Client, offer: Option<Offer>) {
        self.supply.offered(client, offer);
    }

    /// A stream was asked for, and none stood by: next time one will.
    pub(super) fn grow(&self, life: &Life) {
        if !self.supply.missed() {
            return;
        }
        let life = life.clone();
        self.tasks.spawn(async move {
            while let Some(standby) = life.standbys.supply.next().await {
                life.standbys.keep(&life, standby);
            }
        });
    }

    /// A connection that was brought for one stream may stand by after it.
    pub(super) fn adopt(&self, client: &Client) -> Kept {
        self.supply.adopt(client)
    }

    /// This connection stands by.
    pub(super) fn keep(&self, life: &Life, standby: Standby) {
        self.tasks.spawn(stand_by(life.clone(), standby));
    }

    /// Whether a request that comes this way is to be served. One whose connection broke before its answer is asked again,
    /// but what came along with it may have reached the target, or come late when it was served by then.
    pub(super) fn admits(&self, request: StreamId, way: Way) -> bool {
        let Seen { known, order } = &mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = known.get(&request) {
            return (*earlier, way) == (Way::Control, Way::Control);
        }
        known.insert(request, way);
        order.push_back(request);
        if order.len() > REMEMBERED
            && let Some(oldest) = order.pop_front()
        {
            known.remove(&oldest);
        }
        true
    }

    /// No more of them. Streams go on.
    pub(super) async fn end(&self) {
        self.tasks.clone().end(Duration::ZERO).await;
    }
}

/// One stream after another. Each is counted, and waited for, with all others.
async fn stand_by(life: Life, mut standby: Standby) {
    loop {
        if life.standbys.supply.gives_up(&mut standby) {
            return standby.end(None).await;
        }
        let (request, early) = match request(&life, &mut standby).await {
            Ok(Some(asked)) => asked,
            Ok(None) => return standby.end(None).await,
            Err(ended) => return standby.end(Some(ended)).await,
        };
        if !request.stream.rests {
            // It does not come back.
            life.standbys.grow(&life);
        }
        let (done, next) = oneshot::channel();
        let (of_stream, full) = (life.clone(), life.is_full());
        let over = life.asked(&request.stream);
        life.streams.spawn(async move {
            let _over = over;
            let _ = done.send(stream::serve_standby(of_stream, request, early, standby, full).await);
        });
        match next.await {
            Ok(Some(next)) => standby = next,
            Ok(None) | Err(_) => return,
        }
    }
}

async fn request(life: &Life, standby: &mut Standby) -> Result<Option<(Request, Bytes)>, ChannelError> {
    let Some(FromHub::StreamRequest(request)) = standby.idle(&life.vigil).await? else { return Ok(None) };
    let early = standby.channel.recv_attached(request.early.bytes()).await?;
    Ok(Some((request, early)))
}
