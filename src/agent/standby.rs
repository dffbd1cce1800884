//! Connections that stand by at the hub, each for one stream after another.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{AgentContext, stream};
use crate::net::client::Client;
use crate::net::client::standby::{PoolSlot, Standby, StandbyPool};
use crate::net::tasks::Tasks;
use crate::net::tunnel::pump::TransportOptions;
use crate::net::websocket::channel::ChannelError;
use crate::proto::bounded_map::BoundedMap;
use crate::proto::id::StreamId;
use crate::proto::message::StandbyOffer;
use crate::proto::standby::{StandbyFromHub, StandbyStreamRequest};

/// Requests that are remembered: far more than there are under way.
const MAX_RECENT_REQUESTS: usize = 4096;

/// All of this agent's.
pub(super) struct Standbys {
    pool: StandbyPool,
    tasks: Tasks,
    recent_requests: Mutex<BoundedMap<StreamId, RequestPath>>,
}

/// Where a request came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestPath {
    Control,
    Standby,
}

impl Standbys {
    pub(super) fn new(transport: TransportOptions, run: u64) -> Self {
        Self {
            pool: StandbyPool::new(transport, Some(run)),
            tasks: Tasks::default(),
            recent_requests: Mutex::new(BoundedMap::new(MAX_RECENT_REQUESTS)),
        }
    }

    /// The hub takes them, or not.
    pub(super) fn update_offer(&self, client: &Client, offer: Option<StandbyOffer>) {
        self.pool.set_offer(client, offer);
    }

    /// A stream was asked for, and none stood by: next time one will.
    pub(super) fn refill(&self, context: &AgentContext) {
        if !self.pool.needs_refill() {
            return;
        }
        let context = context.clone();
        self.tasks.spawn(async move {
            while let Some(standby) = context.standbys.pool.refill_next().await {
                context.standbys.put(&context, standby);
            }
        });
    }

    /// A connection that was brought for one stream may stand by after it.
    pub(super) fn adopt(&self, client: &Client) -> PoolSlot {
        self.pool.reserve(client)
    }

    /// This connection stands by.
    pub(super) fn put(&self, context: &AgentContext, standby: Standby) {
        self.tasks.spawn(standby_loop(context.clone(), standby));
    }

    /// Whether a request that comes this way is to be served. One whose connection broke before its answer is asked again,
    /// but what came along with it may have reached the target, or come late when it was served by then.
    pub(super) fn is_first_delivery(&self, request: StreamId, path: RequestPath) -> bool {
        let mut recent_requests = self.recent_requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = recent_requests.get(&request) {
            return (*earlier, path) == (RequestPath::Control, RequestPath::Control);
        }
        recent_requests.insert(request, path);
        true
    }

    /// No more of them. Streams go on.
    pub(super) async fn end(&self) {
        self.tasks.clone().shutdown(Duration::ZERO).await;
    }
}

/// One stream after another. Each is counted, and waited for, with all others.
async fn standby_loop(context: AgentContext, mut standby: Standby) {
    loop {
        if context.standbys.pool.should_evict(&mut standby) {
            return standby.close(None).await;
        }
        let (request, early) = match next_request(&context, &mut standby).await {
            Ok(Some(received)) => received,
            Ok(None) => return standby.close(None).await,
            Err(ended) => return standby.close(Some(ended)).await,
        };
        if !request.stream.reusable {
            // It does not come back.
            context.standbys.refill(&context);
        }
        let (done, next) = oneshot::channel();
        let (stream_context, full) = (context.clone(), context.is_full());
        let stream_guard = context.begin_stream(&request.stream);
        context.streams.spawn(async move {
            let _guard = stream_guard;
            let _ = done.send(stream::serve_standby(stream_context, request, early, standby, full).await);
        });
        match next.await {
            Ok(Some(next)) => standby = next,
            Ok(None) | Err(_) => return,
        }
    }
}

async fn next_request(
    context: &AgentContext,
    standby: &mut Standby,
) -> Result<Option<(StandbyStreamRequest, Bytes)>, ChannelError> {
    let Some(StandbyFromHub::StreamRequest(request)) = standby.next_command(&context.network).await? else {
        return Ok(None);
    };
    let early = standby.channel.recv_attached(request.early.bytes()).await?;
    Ok(Some((request, early)))
}
