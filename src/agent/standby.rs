//! Standby connections: kept open at the hub, each carries one stream after another.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::recent_requests::RequestPath;
use super::{AgentContext, stream};
use crate::net::client::standby::Standby;
use crate::net::websocket::channel::ChannelError;
use crate::proto::standby::{StandbyFromHub, StandbyStreamRequest};

/// Opens standbys in the background, if the pool is short of them.
pub(super) fn refill(context: &AgentContext) {
    if !context.standby_pool.needs_refill() {
        return;
    }
    let refilling = context.clone();
    context.standbys.spawn(async move {
        while let Some(standby) = refilling.standby_pool.refill_next().await {
            keep(&refilling, standby);
        }
    });
}

/// Keeps the connection on standby, in a task of its own.
pub(super) fn keep(context: &AgentContext, standby: Standby) {
    context.standbys.spawn(standby_loop(context.clone(), standby));
}

/// Serves one stream after another until the connection ends, is idle for too long or exceeds the pool. Streams run
/// among the agent's own tasks, so that its limit and its shutdown include them.
async fn standby_loop(context: AgentContext, mut standby: Standby) {
    loop {
        if context.standby_pool.should_evict(&mut standby.slot) {
            return standby.close(None).await;
        }
        let (request, early) = match next_request(&context, &mut standby).await {
            Ok(Some(received)) => received,
            Ok(None) => return standby.close(None).await,
            Err(ended) => return standby.close(Some(ended)).await,
        };
        if context.standby_pool.is_outdated(&standby.slot) {
            // A hub ends it with the control connection; one that does not has the stream requested again on the new one.
            return standby.close(None).await;
        }
        if !request.stream.reusable {
            // The connection ends with this stream.
            refill(&context);
        }
        let (done, next) = oneshot::channel();
        let attempt = context.begin_attempt(&request.stream, RequestPath::Standby);
        let (stream_context, stream_guard) = (context.clone(), context.begin_stream(&request.stream));
        let superseded = attempt.as_ref().map(|attempt| attempt.superseded.clone()).unwrap_or_default();
        context.streams.spawn(async move {
            let _guard = stream_guard;
            let work = stream::serve_standby(stream_context, request, early, standby, attempt);
            // Superseded, a request is dropped together with its target and its connection.
            let _ = done.send(superseded.run_until_cancelled(Box::pin(work)).await.flatten());
        });
        match next.await {
            Ok(Some(next)) => standby = next,
            Ok(None) | Err(_) => return,
        }
    }
}

/// Waits for the next request and its early data; `None` once the standby has been idle for too long.
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
