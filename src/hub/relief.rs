//! Memory for a service that asks for a stream while others hold too much.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::admission::relief::{QUEUE_INTERVAL, Room, Shortage};
use super::shared::Shared;
use crate::net::os::{clock, send_queues};
use crate::proto::id::ServiceName;
use crate::proto::limits::CLOSE_TIMEOUT;
use crate::proto::refusal::{Refusal, RefusalKind};

/// The time for which a service waits for memory that others are to leave: the ends of their streams have
/// [`CLOSE_TIMEOUT`] for their close frames.
const RELIEF_TIMEOUT: Duration = Duration::from_secs(CLOSE_TIMEOUT.as_secs() + 1);

/// The interval at which a service that waits looks for memory.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The part of the room for streams by which more waits for readers before the memory is looked at, out of turn: they can
/// fill in a moment what is left.
const RISE_PARTS: u64 = 32;

/// The part of the room that waits for readers from which on they are watched: those that stall are known when memory is
/// short.
const WATCHED_PARTS: u64 = 4;

/// Checks that there is capacity for one more stream of this service, and has connections give way that take long to
/// authenticate, else streams of others that hold too much, else idle standby connections. Near the limit, a service that
/// holds more than its share gets none: else it would take what is freed.
pub(super) async fn stream_capacity(shared: &Shared, service: &ServiceName) -> Result<(), Refusal> {
    let (pressure, broker) = (&shared.admission.pressure, &shared.streams.broker);
    let deadline = clock::now() + RELIEF_TIMEOUT;
    loop {
        let refusal = match pressure.check_stream_capacity() {
            Ok(()) => return return_capacity(shared, service),
            Err(refusal) => refusal,
        };
        let is_freed = shortage(shared).is_some_and(|shortage| {
            shared.admission.limiter.evict_slow()
                || broker.relieve(Some(service), shortage)
                || !broker.exceeds_share(service, shortage.room) && shared.streams.close_idle_standbys()
        });
        if !is_freed || clock::now() >= deadline {
            return Err(refusal);
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Checks that a stream of this service may return: near the limit, one of a service that holds more than its share waits.
pub(super) fn return_capacity(shared: &Shared, service: &ServiceName) -> Result<(), Refusal> {
    match shared.admission.pressure.scarce_room() {
        Some((room, percent))
            if shared.streams.broker.exceeds_share(service, counting_unauthenticated_twice(shared, room)) =>
        {
            let detail = format!("{percent} % of the memory budget used, by this service more than its share");
            Err(Refusal::new(RefusalKind::HubBusy, detail))
        }
        _ => Ok(()),
    }
}

/// Watches what waits for readers, and what the kernel holds for them. Where so little is left that not even connections are
/// taken, nobody can ask for a stream, and memory is freed for whoever would.
pub(super) async fn run(shared: Arc<Shared>) {
    let (pressure, broker) = (&shared.admission.pressure, &shared.streams.broker);
    let mut next_look = clock::now();
    loop {
        let Some(room) = pressure.read_room() else {
            sleep(QUEUE_INTERVAL).await;
            continue;
        };
        match shortage(&shared) {
            Some(shortage) if shortage.is_critical => {
                let _ = shared.admission.limiter.evict_slow()
                    || broker.relieve(None, shortage)
                    || shared.streams.close_idle_standbys();
            }
            Some(_) => {}
            None => shared.streams.standby_limit.lift(),
        }
        let is_watched = pressure.scarce_room().is_some() || broker.waiting().sum() >= room.bytes / WATCHED_PARTS;
        if is_watched && clock::now() >= next_look {
            next_look = clock::now() + QUEUE_INTERVAL;
            let queues = tokio::task::spawn_blocking(send_queues::read).await.ok().flatten();
            broker.note_queues(&queues.unwrap_or_default());
        }
        let _ = timeout(QUEUE_INTERVAL, broker.waiting().rise_by(room.bytes / RISE_PARTS)).await;
    }
}

fn shortage(shared: &Shared) -> Option<Shortage> {
    let shortage = shared.admission.pressure.shortage()?;
    Some(Shortage { room: counting_unauthenticated_twice(shared, shortage.room), ..shortage })
}

/// Counts the connections that have not authenticated once more: each may hold most of a request's head, as much again.
fn counting_unauthenticated_twice(shared: &Shared, room: Room) -> Room {
    let unauthenticated = u64::try_from(shared.admission.limiter.count()).unwrap_or(u64::MAX);
    Room { connections: room.connections.saturating_add(unauthenticated), ..room }
}
