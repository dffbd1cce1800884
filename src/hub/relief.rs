//! Memory for a service that asks for a stream while others hold too much.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::admission::relief::QUEUE_INTERVAL;
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

/// Checks that there is capacity for one more stream of this service, and ends streams that are not read if others hold
/// too much. Near the limit, a service that holds more than its share gets none: else it would take what is freed.
pub(super) async fn stream_capacity(shared: &Shared, service: &ServiceName) -> Result<(), Refusal> {
    let (pressure, broker) = (&shared.admission.pressure, &shared.streams.broker);
    let deadline = clock::now() + RELIEF_TIMEOUT;
    loop {
        let refusal = match (pressure.check_stream_capacity(), pressure.scarce_room()) {
            (Ok(()), Some((room, percent))) if broker.exceeds_share(service, room) => {
                let detail = format!("{percent} % of the memory budget used, by this service more than its share");
                return Err(Refusal::new(RefusalKind::HubBusy, detail));
            }
            (Ok(()), _) => return Ok(()),
            (Err(refusal), _) => refusal,
        };
        let is_freed = pressure.shortage().is_some_and(|shortage| broker.relieve(Some(service), shortage));
        if !is_freed || clock::now() >= deadline {
            return Err(refusal);
        }
        sleep(RETRY_INTERVAL).await;
    }
}

/// Looks, while memory is short, at what the kernel holds for readers. Where not even connections are taken, nobody can ask
/// for a stream, and memory is freed for whoever would.
pub(super) async fn run(shared: Arc<Shared>) {
    let (pressure, broker) = (&shared.admission.pressure, &shared.streams.broker);
    loop {
        sleep(QUEUE_INTERVAL).await;
        if pressure.scarce_room().is_none() {
            continue;
        }
        let queues = tokio::task::spawn_blocking(send_queues::read).await.ok().flatten();
        broker.note_queues(&queues.unwrap_or_default());
        if let Some(shortage) = pressure.shortage().filter(|_| pressure.refuses_connections()) {
            broker.relieve(None, shortage);
        }
    }
}
