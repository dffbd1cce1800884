//! A joined stream, for the tasks that observe or end it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::net::os::send_queues::Ends;
use crate::net::tunnel::relay::{Backlog, Backlogs, ByteCounters};
use crate::proto::id::Role;
use crate::proto::refusal::{Refusal, RefusalKind};

/// A joined stream.
#[derive(Debug, Default)]
pub(in crate::hub) struct ActiveStream {
    /// Bytes relayed so far, across interruptions.
    pub counters: Arc<ByteCounters>,
    /// What waits for its ends.
    pub backlogs: Backlogs,
    /// Cancelled to end the stream.
    pub cancel: CancellationToken,
    /// The reason, if the hub ended the stream.
    reason: OnceLock<Refusal>,
    /// The connections of the device and of the service.
    connections: OnceLock<[Option<Ends>; 2]>,
    /// What the kernel holds for them, as seen last.
    queues: Mutex<[Option<Queue>; 2]>,
}

/// What the kernel holds for an end.
#[derive(Debug, Clone, Copy)]
struct Queue {
    length: u64,
    /// The last time at which it was seen to have become shorter, or was seen first.
    shrunk_at: Instant,
}

/// Bytes that wait for an end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UnreadBytes {
    pub(super) bytes: u64,
    /// The end.
    pub(super) reader: Role,
    /// The time at which it was last known to take some, or may have.
    pub(super) taken_at: Instant,
}

impl ActiveStream {
    /// A stream that goes on with the counters of an earlier connection.
    pub(super) fn with_counters(counters: Arc<ByteCounters>) -> Self {
        Self { counters, ..Self::default() }
    }

    /// Sets the connections of the device and of the service.
    pub(in crate::hub) fn set_connections(&self, connections: [Option<Ends>; 2]) {
        let _ = self.connections.set(connections);
    }

    /// Ends the stream for a reason.
    pub(super) fn end(&self, reason: Refusal) {
        let _ = self.reason.set(reason);
        self.cancel.cancel();
    }

    /// Returns the reason for which the hub ended the stream.
    pub(in crate::hub) fn end_reason(&self) -> Refusal {
        self.reason.get().cloned().unwrap_or_else(|| RefusalKind::Draining.into())
    }

    /// Notes what the kernel holds for the ends that something waits for.
    pub(super) fn note_queues(&self, lengths: &HashMap<Ends, u64>, now: Instant) {
        let Some(connections) = self.connections.get() else { return };
        let mut queues = self.queues.lock();
        for ((queue, connection), (backlog, _)) in queues.iter_mut().zip(connections).zip(self.ends()) {
            if backlog.waiting().is_none() {
                *queue = None;
                continue;
            }
            let length = connection.and_then(|ends| lengths.get(&ends)).copied().unwrap_or_default();
            let shrunk_at = queue.filter(|before| before.length <= length).map_or(now, |before| before.shrunk_at);
            *queue = Some(Queue { length, shrunk_at });
        }
    }

    /// Returns what waits for the stream's ends. One for whom the kernel's queue was never looked at may be reading.
    pub(super) fn held(&self, now: Instant) -> Option<UnreadBytes> {
        let queues = *self.queues.lock();
        let waiting = self.ends().into_iter().zip(queues).filter_map(|((backlog, reader), queue)| {
            let waiting = backlog.waiting()?;
            let taken_at = waiting.taken_at().max(queue.map_or(now, |queue| queue.shrunk_at));
            Some(UnreadBytes { bytes: waiting.bytes, reader, taken_at })
        });
        // A stream of which one end reads is not at rest.
        waiting.reduce(|one, other| UnreadBytes {
            bytes: one.bytes + other.bytes,
            ..if one.taken_at > other.taken_at { one } else { other }
        })
    }

    fn ends(&self) -> [(&Backlog, Role); 2] {
        [(&self.backlogs.to_device, Role::Device), (&self.backlogs.to_service, Role::Service)]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;
    use crate::net::liveness::LivenessIo;
    use crate::net::os::clock;

    /// The kernel takes nothing from the hub meanwhile: it still has much for the reader.
    #[tokio::test(start_paused = true)]
    async fn a_reader_has_stalled_since_its_queue_in_the_kernel_became_no_shorter() {
        const SECOND: Duration = Duration::from_secs(1);
        let (active, (_, liveness)) = (ActiveStream::default(), LivenessIo::new(tokio::io::empty()));
        let ends = ((Ipv4Addr::LOCALHOST, 1).into(), (Ipv4Addr::LOCALHOST, 2).into());
        active.set_connections([Some(ends), None]);
        assert_eq!(active.held(clock::now()), None);
        let script = async {
            sleep(20 * SECOND).await;
            let held = active.held(clock::now()).expect("a message waits");
            assert_eq!((held.bytes, held.reader), (300, Role::Device));
            assert_eq!(held.taken_at, clock::now(), "nobody has looked at the queue");
            let mut expected = Vec::new();
            for length in [9000, 9000, 8000, 8000, 8500] {
                active.note_queues(&HashMap::from([(ends, length)]), clock::now());
                let held = active.held(clock::now()).expect("it still waits");
                expected.push(clock::now().duration_since(held.taken_at).as_secs());
                sleep(SECOND).await;
            }
            assert_eq!(expected, [0, 1, 0, 1, 2]);
        };
        tokio::select! {
            () = active.backlogs.to_device.during(100, &liveness, std::future::pending()) => {}
            () = script => {}
        }
        assert_eq!(active.held(clock::now()), None, "it was sent, or the stream has ended");
    }
}
