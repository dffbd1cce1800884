//! Shutdown: new streams are refused, streams that survive a restart move on, the others get time to end.

use std::time::Duration;

use tokio::time::timeout;

use super::admission::Admission;
use super::event::{Event, Operation};
use super::shared::Shared;
use crate::net::os::random;
use crate::net::os::sd_notify;
use crate::net::shutdown::Shutdown;
use crate::proto::backoff::jittered;
use crate::proto::limits::RECONNECTS_PER_SECOND;
use crate::proto::text;

/// The time within which a restarted hub listens again.
const RESTART_TIME: Duration = Duration::from_millis(300);

/// Refuses new streams, waits for those that would not survive a restart up to the drain timeout, then ends the rest.
/// Returns the number of streams that were cut.
pub(super) async fn drain(shared: &Shared, shutdown: &Shutdown) -> usize {
    let streams = &shared.streams;
    streams.draining.cancel();
    streams.broker.drain();
    let (running, all) = (streams.broker.blocking_streams(), streams.broker.streams());
    if all > running {
        let resuming = all - running;
        let resuming = text::count(resuming, "stream");
        tracing::info!(target: "hub", "{resuming} will be resumed when the hub is back");
    }
    if running > 0 {
        let draining = format!("draining: {}", shutdown.describe_drain(running, shared.config.drain));
        sd_notify::status(&draining);
        tracing::info!(target: "hub", "{draining}");
    }
    tokio::select! {
        _ = timeout(shared.config.drain, streams.broker.wait_drained()) => {}
        () = shutdown.now.cancelled() => {}
    }
    let cut = streams.broker.blocking_streams();
    streams.broker.end_all();
    streams.stopping.cancel();
    cut
}

/// The event of the hub's end.
pub(super) fn stopped(shutdown: &Shutdown, cut: usize) -> Event {
    let why = shutdown.signal().unwrap_or("told to end");
    let cut = if cut > 0 { format!(", {} cut off", text::count(cut, "stream")) } else { String::new() };
    Event { reason: format!("{why}{cut}"), ..Event::new(Operation::HubStopped, "stopped") }
}

/// Returns the delay after which a client reconnects to a restarted hub: the restart time plus jitter that spreads all
/// connections over what the hub can accept, [`RECONNECTS_PER_SECOND`].
pub(super) fn reconnect_delay(admission: &Admission) -> Duration {
    let connections = u32::try_from(admission.pressure.connections()).unwrap_or(u32::MAX);
    RESTART_TIME + jittered(Duration::from_secs(1) * connections / RECONNECTS_PER_SECOND, random::u64())
}
